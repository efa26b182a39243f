//! In order on the way in, in reverse on the way out, and no further than the filter that responds.

use super::{logged, mirror};
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate, eventually};

/// A filter that logs the name of each phase, and adds its own to `x-order`.
fn tracer(name: &str) -> Script {
    let append = format!(r#"(call $request.append-header "x-order" "{name}" (i32.const 16))"#);
    Script::new(name)
        .on("on-request", &format!(r#"(call $log.write (i32.const 2) "on-request") {append}"#))
        .on("on-request-body", r#"(call $log.write (i32.const 2) "on-request-body")"#)
        .on("before-attempt", r#"(call $log.write (i32.const 2) "before-attempt")"#)
        .on("after-attempt", r#"(call $log.write (i32.const 2) "after-attempt")"#)
        .on("on-response", r#"(call $log.write (i32.const 2) "on-response")"#)
        .on(
            "on-response-chunk",
            r#"(if (local.get $last) (then (call $log.write (i32.const 2) "on-response-chunk")))"#,
        )
        .on("on-complete", r#"(call $log.write (i32.const 2) "on-complete")"#)
}

/// The same, but for one phase, in which it answers itself.
fn responder(name: &str, phase: &'static str) -> Script {
    let tracer = tracer(name);
    let answer = format!(
        r#"(call $log.write (i32.const 2) "{phase}") (call $put "own words") (return (call $answer))"#
    );
    tracer.instead(phase, &answer)
}

fn three(origin: &Origin, second: &Script, route: &str) -> Tollgate {
    let filters = chain(&[tracer("a").entry(""), second.entry(""), tracer("c").entry("")]);
    Tollgate::in_front_of(origin, &filters, route)
}

/// Waits for the last call of an exchange, and lists all.
fn calls(tollgate: &Tollgate, last: &str) -> Vec<String> {
    eventually("the exchange is over", || {
        tollgate.has_logged(&["on-complete", &format!("\"filter\":\"{last}\"")])
    });
    super::calls(tollgate, 1)
}

fn in_order(phase: &str, filters: &str) -> Vec<String> {
    filters.chars().map(|filter| format!("{filter} {phase}")).collect()
}

#[test]
fn filters_are_called_in_order_on_the_way_in_and_in_reverse_on_the_way_out() {
    let origin = mirror();
    let tollgate = three(&origin, &tracer("b"), "");
    let response = tollgate.post("/", "{}");
    assert!(response.text().contains("x-order: a\nx-order: b\nx-order: c\n"), "{}", response.text());
    let expected = [
        in_order("on-request", "abc"),
        in_order("on-request-body", "abc"),
        in_order("before-attempt", "abc"),
        in_order("after-attempt", "cba"),
        in_order("on-response", "cba"),
        in_order("on-response-chunk", "cba"),
        in_order("on-complete", "abc"),
    ];
    assert_eq!(calls(&tollgate, "c"), expected.concat());
}

#[test]
fn a_filter_that_responds_ends_the_walk_and_on_complete_is_called_for_all() {
    let cases: [(&'static str, &[(&str, &str)]); 3] = [
        ("on-request", &[("on-request", "ab")]),
        ("on-request-body", &[("on-request", "abc"), ("on-request-body", "ab")]),
        ("before-attempt", &[("on-request", "abc"), ("on-request-body", "abc"), ("before-attempt", "ab")]),
    ];
    for (phase, walked) in cases {
        let origin = Origin::working();
        let tollgate = three(&origin, &responder("b", phase), "");
        let response = tollgate.post("/", "{}");
        assert_eq!((response.status(), response.text().as_str()), (200, "own words"), "{phase}");
        assert_eq!(origin.connections(), 0, "{phase}");
        let mut expected: Vec<_> =
            walked.iter().flat_map(|(phase, filters)| in_order(phase, filters)).collect();
        expected.extend(in_order("on-complete", "abc"));
        assert_eq!(calls(&tollgate, "c"), expected);
        let counted = format!("tollgate_filter_rejections_total{{filter=\"b\",phase=\"{phase}\"}}");
        assert_eq!(tollgate.metric(&counted), 1.0);
    }
}

#[test]
fn a_filter_that_responds_on_the_way_out_replaces_the_response() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-from: origin\r\n\r\nsecret".to_vec()
    });
    let tollgate = three(&origin, &responder("b", "on-response"), "");
    let response = tollgate.get("/");
    assert_eq!((response.status(), response.text().as_str()), (200, "own words"));
    assert_eq!(response.field("x-from"), None);
    let calls = calls(&tollgate, "c");
    assert!(calls.contains(&"c on-response".to_owned()) && calls.contains(&"b on-response".to_owned()));
    assert!(!calls.contains(&"a on-response".to_owned()), "{calls:?}");
    assert!(calls.iter().all(|call| !call.ends_with("chunk")), "{calls:?}");
}

#[test]
fn a_route_calls_only_the_filters_that_it_names() {
    let origin = mirror();
    let tollgate = three(&origin, &tracer("b"), "filters: [a, c]");
    assert!(tollgate.get("/").text().contains("x-order: a\nx-order: c\n"));
    assert!(calls(&tollgate, "c").iter().all(|call| !call.starts_with("b ")));
}

#[test]
fn a_phase_that_no_filter_exports_is_not_walked_and_its_body_is_not_buffered() {
    let origin = mirror();
    let filter = Script::new("f").on("on-request", "(call $put-number (call $body.size)) (call $log-text)");
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[filter.entry("")]), "body-limit: 4");
    let response = tollgate.post("/", r#"{"longer": "than body-limit"}"#);
    assert_eq!(response.status(), 200, "a body that no filter asks for streams without a limit");
    assert!(response.text().ends_with(r#"{"longer": "than body-limit"}"#));
    assert_eq!(logged(&tollgate, 1), ["0"]);
    let metrics = tollgate.get("/metrics").text();
    assert!(!metrics.contains(r#"filter_calls_total{filter="f",phase="on-response"}"#), "{metrics}");
}

#[test]
fn a_reply_that_was_begun_and_not_given_counts_for_nothing() {
    // The first filter makes a reply and goes on; the second answers `respond` without one of its own.
    let begins = Script::new("begins")
        .on("on-request", r#"(call $reply.reject (i32.const 418) "left" "over" )"#)
        .on("after-attempt", r#"(call $reply.reject (i32.const 418) "left" "over")"#);
    let fails = Script::new("fails").on("on-request", "(return (i32.const 1))");
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[begins.entry(""), fails.entry("")]), "");
    let response = tollgate.get("/");
    assert_eq!((response.status(), response.json()["code"].as_str()), (503, Some("filter_failed")));

    let late = Script::new("late").on("on-response", "(return (i32.const 1))");
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[late.entry(""), begins.entry("")]), "");
    assert_eq!(tollgate.get("/").json()["code"], "filter_failed");
}
