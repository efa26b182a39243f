//! What all workers of a host under test share: state, metrics, health, log, clock, random numbers and pressure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::LogLine;
use super::figures::Figures;
use crate::health::Status;
#[cfg(feature = "http")]
use crate::http::{Request, Response, SendError};
use crate::pressure::Snapshot;

const MAX_CELLS: usize = 65536;
const MAX_CELL_NAME: usize = 256;
/// 2023-11-14 22:13:20 UTC.
const UNIX_START_MILLIS: u64 = 1_700_000_000_000;
/// Not 0, so that a filter that takes 0 for "never" is found out.
const MONOTONIC_START_MICROS: u64 = 1_000_000;

/// Who answers the filter's own requests.
#[cfg(feature = "http")]
pub(super) type Responder = Arc<dyn Fn(&Request) -> Result<Response, SendError> + Send + Sync>;

/// Everything behind a [`Host`](super::Host).
pub(super) struct Shared {
    cells: Mutex<BTreeMap<String, Arc<AtomicI64>>>,
    pub(super) figures: Mutex<Figures>,
    pub(super) checks: Mutex<BTreeMap<String, (Status, String)>>,
    pub(super) logs: Mutex<Vec<LogLine>>,
    pub(super) pressure: Mutex<Snapshot>,
    #[cfg(feature = "http")]
    pub(super) responder: Mutex<Option<Responder>>,
    elapsed_micros: AtomicU64,
    random: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        let idle =
            Snapshot { memory: 0.0, heap: 0.0, cpu: 0.0, active_exchanges: 1, scheduling_delay_micros: 0 };
        Self {
            cells: Mutex::default(),
            figures: Mutex::default(),
            checks: Mutex::default(),
            logs: Mutex::default(),
            pressure: Mutex::new(idle),
            #[cfg(feature = "http")]
            responder: Mutex::default(),
            elapsed_micros: AtomicU64::new(0),
            random: AtomicU64::new(0),
        }
    }
}

impl Shared {
    /// The cell of that name, made with 0 if there was none.
    ///
    /// # Errors
    /// Why the host would trap.
    pub(super) fn open_cell(&self, key: &str) -> Result<Arc<AtomicI64>, String> {
        let mut cells = lock(&self.cells);
        if key.len() > MAX_CELL_NAME {
            return Err(format!("the name of a cell has more than {MAX_CELL_NAME} bytes"));
        }
        if cells.len() >= MAX_CELLS && !cells.contains_key(key) {
            return Err(format!("more than {MAX_CELLS} cells"));
        }
        Ok(Arc::clone(cells.entry(key.to_owned()).or_default()))
    }

    pub(super) fn cell(&self, key: &str) -> Option<i64> {
        lock(&self.cells).get(key).map(|cell| cell.load(Ordering::SeqCst))
    }

    pub(super) fn advance(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.elapsed_micros.fetch_add(micros, Ordering::SeqCst);
    }

    pub(super) fn monotonic_micros(&self) -> u64 {
        MONOTONIC_START_MICROS + self.elapsed_micros.load(Ordering::SeqCst)
    }

    pub(super) fn unix_millis(&self) -> u64 {
        UNIX_START_MILLIS + self.elapsed_micros.load(Ordering::SeqCst) / 1000
    }

    pub(super) fn seed(&self, seed: u64) {
        self.random.store(seed, Ordering::SeqCst);
    }

    /// The next number of SplitMix64.
    pub(super) fn next_random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut word = self.random.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

/// Locks, also after a test's thread panicked while it held the lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
