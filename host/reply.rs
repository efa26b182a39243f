//! Answers that are not the upstream's: a filter's, or the host's own. An error is rendered in the shape that the
//! route's clients expect, so that they find it where their library looks.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, InvalidHeaderValue, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::headers::{self, Edit, EditError, Field, Room};
use crate::manifest::ErrorFormat;

/// How many lines of detail an answer keeps, and how many bytes of them; the rest is counted.
const MAX_DETAILS: usize = 256;
const MAX_DETAIL_BYTES: usize = 64 << 10;

/// An answer that is not the upstream's.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Error(Problem),
    Sent(Bytes),
}

/// An error, before it has a shape.
#[derive(Debug, Clone, Default)]
struct Problem {
    code: String,
    message: String,
    details: Vec<String>,
    bytes: usize,
    dropped: usize,
}

impl Reply {
    /// An error: `code` is for machines, and stable; `message` is for people.
    pub fn error(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        let problem = Problem { code: code.into(), message: message.into(), ..Problem::default() };
        Self { status, headers: HeaderMap::new(), content: Content::Error(problem) }
    }

    /// An answer with a body of its own. The error: `content_type` cannot stand in a field.
    pub fn sent(status: StatusCode, content_type: &str, body: Bytes) -> Result<Self, InvalidHeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type)?);
        Ok(Self { status, headers, content: Content::Sent(body) })
    }

    /// Adds a line of detail to an error.
    pub fn detail(&mut self, text: impl Into<String>) {
        let Content::Error(problem) = &mut self.content else { return };
        let text = text.into();
        problem.bytes += text.len();
        if problem.details.len() == MAX_DETAILS || problem.bytes > MAX_DETAIL_BYTES {
            problem.dropped += 1;
        } else {
            problem.details.push(text);
        }
    }

    /// When to try again, in seconds.
    pub fn retry_after(&mut self, seconds: u32) {
        self.headers.insert(RETRY_AFTER, seconds.into());
    }

    /// Sets a field of the answer.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        headers::edit(&mut self.headers, &mut Room::default(), &Field::parse(name)?, value, Edit::Replace)
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code of an error; empty for an answer that is none.
    pub fn code(&self) -> &str {
        match &self.content {
            Content::Error(problem) => &problem.code,
            Content::Sent(_) => "",
        }
    }

    /// The answer as a message, in that shape, for the exchange of that id.
    pub fn render(self, format: ErrorFormat, id: &str) -> Response<Bytes> {
        let mut headers = self.headers;
        let body = match self.content {
            Content::Sent(body) => body,
            Content::Error(mut problem) => {
                problem.count_dropped();
                let (content_type, body) = problem.shape(self.status, format, id);
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
                Bytes::from(body.to_string())
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

impl Problem {
    fn count_dropped(&mut self) {
        if self.dropped > 0 {
            self.details.push(format!("and {} more", self.dropped));
        }
    }

    fn shape(&self, status: StatusCode, format: ErrorFormat, id: &str) -> (&'static str, Value) {
        match format {
            ErrorFormat::Problem => ("application/problem+json", self.problem(status, id)),
            ErrorFormat::Plain => {
                ("application/json", json!({"error": self.message, "details": self.details}))
            }
            ErrorFormat::OpenAi => ("application/json", self.openai(status)),
            ErrorFormat::Anthropic => ("application/json", self.anthropic(status, id)),
        }
    }

    /// RFC 9457, with our code, the details and the request's id as extension members.
    fn problem(&self, status: StatusCode, id: &str) -> Value {
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.message,
            "code": self.code,
            "request_id": id,
        });
        if !self.details.is_empty() {
            problem["errors"] = json!(self.details);
        }
        problem
    }

    /// As OpenAI's API has it. Its libraries show `message` only, hence the details in it.
    fn openai(&self, status: StatusCode) -> Value {
        let kind = match status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        json!({"error": {"message": self.sentence(), "type": kind, "param": null, "code": self.code}})
    }

    /// As Anthropic's API has it.
    fn anthropic(&self, status: StatusCode, id: &str) -> Value {
        let kind = match status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            504 => "timeout_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": self.sentence()}, "request_id": id})
    }

    fn sentence(&self) -> String {
        match self.details.is_empty() {
            true => self.message.clone(),
            false => format!("{}: {}", self.message, self.details.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid() -> Reply {
        let mut reply = Reply::error(StatusCode::BAD_REQUEST, "invalid_request", "Invalid request");
        reply.detail("model must be string");
        reply.detail("max_tokens must be positive");
        reply
    }

    fn body(reply: Reply, format: ErrorFormat) -> Value {
        serde_json::from_slice(reply.render(format, "id-1").body()).unwrap()
    }

    #[test]
    fn every_shape_carries_all_details() {
        let plain = json!({"error": "Invalid request", "details": ["model must be string", "max_tokens must be positive"]});
        assert_eq!(body(invalid(), ErrorFormat::Plain), plain);
        let problem = body(invalid(), ErrorFormat::Problem);
        assert_eq!(problem["title"], "Bad Request");
        assert_eq!(problem["errors"][1], "max_tokens must be positive");
        assert_eq!(problem["request_id"], "id-1");
        let sentence = "Invalid request: model must be string; max_tokens must be positive";
        let openai = body(invalid(), ErrorFormat::OpenAi);
        assert_eq!(openai["error"]["message"], sentence);
        assert_eq!(openai["error"]["code"], "invalid_request");
        let anthropic = body(invalid(), ErrorFormat::Anthropic);
        assert_eq!(anthropic["error"], json!({"type": "invalid_request_error", "message": sentence}));
    }

    #[test]
    fn details_are_bounded_and_the_rest_is_counted() {
        let mut reply = Reply::error(StatusCode::BAD_REQUEST, "c", "m");
        (0..1000).for_each(|n| reply.detail(n.to_string()));
        let details = body(reply, ErrorFormat::Plain)["details"].as_array().unwrap().clone();
        assert_eq!(details.len(), MAX_DETAILS + 1);
        assert_eq!(details[MAX_DETAILS], "and 744 more");
    }

    #[test]
    fn fields_of_an_answer_are_checked() {
        let mut reply = Reply::error(StatusCode::SERVICE_UNAVAILABLE, "c", "m");
        reply.retry_after(7);
        assert_eq!(reply.set_header("content-length", "1"), Err(EditError::Forbidden));
        reply.set_header("x-a", "1").unwrap();
        let response = reply.render(ErrorFormat::Problem, "");
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers()["x-a"], "1");
        assert!(Reply::sent(StatusCode::OK, "a\nb", Bytes::new()).is_err());
    }
}
