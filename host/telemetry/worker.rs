//! The handles with which a worker counts. They belong to the thread that made them, and the compiler sees to
//! it: each is an `Rc`. Counting through them is a load and a store.
#![expect(
    clippy::redundant_allocation,
    reason = "cloning an Arc takes a locked instruction, and a guard is made for every exchange"
)]

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::counter::Counter;
use super::label::{AttemptOutcome, ConnectionEvent, ErrorType, FaultKind, RetryResult};
use super::shard::{FilterSeries, PhaseSeries, ProviderSeries, Shard};
use crate::phase::Phase;

/// One worker's own figures. Made by [`Telemetry::worker`](super::Telemetry::worker).
#[derive(Clone)]
pub struct Worker(Rc<Arc<Shard>>);

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    pub(super) fn new(shard: Arc<Shard>) -> Self {
        Self(Rc::new(shard))
    }

    /// The counters of an upstream's provider. Takes a lock: ask when the chain is built, and keep them. The
    /// same name gives the same series, also after a reload.
    #[must_use]
    pub fn provider(&self, name: &str) -> ProviderCounters {
        ProviderCounters(Rc::new(self.0.provider(name)))
    }

    /// The counters of a filter. Takes a lock: ask when the chain is built, and keep them. The same name
    /// gives the same series, also after a reload.
    #[must_use]
    pub fn filter(&self, name: &str) -> FilterCounters {
        FilterCounters(Rc::new(self.0.filter(name)))
    }

    /// Counts an exchange as active until the guard is dropped. Built-in routes are none: filters shed by
    /// this number.
    pub fn active(&self) -> InFlight {
        self.in_flight(|shard| &shard.active_requests)
    }

    /// Counts a client's connection as open until the guard is dropped.
    pub fn connection(&self) -> InFlight {
        self.in_flight(|shard| &shard.downstream_connections)
    }

    fn in_flight(&self, gauge: fn(&Shard) -> &Counter) -> InFlight {
        gauge(&self.0).add(1);
        InFlight { shard: Rc::clone(&self.0), gauge }
    }
}

/// Something that is counted as long as this lives.
#[must_use = "it is counted only as long as this lives"]
pub struct InFlight {
    shard: Rc<Arc<Shard>>,
    gauge: fn(&Shard) -> &Counter,
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFlight").finish_non_exhaustive()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        (self.gauge)(&self.shard).subtract(1);
    }
}

/// What is counted by provider.
#[derive(Clone)]
pub struct ProviderCounters(Rc<Arc<ProviderSeries>>);

impl std::fmt::Debug for ProviderCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderCounters").finish_non_exhaustive()
    }
}

impl ProviderCounters {
    /// An exchange is over: the status that the client got, and the time from its request's head to the end
    /// of its answer. A status of 0 stands for "none was sent"; so does anything past 999.
    pub fn request(&self, status: u16, duration: Duration) {
        self.0.statuses.increment(status);
        self.0.durations.record(duration);
    }

    /// An exchange went wrong.
    pub fn error(&self, error: ErrorType) {
        self.0.errors.increment(error);
    }

    /// An attempt to reach the upstream ended.
    pub fn attempt(&self, outcome: AttemptOutcome) {
        self.0.attempts.increment(outcome);
    }

    /// A filter's wish to try again was granted or refused.
    pub fn retry(&self, result: RetryResult) {
        self.0.retries.increment(result);
    }

    /// Something happened to a connection to the upstream.
    pub fn connection(&self, event: ConnectionEvent) {
        self.0.connections.increment(event);
    }
}

/// What is counted by filter.
#[derive(Clone)]
pub struct FilterCounters(Rc<Arc<FilterSeries>>);

impl std::fmt::Debug for FilterCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterCounters").finish_non_exhaustive()
    }
}

impl FilterCounters {
    /// The filter is called.
    pub fn call(&self, phase: Phase) {
        self.with(phase, |series| series.calls.add(1));
    }

    /// The filter's verdict was `respond`.
    pub fn rejection(&self, phase: Phase) {
        self.with(phase, |series| series.rejections.add(1));
    }

    /// The filter failed.
    pub fn fault(&self, phase: Phase, kind: FaultKind) {
        self.with(phase, |series| series.faults.increment(kind));
    }

    fn with(&self, phase: Phase, count: impl FnOnce(&PhaseSeries)) {
        if let Some(series) = self.0.phase(phase) {
            count(series);
        }
    }
}
