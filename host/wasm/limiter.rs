//! The cap on an instance's memory.

use wasmtime::ResourceLimiter;

/// Table elements an instance may have: more than any language's runtime uses for its functions.
const MAX_TABLE: usize = 100_000;

/// Counts the bytes of an instance's linear memories, and refuses growth past the cap.
#[derive(Debug)]
pub(super) struct Limiter {
    cap: usize,
    used: usize,
    settled: usize,
    refused: bool,
}

impl Limiter {
    pub(super) fn new(cap: u64) -> Self {
        Self { cap: usize::try_from(cap).unwrap_or(usize::MAX), used: 0, settled: usize::MAX, refused: false }
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
        let used = self.used + desired.saturating_sub(current);
        let granted = used <= self.cap && maximum.is_none_or(|maximum| desired <= maximum);
        if granted {
            self.used = used;
        } else {
            self.refused = true;
        }
        Ok(granted)
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
