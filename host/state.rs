//! What filters remember: named numbers, one set a filter, shared by all workers. They belong to the host, so a trap,
//! a reload or a fresh instance loses nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How many cells one filter may have. A bound, because names may come from what clients send.
pub const MAX_CELLS: usize = 65_536;
/// How long a cell's name may be, in bytes.
pub const MAX_KEY: usize = 256;

/// One shared number. Clones are the same number; every operation is atomic and sequentially consistent, so that a
/// filter author needs no memory model to reason about two cells.
#[derive(Debug, Clone, Default)]
pub struct Cell(Arc<AtomicI64>);

impl Cell {
    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Replaces the number.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::SeqCst);
    }

    /// Adds, wrapping around, and returns the sum.
    pub fn add(&self, delta: i64) -> i64 {
        self.0.fetch_add(delta, Ordering::SeqCst).wrapping_add(delta)
    }

    /// Replaces the number if it is `expected`; returns the number found.
    pub fn compare_exchange(&self, expected: i64, replacement: i64) -> i64 {
        match self.0.compare_exchange(expected, replacement, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(found) | Err(found) => found,
        }
    }
}

/// Why a cell could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellError {
    /// The filter has [`MAX_CELLS`] already.
    Full,
    /// The name is longer than [`MAX_KEY`].
    KeyTooLong,
}

impl fmt::Display for CellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "the filter has {MAX_CELLS} cells already"),
            Self::KeyTooLong => write!(f, "the cell's name is longer than {MAX_KEY} bytes"),
        }
    }
}

impl std::error::Error for CellError {}

/// All cells of one filter.
#[derive(Debug, Default)]
pub struct Cells(RwLock<HashMap<Box<str>, Cell>>);

impl Cells {
    /// The cell of that name, made with 0 if there was none. A lock is taken here, and only here: instances open a
    /// cell once and keep it.
    pub fn open(&self, key: &str) -> Result<Cell, CellError> {
        if key.len() > MAX_KEY {
            return Err(CellError::KeyTooLong);
        }
        if let Some(cell) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Ok(cell.clone());
        }
        let mut cells = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !cells.contains_key(key) && cells.len() >= MAX_CELLS {
            return Err(CellError::Full);
        }
        Ok(cells.entry(key.into()).or_default().clone())
    }
}

/// How long the cells of a filter that is no longer in the manifest are kept. Long enough to see that taking it out, or
/// naming it anew, was a mistake, and to undo that without closing circuits that were open; short enough that names made
/// up for every deployment do not pile up.
pub const GRACE: Duration = Duration::from_secs(600);

/// The cells of all filters, by name. A filter that is changed, or comes back within [`GRACE`], finds its own.
#[derive(Debug, Default)]
pub struct Registry(Mutex<HashMap<String, Kept>>);

#[derive(Debug, Default)]
struct Kept {
    cells: Arc<Cells>,
    /// When its filter was found to be gone.
    unused_since: Option<Instant>,
}

impl Registry {
    /// The cells of the filter of that name.
    pub fn open(&self, filter: &str) -> Arc<Cells> {
        self.lock().entry(filter.to_owned()).or_default().cells.clone()
    }

    /// Releases the cells of filters that are not among `used`, and have not been for [`GRACE`]. Instances that still
    /// live keep theirs until they end.
    pub fn release_unused(&self, used: &[&str], now: Instant) {
        self.lock().retain(|name, kept| {
            if used.contains(&name.as_str()) {
                kept.unused_since = None;
                return true;
            }
            now.saturating_duration_since(*kept.unused_since.get_or_insert(now)) < GRACE
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        // A map whose holder panicked between two operations is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_comes_back_in_time_finds_its_cells_and_one_that_does_not_begins_anew() {
        let (registry, start) = (Registry::default(), Instant::now());
        let count = |filter: &str| registry.open(filter).open("n").unwrap().add(1);
        assert_eq!((count("a"), count("b")), (1, 1));
        registry.release_unused(&["b"], start);
        registry.release_unused(&["b"], start + GRACE - Duration::from_secs(1));
        assert_eq!((count("a"), count("b")), (2, 2));
        // Back for a moment: the time begins anew.
        registry.release_unused(&["a", "b"], start + GRACE);
        registry.release_unused(&["b"], start + GRACE);
        registry.release_unused(&["b"], start + GRACE + GRACE / 2);
        assert_eq!(count("a"), 3);
        registry.release_unused(&["b"], start + 2 * GRACE);
        assert_eq!((count("a"), count("b")), (1, 3));
    }

    #[test]
    fn the_same_name_is_the_same_number() {
        let cells = Cells::default();
        cells.open("a").unwrap().set(7);
        assert_eq!(cells.open("a").unwrap().add(-2), 5);
        assert_eq!(cells.open("b").unwrap().get(), 0);
    }

    #[test]
    fn adding_wraps_around() {
        let cell = Cell::default();
        cell.set(i64::MAX);
        assert_eq!(cell.add(1), i64::MIN);
    }

    #[test]
    fn an_exchange_that_lost_the_race_says_what_it_found() {
        let cell = Cell::default();
        assert_eq!(cell.compare_exchange(0, 3), 0);
        assert_eq!(cell.compare_exchange(0, 4), 3);
        assert_eq!(cell.get(), 3);
    }

    #[test]
    fn names_and_their_number_are_bounded() {
        let cells = Cells::default();
        assert_eq!(cells.open(&"k".repeat(MAX_KEY + 1)).unwrap_err(), CellError::KeyTooLong);
        for n in 0..MAX_CELLS {
            cells.open(&n.to_string()).unwrap();
        }
        assert_eq!(cells.open("one more").unwrap_err(), CellError::Full);
        assert!(cells.open("0").is_ok(), "what is there can still be opened");
    }

    #[test]
    fn no_addition_is_lost_between_threads() {
        let cells = Arc::new(Cells::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let cells = cells.clone();
                std::thread::spawn(move || {
                    for _ in 0..10_000 {
                        cells.open("n").unwrap().add(1);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(cells.open("n").unwrap().get(), 40_000);
    }
}
