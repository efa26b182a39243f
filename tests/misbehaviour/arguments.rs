//! Bad pointers, lengths, handles and numbers, handed to every function of the contract, through both doors.

use super::{by_door, cases, faults, post};
use crate::doors::DOORS;
use crate::support::Origin;
use crate::support::script::{Script, chain};

/// Every function that takes anything but plain numbers, and what it takes, a letter each: `s` a string, `b` bytes, `l` a
/// list of labels, `e` an enumeration, `c`, `k`, `g` a handle of a cell, a counter, a gauge; `1`, `4`, `8` a pointer for
/// the result, with that alignment; `n`, `w`, `f` a number. A `=` before: it gives a value back.
const FUNCTIONS: [(&str, &str); 50] = [
    ("exchange.id", "4"),
    ("exchange.route", "4"),
    ("exchange.upstream", "4"),
    ("exchange.provider", "4"),
    ("exchange.client-address", "4"),
    ("exchange.attribute", "s4"),
    ("exchange.set-attribute", "ss"),
    ("request.method", "4"),
    ("request.authority", "4"),
    ("request.path", "4"),
    ("request.set-path", "s1"),
    ("request.header", "s4"),
    ("request.header-bytes", "s4"),
    ("request.header-names", "4"),
    ("request.set-header", "ss1"),
    ("request.append-header", "ss1"),
    ("request.remove-header", "s1"),
    ("response.set-status", "w1"),
    ("response.header", "s4"),
    ("response.header-bytes", "s4"),
    ("response.header-names", "4"),
    ("response.set-header", "ss1"),
    ("response.append-header", "ss1"),
    ("response.remove-header", "s1"),
    ("body.read", "nw4"),
    ("body.replace", "b"),
    ("body.kind", "s1"),
    ("body.text", "s4"),
    ("body.number", "s8"),
    ("body.boolean", "s1"),
    ("body.length", "s4"),
    ("body.keys", "s4"),
    ("reply.reject", "wss"),
    ("reply.detail", "s"),
    ("reply.set-header", "ss1"),
    ("reply.send", "wsb"),
    ("cell.open", "=s"),
    ("cell.get", "=c"),
    ("cell.set", "cn"),
    ("cell.add", "=cn"),
    ("cell.compare-exchange", "=cnn"),
    ("cell.drop", "c"),
    ("pressure.read", "8"),
    ("counter.open", "=ssl"),
    ("counter.add", "kn"),
    ("counter.drop", "k"),
    ("gauge.open", "=ssl"),
    ("gauge.set", "gf"),
    ("gauge.drop", "g"),
    ("health.report", "ses"),
];

/// What is right in the place of each letter. `PREPARE` puts it into memory.
fn right(letter: char) -> &'static str {
    match letter {
        's' | 'b' => "(i32.const 400) (i32.const 1)",
        'l' => "(i32.const 0) (i32.const 0)",
        'e' => "(i32.const 0)",
        'c' => "(i32.load (i32.const 288))",
        'k' => "(i32.load (i32.const 292))",
        'g' => "(i32.load (i32.const 296))",
        'n' => "(i64.const 0)",
        'f' => "(f64.const 0)",
        'w' => "(i32.const 200)",
        _ => "(i32.const 16)",
    }
}

const PREPARE: &str = r#"
    (i32.store8 (i32.const 400) (i32.const 97))
    (i32.store8 (i32.const 401) (i32.const 255))
    (i32.store (i32.const 304) (i32.const 400)) (i32.store (i32.const 308) (i32.const 1))
    (i32.store (i32.const 312) (i32.const -8)) (i32.store (i32.const 316) (i32.const 64))
    (i32.store (i32.const 288) (call $cell.open "c"))
    (i32.store (i32.const 292) (call $counter.open "k" "" (i32.const 0) (i32.const 0)))
    (i32.store (i32.const 296) (call $gauge.open "g" "" (i32.const 0) (i32.const 0)))"#;

