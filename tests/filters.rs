//! The five shipped filters at work: each promise of theirs, shown with an upstream that fails as told.

mod breaker;
mod policy;
mod retry;
mod shedding;
mod validation;

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

/// An origin whose requests for `/hang` are answered with 200 once the sender sends, or is dropped.
fn origin_that_hangs() -> (Origin, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let origin = Origin::answering(move |request| {
        if request.start.contains("/hang") {
            // The sender is gone when the test is over.
            let _ = released.lock().unwrap().recv();
        }
        response(200, "", "at last")
    });
    (origin, release)
}

/// Tollgate in front of an endpoint, with further keys of the upstream (each on a line of its own), and with filters.
fn in_front_of(endpoint: &str, upstream: &str, filters: &str, arguments: &[&str]) -> Tollgate {
    let upstream: String = upstream.lines().map(|line| format!("    {line}\n")).collect();
    let manifest = format!(
        "version: 1\nlisteners:\n  - LISTENER\nupstreams:\n  main:\n    endpoints: [\"{endpoint}\"]\n{upstream}{filters}\n\
         routes:\n  - match: {{path: /metrics}}\n    serve: metrics\n  - match: {{path-prefix: /health/}}\n    \
         serve: health\n  - match: {{path-prefix: /}}\n    upstream: main\n\
         telemetry: {{log: {{level: debug}}}}\n"
    );
    Tollgate::start_with(&manifest, arguments, |_| {})
}

/// An entry of `filters:`, with limits that a busy machine keeps.
fn filter(name: &str, config: &str) -> String {
    format!(
        "  - name: {name}\n    component: builtin:{name}\n    limits: {{time: 2s, memory: 64MiB}}\n    config: {config}\n"
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
fn code(response: &Message) -> String {
    response.json()["code"].as_str().expect("a code").to_owned()
}

/// What `retry-after` asks for, in seconds.
fn retry_after(response: &Message) -> u64 {
    response.field("retry-after").expect("a `retry-after` field").parse().expect("seconds")
}
