//! A fresh instance for every exchange against one that is reused: a filter that reads its head, and the shipped
//! validation, on one worker and on two. The time is the workers' together: on two, half of what one takes would be ideal.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use tollgate::chain::Flow;
use tollgate::wasm::Door;

use crate::stage::{Cast, at_once, guest};

/// Measures both, reused and fresh.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("isolation");
    let small = format!("component: {:?}, config: {{call: request.header, times: 2}}", guest());
    let validation = "component: 'builtin:validation', limits: {memory: 64MiB}".to_owned();
    for (name, filter) in [("two headers", small), ("validation", validation)] {
        for isolation in ["worker", "request"] {
            let manifest = manifest(&format!("{{name: f, isolation: {isolation}, {filter}}}"));
            workers(&mut group, &format!("{name}/{isolation}"), &manifest);
        }
    }
    group.finish();
}

fn manifest(filter: &str) -> String {
    format!(
        r#"version: 1
listeners: [{{address: "127.0.0.1:0"}}]
upstreams: {{main: {{endpoints: ["http://127.0.0.1:9"]}}}}
filters: [{filter}]
routes: [{{match: {{path-prefix: /}}, upstream: main}}]
"#
    )
}

fn workers(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, manifest: &str) {
    let cast = Cast::new(Door::Direct, manifest);
    for threads in [1, 2] {
        group.bench_function(format!("{name}/{threads}"), |bencher| {
            bencher.iter_custom(|exchanges| all(&cast, threads, exchanges) / threads);
        });
    }
}

/// How long it takes until each of the threads has had so many exchanges.
fn all(cast: &Cast, threads: u32, exchanges: u64) -> Duration {
    let ready = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        let run = || {
            scope.spawn(|| {
                let stage = cast.stage();
                let walks = stage.walks(&[0]);
                ready.wait();
                let begun = Instant::now();
                for _ in 0..exchanges {
                    let mut run = stage.run(&walks);
                    assert_eq!(at_once(run.on_request()), Flow::Proceed);
                    assert_eq!(at_once(run.on_request_body()), Flow::Proceed);
                }
                begun.elapsed()
            })
        };
        let threads: Vec<_> = (0..threads).map(|_| run()).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that ends")).max().unwrap_or_default()
    })
}