/// What is wrong there, and must trap.
fn wrong(letter: char) -> &'static [&'static str] {
    match letter {
        's' => &[
            "(i32.const -16) (i32.const 16)",
            "(i32.const -1) (i32.const 2)",
            "(i32.const 0) (i32.const -1)",
            "(i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const 2)",
            "(i32.const 401) (i32.const 1)",
        ],
        'b' => &[
            "(i32.const -16) (i32.const 16)",
            "(i32.const 0) (i32.const -1)",
            "(i32.const -1) (i32.const -1)",
        ],
        'l' => &[
            "(i32.const 401) (i32.const 1)",
            "(i32.const -16) (i32.const 1)",
            "(i32.const 0) (i32.const -1)",
            "(i32.const 0) (i32.const 0x10000000)",
            // The second string of its only element points nowhere.
            "(i32.const 304) (i32.const 1)",
        ],
        'e' => &["(i32.const 3)", "(i32.const -1)"],
        // None; one that there never was; one of another kind; one that was dropped.
        'c' => &["(i32.const 0)", "(i32.const 12345)", "(i32.load (i32.const 292))", "(call $dropped-cell)"],
        'k' => &["(i32.const 0)", "(i32.const -1)", "(i32.load (i32.const 296))", "(call $dropped-counter)"],
        'g' => &[
            "(i32.const 0)",
            "(i32.const 0x7fffffff)",
            "(i32.load (i32.const 288))",
            "(call $dropped-gauge)",
        ],
        '1' => &["(i32.const -1)", "(i32.mul (memory.size) (i32.const 65536))"],
        '4' => &["(i32.const -4)", "(i32.const 18)", "(i32.mul (memory.size) (i32.const 65536))"],
        '8' => &["(i32.const -8)", "(i32.const 20)", "(i32.mul (memory.size) (i32.const 65536))"],
        _ => &[],
    }
}

const DROPPED: &str = "
    (func $dropped-cell (result i32) (call $cell.drop (i32.load (i32.const 288))) (i32.load (i32.const 288)))
    (func $dropped-counter (result i32) (call $counter.drop (i32.load (i32.const 292))) (i32.load (i32.const 292)))
    (func $dropped-gauge (result i32) (call $gauge.drop (i32.load (i32.const 296))) (i32.load (i32.const 296)))";

/// A call, with one argument that is not the right one.
fn call(function: &str, shape: &str, wrong: Option<(usize, &str)>) -> String {
    let letters = shape.trim_start_matches('=').chars().enumerate();
    let arguments: Vec<_> = letters
        .map(|(place, letter)| wrong.filter(|(at, _)| *at == place).map_or(right(letter), |(_, wrong)| wrong))
        .collect();
    let call = format!("(call ${function} {})", arguments.join(" "));
    if shape.starts_with('=') { format!("(drop {call})") } else { call }
}

fn bad_calls() -> Vec<String> {
    let mut calls = Vec::new();
    for (function, shape) in FUNCTIONS {
        for (place, letter) in shape.trim_start_matches('=').chars().enumerate() {
            calls.extend(wrong(letter).iter().map(|wrong| call(function, shape, Some((place, wrong)))));
        }
    }
    calls.push("(call $log.write (i32.const 5) (i32.const 400) (i32.const 1))".into());
    calls.push("(call $log.write (i32.const 2) (i32.const 401) (i32.const 1))".into());
    calls.push("(call $log.write (i32.const 2) (i32.const 0) (i32.const -1))".into());
    calls
}

#[test]
fn no_bad_argument_does_more_than_trap() {
    let calls = bad_calls();
    assert!(calls.len() > 200, "{}", calls.len());
    let filter = cases("f", "on-request-body", PREPARE, &calls).with(DROPPED);
    let origin = Origin::working();
    for door in DOORS {
        let tollgate = by_door(door, &origin, &chain(&[filter.entry("")]), "");
        let mut client = tollgate.client();
        for (number, call) in calls.iter().enumerate() {
            assert_eq!(post(&mut client, &format!("x-case: {number}")).status(), 503, "{call}");
            assert_eq!(post(&mut client, "x-well: 1").status(), 200, "after {call}");
        }
        assert_eq!(faults(&tollgate, "f", "on-request-body", "trap"), calls.len() as f64);
    }
}

