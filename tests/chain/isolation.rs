//! `isolation`: an instance that all exchanges of a worker share, or one for each exchange alone.

use std::sync::mpsc;

use super::ok;
use crate::support::manifest::Manifest;
use crate::support::script::{Script, chain};
use crate::support::{Origin, Tollgate};

/// A filter that counts in its own memory, and shows the count on the way in and on the way out.
fn counter() -> Script {
    let count = r#"(i32.store (i32.const 256) (i32.add (i32.const 1) (i32.load (i32.const 256))))
                   (call $put-int (i32.load (i32.const 256)))"#;
    Script::new("f").on("on-request", count).on("before-attempt", count).on(
        "on-response",
        &format!("{count} (call $response.set-header \"x-count\" (call $text) (i32.const 16))"),
    )
}

/// One worker, so that every exchange is on it.
fn one_worker(origin: &Origin, filters: &str) -> Tollgate {
    Manifest { process: filters, ..Manifest::default() }.in_front_of_url(&origin.url(), &["--workers", "1"])
}

fn counts(isolation: &str) -> Vec<String> {
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[counter().entry(&format!("isolation: {isolation}"))]));
    (0..4).map(|_| tollgate.get("/").field("x-count").unwrap().to_owned()).collect()
}

#[test]
fn exchanges_of_a_worker_share_an_instance() {
    assert_eq!(counts("worker"), ["3", "6", "9", "12"]);
}

#[test]
fn with_isolation_request_no_exchange_sees_the_memory_of_another() {
    assert_eq!(counts("request"), ["3"; 4]);
}

#[test]
fn all_phases_of_one_exchange_share_its_own_instance_while_others_are_under_way() {
    // The first request is held at the origin until the second has been answered.
    let (release, released) = mpsc::channel::<()>();
    let (came, comes) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let origin = Origin::answering(move |request| {
        if request.start.contains("/first") {
            came.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
        }
        ok("")
    });
    let remembers = Script::new("f")
        .on(
            "on-request",
            r#"(call $request.header "x-secret" (i32.const 16))
               (memory.copy (i32.const 256) (i32.load (i32.const 20)) (i32.load (i32.const 24)))"#,
        )
        .on(
            "on-response",
            r#"(call $response.set-header "x-kept" (i32.const 256) (i32.const 5) (i32.const 16))"#,
        );
    let tollgate = one_worker(&origin, &chain(&[remembers.entry("isolation: request")]));
    let (mut first, mut second) = (tollgate.client(), tollgate.client());
    first.send("GET /first HTTP/1.1\r\nhost: t\r\nx-secret: alice\r\n\r\n");
    comes.recv().unwrap();
    let answer = second.send("GET /second HTTP/1.1\r\nhost: t\r\nx-secret: bobby\r\n\r\n").receive();
    assert_eq!(answer.field("x-kept"), Some("bobby"));
    release.send(()).unwrap();
    assert_eq!(first.receive().field("x-kept"), Some("alice"));
}

#[test]
fn an_isolated_filter_that_fails_gets_another_instance_in_the_next_phase() {
    let fails = counter().first("before-attempt", "(unreachable)");
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[fails.entry("isolation: request\non-error: open")]));
    for _ in 0..2 {
        let answer = tollgate.get("/");
        assert_eq!((answer.status(), answer.field("x-count")), (200, Some("1")), "fresh since the fault");
    }
}

#[test]
fn many_isolated_exchanges_leave_no_memory_behind() {
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[counter().entry("isolation: request")]));
    let mut client = tollgate.client();
    (0..200).for_each(|_| assert_eq!(client.get("/").status(), 200));
    let before = tollgate.memory("VmRSS");
    (0..1000).for_each(|_| assert_eq!(client.get("/").field("x-count"), Some("3")));
    let grown = tollgate.memory("VmRSS").saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more after 1000 instances");
}
