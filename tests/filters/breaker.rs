//! The circuit breaker: when it opens, what it lets through, when it closes.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::{chain, code, entry, origin_that_hangs, origin_with_status, refusing, retry_after, settle};
use crate::support::{Manifest, Message, Origin, Tollgate, eventually};

/// A circuit that opens after five failures and stays open for as long as any test.
const PATIENT: &str = "{failures: 5, successes: 2, timeout-ms: 60000, probes: 1}";

/// A circuit that one failure opens, and that is half open almost at once.
const NERVOUS: &str = "{failures: 1, successes: 2, timeout-ms: 20, probes: 1}";

fn start(origin: &Origin, config: &str) -> Tollgate {
    let manifest = Manifest { process: &chain(&[("breaker", config)]), ..Manifest::default() };
    manifest.in_front_of_url(&origin.url(), &["--workers", "2"])
}

fn is_in(tollgate: &Tollgate, state: &str) -> bool {
    let shown = ["closed", "open", "half_open"].map(|state| {
        tollgate.metric(&format!("tollgate_circuit_breaker_state{{provider=\"main\",state=\"{state}\"}}"))
    });
    assert_eq!(shown.iter().sum::<f64>(), 1.0, "one state at a time: {shown:?}");
    shown == ["closed", "open", "half_open"].map(|known| f64::from(u8::from(known == state)))
}

/// Waits until an open circuit of [`NERVOUS`] is due for a probe.
fn wait_until_due() {
    std::thread::sleep(Duration::from_millis(60));
}

fn assert_refused(response: &Message) {
    assert_eq!((response.status(), code(response).as_str()), (503, "circuit_open"), "{}", response.text());
    assert!((1..=60).contains(&retry_after(response)));
}

#[test]
fn five_failures_open_the_circuit_and_the_upstream_sees_no_connection() {
    let (origin, status) = origin_with_status(500);
    let tollgate = start(&origin, PATIENT);
    for _ in 0..5 {
        let response = tollgate.get("/");
        assert_eq!((response.status(), response.text().as_str()), (500, "as told"));
    }
    status.store(200, SeqCst);
    let (connections, requests) = (origin.connections(), origin.requests());
    assert_eq!(requests, 5);
    // So many connections that both workers have their share.
    for _ in 0..20 {
        let response = tollgate.get("/");
        assert_refused(&response);
        assert!(retry_after(&response) >= 50, "what is left of the minute");
    }
    assert_eq!((origin.connections(), origin.requests()), (connections, requests));
    assert!(is_in(&tollgate, "open"));
}

#[test]
fn a_success_in_between_starts_the_count_anew() {
    let (origin, status) = origin_with_status(500);
    let tollgate = start(&origin, PATIENT);
    for told in [500, 200, 500] {
        status.store(told, SeqCst);
        for _ in 0..4 {
            assert_eq!(tollgate.get("/").status(), told);
        }
        settle(&tollgate);
    }
    assert!(is_in(&tollgate, "closed"));
    assert_eq!(tollgate.get("/").status(), 500);
    assert_refused(&tollgate.get("/"));
}

#[test]
fn other_4xx_are_successes_and_429_is_neither() {
    for (between, opens) in [(400, false), (404, false), (499, false), (429, true)] {
        let (origin, status) = origin_with_status(500);
        let tollgate = start(&origin, "{failures: 2, timeout-ms: 60000}");
        for told in [500, between, 500] {
            status.store(told, SeqCst);
            assert_eq!(tollgate.get("/").status(), told);
            settle(&tollgate);
        }
        assert_eq!(is_in(&tollgate, "open"), opens, "500, {between}, 500");
    }
}

#[test]
fn one_probe_at_a_time_finds_out_and_two_successes_close_the_circuit() {
    let (origin, release) = origin_that_hangs();
    let tollgate = start_broken(&origin);
    let mut probe = tollgate.client();
    probe.send("GET /hang HTTP/1.1\r\nhost: t\r\n\r\n");
    eventually("the probe is at the origin", || origin.requests() == 2);
    assert!(is_in(&tollgate, "half_open"));
    for _ in 0..10 {
        assert_refused(&tollgate.get("/"));
    }
    assert_eq!(origin.requests(), 2, "only the probe");
    release.send(()).unwrap();
    assert_eq!(probe.receive().status(), 200);
    settle(&tollgate);
    assert!(is_in(&tollgate, "half_open"), "one success is not enough");
    assert_eq!(tollgate.get("/").status(), 200);
    settle(&tollgate);
    assert!(is_in(&tollgate, "closed"));
    for _ in 0..3 {
        assert_eq!(tollgate.get("/").status(), 200);
    }
}

