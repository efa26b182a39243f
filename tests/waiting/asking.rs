//! Requests that filters send.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};

use super::{answer, asking, does, with_filter};
use crate::examples::build;
use crate::support::{Origin, Tollgate, eventually, tollgate};

fn saying(what: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{what}", what.len()).into_bytes()
}

#[test]
fn the_example_lets_in_whom_the_service_lets_in() {
    let filter = build("example-forward-auth", "forward_auth.wasm");
    let service = Origin::answering(|question| match question.field("authorization") {
        Some("Bearer k") => {
            let seen = format!(
                "{} {}",
                question.values("x-original-method")[0],
                question.values("x-original-uri")[0]
            );
            format!("HTTP/1.1 204 No Content\r\nx-user: ann of {seen}\r\n\r\n").into_bytes()
        }
        Some(_) => b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_vec(),
        None => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_vec(),
    });
    let (origin, requests) = Origin::recording("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let mut command = tollgate::command();
    let manifest =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/forward-auth/manifest.yaml");
    command.args(["run", "--manifest"]).arg(manifest);
    command
        .env("LISTEN", "127.0.0.1:0")
        .env("UPSTREAM", origin.url())
        .env("AUTH", service.url())
        .env("FILTER", filter);
    let tollgate = Tollgate::watch(command, tollgate::directory());
    let request = |field: &str| {
        format!("PUT /a?b HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\nx-user: root\r\n{field}\r\n")
    };
    for (field, status) in
        [("authorization: Bearer k\r\n", 200), ("authorization: Bearer x\r\n", 403), ("", 503)]
    {
        assert_eq!(answer(&tollgate, &request(field)).status(), status, "{field}");
    }
    assert_eq!(requests.recv().unwrap().field("x-user"), Some("ann of PUT /a?b"));
    assert!(requests.try_recv().is_err(), "who was not let in did not get through");
    assert_eq!(service.requests(), 3);
    assert!(service.connections() < 3, "a connection is used again");
}

#[test]
fn a_worker_goes_on_while_filters_wait() {
    const AT_ONCE: usize = 8;
    let barrier = Barrier::new(AT_ONCE);
    // Nobody gets an answer before all have asked.
    let service = Origin::answering(move |_| {
        barrier.wait();
        saying("all are here")
    });
    let origin = Origin::working();
    let tollgate = asking(&service.url(), "", &origin);
    let mut clients: Vec<_> = (0..AT_ONCE).map(|_| tollgate.client()).collect();
    clients[..AT_ONCE - 1].iter_mut().for_each(|client| {
        client.send(does("ask"));
    });
    eventually("all but one have asked", || service.requests() == AT_ONCE - 1);
    assert_eq!(tollgate.get("/").text(), "it works", "one that does not wait is served meanwhile");
    clients[AT_ONCE - 1].send(does("ask"));
    for client in &mut clients {
        assert!(client.receive().text().ends_with(": 200 all are here"));
    }
    // Instances are kept, and no more are made than were needed.
    let begun = answer(&tollgate, &does("look")).text();
    assert_ne!(begun.split(':').next(), Some("1"), "{begun}");
}

#[test]
fn only_granted_origins_are_asked() {
    let service = Origin::answering(|_| saying("asked"));
    let origin = Origin::working();
    let config = format!("config: {{url: \"{}\"}}", service.url());
    for grants in ["", "grants: {http: [\"http://127.0.0.1:1\", \"https://127.0.0.1\"]}"] {
        let tollgate = with_filter(&format!("{config}\n{grants}"), &origin);
        assert!(answer(&tollgate, &does("ask")).text().contains("does not grant that origin"));
        let words = ["guest", "it may send no request to", &service.url()];
        eventually("it is logged", || tollgate.has_logged(&words));
    }
    assert_eq!(service.connections(), 0);
}

#[test]
fn whoever_does_not_answer_well_is_an_error_that_the_filter_sees() {
    let (origin, nobody) = (Origin::working(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let resets = Origin::raw(|mut peer| {
        peer.request();
        peer.reset();
    });
    let babbles = Origin::raw(|mut peer| {
        peer.request();
        peer.send("what?\r\n\r\n");
    });
    let short = Origin::raw(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort");
    });
    let huge = Origin::raw(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        while peer.try_send([b'x'; 1 << 16]).is_ok() {}
    });
    for (url, said) in [
        (format!("http://{gone}"), "ConnectionRefused"),
        (resets.url(), "ConnectionTerminated"),
        (babbles.url(), "ConnectionTerminated"),
        (short.url(), "no answer"),
        (huge.url(), "the answer is too large"),
    ] {
        let tollgate = asking(&url, "", &origin);
        let answer = answer(&tollgate, &does("ask")).text();
        assert!(answer.contains(said), "{answer}");
        assert_eq!(tollgate.get("/").text(), "it works");
    }
}

#[test]
fn content_is_sent_whole() {
    let (heard, contents) = channel();
    let heard = Mutex::new(heard);
    let service = Origin::answering(move |question| {
        heard
            .lock()
            .unwrap()
            .send((question.field("content-length").unwrap().to_owned(), question.text()))
            .unwrap();
        saying("heard")
    });
    let origin = Origin::working();
    let tollgate = asking(&service.url(), "", &origin);
    assert_eq!(answer(&tollgate, &does("tell me")).text(), "1: 200 heard");
    let (length, content) = contents.recv().unwrap();
    assert_eq!((length.as_str(), content), ("200000", "me".repeat(100_000)));
}

#[test]
fn what_is_asked_when_an_exchange_is_over_holds_nobody_up() {
    let (told, ids) = channel();
    let told = Mutex::new(told);
    let service = Origin::answering(move |question| {
        told.lock().unwrap().send((question.start.clone(), question.text())).unwrap();
        saying("fine")
    });
    let origin = Origin::working();
    let tollgate = asking(&service.url(), "", &origin);
    let request = "GET / HTTP/1.1\r\nhost: t\r\nx-complete: 1\r\nx-request-id: the-one\r\n\r\n";
    assert_eq!(answer(&tollgate, request).text(), "it works");
    assert_eq!(ids.recv().unwrap(), ("POST /over HTTP/1.1".to_owned(), "the-one".to_owned()));
}

#[test]
fn a_client_that_leaves_takes_back_the_question() {
    let gone = Arc::new(AtomicUsize::new(0));
    let service = {
        let gone = gone.clone();
        Origin::raw(move |mut peer| {
            if peer.request().is_some_and(|question| question.start.contains("/over")) {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                return;
            }
            // Ends when the other side closes.
            assert!(peer.request().is_none());
            gone.fetch_add(1, Ordering::Relaxed);
        })
    };
    let origin = Origin::working();
    let tollgate = asking(&service.url(), "", &origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\nx-do: ask\r\nx-complete: 1\r\n\r\n");
    eventually("it is asked", || service.requests() == 1);
    drop(client);
    eventually("the question is taken back", || gone.load(Ordering::Relaxed) == 1);
    eventually("the exchange is over nevertheless", || service.requests() == 2);
    assert_eq!(tollgate.get("/").text(), "it works");
}
