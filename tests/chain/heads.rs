//! Reading and editing heads, and the edits that are refused.

use super::{mirror, said, with};
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate};

#[test]
fn a_filter_reads_the_head_and_what_the_exchange_is_called() {
    let filter = Script::new("f").on(
        "on-request",
        r#"(call $request.method (i32.const 16)) (call $put-string) (call $put " ")
           (call $request.authority (i32.const 16)) (call $put-string) (call $put " ")
           (call $request.path (i32.const 16)) (call $put-string) (call $put " ")
           (call $exchange.id (i32.const 16)) (call $put-string) (call $put " ")
           (call $exchange.route (i32.const 16)) (call $put-string) (call $put " ")
           (call $exchange.upstream (i32.const 16)) (call $put-string) (call $put " ")
           (call $exchange.provider (i32.const 16)) (call $put-string) (call $put " ")
           (call $exchange.client-address (i32.const 16)) (call $put-string) (call $put " ")
           (call $put-int (i64.le_u (call $exchange.remaining-millis) (i64.const 5000)))
           (return (call $answer))"#,
    );
    let origin = Origin::working();
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[filter.entry("")]), "timeout: 5s");
    let text = tollgate
        .client()
        .send("PATCH /a/b?c=%20 HTTP/1.1\r\nHost: Example.com:8080\r\nX-Request-ID: my-id\r\n\r\n")
        .receive()
        .text();
    assert_eq!(text, "PATCH Example.com:8080 /a/b?c=%20 my-id routes[2] main main 127.0.0.1 1");
}

#[test]
fn a_filter_reads_fields_whatever_their_case_and_bytes() {
    let filter = Script::new("f").on(
        "on-request",
        r#"(call $request.header "X-MANY" (i32.const 16)) (call $put-option) (call $put "|")
           (call $request.header "absent" (i32.const 16)) (call $put-option) (call $put "|")
           (call $request.header "no name" (i32.const 16)) (call $put-option) (call $put "|")
           (call $request.header-bytes "x-many" (i32.const 16)) (call $put-list) (call $put "|")
           (call $request.header-bytes "absent" (i32.const 16)) (call $put-list) (call $put "|")
           (call $request.header "x-bytes" (i32.const 16)) (call $put-option) (call $put "|")
           (call $request.header-bytes "x-bytes" (i32.const 16)) (call $put-list) (call $put "|")
           (call $request.header-names (i32.const 16)) (call $put-list)
           (return (call $answer))"#,
    );
    let origin = Origin::working();
    let tollgate = with(&origin, &filter);
    let request = b"GET / HTTP/1.1\r\nhost: t\r\nX-Many: 1\r\nx-many: 2\r\nx-bytes: \xe9\r\n\r\n";
    let body = tollgate.client().send(request).receive().body;
    let expected = b"1|-|-|1,2,||\xef\xbf\xbd|\xe9,|";
    let (values, names) = body.split_at(expected.len());
    assert_eq!(values, expected);
    let names = String::from_utf8_lossy(names);
    for name in ["host", "x-many", "x-bytes", "x-forwarded-for", "x-request-id"] {
        assert_eq!(names.split(',').filter(|known| *known == name).count(), 1, "{names}");
    }
}

#[test]
fn a_filter_edits_the_requests_head() {
    let filter = Script::new("f").on(
        "on-request",
        r#"(call $request.set-path "/new?q=1" (i32.const 16)) (call $put-edit)
           (call $request.set-header "X-Set" "s" (i32.const 16)) (call $put-edit)
           (call $request.append-header "x-set" "more" (i32.const 16)) (call $put-edit)
           (call $request.set-header "x-old" "new" (i32.const 16)) (call $put-edit)
           (call $request.remove-header "x-gone" (i32.const 16)) (call $put-edit)
           (call $request.remove-header "never-there" (i32.const 16)) (call $put-edit)
           (call $log-text)"#,
    );
    let origin = mirror();
    let tollgate = with(&origin, &filter);
    let text = tollgate
        .client()
        .send("GET /old HTTP/1.1\r\nhost: t\r\nx-old: 1\r\nx-old: 2\r\nx-gone: 1\r\n\r\n")
        .receive()
        .text();
    assert!(text.starts_with("GET /new?q=1 HTTP/1.1\n"), "{text}");
    assert!(text.contains("x-set: s\nx-set: more\n") && text.contains("x-old: new\n"), "{text}");
    assert!(!text.contains("x-gone") && text.matches("x-old").count() == 1, "{text}");
    super::assert_logs(&tollgate, &["ok ok ok ok ok ok "]);
}

