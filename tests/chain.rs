//! The chain: which filter is called when, what it sees, what it may change, and what its answers amount to.

mod attempts;
mod body;
mod ending;
mod heads;
mod isolation;
mod order;
mod replay;
mod reply;
mod response;
mod shadow;
mod state;

use crate::support::script::{Script, chain};
use crate::support::{Message, Origin, Tollgate, eventually};

/// A response with that content and its length.
fn ok(content: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{content}", content.len()).into_bytes()
}

/// An origin that answers with the request as it got it: start line, a line for each field, an empty line, content.
fn mirror() -> Origin {
    Origin::answering(|request| {
        let fields: String =
            request.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
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

/// What filters have logged, once there are so many lines.
fn logged(tollgate: &Tollgate, lines: usize) -> Vec<String> {
    calls(tollgate, lines).into_iter().map(|call| call.split_once(' ').unwrap().1.to_owned()).collect()
}

/// The same, each with the filter's name before it.
fn calls(tollgate: &Tollgate, lines: usize) -> Vec<String> {
    eventually("filters have logged that many lines", || filters_lines(tollgate).len() >= lines);
    filters_lines(tollgate)
}

fn filters_lines(tollgate: &Tollgate) -> Vec<String> {
    let events =
        tollgate.output().into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    let own = events.filter(|event| event["filter"].is_string() && event["phase"].is_null());
    own.map(|event| format!("{} {}", event["filter"].as_str().unwrap(), event["msg"].as_str().unwrap()))
        .collect()
}

/// Waits for a line of the log that has all these words in it: it may come after the answer.
fn assert_logs(tollgate: &Tollgate, words: &[&str]) {
    eventually("it is logged", || tollgate.has_logged(words));
}
