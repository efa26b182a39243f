//! Phases that give back what they must not: numbers that no enumeration has, and pointers to nowhere.

use super::{by_door, cases, faults, post};
use crate::doors::DOORS;
use crate::support::Origin;
use crate::support::script::chain;

/// Puts a filter of these cases in front of an origin, and tries each; all must count as a trap in that phase.
fn all_trap(phase: &'static str, answers: &[&str], closed: impl Fn(&str)) {
    let answers: Vec<_> = answers.iter().map(|answer| format!("(return {answer})")).collect();
    let filter = cases("f", phase, "", &answers);
    let origin = Origin::working();
    for door in DOORS {
        let tollgate = by_door(door, &origin, &chain(&[filter.entry("")]), "");
        for (number, answer) in answers.iter().enumerate() {
            let mut client = tollgate.client();
            client
                .send(format!("GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\nx-case: {number}\r\n\r\n"));
            closed(&String::from_utf8_lossy(&client.rest()));
            assert_eq!(post(&mut tollgate.client(), "x-well: 1").status(), 200, "after {answer}");
        }
        assert!(faults(&tollgate, "f", phase, "trap") >= answers.len() as f64);
    }
}

/// Pointers that no answer can be at.
const NOWHERE: [&str; 4] = [
    "(i32.const -4)",
    "(i32.const 129)",
    "(i32.mul (memory.size) (i32.const 65536))",
    "(i32.const 0x7ffffffc)",
];

#[test]
fn a_verdict_that_there_is_not_is_a_fault() {
    for phase in ["on-request", "on-request-body", "before-attempt", "on-response"] {
        let verdicts = ["(i32.const 2)", "(i32.const 255)", "(i32.const -1)", "(i32.const 0x10000)"];
        all_trap(phase, &verdicts, |answer| assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}"));
    }
}

#[test]
fn advice_that_there_is_not_is_a_fault() {
    let mut advice = vec![
        "(call $variant (i32.const 3) (i32.const 0) (i32.const 0))",
        "(call $variant (i32.const 255) (i32.const 0) (i32.const 0))",
    ];
    advice.extend(NOWHERE);
    all_trap("after-attempt", &advice, |answer| assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}"));
}

#[test]
fn a_chunk_from_nowhere_is_a_fault_that_the_client_can_see() {
    let mut actions = vec![
        "(call $variant (i32.const 3) (i32.const 0) (i32.const 0))",
        "(call $replace (i32.const -16) (i32.const 16))",
        "(call $replace (i32.const 0) (i32.const -1))",
        "(call $replace (i32.const 131072) (i32.const 0x7fffffff))",
        "(call $abort (i32.const -16) (i32.const 16))",
        "(call $abort (i32.const 0) (i32.const -1))",
        // No UTF-8.
        "(call $abort (local.get $chunk) (block (result i32) (i32.store8 (local.get $chunk) (i32.const 255)) (i32.const 1)))",
    ];
    actions.extend(NOWHERE);
    all_trap("on-response-chunk", &actions, |answer| {
        assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains("it works"), "{answer}");
    });
}
