//! The end of the process: what is under way finishes, what is idle goes, what is stuck is cut and counted.

use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::support::{Manifest, Message, Origin, PATIENCE, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An origin that says when it has got a request, and answers when it is told to; the first half of the answer is sent
/// at once if `begin` is not empty.
fn waiting(begin: &'static str, end: &'static str) -> (Origin, Receiver<()>, Sender<()>) {
    let (asked, questions) = channel();
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::raw(move |mut peer| {
        peer.request().unwrap();
        peer.send(begin);
        asked.send(()).unwrap();
        // The test may end without a word.
        if gone.lock().unwrap().recv_timeout(PATIENCE).is_ok() {
            let _ = peer.try_send(end);
        }
    });
    (origin, questions, go)
}

#[test]
fn what_is_under_way_finishes_and_nothing_new_begins() {
    for signal in ["TERM", "INT"] {
        let (origin, questions, go) = waiting("", OK);
        let mut tollgate = Manifest::default().in_front_of(&origin);
        let mut idle = tollgate.client();
        assert_eq!(idle.get("/health/live").status(), 200);
        let mut fresh = tollgate.client();
        let mut busy = tollgate.client();
        busy.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
        questions.recv_timeout(PATIENCE).unwrap();
        tollgate.signal(signal);
        assert!(idle.is_closed(), "an idle connection is closed");
        assert!(fresh.is_closed(), "so is one that has not been used yet");
        eventually("new connections are refused", || TcpStream::connect(tollgate.address).is_err());
        go.send(()).unwrap();
        let response = busy.receive();
        assert_eq!((response.text().as_str(), response.field("connection")), ("ok", Some("close")));
        assert!(busy.is_closed());
        assert_eq!(tollgate.wait(), Some(0));
        assert!(tollgate.has_logged(&["all exchanges have ended"]));
    }
}

#[test]
fn a_stream_and_an_upload_that_are_under_way_finish() {
    let (origin, questions, go) = waiting(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        "4\r\nlast\r\n0\r\n\r\n",
    );
    let mut tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    questions.recv_timeout(PATIENCE).unwrap();
    let mut response = Message::read_head(&mut client.stream).unwrap();
    tollgate.signal("TERM");
    eventually("new connections are refused", || TcpStream::connect(tollgate.address).is_err());
    go.send(()).unwrap();
    response.read_content(&mut client.stream);
    assert_eq!(response.text(), "firstlast");
    assert_eq!(tollgate.wait(), Some(0));

    let (origin, _requests) = Origin::recording(OK);
    let mut tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 8\r\n\r\nhalf");
    eventually("the upload has begun", || origin.connections() == 1);
    tollgate.signal("TERM");
    eventually("new connections are refused", || TcpStream::connect(tollgate.address).is_err());
    assert_eq!(client.send("half").receive().text(), "ok");
    assert_eq!(tollgate.wait(), Some(0));
}

#[test]
fn what_does_not_end_in_time_is_cut_and_counted() {
    let (origin, questions, _go) = waiting("", OK);
    let mut tollgate =
        Manifest { process: "shutdown-timeout: 300ms", ..Manifest::default() }.in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    questions.recv_timeout(PATIENCE).unwrap();
    let begun = std::time::Instant::now();
    tollgate.signal("TERM");
    assert_eq!(tollgate.wait(), Some(1));
    assert!(begun.elapsed().as_millis() >= 300);
    assert!(tollgate.has_logged(&["1 connections were cut"]));
    assert!(client.is_closed());
}

#[test]
fn a_second_signal_ends_the_wait() {
    let (origin, questions, _go) = waiting("", OK);
    let mut tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    questions.recv_timeout(PATIENCE).unwrap();
    tollgate.signal("TERM");
    eventually("it drains", || tollgate.has_logged(&["shutting down"]));
    tollgate.signal("INT");
    assert_eq!(tollgate.wait(), Some(1));
}

#[test]
fn a_client_that_keeps_half_a_head_does_not_keep_the_process() {
    let origin = Origin::working();
    let mut tollgate =
        Manifest { listener: "timeouts: {header: 500ms}", ..Manifest::default() }.in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost:");
    tollgate.signal("TERM");
    assert_eq!(tollgate.wait(), Some(0));
    assert!(client.is_closed());
}
