//! The request's body, read whole for those who ask: pulled value by value, and replaced.

use super::{mirror, with};
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate};

/// A filter that writes down what each getter gives for each of these pointers.
fn reader() -> Script {
    let calls: String = ["", "/text", "/number", "/yes", "/none", "/list", "/object", "/list/1", "/a~1b", "/absent", "text"]
        .iter()
        .map(|pointer| {
            format!(
                r#"(call $body.kind "{pointer}" (i32.const 16))
                   (if (i32.load8_u (i32.const 16)) (then (call $put-int (i32.load8_u (i32.const 17)))) (else (call $put "-")))
                   (call $put " ") (call $body.text "{pointer}" (i32.const 16)) (call $put-option)
                   (call $put " ") (call $body.number "{pointer}" (i32.const 16))
                   (if (i32.load8_u (i32.const 16))
                     (then (call $put-number (i64.trunc_f64_s (f64.mul (f64.const 100) (f64.load (i32.const 24))))))
                     (else (call $put "-")))
                   (call $put " ") (call $body.boolean "{pointer}" (i32.const 16))
                   (if (i32.load8_u (i32.const 16)) (then (call $put-int (i32.load8_u (i32.const 17)))) (else (call $put "-")))
                   (call $put " ") (call $body.length "{pointer}" (i32.const 16))
                   (if (i32.load8_u (i32.const 16)) (then (call $put-int (i32.load (i32.const 20)))) (else (call $put "-")))
                   (call $put " ") (call $body.keys "{pointer}" (i32.const 16)) (call $put-list)
                   (call $put ";")"#
            )
        })
        .collect();
    Script::new("f").on(
        "on-request-body",
        &format!("{calls}(call $put-number (call $body.size)) (return (call $answer))"),
    )
}

#[test]
fn a_filter_pulls_the_values_that_it_needs() {
    let origin = Origin::working();
    let tollgate = with(&origin, &reader());
    let json = r#"{"text":"x","number":-1.5,"yes":true,"none":null,"list":[1,"two"],"object":{"k":1,"l":{}},"a/b":false}"#;
    let text = tollgate.post("/", json).text();
    let lines: Vec<_> = text.split(';').collect();
    let size = json.len().to_string();
    assert_eq!(
        lines,
        [
            "5 - - - 7 text,number,yes,none,list,object,a/b,",
            "3 x - - - ",
            "2 - -150 - - ",
            "1 - - 1 - ",
            "0 - - - - ",
            "4 - - - 2 ",
            "5 - - - 2 k,l,",
            "3 two - - - ",
            "1 - - 0 - ",
            "- - - - - ",
            "- - - - - ",
            &size,
        ]
    );
}

#[test]
fn a_body_that_is_no_json_has_a_size_and_no_values() {
    let origin = Origin::working();
    let tollgate = with(&origin, &reader());
    for body in ["", "no json", "{\"text\":", "[1] 2", "\u{0}", &"[".repeat(5000)] {
        let text = tollgate.post("/", body).text();
        assert_eq!(text, format!("{}{}", "- - - - - ;".repeat(11), body.len()), "{body:.20}");
    }
    assert_eq!(tollgate.get("/").text(), format!("{}0", "- - - - - ;".repeat(11)));
}

#[test]
fn a_filter_reads_any_part_of_the_bytes() {
    let reads: String = [("0", "4"), ("2", "3"), ("8", "100"), ("10", "1"), ("-1", "-1"), ("0", "0"), ("0", "-1")]
        .iter()
        .map(|(offset, length)| {
            format!(
                r#"(call $body.read (i64.const {offset}) (i32.const {length}) (i32.const 16)) (call $put-string) (call $put "|")"#
            )
        })
        .collect();
    let filter = Script::new("f").on("on-request-body", &format!("{reads}(return (call $answer))"));
    let origin = Origin::working();
    let tollgate = with(&origin, &filter);
    assert_eq!(tollgate.post("/", "0123456789").text(), "0123|234|89||||0123456789|");
}

#[test]
fn later_filters_and_the_upstream_see_a_replaced_body() {
    let replaces = Script::new("replaces").on("on-request-body", r#"(call $body.replace "[1,2,3,4]")"#);
    let sees = Script::new("sees").on(
        "on-request-body",
        r#"(call $put-number (call $body.size)) (call $put " ") (call $body.length "" (i32.const 16))
           (call $put-int (i32.load (i32.const 20))) (call $log-text)"#,
    );
    let again = sees.clone().named("sees-again");
    let filters = chain(&[sees.entry(""), replaces.entry(""), again.entry("")]);
    let origin = mirror();
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    let text = tollgate.post("/", "[0]").text();
    assert!(text.contains("content-length: 9\n") && text.ends_with("\n[1,2,3,4]"), "{text}");
    let chunked =
        "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[0\r\n1\r\n]\r\n0\r\n\r\n";
    let text = tollgate.client().send(chunked).receive().text();
    assert!(text.contains("content-length: 9\n") && text.ends_with("\n[1,2,3,4]"), "{text}");
    assert!(!text.contains("transfer-encoding"), "{text}");
    let lines = super::logged(&tollgate, 4);
    assert_eq!(lines, ["3 1", "9 4", "3 1", "9 4"]);
}

#[test]
fn a_body_replaced_by_nothing_is_empty() {
    let filter = Script::new("f").on("on-request-body", r#"(call $body.replace "")"#);
    let text = with(&mirror(), &filter).post("/", "[0]").text();
    assert!(text.starts_with("POST / ") && text.ends_with("\n\n"), "{text}");
}

#[test]
fn a_body_past_the_routes_limit_is_answered_with_413() {
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[reader().entry("")]), "body-limit: 8");
    assert_eq!(tollgate.post("/", "12345678").status(), 200);
    let answer = tollgate.post("/", "123456789");
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (413, Some("body_too_large")));
    let chunked =
        "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n";
    assert_eq!(tollgate.client().send(chunked).receive().status(), 413);
    assert_eq!(origin.connections(), 0);
    assert_eq!(tollgate.metric("tollgate_errors_total{provider=\"main\",type=\"body_too_large\"}"), 2.0);
}

#[test]
fn a_body_is_refused_to_filters_when_it_would_make_a_tree_without_end() {
    let filter = Script::new("f").on("on-request-body", r#"(call $body.kind "" (i32.const 16))"#);
    let origin = Origin::working();
    let tollgate = with(&origin, &filter);
    let answer = tollgate.post("/", &format!("[{}0]", "0,".repeat(1 << 20)));
    assert_eq!((answer.status(), origin.connections()), (503, 0), "padding must not slip by a filter");
    assert_eq!(tollgate.post("/", "[0]").status(), 200);
}
