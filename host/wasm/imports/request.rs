//! The request's head.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use wasmtime::Result;

use super::super::bindings::types::HeaderError;
use super::super::guest::Guest;
use super::{Edited, all, apply, first, names};
use crate::exchange::Stage;
use crate::headers::{self, Edit, EditError};

pub(in crate::wasm) fn method(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(Cow::Borrowed(guest.exchange()?.request.method.as_str()))
}

pub(in crate::wasm) fn authority(guest: &mut Guest) -> Result<Cow<'_, str>> {
    Ok(first(&guest.exchange()?.request.headers, "host").unwrap_or_default())
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
    Ok(first(&guest.exchange()?.request.headers, name))
}

pub(in crate::wasm) fn header_bytes<'g>(guest: &'g mut Guest, name: &str) -> Result<Vec<&'g [u8]>> {
    Ok(all(&guest.exchange()?.request.headers, name))
}

pub(in crate::wasm) fn header_names(guest: &mut Guest) -> Result<Vec<Cow<'_, str>>> {
    Ok(names(&guest.exchange()?.request.headers))
}

pub(in crate::wasm) fn set_header(guest: &mut Guest, name: &str, value: &str) -> Edited {
    edit(guest, |headers| headers::edit(headers, name, value, Edit::Replace))
}

pub(in crate::wasm) fn append_header(guest: &mut Guest, name: &str, value: &str) -> Edited {
    edit(guest, |headers| headers::edit(headers, name, value, Edit::Append))
}

pub(in crate::wasm) fn remove_header(guest: &mut Guest, name: &str) -> Edited {
    edit(guest, |headers| headers::remove(headers, name))
}

fn edit(guest: &mut Guest, edit: impl FnOnce(&mut HeaderMap) -> Result<(), EditError>) -> Edited {
    let shadow = guest.filter.shadow;
    let exchange = guest.exchange()?;
    if exchange.stage > Stage::BeforeAttempt {
        return Ok(Err(HeaderError::TooLate));
    }
    Ok(apply(&mut exchange.request.headers, shadow, edit))
}
