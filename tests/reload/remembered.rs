//! What outlives a reload: cells, figures, open circuits.

use super::*;
use crate::support::script::entry;

#[test]
fn cells_and_counters_survive_ten_reloads() {
    ["worker", "request"].into_iter().for_each(ten_reloads_with_isolation);
}

fn ten_reloads_with_isolation(isolation: &str) {
    let origin = Origin::working();
    let figure = r#"(call $counter.add (call $counter.open "seen" "Seen." (i32.const 0) (i32.const 0)) (i64.const 1))"#;
    let script = counter("f").first("on-request", figure);
    let with = |milliseconds: u32| {
        let keys = format!("limits: {{time: {milliseconds}ms}}\nisolation: {isolation}");
        manifest(&origin, &chain(&[script.entry(&keys)]))
    };
    let tollgate = start(&with(5000));
    let count = || tollgate.get("/").text().split(' ').next().unwrap().parse::<u32>().unwrap();
    for round in 1..=10 {
        assert_eq!(count(), round);
        change(&tollgate, &with(5000 + round));
    }
    assert_eq!(count(), 11);
    assert_eq!(tollgate.metric("tollgate_seen_total"), 11.0);
    assert_eq!(tollgate.metric("tollgate_filter_calls_total{filter=\"f\",phase=\"on-request\"}"), 11.0);
}

#[test]
fn a_filter_that_comes_back_finds_what_it_kept() {
    let origin = Origin::working();
    let with = |filters: &[String]| manifest(&origin, &chain(filters));
    let f = counter("f").build();
    let tollgate = start(&with(&[entry("f", &f, "limits: {time: 5s}")]));
    assert!(tollgate.get("/").text().starts_with("1 "));
    change(&tollgate, &with(&[entry("g", &f, "limits: {time: 5s}")]));
    assert!(tollgate.get("/").text().starts_with("1 "), "another name, other cells");
    change(&tollgate, &with(&[entry("f", &f, "limits: {time: 5s}")]));
    assert!(tollgate.get("/").text().starts_with("2 "));
}

/// An origin that always fails.
fn failing() -> Origin {
    Origin::answering(|_| b"HTTP/1.1 500 Told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec())
}

/// A breaker in front of it.
fn breaker(origin: &Origin, isolation: &str, config: &str) -> String {
    manifest(
        origin,
        &format!(
            "filters:\n  - {{name: breaker, component: \"builtin:breaker\", isolation: {isolation}, limits: {{time: 2s}}, \
             config: {{timeout-ms: 60000, {config}}}}}\n"
        ),
    )
}

#[test]
fn an_open_circuit_stays_open_and_its_upstream_sees_no_connection() {
    ["worker", "request"].into_iter().for_each(open_circuit_with_isolation);
}

fn open_circuit_with_isolation(isolation: &str) {
    let origin = failing();
    let with = |probes: u32| breaker(&origin, isolation, &format!("failures: 2, probes: {probes}"));
    let tollgate = start(&with(1));
    (0..2).for_each(|_| assert_eq!(tollgate.get("/").status(), 500));
    let is_open =
        || tollgate.metric("tollgate_circuit_breaker_state{provider=\"main\",state=\"open\"}") == 1.0;
    eventually("the circuit is open", is_open);
    let connections = origin.connections();
    for round in 2..12 {
        change(&tollgate, &with(round));
        (0..4).for_each(|_| assert_eq!(tollgate.get("/").status(), 503, "after {round} reloads"));
        assert!(is_open());
    }
    assert_eq!(origin.connections(), connections);
}

#[test]
fn fresh_instances_begin_with_the_configuration_that_the_last_reload_brought() {
    let origin = failing();
    let with = |failures: u32| breaker(&origin, "request", &format!("failures: {failures}"));
    let tollgate = start(&with(100));
    (0..4).for_each(|_| assert_eq!(tollgate.get("/").status(), 500));
    change(&tollgate, &with(1));
    assert_eq!(tollgate.get("/").status(), 500);
    assert_eq!(tollgate.get("/").status(), 503);
}

#[test]
fn what_a_removed_filter_said_of_its_health_goes_with_it() {
    let origin = Origin::working();
    let f = Script::new("f").on("on-request", r#"(call $health.report "check" (i32.const 1) "so so")"#);
    let tollgate = start(&manifest(&origin, &chain(&[f.entry("")])));
    tollgate.get("/");
    assert!(tollgate.get("/health/ready").text().contains("f/check"));
    change(&tollgate, &manifest(&origin, ""));
    assert!(!tollgate.get("/health/ready").text().contains("f/check"));
}
