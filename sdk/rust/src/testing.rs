//! A native test harness: runs a filter without Wasm and without a network, against a host that keeps to the contract
//! in `wit/`. What would trap in a component panics here, and so fails the test.
//!
//! A [`Host`] has one filter's shared state, metrics, logs and clock; time stands still but for [`Host::advance`].
//! An [`Exchange`] is one request on its way through the phases; several may be on their way at once, in any order.
//! A clone of a `Host` is another worker with the same state, and may go to another thread.

mod context;
mod exchange;
mod fields;
mod figures;
pub(crate) mod imports;
mod reply;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
pub use serde_json::json;

use self::context::{Context, Phase};
pub use self::exchange::Exchange;
pub use self::reply::Reply;
use self::shared::Shared;
use crate::{Filter, config, health, log, pressure};

/// The host of one filter. It begins at 2023-11-14 22:13:20 UTC, idle, and with nothing in its state.
#[derive(Clone, Default)]
pub struct Host {
    shared: Arc<Shared>,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How grave it is.
    pub level: log::Level,
    /// The text, as the filter wrote it.
    pub message: String,
}

impl Host {
    /// A host as fresh as after a start.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new instance of the filter, as a worker makes one.
    ///
    /// # Errors
    /// What the host would refuse the manifest with.
    pub fn configure<F: Filter>(&self, config: Value) -> Result<F, String> {
        let config = config::parse(&config.to_string())?;
        let context = Context { shared: Arc::clone(&self.shared), phase: Phase::Configure, exchange: None };
        context.run(|| F::configure(config)).0
    }

    /// A new exchange: `GET /` for `example.com`, from 192.0.2.1, to the upstream `main`. Change it before its first
    /// phase by [`Exchange`]'s methods of the same names.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        Exchange::new(Arc::clone(&self.shared))
    }

    /// Moves both clocks on.
    pub fn advance(&self, time: Duration) {
        self.shared.advance(time);
    }

    /// Sets what `random` makes next.
    pub fn seed(&self, seed: u64) {
        self.shared.seed(seed);
    }

    /// Sets what `pressure` reads from now on.
    pub fn set_pressure(&self, snapshot: pressure::Snapshot) {
        *shared::lock(&self.shared.pressure) = snapshot;
    }

    /// Sets who answers the filter's own requests from now on; until then, no origin is granted.
    #[cfg(feature = "http")]
    pub fn answer_requests(
        &self,
        answer: impl Fn(&crate::http::Request) -> Result<crate::http::Response, crate::http::SendError>
        + Send
        + Sync
        + 'static,
    ) {
        *shared::lock(&self.shared.responder) = Some(Arc::new(answer));
    }

    /// The value of that cell of the shared state; `None` if no one opened it.
    #[must_use]
    pub fn cell(&self, key: &str) -> Option<i64> {
        self.shared.cell(key)
    }

    /// The value of that figure, with labels in any order; `None` if no one opened it. Counters are named as the
    /// filter does, without `_total`.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        shared::lock(&self.shared.figures).value(name, labels)
    }

    /// The newest report of that health check.
    #[must_use]
    pub fn health(&self, check: &str) -> Option<(health::Status, String)> {
        shared::lock(&self.shared.checks).get(check).cloned()
    }

    /// All lines logged so far, oldest first.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        shared::lock(&self.shared.logs).clone()
    }
}

#[cfg(test)]
mod tests;
