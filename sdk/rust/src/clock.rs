//! The host's clocks. The standard library's panic on `wasm32-unknown-unknown`: use these.

use std::time::{Duration, SystemTime};

use crate::host::clock as host;

/// Monotonic, in microseconds from an arbitrary start that all workers of the process share.
pub fn now() -> Duration {
    Duration::from_micros(host::now_micros())
}

/// The time of day, in milliseconds.
pub fn system_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(host::unix_millis())
}
