//! What the health routes answer: whether the process is alive, whether it is ready for traffic, and, when asked to
//! look deeper, every check with its detail, those of filters among them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::pressure::Pressure;
use crate::wasm::HealthStatus;

/// How many checks one filter may report, and how long their texts may be, in bytes.
const MAX_CHECKS: usize = 64;
const MAX_TEXT: usize = 1 << 10;

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Life {
    /// Workers are starting.
    Starting,
    /// All workers serve.
    Serving,
    /// No new work is wanted.
    Draining,
}

/// The filter has reported [`MAX_CHECKS`] different checks already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyChecks;

impl fmt::Display for TooManyChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the filter has reported {MAX_CHECKS} different health checks already")
    }
}

impl std::error::Error for TooManyChecks {}

/// Where the state of the process and filters' reports are pinned up, for all workers.
#[derive(Debug, Default)]
pub struct Board {
    life: AtomicU8,
    /// The manifest on disk was refused: it is not what runs.
    outdated: AtomicBool,
    reports: Mutex<BTreeMap<(String, String), Report>>,
}

#[derive(Debug, Clone)]
struct Report {
    status: HealthStatus,
    detail: String,
}

impl Board {
    /// Says how far the process is.
    pub fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Release);
    }

    /// How far the process is.
    pub fn life(&self) -> Life {
        match self.life.load(Ordering::Acquire) {
            0 => Life::Starting,
            1 => Life::Serving,
            _ => Life::Draining,
        }
    }

    /// Says whether the newest manifest is the one that runs.
    pub fn set_current(&self, current: bool) {
        self.outdated.store(!current, Ordering::Release);
    }

    /// Takes down what filters have reported that are not among `filters`.
    pub fn keep_reports_of(&self, filters: &[&str]) {
        self.reports().retain(|(filter, _), _| filters.contains(&filter.as_str()));
    }

    /// A filter's word on one of its checks; the newest counts.
    pub fn report(
        &self,
        filter: &str,
        check: &str,
        status: HealthStatus,
        detail: &str,
    ) -> Result<(), TooManyChecks> {
        let key = (filter.to_owned(), cut(check));
        let mut reports = self.reports();
        let count = reports.keys().filter(|(of, _)| of == filter).count();
        if count >= MAX_CHECKS && !reports.contains_key(&key) {
            return Err(TooManyChecks);
        }
        reports.insert(key, Report { status, detail: cut(detail) });
        Ok(())
    }

    /// Answers `/health/live` and `/health/ready`, or nothing for another path. `query` may ask for `deep=true`.
    pub fn answer(&self, path: &str, query: Option<&str>, pressure: &Pressure) -> Option<Response<Bytes>> {
        let deep = query.is_some_and(|query| query.split('&').any(|pair| pair == "deep=true"));
        match path.trim_end_matches('/').rsplit('/').next() {
            Some("live") => Some(render(StatusCode::OK, json!({"status": "ok", "timestamp": now()}))),
            Some("ready") => Some(self.ready(deep, pressure)),
            _ => None,
        }
    }

    fn ready(&self, deep: bool, pressure: &Pressure) -> Response<Bytes> {
        let life = self.life();
        let ready = life == Life::Serving;
        let mut checks = Map::new();
        let word = match life {
            Life::Starting => "starting",
            Life::Serving => "ok",
            Life::Draining => "draining",
        };
        checks.insert("process".into(), json!({"status": word}));
        checks.insert("config".into(), self.config(deep));
        if deep {
            checks.insert("memory".into(), memory(pressure));
        }
        for ((filter, check), report) in self.reports().iter() {
            checks.insert(format!("{filter}/{check}"), report.show(deep));
        }
        let (status, word) = match ready {
            true => (StatusCode::OK, "ready"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
        };
        render(status, json!({"status": word, "timestamp": now(), "checks": checks}))
    }

    /// What is wrong with the manifest, clients need not know; the log says it.
    fn config(&self, deep: bool) -> Value {
        let (status, detail) = match self.outdated.load(Ordering::Acquire) {
            false => ("ok", "the newest manifest runs"),
            true => ("degraded", "the newest manifest was refused, and the one before it runs: see the log"),
        };
        if deep { json!({"status": status, "detail": detail}) } else { json!({"status": status}) }
    }

    fn reports(&self) -> MutexGuard<'_, BTreeMap<(String, String), Report>> {
        // A thread that panicked while holding it left a whole map: every change is one insertion.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    fn show(&self, deep: bool) -> Value {
        let status = match self.status {
            HealthStatus::Ok => "ok",
            HealthStatus::Degraded => "degraded",
            HealthStatus::Down => "down",
        };
        if deep { json!({"status": status, "detail": self.detail}) } else { json!({"status": status}) }
    }
}

fn memory(pressure: &Pressure) -> Value {
    let used = (pressure.snapshot().memory * 1000.0).round() / 10.0;
    json!({"status": if used < 95.0 { "ok" } else { "degraded" }, "used_percent": used})
}

fn render(status: StatusCode, body: Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_replaced_by_name_and_bounded() {
        let board = Board::default();
        for n in 0..MAX_CHECKS {
            board.report("f", &n.to_string(), HealthStatus::Ok, "").unwrap();
        }
        assert_eq!(board.report("f", "more", HealthStatus::Ok, ""), Err(TooManyChecks));
        board.report("f", "0", HealthStatus::Down, "why").unwrap();
        board.report("g", "0", HealthStatus::Ok, "").unwrap();
        let down = board.reports()[&("f".to_owned(), "0".to_owned())].clone();
        assert_eq!(down.show(true), json!({"status": "down", "detail": "why"}));
        assert_eq!(down.show(false), json!({"status": "down"}));
    }

    #[test]
    fn reports_go_with_their_filters() {
        let board = Board::default();
        board.report("f", "c", HealthStatus::Down, "").unwrap();
        board.report("g", "c", HealthStatus::Ok, "").unwrap();
        board.keep_reports_of(&["g"]);
        assert_eq!(board.reports().keys().map(|(filter, _)| filter.as_str()).collect::<Vec<_>>(), ["g"]);
    }

    #[test]
    fn life_goes_from_starting_to_draining() {
        let board = Board::default();
        assert_eq!(board.life(), Life::Starting);
        board.set_life(Life::Serving);
        assert_eq!(board.life(), Life::Serving);
        board.set_life(Life::Draining);
        assert_eq!(board.life(), Life::Draining);
    }
}
