//! The response's head.

use std::borrow::Cow;

use http::StatusCode;
use http::response::Parts;
use wasmtime::Result;

use super::super::bindings::types::HeaderError;
use super::super::guest::Guest;
use super::{Change, Edited, all, apply, first, names};
use crate::exchange::{Exchange, Stage};
use crate::headers::Edit;

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
    let (exchange, fields) = guest.exchange_and_fields()?;
    let (Some(response), Ok(field)) = (&exchange.response, fields.get(name)) else { return Ok(None) };
    Ok(first(&response.headers, &field.name))
}

pub(in crate::wasm) fn header_bytes<'g>(guest: &'g mut Guest, name: &str) -> Result<Vec<&'g [u8]>> {
    let (exchange, fields) = guest.exchange_and_fields()?;
    let (Some(response), Ok(field)) = (&exchange.response, fields.get(name)) else { return Ok(Vec::new()) };
    Ok(all(&response.headers, &field.name))
}

pub(in crate::wasm) fn header_names(guest: &mut Guest) -> Result<Vec<Cow<'_, str>>> {
    let response = &guest.exchange()?.response;
    Ok(response.as_ref().map(|response| names(&response.headers)).unwrap_or_default())
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
    let mut room = exchange.room[1];
    let Some(response) = editable(exchange) else { return Ok(Err(HeaderError::TooLate)) };
    let done = apply(&mut response.headers, &mut room, shadow, fields.get(name), change);
    exchange.room[1] = room;
    done
}

/// The head, while it can be changed.
fn editable(exchange: &mut Exchange) -> Option<&mut Parts> {
    let in_time = exchange.stage == Stage::ResponseHead;
    exchange.response.as_mut().filter(|_| in_time)
}
