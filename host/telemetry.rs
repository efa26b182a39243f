//! What the host counts, and how `/metrics` shows it. Every worker counts in a shard of its own, with relaxed
//! atomics that only it writes; a scrape sums the shards. Nothing is locked or shared on a request's path,
//! and handles are resolved when a chain is built. The text comes from the `prometheus` crate's encoder, fed
//! from the shards directly: OpenTelemetry has no observable histogram, so that durations would have to be
//! recorded a second time, in its own locked aggregation.

mod counter;
mod family;
mod guest;
mod host;
mod label;
pub(crate) mod process;
mod reload;
mod shard;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use prometheus::TextEncoder;

pub use guest::{GuestMetricError, MAX_FIGURES, MAX_LABELS, MAX_NAME, MAX_TEXT};
pub use label::{AttemptOutcome, ConnectionEvent, ErrorType, FaultKind, ReloadResult, RetryResult};
pub use worker::{FilterCounters, InFlight, ProviderCounters, Worker};

use family::Family;
use guest::{GuestMetrics, Kind};
use reload::Reloads;
use shard::Shards;

/// The `content-type` of what [`Telemetry::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The longest namespace, in bytes.
const MAX_NAMESPACE: usize = 64;

/// All counters of the process.
pub struct Telemetry {
    namespace: String,
    shards: Shards,
    reloads: Reloads,
    guests: GuestMetrics,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Counters whose names begin with `namespace` and `_`.
    ///
    /// # Errors
    /// [`TelemetryError::Namespace`] if no metric's name can begin so.
    pub fn new(namespace: &str) -> Result<Arc<Self>, TelemetryError> {
        if namespace.len() > MAX_NAMESPACE || !guest::is_identifier(namespace, true) {
            return Err(TelemetryError::Namespace(namespace.to_owned()));
        }
        Ok(Arc::new(Self {
            namespace: namespace.to_owned(),
            shards: Shards::default(),
            reloads: Reloads::default(),
            guests: GuestMetrics::new(namespace, host::reserved_names(namespace)),
        }))
    }

    /// What the names of all metrics begin with.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Counts a reload, and notes whether the manifest on disk is the one that runs.
    pub fn reload(&self, result: ReloadResult) {
        self.reloads.count(result);
    }

    /// A new shard, for the thread that calls this. What it counts stays in the sums when the worker is gone.
    #[must_use]
    pub fn worker(&self) -> Worker {
        Worker::new(self.shards.add())
    }

    /// Exchanges in flight now, over all workers: one load a worker.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.shards.sum(|shard| &shard.active_requests)
    }

    /// Client connections open now, over all workers: one load a worker.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shards.sum(|shard| &shard.downstream_connections)
    }

    /// All metrics in Prometheus' text format 0.0.4, sorted by name. It reads `/proc`, which blocks for some
    /// 100 µs.
    ///
    /// # Errors
    /// [`TelemetryError::Encode`] if the encoder refuses a family; none that is made here gives it a reason
    /// to.
    pub fn render(&self) -> Result<String, TelemetryError> {
        let mut families = host::families(&self.namespace, &self.shards, &self.reloads);
        families.extend(process::families(Path::new("/")));
        families.extend(self.guests.families());
        let mut families: Vec<_> = families.into_iter().filter_map(Family::finish).collect();
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families).map_err(TelemetryError::Encode)
    }

    /// What a scrape is answered with: [`Self::render`], or 500 if that fails, with a line in the log.
    #[must_use]
    pub fn answer(&self) -> Response<Bytes> {
        let (status, text) = match self.render() {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => {
                tracing::error!("metrics cannot be rendered: {error}");
                (StatusCode::INTERNAL_SERVER_ERROR, String::new())
            }
        };
        let mut response = Response::new(text.into());
        *response.status_mut() = status;
        response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        response
    }

    /// A filter's counter, shared by all workers: add to it with `fetch_add`. It shows as the namespace, `_`,
    /// `name` and `_total`. Takes a lock: keep what it returns.
    ///
    /// # Errors
    /// See [`GuestMetricError`]; the contract makes each a trap.
    pub fn guest_counter(
        &self,
        filter: &str,
        name: &str,
        help: &str,
        labels: Vec<(String, String)>,
    ) -> Result<Arc<AtomicU64>, GuestMetricError> {
        self.guests.open(Kind::Counter, filter, name, help, labels)
    }

    /// A filter's gauge, shared by all workers: store the bits of an `f64`. It shows as the namespace, `_`
    /// and `name`. Takes a lock: keep what it returns.
    ///
    /// # Errors
    /// See [`GuestMetricError`]; the contract makes each a trap.
    pub fn guest_gauge(
        &self,
        filter: &str,
        name: &str,
        help: &str,
        labels: Vec<(String, String)>,
    ) -> Result<Arc<AtomicU64>, GuestMetricError> {
        self.guests.open(Kind::Gauge, filter, name, help, labels)
    }
}

/// Why the counters cannot be made or shown.
#[derive(Debug)]
pub enum TelemetryError {
    /// No metric's name can begin with this.
    Namespace(String),
    /// The text could not be written.
    Encode(prometheus::Error),
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => write!(
                f,
                "{name:?} is no metrics namespace: it takes 1 to {MAX_NAMESPACE} letters, digits, `_` and \
                 `:`, and does not begin with a digit"
            ),
            Self::Encode(error) => write!(f, "the metrics cannot be written: {error}"),
        }
    }
}

impl std::error::Error for TelemetryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Namespace(_) => None,
            Self::Encode(error) => Some(error),
        }
    }
}
