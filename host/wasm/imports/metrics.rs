//! The filter's figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Result;

use super::super::guest::Guest;
use super::{held, hold, let_go};

/// A figure that only grows.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "generated code re-exports it")]
pub struct Counter(Arc<AtomicU64>);

/// A figure that goes up and down: the bits of an `f64`.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "generated code re-exports it")]
pub struct Gauge(Arc<AtomicU64>);

pub(in crate::wasm) fn counter_open(
    guest: &mut Guest,
    name: &str,
    help: &str,
    labels: &[(&str, &str)],
) -> Result<u32> {
    let filter = &guest.filter;
    let counter = filter.host.telemetry.guest_counter(&filter.name, name, help, owned(labels))?;
    hold(&mut guest.table, Counter(counter))
}

pub(in crate::wasm) fn counter_add(guest: &mut Guest, counter: u32, by: u64) -> Result<()> {
    held::<Counter>(&guest.table, counter)?.0.fetch_add(by, Ordering::Relaxed);
    Ok(())
}

pub(in crate::wasm) fn counter_drop(guest: &mut Guest, counter: u32) -> Result<()> {
    let_go::<Counter>(&mut guest.table, counter)
}

pub(in crate::wasm) fn gauge_open(
    guest: &mut Guest,
    name: &str,
    help: &str,
    labels: &[(&str, &str)],
) -> Result<u32> {
    let filter = &guest.filter;
    let gauge = filter.host.telemetry.guest_gauge(&filter.name, name, help, owned(labels))?;
    hold(&mut guest.table, Gauge(gauge))
}

pub(in crate::wasm) fn gauge_set(guest: &mut Guest, gauge: u32, value: f64) -> Result<()> {
    held::<Gauge>(&guest.table, gauge)?.0.store(value.to_bits(), Ordering::Relaxed);
    Ok(())
}

pub(in crate::wasm) fn gauge_drop(guest: &mut Guest, gauge: u32) -> Result<()> {
    let_go::<Gauge>(&mut guest.table, gauge)
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
