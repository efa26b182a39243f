//! Builds the shipped filters for `wasm32-unknown-unknown` and writes `$OUT_DIR/builtin.rs`, which embeds them as
//! `BUILTIN`: pairs of a filter's name and its core module, which carries its component type.
//!
//! The nested build has a target directory of its own, beside the outer build's profiles: it cannot wait for the
//! lock that the outer build holds, and `build`, `check`, `clippy` and `test` share what it made.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::{variable, write_if_changed};

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "filter";

/// Settings meant for the host, which would change the filters or put them elsewhere.
const HOST_SETTINGS: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
];

/// What Cargo tells this script about its package, and would be read as if it were about the filters.
const OWN_PACKAGE: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CFG_", "CARGO_FEATURE_"];

/// Builds the filters, and writes the modules and `builtin.rs` to `out`.
pub(crate) fn embed(workspace: &Path, out: &Path) -> Result<(), String> {
    let names = filter_names(&workspace.join("filters"))?;
    // With no package named, the nested build would build this package, and so itself, for ever.
    if !names.is_empty() {
        require_target()?;
        let built = build_filters(workspace, &target_directory(out), &names)?;
        for name in &names {
            let module = built.join(format!("filter_{}.wasm", name.replace('-', "_")));
            write_if_changed(&out.join(format!("{name}.wasm")), &read(&module)?)?;
        }
    }
    write_if_changed(&out.join("builtin.rs"), declaration(&names).as_bytes())
}

/// The folders of `filters` that are packages, sorted.
fn filter_names(filters: &Path) -> Result<Vec<String>, String> {
    let failed = |error| format!("cannot list {}: {error}", filters.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(filters).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().join("Cargo.toml").is_file() {
            let name = entry.file_name().into_string();
            names.push(name.map_err(|name| format!("the name of the filter {name:?} is not UTF-8"))?);
        }
    }
    names.sort();
    Ok(names)
}

/// Fails when the standard library for [`TARGET`] is not there, which the compiler would say at length.
fn require_target() -> Result<(), String> {
    let rustc = variable("RUSTC")?;
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run {}: {error}", rustc.display()))?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    Err(format!(
        "the filters are built for {TARGET}, which is not installed: \
         run `rustup target add {TARGET}` (`cargo xtask run` does it for you)"
    ))
}

/// The nested build's target directory: in the outer build's one, whose root Cargo marks, so that every profile and
/// every command shares it; in this script's own folder should there be no such mark.
fn target_directory(out: &Path) -> PathBuf {
    out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).unwrap_or(out).join("filters")
}

/// Builds the packages `filter-<name>` and returns the folder that holds their modules.
fn build_filters(workspace: &Path, target_directory: &Path, names: &[String]) -> Result<PathBuf, String> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(workspace).args(["build", "--profile", PROFILE, "--target", TARGET]);
    cargo.arg("--target-dir").arg(target_directory);
    for name in names {
        cargo.args(["--package", &format!("filter-{name}")]);
    }
    let leaked = env::vars_os().filter_map(|(key, _)| key.into_string().ok());
    for key in leaked.filter(|key| OWN_PACKAGE.iter().any(|prefix| key.starts_with(prefix))) {
        cargo.env_remove(key);
    }
    for key in HOST_SETTINGS {
        cargo.env_remove(key);
    }
    // A build directory set for the outer build would make the nested one wait for the outer one's lock, for ever.
    cargo.env("CARGO_BUILD_BUILD_DIR", target_directory);
    let output = cargo.output().map_err(|error| format!("cannot start Cargo for the filters: {error}"))?;
    if output.status.success() {
        Ok(target_directory.join(TARGET).join(PROFILE))
    } else {
        Err(format!("the filters do not build\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// The text of `builtin.rs`. Its paths are relative to it.
fn declaration(names: &[String]) -> String {
    let mut text = String::from(
        "/// The shipped filters, sorted by name: core modules that carry their component type.\n\
         #[allow(unreachable_pub)]\n\
         pub const BUILTIN: &[(&str, &[u8])] = &[\n",
    );
    for name in names {
        let _ = writeln!(text, "    ({name:?}, include_bytes!({:?})),", format!("{name}.wasm"));
    }
    text.push_str("];\n");
    text
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
