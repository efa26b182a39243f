//! A circuit breaker for each upstream, shared by all workers. Every attempt asks it first, and it learns how every
//! attempt ended.
//!
//! * **Closed**: attempts pass. After `failures` failures in a row the circuit opens.
//! * **Open**: attempts are refused with 503 `circuit_open` and `Retry-After`, and no connection is made. After
//!   `timeout-ms` the circuit is half open.
//! * **Half open**: at most `probes` attempts at a time pass, to find out. After `successes` successes the circuit
//!   closes; one failure opens it again.
//!
//! | config key | unit | default |
//! |---|---|---|
//! | `failures` | in a row, at least 1 | 5 |
//! | `successes` | 1 to 127 | 2 |
//! | `timeout-ms` | ms, at least 1 | 60000 |
//! | `probes` | at a time, 1 to 127 | 1 |
//!
//! A failed connect, a timeout, a broken connection and a status of 500 or more are failures at once; a response that
//! breaks off in its body is one when it does. A 429 says nothing either way. Any other response is a success once
//! its body was delivered, and says nothing if the client left before. Results of attempts from before a change of
//! state do not count after it. A probe that is never heard of again, because its worker died, is given up when its
//! exchange must have timed out.
//!
//! Metrics: the gauge `circuit_breaker_state` by `provider` and `state` (`closed`, `open`, `half_open`), 1 for the
//! state that the circuit is in, 0 for the others; upstreams that share a provider share it. Health: the check
//! `breaker:` and the upstream's name, for the first 64 upstreams. Every change of state is logged.

mod circuit;
mod upstream;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use tollgate_sdk::{Advice, Ending, Filter, OnAttempt, OnComplete, Outcome, Verdict, clock, exchange, reply};

use self::circuit::{MAX_COUNT, Settlement, Thresholds, Ticket};
use self::upstream::{Refused, Upstream};

/// The filter's config, as the crate's documentation says.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Consecutive failures that open a circuit.
    pub failures: u32,
    /// Successes that close it.
    pub successes: u8,
    /// Milliseconds from opening to the first probe.
    pub timeout_ms: u32,
    /// Probes at a time.
    pub probes: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self { failures: 5, successes: 2, timeout_ms: 60_000, probes: 1 }
    }
}

/// Fails fast while an upstream fails.
pub struct Breaker {
    thresholds: Thresholds,
    /// Those met so far: a few, by name and by number.
    upstreams: RefCell<Vec<Rc<Upstream>>>,
}

impl Filter for Breaker {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        let thresholds = config.thresholds()?;
        Ok(Self { thresholds, upstreams: RefCell::default() })
    }
}

impl OnAttempt for Breaker {
    fn before_attempt(&self, number: u32) -> Verdict {
        if number > 1 {
            // The answer to the attempt before was given up for another attempt.
            self.settle(Settlement::Neutral);
        }
        let upstream = self.upstream();
        match upstream.admit(&self.thresholds) {
            Ok(ticket) => {
                Held { upstream: upstream.ordinal, ticket, awaiting: Awaiting::Head }.keep();
                Verdict::Proceed
            }
            Err(refused) => refuse(refused),
        }
    }

    fn after_attempt(&self, _number: u32, outcome: Outcome, _elapsed: Duration) -> Advice {
        match outcome {
            Outcome::Status(429) => self.settle(Settlement::Neutral),
            // Whether it is a success shows when its body has arrived.
            Outcome::Status(status) if status < 500 => {
                if let Some(held) = Held::now() {
                    Held { awaiting: Awaiting::Body, ..held }.keep();
                }
            }
            Outcome::Status(_) | Outcome::ConnectFailed | Outcome::TimedOut | Outcome::Reset => {
                self.settle(failure());
            }
        }
        Advice::Accept
    }
}

impl OnComplete for Breaker {
    fn on_complete(&self, ending: Ending, _elapsed: Duration) {
        let Some(held) = Held::now() else { return };
        // Nobody looks at the slot any more.
        self.settle_held(
            held,
            match (held.awaiting, ending) {
                // The attempt never ended, so it says nothing.
                (Awaiting::Head, _) | (Awaiting::Body, Ending::ClientGone) => Settlement::Neutral,
                // Replied: the upstream did well, and then a filter or the host replaced its answer.
                (Awaiting::Body, Ending::Complete | Ending::Replied) => Settlement::Success,
                (Awaiting::Body, Ending::UpstreamBroke) => failure(),
            },
        );
    }
}

