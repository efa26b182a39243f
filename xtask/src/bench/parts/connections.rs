//! Cost by the number of connections that are busy at once.

use super::{BRIEF, Bench, Table};
use crate::bench::contenders::Contender;
use crate::bench::load::Request;
use crate::bench::rounds::{self, Measured, Plan};
use crate::bench::tollgate::Chain;

const CONNECTIONS: [u32; 5] = [1, 16, 100, 1000, 10_000];

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let tollgate = |key: &str, label: &str, length| {
        Contender::tollgate(bench.setup, key, label, Request::get("/"), Chain::pass_through(length), 1)
    };
    let contenders = [
        Contender::nginx(Request::get("/")),
        tollgate("connections", "Tollgate, no filter", 0).by_address(2),
        tollgate("connections-five", "Tollgate, five pass-through filters", 5).by_address(3),
    ];
    let labels = contenders.iter().map(|contender| contender.label.as_str());
    let columns: Vec<_> = std::iter::once("connections").chain(labels).collect();
    let mut table = Table::new(
        "CPU µs a request · requests a second · p99 in ms, all connections busy. Where the system allows fewer open \
         files, the largest number is what it allows.",
        &columns,
    );
    for connections in CONNECTIONS {
        let connections = connections.min(bench.setup.most_connections);
        // To open thousands takes a second of its own.
        let (rounds, seconds) = if connections < 1000 { (2, 2) } else { (1, 6) };
        let plan = Plan { rounds, seconds, connections, ..BRIEF };
        // One that fails at the largest numbers is a finding, too.
        let measured = rounds::run(bench.setup, &contenders, &plan, bench.progress);
        let cell = |contender: &Contender| {
            let found = measured.iter().find(|measured| measured.key == contender.key);
            found.map_or_else(|| "failed".to_owned(), figures)
        };
        table.row(std::iter::once(connections.to_string()).chain(contenders.iter().map(cell)));
    }
    Ok(table)
}

fn figures(measured: &Measured) -> String {
    let Measured { cpu, rate, p99, .. } = measured;
    format!("{:.1} · {:.0} · {:.1}", cpu.median, rate.median, p99.median / 1000.0)
}
