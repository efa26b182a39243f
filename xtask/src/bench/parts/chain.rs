//! Cost as the chain grows: it should be a straight line.

use super::{BRIEF, Bench, Table, cpu};
use crate::bench::chart::Line;
use crate::bench::contenders::Contender;
use crate::bench::load::Request;
use crate::bench::rounds::Plan;
use crate::bench::stats;
use crate::bench::tollgate::Chain;

const LENGTHS: [usize; 7] = [0, 1, 2, 5, 8, 16, 32];

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let contenders = LENGTHS.map(|length| {
        let (key, label) = (format!("chain-{length}"), format!("Tollgate, {length} pass-through filters"));
        Contender::tollgate(bench.setup, &key, &label, Request::get("/"), Chain::pass_through(length), 1)
    });
    let measured = bench.rounds(&contenders, &Plan { rounds: 5, ..BRIEF })?;
    let points: Vec<_> = LENGTHS
        .iter()
        .zip(&measured)
        .map(|(length, measured)| (*length as f64, measured.cpu.median))
        .collect();
    let base = points.first().map_or(0.0, |point| point.1);
    let long: Vec<_> = points.iter().copied().filter(|point| point.0 >= 5.0).collect();
    if let Some(line) = stats::line(&long) {
        bench.figures.insert("chain.bend", line.bend);
    }
    let mut table = Table::new(
        "CPU µs a request by the number of pass-through filters, median of five rounds.",
        &["filters", "CPU µs/request", "added µs", "added µs a filter"],
    );
    for ((length, cost), measured) in points.iter().zip(&measured) {
        let added = cost - base;
        let each = if *length > 0.0 { format!("{:.2}", added / length) } else { "–".to_owned() };
        table.row([length.to_string(), cpu(measured), format!("{added:.1}"), each]);
    }
    let points = points.iter().map(|(length, cost)| (*length, cost - base)).collect();
    bench.growth.push(Line { label: "Tollgate, pass-through filters".to_owned(), points });
    Ok(table)
}
