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

/// A call was still waiting when its time was up.
#[derive(Debug)]
pub(super) struct WaitedTooLong;

impl fmt::Display for WaitedTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call waited longer than `limits.wait`, or than the exchange had time")
    }
}

impl std::error::Error for WaitedTooLong {}

impl Fault {
    /// Sorts what `wasmtime` reports. `refused`: the instance was refused memory before.
    pub(super) fn from_error(error: &wasmtime::Error, refused: bool) -> Self {
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => FaultKind::Timeout,
            _ if error.is::<WaitedTooLong>() => FaultKind::Timeout,
            _ if refused => FaultKind::Memory,
            _ => FaultKind::Trap,
        };
        let message = match kind {
            FaultKind::Timeout if error.is::<WaitedTooLong>() => WaitedTooLong.to_string(),
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
