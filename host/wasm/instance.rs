//! A filter come to life on one worker: a store of its own, and its phases as typed functions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{ComponentNamedList, Instance as Linked, InstancePre, Lift, Lower, TypedFunc};

use super::bindings::types::{Advice, ChunkAction, Ending, Outcome, Verdict};
use super::engine::ticks;
use super::fault::Fault;
use super::guest::{Filter, Guest};
use super::program::Program;
use crate::exchange::Exchange;
use crate::phase::Phase;
use crate::telemetry::FaultKind;

/// How long a filter may take to start: it may compile schemas and expressions then.
const START: Duration = Duration::from_secs(5);

/// A live instance of a filter.
pub struct Instance {
    store: Store<Guest>,
    exports: Exports,
    time: u64,
}

/// A function that a filter may export, with its parameters and its result.
type Export<P, R> = Option<TypedFunc<P, R>>;

/// The functions of the phases that the filter exports.
#[derive(Default)]
struct Exports {
    configure: Export<(String,), (Result<(), String>,)>,
    on_request: Export<(), (Verdict,)>,
    on_request_body: Export<(), (Verdict,)>,
    before_attempt: Export<(u32,), (Verdict,)>,
    after_attempt: Export<(u32, Outcome, u64), (Advice,)>,
    on_response: Export<(), (Verdict,)>,
    on_response_chunk: Export<(Vec<u8>, bool), (ChunkAction,)>,
    on_complete: Export<(Ending, u64), ()>,
}

impl Instance {
    /// A fresh instance, configured.
    pub fn new(program: &Program, filter: &Arc<Filter>) -> Result<Self, Fault> {
        let mut store = Store::new(program.pre.engine(), Guest::new(filter.clone()));
        store.limiter(|guest| &mut guest.limiter);
        // What a guest hands over in one call is copied to the host. It has no more than its memory, but a list may
        // name the same bytes a thousand times.
        store.set_hostcall_fuel(usize::try_from(filter.memory).unwrap_or(usize::MAX));
        store.epoch_deadline_callback(|mut call| Ok(call.data_mut().overtime.decide()));
        store.set_epoch_deadline(ticks(START));
        let linked = program.pre.instantiate(&mut store).map_err(|error| unstarted(&error, &store))?;
        let exports =
            Exports::find(&linked, &mut store, program).map_err(|error| unstarted(&error, &store))?;
        let mut instance = Self { store, exports, time: ticks(filter.time) };
        instance.configure(&filter.config)?;
        instance.store.data_mut().limiter.settle();
        Ok(instance)
    }

    /// True if it holds on to so much memory that a fresh one is worth its price.
    pub fn is_bloated(&self) -> bool {
        self.store.data().limiter.is_bloated()
    }

    fn configure(&mut self, config: &str) -> Result<(), Fault> {
        let Some(configure) = &self.exports.configure else { return Ok(()) };
        let answer = configure.call(&mut self.store, (config.to_owned(),));
        match answer.map_err(|error| unstarted(&error, &self.store))? {
            (Ok(()),) => Ok(()),
            (Err(message),) => Err(Fault { kind: FaultKind::Config, message }),
        }
    }

    /// Calls `on-request`; without that phase, proceeds.
    pub fn on_request(&mut self, exchange: &mut Box<Exchange>) -> Result<Verdict, Fault> {
        self.call(exchange, |exports| &exports.on_request, (), (Verdict::Proceed,)).map(|(verdict,)| verdict)
    }

    /// Calls `on-request-body`; without that phase, proceeds.
    pub fn on_request_body(&mut self, exchange: &mut Box<Exchange>) -> Result<Verdict, Fault> {
        self.call(exchange, |exports| &exports.on_request_body, (), (Verdict::Proceed,))
            .map(|(verdict,)| verdict)
    }

    /// Calls `before-attempt`; without that phase, proceeds.
    pub fn before_attempt(&mut self, exchange: &mut Box<Exchange>, number: u32) -> Result<Verdict, Fault> {
        self.call(exchange, |exports| &exports.before_attempt, (number,), (Verdict::Proceed,))
            .map(|(verdict,)| verdict)
    }

    /// Calls `after-attempt`; without that phase, accepts.
    pub fn after_attempt(
        &mut self,
        exchange: &mut Box<Exchange>,
        number: u32,
        outcome: Outcome,
        elapsed: Duration,
    ) -> Result<Advice, Fault> {
        let parameters = (number, outcome, micros(elapsed));
        self.call(exchange, |exports| &exports.after_attempt, parameters, (Advice::Accept,))
            .map(|(advice,)| advice)
    }

