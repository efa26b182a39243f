//! The filter through the harness: one circuit's life, what counts and what does not, and many workers at once.

use std::sync::atomic::{AtomicI64, Ordering};

use tollgate_sdk::health::Status;
use tollgate_sdk::testing::{Exchange, Host, json};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A host with a breaker: three failures open, two successes close, ten seconds between.
fn breaker() -> (Host, Breaker) {
    let host = Host::new();
    let filter = host.configure(json!({"failures": 3, "successes": 2, "timeout-ms": 10_000})).unwrap();
    (host, filter)
}

/// One exchange of one attempt, to its end.
fn run(host: &Host, filter: &Breaker, outcome: Outcome, ending: Ending) -> Verdict {
    let mut exchange = host.exchange();
    let verdict = exchange.before_attempt(filter, 1);
    if verdict == Verdict::Proceed {
        assert_eq!(exchange.after_attempt(filter, 1, outcome), Advice::Accept);
    }
    exchange.on_complete(filter, ending);
    verdict
}

fn fail(host: &Host, filter: &Breaker) -> Verdict {
    run(host, filter, Outcome::Status(503), Ending::Complete)
}

fn succeed(host: &Host, filter: &Breaker) -> Verdict {
    run(host, filter, Outcome::Status(200), Ending::Complete)
}

fn open(host: &Host, filter: &Breaker) {
    for _ in 0..3 {
        assert_eq!(fail(host, filter), Verdict::Proceed);
    }
    assert_eq!(state(host), "open");
}

/// The state as metrics show it, which must be exactly one.
fn state(host: &Host) -> &'static str {
    let value = |state| host.metric("circuit_breaker_state", &[("provider", "main"), ("state", state)]);
    let shown: Vec<_> =
        ["closed", "open", "half_open"].into_iter().filter(|s| value(s) == Some(1.0)).collect();
    let [only] = shown[..] else { panic!("several states: {shown:?}") };
    only
}

/// The first attempt of an exchange, and whether it may go on.
fn probe(host: &Host, filter: &Breaker) -> (Exchange, Verdict) {
    let mut exchange = host.exchange();
    let verdict = exchange.before_attempt(filter, 1);
    (exchange, verdict)
}

#[test]
fn failures_in_a_row_open_the_circuit_and_an_open_one_refuses() {
    let (host, filter) = breaker();
    open(&host, &filter);
    host.advance(SECOND / 2);
    let mut exchange = host.exchange();
    assert_eq!(exchange.before_attempt(&filter, 1), Verdict::Respond);
    let reply = exchange.reply().unwrap();
    assert_eq!((reply.status, reply.code.as_str(), reply.retry_after), (503, "circuit_open", Some(10)));
    exchange.on_complete(&filter, Ending::Replied);
    host.advance(SECOND * 9);
    let mut exchange = host.exchange();
    assert_eq!(exchange.before_attempt(&filter, 1), Verdict::Respond);
    assert_eq!(exchange.reply().unwrap().retry_after, Some(1), "half a second, rounded up");
}

#[test]
fn two_successes_close_it_and_one_failure_opens_it_again() {
    let (host, filter) = breaker();
    open(&host, &filter);
    host.advance(SECOND * 10);
    assert_eq!(succeed(&host, &filter), Verdict::Proceed);
    assert_eq!(state(&host), "half_open");
    assert_eq!(fail(&host, &filter), Verdict::Proceed);
    assert_eq!(state(&host), "open");
    assert_eq!(fail(&host, &filter), Verdict::Respond);
    host.advance(SECOND * 10);
    for _ in 0..2 {
        assert_eq!(succeed(&host, &filter), Verdict::Proceed);
    }
    assert_eq!(state(&host), "closed");
    open(&host, &filter);
}

#[test]
fn a_half_open_circuit_has_one_probe_at_a_time() {
    let (host, filter) = breaker();
    open(&host, &filter);
    host.advance(SECOND * 10);
    let (mut first, verdict) = probe(&host, &filter);
    assert_eq!(verdict, Verdict::Proceed);
    let (second, verdict) = probe(&host, &filter);
    assert_eq!(verdict, Verdict::Respond);
    assert_eq!(second.reply().unwrap().retry_after, Some(1));
    first.after_attempt(&filter, 1, Outcome::Status(200));
    assert_eq!(probe(&host, &filter).1, Verdict::Respond, "its body is still on its way");
    first.on_complete(&filter, Ending::Complete);
    assert_eq!(probe(&host, &filter).1, Verdict::Proceed);
}

#[test]
fn a_probe_whose_client_leaves_is_released_and_says_nothing() {
    let (host, filter) = breaker();
    open(&host, &filter);
    host.advance(SECOND * 10);
    for with_head in [false, true, false, true] {
        let (mut exchange, verdict) = probe(&host, &filter);
        assert_eq!(verdict, Verdict::Proceed);
        if with_head {
            exchange.after_attempt(&filter, 1, Outcome::Status(200));
        }
        exchange.on_complete(&filter, Ending::ClientGone);
        assert_eq!(state(&host), "half_open");
    }
}

