//! What goes wrong in a filter, sorted.

use std::fmt;

use wasmtime::{Trap, WasmBacktrace};

use crate::telemetry::FaultKind;

/// A filter failed.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The sort.
    pub kind: FaultKind,
    /// In words, for the log.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// Sorts what `wasmtime` reports. `refused`: the instance was refused memory before.
    pub(super) fn from_error(error: &wasmtime::Error, refused: bool) -> Self {
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => FaultKind::Timeout,
            _ if refused => FaultKind::Memory,
            _ => FaultKind::Trap,
        };
        let message = match kind {
            FaultKind::Timeout => "the call took longer than `limits.time`".into(),
            FaultKind::Memory => "the guest wanted more memory than `limits.memory`".into(),
            _ => one_line(error),
        };
        Self { kind, message }
    }
}

/// What went wrong, and where in the guest, if it was there.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    let text = match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => format!("{}; {backtrace}", error.root_cause()),
        None => format!("{error:#}"),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
