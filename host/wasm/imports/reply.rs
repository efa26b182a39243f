//! The answer that a filter makes instead of the upstream's.

use bytes::Bytes;
use http::StatusCode;
use wasmtime::Result;

use super::super::bindings::types::HeaderError;
use super::super::guest::Guest;
use super::Edited;
use crate::reply::Reply;

pub(in crate::wasm) fn reject(guest: &mut Guest, status: u16, code: &str, message: &str) -> Result<()> {
    let status = StatusCode::from_u16(status).ok().filter(|status| (400..600).contains(&status.as_u16()));
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    guest.exchange()?.reply = Some(Reply::error(status, code.to_owned(), message.to_owned()));
    Ok(())
}

pub(in crate::wasm) fn detail(guest: &mut Guest, text: &str) -> Result<()> {
    if let Some(reply) = begun(guest)? {
        reply.detail(text.to_owned());
    }
    Ok(())
}

pub(in crate::wasm) fn retry_after(guest: &mut Guest, seconds: u32) -> Result<()> {
    if let Some(reply) = begun(guest)? {
        reply.retry_after(seconds);
    }
    Ok(())
}

pub(in crate::wasm) fn set_header(guest: &mut Guest, name: &str, value: &str) -> Edited {
    Ok(match begun(guest)? {
        Some(reply) => reply.set_header(name, value).map_err(Into::into),
        None => Err(HeaderError::TooLate),
    })
}

pub(in crate::wasm) fn send(guest: &mut Guest, status: u16, content_type: &str, body: &[u8]) -> Result<()> {
    let status = StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16()));
    let status = status.ok_or_else(|| wasmtime::Error::msg("`reply.send` takes a status from 200 to 599"))?;
    let reply = Reply::sent(status, content_type, Bytes::copy_from_slice(body));
    guest.exchange()?.reply =
        Some(reply.map_err(|_| wasmtime::Error::msg("no field value as content type"))?);
    Ok(())
}

/// The reply being made; none before `reject` or `send`.
fn begun(guest: &mut Guest) -> Result<Option<&mut Reply>> {
    Ok(guest.exchange()?.reply.as_mut())
}
