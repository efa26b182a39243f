//! The filter's numbers.

use wasmtime::Result;

use super::super::guest::Guest;
use super::{held, hold, let_go};
use crate::state::Cell;

pub(in crate::wasm) fn cell_open(guest: &mut Guest, key: &str) -> Result<u32> {
    let cell = guest.filter.cells.open(key)?;
    hold(&mut guest.table, cell)
}

pub(in crate::wasm) fn cell_get(guest: &mut Guest, cell: u32) -> Result<i64> {
    Ok(held::<Cell>(&guest.table, cell)?.get())
}

pub(in crate::wasm) fn cell_set(guest: &mut Guest, cell: u32, value: i64) -> Result<()> {
    held::<Cell>(&guest.table, cell)?.set(value);
    Ok(())
}

pub(in crate::wasm) fn cell_add(guest: &mut Guest, cell: u32, delta: i64) -> Result<i64> {
    Ok(held::<Cell>(&guest.table, cell)?.add(delta))
}

pub(in crate::wasm) fn cell_compare_exchange(
    guest: &mut Guest,
    cell: u32,
    expected: i64,
    replacement: i64,
) -> Result<i64> {
    Ok(held::<Cell>(&guest.table, cell)?.compare_exchange(expected, replacement))
}

pub(in crate::wasm) fn cell_drop(guest: &mut Guest, cell: u32) -> Result<()> {
    let_go::<Cell>(&mut guest.table, cell)
}
