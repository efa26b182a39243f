//! The repository's own commands: `cargo xtask run`, `test` and `bench`. They install what they need and is missing,
//! so that a machine with rustup and a C compiler is enough.

mod bench;
mod cargo;
mod counts;
mod deny;
mod run;
mod steps;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Work on Tollgate.
///
/// Needs rustup and a C compiler; whatever else is missing, these commands install.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask run                                        the embedded default, on 127.0.0.1:8081
  cargo xtask run -- --upstream http://127.0.0.1:9000    in front of your own service
  cargo xtask run --release -- --manifest tollgate.yaml  optimised, with your own manifest
  cargo xtask test                                       all that a change must pass
  cargo xtask test circuit                               only the tests whose names contain `circuit`
  cargo xtask bench --quick                              what a request costs, next to nginx: one minute";

#[derive(Subcommand)]
enum Task {
    /// Build the proxy with its filters and run it.
    Run(run::Options),
    /// Check format, lints, tests and dependencies; end with the tests' counts.
    Test(test::Options),
    /// Compare what a request costs with other proxies, side by side on this machine.
    Bench(bench::Options),
    /// The byte pump that the benchmark compares with.
    #[command(hide = true)]
    BenchFloor(bench::floor::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Task::Run(options) => run::run(&options),
        Task::Test(options) => test::test(&options),
        Task::Bench(options) => bench::bench(&options),
        Task::BenchFloor(options) => bench::floor::run(&options),
    };
    outcome.unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::FAILURE
    })
}
