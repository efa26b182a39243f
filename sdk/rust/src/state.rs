//! Numbers shared by all instances of this filter, on all workers. They outlive instances, traps and reloads.

use crate::host::state as host;

/// One shared number. Every operation is atomic, and all workers see them in one order.
pub struct Cell(host::Cell);

impl Cell {
    /// The cell of that name, made with 0 if there was none. More than 65536 cells, or a name of more than 256 bytes,
    /// trap. Open a cell once and keep it: opening costs more than using it.
    #[must_use]
    pub fn open(key: &str) -> Self {
        Self(host::Cell::open(key))
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.get()
    }

    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.set(value);
    }

    /// Adds, wrapping around, and returns the sum.
    pub fn add(&self, delta: i64) -> i64 {
        self.0.add(delta)
    }

    /// Replaces the value if it equals `expected`.
    ///
    /// # Errors
    /// The value found, when it was another.
    pub fn compare_exchange(&self, expected: i64, replacement: i64) -> Result<(), i64> {
        match self.0.compare_exchange(expected, replacement) {
            found if found == expected => Ok(()),
            found => Err(found),
        }
    }
}
