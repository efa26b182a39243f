//! Reading a chat request of 1 KiB for filters, and looking a value up; beside it, what a tree of it takes.

use criterion::Criterion;
use tollgate::body::BufferedBody;

use crate::stage::CHAT;

/// Measures JSON natively: filters' own reading of it is part of what they take.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    group.bench_function("read", |bencher| {
        bencher.iter(|| BufferedBody::new(CHAT.into()).value("").map(|value| value.is_some()));
    });
    let body = BufferedBody::new(CHAT.into());
    group.bench_function("look up", |bencher| {
        bencher.iter(|| body.value("/messages/3/content").map(|value| value.is_some()));
    });
    group.bench_function("read into a tree", |bencher| {
        bencher.iter(|| serde_json::from_str::<serde_json::Value>(CHAT));
    });
    group.finish();
}
