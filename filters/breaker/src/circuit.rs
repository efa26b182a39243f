//! The circuit itself: a state machine of one word, so that workers can share it in one cell and change it by
//! compare-exchange. Nothing here calls the host.
//!
//! The word, from its low end: 2 bits of state, 16 of generation, 46 of what the state needs. 0 is a closed circuit
//! that has seen nothing.

const GENERATION_SHIFT: u32 = 2;
const PAYLOAD_SHIFT: u32 = 18;
const PROBES_SHIFT: u32 = 7;
const LEASE_SHIFT: u32 = 14;
const COUNT_MASK: u64 = 0x7f;
const OPENED_MASK: u64 = (1 << 46) - 1;

/// The most probes, and the most successes asked for, that a word can count.
pub(crate) const MAX_COUNT: u8 = COUNT_MASK as u8;

/// When a circuit opens, probes and closes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    /// Consecutive failures that open it.
    pub(crate) failures: u32,
    /// Successes of probes that close it; at most [`MAX_COUNT`].
    pub(crate) successes: u8,
    /// Milliseconds from opening to the first probe.
    pub(crate) timeout_ms: u64,
    /// Probes at a time; at most [`MAX_COUNT`].
    pub(crate) probes: u8,
}

/// A circuit at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Circuit {
    /// Counts changes of state, so that results of attempts from before one do not count after it.
    pub(crate) generation: u16,
    pub(crate) state: State,
}

/// The three states of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// All attempts pass.
    Closed { consecutive_failures: u32 },
    /// None does.
    Open { since_ms: u64 },
    /// A few do, to find out.
    HalfOpen {
        successes: u8,
        /// How many are under way.
        probes: u8,
        /// When the last of them must be over, in seconds: after that, those still held are lost.
        lease_s: u32,
    },
}

/// What an attempt that was admitted holds, until it is settled. While a circuit is half open, all tickets of its
/// generation are those of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) generation: u16,
}

/// Whether an attempt may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may, once the circuit has become this one.
    Pass(Circuit, Ticket),
    /// Not now; perhaps in this many milliseconds.
    Refuse { wait_ms: u64 },
}

/// How an admitted attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    Success,
    Failure {
        now_ms: u64,
    },
    /// It says nothing about the upstream.
    Neutral,
}

impl Circuit {
    /// May an attempt pass at `now_ms`? If it becomes a probe, it is over by `lease_ms` at the latest.
    pub(crate) fn admit(self, thresholds: &Thresholds, now_ms: u64, lease_ms: u64) -> Admission {
        // A second more than needed, for what rounding takes.
        let lease_s = u32::try_from(lease_ms / 1000 + 1).unwrap_or(u32::MAX);
        match self.state {
            State::Closed { .. } => self.pass(),
            State::Open { since_ms } => {
                let due_ms = since_ms.saturating_add(thresholds.timeout_ms);
                if now_ms < due_ms {
                    return Admission::Refuse { wait_ms: due_ms - now_ms };
                }
                self.next(State::HalfOpen { successes: 0, probes: 1, lease_s }).pass()
            }
            State::HalfOpen { successes, probes, lease_s: held_s } if probes < thresholds.probes => {
                let state = State::HalfOpen { successes, probes: probes + 1, lease_s: lease_s.max(held_s) };
                Self { state, ..self }.pass()
            }
            // The probes under way were lost, with their worker perhaps. Should one come back, its generation is past.
            State::HalfOpen { successes, lease_s: held_s, .. } if u64::from(held_s) < now_ms / 1000 => {
                self.next(State::HalfOpen { successes, probes: 1, lease_s }).pass()
            }
            State::HalfOpen { .. } => Admission::Refuse { wait_ms: 0 },
        }
    }

