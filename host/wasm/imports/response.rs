//! The response's head.

use std::borrow::Cow;

use http::response::Parts;
use http::{HeaderMap, StatusCode};
use wasmtime::Result;

use super::super::bindings::types::HeaderError;
use super::super::guest::Guest;
use super::{Edited, all, apply, first, names};
use crate::exchange::{Exchange, Stage};
use crate::headers::{self, Edit, EditError};

pub(in crate::wasm) fn status(guest: &mut Guest) -> Result<u16> {
    Ok(guest.exchange()?.response.as_ref().map_or(0, |response| response.status.as_u16()))
}

pub(in crate::wasm) fn set_status(guest: &mut Guest, status: u16) -> Edited {
    let parsed = StatusCode::from_u16(status).ok().filter(|_| (200..600).contains(&status));
    let Some(status) = parsed.filter(|status| !matches!(status.as_u16(), 204 | 304)) else {
        return Ok(Err(HeaderError::InvalidValue));
    };
    let shadow = guest.filter.shadow;
    let Some(response) = editable(guest.exchange()?) else { return Ok(Err(HeaderError::TooLate)) };
    // A 204 or a 304 has no body: another status must not promise one.
    if matches!(response.status.as_u16(), 204 | 304) {
        return Ok(Err(HeaderError::InvalidValue));
    }
    if !shadow {
        response.status = status;
    }
    Ok(Ok(()))
}

pub(in crate::wasm) fn header<'g>(guest: &'g mut Guest, name: &str) -> Result<Option<Cow<'g, str>>> {
    let response = &guest.exchange()?.response;
    Ok(response.as_ref().and_then(|response| first(&response.headers, name)))
}

pub(in crate::wasm) fn header_bytes<'g>(guest: &'g mut Guest, name: &str) -> Result<Vec<&'g [u8]>> {
    let response = &guest.exchange()?.response;
    Ok(response.as_ref().map(|response| all(&response.headers, name)).unwrap_or_default())
}

pub(in crate::wasm) fn header_names(guest: &mut Guest) -> Result<Vec<Cow<'_, str>>> {
    let response = &guest.exchange()?.response;
    Ok(response.as_ref().map(|response| names(&response.headers)).unwrap_or_default())
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
    let Some(response) = editable(guest.exchange()?) else { return Ok(Err(HeaderError::TooLate)) };
    Ok(apply(&mut response.headers, shadow, edit))
}

/// The head, while it can be changed.
fn editable(exchange: &mut Exchange) -> Option<&mut Parts> {
    let in_time = exchange.stage == Stage::ResponseHead;
    exchange.response.as_mut().filter(|_| in_time)
}
