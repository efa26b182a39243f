//! What a filter is: a value made from its config, and one trait for each phase it takes part in.

use std::time::Duration;

use serde::de::DeserializeOwned;

pub use crate::bindings::tollgate::filter::types::{ChunkAction, Ending, Outcome, Verdict};

/// A filter: its config, understood once for each instance.
///
/// The host may run any phase of any exchange on any instance, one call at a time, and may discard an instance after
/// any call. What must outlast a call lives in [`state`](crate::state) or in the exchange's
/// [`slot`](crate::exchange::slot), so every phase takes `&self`.
pub trait Filter: Sized + 'static {
    /// The filter's `config` in the manifest. Derive `Deserialize` with `deny_unknown_fields`, so that a misspelt
    /// key is an error rather than a default. A manifest without `config` gives `{}`.
    type Config: DeserializeOwned;

    /// Makes the filter. There is no exchange in hand yet.
    ///
    /// # Errors
    /// What is wrong with the config, for people; the host refuses the manifest with it.
    fn configure(config: Self::Config) -> Result<Self, String>;
}

/// The head of a request has arrived: once an exchange, in chain order.
pub trait OnRequest: Filter {
    /// [`Verdict::Respond`] sends what was made with [`reply`](crate::reply) and ends the walk.
    fn on_request(&self) -> Verdict;
}

/// The whole request body has arrived: once an exchange, in chain order, also when the body is empty.
pub trait OnRequestBody: Filter {
    /// [`Verdict::Respond`] sends what was made with [`reply`](crate::reply) and ends the walk.
    fn on_request_body(&self) -> Verdict;
}

/// Around each attempt to reach an upstream.
pub trait OnAttempt: Filter {
    /// Before attempt `number`, counted from 1, in chain order. [`Verdict::Respond`] fails fast: no connection is
    /// made.
    fn before_attempt(&self, number: u32) -> Verdict;

    /// After it, in reverse order, for every filter whose `before_attempt` let it pass; but not when the exchange was
    /// given up meanwhile, because the client left: then [`OnComplete`] comes next. The response head, if `outcome`
    /// is a status, can be read.
    fn after_attempt(&self, number: u32, outcome: Outcome, elapsed: Duration) -> Advice;
}

/// The head of the upstream's response, which the client is about to get: once an exchange, in reverse chain order.
pub trait OnResponse: Filter {
    /// [`Verdict::Respond`] replaces the response by what was made with [`reply`](crate::reply).
    fn on_response(&self) -> Verdict;
}

/// Each chunk of the response body as it streams, in reverse chain order.
pub trait OnResponseChunk: Filter {
    /// `last` comes with the final chunk, which may be empty.
    fn on_response_chunk(&self, chunk: Vec<u8>, last: bool) -> ChunkAction;
}

/// The exchange is over: always called once the walk through `on_request` began, in chain order.
pub trait OnComplete: Filter {
    /// `elapsed` counts from the request head to the end.
    fn on_complete(&self, ending: Ending, elapsed: Duration);
}

/// What a filter asks for after an attempt. Over the chain, `Stop` beats `Retry`, and `Retry` beats `Accept`; of
/// several `Retry`, the longest delay counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// This outcome is good enough.
    Accept,
    /// Try again after this delay, kept to whole milliseconds. The host grants it only within its budget, the
    /// deadline and what can be replayed.
    Retry(Duration),
    /// Hand this outcome to the client, whatever others ask.
    Stop,
}
