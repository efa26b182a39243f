//! Time to load the shipped chain: with no compiled filter in the cache, and with all of them.

use super::{Bench, Table};
use crate::bench::stats::Spread;
use crate::cargo;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 7;

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let cache = bench.setup.folder.join("cache-loading");
    if cache.exists() {
        fs::remove_dir_all(&cache).map_err(|error| format!("cannot empty {}: {error}", cache.display()))?;
    }
    let cold = check(bench, &cache)?;
    let warm: Vec<_> = (0..ROUNDS).map(|_| check(bench, &cache)).collect::<Result<_, _>>()?;
    let warm = Spread::of(warm).ok_or("nothing was loaded")?;
    let mut table = Table::new(
        "`tollgate check` of the embedded default, from start to end of the process: parse, compile, link and configure \
         the five filters that ship. Compiling uses all processors.",
        &["cache", "ms"],
    );
    table.row(["empty".to_owned(), format!("{cold:.0}")]);
    table.row(["full".to_owned(), format!("{:.1} ({:.1}–{:.1})", warm.median, warm.min, warm.max)]);
    Ok(table)
}

/// Milliseconds.
fn check(bench: &Bench, cache: &Path) -> Result<f64, String> {
    let manifest = cargo::root()?.join("host/default.yaml");
    let cores = std::thread::available_parallelism().map_or(1, usize::from).max(2) - 1;
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &format!("0-{cores}")]).arg(&bench.setup.tollgate).arg("check").arg(manifest);
    command.arg("--cache").arg(cache).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let status = command.status().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
    if status.success() { Ok(milliseconds) } else { Err(format!("{command:?} failed ({status})")) }
}