#[test]
fn a_lost_probe_is_given_up_when_its_exchange_must_be_over() {
    let (host, filter) = breaker();
    open(&host, &filter);
    host.advance(SECOND * 10);
    let mut lost = host.exchange().timeout(SECOND * 30);
    assert_eq!(lost.before_attempt(&filter, 1), Verdict::Proceed);
    host.advance(SECOND * 30);
    assert_eq!(probe(&host, &filter).1, Verdict::Respond);
    host.advance(SECOND * 2);
    let (mut next, verdict) = probe(&host, &filter);
    assert_eq!(verdict, Verdict::Proceed);
    lost.after_attempt(&filter, 1, Outcome::Reset);
    assert_eq!(state(&host), "half_open", "the lost one does not count any more");
    next.after_attempt(&filter, 1, Outcome::Reset);
    assert_eq!(state(&host), "open");
}

#[test]
fn what_counts_as_failure() {
    let cases = [
        (Outcome::ConnectFailed, Ending::Replied),
        (Outcome::TimedOut, Ending::Replied),
        (Outcome::Reset, Ending::Replied),
        (Outcome::Status(500), Ending::Complete),
        (Outcome::Status(501), Ending::ClientGone),
        (Outcome::Status(599), Ending::Complete),
        (Outcome::Status(200), Ending::UpstreamBroke),
        (Outcome::Status(404), Ending::UpstreamBroke),
    ];
    for (outcome, ending) in cases {
        let (host, filter) = breaker();
        for _ in 0..3 {
            assert_eq!(run(&host, &filter, outcome, ending), Verdict::Proceed);
        }
        assert_eq!(state(&host), "open", "{outcome:?} {ending:?}");
    }
}

#[test]
fn what_counts_as_success_begins_the_count_anew() {
    for (outcome, ending) in [
        (Outcome::Status(200), Ending::Complete),
        (Outcome::Status(302), Ending::Complete),
        (Outcome::Status(404), Ending::Complete),
        (Outcome::Status(200), Ending::Replied),
    ] {
        let (host, filter) = breaker();
        for _ in 0..3 {
            fail(&host, &filter);
            fail(&host, &filter);
            run(&host, &filter, outcome, ending);
        }
        assert_eq!(state(&host), "closed", "{outcome:?} {ending:?}");
    }
}

#[test]
fn what_says_nothing_leaves_the_count_as_it_is() {
    for (outcome, ending) in [
        (Outcome::Status(429), Ending::Complete),
        (Outcome::Status(429), Ending::UpstreamBroke),
        (Outcome::Status(200), Ending::ClientGone),
    ] {
        let (host, filter) = breaker();
        fail(&host, &filter);
        fail(&host, &filter);
        for _ in 0..5 {
            assert_eq!(run(&host, &filter, outcome, ending), Verdict::Proceed);
        }
        assert_eq!(state(&host), "closed", "{outcome:?} {ending:?}");
        fail(&host, &filter);
        assert_eq!(state(&host), "open", "{outcome:?} {ending:?}");
    }
}

#[test]
fn a_late_result_from_before_the_circuit_opened_does_not_count_after() {
    let (host, filter) = breaker();
    let mut late: Vec<_> = (0..4).map(|_| probe(&host, &filter).0).collect();
    open(&host, &filter);
    host.advance(SECOND * 10);
    let (mut current, verdict) = probe(&host, &filter);
    assert_eq!(verdict, Verdict::Proceed);
    for (exchange, outcome) in late.iter_mut().zip([200, 200, 200, 500]) {
        exchange.after_attempt(&filter, 1, Outcome::Status(outcome));
        exchange.on_complete(&filter, Ending::Complete);
    }
    assert_eq!(state(&host), "half_open");
    assert_eq!(probe(&host, &filter).1, Verdict::Respond, "the current probe is still held");
    current.after_attempt(&filter, 1, Outcome::Status(500));
    assert_eq!(state(&host), "open");
}

#[test]
fn every_attempt_of_an_exchange_is_asked_for_and_counted() {
    let (host, filter) = breaker();
    let mut exchange = host.exchange();
    for number in 1..=3 {
        assert_eq!(exchange.before_attempt(&filter, number), Verdict::Proceed);
        exchange.after_attempt(&filter, number, Outcome::Reset);
    }
    assert_eq!(exchange.before_attempt(&filter, 4), Verdict::Respond);
    exchange.on_complete(&filter, Ending::Replied);
    host.advance(SECOND * 10);
    let mut probe = host.exchange();
    assert_eq!(probe.before_attempt(&filter, 1), Verdict::Proceed);
    probe.after_attempt(&filter, 1, Outcome::Status(200));
    // Another filter wants more of it: the probe was for nothing, but it is not held twice.
    assert_eq!(probe.before_attempt(&filter, 2), Verdict::Proceed);
    probe.after_attempt(&filter, 2, Outcome::Status(200));
    probe.on_complete(&filter, Ending::Complete);
    assert_eq!(succeed(&host, &filter), Verdict::Proceed);
    assert_eq!(state(&host), "closed");
}