tollgate_sdk::export!(Breaker: on_attempt, on_complete);

impl Config {
    fn thresholds(self) -> Result<Thresholds, String> {
        for (key, value) in [("failures", self.failures), ("timeout-ms", self.timeout_ms)] {
            if value == 0 {
                return Err(format!("{key}: must be at least 1"));
            }
        }
        for (key, value) in [("successes", self.successes), ("probes", self.probes)] {
            if !(1..=MAX_COUNT).contains(&value) {
                return Err(format!("{key}: must be 1 to {MAX_COUNT}"));
            }
        }
        Ok(Thresholds {
            failures: self.failures,
            successes: self.successes,
            timeout_ms: self.timeout_ms.into(),
            probes: self.probes,
        })
    }
}

impl Breaker {
    /// The circuit of the upstream that the exchange in hand goes to.
    fn upstream(&self) -> Rc<Upstream> {
        let name = exchange::upstream();
        let mut upstreams = self.upstreams.borrow_mut();
        if let Some(known) = upstreams.iter().find(|upstream| upstream.name == name) {
            return Rc::clone(known);
        }
        let opened = Rc::new(Upstream::open(name, &exchange::provider()));
        upstreams.push(Rc::clone(&opened));
        opened
    }

    /// Settles what the exchange holds, if it holds something, so that it holds nothing.
    fn settle(&self, settlement: Settlement) {
        if let Some(held) = Held::now() {
            exchange::set_slot(0);
            self.settle_held(held, settlement);
        }
    }

    fn settle_held(&self, held: Held, settlement: Settlement) {
        let known = self.upstreams.borrow().iter().find(|known| known.ordinal == held.upstream).cloned();
        // An instance that was made meanwhile has not met it yet.
        let upstream = known.unwrap_or_else(|| self.upstream());
        upstream.settle(&self.thresholds, held.ticket, settlement);
    }
}

/// What an admitted attempt still owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaiting {
    Head,
    Body,
}

/// What an exchange holds, in its slot, for whichever instance meets it next: the number of an upstream, a ticket of its
/// circuit, and what is awaited.
#[derive(Clone, Copy, Debug)]
struct Held {
    upstream: u32,
    ticket: Ticket,
    awaiting: Awaiting,
}

const HELD: u64 = 1;
const BODY: u64 = 1 << 1;
const GENERATION_SHIFT: u32 = 16;
const UPSTREAM_SHIFT: u32 = 32;

impl Held {
    /// Keeps it in the slot of the exchange in hand.
    fn keep(self) {
        let body = if self.awaiting == Awaiting::Body { BODY } else { 0 };
        let generation = u64::from(self.ticket.generation) << GENERATION_SHIFT;
        exchange::set_slot(HELD | body | generation | u64::from(self.upstream) << UPSTREAM_SHIFT);
    }

    /// What the exchange in hand holds.
    fn now() -> Option<Self> {
        let slot = exchange::slot();
        let ticket = Ticket { generation: (slot >> GENERATION_SHIFT) as u16 };
        let awaiting = if slot & BODY != 0 { Awaiting::Body } else { Awaiting::Head };
        let upstream = (slot >> UPSTREAM_SHIFT) as u32;
        (slot & HELD != 0).then_some(Self { upstream, ticket, awaiting })
    }
}

fn failure() -> Settlement {
    Settlement::Failure { now_ms: u64::try_from(clock::now().as_millis()).unwrap_or(u64::MAX) }
}

fn refuse(Refused { wait_ms }: Refused) -> Verdict {
    reply::reject(503, "circuit_open", "The upstream is failing; try again later.");
    reply::retry_after(u32::try_from(wait_ms.div_ceil(1000).max(1)).unwrap_or(u32::MAX));
    Verdict::Respond
}

#[cfg(test)]
mod tests;
