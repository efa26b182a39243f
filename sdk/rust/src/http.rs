//! Requests of the filter's own: to an authorisation service, say. The manifest grants the origins (`grants.http`), and
//! says how long a phase may wait (`limits.wait`); the worker goes on with other exchanges meanwhile. A body that streams
//! waits for nobody: not in `on-response-chunk`. Needs the crate's feature `http`.
//!
//! ```no_run
//! # use std::time::Duration;
//! use tollgate_sdk::http::Request;
//!
//! let answer = Request::get("https://auth.internal/check").header("authorization", "Bearer x").send();
//! let is_known = answer.is_ok_and(|response| response.status == 200);
//! # let _ = is_known;
//! ```

use std::fmt;
use std::time::Duration;

/// What an answer's content may have, if nothing else is said, in bytes.
const LIMIT: usize = 1 << 20;

/// A request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// Where to: `http` or `https`, host, and path.
    pub url: String,
    /// Fields, in order.
    pub headers: Vec<(String, String)>,
    /// The content; empty for none.
    pub body: Vec<u8>,
    /// How many bytes the answer's content may have: 1 MiB, if nothing else is said.
    pub limit: usize,
    /// How long until the answer's head must have come; as long as the phase may wait, if nothing else is said.
    pub timeout: Option<Duration>,
}

/// An answer, read to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Fields, in order; names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The content.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The request itself is wrong.
    Invalid(String),
    /// The manifest does not grant the origin.
    Denied,
    /// The answer has more content than it may.
    TooLarge,
    /// Anything else: nobody listens there, it took too long, or the connection broke.
    Failed(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "the request is malformed: {why}"),
            Self::Denied => f.write_str("the manifest does not grant that origin in `grants.http`"),
            Self::TooLarge => f.write_str("the answer is too large"),
            Self::Failed(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl std::error::Error for SendError {}

impl Request {
    /// A request with that method.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            limit: LIMIT,
            timeout: None,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A POST with that content.
    #[must_use]
    pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", url) }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it, and waits for the whole answer.
    ///
    /// # Errors
    /// There is none. A status such as 500 is an answer.
    pub fn send(&self) -> Result<Response, SendError> {
        sender::send(self)
    }
}

impl Response {
    /// The first field of that name, in lower case; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let field = self.headers.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::imports::http as sender;

#[cfg(target_arch = "wasm32")]
mod sender {
    //! Requests as WASI sends them.

    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{
        ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
        RequestOptions, Scheme,
    };
    use wasip2::io::streams::{InputStream, OutputStream, StreamError};

    use super::{Request, Response, SendError};

    /// How much is read or written at once; WASI takes no more than 4096 bytes in one blocking write.
    const CHUNK: usize = 4096;

    pub(super) fn send(request: &Request) -> Result<Response, SendError> {
        let (outgoing, body) = outgoing(request)?;
        let options = RequestOptions::new();
        let timeout = request.timeout.and_then(|timeout| u64::try_from(timeout.as_nanos()).ok());
        // A host that has no such timeout ends the phase instead.
        let _ = options.set_first_byte_timeout(timeout);
        let pending = handle(outgoing, Some(options)).map_err(failed)?;
        if let Some(body) = body {
            write(body, &request.body)?;
        }
        pending.subscribe().block();
        let lost = || SendError::Failed("the host lost it".into());
        let answer = pending.get().ok_or_else(lost)?.map_err(|()| lost())?.map_err(failed)?;
        response(&answer, request.limit)
    }

    fn outgoing(request: &Request) -> Result<(OutgoingRequest, Option<OutgoingBody>), SendError> {
        let invalid = |what: &str| SendError::Invalid(what.to_owned());
        let (scheme, rest) = request.url.split_once("://").ok_or_else(|| invalid("its URL has no scheme"))?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let fields = Fields::new();
        for (name, value) in &request.headers {
            let refused = |error| SendError::Invalid(format!("the field `{name}`: {error:?}"));
            fields.append(name, value.as_bytes()).map_err(refused)?;
        }
        if !request.body.is_empty() {
            let length = request.body.len().to_string();
            fields.set("content-length", &[length.into_bytes()]).map_err(|_| invalid("its length"))?;
        }
        let outgoing = OutgoingRequest::new(fields);
        outgoing.set_method(&method(&request.method)).map_err(|()| invalid("its method"))?;
        outgoing.set_scheme(Some(&self::scheme(scheme))).map_err(|()| invalid("its URL's scheme"))?;
        outgoing.set_authority(Some(authority)).map_err(|()| invalid("its URL's host"))?;
        outgoing.set_path_with_query(Some(&path)).map_err(|()| invalid("its URL's path"))?;
        let body = match request.body.is_empty() {
            true => None,
            false => Some(outgoing.body().map_err(|()| invalid("its content"))?),
        };
        Ok((outgoing, body))
    }

    fn method(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            "PATCH" => Method::Patch,
            other => Method::Other(other.to_owned()),
        }
    }

    fn scheme(name: &str) -> Scheme {
        match name {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        }
    }

    fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), SendError> {
        let stream = body.write().map_err(|()| SendError::Failed("its content was not taken".into()))?;
        write_all(&stream, bytes)?;
        drop(stream);
        OutgoingBody::finish(body, None).map_err(failed)
    }

    fn write_all(stream: &OutputStream, bytes: &[u8]) -> Result<(), SendError> {
        for chunk in bytes.chunks(CHUNK) {
            match stream.blocking_write_and_flush(chunk) {
                Ok(()) => {}
                // Who answers without having read everything has answered nevertheless.
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(SendError::Failed(error.to_debug_string()));
                }
            }
        }
        Ok(())
    }

    fn response(answer: &IncomingResponse, limit: usize) -> Result<Response, SendError> {
        let lost = || SendError::Failed("its content was taken".into());
        let (status, headers) = (answer.status(), answer.headers().entries());
        let body = answer.consume().map_err(|()| lost())?;
        let stream = body.stream().map_err(|()| lost())?;
        let content = read(&stream, limit)?;
        drop(stream);
        drop(IncomingBody::finish(body));
        Ok(Response { status, headers, body: content })
    }

    fn read(stream: &InputStream, limit: usize) -> Result<Vec<u8>, SendError> {
        let mut content = Vec::new();
        loop {
            match stream.blocking_read(16 * CHUNK as u64) {
                Ok(bytes) => content.extend(bytes),
                Err(StreamError::Closed) => return Ok(content),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(SendError::Failed(error.to_debug_string()));
                }
            }
            if content.len() > limit {
                return Err(SendError::TooLarge);
            }
        }
    }

    fn failed(error: ErrorCode) -> SendError {
        match error {
            ErrorCode::HttpRequestDenied => SendError::Denied,
            other => SendError::Failed(format!("{other:?}")),
        }
    }
}