/// In front of an origin, with a circuit that its `/break` has opened and that is due for a probe.
fn start_broken(origin: &Origin) -> Tollgate {
    let tollgate = start(origin, NERVOUS);
    let mut client = tollgate.client();
    // A response that is cut off in its content.
    client.send("GET /break HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    client.rest();
    eventually("the circuit is open", || is_in(&tollgate, "open"));
    wait_until_due();
    tollgate
}

#[test]
fn one_failure_of_a_probe_opens_the_circuit_again() {
    let (origin, status) = origin_with_status(500);
    let tollgate = start(&origin, NERVOUS);
    assert_eq!(tollgate.get("/").status(), 500);
    for told in [200, 503] {
        wait_until_due();
        status.store(told, SeqCst);
        assert_eq!(tollgate.get("/").status(), told, "a probe");
        settle(&tollgate);
    }
    assert!(is_in(&tollgate, "open"));
    // The success before the failure is forgotten: two more are needed.
    status.store(200, SeqCst);
    for state in ["half_open", "closed"] {
        wait_until_due();
        assert_eq!(tollgate.get("/").status(), 200);
        settle(&tollgate);
        assert!(is_in(&tollgate, state));
    }
}

#[test]
fn a_429_ends_a_probe_and_says_nothing() {
    let (origin, status) = origin_with_status(500);
    let tollgate = start(&origin, NERVOUS);
    assert_eq!(tollgate.get("/").status(), 500);
    wait_until_due();
    for told in [429, 429, 429, 200] {
        status.store(told, SeqCst);
        assert_eq!(tollgate.get("/").status(), told);
        settle(&tollgate);
        assert!(is_in(&tollgate, "half_open"), "after {told}");
    }
}

#[test]
fn a_client_that_leaves_during_a_probe_makes_room_for_the_next() {
    let (origin, _release) = origin_that_hangs();
    let tollgate = start_broken(&origin);
    let mut probe = tollgate.client();
    probe.send("GET /hang HTTP/1.1\r\nhost: t\r\n\r\n");
    eventually("the probe is at the origin", || origin.requests() == 2);
    assert_refused(&tollgate.get("/"));
    drop(probe);
    settle(&tollgate);
    assert!(is_in(&tollgate, "half_open"), "a client that leaves is no failure of the upstream's");
    assert_eq!(tollgate.get("/").status(), 200);
}

/// What counts as a failure, besides 5xx: an origin that does it, and what the client sees of it.
fn opens_after_five(endpoint: &str, upstream: &str, seen: &str) {
    let process = chain(&[("breaker", PATIENT)]);
    let tollgate =
        Manifest { upstream, process: &process, ..Manifest::default() }.in_front_of_url(endpoint, &[]);
    for _ in 0..5 {
        let mut client = tollgate.client();
        client.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(answer.contains(seen), "{answer}");
        settle(&tollgate);
    }
    assert_refused(&tollgate.get("/"));
}

#[test]
fn a_refused_connection_is_a_failure() {
    let (_socket, endpoint) = refusing();
    opens_after_five(&endpoint, "", "upstream_connect_failed");
}

#[test]
fn no_answer_in_time_is_a_failure() {
    let origin = Origin::raw(|mut peer| while peer.request().is_some() {});
    opens_after_five(&origin.url(), "timeouts: {response: 50ms}", "upstream_timeout");
}

#[test]
fn a_reset_is_a_failure() {
    let origin = Origin::raw(|mut peer| {
        if peer.request().is_some() {
            peer.reset();
        }
    });
    opens_after_five(&origin.url(), "", "upstream_reset");
}

#[test]
fn a_response_that_breaks_off_is_a_failure() {
    for head in ["content-length: 100\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let origin = Origin::raw(move |mut peer| {
            if peer.request().is_some() {
                peer.send(format!("HTTP/1.1 200 OK\r\n{head}"));
            }
        });
        opens_after_five(&origin.url(), "", "half");
    }
}

#[test]
fn each_upstream_has_its_own_circuit() {
    let (bad, _) = origin_with_status(500);
    let (good, _) = origin_with_status(200);
    let tollgate = Tollgate::start(&format!(
        "version: 1\nlisteners:\n  - LISTENER\nupstreams:\n  bad:\n    endpoints: [\"{}\"]\n  good:\n    endpoints: [\"{}\"]\n\
         filters:\n{}routes:\n  - match: {{path: /metrics}}\n    serve: metrics\n  - match: {{path: /bad}}\n    \
         upstream: bad\n  - match: {{path-prefix: /}}\n    upstream: good\n",
        bad.url(),
        good.url(),
        entry("breaker", "{failures: 1}")
    ));
    assert_eq!(tollgate.get("/bad").status(), 500);
    assert_refused(&tollgate.get("/bad"));
    assert_eq!(tollgate.get("/good").status(), 200);
    let state = |provider| {
        tollgate.metric(&format!("tollgate_circuit_breaker_state{{provider=\"{provider}\",state=\"open\"}}"))
    };
    assert_eq!((state("bad"), state("good")), (1.0, 0.0));
}

#[test]
fn every_retry_asks_the_breaker_and_retries_stop_when_it_opens() {
    let (origin, _) = origin_with_status(502);
    let filters =
        [("breaker", "{failures: 3, timeout-ms: 60000}"), ("retry", "{max-retries: 5, initial-delay-ms: 1}")];
    let tollgate = Manifest { process: &chain(&filters), ..Manifest::default() }.in_front_of(&origin);
    assert_refused(&tollgate.get("/"));
    assert_eq!(origin.requests(), 3, "every attempt counted, and none followed the third failure");
}

#[test]
fn a_deep_look_at_health_shows_the_circuit() {
    let (origin, _) = origin_with_status(500);
    let tollgate = start(&origin, "{failures: 2}");
    let circuit = || tollgate.get("/health/ready?deep=true").json()["checks"]["breaker/breaker:main"].clone();
    assert_eq!(tollgate.get("/").status(), 500);
    assert_eq!(circuit()["status"], "ok");
    assert_eq!(tollgate.get("/").status(), 500);
    let shown = circuit();
    assert_eq!(shown["status"], "down");
    assert!(shown["detail"].as_str().unwrap().contains("open"), "{shown}");
}
