//! The cast of a test: Tollgate itself, an origin behind it, a client in front of it.

pub mod client;
pub mod guest;
pub mod manifest;
pub mod message;
pub mod origin;
pub mod script;
pub mod tollgate;

pub use client::Client;
pub use manifest::Manifest;
pub use message::Message;
pub use origin::{Origin, Peer};
pub use tollgate::Tollgate;

use std::time::{Duration, Instant};

/// How long anything in a test may take before the test fails: much longer than it should, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is so; the test fails if it is not so within [`PATIENCE`].
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never came about that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
