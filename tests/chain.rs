//! The chain: which filter is called when, what it sees, what it may change, and what its answers amount to.

mod attempts;
mod body;
mod ending;
mod heads;
mod isolation;
mod order;
mod reply;
mod replay;
mod response;
mod shadow;
mod state;

use crate::support::script::{Script, chain};
use crate::support::{Message, Origin, Tollgate};

/// A response with that content and its length.
fn ok(content: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{content}", content.len()).into_bytes()
}

/// An origin that answers with the request as it got it: start line, a line for each field, an empty line, content.
fn mirror() -> Origin {
    Origin::answering(|request| {
        let fields: String = request.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        ok(&format!("{}\n{fields}\n{}", request.start, request.text()))
    })
}

/// Tollgate with one filter in front of an origin.
fn with(origin: &Origin, filter: &Script) -> Tollgate {
    Tollgate::in_front_of(origin, &chain(&[filter.entry("")]), "")
}

/// What a filter that answers every GET says.
fn said(filter: &Script) -> Message {
    with(&Origin::working(), filter).get("/path?query")
}

/// What filters have logged: the filter's name, and the line.
fn logged(tollgate: &Tollgate) -> Vec<(String, String)> {
    let events = tollgate.output().into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    let own = events.filter(|event| event["filter"].is_string() && event["phase"].is_null());
    own.map(|event| (event["filter"].as_str().unwrap().into(), event["msg"].as_str().unwrap().into())).collect()
}
