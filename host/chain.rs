//! The chain of filters on one worker, and the walk of an exchange through it: which filters a phase calls, in which
//! order, what their answers amount to, and what happens when one fails.
//!
//! A filter has one live instance a worker, since a worker does one thing at a time; with `isolation: request` it gets
//! a fresh one for each exchange. An instance that faulted is dropped, and the next call makes another; so is one that a
//! large exchange has blown up.

mod walk;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::exchange::Exchange;
use crate::manifest::{Isolation, Mode, OnError};
use crate::phase::Phase;
use crate::telemetry::FilterCounters;
use crate::wasm::{Fault, Filter, Instance, Program};

pub use walk::{Chunk, Flow, Run, Walks};

/// A filter as the workers share it: its code, and what the manifest says of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its code.
    pub program: Program,
    /// What its instances need to know. Two entries that share it are the same in everything.
    pub filter: Arc<Filter>,
    /// What its failing does to the exchange.
    pub on_error: OnError,
    /// Whether exchanges share an instance.
    pub isolation: Isolation,
}

impl Entry {
    /// Whether the filter's decisions count.
    pub fn mode(&self) -> Mode {
        if self.filter.shadow { Mode::Shadow } else { Mode::Enforce }
    }
}

/// The chain on one worker.
#[derive(Debug)]
pub struct Chain {
    links: Vec<Rc<Link>>,
}

struct Link {
    entry: Entry,
    counters: FilterCounters,
    live: RefCell<Option<Instance>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("filter", &self.entry.filter.name).finish_non_exhaustive()
    }
}

impl Chain {
    /// The chain, with `counters` for each filter on this worker. What is the same in the chain before it is shared with
    /// that, live instances and all.
    pub fn new(
        entries: &[Entry],
        counters: impl Fn(&str) -> FilterCounters,
        previous: Option<&Self>,
    ) -> Self {
        let link = |entry: &Entry| {
            let mut known = previous.into_iter().flat_map(|chain| &chain.links);
            let same = known.find(|link| Arc::ptr_eq(&link.entry.filter, &entry.filter));
            same.cloned().unwrap_or_else(|| {
                let counters = counters(&entry.filter.name);
                Rc::new(Link { counters, entry: entry.clone(), live: RefCell::default() })
            })
        };
        Self { links: entries.iter().map(link).collect() }
    }

    /// Makes the instance of the filter at `index` that exchanges share, so that the first exchange does not wait for it.
    /// Without effect where there is one, or none is shared.
    pub fn warm_up(&self, index: usize) -> Result<(), Fault> {
        let Some(link) = self.links.get(index) else { return Ok(()) };
        if link.entry.isolation == Isolation::Worker && link.live.borrow().is_none() {
            *link.live.borrow_mut() = Some(Instance::new(&link.entry.program, &link.entry.filter)?);
        }
        Ok(())
    }
}

impl Link {
    /// Calls a phase on an instance. `fresh` holds the exchange's own instance, if it has one.
    fn call<R>(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        fresh: &mut Fresh,
        call: impl FnOnce(&mut Instance, &mut Box<Exchange>) -> Result<R, Fault>,
    ) -> Result<R, Failed> {
        self.counters.call(phase);
        let answer = match self.entry.isolation {
            Isolation::Worker => self.on(&mut self.live.borrow_mut(), exchange, call),
            Isolation::Request => self.on(fresh.of(self.entry.filter.index), exchange, call),
        };
        answer.map_err(|fault| self.failed(phase, exchange, &fault))
    }

    /// Calls the instance in that place, or a new one. After a fault, and when a large exchange has blown it up, it goes.
    fn on<R>(
        &self,
        place: &mut Option<Instance>,
        exchange: &mut Box<Exchange>,
        call: impl FnOnce(&mut Instance, &mut Box<Exchange>) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let instance = match place {
            Some(instance) => instance,
            None => place.insert(Instance::new(&self.entry.program, &self.entry.filter)?),
        };
        let answer = call(instance, exchange);
        if answer.is_err() || instance.is_bloated() {
            *place = None;
        }
        answer
    }

    /// A shadowed filter's answer goes to the log, and nowhere else.
    fn would_have_answered(&self, phase: Phase, exchange: &mut Exchange) {
        let Some(reply) = exchange.reply.take() else { return };
        let (filter, id) = (self.entry.filter.name.as_str(), exchange.id.as_str());
        let (status, code) = (reply.status().as_u16(), reply.code());
        tracing::info!(
            filter,
            phase = phase.as_str(),
            requestId = id,
            code,
            "shadow: it would have answered {status}"
        );
    }

    fn failed(&self, phase: Phase, exchange: &Exchange, fault: &Fault) -> Failed {
        self.counters.fault(phase, fault.kind);
        let (filter, id) = (self.entry.filter.name.as_str(), exchange.id.as_str());
        tracing::error!(filter, phase = phase.as_str(), requestId = id, "filter failed: {fault}");
        match (self.entry.filter.shadow, self.entry.on_error) {
            (false, OnError::Closed) => Failed::Closed,
            (true, _) | (_, OnError::Open) => Failed::Open,
        }
    }
}

/// What a fault means for the exchange: `on-error`. A shadowed filter's faults mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// Answer 503.
    Closed,
    /// Go on as if the filter were not there.
    Open,
}

/// The instances that belong to one exchange alone, by their filters' index.
#[derive(Debug, Default)]
struct Fresh(Vec<(usize, Option<Instance>)>);

impl Fresh {
    fn of(&mut self, filter: usize) -> &mut Option<Instance> {
        let known = self.0.iter().position(|(of, _)| *of == filter);
        let place = known.unwrap_or_else(|| {
            self.0.push((filter, None));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}
