//! The filter as the host runs it: head first, then body.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a panic fails the test; tables are long"
)]

mod bypasses;
mod conversation;
mod rules;

use filter_policy::Policy;
use serde_json::Value;
use tollgate_sdk::Verdict;
use tollgate_sdk::testing::{Exchange, Host};

fn policy(config: Value) -> Policy {
    Host::new().configure(config).expect("a config")
}

fn problem(config: Value) -> String {
    Host::new().configure::<Policy>(config.clone()).err().unwrap_or_else(|| panic!("{config} was accepted"))
}

fn get(path: &str) -> Exchange {
    Host::new().exchange().path(path)
}

fn post(path: &str, body: impl ToString) -> Exchange {
    get(path).method("POST").header("content-type", "application/json").body(body.to_string())
}

/// Status and code of the filter's answer; none if the request passes.
fn answer(policy: &Policy, mut exchange: Exchange) -> Option<(u16, String)> {
    let passed = exchange.on_request(policy) == Verdict::Proceed
        && exchange.on_request_body(policy) == Verdict::Proceed;
    (!passed).then(|| exchange.reply().map(|reply| (reply.status, reply.code.clone())).expect("a reply"))
}

fn denied(policy: &Policy, exchange: Exchange) -> bool {
    answer(policy, exchange).is_some()
}

/// The one detail of the filter's answer.
fn detail(policy: &Policy, mut exchange: Exchange) -> String {
    assert_eq!(exchange.on_request(policy), Verdict::Proceed);
    assert_eq!(exchange.on_request_body(policy), Verdict::Respond);
    exchange.reply().and_then(|reply| reply.details.first().cloned()).expect("a detail")
}
