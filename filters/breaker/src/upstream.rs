//! The circuit of one upstream, as the workers share it: its cell, and what operators see of it.

use tollgate_sdk::health::{self, Status};
use tollgate_sdk::metrics::{Gauge, Metric};
use tollgate_sdk::state::Cell;
use tollgate_sdk::{clock, exchange, log};

use crate::circuit::{Admission, Circuit, Settlement, State, Thresholds, Ticket};

/// The contract allows a filter 64 health checks, and more trap.
const MAX_HEALTH_CHECKS: i64 = 64;
/// It allows 1000 figures; a circuit has three.
const MAX_GAUGES: i64 = 300;

/// One upstream's circuit.
pub(crate) struct Upstream {
    pub(crate) name: String,
    /// Its number, the same on all workers.
    pub(crate) ordinal: u32,
    circuit: Cell,
    health_check: Option<String>,
    gauges: Vec<(&'static str, Gauge)>,
}

/// How long an attempt has to wait, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) wait_ms: u64,
}

impl Upstream {
    /// The circuit of the upstream `name`, labelled `provider` in metrics; closed if there was none.
    pub(crate) fn open(name: String, provider: &str) -> Self {
        let ordinal = ordinal(&name);
        let gauge = |state| {
            let labels = [("provider", provider), ("state", state)];
            (state, Gauge::open("circuit_breaker_state", "1 for the state the circuit is in.", &labels))
        };
        let upstream = Self {
            circuit: Cell::open(&format!("circuit:{name}")),
            health_check: (ordinal <= MAX_HEALTH_CHECKS).then(|| format!("breaker:{name}")),
            gauges: if ordinal <= MAX_GAUGES { STATE_NAMES.map(gauge).into() } else { Vec::new() },
            // There are no more than the filter has cells.
            ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
            name,
        };
        upstream.publish();
        upstream
    }

    /// Lets an attempt of the exchange in hand pass, or not.
    pub(crate) fn admit(&self, thresholds: &Thresholds) -> Result<Ticket, Refused> {
        loop {
            let (word, before) = self.read();
            let (now_ms, lease_ms) = match before.state {
                // By far the most common state needs no clock, nor a write.
                State::Closed { .. } => (0, 0),
                State::Open { .. } | State::HalfOpen { .. } => {
                    let now = clock::now();
                    (millis(now), millis(now.saturating_add(exchange::remaining())))
                }
            };
            match before.admit(thresholds, now_ms, lease_ms) {
                Admission::Refuse { wait_ms } => return Err(Refused { wait_ms }),
                Admission::Pass(after, ticket) => {
                    if self.change(word, before, after) {
                        return Ok(ticket);
                    }
                }
            }
        }
    }

    /// Tells the circuit how an attempt that it admitted has ended.
    pub(crate) fn settle(&self, thresholds: &Thresholds, ticket: Ticket, settlement: Settlement) {
        loop {
            let (word, before) = self.read();
            let after = before.settle(thresholds, ticket, settlement);
            if self.change(word, before, after) {
                return;
            }
        }
    }

    fn read(&self) -> (i64, Circuit) {
        let word = self.circuit.get();
        (word, Circuit::decode(word))
    }

    /// Replaces `before` by `after`; false if another worker was faster.
    fn change(&self, word: i64, before: Circuit, after: Circuit) -> bool {
        if before == after {
            return true;
        }
        if self.circuit.compare_exchange(word, after.encode()).is_err() {
            return false;
        }
        if state_name(before.state) != state_name(after.state) {
            self.report_transition(before.state, after.state);
        }
        true
    }

    fn report_transition(&self, from: State, to: State) {
        let level = if matches!(to, State::Open { .. }) { log::Level::Warn } else { log::Level::Info };
        let text = format!("circuit of upstream `{}`: {} → {}", self.name, state_name(from), state_name(to));
        log::write(level, &text);
        self.publish();
    }

    /// Shows the state in metrics and health. Another worker may change it meanwhile, and publish before this one
    /// does: so look again, until what was published is what is.
    fn publish(&self) {
        let mut current = self.read().1.state;
        loop {
            let published = state_name(current);
            for (name, gauge) in &self.gauges {
                gauge.set(if *name == published { 1.0 } else { 0.0 });
            }
            if let Some(check) = &self.health_check {
                let (status, detail) = health_of(current);
                health::report(check, status, detail);
            }
            current = self.read().1.state;
            if state_name(current) == published {
                return;
            }
        }
    }
}

const STATE_NAMES: [&str; 3] = ["closed", "open", "half_open"];

fn state_name(state: State) -> &'static str {
    match state {
        State::Closed { .. } => "closed",
        State::Open { .. } => "open",
        State::HalfOpen { .. } => "half_open",
    }
}

fn health_of(state: State) -> (Status, &'static str) {
    match state {
        State::Closed { .. } => (Status::Ok, "closed"),
        State::Open { .. } => (Status::Down, "open: attempts are refused"),
        State::HalfOpen { .. } => (Status::Degraded, "half open: probes are under way"),
    }
}

/// The upstream's number, counted from 1 in the order of their first exchanges, the same on all workers.
fn ordinal(name: &str) -> i64 {
    let own = Cell::open(&format!("ordinal:{name}"));
    match own.get() {
        0 => {
            let next = Cell::open("ordinals").add(1);
            own.compare_exchange(0, next).map_or_else(|found| found, |()| next)
        }
        known => known,
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
