//! The cap on an instance's memory.

use wasmtime::ResourceLimiter;

/// Table elements an instance may have: more than any language's runtime uses for its functions.
const MAX_TABLE: usize = 100_000;

/// Counts the bytes of an instance's linear memories, and refuses growth past the cap.
#[derive(Debug)]
pub(super) struct Limiter {
    cap: usize,
    used: usize,
    /// By how much a memory is about to grow.
    growing: usize,
    settled: usize,
    refused: bool,
}

impl Limiter {
    pub(super) fn new(cap: u64) -> Self {
        Self {
            cap: usize::try_from(cap).unwrap_or(usize::MAX),
            used: 0,
            growing: 0,
            settled: usize::MAX,
            refused: false,
        }
    }

    /// The instance has started: what it uses now is what it needs.
    pub(super) fn settle(&mut self) {
        self.settled = self.used;
    }

    /// True if one large exchange has left the instance with much more memory than it needs: a linear memory never
    /// shrinks.
    pub(super) fn is_bloated(&self) -> bool {
        self.used > self.cap / 2 && self.used / 2 > self.settled
    }

    /// A new call begins.
    pub(super) fn begin(&mut self) {
        self.refused = false;
    }

    /// True if growth was refused in this call. A guest's allocator makes a trap of it; this tells that trap from others.
    pub(super) fn has_refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = desired.saturating_sub(current);
        let used = self.used.checked_add(grown).filter(|used| *used <= self.cap);
        let granted = used.filter(|_| maximum.is_none_or(|maximum| desired <= maximum));
        match granted {
            Some(used) => (self.used, self.growing) = (used, grown),
            None => (self.refused, self.growing) = (true, 0),
        }
        Ok(granted.is_some())
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // It was granted, and the system had none to give; or it was refused here, and nothing is growing.
        self.used -= std::mem::take(&mut self.growing).min(self.used);
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE && maximum.is_none_or(|maximum| desired <= maximum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn no_sum_of_grants_passes_the_cap() {
        let mut limiter = Limiter::new(4 * PAGE as u64);
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!limiter.memory_growing(PAGE, usize::MAX - PAGE + 1, None).unwrap());
        assert!(!limiter.memory_growing(0, 3 * PAGE, None).unwrap() && limiter.has_refused());
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert_eq!(limiter.used, 4 * PAGE);
    }

    #[test]
    fn what_could_not_grow_does_not_count() {
        let mut limiter = Limiter::new(4 * PAGE as u64);
        assert!(limiter.memory_growing(0, 3 * PAGE, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("none left")).unwrap();
        assert!(limiter.memory_growing(0, 4 * PAGE, None).unwrap());
        assert!(!limiter.memory_growing(4 * PAGE, 5 * PAGE, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("refused")).unwrap();
        assert_eq!(limiter.used, 4 * PAGE);
    }
}
