//! What one worker counts, and the list of all workers' shards. A shard is made once, lives as long as the
//! process, and keeps its series by name: a reload that asks for the same name goes on with the same series.

use std::collections::BTreeMap;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::counter::{Counter, CounterSet, DurationHistogram, StatusCounters};
use super::label::{AttemptOutcome, ConnectionEvent, ErrorType, FaultKind, RetryResult};
use crate::phase::Phase;

/// The figures of one worker. Aligned so that two workers never write to the same cache line, nor to the
/// neighbour that the processor fetches with it; so are the series below.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Shard {
    pub(super) active_requests: Counter,
    pub(super) downstream_connections: Counter,
    next: OnceLock<Arc<Shard>>,
    providers: SeriesByName<ProviderSeries>,
    filters: SeriesByName<FilterSeries>,
}

/// Everything counted by provider.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct ProviderSeries {
    pub(super) durations: DurationHistogram,
    pub(super) errors: CounterSet<ErrorType, { ErrorType::COUNT }>,
    pub(super) attempts: CounterSet<AttemptOutcome, { AttemptOutcome::COUNT }>,
    pub(super) retries: CounterSet<RetryResult, { RetryResult::COUNT }>,
    pub(super) connections: CounterSet<ConnectionEvent, { ConnectionEvent::COUNT }>,
    pub(super) statuses: StatusCounters,
}

/// Everything counted by filter.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct FilterSeries {
    phases: [PhaseSeries; Phase::ALL.len()],
}

/// What one filter did in one phase.
#[derive(Default)]
pub(super) struct PhaseSeries {
    pub(super) calls: Counter,
    pub(super) rejections: Counter,
    pub(super) faults: CounterSet<FaultKind, { FaultKind::COUNT }>,
}

impl Shard {
    pub(super) fn provider(&self, name: &str) -> Arc<ProviderSeries> {
        self.providers.series(name)
    }

    pub(super) fn filter(&self, name: &str) -> Arc<FilterSeries> {
        self.filters.series(name)
    }
}

impl FilterSeries {
    pub(super) fn phase(&self, phase: Phase) -> Option<&PhaseSeries> {
        self.phases.get(phase as usize)
    }

    /// The phases in which anything happened: a filter takes part in few of them.
    pub(super) fn active_phases(&self) -> impl Iterator<Item = (Phase, &PhaseSeries)> {
        Phase::ALL.into_iter().zip(&self.phases).filter(|(_, series)| !series.is_empty())
    }
}

impl PhaseSeries {
    fn is_empty(&self) -> bool {
        self.calls.value() == 0
            && self.rejections.value() == 0
            && self.faults.counts().all(|(_, count)| count == 0)
    }
}

/// All shards, oldest first: a list that only grows, so that reading it takes no lock.
#[derive(Default)]
pub(super) struct Shards {
    first: OnceLock<Arc<Shard>>,
}

impl Shards {
    pub(super) fn add(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard::default());
        let mut place = &self.first;
        loop {
            // `get_or_init` also settles who comes first when two threads add at once.
            let there = place.get_or_init(|| Arc::clone(&shard));
            if Arc::ptr_eq(there, &shard) {
                return shard;
            }
            place = &there.next;
        }
    }

    /// The sum of one figure over all shards.
    pub(super) fn sum(&self, figure: fn(&Shard) -> &Counter) -> u64 {
        self.each(figure).fold(0, u64::saturating_add)
    }

    /// One figure of each shard, oldest first.
    pub(super) fn each(&self, figure: fn(&Shard) -> &Counter) -> impl Iterator<Item = u64> {
        self.iter().map(move |shard| figure(shard).value())
    }

    /// The series of all providers, summed over the shards.
    pub(super) fn providers(&self) -> BTreeMap<String, ProviderSeries> {
        self.totals(|shard| &shard.providers)
    }

    /// The series of all filters, summed over the shards.
    pub(super) fn filters(&self) -> BTreeMap<String, FilterSeries> {
        self.totals(|shard| &shard.filters)
    }

    fn totals<S: Series>(&self, series: fn(&Shard) -> &SeriesByName<S>) -> BTreeMap<String, S> {
        let mut totals = BTreeMap::<String, S>::new();
        for shard in self.iter() {
            for (name, series) in series(shard).lock().iter() {
                totals.entry(name.clone()).or_default().merge(series);
            }
        }
        totals
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Shard>> {
        iter::successors(self.first.get(), |shard| shard.next.get())
    }
}

/// A group of counters that can be summed.
trait Series: Default {
    fn merge(&self, other: &Self);
}

impl Series for ProviderSeries {
    fn merge(&self, other: &Self) {
        self.durations.merge(&other.durations);
        self.errors.merge(&other.errors);
        self.attempts.merge(&other.attempts);
        self.retries.merge(&other.retries);
        self.connections.merge(&other.connections);
        self.statuses.merge(&other.statuses);
    }
}

impl Series for FilterSeries {
    fn merge(&self, other: &Self) {
        for (into, from) in self.phases.iter().zip(&other.phases) {
            into.calls.add(from.calls.value());
            into.rejections.add(from.rejections.value());
            into.faults.merge(&from.faults);
        }
    }
}

/// Series by name. The lock is taken when a chain is built and when the figures are read, never for a
/// request.
#[derive(Default)]
struct SeriesByName<S>(Mutex<BTreeMap<String, Arc<S>>>);

impl<S: Series> SeriesByName<S> {
    fn series(&self, name: &str) -> Arc<S> {
        Arc::clone(self.lock().entry(name.to_owned()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<S>>> {
        // A map whose holder panicked between two operations is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
