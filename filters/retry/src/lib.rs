//! Retries attempts that failed, with exponential backoff and jitter. The filter asks; the host grants a retry only
//! within the retry budget and the request's deadline, before the first byte of the response went to the client, and
//! when the request body can be sent again.
//!
//! | config key | unit | default | |
//! |---|---|---|---|
//! | `max-retries` | attempts | 3 | retries after the first attempt |
//! | `initial-delay-ms` | ms | 1000 | the first retry's delay; it doubles with each, give or take half of it at random |
//! | `max-delay-ms` | ms | 30000 | no delay is longer |
//! | `methods` | list | GET, HEAD, PUT, DELETE, OPTIONS | what may be sent twice; name POST if your upstream bears it |
//! | `statuses` | list of statuses and classes (`503`, `5xx`) | 429, and 5xx but for 501 and 505 | responses worth another attempt |
//!
//! Besides these statuses it retries timeouts, failed connects and broken connections. A method that is not in
//! `methods` is retried only when the connect failed, for then no byte of the request reached the upstream. A response's
//! `Retry-After`, in seconds or as a date, is the least delay, as far as `max-delay-ms` allows.
//!
//! Metric: the counter `retries_requested` by `provider` and `reason`, which is one of `connect_failed`, `timed_out`,
//! `reset`, `status_429`, `status_4xx` and `status_5xx`.

mod backoff;
mod config;

use std::time::Duration;

use tollgate_sdk::metrics::{Counter, Family};
use tollgate_sdk::{
    Advice, Filter, OnAttempt, Outcome, Verdict, clock, exchange, log, random, request, response,
};

use self::backoff::Backoff;
pub use self::config::Config;
use self::config::Statuses;

/// Asks for another attempt after a failure that may pass.
pub struct Retry {
    max_retries: u32,
    methods: Vec<String>,
    statuses: Statuses,
    backoff: Backoff,
    requested: Family<Counter, 2>,
}

impl Filter for Retry {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Self {
            max_retries: config.max_retries,
            backoff: Backoff {
                initial: Duration::from_millis(config.initial_delay_ms.into()),
                max: Duration::from_millis(config.max_delay_ms.into()),
            },
            methods: config.methods,
            statuses: config.statuses,
            requested: Family::new(
                "retries_requested",
                "Retries that the filter asked for; the host may not have granted all.",
                ["provider", "reason"],
            ),
        })
    }
}

impl OnAttempt for Retry {
    fn before_attempt(&self, _number: u32) -> Verdict {
        Verdict::Proceed
    }

    fn after_attempt(&self, number: u32, outcome: Outcome, _elapsed: Duration) -> Advice {
        let Some(reason) = self.reason(outcome) else { return Advice::Accept };
        if number > self.max_retries || !self.may_send_again(outcome) {
            return Advice::Accept;
        }
        let retry_after = response::header("retry-after")
            .and_then(|value| backoff::parse_retry_after(&value, clock::system_time()));
        let delay = self.backoff.delay(number, random::unit(), retry_after);
        self.requested.with([&exchange::provider(), reason]).add(1);
        log::debug!("attempt {number} failed: {reason}; retry in {} ms", delay.as_millis());
        Advice::Retry(delay)
    }
}

tollgate_sdk::export!(Retry: on_attempt);

impl Retry {
    /// Why this outcome deserves another attempt, as the metric has it; `None` if it does not.
    fn reason(&self, outcome: Outcome) -> Option<&'static str> {
        match outcome {
            Outcome::ConnectFailed => Some("connect_failed"),
            Outcome::TimedOut => Some("timed_out"),
            Outcome::Reset => Some("reset"),
            Outcome::Status(status) if !self.statuses.contains(status) => None,
            Outcome::Status(429) => Some("status_429"),
            Outcome::Status(status) if status < 500 => Some("status_4xx"),
            Outcome::Status(_) => Some("status_5xx"),
        }
    }

    fn may_send_again(&self, outcome: Outcome) -> bool {
        outcome == Outcome::ConnectFailed || self.methods.contains(&request::method())
    }
}

#[cfg(test)]
mod tests;
