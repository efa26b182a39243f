//! Starts Cargo and rustup in the workspace, and puts the parts of the toolchain in place that the work needs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, io};

/// What Cargo tells this program about its own package. Handed on, it makes build scripts that watch such variables
/// run again.
const OWN_PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];

/// The workspace's root folder.
pub(crate) fn root() -> Result<PathBuf, String> {
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or("start this program with `cargo xtask`")?;
    Path::new(&package).parent().map(Path::to_owned).ok_or_else(|| "xtask is not in a workspace".to_owned())
}

/// Cargo, in the workspace's root, with `arguments`.
pub(crate) fn cargo(arguments: &[&str]) -> Result<Command, String> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()?).args(arguments);
    let keys = env::vars_os().filter_map(|(key, _)| key.into_string().ok());
    for key in keys.filter(|key| OWN_PACKAGE.iter().any(|prefix| key.starts_with(prefix))) {
        command.env_remove(key);
    }
    Ok(command)
}

/// Runs a command to its end, with this program's output.
///
/// # Errors
/// When it cannot be started, or fails.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    let outcome = command.status();
    ended_well(command, outcome)
}

/// The sentence for a command that could not be started.
pub(crate) fn not_started(command: &Command, error: &io::Error) -> String {
    format!("cannot start {}: {error}", shown(command))
}

/// Installs the target that filters are built for, unless it is there.
pub(crate) fn require_wasm_target() -> Result<(), String> {
    rustup(&["target", "add", "wasm32-unknown-unknown"])
}

/// Installs the formatter and the linter, unless they are there.
pub(crate) fn require_lint_tools() -> Result<(), String> {
    rustup(&["component", "add", "rustfmt", "clippy"])
}

/// A toolchain that did not come from rustup is left as it is: what it lacks, Cargo will say.
fn rustup(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("rustup");
    command.current_dir(root()?).arg("--quiet").args(arguments);
    match command.status() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => ended_well(&command, outcome),
    }
}

fn ended_well(command: &Command, outcome: io::Result<ExitStatus>) -> Result<(), String> {
    match outcome {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{} failed ({status})", shown(command))),
        Err(error) => Err(not_started(command, &error)),
    }
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words: Vec<_> =
        std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}
