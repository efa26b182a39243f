//! Which host, which exchange and which phase a call of the filter's belongs to: one thread runs one at a time.

use std::cell::RefCell;
use std::sync::Arc;

use super::exchange::State;
use super::shared::Shared;

/// The phases, as far as the contract's rules tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Configure,
    OnRequest,
    OnRequestBody,
    BeforeAttempt,
    AfterAttempt,
    OnResponse,
    OnResponseChunk,
    OnComplete,
}

impl Phase {
    /// Whether a change of the request's head still reaches the upstream.
    pub(super) fn request_can_change(self) -> bool {
        matches!(self, Self::OnRequest | Self::OnRequestBody | Self::BeforeAttempt)
    }
}

/// What the imports of a running filter work on.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) phase: Phase,
    pub(super) exchange: Option<State>,
}

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

impl Context {
    /// Runs `filter` in this context; returns what it returned, and the exchange as it left it.
    pub(super) fn run<R>(self, filter: impl FnOnce() -> R) -> (R, Option<State>) {
        // A filter that panicked in an earlier test may have left its context here: it is of no use any more.
        CURRENT.replace(Some(self));
        let result = filter();
        (result, CURRENT.take().and_then(|context| context.exchange))
    }
}

/// Gives an import the host it was called on.
pub(super) fn with_host<R>(import: impl FnOnce(&Shared) -> R) -> R {
    CURRENT.with_borrow(|current| match current {
        Some(context) => import(&context.shared),
        None => trap("there is no host: call the filter through a testing::Host or a testing::Exchange"),
    })
}

/// Gives an import the exchange in hand.
pub(super) fn with_exchange<R>(import: impl FnOnce(&mut State, Phase) -> R) -> R {
    CURRENT.with_borrow_mut(|current| match current {
        Some(Context { exchange: Some(exchange), phase, .. }) => import(exchange, *phase),
        Some(_) => trap("there is no exchange in hand in `configure`"),
        None => trap("there is no exchange: call the filter through a testing::Exchange"),
    })
}

/// What would be a trap in a component.
#[allow(clippy::panic, reason = "in a test, a trap has to fail the test")]
pub(super) fn trap(why: &str) -> ! {
    panic!("trap: {why}")
}
