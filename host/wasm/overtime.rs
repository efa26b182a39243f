//! What becomes of a call that has used up its time by the clock. On a busy machine, or in a container that has used up
//! its share of the processor, the thread may have stood still meanwhile, which is no fault of the filter's. So the call
//! may go on for as long again, and ends when its thread was really running for half of that.
//!
//! A call that waits shares its thread with others meanwhile. Its processor time is metered, and is what counts.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::engine::ticks;

/// The overtime of one call after the other, on one thread.
#[derive(Debug)]
pub(super) struct Overtime {
    limit: Duration,
    /// The thread's processor time when the call's overtime began.
    since: Option<Duration>,
    /// What the host has done for all filters during the call, such as parsing the body, is not this one's to pay.
    credit: Option<Duration>,
    /// What calls that may wait have used.
    meter: Option<Arc<Meter>>,
}

impl Overtime {
    /// For calls that may take this long.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, credit: None, meter: None }
    }

    /// What measures the calls of a guest that may wait, from now on.
    pub(super) fn meter(&mut self) -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        self.meter = Some(meter.clone());
        meter
    }

    /// A call begins.
    pub(super) fn begin(&mut self) {
        self.since = None;
        self.credit = None;
    }

    /// The host has spent time of the call on its own business. That counts once a call: a filter that makes the host do
    /// the same again and again pays for it.
    pub(super) fn credit(&mut self, spent: Duration) {
        self.credit.get_or_insert(spent);
    }

    /// The call's deadline has come. Asking the system for processor time costs more than most calls: it is asked
    /// only here.
    pub(super) fn decide(&mut self) -> UpdateDeadline {
        if let Some(meter) = &self.meter {
            let allowed = self.limit + self.credit.unwrap_or_default();
            let left = allowed.saturating_sub(meter.used());
            return if left.is_zero() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Continue(ticks(left))
            };
        }
        if let Some(credit) = self.credit.as_mut().filter(|credit| !credit.is_zero()) {
            return UpdateDeadline::Continue(ticks(std::mem::take(credit)));
        }
        let now = processor_time();
        let since = *self.since.get_or_insert(now);
        match now.saturating_sub(since) < self.limit / 2 {
            true => UpdateDeadline::Continue(ticks(self.limit)),
            false => UpdateDeadline::Interrupt,
        }
    }
}

/// The processor time of one call that may wait.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// In nanoseconds, up to the last time that it waited.
    before: AtomicU64,
    /// The thread's processor time when it last went on.
    since: AtomicU64,
}

impl Meter {
    /// Measures the call while it runs.
    pub(super) async fn runs_in<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        poll_fn(|cx| {
            self.since.store(nanos(processor_time()), Ordering::Relaxed);
            let polled = call.as_mut().poll(cx);
            self.before.store(nanos(self.used()), Ordering::Relaxed);
            polled
        })
        .await
    }

    /// What the call has used. It is running, or about to wait.
    fn used(&self) -> Duration {
        let running = nanos(processor_time()).saturating_sub(self.since.load(Ordering::Relaxed));
        Duration::from_nanos(self.before.load(Ordering::Relaxed).saturating_add(running))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long this thread has been running.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    #[test]
    #[allow(clippy::disallowed_methods, reason = "no worker runs here")]
    fn a_thread_that_stood_still_goes_on_and_one_that_ran_does_not() {
        let mut overtime = Overtime::new(LIMIT);
        assert!(matches!(overtime.decide(), UpdateDeadline::Continue(41)));
        std::thread::sleep(LIMIT);
        assert!(matches!(overtime.decide(), UpdateDeadline::Continue(_)));
        let begun = processor_time();
        while processor_time() - begun < LIMIT {
            std::hint::spin_loop();
        }
        assert!(matches!(overtime.decide(), UpdateDeadline::Interrupt));
        overtime.begin();
        assert!(matches!(overtime.decide(), UpdateDeadline::Continue(_)));
        overtime.credit(Duration::from_millis(7));
        assert!(matches!(overtime.decide(), UpdateDeadline::Continue(8)));
        overtime.begin();
        for _ in 0..3 {
            overtime.credit(Duration::from_millis(7));
        }
        assert!(matches!(overtime.decide(), UpdateDeadline::Continue(8)));
        assert!(matches!(overtime.decide(), UpdateDeadline::Continue(41)));
    }
}
