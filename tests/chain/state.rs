//! What filters keep with the host: attributes and slots of an exchange, cells and figures of a filter.

use std::collections::BTreeSet;

use super::{calls, logged, mirror, with};
use crate::support::manifest::Manifest;
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate};

#[test]
fn later_filters_see_the_attributes_that_earlier_ones_set() {
    let sets = Script::new("sets").on(
        "on-request",
        r#"(call $exchange.set-attribute "who" "alice") (call $exchange.set-attribute "who" "bob")
           (call $exchange.set-attribute "" "empty")"#,
    );
    let reads = Script::new("reads").on(
        "on-request",
        r#"(call $exchange.attribute "who" (i32.const 16)) (call $put-option) (call $put ",")
           (call $exchange.attribute "" (i32.const 16)) (call $put-option) (call $put ",")
           (call $exchange.attribute "Who" (i32.const 16)) (call $put-option)
           (call $request.set-header "x-who" (call $text) (i32.const 16))"#,
    );
    let late = Script::new("late").on(
        "on-complete",
        r#"(call $exchange.attribute "who" (i32.const 16)) (call $put-option) (call $log-text)"#,
    );
    let early = reads.clone().named("early").on("on-response", "");
    let filters = chain(&[late.entry(""), early.entry(""), sets.entry(""), reads.entry("")]);
    let origin = mirror();
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    for _ in 0..2 {
        // The second time, too: nothing of one exchange is in the next.
        assert!(tollgate.get("/").text().contains("x-who: bob,empty,-\n"));
    }
    assert_eq!(logged(&tollgate, 2), ["bob", "bob"]);
}

#[test]
fn a_slot_belongs_to_one_filter_and_one_exchange() {
    let slot = |name: &str, value: i64| {
        Script::new(name)
            .on("on-request", &format!("(call $put-number (call $exchange.slot)) (call $log-text) (call $exchange.set-slot (i64.const {value}))"))
            .on("on-response", "(call $put-number (call $exchange.slot)) (call $log-text)")
    };
    let filters = chain(&[slot("a", 7).entry(""), slot("b", -1).entry("isolation: request")]);
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    (0..2).for_each(|_| assert_eq!(tollgate.get("/").status(), 200));
    let lines = calls(&tollgate, 8);
    assert_eq!(lines, ["a 0", "b 0", "b -1", "a 7", "a 0", "b 0", "b -1", "a 7"]);
}

/// A filter that answers with what it counted in a shared cell, and in its own memory; `/trap` traps after counting.
fn counter() -> Script {
    Script::new("f").on(
        "on-request",
        r#"(i32.store (i32.const 256) (i32.add (i32.const 1) (i32.load (i32.const 256))))
           (call $put-number (call $cell.add (call $cell.open "count") (i64.const 1))) (call $put " ")
           (call $put-int (i32.load (i32.const 256)))
           (call $request.header "x-trap" (i32.const 16))
           (if (i32.load8_u (i32.const 16)) (then (unreachable)))
           (return (call $answer))"#,
    )
}

#[test]
fn cells_are_shared_between_workers_and_no_addition_is_lost() {
    let origin = Origin::working();
    let filters = chain(&[counter().entry("")]);
    let manifest = Manifest { process: &filters, ..Manifest::default() };
    let tollgate = manifest.in_front_of_url(&origin.url(), &["--workers", "4"]);
    let (mut shared, mut own) = (BTreeSet::new(), Vec::new());
    for _ in 0..100 {
        let text = tollgate.get("/").text();
        let (cell, memory) = text.split_once(' ').unwrap();
        shared.insert(cell.parse::<u32>().unwrap());
        own.push(memory.parse::<u32>().unwrap());
    }
    assert_eq!(shared, (1..=100).collect());
    assert!(*own.iter().max().unwrap() < 100, "the requests were spread over workers: {own:?}");
}

#[test]
fn cells_survive_traps_and_memory_does_not() {
    let origin = Origin::working();
    let filters = chain(&[counter().entry("")]);
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    // All on one connection, hence on one worker.
    let mut client = tollgate.client();
    assert_eq!(client.get("/").text(), "1 1");
    assert_eq!(client.get("/").text(), "2 2");
    let trapped = client.send("GET / HTTP/1.1\r\nhost: t\r\nx-trap: 1\r\n\r\n").receive();
    assert_eq!(trapped.status(), 503);
    assert_eq!(client.get("/").text(), "4 1");
}

#[test]
fn cells_do_what_their_names_say_and_two_filters_do_not_share_them() {
    let filter = |name: &str| {
        Script::new(name).on(
            "on-request",
            r#"(local.set $i (call $cell.open "a")) (local.set $j (call $cell.open "a"))
               (call $put-number (call $cell.get (local.get $i))) (call $put " ")
               (call $cell.set (local.get $j) (i64.const 5))
               (call $put-number (call $cell.compare-exchange (local.get $i) (i64.const 4) (i64.const 9))) (call $put " ")
               (call $put-number (call $cell.compare-exchange (local.get $i) (i64.const 5) (i64.const -9))) (call $put " ")
               (call $put-number (call $cell.get (local.get $j))) (call $put " ")
               (call $cell.drop (local.get $i))
               (call $put-number (call $cell.add (local.get $j) (i64.const -1)))
               (call $cell.drop (local.get $j))
               (call $log-text)"#,
        )
    };
    let filters = chain(&[filter("a").entry(""), filter("b").entry("")]);
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    assert_eq!(tollgate.get("/").status(), 200);
    let lines = logged(&tollgate, 2);
    assert_eq!(lines, ["0 5 5 -9 -10", "0 5 5 -9 -10"]);
}

#[test]
fn a_filters_figures_reports_and_clocks_are_there() {
    let filter = Script::new("f").on(
        "on-request",
        r#"(i32.store (i32.const 300) (i32.const 320)) (i32.store (i32.const 304) (i32.const 4))
           (i32.store (i32.const 308) (i32.const 330)) (i32.store (i32.const 312) (i32.const 3))
           (memory.copy (i32.const 320) "kind") (memory.copy (i32.const 330) "odd")
           (call $counter.add (call $counter.open "seen" "What was seen." (i32.const 300) (i32.const 1)) (i64.const 3))
           (call $gauge.set (call $gauge.open "level" "How high." (i32.const 0) (i32.const 0)) (f64.const 0.5))
           (call $health.report "check" (i32.const 1) "so so")
           (call $pressure.read (i32.const 16))
           (call $put-int (i32.load (i32.const 40))) (call $put " ")
           (call $put-int (f64.lt (f64.load (i32.const 16)) (f64.const 1))) (call $put " ")
           (call $put-int (i64.gt_u (call $clock.unix-millis) (i64.const 1700000000000))) (call $put " ")
           (local.set $n (call $clock.now-micros))
           (call $put-int (i64.ge_u (call $clock.now-micros) (local.get $n))) (call $put " ")
           (call $put-int (i64.ne (call $random.next) (call $random.next)))
           (return (call $answer))"#,
    );
    let origin = Origin::working();
    let tollgate = with(&origin, &filter);
    assert_eq!(tollgate.get("/").text().get(1..), Some(" 1 1 1 1"));
    tollgate.get("/");
    assert_eq!(tollgate.metric("tollgate_seen_total{kind=\"odd\"}"), 6.0);
    assert_eq!(tollgate.metric("tollgate_level"), 0.5);
    let health = tollgate.get("/health/ready?deep=true").json();
    assert_eq!(health["checks"]["f/check"], serde_json::json!({"status": "degraded", "detail": "so so"}));
}