#[test]
fn edits_that_no_head_may_get_are_refused() {
    let edits: [(&str, &str, &str); 14] = [
        ("host", "x", "2"),
        ("Content-Length", "0", "2"),
        ("transfer-encoding", "chunked", "2"),
        ("connection", "close", "2"),
        ("upgrade", "h2c", "2"),
        ("te", "trailers", "2"),
        ("trailer", "x", "2"),
        ("expect", "100-continue", "2"),
        ("keep-alive", "5", "2"),
        ("x-request-id", "mine", "2"),
        ("", "x", "0"),
        ("a b", "x", "0"),
        ("x:y", "x", "0"),
        ("x-a", "split\r\nx-b: y", "1"),
    ];
    for target in ["request", "reply"] {
        let calls: String = edits
            .iter()
            .map(|(name, value, _)| {
                format!(
                    "(call ${target}.set-header \"{name}\" \"{value}\" (i32.const 16)) (call $put-edit)\n"
                )
            })
            .collect();
        let begin = r#"(call $reply.send (i32.const 200) "text/plain" "x")"#;
        let answer =
            said(&Script::new("f").on("on-request", &format!("{begin}{calls}(return (call $answer))")));
        let expected: String = edits.iter().map(|(_, _, error)| format!("{error} ")).collect();
        assert_eq!(answer.text(), expected, "{target}");
    }
}

#[test]
fn paths_that_no_request_may_have_are_refused() {
    for path in ["", "no-slash", "http://elsewhere/", "/a b", "/a\r\nx: y", "*"] {
        let body = format!(
            r#"(call $request.set-path "{path}" (i32.const 16)) (call $put-edit) (return (call $answer))"#
        );
        assert_eq!(said(&Script::new("f").on("on-request", &body)).text(), "1 ", "{path:?}");
    }
}

#[test]
fn a_head_does_not_grow_past_what_the_host_forwards() {
    // 400 fields; then one field of 128 KiB.
    let filter = Script::new("f").on(
        "on-request",
        r#"(local.set $i (i32.const 400))
           (loop $again
             (call $request.append-header "x-more" "v" (i32.const 16))
             (local.set $j (i32.add (local.get $j) (i32.eqz (i32.load8_u (i32.const 16)))))
             (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
           (call $put-int (i32.lt_u (local.get $j) (i32.const 256))) (call $put " ") (call $put-edit)
           (memory.fill (call $allocate (i32.const 1) (i32.const 131072)) (i32.const 97) (i32.const 131072))
           (call $request.set-header "x-long" (i32.const 65536) (i32.const 131072) (i32.const 16)) (call $put-edit)
           (return (call $answer))"#,
    );
    assert_eq!(said(&filter).text(), "1 3 3 ");
}

#[test]
fn edits_that_come_too_late_are_refused_and_have_no_effect() {
    let request = r#"(call $request.set-header "x-late" "1" (i32.const 16)) (call $put-edit)
                     (call $request.remove-header "x-late" (i32.const 16)) (call $put-edit)
                     (call $request.set-path "/late" (i32.const 16)) (call $put-edit)"#;
    let response = r#"(call $response.set-header "x-late" "1" (i32.const 16)) (call $put-edit)
                      (call $response.append-header "x-late" "1" (i32.const 16)) (call $put-edit)
                      (call $response.remove-header "x-late" (i32.const 16)) (call $put-edit)
                      (call $response.set-status (i32.const 201) (i32.const 16)) (call $put-edit)"#;
    let reply = r#"(call $reply.set-header "x-late" "1" (i32.const 16)) (call $put-edit)"#;
    let log = |edits: &str| {
        format!("(call $put-int (call $response.status)) (call $put \" \") {edits} (call $log-text)")
    };
    let filter = Script::new("f")
        .on("on-request", &log(&format!("{response}{reply}")))
        .on("after-attempt", &log(&format!("{request}{response}")))
        .on("on-response", &log(request))
        .on("on-complete", &log(&format!("{request}{response}")));
    let origin = mirror();
    let tollgate = with(&origin, &filter);
    let answer = tollgate.get("/");
    assert_eq!((answer.status(), answer.field("x-late")), (200, None));
    assert!(!answer.text().contains("late"), "{}", answer.text());
    let lines = super::logged(&tollgate, 4);
    assert_eq!(lines, ["0 4 4 4 4 4 ", "200 4 4 4 4 4 4 4 ", "200 4 4 4 ", "200 4 4 4 4 4 4 4 "]);
}

#[test]
fn what_is_changed_before_an_attempt_reaches_the_upstream() {
    let filter = Script::new("f").on(
        "before-attempt",
        r#"(call $put-int (local.get $number)) (call $request.set-header "x-attempt" (call $text) (i32.const 16))
           (call $request.set-path "/attempt" (i32.const 16))"#,
    );
    let text = with(&mirror(), &filter).get("/").text();
    assert!(text.starts_with("GET /attempt ") && text.contains("x-attempt: 1\n"), "{text}");
}

#[test]
fn a_set_path_does_not_bring_a_request_to_another_route() {
    let origin = mirror();
    let filter = Script::new("f").on("on-request", r#"(call $request.set-path "/metrics" (i32.const 16))"#);
    let text = with(&origin, &filter).get("/").text();
    assert!(text.starts_with("GET /metrics HTTP/1.1"), "{text}");
}
