//! The buffered request body, parsed as JSON by the host when first asked. There is none before `on_request_body`:
//! size 0, and nothing under any pointer; a body that is no JSON has nothing under any pointer either. Pointers are
//! RFC 6901, and the empty one is the whole document.

pub use crate::bindings::tollgate::filter::body::JsonKind;
use crate::host::body as host;

/// Bytes.
pub fn size() -> u64 {
    host::size()
}

/// At most `length` bytes from `offset`: fewer at the end, none past it.
pub fn read(offset: u64, length: u32) -> Vec<u8> {
    host::read(offset, length)
}

/// The whole body. It is copied into the filter's memory, which is limited.
pub fn bytes() -> Vec<u8> {
    host::read(0, u32::MAX)
}

/// Replaces the body for later filters and the upstream. It traps outside `on_request_body`.
pub fn replace(bytes: &[u8]) {
    host::replace(bytes);
}

/// What kind of value is there.
pub fn kind(pointer: &str) -> Option<JsonKind> {
    host::kind(pointer)
}

/// The string there; `None` if there is something else, or nothing.
pub fn text(pointer: &str) -> Option<String> {
    host::text(pointer)
}

/// The number there, rounded to the nearest double.
pub fn number(pointer: &str) -> Option<f64> {
    host::number(pointer)
}

/// The boolean there.
pub fn boolean(pointer: &str) -> Option<bool> {
    host::boolean(pointer)
}

/// How many items the array there has, or members the object.
pub fn length(pointer: &str) -> Option<u32> {
    host::length(pointer)
}

/// The names of the members of the object there; empty for anything else.
pub fn keys(pointer: &str) -> Vec<String> {
    host::keys(pointer)
}
