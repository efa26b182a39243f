//! Every promise, driven through the real binary over real sockets. One test binary; a test's name is a sentence; ports
//! are the system's choice; a server that a test plays panics in the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]

mod support;

mod balance;
mod chain;
mod cli;
mod clients;
mod contract;
mod default;
mod doors;
mod examples;
mod filters;
mod forwarding;
mod framing;
mod hardening;
mod limits;
mod misbehaviour;
mod mutations;
mod peers;
mod pool;
mod reload;
mod shutdown;
mod smoke;
mod smuggling;
mod streaming;
mod waiting;
