//! Too much of what the host gives: cells, handles, figures, checks, attributes, strings and lists.

use super::{by_door, cases, faults, one_worker, post};
use crate::doors::DOORS;
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate, eventually};

/// A loop that runs `count` times with a text that is different each time.
fn many(count: u32, call: &str) -> String {
    format!(
        r#"(local.set $i (i32.const {count}))
           (loop $again
             (global.set $written (i32.const 8192))
             (call $put "n_") (call $put-int (local.get $i))
             {call}
             (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))"#
    )
}

/// Each of these is right up to its limit; the log must say which limit was passed.
fn passes_the_limit(cases_: &[(&str, String, &str)]) {
    let bodies: Vec<_> = cases_.iter().map(|(_, body, _)| body.clone()).collect();
    let filter = cases("f", "on-request", "", &bodies);
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[filter.entry("")]), "");
    let mut client = tollgate.client();
    for (number, (name, _, words)) in cases_.iter().enumerate() {
        let status = post(&mut client, &format!("x-case: {number}")).status();
        assert_eq!(status, if words.is_empty() { 200 } else { 503 }, "{name}");
        assert_eq!(post(&mut client, "x-well: 1").status(), 200, "after {name}");
        eventually(name, || words.is_empty() || tollgate.has_logged(&["filter failed: trap", words]));
    }
}

#[test]
fn cells_and_handles_are_bounded() {
    let open = |count| many(count, "(call $cell.drop (call $cell.open (call $text)))");
    passes_the_limit(&[
        ("as many cells as there may be", open(65_536), ""),
        ("one more", "(drop (call $cell.open \"one more\"))".into(), "65536 cells"),
        ("those that are there", open(65_536), ""),
        ("a long name", "(drop (call $cell.open (i32.const 0) (i32.const 257)))".into(), "256 bytes"),
        ("handles", many(100_001, "(drop (call $cell.open \"n_1\"))"), "100000 handles"),
    ]);
}

#[test]
fn figures_are_bounded_and_checked() {
    let open = |count| {
        many(
            count,
            "(drop (call $gauge.open (call $text) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))",
        )
    };
    let named =
        |name: &str| format!("(drop (call $counter.open \"{name}\" \"help\" (i32.const 0) (i32.const 0)))");
    passes_the_limit(&[
        ("a counter", named("fine"), ""),
        (
            "the same as a gauge",
            many(1, "(drop (call $gauge.open \"fine_total\" \"\" (i32.const 0) (i32.const 0)))"),
            "already open",
        ),
        ("the host's", named("requests"), "the host has a metric"),
        ("no name", named("a b"), "no metric name"),
        ("an empty name", named(""), "no metric name"),
        ("a name that ends the line", named("a\n# TYPE b counter"), "no metric name"),
        (
            "a long name",
            "(drop (call $counter.open (i32.const 0) (i32.const 257) \"\" (i32.const 0) (i32.const 0)))"
                .into(),
            "longer than 256",
        ),
        ("as many as there may be", open(999), ""),
        ("too many", open(1000), "1000 figures"),
    ]);
}

#[test]
fn health_checks_and_attributes_are_bounded() {
    let report = |count| many(count, "(call $health.report (call $text) (i32.const 0) \"\")");
    let set = |count| many(count, "(call $exchange.set-attribute (call $text) \"v\")");
    let long =
        |bytes: u32| format!("(call $exchange.set-attribute \"long\" (i32.const 0) (i32.const {bytes}))");
    passes_the_limit(&[
        ("as many checks as there may be", report(64), ""),
        ("too many checks", report(65), "64 different health checks"),
        ("as many attributes as there may be", set(64), ""),
        ("too many attributes", set(65), "64 of them"),
        ("a long attribute", long((16 << 10) - 4), ""),
        ("a longer one", long((16 << 10) - 3), "16 KiB"),
    ]);
}

#[test]
fn a_long_line_of_the_log_is_cut_and_cannot_begin_another() {
    let filter = Script::new("f").on(
        "on-request",
        r#"(memory.fill (call $allocate (i32.const 1) (i32.const 100000)) (i32.const 10) (i32.const 100000))
           (call $log.write (i32.const 2) (i32.const 65536) (i32.const 100000))
           (call $log.write (i32.const 2) "end")"#,
    );
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[filter.entry("")]), "");
    tollgate.get("/");
    eventually("it is logged", || tollgate.has_logged(&["\"msg\":\"end\""]));
    let lines = tollgate.output();
    let long = lines.iter().find(|line| line.len() > 4096).unwrap();
    let event: serde_json::Value = serde_json::from_str(long).expect("still one object a line");
    assert_eq!(event["msg"].as_str().unwrap().len(), 8192);
}

