//! What an instance has opened: cells and figures, by the numbers that the guest knows them by.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use wasmtime::Result;

use crate::state::Cell;

/// How many handles an instance may hold open at once.
const MAX_HANDLES: usize = 100_000;

/// A figure that only grows.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "generated code re-exports it")]
pub struct Counter(pub(super) Arc<AtomicU64>);

/// A figure that goes up and down: the bits of an `f64`.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "generated code re-exports it")]
pub struct Gauge(pub(super) Arc<AtomicU64>);

/// One thing that is open.
#[derive(Debug, Clone)]
pub(super) enum Handle {
    Cell(Cell),
    Counter(Counter),
    Gauge(Gauge),
}

/// All that is open, by place. Instances that begin with the same share it until they change it.
#[derive(Debug, Clone, Default)]
pub(super) struct Handles(Arc<Table>);

#[derive(Debug, Clone, Default)]
struct Table {
    held: Vec<Option<Handle>>,
    free: Vec<usize>,
}

impl Handles {
    /// Keeps it, and returns its place.
    pub(super) fn hold(&mut self, handle: Handle) -> Result<u32> {
        let table = Arc::make_mut(&mut self.0);
        if let Some(place) = table.free.pop() {
            table.held[place] = Some(handle);
            return Ok(u32::try_from(place)?);
        }
        if table.held.len() >= MAX_HANDLES {
            return Err(wasmtime::Error::msg("the filter holds 100000 handles open already"));
        }
        table.held.push(Some(handle));
        Ok(u32::try_from(table.held.len() - 1)?)
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.0.held.len()
    }

    /// What is at that place.
    pub(super) fn get(&self, place: u32) -> Result<&Handle> {
        self.0.held.get(place as usize).and_then(Option::as_ref).ok_or_else(unknown)
    }

    /// Lets go of what is at that place.
    pub(super) fn let_go(&mut self, place: u32) -> Result<()> {
        let table = Arc::make_mut(&mut self.0);
        let place = place as usize;
        table.held.get_mut(place).and_then(Option::take).ok_or_else(unknown)?;
        table.free.push(place);
        Ok(())
    }
}

/// The guest's handle is not, or is another thing's.
pub(super) fn unknown() -> wasmtime::Error {
    wasmtime::Error::msg("no such handle")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_instances_do_not_share_what_they_change() {
        let mut one = Handles::default();
        let places = [0; 3].map(|_| one.hold(Handle::Cell(Cell::default())).unwrap());
        assert_eq!(places, [0, 1, 2]);
        let mut other = one.clone();
        other.let_go(1).unwrap();
        assert!(other.get(1).is_err() && other.let_go(1).is_err() && other.get(9).is_err());
        assert!(one.get(1).is_ok());
        assert_eq!(other.hold(Handle::Cell(Cell::default())).unwrap(), 1);
    }

    #[test]
    fn there_is_an_end_to_handles() {
        let mut handles = Handles::default();
        for _ in 0..MAX_HANDLES {
            handles.hold(Handle::Cell(Cell::default())).unwrap();
        }
        assert!(handles.hold(Handle::Cell(Cell::default())).is_err());
    }
}
