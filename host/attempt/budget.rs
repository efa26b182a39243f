//! The retry budget: of all exchanges in flight, only a share may be retries at any one time. Without it, an upstream
//! that is going down gets a multiple of its load just then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::manifest;
use crate::telemetry::Telemetry;

/// The budget that all workers share.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    limits: Arc<Limits>,
    telemetry: Arc<Telemetry>,
    retrying: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Limits {
    percent: AtomicU64,
    min: AtomicU64,
}

/// The right to one retry; it ends when the attempt has.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicU64>);

impl RetryBudget {
    /// `percent` of the active exchanges, and `min` in any case.
    pub fn new(manifest: &manifest::RetryBudget, telemetry: Arc<Telemetry>) -> Self {
        let limits = Limits { percent: AtomicU64::default(), min: AtomicU64::default() };
        let budget = Self { limits: Arc::new(limits), telemetry, retrying: Arc::default() };
        budget.set(manifest);
        budget
    }

    /// Changes the share and the minimum. Retries under way still count.
    pub fn set(&self, manifest: &manifest::RetryBudget) {
        self.limits.percent.store(manifest.percent.into(), Ordering::Relaxed);
        self.limits.min.store(manifest.min.into(), Ordering::Relaxed);
    }

    /// The right to one more retry, if there is one to give.
    pub(super) fn permit(&self) -> Option<Permit> {
        let percent = self.limits.percent.load(Ordering::Relaxed);
        let share = self.telemetry.active().saturating_mul(percent) / 100;
        let limit = share.max(self.limits.min.load(Ordering::Relaxed));
        let counted =
            self.retrying.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < limit).then_some(n + 1));
        counted.ok().map(|_| Permit(self.retrying.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_always_allowed_and_then_a_share() {
        let telemetry = Telemetry::new("t").unwrap();
        let budget = RetryBudget::new(&manifest::RetryBudget { percent: 20, min: 3 }, telemetry.clone());
        let held: Vec<_> = std::iter::from_fn(|| budget.permit()).collect();
        assert_eq!(held.len(), 3);
        let worker = telemetry.worker();
        let active: Vec<_> = (0..50).map(|_| worker.active()).collect();
        let more: Vec<_> = std::iter::from_fn(|| budget.permit()).collect();
        assert_eq!(more.len(), 7, "20 % of 50 are 10");
        drop((active, more));
        assert!(budget.permit().is_none());
        drop(held);
        assert!(budget.permit().is_some());
        let _one = budget.permit();
        budget.set(&manifest::RetryBudget { percent: 0, min: 1 });
        assert!(budget.permit().is_none(), "what is under way counts after a change");
    }
}
