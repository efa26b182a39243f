//! The filter as the host runs it, on request bodies as clients send them, and as they should not.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a panic fails the test; tables are long"
)]

mod builtin;
mod requests;

use filter_validation::Validation;
use tollgate_sdk::Verdict;
use tollgate_sdk::testing::{Exchange, Host, json};

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const MESSAGES: &str = "/v1/messages";

fn filter() -> Validation {
    Host::new().configure(json!({})).expect("the default config")
}

fn post(path: &str, body: impl Into<Vec<u8>>) -> Exchange {
    Host::new().exchange().method("POST").path(path).header("content-type", "application/json").body(body)
}

/// Status, code and details of the filter's answer; none if the request passes.
fn answer(filter: &Validation, mut exchange: Exchange) -> Option<(u16, String, Vec<String>)> {
    match exchange.on_request_body(filter) {
        Verdict::Proceed => None,
        Verdict::Respond => {
            let reply = exchange.reply().expect("a reply");
            Some((reply.status, reply.code.clone(), reply.details.clone()))
        }
    }
}

fn details(filter: &Validation, path: &str, body: &str) -> Vec<String> {
    let (status, code, details) = answer(filter, post(path, body)).unwrap_or_else(|| panic!("{body} passed"));
    assert_eq!((status, code.as_str()), (400, "invalid_request"), "{body}");
    details
}