    /// The circuit after an attempt with this ticket ended so.
    pub(crate) fn settle(self, thresholds: &Thresholds, ticket: Ticket, settlement: Settlement) -> Self {
        if ticket.generation != self.generation {
            return self;
        }
        match (self.state, settlement) {
            (State::Closed { consecutive_failures }, Settlement::Failure { now_ms }) => {
                let consecutive_failures = consecutive_failures.saturating_add(1);
                if consecutive_failures >= thresholds.failures {
                    return self.next(State::Open { since_ms: now_ms });
                }
                Self { state: State::Closed { consecutive_failures }, ..self }
            }
            (State::Closed { .. }, Settlement::Success) => {
                Self { state: State::Closed { consecutive_failures: 0 }, ..self }
            }
            (State::HalfOpen { .. }, Settlement::Failure { now_ms }) => {
                self.next(State::Open { since_ms: now_ms })
            }
            (State::HalfOpen { successes, probes, lease_s }, Settlement::Success | Settlement::Neutral) => {
                let successes = successes + u8::from(settlement == Settlement::Success);
                if successes >= thresholds.successes {
                    return self.next(State::Closed { consecutive_failures: 0 });
                }
                let probes = probes.saturating_sub(1);
                Self { state: State::HalfOpen { successes, probes, lease_s }, ..self }
            }
            (State::Closed { .. }, Settlement::Neutral) | (State::Open { .. }, _) => self,
        }
    }

    /// The circuit in its cell's word.
    pub(crate) fn decode(word: i64) -> Self {
        let word = word.cast_unsigned();
        let payload = word >> PAYLOAD_SHIFT;
        let count = |shift: u32| (payload >> shift & COUNT_MASK) as u8;
        let state = match word & 0b11 {
            0 => State::Closed { consecutive_failures: payload as u32 },
            1 => State::Open { since_ms: payload },
            _ => State::HalfOpen {
                successes: count(0),
                probes: count(PROBES_SHIFT),
                lease_s: (payload >> LEASE_SHIFT) as u32,
            },
        };
        Self { generation: (word >> GENERATION_SHIFT) as u16, state }
    }

    /// The word for its cell.
    pub(crate) fn encode(self) -> i64 {
        let (tag, payload) = match self.state {
            State::Closed { consecutive_failures } => (0, u64::from(consecutive_failures)),
            State::Open { since_ms } => (1, since_ms & OPENED_MASK),
            State::HalfOpen { successes, probes, lease_s } => {
                let counts =
                    u64::from(successes) & COUNT_MASK | (u64::from(probes) & COUNT_MASK) << PROBES_SHIFT;
                (2, counts | u64::from(lease_s) << LEASE_SHIFT)
            }
        };
        (payload << PAYLOAD_SHIFT | u64::from(self.generation) << GENERATION_SHIFT | tag).cast_signed()
    }

    fn next(self, state: State) -> Self {
        Self { generation: self.generation.wrapping_add(1), state }
    }

