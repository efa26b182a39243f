//! The request's head.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{Uri, header};
use wasmtime::Result;

use super::super::bindings::types::HeaderError;
use super::super::guest::Guest;
use super::{Change, Edited, all, apply, first, names};
use crate::exchange::Stage;
use crate::headers::Edit;

pub(in crate::wasm) fn method(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(Cow::Borrowed(guest.exchange()?.request.method.as_str()))
}

pub(in crate::wasm) fn authority(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(first(&guest.exchange()?.request.headers, &header::HOST).unwrap_or_default())
}

pub(in crate::wasm) fn path(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(Cow::Borrowed(guest.exchange()?.path()))
}

pub(in crate::wasm) fn set_path(guest: &mut Guest, path: &str) -> Edited {
    let shadow = guest.filter.shadow;
    let exchange = guest.exchange()?;
    if exchange.stage > Stage::BeforeAttempt {
        return Ok(Err(HeaderError::TooLate));
    }
    let parsed =
        Some(path).filter(|path| path.starts_with('/')).and_then(|path| path.parse::<PathAndQuery>().ok());
    let Some(path) = parsed else { return Ok(Err(HeaderError::InvalidValue)) };
    if !shadow {
        exchange.request.uri = Uri::from(path);
    }
    Ok(Ok(()))
}

pub(in crate::wasm) fn header<'g>(guest: &'g mut Guest, name: &str) -> Result<Option<Cow<'g, str>>> {
    let (exchange, fields) = guest.exchange_and_fields()?;
    // What is no name of a field has no value.
    Ok(fields.get(name).ok().and_then(|field| first(&exchange.request.headers, &field.name)))
}

pub(in crate::wasm) fn header_bytes<'g>(guest: &'g mut Guest, name: &str) -> Result<Vec<&'g [u8]>> {
    let (exchange, fields) = guest.exchange_and_fields()?;
    Ok(fields.get(name).map_or_else(|_| Vec::new(), |field| all(&exchange.request.headers, &field.name)))
}

pub(in crate::wasm) fn header_names(guest: &mut Guest) -> Result<Vec<Cow<'_, str>>> {
    Ok(names(&guest.exchange()?.request.headers))
}

pub(in crate::wasm) fn set_header(guest: &mut Guest, name: &str, value: &str) -> Edited {
    edit(guest, name, Change::Set(Edit::Replace, value))
}

pub(in crate::wasm) fn append_header(guest: &mut Guest, name: &str, value: &str) -> Edited {
    edit(guest, name, Change::Set(Edit::Append, value))
}

pub(in crate::wasm) fn remove_header(guest: &mut Guest, name: &str) -> Edited {
    edit(guest, name, Change::Remove)
}

fn edit(guest: &mut Guest, name: &str, change: Change<'_>) -> Edited {
    let shadow = guest.filter.shadow;
    let (exchange, fields) = guest.exchange_and_fields()?;
    if exchange.stage > Stage::BeforeAttempt {
        return Ok(Err(HeaderError::TooLate));
    }
    apply(&mut exchange.request.headers, &mut exchange.room[0], shadow, fields.get(name), change)
}
