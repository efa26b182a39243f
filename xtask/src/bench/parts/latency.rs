//! Latency at half load: what a user feels who does not saturate the proxy. wrk has no fixed rate, so connections
//! pause between requests, for as long as makes about half of the rate that saturates the proxy without filters.

use super::{BRIEF, Bench, Table};
use crate::bench::contenders::Contender;
use crate::bench::load::Request;
use crate::bench::rounds::Plan;
use crate::bench::tollgate::Chain;

const CONNECTIONS: u32 = 64;

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let tollgate = |key: &str, label: &str, length| {
        Contender::tollgate(bench.setup, key, label, Request::get("/"), Chain::pass_through(length), 1)
    };
    let contenders = [
        tollgate("latency", "Tollgate, no filter", 0),
        tollgate("latency-five", "Tollgate, five pass-through filters", 5),
    ];
    let saturated = bench.rounds(&contenders[..1], &Plan { rounds: 1, ..BRIEF })?;
    let saturated = saturated.first().map_or(0.0, |measured| measured.rate.median);
    let pause = pause(saturated);
    let plan = Plan { rounds: 7, seconds: 2, connections: CONNECTIONS, pause, ..BRIEF };
    let measured = bench.rounds(&contenders, &plan)?;
    if let [none, five] = measured.as_slice() {
        bench.figures.insert("latency.added", five.p99.median / none.p99.median - 1.0);
    }
    let mut table = Table::new(
        &format!(
            "{CONNECTIONS} connections in a closed loop, each with a pause of {pause} ms ± 50 % after a response: about \
             half of {saturated:.0} requests a second. Median of seven rounds."
        ),
        &["", "requests/s", "p50 µs", "p99 µs (min–max)", "p99.9 µs"],
    );
    for m in &measured {
        let p99 = format!("{:.0} ({:.0}–{:.0})", m.p99.median, m.p99.min, m.p99.max);
        let cells = [m.rate.median, m.p50.median, m.p999.median].map(|value| format!("{value:.0}"));
        let [rate, p50, p999] = cells;
        table.row([m.label.clone(), rate, p50, p99, p999]);
    }
    Ok(table)
}

/// Milliseconds, at least one.
fn pause(saturated: f64) -> u32 {
    let milliseconds = f64::from(CONNECTIONS) / (saturated / 2.0).max(1.0) * 1000.0;
    milliseconds.round().clamp(1.0, 1000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_makes_half_of_the_rate() {
        assert_eq!(pause(32_000.0), 4);
        assert_eq!(pause(1e9), 1);
        assert_eq!(pause(0.0), 1000);
    }
}
