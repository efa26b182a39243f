//! A refused request: what the client is told. The codes are stable; the crate's documentation lists them.

use tollgate_sdk::{Verdict, reply};

/// Longer details are cut: they may quote what the client sent.
const MAX_DETAIL: usize = 300;

/// Why a request goes no further.
#[derive(Debug, PartialEq)]
pub(crate) struct Denial<'a> {
    pub(crate) status: u16,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    /// What in the request was refused.
    pub(crate) detail: Option<String>,
}

impl<'a> Denial<'a> {
    pub(crate) fn new(status: u16, code: &'a str, message: &'a str, detail: String) -> Self {
        Self { status, code, message, detail: Some(detail) }
    }

    /// Makes the reply.
    pub(crate) fn respond(&self) -> Verdict {
        reply::reject(self.status, self.code, self.message);
        if let Some(detail) = &self.detail {
            let end = detail.floor_char_boundary(MAX_DETAIL);
            reply::detail(&detail[..end]);
        }
        Verdict::Respond
    }
}
