//! The response: its head edited, its body passed, replaced, dropped or cut as it streams.

use super::{logged, ok, with};
use crate::support::script::{Script, chain};
use crate::support::{Message, Origin, Tollgate};

/// An origin that gives every request the same answer.
fn answering(response: &str) -> Origin {
    let response = response.to_owned().into_bytes();
    Origin::answering(move |_| response.clone())
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                       3\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 6\r\n\r\n";

/// What a client that takes trailers gets.
fn get(tollgate: &Tollgate) -> Message {
    tollgate.client().send("GET / HTTP/1.1\r\nhost: t\r\nte: trailers\r\n\r\n").receive()
}

#[test]
fn a_filter_edits_the_responses_head() {
    let origin =
        answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-old: 1\r\nx-old: 2\r\nserver: secret\r\n\r\nok");
    let filter = Script::new("f").on(
        "on-response",
        r#"(call $response.header "X-Old" (i32.const 16)) (call $put-option) (call $put " ")
           (call $response.header-bytes "x-old" (i32.const 16)) (call $put-list) (call $put " ")
           (call $put-int (call $response.status)) (call $put " ")
           (call $response.set-header "x-old" "new" (i32.const 16)) (call $put-edit)
           (call $response.append-header "x-old" "newer" (i32.const 16)) (call $put-edit)
           (call $response.remove-header "server" (i32.const 16)) (call $put-edit)
           (call $response.set-status (i32.const 203) (i32.const 16)) (call $put-edit)
           (call $response.header-names (i32.const 16)) (call $put-list)
           (call $log-text)"#,
    );
    let tollgate = with(&origin, &filter);
    let answer = tollgate.get("/");
    assert_eq!((answer.status(), answer.text().as_str()), (203, "ok"));
    assert_eq!((answer.values("x-old"), answer.field("server")), (vec!["new", "newer"], None));
    assert_eq!(logged(&tollgate, 1)[0], "1 1,2, 200 ok ok ok ok content-length,x-old,");
}

#[test]
fn what_would_change_the_framing_is_refused() {
    let filter = Script::new("f").on(
        "on-response",
        r#"(call $response.set-status (i32.const 204) (i32.const 16)) (call $put-edit)
           (call $response.set-status (i32.const 304) (i32.const 16)) (call $put-edit)
           (call $response.set-status (i32.const 199) (i32.const 16)) (call $put-edit)
           (call $response.set-status (i32.const 600) (i32.const 16)) (call $put-edit)
           (call $response.set-header "content-length" "1" (i32.const 16)) (call $put-edit)
           (call $response.remove-header "content-length" (i32.const 16)) (call $put-edit)
           (call $response.append-header "transfer-encoding" "gzip" (i32.const 16)) (call $put-edit)
           (call $response.set-header "trailer" "x" (i32.const 16)) (call $put-edit)
           (call $response.set-header "x-a" "b\0d" (i32.const 16)) (call $put-edit)
           (call $log-text)"#,
    );
    let origin = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let tollgate = with(&origin, &filter);
    let answer = tollgate.get("/");
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.field("content-length")),
        (200, "ok", Some("2"))
    );
    assert_eq!(logged(&tollgate, 1)[0], "1 1 1 1 2 2 2 2 ok ");
    let origin = answering("HTTP/1.1 204 No Content\r\n\r\n");
    let tollgate = with(
        &origin,
        &Script::new("f").on(
            "on-response",
            "(call $response.set-status (i32.const 200) (i32.const 16)) (call $put-edit) (call $log-text)",
        ),
    );
    assert_eq!((tollgate.get("/").status(), logged(&tollgate, 1)[0].as_str()), (204, "1 "));
}

#[test]
fn a_filter_that_passes_chunks_sees_every_byte_and_changes_none() {
    let filter = Script::new("f").on(
        "on-response-chunk",
        r#"(call $put-int (local.get $last)) (call $put (local.get $chunk) (local.get $size)) (call $log-text)"#,
    );
    let origin = answering(CHUNKED);
    let tollgate = with(&origin, &filter);
    let answer = get(&tollgate);
    assert_eq!((answer.text().as_str(), answer.trailers.len()), ("onetwo", 1), "{answer:?}");
    assert_eq!(answer.trailers[0], ("x-sum".to_owned(), "6".to_owned()));
    let lines = logged(&tollgate, 3);
    assert_eq!(lines, ["0one", "0two", "1"]);
}

#[test]
fn a_filter_replaces_chunks_and_adds_to_the_end() {
    let filter = Script::new("f").on(
        "on-response-chunk",
        r#"(call $put "<") (call $put (local.get $chunk) (local.get $size)) (call $put ">")
           (if (local.get $last) (then (call $put "end")))
           (return (call $replace (call $text)))"#,
    );
    let origin = answering(CHUNKED);
    let tollgate = with(&origin, &filter);
    let answer = get(&tollgate);
    assert_eq!((answer.text().as_str(), answer.trailers.len()), ("<one><two><>end", 1));
    let origin = answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none");
    let tollgate = with(&origin, &filter);
    let mut client = tollgate.client();
    let answer = client.get("/");
    assert_eq!((answer.text().as_str(), answer.field("content-length")), ("<one>end", None));
    assert_eq!(client.get("/").text(), "<one>end", "the connection lives on");
}

