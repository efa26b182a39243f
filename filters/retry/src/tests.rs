//! The filter through the harness: what it retries, when, and what it leaves behind.

use tollgate_sdk::testing::{Exchange, Host, json};

use super::*;

fn advice(filter: &Retry, exchange: &mut Exchange, number: u32, outcome: Outcome) -> Advice {
    assert_eq!(exchange.before_attempt(filter, number), Verdict::Proceed);
    exchange.after_attempt(filter, number, outcome)
}

fn millis(advice: Advice) -> u128 {
    match advice {
        Advice::Retry(delay) => delay.as_millis(),
        other => panic!("{other:?} is no retry"),
    }
}

#[test]
fn failures_that_may_pass_are_retried_and_others_are_not() {
    let host = Host::new();
    let filter: Retry = host.configure(json!({})).unwrap();
    let retried = |outcome| advice(&filter, &mut host.exchange(), 1, outcome) != Advice::Accept;
    for outcome in [Outcome::ConnectFailed, Outcome::TimedOut, Outcome::Reset] {
        assert!(retried(outcome), "{outcome:?}");
    }
    for status in [429, 500, 502, 503, 504, 506, 529, 599] {
        assert!(retried(Outcome::Status(status)), "{status}");
    }
    for status in [200, 204, 301, 304, 400, 401, 403, 404, 408, 409, 413, 422, 501, 505] {
        assert!(!retried(Outcome::Status(status)), "{status}");
    }
}

#[test]
fn delays_grow_within_their_jitter_and_end_after_the_last_retry() {
    let host = Host::new();
    let filter: Retry = host.configure(json!({})).unwrap();
    let mut first_delays = std::collections::BTreeSet::new();
    for seed in 0..100 {
        host.seed(seed);
        let mut exchange = host.exchange();
        for (number, range) in [(1, 500..1500), (2, 1000..3000), (3, 2000..6000)] {
            let delay = millis(advice(&filter, &mut exchange, number, Outcome::Status(503)));
            assert!(range.contains(&delay), "retry {number} after {delay} ms");
            if number == 1 {
                first_delays.insert(delay);
            }
        }
        assert_eq!(advice(&filter, &mut exchange, 4, Outcome::Status(503)), Advice::Accept);
    }
    assert!(first_delays.len() > 50, "jitter spreads the delays: {first_delays:?}");
}

#[test]
fn retry_after_is_a_floor_up_to_the_cap() {
    let host = Host::new();
    let filter: Retry = host.configure(json!({"initial-delay-ms": 10, "max-delay-ms": 20_000})).unwrap();
    // The host's clock begins at Tue, 14 Nov 2023 22:13:20 GMT.
    for (retry_after, least, most) in [
        ("5", 5000, 5000),
        ("Tue, 14 Nov 2023 22:13:27 GMT", 7000, 7000),
        ("3600", 20_000, 20_000),
        ("never", 5, 15),
    ] {
        let mut exchange = host.exchange();
        exchange.before_attempt(&filter, 1);
        exchange.receive_response(429, &[("retry-after", retry_after)]);
        let delay = millis(exchange.after_attempt(&filter, 1, Outcome::Status(429)));
        assert!((least..=most).contains(&delay), "{retry_after}: {delay} ms");
    }
}

#[test]
fn a_method_not_listed_is_retried_only_when_no_byte_was_sent() {
    let host = Host::new();
    let filter: Retry = host.configure(json!({})).unwrap();
    let post = |filter: &Retry, outcome| advice(filter, &mut host.exchange().method("POST"), 1, outcome);
    assert_ne!(post(&filter, Outcome::ConnectFailed), Advice::Accept);
    for outcome in [Outcome::Status(503), Outcome::Status(429), Outcome::Reset, Outcome::TimedOut] {
        assert_eq!(post(&filter, outcome), Advice::Accept, "{outcome:?}");
    }
    let filter: Retry = host.configure(json!({"methods": ["GET", "POST"]})).unwrap();
    assert_ne!(post(&filter, Outcome::Status(503)), Advice::Accept);
    let put = advice(&filter, &mut host.exchange().method("PUT"), 1, Outcome::Status(503));
    assert_eq!(put, Advice::Accept);
}

#[test]
fn no_retries_means_none() {
    let host = Host::new();
    let filter: Retry = host.configure(json!({"max-retries": 0})).unwrap();
    assert_eq!(advice(&filter, &mut host.exchange(), 1, Outcome::ConnectFailed), Advice::Accept);
}

#[test]
fn statuses_can_be_named_singly_and_by_class() {
    let host = Host::new();
    let filter: Retry = host.configure(json!({"statuses": [408, "5xx"]})).unwrap();
    for (status, retried) in [(408, true), (501, true), (505, true), (429, false), (404, false)] {
        let advice = advice(&filter, &mut host.exchange(), 1, Outcome::Status(status));
        assert_eq!(advice != Advice::Accept, retried, "{status}");
    }
}

#[test]
fn each_retry_is_counted_by_reason_and_logged() {
    let host = Host::new();
    let filter: Retry = host.configure(json!({"initial-delay-ms": 0})).unwrap();
    let mut exchange = host.exchange().upstream("main", "openai");
    advice(&filter, &mut exchange, 1, Outcome::Status(503));
    advice(&filter, &mut exchange, 2, Outcome::Status(500));
    advice(&filter, &mut exchange, 3, Outcome::Status(200));
    let requested = |reason| host.metric("retries_requested", &[("provider", "openai"), ("reason", reason)]);
    assert_eq!((requested("status_5xx"), requested("timed_out")), (Some(2.0), None));
    let logs = host.logs();
    assert_eq!(logs.len(), 2);
    assert_eq!(logs[0].level, log::Level::Debug);
    assert_eq!(logs[0].message, "attempt 1 failed: status_5xx; retry in 0 ms");
}

#[test]
fn a_wrong_config_is_refused_with_its_key() {
    let refused = [
        (json!({"max-retries": -1}), "max-retries: invalid value: integer `-1`, expected u32"),
        (json!({"methods": ["GET", "post"]}), "methods[1]: `post` is no method in capital letters"),
        (json!({"methods": [""]}), "methods[0]: `` is no method in capital letters"),
        (json!({"statuses": [200]}), "statuses: 200 is no error status: 400 to 599"),
        (json!({"statuses": ["3xx"]}), "statuses: `3xx` is no class of error statuses: 4xx or 5xx"),
        (json!({"statuses": [true]}), "statuses[0]: expected a status such as 503, or a class such as 5xx"),
    ];
    for (config, message) in refused {
        assert_eq!(Host::new().configure::<Retry>(config).err().as_deref(), Some(message));
    }
    assert!(Host::new().configure::<Retry>(json!({"retries": 3})).is_err());
}
