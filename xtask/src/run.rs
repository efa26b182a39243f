//! `cargo xtask run`: installs the Wasm target, builds the proxy and its filters, and becomes `tollgate run`.

use crate::cargo;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

/// What `cargo xtask run` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build with optimisation: slower to build, for measuring.
    #[arg(long)]
    release: bool,
    /// Arguments for `tollgate run`, after `--`.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Builds and runs the proxy in place of this process, so that a signal reaches it; returns only when that fails.
pub(crate) fn run(options: &Options) -> Result<ExitCode, String> {
    cargo::require_wasm_target()?;
    let mut command = cargo::cargo(&["run", "--package", "tollgate", "--bin", "tollgate"])?;
    if options.release {
        command.arg("--release");
    }
    command.args(["--", "run"]).args(&options.arguments);
    eprintln!("Building the proxy and its filters: minutes the first time, seconds from then on.");
    let error = command.exec();
    Err(cargo::not_started(&command, &error))
}
