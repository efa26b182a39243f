//! The request's head, as it will be sent upstream. Changes made up to and in `before_attempt` reach the upstream; a
//! later one is [`HeaderError::TooLate`]. Names of fields are case-insensitive.

pub use crate::fields::HeaderError;
use crate::fields::field_functions;
use crate::host::request as host;

/// The method, as received: methods are case-sensitive.
pub fn method() -> String {
    host::method()
}

/// The `host` field, or the authority of an absolute request target.
pub fn authority() -> String {
    host::authority()
}

/// Path and query, as received.
pub fn path() -> String {
    host::path()
}

/// Replaces path and query. The route stays.
///
/// # Errors
/// [`HeaderError::InvalidValue`] unless it begins with `/` and can be sent; [`HeaderError::TooLate`].
pub fn set_path(path: &str) -> Result<(), HeaderError> {
    host::set_path(path)
}

field_functions!();
