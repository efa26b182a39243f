//! The answer that a filter made with `reply`, for tests to look at.

use super::fields::Fields;
use crate::fields::HeaderError;

const MAX_DETAILS: usize = 256;
const MAX_DETAIL_BYTES: usize = 64 * 1024;

/// An answer that is not the upstream's.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The machine-readable reason; empty for an answer that is no error.
    pub code: String,
    /// The message for people; empty for an answer that is no error.
    pub message: String,
    /// The lines of detail, as far as the host keeps them.
    pub details: Vec<String>,
    /// How many lines of detail were too many.
    pub details_dropped: usize,
    /// Seconds.
    pub retry_after: Option<u32>,
    /// The content type of an answer that is no error.
    pub content_type: Option<String>,
    /// The body of an answer that is no error.
    pub body: Vec<u8>,
    fields: Fields,
}

impl Reply {
    /// The first value of that further field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.fields.first(name)
    }

    pub(super) fn reject(status: u16, code: &str, message: &str) -> Self {
        let status = if (400..=599).contains(&status) { status } else { 500 };
        Self { status, code: code.to_owned(), message: message.to_owned(), ..Self::default() }
    }

    pub(super) fn send(status: u16, content_type: &str, body: &[u8]) -> Self {
        let status = if (200..=599).contains(&status) { status } else { 500 };
        Self { status, content_type: Some(content_type.to_owned()), body: body.to_vec(), ..Self::default() }
    }

    pub(super) fn detail(&mut self, text: &str) {
        let kept: usize = self.details.iter().map(String::len).sum();
        if self.details.len() >= MAX_DETAILS || kept + text.len() > MAX_DETAIL_BYTES {
            self.details_dropped += 1;
        } else {
            self.details.push(text.to_owned());
        }
    }

    pub(super) fn set_header(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        self.fields.set(name, value)
    }
}
