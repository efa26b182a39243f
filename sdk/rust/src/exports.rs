//! The bridge from the contract's exported functions to the traits of a filter, and the [`export!`](crate::export)
//! macro that puts it into a component. Only the macro is for authors.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::time::Duration;

use crate::bindings::tollgate::filter::types;
pub use crate::bindings::{
    lifecycle, on_attempt, on_complete, on_request, on_request_body, on_response, on_response_chunk,
};
use crate::{
    Advice, ChunkAction, Ending, Filter, OnAttempt, OnComplete, OnRequest, OnRequestBody, OnResponse,
    OnResponseChunk, Outcome, Verdict, config, log,
};

/// Makes a component of a filter: exports its lifecycle and the phases named, and no other.
///
/// Phases are `on_request`, `on_request_body`, `on_attempt`, `on_response`, `on_response_chunk`, `on_complete`. The
/// host walks the phases that a component exports, so one that is not named here costs nothing. On other targets than
/// `wasm32` the macro only checks that the filter has the traits: the same crate is tested natively.
#[macro_export]
macro_rules! export {
    ($filter:ty: $($phase:ident),+ $(,)?) => {
        $(const _: () = $crate::exports::implements::$phase::<$filter>();)+

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: ::std::cell::OnceCell<$filter> = const { ::std::cell::OnceCell::new() };
            }

            impl $crate::exports::Instance for $filter {
                fn instance<R>(use_it: impl FnOnce(&::std::cell::OnceCell<Self>) -> R) -> R {
                    INSTANCE.with(use_it)
                }
            }

            type Component = $crate::exports::Component<$filter>;
            $crate::exports::lifecycle::export!(Component with_types_in $crate::exports::lifecycle);
            $($crate::exports::$phase::export!(Component with_types_in $crate::exports::$phase);)+
        };
    };
}

/// The filter that this Wasm instance holds, once configured.
pub trait Instance: Filter {
    /// Runs `use_it` on the place where the filter is kept.
    fn instance<R>(use_it: impl FnOnce(&OnceCell<Self>) -> R) -> R;
}

/// What the host calls, for the filter `F`.
pub struct Component<F>(PhantomData<F>);

impl<F: Instance> lifecycle::exports::tollgate::filter::lifecycle::Guest for Component<F> {
    fn configure(config: String) -> Result<(), String> {
        log_panics();
        let filter = F::configure(config::parse(&config)?)?;
        F::instance(|place| place.set(filter)).map_err(|_| "configured twice".to_owned())
    }
}

impl<F: Instance + OnRequest> on_request::exports::tollgate::filter::on_request::Guest for Component<F> {
    fn on_request() -> Verdict {
        with_filter(F::on_request)
    }
}

impl<F: Instance + OnRequestBody> on_request_body::exports::tollgate::filter::on_request_body::Guest
    for Component<F>
{
    fn on_request_body() -> Verdict {
        with_filter(F::on_request_body)
    }
}

impl<F: Instance + OnAttempt> on_attempt::exports::tollgate::filter::on_attempt::Guest for Component<F> {
    fn before_attempt(number: u32) -> Verdict {
        with_filter(|filter: &F| filter.before_attempt(number))
    }

    fn after_attempt(number: u32, outcome: Outcome, elapsed_micros: u64) -> types::Advice {
        let elapsed = Duration::from_micros(elapsed_micros);
        with_filter(|filter: &F| filter.after_attempt(number, outcome, elapsed)).into()
    }
}

impl<F: Instance + OnResponse> on_response::exports::tollgate::filter::on_response::Guest for Component<F> {
    fn on_response() -> Verdict {
        with_filter(F::on_response)
    }
}

impl<F: Instance + OnResponseChunk> on_response_chunk::exports::tollgate::filter::on_response_chunk::Guest
    for Component<F>
{
    fn on_response_chunk(chunk: Vec<u8>, last: bool) -> ChunkAction {
        with_filter(|filter: &F| filter.on_response_chunk(chunk, last))
    }
}

impl<F: Instance + OnComplete> on_complete::exports::tollgate::filter::on_complete::Guest for Component<F> {
    fn on_complete(ending: Ending, elapsed_micros: u64) {
        with_filter(|filter: &F| filter.on_complete(ending, Duration::from_micros(elapsed_micros)));
    }
}

impl From<Advice> for types::Advice {
    fn from(advice: Advice) -> Self {
        match advice {
            Advice::Accept => Self::Accept,
            Advice::Retry(delay) => Self::Retry(u32::try_from(delay.as_millis()).unwrap_or(u32::MAX)),
            Advice::Stop => Self::Stop,
        }
    }
}

/// One function a phase that compiles only for filters with that phase's trait.
pub mod implements {
    use crate::{OnAttempt, OnComplete, OnRequest, OnRequestBody, OnResponse, OnResponseChunk};

    /// See [`OnRequest`].
    pub const fn on_request<F: OnRequest>() {}
    /// See [`OnRequestBody`].
    pub const fn on_request_body<F: OnRequestBody>() {}
    /// See [`OnAttempt`].
    pub const fn on_attempt<F: OnAttempt>() {}
    /// See [`OnResponse`].
    pub const fn on_response<F: OnResponse>() {}
    /// See [`OnResponseChunk`].
    pub const fn on_response_chunk<F: OnResponseChunk>() {}
    /// See [`OnComplete`].
    pub const fn on_complete<F: OnComplete>() {}
}

fn with_filter<F: Instance, R>(run: impl FnOnce(&F) -> R) -> R {
    // The host configures every instance before anything else. If it did not, there is no safe verdict: trap.
    F::instance(|place| place.get().map_or_else(|| std::process::abort(), run))
}

/// A panic becomes a trap, which carries no text: its message has to leave before.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
}
