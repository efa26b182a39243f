//! How busy the process is, measured natively.

pub use crate::bindings::tollgate::filter::pressure::Snapshot;
use crate::host::pressure as host;

/// The newest measurement, at most a second old.
pub fn read() -> Snapshot {
    host::read()
}
