//! What misbehaviour costs the others: nothing that stays.

use super::{faults, one_worker, post};
use crate::support::Origin;
use crate::support::script::{Script, chain};

#[test]
fn two_thousand_faults_leave_no_memory_behind_and_no_state_is_lost() {
    let filter = Script::new("f")
        .on(
            "on-request",
            r#"(local.set $n (call $cell.add (call $cell.open "seen") (i64.const 1)))
               (drop (call $gauge.open "g" "" (i32.const 0) (i32.const 0)))
               (drop (call $allocate (i32.const 1) (i32.const 100000)))
               (call $request.header "x-trap" (i32.const 16))
               (if (i32.load8_u (i32.const 16)) (then (unreachable)))
               (call $put-number (local.get $n)) (return (call $answer))"#,
        )
        .on("on-complete", "");
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[filter.entry("")]), "");
    let mut client = tollgate.client();
    (0..200).for_each(|_| assert_eq!(post(&mut client, "x-trap: 1").status(), 503));
    let before = tollgate.memory("VmRSS");
    (0..2000).for_each(|_| assert_eq!(post(&mut client, "x-trap: 1").status(), 503));
    let grown = tollgate.memory("VmRSS").saturating_sub(before);
    assert!(grown < 4 << 20, "{} KiB more", grown >> 10);
    assert_eq!(client.get("/").text(), "2201");
    assert_eq!(faults(&tollgate, "f", "on-request", "trap"), 2200.0);
    assert_eq!(tollgate.metric("tollgate_active_requests"), 0.0);
}

#[test]
fn a_hundred_loops_at_once_end_one_after_the_other_and_others_are_served_between() {
    let filter = Script::new("f").on(
        "on-request",
        r#"(call $request.header "x-loop" (i32.const 16))
           (if (i32.load8_u (i32.const 16)) (then (loop $ever (br $ever))))"#,
    );
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[filter.entry("limits: {time: 20ms}")]), "");
    let mut loops: Vec<_> = (0..100).map(|_| tollgate.client()).collect();
    for client in &mut loops {
        client.send("GET / HTTP/1.1\r\nhost: t\r\nx-loop: 1\r\n\r\n");
    }
    assert_eq!(tollgate.get("/").status(), 200);
    loops.iter_mut().for_each(|client| assert_eq!(client.receive().status(), 503));
    assert_eq!(faults(&tollgate, "f", "on-request", "timeout"), 100.0);
}
