//! What can be sent again: bodies that were buffered, and streamed ones within the route's `replay-limit`.

use std::io::Read;
use std::sync::{Arc, Mutex};

use super::ok;
use crate::support::script::{Script, chain};
use crate::support::{Client, Message, Origin, Tollgate};

/// The contents of the requests that arrived.
type Contents = Arc<Mutex<Vec<String>>>;

/// An origin that answers 503 until it has seen three requests.
fn origin() -> (Origin, Contents) {
    let contents = Contents::default();
    let seen = contents.clone();
    let origin = Origin::answering(move |request| {
        let mut seen = seen.lock().unwrap();
        seen.push(request.text());
        if seen.len() < 3 {
            b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec()
        } else {
            ok("fine")
        }
    });
    (origin, contents)
}

fn retrier() -> Script {
    Script::new("f").on(
        "after-attempt",
        "(if (i32.ge_u (local.get $status) (i32.const 500)) (then (return (call $retry (i32.const 0)))))",
    )
}

fn refused(tollgate: &Tollgate) -> f64 {
    tollgate.metric("tollgate_retries_total{provider=\"main\",result=\"refused_replay\"}")
}

fn chunked(client: &mut Client, pieces: &[&str]) {
    client.send("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n");
    for piece in pieces {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        // So that the pieces are read one by one.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    client.send("0\r\n\r\n");
}

#[test]
fn a_streamed_body_within_the_limit_is_sent_again() {
    for limit in ["replay-limit: 6", "replay-limit: 64KiB", ""] {
        let (origin, contents) = origin();
        let tollgate = Tollgate::in_front_of(&origin, &chain(&[retrier().entry("")]), limit);
        assert_eq!(tollgate.post("/", "onetwo").status(), 200, "{limit}");
        assert_eq!(*contents.lock().unwrap(), ["onetwo"; 3]);
        contents.lock().unwrap().clear();
        let mut client = tollgate.client();
        chunked(&mut client, &["one", "two"]);
        assert_eq!(client.receive().status(), 200, "{limit}");
        assert_eq!(*contents.lock().unwrap(), ["onetwo"; 3]);
        assert_eq!(refused(&tollgate), 0.0);
    }
}

#[test]
fn a_streamed_body_past_the_limit_is_sent_once() {
    let (origin, contents) = origin();
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[retrier().entry("")]), "replay-limit: 5");
    assert_eq!(tollgate.post("/", "onetwo").status(), 503);
    assert_eq!(*contents.lock().unwrap(), ["onetwo"]);
    assert_eq!(refused(&tollgate), 1.0);
    let mut client = tollgate.client();
    chunked(&mut client, &["one", "two", "three"]);
    assert_eq!(client.receive().status(), 503);
    assert_eq!(*contents.lock().unwrap(), ["onetwo", "onetwothree"]);
    assert_eq!(refused(&tollgate), 2.0);
    assert_eq!(tollgate.get("/").status(), 200, "a request without a body can always be sent again");
}

#[test]
fn a_body_that_a_filter_has_seen_whole_is_sent_again_as_the_filter_left_it() {
    let (origin, contents) = origin();
    let filter = retrier().on("on-request-body", r#"(call $body.replace "made anew")"#);
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[filter.entry("")]), "replay-limit: 0");
    assert_eq!(tollgate.post("/", "onetwo").status(), 200);
    assert_eq!(*contents.lock().unwrap(), ["made anew"; 3]);
    assert_eq!(refused(&tollgate), 0.0);
}

#[test]
fn an_answer_that_comes_early_does_not_cut_what_is_still_to_be_sent_again() {
    let body: String = (0..200_000).map(|n| format!("{n:05}|")).collect();
    let length = body.len();
    let (whole, seen) = std::sync::mpsc::channel();
    let origin = Origin::raw(move |mut peer| {
        if peer.number == 0 {
            // Some of it has been read from the client, and kept.
            let mut some = vec![0; 300_000];
            peer.stream.read_exact(&mut some).unwrap();
            peer.reset();
            return;
        }
        // The head is there before the body; the rest of the answer waits for it.
        Message::read_head(&mut peer.stream).unwrap();
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        std::thread::sleep(std::time::Duration::from_millis(300));
        let mut all = vec![0; length];
        peer.stream.read_exact(&mut all).unwrap();
        whole.send(String::from_utf8(all).unwrap()).unwrap();
        peer.send("4\r\nfine\r\n0\r\n\r\n");
    });
    let again = Script::new("f").on(
        "after-attempt",
        "(if (i32.eq (local.get $number) (i32.const 1)) (then (return (call $retry (i32.const 0)))))",
    );
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[again.entry("")]), "replay-limit: 4MiB");
    let mut client = tollgate.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n{body}"));
    let answer = client.receive();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "fine"));
    assert!(seen.recv().unwrap() == body, "every byte once, in order");
}
