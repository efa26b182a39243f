//! The filter's figures.

use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Result;

use super::super::guest::Guest;
use super::super::handles::{Counter, Gauge, Handle, unknown};

pub(in crate::wasm) fn counter_open(
    guest: &mut Guest,
    name: &str,
    help: &str,
    labels: &[(&str, &str)],
) -> Result<u32> {
    let filter = &guest.filter;
    let counter = filter.host.telemetry.guest_counter(&filter.name, name, help, owned(labels))?;
    guest.handles.hold(Handle::Counter(Counter(counter)))
}

pub(in crate::wasm) fn counter_add(guest: &mut Guest, counter: u32, by: u64) -> Result<()> {
    counter_held(guest, counter)?.fetch_add(by, Ordering::Relaxed);
    Ok(())
}

pub(in crate::wasm) fn counter_drop(guest: &mut Guest, counter: u32) -> Result<()> {
    counter_held(guest, counter)?;
    guest.handles.let_go(counter)
}

pub(in crate::wasm) fn gauge_open(
    guest: &mut Guest,
    name: &str,
    help: &str,
    labels: &[(&str, &str)],
) -> Result<u32> {
    let filter = &guest.filter;
    let gauge = filter.host.telemetry.guest_gauge(&filter.name, name, help, owned(labels))?;
    guest.handles.hold(Handle::Gauge(Gauge(gauge)))
}

pub(in crate::wasm) fn gauge_set(guest: &mut Guest, gauge: u32, value: f64) -> Result<()> {
    gauge_held(guest, gauge)?.store(value.to_bits(), Ordering::Relaxed);
    Ok(())
}

pub(in crate::wasm) fn gauge_drop(guest: &mut Guest, gauge: u32) -> Result<()> {
    gauge_held(guest, gauge)?;
    guest.handles.let_go(gauge)
}

fn counter_held(guest: &Guest, place: u32) -> Result<&AtomicU64> {
    match guest.handles.get(place)? {
        Handle::Counter(Counter(figure)) => Ok(figure),
        _ => Err(unknown()),
    }
}

fn gauge_held(guest: &Guest, place: u32) -> Result<&AtomicU64> {
    match guest.handles.get(place)? {
        Handle::Gauge(Gauge(figure)) => Ok(figure),
        _ => Err(unknown()),
    }
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
