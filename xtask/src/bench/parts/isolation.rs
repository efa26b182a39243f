//! What a fresh instance for each request costs, and whether two workers pay it side by side.

use super::workers::scaling;
use super::{BRIEF, Bench, Table, cpu};
use crate::bench::contenders::Contender;
use crate::bench::load::Request;
use crate::bench::rounds::Plan;
use crate::bench::tollgate::Chain;

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let one = || Chain::pass_through(1);
    let variants = [
        ("no filter", Chain::pass_through(0), 1),
        ("an instance a worker", one(), 1),
        ("an instance a request", one().fresh_instances(), 1),
        ("an instance a request, two workers", one().fresh_instances(), 2),
    ];
    let contenders: Vec<_> = variants
        .into_iter()
        .enumerate()
        .map(|(number, (label, chain, workers))| {
            let key = format!("isolation-{number}");
            Contender::tollgate(bench.setup, &key, label, Request::get("/"), chain, workers)
        })
        .collect();
    let measured = bench.rounds(&contenders, &Plan { rounds: 5, ..BRIEF })?;
    let mut table = Table::new(
        "One pass-through filter. Two workers share their processors with the load here: compare CPU time.",
        &["", "CPU µs/request", "added µs", "requests/s"],
    );
    let base = measured.first().map_or(0.0, |none| none.cpu.median);
    for m in &measured {
        let added = format!("{:.1}", m.cpu.median - base);
        table.row([m.label.clone(), cpu(m), added, format!("{:.0}", m.rate.median)]);
    }
    if let [none, _, fresh, two] = measured.as_slice() {
        bench.figures.insert("isolation.added", fresh.cpu.median - none.cpu.median);
        bench.figures.insert("isolation.scaling", scaling(fresh, two));
    }
    Ok(table)
}
