//! Two workers against one. The load needs processors, too, and there may be no others: so what counts is the
//! processor time a request, which tells how many requests two full processors would serve.

use super::{BRIEF, Bench, Table, cpu};
use crate::bench::contenders::Contender;
use crate::bench::load::{Load, Request};
use crate::bench::procfs;
use crate::bench::rounds::{self, Measured, Plan};
use crate::bench::stats::Spread;
use crate::bench::tollgate::Chain;

/// Starts of two workers whose shares are looked at: connections are spread anew each time.
const STARTS: usize = 5;

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let tollgate = |workers: usize, key: &str, label: &str| {
        Contender::tollgate(bench.setup, key, label, Request::get("/"), Chain::pass_through(5), workers)
    };
    let contenders = [tollgate(1, "one-worker", "one worker"), tollgate(2, "two-workers", "two workers")];
    let measured = bench.rounds(&contenders, &Plan { rounds: 5, ..BRIEF })?;
    let mut table = Table::new(
        "Five pass-through filters, 16 connections. Two workers share their processors with the load here: `scaling` \
         is what twice the processors would serve at the CPU time a request that was measured. The share is that of \
         the busier worker's processor time, the median and the largest of five loads.",
        &["", "requests/s", "CPU µs/request", "scaling", "busier worker's share"],
    );
    let shares = shares(bench, &contenders[1])?;
    if let ([one, two], Some(shares)) = (measured.as_slice(), Spread::of(shares)) {
        let scaling = scaling(one, two);
        bench.figures.insert("workers.scaling", scaling);
        bench.figures.insert("workers.share", shares.max);
        let rate = |m: &Measured| format!("{:.0}", m.rate.median);
        table.row(["one worker".to_owned(), rate(one), cpu(one), "1.00 ×".to_owned(), String::new()]);
        let share = format!("{:.0} % (up to {:.0} %)", shares.median * 100.0, shares.max * 100.0);
        table.row(["two workers".to_owned(), rate(two), cpu(two), format!("{scaling:.2} ×"), share]);
    }
    Ok(table)
}

/// What two full processors would serve, of what one serves.
pub(super) fn scaling(one: &Measured, two: &Measured) -> f64 {
    2.0 * one.cpu.median / two.cpu.median
}

/// The share of the busier of two workers in several loads, each with connections of its own.
fn shares(bench: &Bench, contender: &Contender) -> Result<Vec<f64>, String> {
    let server = contender.start(bench.setup)?;
    let load = Load { request: Request::get("/"), connections: 16, seconds: 1, pause: 0 };
    let mut shares = Vec::new();
    for _ in 0..STARTS {
        let before = procfs::thread_times(server.pid())?;
        rounds::sample(bench.setup, &server, &load)?;
        let after = procfs::thread_times(server.pid())?;
        let used = after.iter().map(|(thread, time)| {
            time.saturating_sub(before.get(thread).copied().unwrap_or_default()).as_secs_f64()
        });
        shares.extend(busier(used.collect()));
    }
    Ok(shares)
}

/// The share of the busiest of the two busiest threads.
fn busier(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(|one, other| other.total_cmp(one));
    let (first, second) = (times.first()?, times.get(1)?);
    (first + second > 0.0).then(|| first / (first + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_do_no_work_have_no_share() {
        assert_eq!(busier(vec![0.001, 0.3, 0.1]), Some(0.3 / 0.4));
        assert_eq!(busier(vec![1.0]), None);
        assert_eq!(busier(vec![0.0, 0.0]), None);
    }
}
