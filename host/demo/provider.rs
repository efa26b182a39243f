//! Answers of the demo upstream before they meet HTTP, and failures in the error shape of the provider that a
//! request means: OpenAI's or Anthropic's.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Deserialize as _;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::{Value, json};

use super::body::Content;

/// The longest error message that is sent, in bytes: parse errors can quote what they met.
const MESSAGE_LIMIT: usize = 300;

/// The longest name of a model, in bytes: every event of a stream repeats it.
const MODEL_LIMIT: usize = 256;

/// An answer: everything that does not depend on how the request is told to be treated.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    /// The `Allow` field of a 405.
    pub(super) allow: Option<&'static str>,
    pub(super) content: Content,
}

impl Answer {
    /// A 200 with this content.
    pub(super) fn new(content_type: &'static str, content: Content) -> Self {
        Self { status: StatusCode::OK, content_type, allow: None, content }
    }

    /// A 200 with this JSON.
    pub(super) fn json(value: &Value) -> Self {
        Self::new("application/json", Content::Whole(Bytes::from(value.to_string())))
    }
}

/// A request that is not answered as it wished.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
    allow: Option<&'static str>,
}

impl Failure {
    /// A failure with this status; an overlong message is cut.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
        Self { status, message, allow: None }
    }

    /// A 400.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A 405: the path takes other methods, `allow`.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        let message = format!("this path takes {allow} only");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }
}

/// Parses a request's JSON.
///
/// # Errors
/// 400, saying what is wrong and where.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Failure::invalid(error.to_string()),
        _ => Failure::invalid(format!("the request body is not valid JSON: {error}")),
    })
}

/// Reads a request's `model`, which is not longer than any real one.
pub(super) fn model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.len() > MODEL_LIMIT {
        return Err(D::Error::custom(format!("model must not be longer than {MODEL_LIMIT} bytes")));
    }
    Ok(name)
}

/// Whose API a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    OpenAi,
    Anthropic,
}

impl Provider {
    /// Judges from the path, and from the header field that every Anthropic client sends.
    pub(super) fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        let below_messages =
            path.strip_prefix("/v1/messages").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if below_messages || head.headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    /// The answer that tells of a failure.
    pub(super) fn error(self, failure: &Failure) -> Answer {
        let Failure { status, message, allow } = failure;
        let (kind, code) = self.kind(*status);
        let value = match self {
            Self::OpenAi => json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
            Self::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
        };
        Answer { status: *status, allow: *allow, ..Answer::json(&value) }
    }

    /// The provider's `type`, and OpenAI's `code`, for a status.
    fn kind(self, status: StatusCode) -> (&'static str, Option<&'static str>) {
        match (self, status.as_u16()) {
            (Self::OpenAi, 401) => ("invalid_request_error", Some("invalid_api_key")),
            (Self::OpenAi, 404) => ("invalid_request_error", Some("unknown_url")),
            (Self::OpenAi, 405) => ("invalid_request_error", Some("method_not_supported")),
            (Self::OpenAi, 429) => ("requests", Some("rate_limit_exceeded")),
            (Self::OpenAi, 500..) => ("server_error", None),
            (Self::OpenAi, _) => ("invalid_request_error", None),
            (Self::Anthropic, 401) => ("authentication_error", None),
            (Self::Anthropic, 403) => ("permission_error", None),
            (Self::Anthropic, 404) => ("not_found_error", None),
            (Self::Anthropic, 413) => ("request_too_large", None),
            (Self::Anthropic, 429) => ("rate_limit_error", None),
            (Self::Anthropic, 504) => ("timeout_error", None),
            (Self::Anthropic, 529) => ("overloaded_error", None),
            (Self::Anthropic, 500..) => ("api_error", None),
            (Self::Anthropic, _) => ("invalid_request_error", None),
        }
    }
}

/// What every answer calls its server.
pub(super) const SERVER: HeaderValue = HeaderValue::from_static("tollgate-demo");