    fn pass(self) -> Admission {
        Admission::Pass(self, Ticket { generation: self.generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { failures: 3, successes: 2, timeout_ms: 1000, probes: 1 };
    const CLOSED: State = State::Closed { consecutive_failures: 0 };

    fn at(state: State) -> Circuit {
        Circuit { generation: 7, state }
    }

    fn settled(state: State, settlement: Settlement) -> Circuit {
        at(state).settle(&THRESHOLDS, Ticket { generation: 7 }, settlement)
    }

    #[test]
    fn a_fresh_cell_is_a_closed_circuit() {
        assert_eq!(Circuit::decode(0), Circuit { generation: 0, state: CLOSED });
    }

    #[test]
    fn every_circuit_survives_its_word() {
        let full = State::HalfOpen { successes: MAX_COUNT, probes: MAX_COUNT, lease_s: u32::MAX };
        let states = [
            CLOSED,
            State::Closed { consecutive_failures: u32::MAX },
            State::Open { since_ms: 0 },
            State::Open { since_ms: OPENED_MASK },
            State::HalfOpen { successes: 0, probes: 1, lease_s: 5 },
            full,
        ];
        for state in states {
            for generation in [0, 1, u16::MAX] {
                let circuit = Circuit { generation, state };
                assert_eq!(Circuit::decode(circuit.encode()), circuit);
            }
        }
    }

    #[test]
    fn no_word_breaks_the_circuit() {
        let mut word = 1_i64;
        for _ in 0..10_000 {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let circuit = Circuit::decode(word);
            circuit.admit(&THRESHOLDS, u64::MAX, u64::MAX);
            for settlement in [Settlement::Success, Settlement::Failure { now_ms: 0 }, Settlement::Neutral] {
                circuit.settle(&THRESHOLDS, Ticket { generation: circuit.generation }, settlement);
            }
        }
    }

    #[test]
    fn failures_in_a_row_open_a_closed_circuit() {
        let failure = Settlement::Failure { now_ms: 50 };
        assert_eq!(settled(CLOSED, failure), at(State::Closed { consecutive_failures: 1 }));
        let opened = settled(State::Closed { consecutive_failures: 2 }, failure);
        assert_eq!(opened, Circuit { generation: 8, state: State::Open { since_ms: 50 } });
        let nearly = State::Closed { consecutive_failures: 2 };
        assert_eq!(settled(nearly, Settlement::Success), at(CLOSED));
        assert_eq!(settled(nearly, Settlement::Neutral), at(nearly));
    }

    #[test]
    fn an_open_circuit_waits_and_then_lets_one_probe_pass() {
        let open = at(State::Open { since_ms: 5000 });
        assert_eq!(open.admit(&THRESHOLDS, 5000, 0), Admission::Refuse { wait_ms: 1000 });
        assert_eq!(open.admit(&THRESHOLDS, 5999, 0), Admission::Refuse { wait_ms: 1 });
        assert_eq!(open.admit(&THRESHOLDS, 4000, 0), Admission::Refuse { wait_ms: 2000 }, "clocks differ");
        let half_open = State::HalfOpen { successes: 0, probes: 1, lease_s: 66 };
        let probing = Circuit { generation: 8, state: half_open };
        assert_eq!(open.admit(&THRESHOLDS, 6000, 65_999), Admission::Pass(probing, Ticket { generation: 8 }));
        assert_eq!(probing.admit(&THRESHOLDS, 6001, 66_000), Admission::Refuse { wait_ms: 0 });
    }

    #[test]
    fn successes_of_probes_close_it_and_a_failure_opens_it() {
        let half_open = |successes, probes| State::HalfOpen { successes, probes, lease_s: 9 };
        assert_eq!(settled(half_open(0, 1), Settlement::Success), at(half_open(1, 0)));
        assert_eq!(settled(half_open(1, 1), Settlement::Success), Circuit { generation: 8, state: CLOSED });
        assert_eq!(settled(half_open(1, 1), Settlement::Neutral), at(half_open(1, 0)));
        let failed = settled(half_open(1, 1), Settlement::Failure { now_ms: 70 });
        assert_eq!(failed, Circuit { generation: 8, state: State::Open { since_ms: 70 } });
    }

    #[test]
    fn lost_probes_are_replaced_after_their_lease_and_do_not_count_when_they_come_back() {
        let lost = at(State::HalfOpen { successes: 1, probes: 1, lease_s: 60 });
        assert_eq!(lost.admit(&THRESHOLDS, 60_999, 0), Admission::Refuse { wait_ms: 0 });
        let Admission::Pass(probing, ticket) = lost.admit(&THRESHOLDS, 61_000, 120_000) else {
            panic!("the lease is over");
        };
        assert_eq!(probing.state, State::HalfOpen { successes: 1, probes: 1, lease_s: 121 });
        assert_eq!(ticket.generation, 8);
        let old = Ticket { generation: 7 };
        assert_eq!(probing.settle(&THRESHOLDS, old, Settlement::Failure { now_ms: 0 }), probing);
    }

    #[test]
    fn results_from_before_a_change_do_not_count() {
        let open = at(State::Open { since_ms: 1 });
        let before = Ticket { generation: 6 };
        for settlement in [Settlement::Success, Settlement::Failure { now_ms: 9 }, Settlement::Neutral] {
            assert_eq!(open.settle(&THRESHOLDS, before, settlement), open);
            assert_eq!(at(CLOSED).settle(&THRESHOLDS, before, settlement), at(CLOSED));
        }
    }
}
