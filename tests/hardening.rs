//! What a second reading found: each of these went wrong once.

use std::sync::mpsc::channel;

use crate::support::{Client, Message, Origin, Peer, Tollgate, eventually};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const RETRY: &str = "filters:\n  - {name: retry, component: 'builtin:retry', config: {methods: [GET, POST], initial-delay-ms: 300}}";

#[test]
fn a_get_with_chunked_content_keeps_it() {
    let origin = Origin::answering(|request| {
        assert_eq!((request.field("transfer-encoding"), request.text().as_str()), (Some("chunked"), "hello"));
        OK.to_vec()
    });
    let tollgate = Tollgate::in_front_of(&origin, "", "");
    let chunked = "GET / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(tollgate.client().send(chunked).receive().status(), 200);
}

#[test]
fn a_coding_besides_chunked_is_refused_and_not_lost() {
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, "", "");
    for coding in
        ["gzip, chunked", "chunked\r\ntransfer-encoding: chunked", "gzip\r\ntransfer-encoding: chunked"]
    {
        let request = format!("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n");
        assert_eq!(tollgate.client().send(request).receive().status(), 400, "{coding}");
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_path_that_servers_would_resolve_is_refused() {
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, "", "");
    for path in
        ["/a/../b", "/./a", "/a/..", "/a/%2e%2E/b", "/a/..%2fb", "/a/%2e.%5cb", "/a\\..\\b", "/a/..;x=1/b"]
    {
        assert_eq!(tollgate.get(path).status(), 400, "{path}");
    }
    assert_eq!(origin.requests(), 0);
    for path in ["/a/b..c", "/...", "/a%2fb", "/.well-known/x", "/a?x=/../b", "/v1.0/x"] {
        assert_eq!(tollgate.get(path).status(), 200, "{path}");
    }
}

#[test]
fn a_connection_whose_request_is_half_sent_is_not_used_again() {
    let origin = Origin::raw(|mut peer| {
        let Some(request) = Message::read_head(&mut peer.stream) else { return };
        if request.start.starts_with("POST") && peer.number == 0 {
            peer.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
            // It answers at once, and reads the content when it pleases: never.
            assert!(until_closed(&mut peer));
            return;
        }
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    });
    let tollgate = Tollgate::in_front_of(&origin, RETRY, "replay-limit: 1MiB");
    let mut slow = tollgate.client();
    slow.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n12345");
    eventually("the first attempt is made", || origin.connections() == 1);
    for _ in 0..3 {
        assert_eq!(tollgate.get("/").status(), 200, "a stranger's request");
    }
    eventually("the second attempt is made", || origin.connections() == 5);
    assert_eq!(slow.send("67890").receive().status(), 200);
}

fn until_closed(peer: &mut Peer) -> bool {
    use std::io::Read;
    // A reset ends it as well as a close.
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).is_ok_and(|read| read <= 10) || rest.len() <= 10
}

#[test]
fn a_post_is_not_made_twice_when_the_origin_fails_at_it() {
    let origin = Origin::raw(|mut peer| {
        while let Some(request) = peer.request() {
            if request.start.starts_with("POST") {
                std::thread::sleep(std::time::Duration::from_millis(1500));
                return;
            }
            peer.send(OK);
        }
    });
    let tollgate = Tollgate::in_front_of(&origin, "", "");
    let mut client = tollgate.client();
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(client.post("/order", "", "{}").status(), 502);
    assert_eq!(origin.requests(), 2, "the GET, and the POST once");
}

#[test]
fn trailers_bring_in_nothing_that_the_host_owns_or_the_head_has_not_announced() {
    let (seen, trailers) = channel();
    let origin = Origin::answering(move |request| {
        seen.send(request.trailers.clone()).unwrap();
        OK.to_vec()
    });
    let tollgate = Tollgate::in_front_of(&origin, "", "");
    let request = "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ntrailer: x-forwarded-for, x-sum, authorization\r\n\r\n\
                   1\r\na\r\n0\r\nx-forwarded-for: 6.6.6.6\r\nx-sum: 1\r\nauthorization: Bearer root\r\nx-user: root\r\n\r\n";
    assert_eq!(tollgate.client().send(request).receive().status(), 200);
    assert_eq!(trailers.recv().unwrap(), [("x-sum".to_owned(), "1".to_owned())]);
}

#[test]
fn a_client_goes_to_the_same_endpoint_on_every_worker() {
    let (one, two) = (Origin::working(), Origin::working());
    let manifest = format!(
        "version: 1\nlisteners: [{{address: '127.0.0.1:0'}}]\nupstreams:\n  main: {{endpoints: ['{}', '{}'], balance: \
         consistent-hash}}\nroutes: [{{match: {{}}, upstream: main}}]\n",
        one.url(),
        two.url()
    );
    let tollgate = Tollgate::start_with(&manifest, &["--workers", "4"], |_| {});
    for _ in 0..40 {
        assert_eq!(Client::connect(tollgate.address).get("/").status(), 200);
    }
    assert_eq!(one.requests().min(two.requests()), 0, "{} and {}", one.requests(), two.requests());
}
