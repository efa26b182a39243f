//! A filter come to life on one worker: a store of its own, and its phases behind one of the doors.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;

use super::call::{Call, Configure};
use super::engine::ticks;
use super::fault::{Fault, WaitedTooLong};
use super::guest::{Filter, Guest};
use super::handles::Handles;
use super::program::Program;
use super::{component, direct};
use crate::exchange::Exchange;
use crate::telemetry::FaultKind;

/// How long a filter may take to start: it may compile schemas and expressions then.
const START: Duration = Duration::from_secs(5);

/// How many handles fresh instances may begin with: one that opens or drops another copies them all.
const MAX_SHARED_HANDLES: usize = 1024;

/// A live instance of a filter.
pub struct Instance {
    store: Store<Guest>,
    exports: Exports,
    time: u64,
}

/// The functions of the phases that a filter exports, behind one of the doors.
pub(super) enum Exports {
    /// Straight to the core module.
    Direct(Box<direct::Exports>),
    /// Through the component layer, at once.
    Component(Box<component::Exports>),
    /// Through the component layer, on a stack of the guest's own.
    Waiting(Box<component::Exports>),
}

impl Instance {
    /// A fresh instance, configured, of a filter that never waits.
    pub fn new(program: &Program, filter: &Arc<Filter>) -> Result<Self, Fault> {
        let mut store = store(program, filter);
        let exports = program.instantiate(&mut store).map_err(|error| unstarted(&error, &store))?;
        let mut instance = Self { store, exports, time: ticks(filter.time) };
        match program.configured() {
            Some(opened) => instance.store.data_mut().handles = opened.clone(),
            None => {
                let answer = instance.exports.call(&mut instance.store, Configure(&filter.config));
                instance.has_configured(answer)?;
            }
        }
        instance.store.data_mut().limiter.settle();
        Ok(instance)
    }

    /// A fresh instance, configured, of a filter that may wait; also while it starts.
    pub async fn start(program: &Program, filter: &Arc<Filter>) -> Result<Self, Fault> {
        let mut store = store(program, filter);
        let meter = store.data_mut().overtime.meter();
        let started = program.instantiate_waiting(&mut store);
        let started = within(START, meter.runs_in(started)).await;
        let exports = started.map_err(|error| unstarted(&error, &store))?;
        let mut instance = Self { store, exports, time: ticks(filter.time) };
        let configured = instance.exports.wait(&mut instance.store, Configure(&filter.config));
        let configured = within(START, meter.runs_in(configured)).await;
        instance.has_configured(configured)?;
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

    fn has_configured(&self, answer: wasmtime::Result<Result<(), String>>) -> Result<(), Fault> {
        answer
            .map_err(|error| unstarted(&error, &self.store))?
            .map_err(|message| Fault { kind: FaultKind::Config, message })
    }

    /// Calls a phase with the exchange in hand, under the filter's time limit. After a fault the instance is spent.
    pub fn call<C: Call>(&mut self, exchange: &mut Box<Exchange>, call: C) -> Result<C::Answer, Fault> {
        self.store.set_epoch_deadline(self.time);
        self.store.data_mut().begin(exchange);
        let answer = self.exports.call(&mut self.store, call);
        self.store.data_mut().swap(exchange);
        let answer = self.answered(answer)?;
        C::check(&answer, exchange)?;
        Ok(answer)
    }

    /// Calls a phase of a filter that may wait, for that long in all; its time limit is for what it computes. If this is
    /// dropped before it is done, the exchange is back where it was, and the instance is spent.
    pub async fn wait<C: Call>(
        &mut self,
        exchange: &mut Box<Exchange>,
        call: C,
        limit: Duration,
    ) -> Result<C::Answer, Fault> {
        self.store.set_epoch_deadline(self.time);
        self.store.data_mut().begin(exchange);
        let meter = self.store.data_mut().overtime.meter();
        let lent = Lent { store: &mut self.store, exchange };
        let answer = within(limit, meter.runs_in(self.exports.wait(&mut *lent.store, call))).await;
        drop(lent);
        let answer = self.answered(answer)?;
        C::check(&answer, exchange)?;
        Ok(answer)
    }

    fn answered<R>(&self, answer: wasmtime::Result<R>) -> Result<R, Fault> {
        answer.map_err(|error| Fault::from_error(&error, self.store.data().limiter.has_refused()))
    }
}

impl Exports {
    fn call<C: Call>(&self, store: &mut Store<Guest>, call: C) -> wasmtime::Result<C::Answer> {
        match self {
            Self::Direct(exports) => call.directly(exports, store),
            Self::Component(exports) => call.layered(exports, store),
            Self::Waiting(_) => Err(wasmtime::Error::msg("it may wait, and was called where nothing can")),
        }
    }

    async fn wait<C: Call>(&self, store: &mut Store<Guest>, call: C) -> wasmtime::Result<C::Answer> {
        match self {
            Self::Waiting(exports) => call.waiting(exports, store).await,
            Self::Direct(_) | Self::Component(_) => self.call(store, call),
        }
    }
}

/// An exchange in the hands of a guest that may wait. Whatever becomes of the call, it is given back.
struct Lent<'a> {
    store: &'a mut Store<Guest>,
    exchange: &'a mut Box<Exchange>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.store.data_mut().swap(self.exchange);
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

fn store(program: &Program, filter: &Arc<Filter>) -> Store<Guest> {
    let mut store = Store::new(program.engine(), Guest::new(filter.clone(), program.waits()));
    store.limiter(|guest| &mut guest.limiter);
    // What a component hands over in one call is copied to the host. It has no more than its memory, but a list may
    // name the same bytes a thousand times.
    store.set_hostcall_fuel(usize::try_from(filter.memory).unwrap_or(usize::MAX));
    store.epoch_deadline_callback(|mut call| Ok(call.data_mut().overtime.decide()));
    store.set_epoch_deadline(ticks(START));
    store
}

/// What comes of it within that time.
async fn within<T>(limit: Duration, call: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(wasmtime::Error::new(WaitedTooLong)),
    }
}
