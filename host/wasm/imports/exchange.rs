//! The exchange in hand.

use std::borrow::Cow;

use wasmtime::Result;

use super::super::guest::Guest;
use super::millis;

pub(in crate::wasm) fn id(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(Cow::Borrowed(&guest.exchange()?.id))
}

pub(in crate::wasm) fn route(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(Cow::Borrowed(&guest.exchange()?.names.route))
}

pub(in crate::wasm) fn upstream(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(Cow::Borrowed(&guest.exchange()?.names.upstream))
}

pub(in crate::wasm) fn provider(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(Cow::Borrowed(&guest.exchange()?.names.provider))
}

pub(in crate::wasm) fn client_address(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(Cow::Owned(guest.exchange()?.client.to_string()))
}

pub(in crate::wasm) fn remaining_millis(guest: &mut Guest) -> Result<u64> {
    Ok(millis(guest.exchange()?.remaining()))
}

pub(in crate::wasm) fn attribute<'g>(guest: &'g mut Guest, name: &str) -> Result<Option<Cow<'g, str>>> {
    Ok(guest.exchange()?.attribute(name).map(Cow::Borrowed))
}

pub(in crate::wasm) fn set_attribute(guest: &mut Guest, name: &str, value: &str) -> Result<()> {
    let shadow = guest.filter.shadow;
    let exchange = guest.exchange()?;
    if shadow {
        return Ok(());
    }
    let set = exchange.set_attribute(name.to_owned(), value.to_owned());
    set.map_err(|_| wasmtime::Error::msg("the exchange's attributes are full: 64 of them, 16 KiB in all"))
}

pub(in crate::wasm) fn slot(guest: &mut Guest) -> Result<u64> {
    let index = guest.filter.index;
    Ok(guest.exchange()?.slot(index))
}

pub(in crate::wasm) fn set_slot(guest: &mut Guest, value: u64) -> Result<()> {
    let index = guest.filter.index;
    guest.exchange()?.set_slot(index, value);
    Ok(())
}
