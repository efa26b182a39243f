//! Counts system calls with strace, outside of timed rounds: tracing slows a program down many times over.

use super::load::{Generator, Load};
use super::process::{self, Server};
use super::procfs;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long strace gets to attach itself.
const ATTACH: Duration = Duration::from_millis(300);

/// System calls a request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Calls {
    /// All but those that wait.
    pub(crate) working: f64,
    /// Those that wait for events: the more connections are busy, the more requests share one.
    pub(crate) waiting: f64,
}

/// System calls a request of the thread that serves, under this load. Those that connections take to set up are
/// among them: load should last long enough that they do not show.
///
/// # Errors
/// When strace cannot be started, or may not trace.
pub(crate) fn per_request(
    server: &Server,
    generator: &Generator,
    load: &Load,
    table: &Path,
) -> Result<Calls, String> {
    let thread = procfs::busiest_thread(server.pid())?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "strace", "-c", "-qq", "-o"]).arg(table);
    command.args(["-p", &thread.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = command.spawn().map_err(|error| format!("cannot start strace: {error}"))?;
    process::pause(ATTACH);
    let outcome = generator.run(server.address, load);
    let stopped = kill_process(Pid::from_child(&strace), Signal::INT);
    let status = strace.wait().map_err(|error| format!("cannot wait for strace: {error}"))?;
    stopped.map_err(|_| format!("strace ended at once ({status})"))?;
    let text = std::fs::read_to_string(table).map_err(|error| format!("strace wrote nothing: {error}"))?;
    let (all, waiting) = count(&text).ok_or_else(|| format!("strace's table has no total: {text}"))?;
    let requests = outcome?.requests.max(1) as f64;
    Ok(Calls { working: (all - waiting) as f64 / requests, waiting: waiting as f64 / requests })
}

/// All calls of a table, and those among them that wait. A row is `60.00    0.060000     6     10000     1 recvfrom`,
/// its fourth column the calls, the last the name; the total is the last row.
fn count(table: &str) -> Option<(u64, u64)> {
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.split_ascii_whitespace().collect();
        Some((*cells.last()?, cells.get(3)?.parse::<u64>().ok()?))
    });
    let rows: Vec<_> = rows.collect();
    let (_, all) = rows.iter().find(|(name, _)| *name == "total")?;
    let waits = |name: &str| name.starts_with("epoll_") && name.contains("wait");
    Some((*all, rows.iter().filter(|(name, _)| waits(name)).map(|(_, calls)| calls).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.060000           6     10000         1 recvfrom
 30.00    0.030000           3      9000           writev
 10.00    0.010000           2      1000           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.100000           5     20000         1 total
";

    #[test]
    fn calls_are_counted_and_those_that_wait_apart() {
        assert_eq!(count(TABLE), Some((20_000, 1000)));
        assert_eq!(count("100.00    0.1           5     7           total\n"), Some((7, 0)));
        assert_eq!(count("% time     seconds\n"), None);
    }
}
