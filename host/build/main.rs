//! What has to be made before the host can be compiled: the shipped filters (`filters`), and the two doors through which
//! filters reach the host (`doors`), from the contract in `wit/`.

mod doors;
mod filters;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

/// What filters and doors are made from. The manifest holds the filters' profile, the lock file their dependencies.
const SOURCES: [&str; 6] = ["filters", "sdk", "wit", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"];

fn main() -> ExitCode {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-changed=host/build");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Cargo shows an `error` line alone and clearly; what follows it is the detail, shown as it is.
            let (summary, detail) = problem.split_once('\n').unwrap_or((&problem, ""));
            println!("cargo::error={summary}");
            eprint!("{detail}");
            if detail.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn build() -> Result<(), String> {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    write_if_changed(&out.join("doors.rs"), doors::generate(&workspace.join("wit"))?.as_bytes())?;
    filters::embed(&workspace, &out)
}

/// Leaves a file that is as it should be alone, because a newer one makes Cargo build the host again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set: this is a build script, run by Cargo"))
}
