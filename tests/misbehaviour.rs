//! Filters that do what no filter should: the host answers as `on-error` says, counts and logs the fault, and goes on
//! serving every other exchange on the same worker.

mod answers;
mod arguments;
mod limits;
mod phases;
mod start;
mod toll;

use crate::support::manifest::Manifest;
use crate::support::script::Script;
use crate::support::{Client, Message, Origin, Tollgate};

/// Tollgate with one worker, so that the exchange after a fault is on the same one.
fn one_worker(origin: &Origin, filters: &str, route: &str) -> Tollgate {
    by_door("direct", origin, filters, route)
}

/// The same, with the filters behind that door.
fn by_door(door: &str, origin: &Origin, filters: &str, route: &str) -> Tollgate {
    Manifest { process: filters, route, ..Manifest::default() }
        .in_front_of_url(&origin.url(), &["--workers", "1", "--door", door])
}

/// A POST with one more field.
fn post(client: &mut Client, field: &str) -> Message {
    client.post("/", &format!("{field}\r\n"), "{}")
}

/// How often a filter has failed so, in that phase.
fn faults(tollgate: &Tollgate, filter: &str, phase: &str, kind: &str) -> f64 {
    tollgate.metric(&format!(
        "tollgate_filter_faults_total{{filter=\"{filter}\",phase=\"{phase}\",kind=\"{kind}\"}}"
    ))
}

/// A filter that does one of these things, chosen by the request's field `x-case`, in that phase. `$i` is the number.
fn cases(name: &str, phase: &'static str, prepare: &str, cases: &[String]) -> Script {
    let choice: String = cases
        .iter()
        .enumerate()
        .map(|(number, case)| format!("(if (i32.eq (local.get $i) (i32.const {number})) (then\n{case}\n))\n"))
        .collect();
    let read = r#"(call $request.header "x-case" (i32.const 16))
        (local.set $i (i32.const -1))
        (if (i32.load8_u (i32.const 16)) (then
          (local.set $i (i32.const 0))
          (local.set $j (i32.load (i32.const 24)))
          (loop $digit
            (if (local.get $j) (then
              (local.set $i (i32.add (i32.mul (local.get $i) (i32.const 10))
                                     (i32.sub (i32.load8_u (i32.load (i32.const 20))) (i32.const 48))))
              (i32.store (i32.const 20) (i32.add (i32.load (i32.const 20)) (i32.const 1)))
              (local.set $j (i32.sub (local.get $j) (i32.const 1)))
              (br $digit))))))"#;
    Script::new(name).on(phase, &format!("{read}\n{prepare}\n{choice}"))
}
