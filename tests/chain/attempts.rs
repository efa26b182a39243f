//! Attempts: what filters advise after one, and what the host grants.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{calls, logged, ok, with};
use crate::support::manifest::Manifest;
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate, eventually};

/// An origin that answers 500 to the first `failures` requests.
fn failing(failures: usize) -> Origin {
    let seen = AtomicUsize::new(0);
    Origin::answering(move |_| match seen.fetch_add(1, Ordering::SeqCst) {
        n if n < failures => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\nfail".to_vec(),
        _ => ok("fine"),
    })
}

/// A filter that asks for another attempt after any outcome but a status below 500, `times` at most.
fn retrier(name: &str, times: u32, delay: u32) -> Script {
    Script::new(name).on(
        "after-attempt",
        &format!(
            r#"(if (i32.and (i32.eqz (local.get $outcome)) (i32.lt_u (local.get $status) (i32.const 500)))
                 (then (return (call $variant (i32.const 0) (i32.const 0) (i32.const 0)))))
               (if (i32.le_u (local.get $number) (i32.const {times})) (then (return (call $retry (i32.const {delay})))))"#
        ),
    )
}

fn retries(tollgate: &Tollgate, result: &str) -> f64 {
    tollgate.metric(&format!("tollgate_retries_total{{provider=\"main\",result=\"{result}\"}}"))
}

#[test]
fn a_retry_waits_as_long_as_it_was_told_and_the_client_sees_the_last_answer() {
    let origin = failing(2);
    let tollgate = with(&origin, &retrier("f", 3, 80));
    let begun = Instant::now();
    let answer = tollgate.get("/");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "fine"));
    assert!(begun.elapsed() >= Duration::from_millis(160), "{:?}", begun.elapsed());
    assert_eq!(origin.requests(), 3);
    assert_eq!(retries(&tollgate, "granted"), 2.0);
    assert_eq!(
        tollgate.metric("tollgate_upstream_attempts_total{provider=\"main\",outcome=\"response\"}"),
        3.0
    );
    assert_eq!(tollgate.metric("tollgate_requests_total{provider=\"main\",status=\"200\"}"), 1.0);
}

#[test]
fn when_no_filter_asks_for_more_the_last_outcome_is_the_answer() {
    let origin = failing(9);
    let tollgate = with(&origin, &retrier("f", 2, 0));
    assert_eq!((tollgate.get("/").text().as_str(), origin.requests()), ("fail", 3));
}

/// A filter whose advice, while the status is 500, is this expression.
fn adviser(name: &str, advice: &str) -> Script {
    let unless = "(if (i32.ne (local.get $status) (i32.const 500)) \
                  (then (return (call $variant (i32.const 0) (i32.const 0) (i32.const 0)))))";
    Script::new(name).on("after-attempt", &format!("{unless} (return {advice})"))
}

#[test]
fn stop_beats_retry_and_the_longest_delay_counts() {
    let accept = "(call $variant (i32.const 0) (i32.const 0) (i32.const 0))";
    let (soon, late, stop) = ("(call $retry (i32.const 1))", "(call $retry (i32.const 150))", "(call $stop)");
    // Three filters' advice, how many requests arrive, and how long it takes at least.
    let cases: [([&str; 3], usize, u64); 5] = [
        ([accept, soon, accept], 2, 0),
        ([soon, stop, late], 1, 0),
        ([stop, accept, accept], 1, 0),
        ([late, soon, accept], 2, 150),
        ([soon, accept, late], 2, 150),
    ];
    for (advice, requests, millis) in cases {
        let origin = failing(1);
        let entries: Vec<_> =
            ["a", "b", "c"].iter().zip(advice).map(|(n, a)| adviser(n, a).entry("")).collect();
        let tollgate = Tollgate::in_front_of(&origin, &chain(&entries), "");
        let begun = Instant::now();
        tollgate.get("/");
        assert!(begun.elapsed() >= Duration::from_millis(millis), "{advice:?}");
        assert_eq!(origin.requests(), requests, "{advice:?}");
    }
}