    /// Calls `on-response`; without that phase, proceeds.
    pub fn on_response(&mut self, exchange: &mut Box<Exchange>) -> Result<Verdict, Fault> {
        self.call(exchange, |exports| &exports.on_response, (), (Verdict::Proceed,)).map(|(verdict,)| verdict)
    }

    /// Calls `on-response-chunk`; without that phase, passes.
    pub fn on_response_chunk(
        &mut self,
        exchange: &mut Box<Exchange>,
        chunk: Vec<u8>,
        last: bool,
    ) -> Result<ChunkAction, Fault> {
        let pass = (ChunkAction::Pass,);
        self.call(exchange, |exports| &exports.on_response_chunk, (chunk, last), pass).map(|(action,)| action)
    }

    /// Calls `on-complete`, if there is that phase.
    pub fn on_complete(
        &mut self,
        exchange: &mut Box<Exchange>,
        ending: Ending,
        elapsed: Duration,
    ) -> Result<(), Fault> {
        self.call(exchange, |exports| &exports.on_complete, (ending, micros(elapsed)), ())
    }

    /// Calls an export with the exchange in hand, under the filter's time limit. After a fault the instance is spent:
    /// `wasmtime` refuses to enter it again.
    fn call<P, R>(
        &mut self,
        exchange: &mut Box<Exchange>,
        export: impl FnOnce(&Exports) -> &Export<P, R>,
        parameters: P,
        absent: R,
    ) -> Result<R, Fault>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let Some(function) = export(&self.exports) else { return Ok(absent) };
        self.store.set_epoch_deadline(self.time);
        self.store.data_mut().begin(exchange);
        let answer = function.call(&mut self.store, parameters);
        self.store.data_mut().swap(exchange);
        answer.map_err(|error| Fault::from_error(&error, self.store.data().limiter.has_refused()))
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("filter", &self.store.data().filter.name).finish_non_exhaustive()
    }
}

impl Exports {
    fn find(linked: &Linked, store: &mut Store<Guest>, program: &Program) -> wasmtime::Result<Self> {
        let mut exports = Self::default();
        for (phase, index) in &program.exports {
            match phase {
                Phase::Configure => exports.configure = Some(linked.get_typed_func(&mut *store, index)?),
                Phase::OnRequest => exports.on_request = Some(linked.get_typed_func(&mut *store, index)?),
                Phase::OnRequestBody => {
                    exports.on_request_body = Some(linked.get_typed_func(&mut *store, index)?);
                }
                Phase::BeforeAttempt => {
                    exports.before_attempt = Some(linked.get_typed_func(&mut *store, index)?);
                }
                Phase::AfterAttempt => {
                    exports.after_attempt = Some(linked.get_typed_func(&mut *store, index)?);
                }
                Phase::OnResponse => exports.on_response = Some(linked.get_typed_func(&mut *store, index)?),
                Phase::OnResponseChunk => {
                    exports.on_response_chunk = Some(linked.get_typed_func(&mut *store, index)?);
                }
                Phase::OnComplete => exports.on_complete = Some(linked.get_typed_func(&mut *store, index)?),
            }
        }
        Ok(exports)
    }
}

/// Whether a phase's function is of the contract's type: to be known when a filter is loaded, not when it is called.
pub(super) fn check_type(
    phase: Phase,
    function: &ComponentFunc,
    pre: &InstancePre<Guest>,
) -> wasmtime::Result<()> {
    match phase {
        Phase::Configure => is_like(|exports| &exports.configure, function, pre),
        Phase::OnRequest => is_like(|exports| &exports.on_request, function, pre),
        Phase::OnRequestBody => is_like(|exports| &exports.on_request_body, function, pre),
        Phase::BeforeAttempt => is_like(|exports| &exports.before_attempt, function, pre),
        Phase::AfterAttempt => is_like(|exports| &exports.after_attempt, function, pre),
        Phase::OnResponse => is_like(|exports| &exports.on_response, function, pre),
        Phase::OnResponseChunk => is_like(|exports| &exports.on_response_chunk, function, pre),
        Phase::OnComplete => is_like(|exports| &exports.on_complete, function, pre),
    }
}

/// The place that the function would take says which type that is.
fn is_like<P, R>(
    _place: fn(&Exports) -> &Export<P, R>,
    function: &ComponentFunc,
    pre: &InstancePre<Guest>,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    function.typecheck::<P, R>(&pre.instance_type())
}

/// A filter that could not be started.
fn unstarted(error: &wasmtime::Error, store: &Store<Guest>) -> Fault {
    let fault = Fault::from_error(error, store.data().limiter.has_refused());
    match fault.kind {
        FaultKind::Timeout => Fault { message: format!("it took longer than {START:?} to start"), ..fault },
        _ => fault,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
