//! The filter's numbers.

use wasmtime::Result;

use super::super::guest::Guest;
use super::super::handles::{Handle, unknown};
use crate::state::Cell;

pub(in crate::wasm) fn cell_open(guest: &mut Guest, key: &str) -> Result<u32> {
    let cell = guest.filter.cells.open(key)?;
    guest.handles.hold(Handle::Cell(cell))
}

pub(in crate::wasm) fn cell_get(guest: &mut Guest, cell: u32) -> Result<i64> {
    Ok(held(guest, cell)?.get())
}

pub(in crate::wasm) fn cell_set(guest: &mut Guest, cell: u32, value: i64) -> Result<()> {
    held(guest, cell)?.set(value);
    Ok(())
}

pub(in crate::wasm) fn cell_add(guest: &mut Guest, cell: u32, delta: i64) -> Result<i64> {
    Ok(held(guest, cell)?.add(delta))
}

pub(in crate::wasm) fn cell_compare_exchange(
    guest: &mut Guest,
    cell: u32,
    expected: i64,
    replacement: i64,
) -> Result<i64> {
    Ok(held(guest, cell)?.compare_exchange(expected, replacement))
}

pub(in crate::wasm) fn cell_drop(guest: &mut Guest, cell: u32) -> Result<()> {
    held(guest, cell)?;
    guest.handles.let_go(cell)
}

fn held(guest: &Guest, place: u32) -> Result<&Cell> {
    match guest.handles.get(place)? {
        Handle::Cell(cell) => Ok(cell),
        _ => Err(unknown()),
    }
}
