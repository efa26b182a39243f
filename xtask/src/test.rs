//! `cargo xtask test`: everything that a change must pass, every step even when one fails, and at the end the tests'
//! counts on a line of their own.

use crate::cargo::{self, cargo, succeed};
use crate::counts::Counts;
use crate::deny;
use crate::steps::Steps;
use std::io::{self, BufReader};
use std::process::{ExitCode, Stdio};

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the tests whose names contain this, and no other check.
    filter: Option<String>,
}

/// Runs the checks and prints the counts. The exit code tells whether all of them passed.
pub(crate) fn test(options: &Options) -> Result<ExitCode, String> {
    cargo::require_wasm_target()?;
    let mut steps = Steps::default();
    if options.filter.is_none() {
        cargo::require_lint_tools()?;
        steps.step("format", || succeed(&mut cargo(&["fmt", "--all", "--check"])?));
        steps.step("lints", || clippy(&["--workspace", "--all-targets"]));
        steps.step("lints of the filters as Wasm", || clippy(&WASM_PACKAGES));
    }
    let mut counts = Counts::default();
    steps.step("tests", || run_tests(options.filter.as_deref(), &mut counts));
    if options.filter.is_none() {
        steps.step("dependencies", deny::check);
    }
    eprintln!();
    if !steps.failed().is_empty() {
        eprintln!("failed: {}", steps.failed().join(", "));
    }
    println!("{counts}");
    Ok(if steps.failed().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Code that exists only on the Wasm target is seen by no native check.
const WASM_PACKAGES: [&str; 7] =
    ["--target", "wasm32-unknown-unknown", "--workspace", "--exclude", "tollgate", "--exclude", "xtask"];

fn clippy(packages: &[&str]) -> Result<(), String> {
    succeed(cargo(&["clippy"])?.args(packages).args(["--", "--deny", "warnings"]))
}

/// Runs all tests of the workspace, those in the documentation too, passes on what they print, and adds up their
/// counts.
fn run_tests(filter: Option<&str>, counts: &mut Counts) -> Result<(), String> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"])?;
    command.args(filter).stdout(Stdio::piped());
    let mut tests = command.spawn().map_err(|error| cargo::not_started(&command, &error))?;
    let copied = tests
        .stdout
        .take()
        .map_or(Ok(()), |output| copy_and_count(BufReader::new(output), io::stdout().lock(), counts));
    let status = tests.wait().map_err(|error| format!("cannot wait for the tests: {error}"))?;
    copied.map_err(|error| format!("cannot pass on what the tests print: {error}"))?;
    match counts {
        Counts { passed: 0, failed: 0, .. } => Err("no test ran".to_owned()),
        Counts { failed: 0, .. } if status.success() => Ok(()),
        Counts { failed: 0, .. } => Err("a test program did not build, or broke off".to_owned()),
        Counts { failed, .. } => Err(format!("{failed} failed")),
    }
}

/// Copies lines, in whatever encoding they are, and adds up the results among them.
fn copy_and_count(
    mut lines: impl io::BufRead,
    mut output: impl io::Write,
    counts: &mut Counts,
) -> io::Result<()> {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        output.write_all(&line)?;
        output.flush()?;
        if let Some(found) = Counts::from_line(String::from_utf8_lossy(&line).trim_end()) {
            *counts += found;
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_all_test_programs_are_added_up() -> io::Result<()> {
        let printed = b"running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n\
            \xff not UTF-8\n\
            test result: FAILED. 1 passed; 1 failed; 3 ignored; 0 measured";
        let mut copy = Vec::new();
        let mut counts = Counts::default();
        copy_and_count(&printed[..], &mut copy, &mut counts)?;
        assert_eq!(copy, printed);
        assert_eq!(counts, Counts { passed: 3, failed: 1, ignored: 3 });
        Ok(())
    }
}
