//! What the deep health check shows for this filter.

pub use crate::bindings::tollgate::filter::health::Status;
use crate::host::health as host;

/// Reports the state of `check`, replacing the report before. More than 64 checks trap.
pub fn report(check: &str, status: Status, detail: &str) {
    host::report(check, status, detail);
}
