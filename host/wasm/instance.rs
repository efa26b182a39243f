//! A filter come to life on one worker: a store of its own, and its phases behind one of two doors.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;

use super::bindings::types::{Advice, ChunkAction, Ending, Outcome, Verdict};
use super::engine::ticks;
use super::fault::Fault;
use super::guest::{Filter, Guest};
use super::handles::Handles;
use super::program::Program;
use crate::exchange::Exchange;
use crate::telemetry::FaultKind;

/// How long a filter may take to start: it may compile schemas and expressions then.
const START: Duration = Duration::from_secs(5);

/// How many handles fresh instances may begin with: one that opens or drops another copies them all.
const MAX_SHARED_HANDLES: usize = 1024;

/// A live instance of a filter.
pub struct Instance {
    store: Store<Guest>,
    phases: Box<dyn Phases>,
    time: u64,
}

/// The functions of the phases that a filter exports, as one of the doors calls them. Without the phase, the answer is the
/// one that changes nothing.
pub(super) trait Phases {
    fn configure(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<Result<(), String>>;
    fn on_request(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict>;
    fn on_request_body(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict>;
    fn before_attempt(&self, store: &mut Store<Guest>, number: u32) -> wasmtime::Result<Verdict>;
    fn after_attempt(
        &self,
        store: &mut Store<Guest>,
        number: u32,
        outcome: Outcome,
        micros: u64,
    ) -> wasmtime::Result<Advice>;
    fn on_response(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict>;
    fn on_response_chunk(
        &self,
        store: &mut Store<Guest>,
        chunk: &[u8],
        last: bool,
    ) -> wasmtime::Result<ChunkAction>;
    fn on_complete(&self, store: &mut Store<Guest>, ending: Ending, micros: u64) -> wasmtime::Result<()>;
}

impl Instance {
    /// A fresh instance, configured.
    pub fn new(program: &Program, filter: &Arc<Filter>) -> Result<Self, Fault> {
        let mut store = Store::new(program.engine(), Guest::new(filter.clone()));
        store.limiter(|guest| &mut guest.limiter);
        // What a component hands over in one call is copied to the host. It has no more than its memory, but a list may
        // name the same bytes a thousand times.
        store.set_hostcall_fuel(usize::try_from(filter.memory).unwrap_or(usize::MAX));
        store.epoch_deadline_callback(|mut call| Ok(call.data_mut().overtime.decide()));
        store.set_epoch_deadline(ticks(START));
        let phases = program.instantiate(&mut store).map_err(|error| unstarted(&error, &store))?;
        let mut instance = Self { store, phases, time: ticks(filter.time) };
        match program.configured() {
            Some(opened) => instance.store.data_mut().handles = opened.clone(),
            None => instance.configure(&filter.config)?,
        }
        instance.store.data_mut().limiter.settle();
        Ok(instance)
    }

    /// True if it holds on to so much memory that a fresh one is worth its price.
    pub fn is_bloated(&self) -> bool {
        self.store.data().limiter.is_bloated()
    }

    /// What `take` makes of the core module's instance, and what the instance has opened.
    pub(super) fn image<T>(
        &mut self,
        take: impl FnOnce(&mut Store<Guest>, wasmtime::Instance) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<(T, Handles)> {
        let core = self.store.data().linear.as_ref().map(|linear| linear.instance);
        let core = core.ok_or_else(|| wasmtime::Error::msg("a component has no image"))?;
        let handles = self.store.data().handles.clone();
        if handles.len() > MAX_SHARED_HANDLES {
            return Err(wasmtime::Error::msg("it has opened too much to begin with every time"));
        }
        Ok((take(&mut self.store, core)?, handles))
    }

    fn configure(&mut self, config: &str) -> Result<(), Fault> {
        let answer = self.phases.configure(&mut self.store, config);
        answer
            .map_err(|error| unstarted(&error, &self.store))?
            .map_err(|message| Fault { kind: FaultKind::Config, message })
    }

    /// Calls `on-request`; without that phase, proceeds.
    pub fn on_request(&mut self, exchange: &mut Box<Exchange>) -> Result<Verdict, Fault> {
        self.call(exchange, |phases, store| phases.on_request(store))
    }

    /// Calls `on-request-body`; without that phase, proceeds.
    pub fn on_request_body(&mut self, exchange: &mut Box<Exchange>) -> Result<Verdict, Fault> {
        self.call(exchange, |phases, store| phases.on_request_body(store))
    }

    /// Calls `before-attempt`; without that phase, proceeds.
    pub fn before_attempt(&mut self, exchange: &mut Box<Exchange>, number: u32) -> Result<Verdict, Fault> {
        self.call(exchange, |phases, store| phases.before_attempt(store, number))
    }

    /// Calls `after-attempt`; without that phase, accepts.
    pub fn after_attempt(
        &mut self,
        exchange: &mut Box<Exchange>,
        number: u32,
        outcome: Outcome,
        elapsed: Duration,
    ) -> Result<Advice, Fault> {
        self.call(exchange, |phases, store| phases.after_attempt(store, number, outcome, micros(elapsed)))
    }

    /// Calls `on-response`; without that phase, proceeds.
    pub fn on_response(&mut self, exchange: &mut Box<Exchange>) -> Result<Verdict, Fault> {
        self.call(exchange, |phases, store| phases.on_response(store))
    }

    /// Calls `on-response-chunk`; without that phase, passes.
    pub fn on_response_chunk(
        &mut self,
        exchange: &mut Box<Exchange>,
        chunk: &[u8],
        last: bool,
    ) -> Result<ChunkAction, Fault> {
        self.call(exchange, |phases, store| phases.on_response_chunk(store, chunk, last))
    }

    /// Calls `on-complete`, if there is that phase.
    pub fn on_complete(
        &mut self,
        exchange: &mut Box<Exchange>,
        ending: Ending,
        elapsed: Duration,
    ) -> Result<(), Fault> {
        self.call(exchange, |phases, store| phases.on_complete(store, ending, micros(elapsed)))
    }

    /// Calls an export with the exchange in hand, under the filter's time limit. After a fault the instance is spent.
    fn call<R>(
        &mut self,
        exchange: &mut Box<Exchange>,
        call: impl FnOnce(&dyn Phases, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.store.set_epoch_deadline(self.time);
        self.store.data_mut().begin(exchange);
        let answer = call(&*self.phases, &mut self.store);
        self.store.data_mut().swap(exchange);
        answer.map_err(|error| Fault::from_error(&error, self.store.data().limiter.has_refused()))
    }
}

impl Drop for Instance {
    /// Looks at each page of the memory, for the sake of what puts it back (see `engine`): one that the kernel has taken
    /// away comes back, and one that it is moving is waited for.
    fn drop(&mut self) {
        const PAGE: usize = 4096;
        let memory = self.store.data().linear.as_ref().and_then(|linear| linear.memory);
        let bytes = memory.map_or(&[][..], |memory| memory.data(&self.store));
        std::hint::black_box(bytes.iter().step_by(PAGE).fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("filter", &self.store.data().filter.name).finish_non_exhaustive()
    }
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
