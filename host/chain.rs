//! The chain of filters on one worker, and the walk of an exchange through it: which filters a phase calls, in which
//! order, what their answers amount to, and what happens when one fails.
//!
//! A filter has one live instance a worker, since a worker does one thing at a time; with `isolation: request` it gets
//! a fresh one for each exchange. An instance that faulted is dropped, and the next call makes another; so is one that a
//! large exchange has blown up, or that has served `max-reuse` exchanges. A filter that may wait has several (`waiting`).

mod waiting;
mod walk;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::exchange::Exchange;
use crate::manifest::{Isolation, Mode, OnError};
use crate::phase::Phase;
use crate::telemetry::FilterCounters;
use crate::wasm::{Call, Fault, Filter, Instance, Program};

use waiting::Crowd;

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
    /// How many exchanges may share one.
    pub max_reuse: Option<u32>,
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
    /// It may wait.
    waits: bool,
    /// How many exchanges the live instance has begun, if they are limited.
    begun: Cell<u32>,
    /// The instances of a filter that may wait.
    crowd: Crowd,
    /// How many instances belong to one exchange each.
    owned: Rc<Cell<usize>>,
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
                Rc::new(Link::new(entry, counters))
            })
        };
        Self { links: entries.iter().map(link).collect() }
    }

    /// Makes the instance of the filter at `index` that exchanges share, so that the first exchange does not wait for it.
    /// Without effect where there is one, or none is shared.
    pub async fn warm_up(&self, index: usize) -> Result<(), Fault> {
        let Some(link) = self.links.get(index) else { return Ok(()) };
        let Entry { program, filter, isolation, .. } = &link.entry;
        if *isolation == Isolation::Worker && link.waits && link.crowd.is_empty() {
            link.crowd.add(Instance::start(program, filter).await?);
        }
        if *isolation == Isolation::Worker && !link.waits && link.live.borrow().is_none() {
            *link.live.borrow_mut() = Some(Instance::new(program, filter)?);
        }
        Ok(())
    }
}

impl Link {
    fn new(entry: &Entry, counters: FilterCounters) -> Self {
        Self {
            counters,
            live: RefCell::default(),
            begun: Cell::new(0),
            waits: entry.program.waits(),
            crowd: Crowd::new(entry.filter.instances),
            owned: Rc::default(),
            entry: entry.clone(),
        }
    }

    /// Calls a phase on an instance. `fresh` holds the exchange's own instance, if it has one.
    async fn call<C: Call>(
        &self,
        exchange: &mut Box<Exchange>,
        fresh: &mut Fresh,
        call: C,
    ) -> Result<C::Answer, Failed> {
        if self.waits {
            // What the future holds meanwhile is for those that need it.
            return Box::pin(self.wait(exchange, fresh, call)).await;
        }
        self.call_at_once(exchange, fresh, call)
    }

    fn call_at_once<C: Call>(
        &self,
        exchange: &mut Box<Exchange>,
        fresh: &mut Fresh,
        call: C,
    ) -> Result<C::Answer, Failed> {
        self.counters.call(call.phase());
        let answer = match self.entry.isolation {
            Isolation::Worker => self.on_shared(exchange, call),
            Isolation::Request => fresh.of(self).and_then(|own| self.on(own, exchange, call)),
        };
        answer.map_err(|fault| self.failed(call.phase(), exchange, &fault))
    }

    /// Calls the instance that exchanges share.
    fn on_shared<C: Call>(&self, exchange: &mut Box<Exchange>, call: C) -> Result<C::Answer, Fault> {
        let mut live = self.live.borrow_mut();
        if let Some(limit) = self.entry.max_reuse
            && self.begins(call.phase())
        {
            if self.begun.get() >= limit {
                *live = None;
                self.begun.set(0);
            }
            self.begun.set(self.begun.get() + 1);
        }
        self.on(&mut live, exchange, call)
    }

    /// True of the first phase of an exchange that the filter takes part in.
    fn begins(&self, phase: Phase) -> bool {
        self.entry.program.phases.first() == Some(&phase)
    }

    /// Calls the instance in that place, or a new one. After a fault, and when a large exchange has blown it up, it goes.
    fn on<C: Call>(
        &self,
        place: &mut Option<Instance>,
        exchange: &mut Box<Exchange>,
        call: C,
    ) -> Result<C::Answer, Fault> {
        let instance = match place {
            Some(instance) => instance,
            None => place.insert(Instance::new(&self.entry.program, &self.entry.filter)?),
        };
        let answer = instance.call(exchange, call);
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

/// The instances that belong to one exchange alone.
#[derive(Debug, Default)]
struct Fresh(Vec<Own>);

/// An exchange's own instance of one filter.
#[derive(Debug)]
struct Own {
    /// The filter's index.
    filter: usize,
    instance: Option<Instance>,
    /// Counts it while the exchange lasts.
    owned: Rc<Cell<usize>>,
}

impl Fresh {
    /// The place of the exchange's own instance, if there may be one more.
    fn of(&mut self, link: &Link) -> Result<&mut Option<Instance>, Fault> {
        let filter = link.entry.filter.index;
        let known = self.0.iter().position(|own| own.filter == filter);
        let place = match known {
            Some(place) => place,
            None if link.owned.get() >= link.entry.filter.instances => return Err(link.crowded()),
            None => {
                link.owned.set(link.owned.get() + 1);
                self.0.push(Own { filter, instance: None, owned: link.owned.clone() });
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[place].instance)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.owned.set(self.owned.get() - 1);
    }
}
