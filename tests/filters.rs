//! The five shipped filters at work: each promise of theirs, shown with an upstream that fails as told.

mod breaker;
mod policy;
mod retry;
mod shedding;
mod validation;

use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use crate::support::{Message, Origin, Tollgate, eventually};

/// The bytes of a response with this status, with further fields (each ending in CRLF) and content.
fn response(status: u16, fields: &str, content: &str) -> Vec<u8> {
    let length = content.len();
    format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n{fields}\r\n{content}").into_bytes()
}

/// An origin that answers every request with the status that is in the cell at that moment.
fn origin_with_status(status: u16) -> (Origin, Arc<AtomicU16>) {
    let told = Arc::new(AtomicU16::new(status));
    let cell = told.clone();
    (Origin::answering(move |_| response(cell.load(Ordering::SeqCst), "", "as told")), told)
}

/// An origin that breaks off its answers to `/break`, and answers those to `/hang` once the sender sends, or is dropped.
fn origin_that_hangs() -> (Origin, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let origin = Origin::raw(move |mut peer| {
        while let Some(request) = peer.request() {
            if request.start.contains("/break") {
                return peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            }
            if request.start.contains("/hang") {
                // The sender is gone when the test is over, and so may Tollgate be.
                let _ = released.lock().unwrap().recv();
            }
            if peer.try_send(response(200, "", "at last")).is_err() {
                return;
            }
        }
    });
    (origin, release)
}

/// A chain of these filters, as the manifest's keys; debug lines are logged.
fn chain(filters: &[(&str, &str)]) -> String {
    let entries: String = filters.iter().map(|(name, config)| entry(name, config)).collect();
    format!("filters:\n{entries}telemetry: {{log: {{level: debug}}}}\n")
}

/// An entry of `filters:`, with limits that hold on a busy machine.
fn entry(name: &str, config: &str) -> String {
    format!(
        "  - {{name: {name}, component: \"builtin:{name}\", limits: {{time: 2s, memory: 64MiB}}, config: {config}}}\n"
    )
}

/// An address that refuses connections, for as long as the socket lives.
fn refusing() -> (socket2::Socket, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Bound, but not listening: nobody else can have the port.
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, format!("http://{address}"))
}

/// Waits until all exchanges are over for the filters, too: that is a little after the client has its answer.
fn settle(tollgate: &Tollgate) {
    eventually("no exchange is in flight", || tollgate.metric("tollgate_active_requests") == 0.0);
}

/// The stable code of an answer in the default shape.
pub fn code(response: &Message) -> String {
    response.json()["code"].as_str().expect("a code").to_owned()
}

/// What `retry-after` asks for, in seconds.
pub fn retry_after(response: &Message) -> u64 {
    response.field("retry-after").expect("a `retry-after` field").parse().expect("seconds")
}

/// Gives Tollgate a limit of 64 GiB to its heap: ever so little of it is in use.
pub fn limit_heap(tollgate: &Tollgate) {
    let pid = tollgate.pid.to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--data=68719476736"]).status().unwrap();
    assert!(limited.success());
}