#[test]
fn a_filter_may_give_content_to_an_empty_response() {
    let filter = Script::new("f")
        .on("on-response-chunk", r#"(if (local.get $last) (then (return (call $replace "tail"))))"#);
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let origin = answering(response);
        let tollgate = with(&origin, &filter);
        let mut client = tollgate.client();
        assert_eq!(client.get("/").text(), "tail", "{response}");
        assert_eq!(client.get("/").text(), "tail", "{response}");
    }
}

#[test]
fn a_response_that_can_have_no_content_gets_none_from_a_filter() {
    let filter =
        Script::new("f").on("on-response-chunk", r#"(call $log-text) (return (call $replace "tail"))"#);
    for origin in
        ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"]
    {
        let origin = answering(origin);
        let tollgate = with(&origin, &filter);
        let mut client = tollgate.client();
        let first = client.get("/");
        assert_eq!(client.get("/").start, first.start, "nothing is in between");
        assert_eq!(logged(&tollgate, 2).len(), 2, "the filter has seen the end of both");
    }
    let origin = Origin::answering(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec());
    let tollgate = with(&origin, &filter);
    let mut client = tollgate.client();
    for _ in 0..2 {
        let head = client.send("HEAD / HTTP/1.1\r\nhost: t\r\n\r\n").receive_head();
        assert_eq!(
            (head.status(), head.field("content-length")),
            (200, Some("5")),
            "it says what GET would bring"
        );
    }
}

#[test]
fn dropped_chunks_leave_the_rest() {
    let origin = answering(CHUNKED);
    let filter = Script::new("f").on(
        "on-response-chunk",
        r#"(if (i32.eq (i32.load8_u (local.get $chunk)) (i32.const 111)) (then (return (call $replace ""))))"#,
    );
    assert_eq!(get(&with(&origin, &filter)).text(), "two");
    let all = Script::new("f").on("on-response-chunk", r#"(return (call $replace ""))"#);
    let origin = answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none");
    let tollgate = with(&origin, &all);
    let mut client = tollgate.client();
    assert_eq!(client.get("/").text(), "");
    assert_eq!(client.get("/").text(), "");
}

#[test]
fn each_filter_sees_what_the_one_before_it_made_of_a_chunk() {
    let wrap = |name: &str| {
        Script::new(name).on(
            "on-response-chunk",
            &format!(
                r#"(if (i32.eqz (local.get $size)) (then (return (call $variant (i32.const 0) (i32.const 0) (i32.const 0)))))
                   (call $put "{name}(") (call $put (local.get $chunk) (local.get $size)) (call $put ")")
                   (return (call $replace (call $text)))"#
            ),
        )
    };
    let filters = chain(&[wrap("a").entry(""), wrap("b").entry("")]);
    let origin = answering(CHUNKED);
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    assert_eq!(get(&tollgate).text(), "a(b(one))a(b(two))");
}

#[test]
fn an_aborted_stream_is_cut_short_so_that_the_client_sees_it() {
    let filter = Script::new("f").on(
        "on-response-chunk",
        r#"(if (i32.eq (i32.load8_u (local.get $chunk)) (i32.const 116)) (then (return (call $abort "seen enough"))))"#,
    );
    let origin = answering(CHUNKED);
    let tollgate = with(&origin, &filter);
    let mut client = tollgate.client();
    let rest = String::from_utf8(client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n").rest()).unwrap();
    assert!(rest.contains("3\r\none\r\n") && !rest.contains("two") && !rest.ends_with("0\r\n\r\n"), "{rest}");
    super::assert_logs(&tollgate, &["seen enough", "requestId"]);
    assert_eq!(tollgate.metric("tollgate_errors_total{provider=\"main\",type=\"rejected_by_filter\"}"), 1.0);
}

#[test]
fn a_long_body_passes_through_a_filter_byte_for_byte() {
    let content: String = (0..200_000).map(|n| format!("{n:07}\n")).collect();
    let sent = content.clone();
    let origin = Origin::answering(move |_| ok(&sent));
    let pass = Script::new("pass").on("on-response-chunk", "");
    let copy = Script::new("copy")
        .on("on-response-chunk", "(return (call $replace (local.get $chunk) (local.get $size)))");
    let tollgate = Tollgate::in_front_of(&origin, &chain(&[pass.entry(""), copy.entry("")]), "");
    assert!(tollgate.get("/").text() == content, "no byte is lost or moved");
}
