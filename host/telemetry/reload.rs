//! What became of reloads. There is one at a time, and seldom: these figures are shared.

use std::array;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use super::label::{Label, ReloadResult};

/// The figures of all reloads.
pub(super) struct Reloads {
    results: [AtomicU64; ReloadResult::COUNT],
    refused: AtomicBool,
    /// Milliseconds since the Unix epoch.
    succeeded: AtomicU64,
}

impl Default for Reloads {
    /// The manifest that a process starts with is its first success.
    fn default() -> Self {
        let results = array::from_fn(|_| AtomicU64::default());
        Self { results, refused: AtomicBool::new(false), succeeded: AtomicU64::new(now()) }
    }
}

impl Reloads {
    pub(super) fn count(&self, result: ReloadResult) {
        if let Some(count) = self.results.get(result.index()) {
            count.fetch_add(1, Relaxed);
        }
        let refused = result == ReloadResult::Refused;
        self.refused.store(refused, Relaxed);
        if !refused {
            self.succeeded.store(now(), Relaxed);
        }
    }

    /// How often each result came about.
    pub(super) fn counts(&self) -> impl Iterator<Item = (ReloadResult, u64)> {
        ReloadResult::ALL.iter().copied().zip(self.results.iter().map(|count| count.load(Relaxed)))
    }

    /// True if the newest manifest is the one that runs.
    pub(super) fn last_was_successful(&self) -> bool {
        !self.refused.load(Relaxed)
    }

    /// When a manifest was taken for the last time, in seconds since the Unix epoch.
    pub(super) fn last_success(&self) -> f64 {
        self.succeeded.load(Relaxed) as f64 / 1000.0
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