#[test]
fn the_same_calls_with_the_right_arguments_do_not_trap() {
    let calls: Vec<_> = FUNCTIONS.into_iter().map(|(function, shape)| call(function, shape, None)).collect();
    let filter = cases("f", "on-request-body", PREPARE, &calls).with(DROPPED);
    let origin = Origin::working();
    for door in DOORS {
        let tollgate = by_door(door, &origin, &chain(&[filter.entry("")]), "");
        let mut client = tollgate.client();
        for (number, call) in calls.iter().enumerate() {
            assert_eq!(post(&mut client, &format!("x-case: {number}")).status(), 200, "{call}");
        }
    }
}

#[test]
fn an_allocator_that_lies_traps_or_never_returns_harms_only_its_exchange() {
    // The field tells the allocator what to do with the next call.
    let kinds = [
        ("(return (i32.const -16))", "trap"),
        ("(return (i32.const -1))", "trap"),
        ("(return (i32.mul (memory.size) (i32.const 65536)))", "trap"),
        ("(unreachable)", "trap"),
        ("(loop $ever (br $ever))", "timeout"),
        (
            "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) (unreachable)",
            "memory",
        ),
        // The contract forbids to call the host from within the allocator.
        ("(call $exchange.set-slot (i64.const 1)) (return (i32.const 65536))", "trap"),
    ];
    let lies: String = kinds
        .iter()
        .enumerate()
        .map(|(number, (lie, _))| {
            format!("(if (i32.eq (i32.load (i32.const 280)) (i32.const {})) (then {lie}))\n", number + 1)
        })
        .collect();
    let calls: Vec<_> = (1..=kinds.len())
        .flat_map(|lie| {
            ["(call $request.path (i32.const 16))", "(call $request.header-names (i32.const 16))"]
                .map(|call| format!("(i32.store (i32.const 280) (i32.const {lie})) {call}"))
        })
        .chain([
            "(i32.store (i32.const 280) (i32.const 99)) (call $request.header-names (i32.const 16))".into()
        ])
        .collect();
    let unaligned =
        "(if (i32.eq (i32.load (i32.const 280)) (i32.const 99)) (then (return (i32.const 65537))))\n";
    let filter = cases("f", "on-request", "", &calls)
        .allocator(&format!("{lies}{unaligned}(call $allocate (local.get $align) (local.get $size))"));
    let origin = Origin::working();
    for door in DOORS {
        let tollgate = by_door(door, &origin, &chain(&[filter.entry("limits: {time: 100ms}")]), "");
        let mut client = tollgate.client();
        for (number, call) in calls.iter().enumerate() {
            assert_eq!(post(&mut client, &format!("x-case: {number}")).status(), 503, "{call}");
            assert_eq!(post(&mut client, "x-well: 1").status(), 200, "after {call}");
        }
        for (kind, expected) in [("trap", 11.0), ("timeout", 2.0), ("memory", 2.0)] {
            assert_eq!(faults(&tollgate, "f", "on-request", kind), expected, "{kind}");
        }
    }
}

#[test]
fn an_allocator_that_fails_when_the_host_brings_a_chunk_harms_only_its_exchange() {
    let filter = Script::new("f").on("on-response-chunk", "").allocator("(unreachable)");
    let origin = Origin::working();
    for door in DOORS {
        let tollgate = by_door(door, &origin, &chain(&[filter.entry("on-error: open")]), "");
        let mut client = tollgate.client();
        (0..2).for_each(|_| assert_eq!(client.get("/").text(), "it works"));
        assert!(faults(&tollgate, "f", "on-response-chunk", "trap") >= 2.0);
    }
}
