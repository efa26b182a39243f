//! The response's head. It can be read once one has arrived, and changed in `on_response`.

pub use crate::fields::HeaderError;
use crate::fields::field_functions;
use crate::host::response as host;

/// The status; `None` before a response has arrived.
pub fn status() -> Option<u16> {
    Some(host::status()).filter(|&status| status != 0)
}

/// Replaces the status: 200 to 599, but for 204 and 304.
///
/// # Errors
/// [`HeaderError::InvalidValue`] for another status; [`HeaderError::TooLate`] outside `on_response`.
pub fn set_status(status: u16) -> Result<(), HeaderError> {
    host::set_status(status)
}

field_functions!();
