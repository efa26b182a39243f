//! The request's buffered body.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use wasmtime::Result;

use super::super::bindings::body::JsonKind;
use super::super::guest::Guest;
use crate::body::{self, BufferedBody, JsonValue};
use crate::exchange::Stage;

pub(in crate::wasm) fn size(guest: &mut Guest) -> Result<u64> {
    Ok(guest.exchange()?.body.as_ref().map_or(0, |body| body.bytes().len() as u64))
}

pub(in crate::wasm) fn read(guest: &mut Guest, offset: u64, length: u32) -> Result<Cow<'_, [u8]>> {
    let Some(body) = &guest.exchange()?.body else { return Ok(Cow::default()) };
    let bytes = body.bytes();
    let begin = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
    let end = begin.saturating_add(length as usize).min(bytes.len());
    Ok(Cow::Borrowed(&bytes[begin..end]))
}

pub(in crate::wasm) fn replace(guest: &mut Guest, bytes: &[u8]) -> Result<()> {
    let shadow = guest.filter.shadow;
    let exchange = guest.exchange()?;
    if exchange.stage != Stage::RequestBody {
        return Err(wasmtime::Error::msg("`body.replace` can be called in `on-request-body` only"));
    }
    if !shadow {
        exchange.body = Some(BufferedBody::new(Bytes::copy_from_slice(bytes)));
    }
    Ok(())
}

pub(in crate::wasm) fn kind(guest: &mut Guest, pointer: &str) -> Result<Option<JsonKind>> {
    Ok(value(guest, pointer)?.map(|value| match value.kind() {
        body::JsonKind::Null => JsonKind::Null,
        body::JsonKind::Boolean => JsonKind::Boolean,
        body::JsonKind::Number => JsonKind::Number,
        body::JsonKind::Text => JsonKind::Text,
        body::JsonKind::Array => JsonKind::Array,
        body::JsonKind::Object => JsonKind::Object,
    }))
}

pub(in crate::wasm) fn text<'g>(guest: &'g mut Guest, pointer: &str) -> Result<Option<Cow<'g, str>>> {
    Ok(value(guest, pointer)?.and_then(JsonValue::as_str))
}

pub(in crate::wasm) fn number(guest: &mut Guest, pointer: &str) -> Result<Option<f64>> {
    Ok(value(guest, pointer)?.and_then(JsonValue::as_f64))
}

pub(in crate::wasm) fn boolean(guest: &mut Guest, pointer: &str) -> Result<Option<bool>> {
    Ok(value(guest, pointer)?.and_then(JsonValue::as_bool))
}

pub(in crate::wasm) fn length(guest: &mut Guest, pointer: &str) -> Result<Option<u32>> {
    Ok(value(guest, pointer)?.and_then(JsonValue::len))
}

pub(in crate::wasm) fn keys<'g>(guest: &'g mut Guest, pointer: &str) -> Result<Vec<Cow<'g, str>>> {
    let members = value(guest, pointer)?.into_iter().flat_map(JsonValue::members);
    Ok(members.filter_map(|(name, _)| name.as_str()).collect())
}

fn value<'g>(guest: &'g mut Guest, pointer: &str) -> Result<Option<JsonValue<'g>>> {
    parse_json(guest)?;
    let Some(body) = &guest.exchange()?.body else { return Ok(None) };
    let too_many = |_| wasmtime::Error::msg("the body holds more JSON values than the host will parse");
    body.value(pointer).map_err(too_many)
}

/// Parses the body, unless that has been done: for all filters, so that the first to ask does not pay for it.
fn parse_json(guest: &mut Guest) -> Result<()> {
    let Some(body) = guest.exchange()?.body.as_ref().filter(|body| !body.is_parsed()) else {
        return Ok(());
    };
    let begun = Instant::now();
    // Whatever is wrong with it, whoever asks for a value is told.
    let _ = body.value("");
    let spent = begun.elapsed();
    guest.overtime.credit(spent);
    Ok(())
}
