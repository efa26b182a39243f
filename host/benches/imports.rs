//! A call of a phase, and each import that a filter may call: many calls in one phase, so that the phase's own cost
//! vanishes.

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use tollgate::chain::Flow;
use tollgate::wasm::Door;

use crate::stage::{Stage, at_once, guest};

/// How often a phase calls an import.
const TIMES: u64 = 200;

/// The imports, by the names that the guest has for them.
const CALLS: [&str; 44] = [
    "exchange.id",
    "exchange.route",
    "exchange.upstream",
    "exchange.provider",
    "exchange.client-address",
    "exchange.remaining-millis",
    "exchange.attribute",
    "exchange.set-attribute",
    "exchange.slot",
    "exchange.set-slot",
    "request.method",
    "request.authority",
    "request.path",
    "request.set-path",
    "request.header",
    "request.header (absent)",
    "request.header-bytes",
    "request.header-names",
    "request.set-header",
    "request.append-header + remove-header",
    "response.status",
    "response.header (absent)",
    "body.size",
    "body.read (all)",
    "body.read (16 bytes)",
    "body.kind",
    "body.text",
    "body.number",
    "body.boolean",
    "body.length",
    "body.keys",
    "reply.reject",
    "reply.send",
    "state.cell.get",
    "state.cell.set",
    "state.cell.add",
    "state.cell.compare-exchange",
    "pressure.read",
    "metrics.counter.add",
    "metrics.gauge.set",
    "health.report",
    "log.write (below the level)",
    "clock.now-micros",
    "random.next",
];

/// Measures a phase call and all imports, through that door.
pub(crate) fn bench(criterion: &mut Criterion, door: Door) {
    let guest = guest();
    let mut group = criterion.benchmark_group(door.as_str());
    let empty = Stage::new(door, &manifest(&guest, "nothing", 0));
    let walks = empty.walks(&[0]);
    let mut run = empty.run(&walks);
    group.bench_function("phase", |bencher| {
        bencher.iter(|| assert_eq!(at_once(run.on_request()), Flow::Proceed));
    });
    group.finish();
    let mut group = criterion.benchmark_group(format!("{}/import", door.as_str()));
    for call in CALLS {
        import(&mut group, call, &Stage::new(door, &manifest(&guest, call, TIMES)));
    }
    group.finish();
}

fn import(group: &mut BenchmarkGroup<'_, WallTime>, call: &str, stage: &Stage) {
    let walks = stage.walks(&[0]);
    let mut run = stage.run(&walks);
    let mut phases = |calls: u64| {
        let phases = calls.div_ceil(TIMES);
        let begun = Instant::now();
        for _ in 0..phases {
            assert_eq!(at_once(run.on_request()), Flow::Proceed);
        }
        let each = begun.elapsed().as_secs_f64() / (phases * TIMES) as f64;
        Duration::from_secs_f64(each * calls as f64)
    };
    group.bench_function(call, |bencher| bencher.iter_custom(&mut phases));
}

fn manifest(guest: &str, call: &str, times: u64) -> String {
    format!(
        r#"version: 1
listeners: [{{address: "127.0.0.1:0"}}]
upstreams: {{main: {{endpoints: ["http://127.0.0.1:9"]}}}}
filters:
  - name: caller
    component: {guest:?}
    config: {{call: {call:?}, times: {times}}}
    limits: {{time: 5s}}
routes: [{{match: {{path-prefix: /}}, upstream: main}}]
"#
    )
}
