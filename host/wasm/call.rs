//! Calls of phases, as values: what is handed over, what comes back, and how each door makes the call. The component layer
//! has two ways: at once, and on a stack of the guest's own, so that it can wait while others go on.

#![allow(private_interfaces, reason = "who makes a call goes by an instance, and never names the doors")]

use std::future::Future;
use std::time::Duration;

use wasmtime::{Result, Store};

use super::bindings::types::{Advice, ChunkAction, Ending, Outcome, Verdict};
use super::component::{self, call, wait};
use super::direct;
use super::fault::Fault;
use super::guest::Guest;
use crate::exchange::Exchange;
use crate::phase::Phase;
use crate::telemetry::FaultKind;

/// A call of a phase. Without the phase, the answer is the one that changes nothing.
pub trait Call: Copy {
    /// What comes back.
    type Answer;

    /// The phase.
    fn phase(self) -> Phase;

    /// Calls the core module's function.
    fn directly(self, exports: &direct::Exports, store: &mut Store<Guest>) -> Result<Self::Answer>;

    /// Calls through the component layer.
    fn layered(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<Self::Answer>;

    /// Calls through the component layer a guest that may wait.
    fn waiting(
        self,
        exports: &component::Exports,
        store: &mut Store<Guest>,
    ) -> impl Future<Output = Result<Self::Answer>>;

    /// Whether the answer makes sense with the exchange as the filter left it.
    fn check(_answer: &Self::Answer, _exchange: &Exchange) -> std::result::Result<(), Fault> {
        Ok(())
    }
}

/// `configure`, with the configuration as JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configure<'a>(pub(super) &'a str);

/// A phase whose answer is a verdict.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// `on-request`.
    Request,
    /// `on-request-body`.
    RequestBody,
    /// `before-attempt`, with the attempt's number, counted from 1.
    BeforeAttempt(u32),
    /// `on-response`.
    Response,
}

/// `after-attempt`.
#[derive(Debug, Clone, Copy)]
pub struct AfterAttempt {
    /// The attempt's number, counted from 1.
    pub number: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// `on-response-chunk`.
#[derive(Debug, Clone, Copy)]
pub struct OnResponseChunk<'a> {
    /// The next bytes of the body.
    pub chunk: &'a [u8],
    /// No other follows.
    pub last: bool,
}

/// `on-complete`.
#[derive(Debug, Clone, Copy)]
pub struct OnComplete {
    /// How the exchange ended.
    pub ending: Ending,
    /// How long it took.
    pub elapsed: Duration,
}

impl Call for Configure<'_> {
    type Answer = std::result::Result<(), String>;

    fn phase(self) -> Phase {
        Phase::Configure
    }

    fn directly(self, exports: &direct::Exports, store: &mut Store<Guest>) -> Result<Self::Answer> {
        exports.configure(store, self.0)
    }

    fn layered(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<Self::Answer> {
        call(&exports.configure, store, (self.0.to_owned(),), Ok(()))
    }

    async fn waiting(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<Self::Answer> {
        wait(&exports.configure, store, (self.0.to_owned(),), Ok(())).await
    }
}

impl Call for Ask {
    type Answer = Verdict;

    fn phase(self) -> Phase {
        match self {
            Self::Request => Phase::OnRequest,
            Self::RequestBody => Phase::OnRequestBody,
            Self::BeforeAttempt(_) => Phase::BeforeAttempt,
            Self::Response => Phase::OnResponse,
        }
    }

    fn directly(self, exports: &direct::Exports, store: &mut Store<Guest>) -> Result<Verdict> {
        match self {
            Self::Request => exports.on_request(store),
            Self::RequestBody => exports.on_request_body(store),
            Self::BeforeAttempt(number) => exports.before_attempt(store, number),
            Self::Response => exports.on_response(store),
        }
    }

    fn layered(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<Verdict> {
        const ABSENT: Verdict = Verdict::Proceed;
        match self {
            Self::Request => call(&exports.on_request, store, (), ABSENT),
            Self::RequestBody => call(&exports.on_request_body, store, (), ABSENT),
            Self::BeforeAttempt(number) => call(&exports.before_attempt, store, (number,), ABSENT),
            Self::Response => call(&exports.on_response, store, (), ABSENT),
        }
    }

    async fn waiting(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<Verdict> {
        const ABSENT: Verdict = Verdict::Proceed;
        match self {
            Self::Request => wait(&exports.on_request, store, (), ABSENT).await,
            Self::RequestBody => wait(&exports.on_request_body, store, (), ABSENT).await,
            Self::BeforeAttempt(number) => wait(&exports.before_attempt, store, (number,), ABSENT).await,
            Self::Response => wait(&exports.on_response, store, (), ABSENT).await,
        }
    }

    /// `respond` without a reply is a fault of the filter: there would be nothing to send.
    fn check(verdict: &Verdict, exchange: &Exchange) -> std::result::Result<(), Fault> {
        if *verdict == Verdict::Respond && exchange.reply.is_none() {
            let message = "it answered `respond` without having made a reply".into();
            return Err(Fault { kind: FaultKind::Reply, message });
        }
        Ok(())
    }
}

impl Call for AfterAttempt {
    type Answer = Advice;

    fn phase(self) -> Phase {
        Phase::AfterAttempt
    }

    fn directly(self, exports: &direct::Exports, store: &mut Store<Guest>) -> Result<Advice> {
        exports.after_attempt(store, self.number, self.outcome, micros(self.elapsed))
    }

    fn layered(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<Advice> {
        let parameters = (self.number, self.outcome, micros(self.elapsed));
        call(&exports.after_attempt, store, parameters, Advice::Accept)
    }

    async fn waiting(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<Advice> {
        let parameters = (self.number, self.outcome, micros(self.elapsed));
        wait(&exports.after_attempt, store, parameters, Advice::Accept).await
    }
}

impl Call for OnResponseChunk<'_> {
    type Answer = ChunkAction;

    fn phase(self) -> Phase {
        Phase::OnResponseChunk
    }

    fn directly(self, exports: &direct::Exports, store: &mut Store<Guest>) -> Result<ChunkAction> {
        exports.on_response_chunk(store, self.chunk, self.last)
    }

    fn layered(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<ChunkAction> {
        call(&exports.on_response_chunk, store, (self.chunk.to_vec(), self.last), ChunkAction::Pass)
    }

    async fn waiting(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<ChunkAction> {
        wait(&exports.on_response_chunk, store, (self.chunk.to_vec(), self.last), ChunkAction::Pass).await
    }
}

impl Call for OnComplete {
    type Answer = ();

    fn phase(self) -> Phase {
        Phase::OnComplete
    }

    fn directly(self, exports: &direct::Exports, store: &mut Store<Guest>) -> Result<()> {
        exports.on_complete(store, self.ending, micros(self.elapsed))
    }

    fn layered(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<()> {
        let Some(function) = &exports.on_complete else { return Ok(()) };
        function.call(store, (self.ending, micros(self.elapsed)))
    }

    async fn waiting(self, exports: &component::Exports, store: &mut Store<Guest>) -> Result<()> {
        let Some(function) = &exports.on_complete else { return Ok(()) };
        function.call_async(store, (self.ending, micros(self.elapsed))).await
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
