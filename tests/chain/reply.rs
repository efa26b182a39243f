//! The answers that filters give, in the shape that a route's clients expect.

use serde_json::json;

use super::{said, with};
use crate::support::Origin;
use crate::support::script::{Script, chain};
use crate::support::tollgate::Tollgate;

/// A filter that refuses everything, with all that a refusal may have.
fn refuser() -> Script {
    Script::new("f").on(
        "on-request",
        r#"(call $reply.reject (i32.const 500) "begun" "and begun anew")
           (call $reply.reject (i32.const 429) "slow_down" "Slow down")
           (call $reply.detail "one") (call $reply.detail "two")
           (call $reply.retry-after (i32.const 7))
           (call $reply.set-header "x-why" "because" (i32.const 16))
           (return (i32.const 1))"#,
    )
}

#[test]
fn a_refusal_has_the_shape_of_its_route() {
    let origin = Origin::working();
    let shapes = ["problem", "plain", "openai", "anthropic"];
    let routes: String = shapes
        .iter()
        .map(|shape| format!("  - match: {{path: /{shape}}}\n    upstream: main\n    errors: {shape}\n"))
        .collect();
    let tollgate = Tollgate::start(&format!(
        "version: 1\nlisteners:\n  - LISTENER\nupstreams:\n  main:\n    endpoints: [\"{}\"]\n{}routes:\n{routes}",
        origin.url(),
        chain(&[refuser().entry("")])
    ));
    for shape in shapes {
        let answer = tollgate
            .client()
            .send(format!("GET /{shape} HTTP/1.1\r\nhost: t\r\nx-request-id: id-1\r\n\r\n"))
            .receive();
        assert_eq!(
            (answer.status(), answer.field("retry-after"), answer.field("x-why")),
            (429, Some("7"), Some("because"))
        );
        assert_eq!(answer.field("x-request-id"), Some("id-1"));
        let sentence = "Slow down: one; two";
        let (content_type, expected) = match shape {
            "problem" => (
                "application/problem+json",
                json!({"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "Slow down",
                    "code": "slow_down", "request_id": "id-1", "errors": ["one", "two"]}),
            ),
            "plain" => ("application/json", json!({"error": "Slow down", "details": ["one", "two"]})),
            "openai" => (
                "application/json",
                json!({"error": {"message": sentence, "type": "rate_limit_error", "param": null, "code": "slow_down"}}),
            ),
            _ => (
                "application/json",
                json!({"type": "error", "error": {"type": "rate_limit_error", "message": sentence}, "request_id": "id-1"}),
            ),
        };
        assert_eq!((answer.field("content-type"), answer.json()), (Some(content_type), expected));
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_refusal_is_counted_as_one() {
    let origin = Origin::working();
    let tollgate = with(&origin, &refuser());
    (0..3).for_each(|_| assert_eq!(tollgate.get("/").status(), 429));
    assert_eq!(tollgate.metric("tollgate_errors_total{provider=\"main\",type=\"rejected_by_filter\"}"), 3.0);
    assert_eq!(tollgate.metric("tollgate_requests_total{provider=\"main\",status=\"429\"}"), 3.0);
    assert_eq!(tollgate.metric("tollgate_filter_rejections_total{filter=\"f\",phase=\"on-request\"}"), 3.0);
}

#[test]
fn a_status_that_is_no_error_cannot_refuse() {
    for status in [0, 100, 200, 302, 399, 600, 65535] {
        let body = format!(r#"(call $reply.reject (i32.const {status}) "c" "m") (return (i32.const 1))"#);
        assert_eq!(said(&Script::new("f").on("on-request", &body)).status(), 500, "{status}");
    }
}

#[test]
fn an_answer_of_a_filters_own_goes_out_as_it_is() {
    let body = r#"(call $reply.send (i32.const 203) "text/x-own; charset=x" "own words")
                  (call $reply.detail "ignored")
                  (call $reply.set-header "X-Own" "1" (i32.const 16))
                  (return (i32.const 1))"#;
    let origin = Origin::working();
    let tollgate = with(&origin, &Script::new("f").on("on-request", body));
    let answer = tollgate.get("/");
    assert_eq!((answer.status(), answer.text().as_str()), (203, "own words"));
    assert_eq!(
        (answer.field("content-type"), answer.field("x-own")),
        (Some("text/x-own; charset=x"), Some("1"))
    );
    let mut client = tollgate.client();
    let head = client.send("HEAD / HTTP/1.1\r\nhost: t\r\n\r\n").receive_head();
    assert_eq!((head.status(), head.field("content-length")), (203, Some("9")));
    assert_eq!(client.get("/").status(), 203, "no byte of content was in between");
}

#[test]
fn an_answer_that_can_have_no_content_has_none() {
    for status in [204, 304] {
        let body = format!(
            r#"(call $reply.send (i32.const {status}) "text/plain" "content") (return (i32.const 1))"#
        );
        let origin = Origin::working();
        let tollgate = with(&origin, &Script::new("f").on("on-request", &body));
        let mut client = tollgate.client();
        assert_eq!(client.get("/").status(), status);
        assert_eq!(client.get("/").status(), status, "no byte of content was in between");
    }
}

#[test]
fn details_are_bounded() {
    let body = r#"(call $reply.reject (i32.const 400) "c" "m")
                  (local.set $i (i32.const 1000))
                  (loop $again
                    (call $reply.detail "again")
                    (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
                  (return (i32.const 1))"#;
    let errors = said(&Script::new("f").on("on-request", body)).json()["errors"].as_array().unwrap().clone();
    assert_eq!((errors.len(), errors.last().unwrap().as_str()), (257, Some("and 744 more")));
}
