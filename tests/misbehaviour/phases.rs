//! Each fault in each phase, under both words for `on-error`.

use std::sync::mpsc;

use super::{faults, one_worker, post};
use crate::support::script::{Script, chain};
use crate::support::{Client, Origin, Tollgate, eventually};

/// The phases of an exchange; the digit of each is its place here.
const PHASES: [&str; 7] = [
    "on-request",
    "on-request-body",
    "before-attempt",
    "after-attempt",
    "on-response",
    "on-response-chunk",
    "on-complete",
];
/// The letter of each fault, and what it counts as.
const FAULTS: [(char, &str); 5] =
    [('t', "trap"), ('l', "timeout"), ('h', "timeout"), ('m', "memory"), ('s', "trap")];

/// A filter that misbehaves as the request says.
fn bad() -> Script {
    let mut bad = Script::new("bad").with(include_str!("../guests/misbehaves.wat"));
    for (digit, phase) in PHASES.into_iter().enumerate() {
        bad = bad.on(phase, &format!("(call $misbehave (i32.const {}))", usize::from(b'0') + digit));
    }
    bad
}

/// A filter that counts exchanges, and refuses those that say `x-deny`.
fn good() -> Script {
    Script::new("good").on(
        "on-request",
        r#"(drop (call $cell.add (call $cell.open "seen") (i64.const 1)))
           (call $request.header "x-deny" (i32.const 16))
           (if (i32.load8_u (i32.const 16)) (then
             (call $reply.reject (i32.const 403) "denied" "Denied")
             (return (i32.const 1))))"#,
    )
}

fn started(origin: &Origin, on_error: &str) -> Tollgate {
    let filters =
        chain(&[bad().entry(&format!("on-error: {on_error}\nlimits: {{time: 50ms}}")), good().entry("")]);
    one_worker(origin, &filters, "errors: openai")
}

/// The next exchange, on the same worker, is not touched.
fn is_well(client: &mut Client) {
    assert_eq!(post(client, "x-well: 1").text(), "it works");
    assert_eq!(post(client, "x-deny: 1").status(), 403);
}

#[test]
fn a_closed_filter_that_fails_ends_its_own_exchange_with_503_and_no_other() {
    let origin = Origin::working();
    let tollgate = started(&origin, "closed");
    let mut client = tollgate.client();
    for (digit, phase) in PHASES.into_iter().enumerate() {
        for (letter, _) in FAULTS {
            let fault = format!("x-fault: {digit}{letter}");
            match phase {
                "on-response-chunk" => {
                    let mut cut = tollgate.client();
                    cut.send(format!("GET / HTTP/1.1\r\nhost: t\r\n{fault}\r\n\r\n"));
                    assert!(!String::from_utf8_lossy(&cut.rest()).ends_with("0\r\n\r\n"), "{fault}");
                }
                "on-complete" => assert_eq!(post(&mut client, &fault).text(), "it works", "{fault}"),
                _ => {
                    let answer = post(&mut client, &fault);
                    let code = answer.json()["error"]["code"].clone();
                    assert_eq!((answer.status(), code.as_str()), (503, Some("filter_failed")), "{fault}");
                }
            }
            is_well(&mut client);
        }
    }
    all_are_counted_and_logged(&tollgate);
}

#[test]
fn an_open_filter_that_fails_is_passed_over_and_the_next_one_decides() {
    let origin = Origin::working();
    let tollgate = started(&origin, "open");
    let mut client = tollgate.client();
    for digit in 0..PHASES.len() {
        for (letter, _) in FAULTS {
            let fault = format!("x-fault: {digit}{letter}");
            assert_eq!(post(&mut client, &fault).text(), "it works", "{fault}");
            is_well(&mut client);
        }
    }
    all_are_counted_and_logged(&tollgate);
    assert_eq!(post(&mut client, "x-fault: 0t\r\nx-deny: 1").status(), 403, "the fault opens no door");
}

fn all_are_counted_and_logged(tollgate: &Tollgate) {
    for phase in PHASES {
        for (kind, expected) in [("trap", 2.0), ("timeout", 2.0), ("memory", 1.0)] {
            assert_eq!(faults(tollgate, "bad", phase, kind), expected, "{phase} {kind}");
            let word = format!("filter failed: {kind}");
            eventually("the fault is logged", || {
                tollgate.has_logged(&[
                    "\"filter\":\"bad\"",
                    &format!("\"phase\":\"{phase}\""),
                    &word,
                    "requestId",
                ])
            });
        }
        assert_eq!(faults(tollgate, "good", phase, "trap"), 0.0);
    }
}

#[test]
fn a_fault_is_logged_under_the_requests_id() {
    let origin = Origin::working();
    let tollgate = started(&origin, "closed");
    let mut client = tollgate.client();
    let answer = post(&mut client, "x-request-id: id-1\r\nx-fault: 2t");
    assert_eq!(answer.field("x-request-id"), Some("id-1"));
    eventually("it is logged", || {
        tollgate.has_logged(&[
            "\"requestId\":\"id-1\"",
            "\"phase\":\"before-attempt\"",
            "\"level\":\"error\"",
            "unreachable",
        ])
    });
    assert!(!answer.text().contains("unreachable"), "the inside is in the log only");
}

#[test]
fn exchanges_under_way_on_the_same_worker_and_filter_go_on() {
    let (came, comes) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let origin = Origin::answering(move |request| {
        if request.start.contains("/held") {
            came.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
        }
        b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nit works".to_vec()
    });
    let tollgate = started(&origin, "closed");
    let mut held: Vec<_> = (0..3).map(|_| tollgate.client()).collect();
    for client in &mut held {
        client.send("GET /held HTTP/1.1\r\nhost: t\r\n\r\n");
        comes.recv().unwrap();
    }
    let mut other = tollgate.client();
    for fault in ["x-fault: 0t", "x-fault: 1l", "x-fault: 3m"] {
        assert_eq!(post(&mut other, fault).status(), 503);
        assert_eq!(post(&mut other, "x-well: 1").status(), 200);
    }
    held.iter().for_each(|_| release.send(()).unwrap());
    held.iter_mut().for_each(|client| assert_eq!(client.receive().text(), "it works"));
}

#[test]
fn a_filter_that_responds_without_a_reply_has_failed() {
    for phase in ["on-request", "on-request-body", "before-attempt", "on-response"] {
        let filter = Script::new("f").on(phase, "(return (i32.const 1))");
        let origin = Origin::working();
        let tollgate = one_worker(&origin, &chain(&[filter.entry("")]), "");
        assert_eq!(tollgate.get("/").json()["code"], "filter_failed");
        assert_eq!(faults(&tollgate, "f", phase, "reply"), 1.0, "{phase}");
        let tollgate = one_worker(&origin, &chain(&[filter.entry("on-error: open")]), "");
        assert_eq!(tollgate.get("/").status(), 200);
    }
}

#[test]
fn a_body_cannot_be_replaced_outside_its_phase() {
    for phase in ["on-request", "before-attempt", "after-attempt", "on-response", "on-complete"] {
        let filter = Script::new("f").on(phase, r#"(call $body.replace "x")"#);
        let origin = Origin::working();
        let tollgate = one_worker(&origin, &chain(&[filter.entry("")]), "");
        assert_eq!(tollgate.get("/").status(), if phase == "on-complete" { 200 } else { 503 }, "{phase}");
        eventually("it is counted", || faults(&tollgate, "f", phase, "trap") == 1.0);
    }
}
