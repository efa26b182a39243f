//! The answer that a filter gives instead of the upstream's, sent by [`Verdict::Respond`](crate::Verdict). The host
//! renders errors in the shape that the route's clients expect.

pub use crate::fields::HeaderError;
use crate::host::reply as host;

/// Begins an error answer: 400 to 599, anything else becomes 500. `code` is a stable, machine-readable reason,
/// `message` is for people. Calling it again begins anew.
pub fn reject(status: u16, code: &str, message: &str) {
    host::reject(status, code, message);
}

/// One more line of detail: call it once a problem. Past 256 lines or 64 KiB the rest is counted, not kept.
pub fn detail(text: &str) {
    host::detail(text);
}

/// Adds `retry-after`, in whole seconds.
pub fn retry_after(seconds: u32) {
    host::retry_after(seconds);
}

/// A further field of the answer.
///
/// # Errors
/// [`HeaderError::TooLate`] before [`reject`] or [`send`]; the others say why this field cannot be set.
pub fn set_header(name: &str, value: &str) -> Result<(), HeaderError> {
    host::set_header(name, value)
}

/// Begins an answer that is no error: a status (200 to 599) and a body of the filter's own.
pub fn send(status: u16, content_type: &str, body: &[u8]) {
    host::send(status, content_type, body);
}
