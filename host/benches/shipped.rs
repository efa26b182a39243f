//! What the shipped filters cost on a chat request of 1 KiB, as the default manifest has them: all five on the whole way
//! of an exchange, and each one by phase. `exchange` is that way with no filter on it: what is to be taken off.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use tollgate::chain::{Flow, Run};
use tollgate::manifest;
use tollgate::wasm::{Advice, Door, Ending, Outcome};

use crate::stage::{Stage, at_once};

/// How long the upstream is said to have taken.
const ELAPSED: Duration = Duration::from_millis(1);

/// Measures the shipped chain, through that door.
pub(crate) fn bench(criterion: &mut Criterion, door: Door) {
    let stage = Stage::new(door, manifest::DEFAULT);
    let all: Vec<usize> = (0..stage.filters.len()).collect();
    let mut group = criterion.benchmark_group(format!("{}/shipped", door.as_str()));
    for (name, filters) in [("exchange", &[][..]), ("all five", &all)] {
        let walks = stage.walks(filters);
        group.bench_function(name, |bencher| bencher.iter(|| exchange(stage.run(&walks))));
    }
    for (index, filter) in stage.filters.iter().enumerate() {
        let walks = stage.walks(&[index]);
        for phase in PHASES.iter().filter(|phase| (phase.is_walked)(filter)) {
            let name = format!("{filter}/{}", phase.name);
            let before = || prepared(stage.run(&walks), phase.before);
            let call = |run: &mut Run| (phase.call)(run);
            group.bench_function(name, |bencher| {
                bencher.iter_batched_ref(before, call, BatchSize::SmallInput);
            });
        }
        group.bench_function(format!("{filter}/whole"), |bencher| {
            bencher.iter(|| exchange(stage.run(&walks)));
        });
    }
    group.finish();
}

/// A phase to be measured by itself.
struct Phase {
    name: &'static str,
    is_walked: fn(&str) -> bool,
    /// What comes before it.
    before: fn(&mut Run),
    call: fn(&mut Run),
}

const PHASES: [Phase; 4] = [
    Phase {
        name: "on-request",
        is_walked: |filter| matches!(filter, "policy" | "shedding"),
        before: |_| {},
        call: |run| goes_on(at_once(run.on_request())),
    },
    Phase {
        name: "on-request-body",
        is_walked: |filter| matches!(filter, "validation" | "policy"),
        before: |run| goes_on(at_once(run.on_request())),
        call: |run| goes_on(at_once(run.on_request_body())),
    },
    Phase {
        name: "before-attempt",
        is_walked: |filter| matches!(filter, "breaker" | "retry"),
        before: |run| goes_on(at_once(run.on_request())),
        call: |run| goes_on(at_once(run.before_attempt(1))),
    },
    Phase {
        name: "after-attempt",
        is_walked: |filter| matches!(filter, "breaker" | "retry"),
        before: |run| goes_on(at_once(run.before_attempt(1))),
        call: accepts,
    },
];

fn prepared(mut run: Run, before: fn(&mut Run)) -> Run {
    before(&mut run);
    run
}

/// An exchange that goes well, from its head to its end.
fn exchange(mut run: Run) {
    goes_on(at_once(run.on_request()));
    goes_on(at_once(run.on_request_body()));
    goes_on(at_once(run.before_attempt(1)));
    accepts(&mut run);
    goes_on(at_once(run.on_response()));
    run.ending = Ending::Complete;
    drop(black_box(run));
}

fn goes_on(flow: Flow) {
    assert_eq!(flow, Flow::Proceed);
}

fn accepts(run: &mut Run) {
    let advice = at_once(run.after_attempt(1, Outcome::Status(200), ELAPSED));
    assert!(matches!(advice, Some(Advice::Accept)));
}
