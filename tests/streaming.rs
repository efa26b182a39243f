//! Bodies on their way: nothing waits for what comes later, nobody waits for who has left, and memory does not grow.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::{Client, Manifest, Message, Origin, PATIENCE, Peer, Tollgate, eventually, message};

const MIB: usize = 1 << 20;
const GIB4: u64 = 4 << 30;
/// What the process may ever have used, whatever goes through it.
const MEMORY: u64 = 64 << 20;

fn one_worker(origin: &Origin) -> Tollgate {
    Manifest::default().in_front_of_url(&origin.url(), &["--workers", "1"])
}

fn assert_small(tollgate: &Tollgate) {
    let memory = tollgate.memory("VmHWM");
    assert!(memory < MEMORY, "{} MiB", memory >> 20);
}

#[test]
fn each_event_arrives_before_the_next_is_sent() {
    let (arrived, arrivals) = channel::<()>();
    let arrivals = Mutex::new(arrivals);
    let origin = Origin::raw(move |mut peer| {
        peer.request().unwrap();
        peer.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for number in 0..5 {
            peer.send(format!("9\r\ndata: {number}\n\n\r\n"));
            arrivals.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        peer.send("0\r\n\r\n");
    });
    let tollgate = one_worker(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\naccept: text/event-stream\r\n\r\n");
    let head = Message::read_head(&mut client.stream).unwrap();
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    for number in 0..5 {
        let event: Vec<_> = (0..3).map(|_| read_until_newline(&mut client)).collect();
        assert_eq!(event.concat(), format!("9\r\ndata: {number}\n\n"));
        assert_eq!(read_until_newline(&mut client), "\r\n");
        arrived.send(()).unwrap();
    }
    assert_eq!(message::read_line(&mut client.stream).as_deref(), Some("0"));
}

fn read_until_newline(client: &mut Client) -> String {
    let mut line = String::new();
    std::io::BufRead::read_line(&mut client.stream, &mut line).unwrap();
    line
}

#[test]
fn a_request_streams_while_its_response_does() {
    let origin = Origin::raw(|mut peer| {
        Message::read_head(&mut peer.stream).unwrap();
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        // An echo, chunk by chunk: what comes in is framed as what goes out.
        loop {
            let size = message::read_line(&mut peer.stream).unwrap();
            let data = message::read_line(&mut peer.stream).unwrap();
            peer.send(format!("{size}\r\n{data}\r\n"));
            if size == "0" {
                return;
            }
        }
    });
    let tollgate = one_worker(&origin);
    let mut client = tollgate.client();
    client.send("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n");
    Message::read_head(&mut client.stream).unwrap();
    for word in ["one", "two", "six"] {
        client.send(format!("3\r\n{word}\r\n"));
        assert_eq!(message::read_line(&mut client.stream).as_deref(), Some("3"));
        assert_eq!(message::read_line(&mut client.stream).as_deref(), Some(word));
    }
    client.send("0\r\n\r\n");
    assert_eq!(message::read_line(&mut client.stream).as_deref(), Some("0"));
}

#[test]
fn a_client_that_leaves_ends_the_attempt_while_the_origin_is_thinking() {
    let (sender, seen) = channel();
    let origin = Origin::raw(move |mut peer| {
        peer.request().unwrap();
        sender.send("asked").unwrap();
        assert_over(&mut peer);
        sender.send("over").unwrap();
    });
    let tollgate = one_worker(&origin);
    for request in
        ["GET / HTTP/1.1\r\nhost: t\r\n\r\n", "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\nabc"]
    {
        let mut client = tollgate.client();
        client.send(request);
        assert_eq!(seen.recv_timeout(PATIENCE), Ok("asked"));
        drop(client);
        assert_eq!(seen.recv_timeout(PATIENCE), Ok("over"));
    }
    eventually("it is counted", || {
        tollgate.metric("tollgate_errors_total{provider=\"main\",type=\"client_gone\"}") == 2.0
    });
    assert!(tollgate.has_logged(&["\"statusCode\":499", "client-gone"]));
}

#[test]
fn a_client_that_leaves_ends_the_stream() {
    let (sender, seen) = channel();
    let origin = Origin::raw(move |mut peer| {
        peer.request().unwrap();
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n");
        assert_over(&mut peer);
        sender.send(()).unwrap();
    });
    let tollgate = one_worker(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    Message::read_head(&mut client.stream).unwrap();
    drop(client);
    seen.recv_timeout(PATIENCE).unwrap();
    eventually("the exchange is over", || tollgate.metric("tollgate_active_requests") == 0.0);
}

fn assert_over(peer: &mut Peer) {
    let end = peer.stream.read(&mut [0]);
    assert!(
        matches!(&end, Ok(0)) || end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{end:?}"
    );
}

#[test]
fn four_gibibytes_come_down_in_little_memory() {
    let origin = Origin::raw(|mut peer| {
        peer.request().unwrap();
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {GIB4}\r\n\r\n"));
        let mebibyte = vec![b'x'; MIB];
        (0..GIB4 / MIB as u64).for_each(|_| peer.send(&mebibyte));
    });
    let tollgate = one_worker(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    let head = Message::read_head(&mut client.stream).unwrap();
    assert_eq!(head.field("content-length"), Some("4294967296"));
    assert_eq!(count(&mut client.stream), GIB4);
    assert_small(&tollgate);
}

#[test]
fn four_gibibytes_go_up_in_little_memory() {
    let origin = Origin::raw(|mut peer| {
        let head = Message::read_head(&mut peer.stream).unwrap();
        assert_eq!(head.field("content-length"), Some("4294967296"));
        assert_eq!(count(&mut (&mut peer.stream).take(GIB4)), GIB4);
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let tollgate = one_worker(&origin);
    let mut client = tollgate.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: {GIB4}\r\n\r\n"));
    let mebibyte = vec![b'x'; MIB];
    (0..GIB4 / MIB as u64).for_each(|_| {
        client.send(&mebibyte);
    });
    assert_eq!(client.receive().status(), 200);
    assert_small(&tollgate);
}

/// How many bytes there are up to the end.
fn count(stream: &mut impl Read) -> u64 {
    let mut buffer = vec![0; MIB];
    let mut all = 0;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return all,
            read => all += read as u64,
        }
    }
}

/// More than all buffers on the way can hold.
const MUCH: u64 = 256 << 20;

#[test]
fn a_client_that_reads_slowly_holds_the_origin_back() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let origin = Origin::raw(move |mut peer| {
        peer.request().unwrap();
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n"));
        push(peer.stream.get_mut(), &counter);
    });
    let tollgate = one_worker(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    Message::read_head(&mut client.stream).unwrap();
    assert_comes_to_a_stop(&sent);
    assert_eq!(count(&mut client.stream), MUCH);
    assert_small(&tollgate);
}

#[test]
fn an_origin_that_reads_slowly_holds_the_client_back() {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::raw(move |mut peer| {
        Message::read_head(&mut peer.stream).unwrap();
        gone.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        assert_eq!(count(&mut (&mut peer.stream).take(MUCH)), MUCH);
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let tollgate = one_worker(&origin);
    let mut client = tollgate.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: {MUCH}\r\n\r\n"));
    let sent = Arc::new(AtomicU64::new(0));
    let (mut socket, counter) = (client.stream.get_ref().try_clone().unwrap(), sent.clone());
    let pushing: JoinHandle<()> = std::thread::spawn(move || push(&mut socket, &counter));
    assert_comes_to_a_stop(&sent);
    go.send(()).unwrap();
    assert_eq!(client.receive().status(), 200);
    pushing.join().unwrap();
    assert_small(&tollgate);
}

fn push(socket: &mut impl Write, sent: &AtomicU64) {
    let piece = vec![b'x'; 64 << 10];
    while sent.load(Ordering::SeqCst) < MUCH {
        socket.write_all(&piece).unwrap();
        sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
}

/// Waits until nothing moves any more, well before all of it has been sent.
fn assert_comes_to_a_stop(sent: &AtomicU64) {
    let mut before = 0;
    eventually("the sender is held back", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = sent.load(Ordering::SeqCst);
        std::mem::replace(&mut before, now) == now && now > 0
    });
    assert!(before < MUCH / 2, "{} MiB are on their way", before >> 20);
}
