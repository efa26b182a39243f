//! What clients and upstreams may take of us, in bytes, time and number; and what becomes of an exchange whose upstream
//! fails.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{Client, Manifest, Message, Origin, PATIENCE, Tollgate, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn listener(origin: &Origin, keys: &str) -> Tollgate {
    Manifest { listener: keys, ..Manifest::default() }.in_front_of(origin)
}

fn upstream(origin: &Origin, keys: &str) -> Tollgate {
    Manifest { upstream: keys, ..Manifest::default() }.in_front_of(origin)
}

/// The status that a client gets for bytes, whose connection is closed then.
fn refused(tollgate: &Tollgate, bytes: &str) -> u16 {
    let mut client = tollgate.client();
    let status = client.send(bytes).receive().status();
    assert!(client.is_closed());
    status
}

fn get_with(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: t\r\n{fields}\r\n")
}

#[test]
fn a_head_may_have_so_many_fields_and_no_more() {
    let origin = Origin::working();
    for (keys, most) in [("limits: {headers: 7}", 7), ("", 100), ("limits: {headers: 300}", 300)] {
        let tollgate = listener(&origin, keys);
        let fields = |count: usize| (1..count).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
        assert_eq!(tollgate.client().send(get_with(&fields(most))).receive().status(), 200, "{most}");
        assert_eq!(refused(&tollgate, &get_with(&fields(most + 1))), 431, "{most}");
    }
}

#[test]
fn a_head_may_be_so_large_and_no_larger() {
    let origin = Origin::working();
    for (keys, most) in [
        ("limits: {header-bytes: 8KiB}", 8 << 10),
        ("", 64 << 10),
        ("limits: {header-bytes: 256KiB}", 256 << 10),
    ] {
        let tollgate = listener(&origin, keys);
        let sized =
            |size: usize| get_with(&format!("x: {}\r\n", "v".repeat(size - get_with("x: \r\n").len())));
        assert_eq!(tollgate.client().send(sized(most)).receive().status(), 200, "{most}");
        assert_eq!(refused(&tollgate, &sized(most + 1)), 431, "{most}");
    }
}

#[test]
fn a_target_that_is_too_long_is_refused() {
    let origin = Origin::working();
    let tollgate = listener(&origin, "limits: {header-bytes: 256KiB}");
    let get = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(length));
    assert_eq!(tollgate.client().send(get(60_000)).receive().status(), 200);
    assert_eq!(refused(&tollgate, &get(70_000)), 414);
}

#[test]
fn a_head_that_never_ends_does_not_fill_memory() {
    let origin = Origin::working();
    let tollgate = listener(&origin, "");
    let mut client = tollgate.client();
    let line = format!("x: {}\r\n", "v".repeat(1000));
    let socket = client.stream.get_mut();
    let _ = std::io::Write::write_all(socket, b"GET / HTTP/1.1\r\nhost: t\r\n");
    // Until the other side has had enough.
    for _ in 0..20_000 {
        if std::io::Write::write_all(socket, line.as_bytes()).is_err() {
            break;
        }
    }
    assert!(tollgate.memory("VmHWM") < 64 << 20);
    assert_eq!(tollgate.get("/").status(), 200);
}

#[test]
fn a_head_that_drips_is_cut_off_in_time() {
    let origin = Origin::working();
    let tollgate = listener(&origin, "timeouts: {header: 400ms, idle: 20s}");
    for warm in [false, true] {
        let mut client = tollgate.client();
        if warm {
            client.get("/");
        }
        let begun = Instant::now();
        drip(&mut client, "GET / HTTP/1.1\r\nx-slow: ");
        assert!(begun.elapsed() >= Duration::from_millis(400));
    }
    assert_eq!(origin.requests(), 1);
}

/// Writes `begin` and then a byte at a time, until the other side has closed.
fn drip(client: &mut Client, begin: &str) {
    client.send(begin);
    client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    eventually("the connection is cut", || {
        let socket = client.stream.get_mut();
        let read = socket.read(&mut [0; 512]);
        let over = matches!(&read, Ok(0))
            || read.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        over || std::io::Write::write_all(socket, b"x").is_err()
    });
}

