//! Numbers with one writer. The thread that owns them adds with a plain load and store, without a locked
//! instruction; any thread may read them. Two writers would lose counts, so the handles in `worker` cannot
//! leave their thread.

use std::array;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::label::Label;

/// A count that its one writer may raise and lower.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    pub(super) fn subtract(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(by), Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A counter for each value of the label `L`, of which there are `N`.
pub(super) struct CounterSet<L, const N: usize> {
    counters: [Counter; N],
    label: PhantomData<fn(L)>,
}

impl<L: Label, const N: usize> CounterSet<L, N> {
    pub(super) fn increment(&self, label: L) {
        if let Some(counter) = self.counters.get(label.index()) {
            counter.add(1);
        }
    }

    /// Every value of the label, with its count.
    pub(super) fn counts(&self) -> impl Iterator<Item = (L, u64)> {
        L::ALL.iter().copied().zip(self.counters.iter().map(Counter::value))
    }

    pub(super) fn merge(&self, other: &Self) {
        merge_counters(&self.counters, &other.counters);
    }
}

impl<L: Label, const N: usize> Default for CounterSet<L, N> {
    fn default() -> Self {
        const { assert!(N == L::ALL.len(), "one counter for each value of the label") };
        Self { counters: array::from_fn(|_| Counter::default()), label: PhantomData }
    }
}

/// One past the highest status that three digits can say.
const STATUSES: usize = 1000;

/// A counter for each HTTP status; place 0 counts exchanges that ended without one, and what is no status.
pub(super) struct StatusCounters([Counter; STATUSES]);

impl StatusCounters {
    pub(super) fn increment(&self, status: u16) {
        if let Some(counter) = self.0.get(usize::from(status)).or(self.0.first()) {
            counter.add(1);
        }
    }

    /// The statuses that were counted at least once, with their counts, in ascending order.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u16, u64)> {
        (0..).zip(self.0.iter().map(Counter::value)).filter(|(_, count)| *count > 0)
    }

    pub(super) fn merge(&self, other: &Self) {
        merge_counters(&self.0, &other.0);
    }
}

impl Default for StatusCounters {
    fn default() -> Self {
        Self(array::from_fn(|_| Counter::default()))
    }
}

/// Upper bounds of the buckets, in seconds, inclusive. From a cached answer of plain HTTP to a language
/// model's long one; the upper ones lie on the timeouts that people set.
pub(super) const BOUNDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// How many durations fell between two neighbouring bounds, and their sum.
#[derive(Default)]
pub(super) struct DurationHistogram {
    /// One for each bound, and one for what lies past the last.
    buckets: [Counter; BOUNDS.len() + 1],
    /// Seconds, as the bits of an `f64`: a sum of nanoseconds would wrap within months of a busy proxy's
    /// life.
    sum: AtomicU64,
}

impl DurationHistogram {
    pub(super) fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some(bucket) = self.buckets.get(BOUNDS.partition_point(|bound| *bound < seconds)) {
            bucket.add(1);
        }
        self.add_to_sum(seconds);
    }

    /// The counts of the buckets, not cumulative; the last is for what lies past the highest bound.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().map(Counter::value)
    }

    /// The sum of all durations, in seconds.
    pub(super) fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Relaxed))
    }

    pub(super) fn merge(&self, other: &Self) {
        merge_counters(&self.buckets, &other.buckets);
        self.add_to_sum(other.sum());
    }

    fn add_to_sum(&self, seconds: f64) {
        self.sum.store((self.sum() + seconds).to_bits(), Relaxed);
    }
}

fn merge_counters(into: &[Counter], from: &[Counter]) {
    for (into, from) in into.iter().zip(from) {
        into.add(from.value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_belongs_to_that_bound_and_a_longer_one_to_the_next() {
        let (on, past) = (DurationHistogram::default(), DurationHistogram::default());
        for bound in BOUNDS.map(Duration::from_secs_f64) {
            on.record(bound);
            past.record(bound + Duration::from_nanos(1));
        }
        let (mut first, mut last) = (vec![1; BOUNDS.len()], vec![1; BOUNDS.len()]);
        first.push(0);
        last.insert(0, 0);
        assert_eq!(on.counts().collect::<Vec<_>>(), first);
        assert_eq!(past.counts().collect::<Vec<_>>(), last);
        on.merge(&past);
        assert_eq!(on.counts().sum::<u64>(), 32);
        assert!((on.sum() - 2.0 * BOUNDS.iter().sum::<f64>()).abs() < 1e-6);
    }

    #[test]
    fn the_extremes_of_durations_are_counted() {
        let histogram = DurationHistogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.counts().next(), Some(1));
        assert_eq!(histogram.counts().last(), Some(1));
        assert!(histogram.sum().is_finite());
    }

    #[test]
    fn what_is_no_status_is_counted_as_0() {
        let statuses = StatusCounters::default();
        for status in [0, 200, 999, 1000, u16::MAX] {
            statuses.increment(status);
        }
        assert_eq!(statuses.counts().collect::<Vec<_>>(), [(0, 3), (200, 1), (999, 1)]);
    }
}
