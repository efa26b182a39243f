//! The validation filter: lets a JSON body pass only if it fits the JSON Schema (2020-12) that its path has, and says
//! all that is wrong with it at once.
//!
//! # Config
//!
//! ```yaml
//! config:
//!   schemas:                                  # by path: exact, `/a/*` for all below it, or `/a*` for all that begin so
//!     /v1/chat/completions: builtin:openai-chat
//!     /v1/embeddings: builtin:openai-embeddings
//!     /v1/messages: builtin:anthropic-messages
//!     /orders/*: {type: object, required: [id], properties: {id: {type: string, pattern: "^[a-z0-9]+$"}}}
//! ```
//!
//! The most specific path counts; without `schemas`, the three above are there. Schemas are compiled when the filter
//! is configured, and one that is wrong refuses the manifest. `$ref` stays within its schema: nothing is fetched.
//! `format` and `content…` are annotations, as the draft has it. Patterns take linear time.
//!
//! Paths are compared after decoding, without query and slash at the end. Requests whose path has no schema pass, and so do GET,
//! HEAD, OPTIONS, TRACE and DELETE without a body.
//!
//! # Codes
//!
//! | code | status | when |
//! |---|---|---|
//! | `invalid_request` | 400 | no body; no JSON; a name twice in one object; not what the schema asks for. One detail a problem, at most 100 |
//! | `unsupported_media_type` | 415 | another `content-type` than JSON in UTF-8, or a `content-encoding` |
//! | `ambiguous_path` | 400 | servers read the path differently, and one reading has a schema |
//!
//! # Time and memory
//!
//! Nearly all bodies fit, and are let pass by `quick`, without a tree; the library (`boon`) has the others, and those whose
//! schema has keywords that `quick` does not know: patterns, formats and the like.
//!
//! A body takes up to three times its size in the filter's memory, and at most 320 000 values: with a `body-limit` of
//! 10 MiB, give it `limits: {memory: 128MiB, time: 500ms}`.

mod choice;
mod document;
#[cfg(target_arch = "wasm32")]
mod entropy;
mod media;
mod place;
mod problem;
mod quick;
mod schemas;
#[cfg(test)]
mod suite;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_sdk::{Filter, OnRequestBody, Verdict, body, path, reply, request};

use self::schemas::Schemas;

/// The filter, configured.
pub struct Validation {
    schemas: Schemas,
}

/// The keys of the filter's `config`; the crate's documentation says what they mean.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    schemas: BTreeMap<String, Value>,
}

impl Default for Config {
    fn default() -> Self {
        let schemas = [
            ("/v1/chat/completions", "builtin:openai-chat"),
            ("/v1/embeddings", "builtin:openai-embeddings"),
            ("/v1/messages", "builtin:anthropic-messages"),
        ];
        Self { schemas: schemas.map(|(path, schema)| (path.to_owned(), json!(schema))).into() }
    }
}

impl Filter for Validation {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self { schemas: Schemas::compile(config.schemas)? })
    }
}

impl OnRequestBody for Validation {
    fn on_request_body(&self) -> Verdict {
        match self.check() {
            Ok(()) => Verdict::Proceed,
            Err(rejection) => rejection.respond(),
        }
    }
}

tollgate_sdk::export!(Validation: on_request_body);

/// An answer to a request that does not pass.
struct Rejection {
    status: u16,
    code: &'static str,
    message: &'static str,
    details: Vec<String>,
}

impl Validation {
    fn check(&self) -> Result<(), Rejection> {
        let target = request::path();
        let (path, doubt) = match path::read(&target) {
            Ok(path) => (path, None),
            Err(ambiguous) => (ambiguous.reading.into(), Some(ambiguous.doubt)),
        };
        let Some(schema) = self.schemas.of(&path) else { return Ok(()) };
        if let Some(doubt) = doubt {
            return Err(Rejection::new(400, "ambiguous_path", "Ambiguous path", format!("path {doubt}")));
        }
        let text = body::bytes();
        if text.is_empty() {
            return if needs_no_body(&request::method()) { Ok(()) } else { Err(invalid("body is required")) };
        }
        media::check()
            .map_err(|why| Rejection::new(415, "unsupported_media_type", "Unsupported media type", why))?;
        if schema.is_surely_fit_by(&text) {
            return Ok(());
        }
        let document = document::read(&text).map_err(invalid)?;
        let details = self.schemas.problems(&document, schema);
        match details.is_empty() {
            true => Ok(()),
            false => Err(Rejection { details, ..invalid("") }),
        }
    }
}

impl Rejection {
    fn new(status: u16, code: &'static str, message: &'static str, detail: String) -> Self {
        Self { status, code, message, details: vec![detail] }
    }

    fn respond(&self) -> Verdict {
        reply::reject(self.status, self.code, self.message);
        self.details.iter().for_each(|detail| reply::detail(detail));
        Verdict::Respond
    }
}

fn invalid(detail: impl Into<String>) -> Rejection {
    Rejection::new(400, "invalid_request", "Invalid request", detail.into())
}

/// Methods that give an empty body no meaning.
fn needs_no_body(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE")
}