#[test]
fn a_connection_without_a_request_is_closed_in_time() {
    let origin = Origin::working();
    let tollgate = listener(&origin, "timeouts: {header: 10s, idle: 300ms}");
    for warm in [false, true] {
        let mut client = tollgate.client();
        if warm {
            assert_eq!(client.get("/").status(), 200);
        }
        let begun = Instant::now();
        assert!(client.is_closed());
        // The connection's clock began before ours.
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_slow_origin_is_no_idle_client() {
    let origin = Origin::raw(|mut peer| {
        peer.request().unwrap();
        std::thread::sleep(Duration::from_millis(900));
        peer.send(OK);
    });
    let tollgate = listener(&origin, "timeouts: {header: 200ms, idle: 200ms}");
    assert_eq!(tollgate.get("/").text(), "ok");
}

#[test]
fn a_request_whose_content_stalls_times_out_and_blames_the_client() {
    let origin = Origin::raw(|mut peer| {
        Message::read_head(&mut peer.stream).unwrap();
        let mut rest = Vec::new();
        // Cut, in whatever way.
        let _ = peer.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"half");
    });
    let tollgate = listener(&origin, "timeouts: {idle: 300ms}");
    let mut client = tollgate.client();
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 8\r\n\r\nhalf");
    let begun = Instant::now();
    let response = client.receive();
    assert_eq!((response.status(), response.json()["code"].as_str()), (408, Some("body_stalled")));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(client.is_closed(), "the rest of the content would be taken for a request");
}

#[test]
fn a_pause_in_an_upload_is_not_the_upstreams_fault() {
    let (origin, _requests) = Origin::recording(OK);
    let manifest = Manifest {
        listener: "timeouts: {idle: 20s}",
        upstream: "timeouts: {response: 300ms}",
        ..Manifest::default()
    };
    let tollgate = manifest.in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 8\r\n\r\nhalf");
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(client.send("half").receive().status(), 200);
}

#[test]
fn an_upstream_that_takes_no_connection_times_out() {
    let full = full_listener();
    let url = format!("http://{}", full.0.local_addr().unwrap());
    let tollgate =
        Manifest { upstream: "timeouts: {connect: 300ms}", ..Manifest::default() }.in_front_of_url(&url, &[]);
    let begun = Instant::now();
    let response = tollgate.get("/");
    assert_eq!((response.status(), response.json()["code"].as_str()), (502, Some("upstream_connect_failed")));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

/// A listener that has as many connections in its queue as it takes: the kernel answers no more.
fn full_listener() -> (TcpListener, Vec<socket2::Socket>) {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let connect = |_| {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        // Under way, or waiting for ever: both fill the queue.
        let _ = client.connect(&address.into());
        client
    };
    let clients = (0..4).map(connect).collect();
    (listener, clients)
}

#[test]
fn an_upstream_that_does_not_answer_times_out() {
    let origin = silent();
    let tollgate = upstream(&origin, "timeouts: {response: 300ms}");
    let begun = Instant::now();
    let mut client = tollgate.client();
    let response = client.get("/");
    assert_eq!((response.status(), response.json()["code"].as_str()), (504, Some("upstream_timeout")));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(client.get("/").status(), 504, "the client's connection lives on");
}

#[test]
fn the_routes_timeout_ends_what_the_upstreams_would_allow() {
    let origin = silent();
    let tollgate = Manifest { route: "timeout: 300ms", ..Manifest::default() }.in_front_of(&origin);
    let begun = Instant::now();
    let response = tollgate.get("/");
    assert_eq!((response.status(), response.json()["code"].as_str()), (504, Some("deadline_exceeded")));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

/// An origin that reads and says nothing, until it is left alone.
fn silent() -> Origin {
    Origin::raw(|mut peer| {
        let mut all = Vec::new();
        // However it ends.
        let _ = peer.stream.read_to_end(&mut all);
    })
}

#[test]
fn a_response_that_stands_still_is_cut() {
    let origin = Origin::raw(|mut peer| {
        peer.request().unwrap();
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        let mut all = Vec::new();
        let _ = peer.stream.read_to_end(&mut all);
    });
    let tollgate = upstream(&origin, "timeouts: {idle: 300ms}");
    let begun = Instant::now();
    let got = String::from_utf8(tollgate.client().send(get_with("")).rest()).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(got.ends_with("\r\n\r\n4\r\nhalf\r\n"), "{got}");
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let origin = Origin::raw(|mut peer| {
        peer.request().unwrap();
        let _ = peer.try_send("HTTP/1.1 200 OK\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while peer.try_send(&piece).is_ok() {}
    });
    let tollgate = listener(&origin, "timeouts: {idle: 300ms}");
    let mut client = tollgate.client();
    client.send(get_with(""));
    eventually("the exchange has ended", || tollgate.has_logged(&["client-gone"]));
    client.rest();
}

#[test]
fn past_the_limit_connections_wait_for_others_to_end() {
    let (origin, _requests) = Origin::recording(OK);
    let manifest = Manifest { listener: "limits: {connections: 2}", ..Manifest::default() };
    let tollgate = manifest.in_front_of_url(&origin.url(), &["--workers", "1"]);
    let mut two = [tollgate.client(), tollgate.client()];
    two.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    let mut third = tollgate.client();
    third.send(get_with(""));
    third.stream.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.stream.read(&mut [0]).is_err(), "no answer yet");
    let [first, _second] = two;
    drop(first);
    third.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(third.receive().status(), 200);
}

#[test]
fn whatever_an_upstream_says_instead_of_http_is_a_bad_gateway() {
    let many: String = (0..200).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let long = "x".repeat(1 << 20);
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "\0\0\0\x01".repeat(100),
        "HTTP/2.0 200 OK\r\n\r\n".into(),
        "HTTP/1.1 banana\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".into(),
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".into(),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".into(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nx: half".into(),
        String::new(),
    ] {
        let begin: String = answer.chars().take(60).collect();
        let origin = Origin::raw(move |mut peer| {
            peer.request().unwrap();
            // It may be refused half-way.
            let _ = peer.try_send(&answer);
        });
        let tollgate = upstream(&origin, "");
        let mut client = tollgate.client();
        let response = client.get("/");
        assert_eq!(
            (response.status(), response.json()["code"].as_str()),
            (502, Some("upstream_reset")),
            "{begin:?}"
        );
        assert_eq!(client.get("/metrics").status(), 200, "{begin:?}: the client's connection lives on");
        assert_eq!(origin.connections(), 1, "{begin:?}: a new connection's failure is not tried again");
    }
}

#[test]
fn a_reset_before_the_head_is_a_bad_gateway() {
    let origin = Origin::raw(|mut peer| {
        peer.request().unwrap();
        peer.reset();
    });
    let tollgate = upstream(&origin, "");
    assert_eq!(tollgate.post("/", "{}").json()["code"], "upstream_reset");
}

#[test]
fn a_refused_connection_is_a_bad_gateway_until_somebody_listens() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let tollgate = Manifest::default().in_front_of_url(&format!("http://{address}"), &[]);
    assert_eq!(tollgate.get("/").json()["code"], "upstream_connect_failed");
    let errors = "tollgate_errors_total{provider=\"main\",type=\"connect_failed\"}";
    assert_eq!(tollgate.metric(errors), 1.0);
}
