//! Checks licences, versions, sources and known vulnerabilities of the dependencies with cargo-deny, which it builds
//! into `target/tools` when it is not there.

use crate::cargo::{self, cargo, succeed};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const VERSION: &str = "0.20.2";

/// Runs the checks that `deny.toml` describes. Known vulnerabilities are left out, and a notice says so, when their
/// database cannot be fetched: a closed network must not make a change fail.
pub(crate) fn check() -> Result<(), String> {
    let program = installed()?;
    let deny = || -> Result<Command, String> {
        let mut command = Command::new(&program);
        command.current_dir(cargo::root()?);
        Ok(command)
    };
    let fetched = deny()?.args(["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let mut check = deny()?;
    check.args(["check", "--hide-inclusion-graph"]);
    if !fetched.is_ok_and(|status| status.success()) {
        eprintln!("notice: the advisory database is out of reach: known vulnerabilities are not checked");
        check.args(["bans", "licenses", "sources"]);
    }
    succeed(&mut check)
}

/// The path of cargo-deny, built first when it is missing.
fn installed() -> Result<PathBuf, String> {
    let folder = cargo::root()?.join("target/tools").join(format!("cargo-deny-{VERSION}"));
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        eprintln!("building cargo-deny {VERSION}, once: this takes a minute or two");
        let mut install = cargo(&["install", "--locked", "cargo-deny", "--version", VERSION, "--root"])?;
        // The dev profile, unoptimised, takes one minute to build and one second to run; release takes far longer.
        install.arg(folder).args(["--profile", "dev"]).env("CARGO_PROFILE_DEV_DEBUG", "false");
        succeed(&mut install)?;
    }
    Ok(program)
}