#[test]
fn each_upstream_has_its_own_circuit_and_workers_share_it() {
    let (host, filter) = breaker();
    open(&host, &filter);
    let other = || host.exchange().upstream("other", "anthropic");
    assert_eq!(other().before_attempt(&filter, 1), Verdict::Proceed);
    let label = [("provider", "anthropic"), ("state", "closed")];
    assert_eq!(host.metric("circuit_breaker_state", &label), Some(1.0));
    let second_worker: Breaker = host.configure(json!({"failures": 3, "timeout-ms": 10_000})).unwrap();
    assert_eq!(succeed(&host, &second_worker), Verdict::Respond);
}

#[test]
fn changes_of_state_are_logged_and_reported() {
    let (host, filter) = breaker();
    succeed(&host, &filter);
    assert_eq!(host.health("breaker:main"), Some((Status::Ok, "closed".to_owned())));
    open(&host, &filter);
    assert_eq!(host.health("breaker:main").unwrap().0, Status::Down);
    host.advance(SECOND * 10);
    succeed(&host, &filter);
    assert_eq!(host.health("breaker:main").unwrap().0, Status::Degraded);
    succeed(&host, &filter);
    assert_eq!(host.health("breaker:main").unwrap().0, Status::Ok);
    let lines: Vec<_> = host.logs().into_iter().map(|line| line.message).collect();
    assert_eq!(
        lines,
        [
            "circuit of upstream `main`: closed → open",
            "circuit of upstream `main`: open → half_open",
            "circuit of upstream `main`: half_open → closed",
        ]
    );
}

#[test]
fn more_upstreams_than_health_checks_or_metrics_are_no_problem() {
    let (host, filter) = breaker();
    for number in 0..400 {
        let name = format!("upstream-{number}");
        assert_eq!(host.exchange().upstream(&name, &name).before_attempt(&filter, 1), Verdict::Proceed);
    }
    assert!(host.health("breaker:upstream-63").is_some());
    assert!(host.health("breaker:upstream-64").is_none());
}

#[test]
fn racing_workers_never_admit_more_probes_than_configured() {
    const PROBES: i64 = 2;
    let host = Host::new();
    let config = json!({"failures": 1, "successes": 100, "timeout-ms": 1, "probes": PROBES});
    let filter: Breaker = host.configure(config.clone()).unwrap();
    fail(&host, &filter);
    host.advance(SECOND);
    let (under_way, admitted) = (AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let worker = || {
                let filter: Breaker = host.configure(config.clone()).unwrap();
                for turn in 0..500 {
                    let mut exchange = host.exchange();
                    if exchange.before_attempt(&filter, 1) == Verdict::Respond {
                        continue;
                    }
                    assert!(under_way.fetch_add(1, Ordering::SeqCst) < PROBES);
                    admitted.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    // Neutral results keep the circuit half open, by each way there is.
                    if turn % 2 == 0 {
                        exchange.after_attempt(&filter, 1, Outcome::Status(429));
                    }
                    exchange.on_complete(&filter, Ending::ClientGone);
                }
            };
            scope.spawn(worker);
        }
    });
    assert!(admitted.load(Ordering::SeqCst) > 0);
    assert_eq!(state(&host), "half_open");
    for _ in 0..PROBES {
        assert_eq!(probe(&host, &filter).1, Verdict::Proceed, "no probe was left behind");
    }
    assert_eq!(probe(&host, &filter).1, Verdict::Respond);
}

#[test]
fn racing_workers_lose_no_failure_and_agree_on_what_is_shown() {
    let host = Host::new();
    let config = json!({"failures": 2000, "timeout-ms": 10_000});
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let filter: Breaker = host.configure(config.clone()).unwrap();
                for _ in 0..500 {
                    assert_eq!(fail(&host, &filter), Verdict::Proceed);
                }
            });
        }
    });
    assert_eq!(state(&host), "open");
    assert_eq!(host.logs().len(), 1, "one worker made the change");
}

#[test]
fn a_config_out_of_range_is_refused_with_its_key() {
    let refused = [
        (json!({"failures": 0}), "failures: must be at least 1"),
        (json!({"timeout-ms": 0}), "timeout-ms: must be at least 1"),
        (json!({"successes": 0}), "successes: must be 1 to 127"),
        (json!({"probes": 128}), "probes: must be 1 to 127"),
        (json!({"probes": 300}), "probes: invalid value: integer `300`, expected u8"),
        (json!({"failures": "many"}), "failures: invalid type: string \"many\", expected u32"),
    ];
    for (config, message) in refused {
        assert_eq!(Host::new().configure::<Breaker>(config).err().as_deref(), Some(message));
    }
    assert!(Host::new().configure::<Breaker>(json!({"failure": 3})).is_err());
}