/// A list of 60000 labels, each of which is the same 12 MiB: 700 GiB, if anybody copied it.
fn huge_list() -> Script {
    let body = r#"
        (drop (call $allocate (i32.const 8) (i32.const 12582912)))
        (memory.fill (i32.const 65536) (i32.const 97) (i32.const 12582912))
        (local.set $i (i32.const 60000))
        (local.set $j (call $allocate (i32.const 8) (i32.const 960000)))
        (loop $again
          (local.set $i (i32.sub (local.get $i) (i32.const 1)))
          (i32.store (i32.add (local.get $j) (i32.shl (local.get $i) (i32.const 4))) (i32.const 65536))
          (i32.store offset=4 (i32.add (local.get $j) (i32.shl (local.get $i) (i32.const 4))) (i32.const 12582912))
          (i32.store offset=8 (i32.add (local.get $j) (i32.shl (local.get $i) (i32.const 4))) (i32.const 65536))
          (i32.store offset=12 (i32.add (local.get $j) (i32.shl (local.get $i) (i32.const 4))) (i32.const 12582912))
          (br_if $again (local.get $i)))
        (drop (call $counter.open "n" "" (local.get $j) (i32.const 60000)))"#;
    Script::new("f").on("on-request", body)
}

#[test]
fn a_list_that_names_the_same_memory_again_and_again_does_not_multiply_it() {
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[huge_list().entry("")]), "");
    let before = tollgate.memory("VmHWM");
    let mut client = tollgate.client();
    (0..3).for_each(|_| assert_eq!(client.get("/").status(), 503));
    assert_eq!(faults(&tollgate, "f", "on-request", "trap"), 3.0);
    let grown = tollgate.memory("VmHWM") - before;
    assert!(grown < 64 << 20, "{} MiB at most", grown >> 20);
}

#[test]
fn huge_strings_are_refused_and_freed() {
    let fill = "(drop (call $allocate (i32.const 8) (i32.const 14000000)))
                (memory.fill (i32.const 65536) (i32.const 97) (i32.const 14000000))";
    let huge = "(i32.const 65536) (i32.const 14000000)";
    let half = "(i32.const 65536) (i32.const 7000000)";
    let bodies: Vec<_> = [
        format!("(call $request.set-header {half} {half} (i32.const 16))"),
        format!("(call $request.set-header \"x\" {huge} (i32.const 16))"),
        format!("(call $request.set-path {huge} (i32.const 16))"),
        format!("(call $request.header {huge} (i32.const 16))"),
        format!("(call $log.write (i32.const 2) {huge})"),
        format!("(call $health.report {half} (i32.const 0) {half})"),
        format!("(call $exchange.attribute {huge} (i32.const 16))"),
        format!("(call $reply.reject (i32.const 400) \"c\" \"m\") (call $reply.detail {huge})"),
    ]
    .into_iter()
    .map(|body| format!("{fill} {body}"))
    .collect();
    let filter = cases("f", "on-request", "", &bodies);
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[filter.entry("")]), "");
    let mut client = tollgate.client();
    let round = |client: &mut crate::support::Client| {
        for (number, body) in bodies.iter().enumerate() {
            assert_eq!(post(client, &format!("x-case: {number}")).status(), 200, "{body}");
        }
    };
    round(&mut client);
    let before = tollgate.memory("VmRSS");
    (0..5).for_each(|_| round(&mut client));
    let grown = tollgate.memory("VmRSS").saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB more", grown >> 20);
    ends_well(&tollgate);
}

fn ends_well(tollgate: &Tollgate) {
    assert_eq!(tollgate.get("/health/live").status(), 200);
}

#[test]
fn a_filter_gets_as_much_memory_as_its_limit_and_no_more() {
    // It takes as many pages as it can get, and says how many.
    let filter = Script::new("f").on(
        "on-request",
        r#"(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
           (call $put-int (memory.size)) (return (call $answer))"#,
    );
    for (limit, pages) in [("128KiB", "2"), ("1MiB", "16"), ("16MiB", "256")] {
        let origin = Origin::working();
        let tollgate = one_worker(
            &origin,
            &chain(&[filter.entry(&format!("limits: {{memory: {limit}, time: 5s}}"))]),
            "",
        );
        assert_eq!(tollgate.get("/").text(), pages, "{limit}");
    }
}

#[test]
fn a_filter_that_keeps_the_host_busy_pays_for_it() {
    // The host parses the body for all filters, and does not count that; but not each time that one replaces it.
    let body = r#"(loop $ever (call $body.replace "{}") (call $body.kind "" (i32.const 16)) (br $ever))"#;
    let filter = Script::new("f").on("on-request-body", body);
    let origin = Origin::working();
    for door in DOORS {
        let tollgate = by_door(door, &origin, &chain(&[filter.entry("limits: {time: 20ms}")]), "");
        let mut client = tollgate.client();
        (0..2).for_each(|_| assert_eq!(client.post("/", "", "{}").status(), 503));
        assert_eq!(faults(&tollgate, "f", "on-request-body", "timeout"), 2.0, "{door}");
    }
}
