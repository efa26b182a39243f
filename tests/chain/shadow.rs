//! `mode: shadow`: a filter that is tried on real traffic, is counted and logged, and changes nothing.

use super::mirror;
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate};

fn shadowed(origin: &Origin, filter: &Script) -> Tollgate {
    Tollgate::in_front_of(origin, &chain(&[filter.entry("mode: shadow")]), "")
}

#[test]
fn a_shadowed_refusal_is_counted_and_the_request_goes_on() {
    let refuse = r#"(call $reply.reject (i32.const 403) "no" "No") (return (i32.const 1))"#;
    for phase in ["on-request", "on-request-body", "before-attempt", "on-response"] {
        let origin = mirror();
        let tollgate = shadowed(&origin, &Script::new("f").on(phase, refuse));
        assert_eq!(tollgate.get("/").status(), 200, "{phase}");
        let counted = format!("tollgate_filter_rejections_total{{filter=\"f\",phase=\"{phase}\"}}");
        assert_eq!(tollgate.metric(&counted), 1.0);
        super::assert_logs(&tollgate, &["\"filter\":\"f\"", phase, "shadow"]);
    }
}

#[test]
fn a_shadowed_filter_edits_nothing() {
    let filter = Script::new("f")
        .on(
            "on-request",
            r#"(call $request.set-header "x-shadow" "1" (i32.const 16)) (call $put-edit)
               (call $request.append-header "x-shadow" "1" (i32.const 16)) (call $put-edit)
               (call $request.remove-header "x-kept" (i32.const 16)) (call $put-edit)
               (call $request.set-path "/shadow" (i32.const 16)) (call $put-edit)
               (call $request.set-header "host" "x" (i32.const 16)) (call $put-edit)
               (call $exchange.set-attribute "a" "b") (call $exchange.set-slot (i64.const 1))
               (call $log-text)"#,
        )
        .on("on-request-body", r#"(call $body.replace "shadow")"#)
        .on(
            "on-response",
            r#"(call $response.set-header "x-shadow" "1" (i32.const 16))
               (call $response.set-status (i32.const 201) (i32.const 16))
               (call $response.remove-header "content-length" (i32.const 16))"#,
        )
        .on("on-response-chunk", r#"(return (call $replace "shadow"))"#);
    let origin = mirror();
    let tollgate = shadowed(&origin, &filter);
    let answer = tollgate.client().post("/p", "x-kept: 1\r\n", "content");
    assert_eq!((answer.status(), answer.field("x-shadow")), (200, None));
    let text = answer.text();
    assert!(
        text.starts_with("POST /p ") && text.ends_with("\ncontent") && text.contains("x-kept: 1\n"),
        "{text}"
    );
    assert!(!text.contains("shadow"), "{text}");
    super::assert_logs(&tollgate, &["ok ok ok ok 2 "]);
}

#[test]
fn a_shadowed_filter_cannot_cut_a_stream_or_ask_for_attempts() {
    let origin = Origin::answering(|_| b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\nfail".to_vec());
    let filter = Script::new("f")
        .on("after-attempt", "(return (call $retry (i32.const 0)))")
        .on("on-response-chunk", r#"(return (call $abort "shadow"))"#);
    let tollgate = shadowed(&origin, &filter);
    assert_eq!((tollgate.get("/").text().as_str(), origin.requests()), ("fail", 1));
    assert_eq!(tollgate.metric("tollgate_retries_total{provider=\"main\",result=\"granted\"}"), 0.0);
}

#[test]
fn a_shadowed_filters_faults_are_counted_and_mean_nothing() {
    for phase in [
        "on-request",
        "on-request-body",
        "before-attempt",
        "after-attempt",
        "on-response",
        "on-response-chunk",
    ] {
        let origin = Origin::working();
        let tollgate = shadowed(&origin, &Script::new("f").on(phase, "(unreachable)"));
        assert_eq!(tollgate.post("/", "{}").text(), "it works", "{phase}");
        let counted = format!("tollgate_filter_faults_total{{filter=\"f\",phase=\"{phase}\",kind=\"trap\"}}");
        assert!(tollgate.metric(&counted) >= 1.0, "{phase}");
        super::assert_logs(&tollgate, &["\"filter\":\"f\"", &format!("\"phase\":\"{phase}\""), "requestId"]);
    }
}

#[test]
fn a_reply_that_a_shadowed_filter_made_is_nobody_elses() {
    let shadow = Script::new("shadow")
        .on("on-request", r#"(call $reply.reject (i32.const 403) "no" "No") (return (i32.const 1))"#);
    let next = Script::new("next").on(
        "on-request",
        r#"(call $reply.set-header "x-stolen" "1" (i32.const 16)) (call $put-edit) (call $log-text) (return (i32.const 1))"#,
    );
    let filters = chain(&[shadow.entry("mode: shadow"), next.entry("")]);
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    let answer = tollgate.get("/");
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (503, Some("filter_failed")));
    super::assert_logs(&tollgate, &["\"msg\":\"4 \""]);
}
