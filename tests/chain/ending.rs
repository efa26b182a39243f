//! `on-complete`: however an exchange ends, exactly once, and with the word for how.

use std::sync::mpsc;

use super::{logged, ok, with};
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate, eventually};

/// A filter that logs the ending's number.
fn witness(name: &str) -> Script {
    Script::new(name).on(
        "on-complete",
        r#"(call $put "ending ") (call $put-int (local.get $ending)) (call $put " of ")
           (call $request.path (i32.const 16)) (call $put-string) (call $put " status ")
           (call $put-int (call $response.status)) (call $log-text)"#,
    )
}

/// The only two lines that were logged: one for each filter. A further exchange makes sure that no other comes late.
fn endings(tollgate: &Tollgate) -> Vec<String> {
    let lines = logged(tollgate, 2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], lines[1]);
    lines
}

fn witnessed(origin: &Origin, more: &[String]) -> Tollgate {
    let mut entries = vec![witness("a").entry(""), witness("b").entry("")];
    entries.extend_from_slice(more);
    Tollgate::in_front_of(origin, &chain(&entries), "")
}

#[test]
fn a_whole_response_is_complete() {
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nit works",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nit\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let origin = Origin::answering(move |_| response.as_bytes().to_vec());
        let tollgate = witnessed(&origin, &[]);
        tollgate.get("/p");
        assert_eq!(endings(&tollgate)[0], "ending 0 of /p status 200", "{response}");
        assert_eq!(tollgate.metric("tollgate_requests_total{provider=\"main\",status=\"200\"}"), 1.0);
        super::assert_logs(&tollgate, &["\"ending\":\"complete\"", "\"statusCode\":200", "\"path\":\"/p\""]);
    }
}

#[test]
fn a_client_that_leaves_before_the_head_is_gone() {
    let (came, comes) = mpsc::channel();
    let origin = Origin::raw(move |mut peer| {
        peer.request();
        came.send(()).unwrap();
        // Until Tollgate hangs up.
        assert!(peer.request().is_none());
    });
    let tollgate = witnessed(&origin, &[]);
    let mut client = tollgate.client();
    client.send("GET /p HTTP/1.1\r\nhost: t\r\n\r\n");
    comes.recv().unwrap();
    drop(client);
    assert_eq!(endings(&tollgate)[0], "ending 1 of /p status 0");
    assert_eq!(tollgate.metric("tollgate_errors_total{provider=\"main\",type=\"client_gone\"}"), 1.0);
    super::assert_logs(&tollgate, &["\"ending\":\"client-gone\"", "\"statusCode\":499"]);
    assert_eq!(tollgate.metric("tollgate_active_requests"), 0.0);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_stream_is_gone() {
    let origin = Origin::raw(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
        // Until Tollgate hangs up.
        while peer.try_send(format!("400\r\n{}\r\n", "x".repeat(1024))).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let tollgate = witnessed(&origin, &[]);
    let mut client = tollgate.client();
    client.send("GET /p HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(crate::support::Message::read_head(&mut client.stream).unwrap().status(), 200);
    drop(client);
    assert_eq!(endings(&tollgate)[0], "ending 1 of /p status 200");
    assert_eq!(tollgate.metric("tollgate_errors_total{provider=\"main\",type=\"client_gone\"}"), 1.0);
}

#[test]
fn a_client_that_leaves_while_a_retry_waits_is_gone() {
    let origin = Origin::answering(|_| b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec());
    let retrier = Script::new("c").on("after-attempt", "(return (call $retry (i32.const 20000)))");
    let tollgate = witnessed(&origin, &[retrier.entry("")]);
    let mut client = tollgate.client();
    client.send("GET /p HTTP/1.1\r\nhost: t\r\n\r\n");
    eventually("the attempt is over", || {
        tollgate.metric("tollgate_retries_total{provider=\"main\",result=\"granted\"}") == 1.0
    });
    drop(client);
    assert_eq!(endings(&tollgate)[0], "ending 1 of /p status 0");
}

#[test]
fn an_upstream_that_breaks_off_is_told_apart() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let origin = Origin::raw(move |mut peer| {
            peer.request();
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n3\r\none\r\n"));
        });
        let tollgate = witnessed(&origin, &[]);
        let rest = tollgate.client().send("GET /p HTTP/1.1\r\nhost: t\r\n\r\n").rest();
        assert!(
            !String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"),
            "the client can see that it is not whole"
        );
        assert_eq!(endings(&tollgate)[0], "ending 2 of /p status 200");
        assert_eq!(tollgate.metric("tollgate_errors_total{provider=\"main\",type=\"upstream_broke\"}"), 1.0);
    }
}

#[test]
fn an_answer_of_a_filter_or_of_the_host_is_a_reply() {
    let refuses = Script::new("c")
        .on("on-request", r#"(call $reply.reject (i32.const 403) "no" "No") (return (i32.const 1))"#);
    let origin = Origin::working();
    let tollgate = witnessed(&origin, &[refuses.entry("")]);
    assert_eq!(tollgate.get("/p").status(), 403);
    assert_eq!(endings(&tollgate)[0], "ending 3 of /p status 0");
    super::assert_logs(&tollgate, &["\"ending\":\"replied\"", "\"code\":\"no\"", "\"statusCode\":403"]);

    let traps = Script::new("c").on("on-request", "(unreachable)");
    let origin = Origin::working();
    let tollgate = witnessed(&origin, &[traps.entry("")]);
    assert_eq!(tollgate.get("/p").status(), 503);
    assert_eq!(endings(&tollgate)[0], "ending 3 of /p status 0");

    let breaks = Origin::raw(|mut peer| drop(peer.request()));
    let tollgate = witnessed(&breaks, &[]);
    assert_eq!(tollgate.get("/p").status(), 502);
    assert_eq!(endings(&tollgate)[0], "ending 3 of /p status 0");
}

#[test]
fn a_head_that_no_chain_saw_is_no_exchange() {
    let origin = Origin::answering(|_| ok("fine"));
    let tollgate = with(&origin, &witness("a"));
    assert_eq!(tollgate.get("/health/live").status(), 200);
    assert_eq!(tollgate.client().send("CONNECT t:1 HTTP/1.1\r\nhost: t:1\r\n\r\n").receive().status(), 501);
    tollgate.get("/p");
    assert_eq!(logged(&tollgate, 1).len(), 1);
}

#[test]
fn on_complete_cannot_change_anything_any_more() {
    let filter = Script::new("f").on(
        "on-complete",
        r#"(call $reply.reject (i32.const 418) "late" "Late") (call $request.set-path "/late" (i32.const 16))
           (call $log.write (i32.const 2) "over")"#,
    );
    let origin = Origin::working();
    let tollgate = with(&origin, &filter);
    assert_eq!(tollgate.get("/p").status(), 200);
    super::assert_logs(&tollgate, &["\"msg\":\"request\""]);
    super::assert_logs(
        &tollgate,
        &["\"msg\":\"request\"", "\"path\":\"/p\"", "\"code\":\"\"", "\"statusCode\":200"],
    );
}
