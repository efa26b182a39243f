//! Server-sent events, made one by one as the client takes them: some that open the stream, one a token, some
//! that close it.

use std::iter;

use bytes::Bytes;
use serde_json::Value;

use super::body::Content;
use super::provider::Answer;
use super::tokens::Tokens;

/// The events of a reply.
pub(super) struct Events<Delta, Closing> {
    pub(super) opening: Vec<Value>,
    pub(super) tokens: Tokens,
    /// The event for a token.
    pub(super) delta: Delta,
    pub(super) closing: Closing,
}

impl<Delta, Closing> Events<Delta, Closing>
where
    Delta: Fn(String) -> Value + Send + 'static,
    Closing: Iterator<Item = Value> + Send + 'static,
{
    /// The answer that streams these events, each completed by `finish`, and then `end` as it is.
    pub(super) fn answer(
        self,
        mut finish: impl FnMut(Value) -> Value + Send + 'static,
        end: Option<&'static str>,
    ) -> Answer {
        let middle = self.opening.len() as u64 + self.tokens.remaining() / 2;
        let values = self.opening.into_iter().chain(self.tokens.map(self.delta)).chain(self.closing);
        let events = values.map(move |value| event(&finish(value)));
        let end = end.map(|end| Bytes::from_static(end.as_bytes()));
        let pieces = Box::new(events.chain(iter::once(end).flatten()));
        Answer::new("text/event-stream; charset=utf-8", Content::Pieces { pieces, middle, length: None })
    }
}

/// One event. Providers that name their events put the name into the data as `type`, too.
fn event(value: &Value) -> Bytes {
    let text = match value.get("type").and_then(Value::as_str) {
        Some(name) => format!("event: {name}\ndata: {value}\n\n"),
        None => format!("data: {value}\n\n"),
    };
    Bytes::from(text)
}
