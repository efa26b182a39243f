//! Reloads under traffic: what changes and what stays, what is refused and why, and that nobody who sends requests
//! notices.

mod asked;
mod broken;
mod endpoints;
mod load;
mod remembered;
mod watched;

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;

use crate::support::script::{Script, chain};
use crate::support::{Client, Message, Origin, PATIENCE, Tollgate, eventually};

/// A manifest with an administration interface, in front of an origin, with further lines of its own (`filters:` and
/// so on).
fn manifest(origin: &Origin, more: &str) -> String {
    manifest_with(&format!("main: {{endpoints: [\"{}\"]}}", origin.url()), "LISTENER", more)
}

/// The same with these upstreams, in flow style, and this listener.
fn manifest_with(upstreams: &str, listener: &str, more: &str) -> String {
    format!(
        "version: 1\nadmin: {{address: \"127.0.0.1:0\"}}\nlisteners:\n  - {listener}\nupstreams:\n  {upstreams}\n\
         routes:\n  - {{match: {{path: /metrics}}, serve: metrics}}\n  \
         - {{match: {{path-prefix: /health/}}, serve: health}}\n  - {{match: {{}}, upstream: main}}\n{more}\n"
    )
}

/// Tollgate with two workers, so that one could differ from the other, and that reloads only when it is asked to.
fn start(manifest: &str) -> Tollgate {
    Tollgate::start_with(manifest, &["--workers", "2", "--no-watch"], |_| {})
}

/// What `POST /reload` answers.
fn reload(tollgate: &Tollgate) -> Message {
    Client::connect(tollgate.admin()).post("/reload", "", "")
}

/// Reloads another manifest, which must be taken; the report.
fn change(tollgate: &Tollgate, manifest: &str) -> Value {
    tollgate.replace_manifest(manifest);
    let response = reload(tollgate);
    assert_eq!(response.status(), 200, "{}", response.text());
    let report = response.json();
    assert_eq!(report["result"], "applied", "{report}");
    report
}

/// Reloads, which must be refused; all that is said to be wrong.
fn refused(tollgate: &Tollgate) -> String {
    let response = reload(tollgate);
    assert_eq!(response.status(), 422, "{}", response.text());
    let report = response.json();
    assert_eq!(report["result"], "refused", "{report}");
    let errors = report["errors"].as_array().expect("errors").iter();
    errors.map(|error| error.as_str().expect("text")).collect::<Vec<_>>().join("\n")
}

/// A filter that writes its version into the request on its way up, and into the response on its way down.
fn versioned(name: &str, version: &str) -> Script {
    Script::new(name)
        .on("on-request", &format!(r#"(call $request.set-header "x-up-{name}" "{version}" (i32.const 16))"#))
        .on(
            "on-response",
            &format!(r#"(call $response.set-header "x-down-{name}" "{version}" (i32.const 16))"#),
        )
}

/// A filter that answers with what it counted in a shared cell, and in its own memory.
fn counter(name: &str) -> Script {
    Script::new(name).on(
        "on-request",
        r#"(i32.store (i32.const 256) (i32.add (i32.const 1) (i32.load (i32.const 256))))
           (call $put-number (call $cell.add (call $cell.open "count") (i64.const 1))) (call $put " ")
           (call $put-int (i32.load (i32.const 256)))
           (return (call $answer))"#,
    )
}

/// An origin that answers with the fields that it got, a line each.
fn mirror() -> Origin {
    Origin::answering(|request| {
        let content: String =
            request.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{content}", content.len()).into_bytes()
    })
}

/// An origin that answers `ok`, and a request for `/wait` only when it is told to; before, it says that there is one.
fn waiting() -> (Origin, Receiver<()>, Sender<()>) {
    let (asked, questions) = channel();
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::answering(move |request| {
        if request.start.contains("/wait") {
            asked.send(()).unwrap();
            // The test may end without a word.
            let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
        }
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()
    });
    (origin, questions, go)
}
