//! The interleaved run: every round measures each contender once, in an order that rotates, so that a machine whose
//! clock drifts treats all alike. Those that are not measured are suspended.

use super::chart::Bar;
use super::contenders::Contender;
use super::load::Load;
use super::process::Server;
use super::procfs;
use super::progress::Progress;
use super::setup::{PROXY_CORE, Setup};
use super::stats::Spread;
use super::syscalls::{self, Calls};
use rustix::param;
use serde::Serialize;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    /// Of each contender in each round.
    pub(crate) seconds: u32,
    pub(crate) connections: u32,
    /// Between a response and the next request, in milliseconds.
    pub(crate) pause: u32,
    /// Whether to count system calls, too, after the rounds.
    pub(crate) count_calls: bool,
}

/// What was measured of one contender.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) key: String,
    pub(crate) label: String,
    /// Requests a second.
    pub(crate) rate: Spread,
    /// Latencies in microseconds.
    pub(crate) p50: Spread,
    pub(crate) p99: Spread,
    pub(crate) p999: Spread,
    /// Processor time of the proxy per request, in microseconds.
    pub(crate) cpu: Spread,
    /// The part of it in user mode, in microseconds.
    pub(crate) user: f64,
    /// The share of the proxy's processor that it used: below 1, the load was the bottleneck.
    pub(crate) busy: f64,
    /// The share of it that others took: much of it, and the figures are doubtful.
    pub(crate) others: f64,
    /// Resident memory after the rounds, in bytes.
    pub(crate) resident: u64,
    /// System calls per request of the thread that serves.
    pub(crate) calls: Option<Calls>,
    /// Failed requests, of all rounds.
    pub(crate) errors: u64,
    /// Each round.
    pub(crate) samples: Vec<Sample>,
}

/// One contender in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) cpu: f64,
    pub(crate) user_share: f64,
    pub(crate) busy: f64,
    pub(crate) others: f64,
    pub(crate) errors: u64,
}

/// Starts the contenders, measures them and ends them. One that does not start, or fails under load, is left out
/// with a line that says so.
pub(crate) fn run(
    setup: &Setup,
    contenders: &[Contender],
    plan: &Plan,
    progress: &Progress,
) -> Vec<Measured> {
    let mut running = start(setup, contenders, plan, progress);
    for round in 0..plan.rounds {
        let count = running.len();
        for step in 0..count {
            let lane = &mut running[(step + round as usize) % count];
            match lane.turn(setup, plan) {
                Ok(sample) => {
                    let label = &lane.contender.label;
                    progress.line(
                        &format!("round {}/{}", round + 1, plan.rounds),
                        label,
                        &sample.to_string(),
                    );
                }
                Err(problem) => lane.fail(&problem, progress),
            }
        }
        running.retain(|lane| !lane.failed);
    }
    running.into_iter().filter_map(|lane| lane.finish(setup, plan, progress)).collect()
}

/// A contender that runs.
struct Lane<'a> {
    contender: &'a Contender,
    server: Server,
    samples: Vec<Sample>,
    failed: bool,
}

fn start<'a>(setup: &Setup, contenders: &'a [Contender], plan: &Plan, progress: &Progress) -> Vec<Lane<'a>> {
    let mut running = Vec::new();
    for contender in contenders {
        let started = contender.start(setup).and_then(|server| {
            let lane = Lane { contender, server, samples: Vec::new(), failed: false };
            // What is done once, at the first requests, is not what is measured.
            lane.measure(setup, &Plan { seconds: 1, ..*plan })?;
            lane.server.suspend()?;
            Ok(lane)
        });
        match started {
            Ok(lane) => running.push(lane),
            Err(problem) => progress.left_out(&contender.label, &problem),
        }
    }
    running
}