#[test]
fn filters_are_told_of_every_attempt_and_how_it_ended() {
    // The first connection is reset, the second stalls, the third answers.
    let held = Mutex::new(Vec::new());
    let origin = Origin::raw(move |mut peer| {
        if peer.request().is_none() {
            return;
        }
        match peer.number {
            0 => peer.reset(),
            1 => held.lock().unwrap().push(peer),
            _ => peer.send(ok("fine")),
        }
    });
    let filter = retrier("f", 5, 0)
        .on("before-attempt", r#"(call $put "before ") (call $put-int (local.get $number)) (call $log-text)"#)
        .on("on-complete", r#"(call $put "over") (call $log-text)"#);
    let report = r#"(call $put "after ") (call $put-int (local.get $number)) (call $put ":")
                    (call $put-int (local.get $outcome)) (call $put ":")
                    (if (i32.eqz (local.get $outcome)) (then (call $put-int (local.get $status))))
                    (call $put ":") (call $put-int (call $response.status)) (call $log-text)"#;
    let filter = filter.first("after-attempt", report);
    let filters = chain(&[filter.entry("")]);
    let upstream = "timeouts: {response: 300ms}";
    let tollgate = Manifest { process: &filters, upstream, ..Manifest::default() }.in_front_of(&origin);
    assert_eq!(tollgate.get("/").text(), "fine");
    super::assert_logs(&tollgate, &["over"]);
    let lines = logged(&tollgate, 7);
    assert_eq!(
        lines,
        ["before 1", "after 1:3::0", "before 2", "after 2:2::0", "before 3", "after 3:0:200:200", "over"]
    );
}

#[test]
fn a_connection_that_cannot_be_made_is_told_as_such() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let filter =
        Script::new("f").on("after-attempt", r#"(call $put-int (local.get $outcome)) (call $log-text)"#);
    let filters = chain(&[filter.entry("")]);
    let manifest = Manifest { process: &filters, ..Manifest::default() };
    let tollgate = manifest.in_front_of_url(&format!("http://{nowhere}"), &[]);
    let answer = tollgate.get("/");
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_connect_failed")));
    assert_eq!(logged(&tollgate, 1)[0], "1");
}

#[test]
fn only_filters_that_let_an_attempt_pass_are_told_of_it() {
    let trace = |name: &str| {
        Script::new(name)
            .on("before-attempt", r#"(call $log.write (i32.const 2) "before")"#)
            .on("after-attempt", r#"(call $log.write (i32.const 2) "after")"#)
            .on("on-complete", r#"(call $log.write (i32.const 2) "over")"#)
    };
    let fails_fast = r#"(call $log.write (i32.const 2) "before")
                        (if (i32.eq (local.get $number) (i32.const 2)) (then
                          (call $reply.reject (i32.const 503) "open" "The circuit is open")
                          (return (i32.const 1))))"#;
    let origin = failing(9);
    let filters = chain(&[
        trace("a").entry(""),
        trace("b").instead("before-attempt", fails_fast).entry(""),
        retrier("c", 5, 0).entry(""),
    ]);
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    let answer = tollgate.get("/");
    assert_eq!((answer.status(), answer.json()["code"].as_str(), origin.requests()), (503, Some("open"), 1));
    super::assert_logs(&tollgate, &["over", "\"filter\":\"b\""]);
    let calls = calls(&tollgate, 8);
    assert_eq!(
        calls,
        ["a before", "b before", "b after", "a after", "a before", "b before", "a over", "b over"]
    );
}

#[test]
fn no_retry_goes_past_the_deadline() {
    let origin = failing(9);
    let tollgate =
        Tollgate::in_front_of(&origin, &chain(&[retrier("f", 9, 60_000).entry("")]), "timeout: 5s");
    assert_eq!((tollgate.get("/").status(), origin.requests()), (500, 1));
    assert_eq!((retries(&tollgate, "refused_deadline"), retries(&tollgate, "granted")), (1.0, 0.0));
    // One after the other is granted, until what is left is less than the delay.
    let origin = failing(1000);
    let tollgate =
        Tollgate::in_front_of(&origin, &chain(&[retrier("f", 1000, 150).entry("")]), "timeout: 500ms");
    assert_eq!(tollgate.get("/").status(), 500);
    assert!((1..=4).contains(&origin.requests()), "{}", origin.requests());
    assert_eq!(retries(&tollgate, "refused_deadline"), 1.0);
}

#[test]
fn no_retry_goes_beyond_the_budget() {
    for (budget, expected) in
        [("{percent: 0, min: 0}", 1), ("{percent: 0, min: 1}", 4), ("{percent: 100, min: 0}", 4)]
    {
        let origin = failing(99);
        let filters = format!("{}retry-budget: {budget}", chain(&[retrier("f", 3, 0).entry("")]));
        let tollgate = Tollgate::in_front_of(&origin, &filters, "");
        assert_eq!((tollgate.get("/").status(), origin.requests()), (500, expected), "{budget}");
        assert_eq!(retries(&tollgate, "refused_budget"), f64::from(u8::from(expected == 1)), "{budget}");
    }
}

#[test]
fn retries_at_the_same_time_share_the_budget() {
    let origin = failing(99);
    let filters =
        format!("{}retry-budget: {{percent: 0, min: 2}}", chain(&[retrier("f", 1, 1000).entry("")]));
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    let mut clients: Vec<_> = (0..6).map(|_| tollgate.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.receive().status(), 500));
    assert_eq!(retries(&tollgate, "granted") + retries(&tollgate, "refused_budget"), 6.0);
    assert!(retries(&tollgate, "refused_budget") >= 1.0, "six at once are more than two");
}

#[test]
fn a_trap_while_retrying_gives_the_budget_back() {
    let traps = Script::new("t")
        .on("before-attempt", "(if (i32.eq (local.get $number) (i32.const 2)) (then (unreachable)))");
    let origin = failing(99);
    let filters = format!(
        "{}retry-budget: {{percent: 0, min: 1}}",
        chain(&[traps.entry(""), retrier("f", 1, 0).entry("")])
    );
    let tollgate = Tollgate::in_front_of(&origin, &filters, "");
    (0..5).for_each(|_| assert_eq!(tollgate.get("/").status(), 503));
    assert_eq!((retries(&tollgate, "granted"), retries(&tollgate, "refused_budget")), (5.0, 0.0));
}

#[test]
fn a_request_keeps_its_id_through_all_attempts_logs_and_the_answer() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let seen = ids.clone();
    let origin = Origin::answering(move |request| {
        seen.lock().unwrap().push(request.field("x-request-id").unwrap().to_owned());
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_vec()
    });
    let filter = retrier("f", 1, 0).on("on-request", r#"(call $log.write (i32.const 0) "noted")"#);
    let tollgate = with(&origin, &filter);
    let answer = tollgate.get("/");
    let id = answer.field("x-request-id").unwrap();
    assert_eq!(*ids.lock().unwrap(), [id, id]);
    let tagged = format!("\"requestId\":\"{id}\"");
    eventually("it is logged", || {
        tollgate.has_logged(&[&tagged, "\"msg\":\"request\"", "\"statusCode\":500"])
    });
    super::assert_logs(&tollgate, &[&tagged, "noted", "\"filter\":\"f\"", "\"level\":\"error\""]);
}
