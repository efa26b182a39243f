//! Sockets over a reload: listeners and connections that need not go stay, those that must go end in order.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::*;
use crate::balance::connections_by_worker;

/// A manifest with these keys of the upstream and these listeners, one a line.
fn with(origin: &Origin, upstream: &str, listeners: &str) -> String {
    manifest_with(&format!("main: {{endpoints: [\"{}\"], {upstream}}}", origin.url()), listeners, "")
}

/// Where the newest listener is.
fn newest(tollgate: &Tollgate) -> SocketAddr {
    let mut lines = tollgate.output().into_iter().filter(|line| line.contains("listening on"));
    let line: Value = serde_json::from_str(&lines.next_back().unwrap()).unwrap();
    line["address"].as_str().unwrap().parse().unwrap()
}

/// A port that is free now.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn connections_to_endpoints_that_stay_are_used_again() {
    let origin = Origin::working();
    let tollgate =
        Tollgate::start_with(&with(&origin, "", "LISTENER"), &["--workers", "1", "--no-watch"], |_| {});
    assert_eq!(tollgate.get("/").status(), 200);
    for upstream in [
        "timeouts: {response: 7s}",
        "balance: least-request",
        "provider: other",
        "timeouts: {connect: 1s}, balance: consistent-hash",
    ] {
        let report = change(&tollgate, &with(&origin, upstream, "LISTENER"));
        assert_eq!(report["changes"][0]["key"], "upstreams");
        assert_eq!(tollgate.get("/").status(), 200);
    }
    assert_eq!(origin.connections(), 1, "all over one connection");
    change(&tollgate, &with(&origin, "pool: {max-idle: 1}", "LISTENER"));
    assert_eq!(tollgate.get("/").status(), 200);
    assert_eq!(origin.connections(), 2, "another pool begins empty");
}

#[test]
fn an_upstream_that_is_replaced_gets_no_more_requests() {
    let (old, new) = (Origin::working(), mirror());
    let tollgate = start(&with(&old, "", "LISTENER"));
    let mut client = tollgate.client();
    assert_eq!(client.get("/").text(), "it works");
    change(&tollgate, &with(&new, "", "LISTENER"));
    let requests = old.requests();
    for _ in 0..10 {
        assert!(client.get("/").text().contains("host: t"));
    }
    assert_eq!((old.requests(), new.requests()), (requests, 10));
}

#[test]
fn a_listener_comes_and_goes_and_its_connections_end_in_order() {
    let (origin, questions, go) = waiting();
    let mut tollgate = start(&with(&origin, "", "LISTENER"));
    let second = free();
    let both = format!("LISTENER\n  - address: {second}");
    let report = change(&tollgate, &with(&origin, "", &both));
    assert_eq!(report["changes"][0]["change"], "added");
    eventually("it is logged", || newest(&tollgate) == second);
    let mut stays = tollgate.client();
    assert_eq!(stays.get("/").text(), "ok");
    let mut idle = Client::connect(second);
    assert_eq!(idle.get("/").text(), "ok");
    let mut busy = Client::connect(second);
    busy.send("GET /wait HTTP/1.1\r\nhost: t\r\n\r\n");
    questions.recv_timeout(PATIENCE).unwrap();

    let report = change(&tollgate, &with(&origin, "", "LISTENER"));
    assert_eq!(
        (&report["changes"][0]["name"], &report["changes"][0]["change"]),
        (&Value::from(second.to_string()), &Value::from("removed"))
    );
    eventually("new connections are refused", || TcpStream::connect(second).is_err());
    assert!(idle.is_closed());
    go.send(()).unwrap();
    let response = busy.receive();
    assert_eq!((response.text().as_str(), response.field("connection")), ("ok", Some("close")));
    assert!(busy.is_closed());
    assert_eq!(stays.get("/").text(), "ok", "the other listener's connections do not notice");

    // And again, on the same address; the end waits for none that is over.
    change(&tollgate, &with(&origin, "", &both));
    assert_eq!(Client::connect(second).get("/").text(), "ok");
    tollgate.signal("TERM");
    assert_eq!(tollgate.wait(), Some(0));
}

#[test]
fn a_listener_whose_settings_change_keeps_its_socket_and_its_connections() {
    let origin = Origin::working();
    let tollgate = start(&with(&origin, "", "LISTENER"));
    let mut before = tollgate.client();
    assert_eq!(before.get("/").status(), 200);
    let few = "{address: \"127.0.0.1:0\", limits: {headers: 3, connections: 2}, timeouts: {idle: 50s}}";
    let report = change(&tollgate, &with(&origin, "", few));
    assert_eq!(report["changes"][0]["change"], "changed");
    let many = "GET / HTTP/1.1\r\nhost: t\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n";
    assert_eq!(before.send(many).receive().status(), 200, "a connection keeps what it began with");
    drop(before);
    for _ in 0..10 {
        assert_eq!(tollgate.client().send(many).receive().status(), 431);
    }
    change(&tollgate, &with(&origin, "", "LISTENER"));
    let mut all: Vec<_> = (0..20).map(|_| tollgate.client()).collect();
    all.iter_mut().for_each(|client| assert_eq!(client.send(many).receive().status(), 200));
}

#[test]
fn a_listener_that_is_added_spreads_its_connections_and_one_that_is_removed_ends_those_of_all_workers() {
    const CONNECTIONS: usize = 32;
    let origin = Origin::working();
    let tollgate = start(&with(&origin, "", "LISTENER"));
    let second = free();
    change(&tollgate, &with(&origin, "", &format!("LISTENER\n  - address: {second}")));
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::connect(second)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    let held = connections_by_worker(&tollgate, 2);
    assert!(held.iter().all(|held| *held >= (CONNECTIONS / 2) as f64), "{held:?}");
    change(&tollgate, &with(&origin, "", "LISTENER"));
    assert!(clients.iter_mut().all(Client::is_closed));
}

#[test]
fn another_limit_of_connections_is_that_of_all_workers_at_once() {
    let origin = Origin::working();
    let limited = |connections: usize| {
        let listener = format!("{{address: \"127.0.0.1:0\", limits: {{connections: {connections}}}}}");
        with(&origin, "", &listener)
    };
    let tollgate = start(&limited(2));
    let request = "GET / HTTP/1.1\r\nhost: t\r\n\r\n";
    let waits = || {
        let mut client = tollgate.client();
        client.send(request).stream.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(client.stream.read(&mut [0]).is_err(), "no answer yet");
        client.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        client
    };
    let two = [(); 2].map(|()| {
        let mut client = tollgate.client();
        assert_eq!(client.get("/").status(), 200);
        client
    });
    let mut third = waits();
    change(&tollgate, &limited(3));
    assert_eq!(third.receive().status(), 200);
    change(&tollgate, &limited(1));
    let mut fourth = waits();
    drop((two, third));
    assert_eq!(fourth.receive().status(), 200);
}