impl Lane<'_> {
    /// Wakes it, measures it, and suspends it again.
    fn turn(&mut self, setup: &Setup, plan: &Plan) -> Result<Sample, String> {
        self.server.resume()?;
        let sample = self.measure(setup, plan)?;
        self.server.suspend()?;
        self.samples.push(sample);
        Ok(sample)
    }

    fn fail(&mut self, problem: &str, progress: &Progress) {
        progress.left_out(&self.contender.label, problem);
        self.failed = true;
    }

    fn load(&self, plan: &Plan) -> Load {
        Load {
            request: self.contender.request.clone(),
            connections: plan.connections,
            seconds: plan.seconds,
            pause: plan.pause,
        }
    }

    fn measure(&self, setup: &Setup, plan: &Plan) -> Result<Sample, String> {
        sample(setup, &self.server, &self.load(plan))
    }

    fn finish(self, setup: &Setup, plan: &Plan, progress: &Progress) -> Option<Measured> {
        let resident = procfs::resident(self.server.pid());
        let resident =
            resident.inspect_err(|problem| progress.left_out(&self.contender.label, problem)).ok()?;
        let calls = plan.count_calls.then(|| self.count_calls(setup, plan, progress)).flatten();
        Measured::of(self.contender, self.samples, resident, calls)
    }

    fn count_calls(&self, setup: &Setup, plan: &Plan, progress: &Progress) -> Option<Calls> {
        let table = setup.folder.join(format!("{}.strace", self.contender.key));
        let load = Load { seconds: 2, ..self.load(plan) };
        let count = self
            .server
            .resume()
            .and_then(|()| syscalls::per_request(&self.server, &setup.generator, &load, &table));
        count.inspect_err(|problem| progress.note(&format!("system calls are not counted: {problem}"))).ok()
    }
}

/// Sends load to a server, and says what came of it. Load of which more than one request in a hundred fails
/// measures nothing.
pub(crate) fn sample(setup: &Setup, server: &Server, load: &Load) -> Result<Sample, String> {
    let before = procfs::core_busy(PROXY_CORE)?;
    let (outcome, cpu) = server.cpu_during(|| setup.generator.run(server.address, load))?;
    let ticks = procfs::core_busy(PROXY_CORE)?.saturating_sub(before);
    if outcome.requests == 0 {
        return Err("no request was answered".to_owned());
    }
    if outcome.errors * 100 > outcome.requests {
        return Err(format!("{} of {} requests failed", outcome.errors, outcome.requests));
    }
    let used = cpu.total.as_secs_f64();
    Ok(Sample {
        rate: outcome.rate(),
        p50: outcome.p50,
        p99: outcome.p99,
        p999: outcome.p999,
        cpu: used * 1e6 / outcome.requests as f64,
        user_share: cpu.user_share(),
        busy: used / outcome.seconds,
        others: (ticks as f64 / param::clock_ticks_per_second() as f64 - used).max(0.0) / outcome.seconds,
        errors: outcome.errors,
    })
}

impl Measured {
    /// The median of what a figure of each round is against another contender's in the same round: a machine whose
    /// clock drifts, drifts for both.
    pub(crate) fn against(&self, other: &Self, compare: fn(f64, f64) -> f64) -> Option<f64> {
        let pairs = self.samples.iter().zip(&other.samples);
        Spread::of(pairs.map(|(one, other)| compare(one.cpu, other.cpu))).map(|spread| spread.median)
    }

    /// Its processor time, for a plot.
    pub(crate) fn bar(&self) -> Bar {
        Bar { label: self.label.clone(), parts: [self.user, self.cpu.median - self.user] }
    }

    /// Of a contender with at least one sample.
    pub(crate) fn of(
        contender: &Contender,
        samples: Vec<Sample>,
        resident: u64,
        calls: Option<Calls>,
    ) -> Option<Self> {
        let spread = |value: fn(&Sample) -> f64| Spread::of(samples.iter().map(value));
        let cpu = spread(|sample| sample.cpu)?;
        Some(Self {
            key: contender.key.clone(),
            label: contender.label.clone(),
            rate: spread(|sample| sample.rate)?,
            p50: spread(|sample| sample.p50)?,
            p99: spread(|sample| sample.p99)?,
            p999: spread(|sample| sample.p999)?,
            cpu,
            user: cpu.median * spread(|sample| sample.user_share)?.median,
            busy: spread(|sample| sample.busy)?.median,
            others: spread(|sample| sample.others)?.median,
            resident,
            calls,
            errors: samples.iter().map(|sample| sample.errors).sum(),
            samples,
        })
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>6.0} requests/s  {:>6.2} µs CPU  p99 {:>5.0} µs", self.rate, self.cpu, self.p99)
    }
}
