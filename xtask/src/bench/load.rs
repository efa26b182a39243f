//! Makes load with wrk, and reads what its script prints at the end.

use super::process;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to send, how, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) request: Request,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    /// Between a response and the next request on its connection, in milliseconds; 0 is none.
    pub(crate) pause: u32,
}

/// One request, sent again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// The file that holds the body.
    pub(crate) body: Option<PathBuf>,
}

impl Request {
    /// A request without a body.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: None }
    }

    /// A request with the file's content as its body.
    pub(crate) fn post(path: impl Into<String>, body: PathBuf) -> Self {
        Self { method: "POST", path: path.into(), body: Some(body) }
    }
}

/// What the load saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Answered.
    pub(crate) requests: u64,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// Latencies in microseconds: half, 99 % and 99.9 % of the requests took at most that.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// The slowest took that.
    pub(crate) max: f64,
    /// Connections or requests that failed, and answers with a status of 400 and above.
    pub(crate) errors: u64,
}

impl Outcome {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.requests as f64 / self.seconds } else { 0.0 }
    }
}

/// Where load comes from: wrk on one processor, with the script.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    pub(crate) script: PathBuf,
    pub(crate) core: usize,
}

impl Generator {
    /// Sends load to `address` and waits for its end.
    pub(crate) fn run(&self, address: SocketAddr, load: &Load) -> Result<Outcome, String> {
        let mut command = self.command(address, load);
        let output = command.output().map_err(|error| format!("cannot start wrk: {error}"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        printed.lines().find_map(parse).ok_or_else(|| {
            format!(
                "wrk printed no result ({}): {printed}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    fn command(&self, address: SocketAddr, load: &Load) -> Command {
        let mut command = process::pinned(self.core, Path::new("wrk"));
        command.arg("-t1").arg(format!("-c{}", load.connections)).arg(format!("-d{}s", load.seconds));
        command
            .args(["--timeout", "10s", "-s"])
            .arg(&self.script)
            .arg(format!("http://{address}/"))
            .arg("--");
        command.args([load.request.method, &load.request.path]);
        command.arg(load.request.body.as_deref().unwrap_or(Path::new("-")));
        command.arg(load.pause.to_string());
        command
    }
}

/// The result in a line like `result requests=1000 micros=2000000 bytes=1 p50=1 p99=2 p999=3 max=4 errors=0`, which
/// `load.lua` prints last; nothing for any other line.
fn parse(line: &str) -> Option<Outcome> {
    let words = line.strip_prefix("result ")?;
    let number = |name: &str| -> Option<f64> {
        words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    Some(Outcome {
        requests: number("requests")? as u64,
        seconds: number("micros")? / 1e6,
        p50: number("p50")?,
        p99: number("p99")?,
        p999: number("p999")?,
        max: number("max")?,
        errors: number("errors")? as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_line_is_read() {
        let line =
            "result requests=50000 micros=2000000 bytes=12 p50=400 p99=900 p999=1500 max=3000 errors=2";
        let outcome = parse(line).unwrap();
        let expected = Outcome {
            requests: 50_000,
            seconds: 2.0,
            p50: 400.0,
            p99: 900.0,
            p999: 1500.0,
            max: 3000.0,
            errors: 2,
        };
        assert_eq!(outcome, expected);
        assert!((outcome.rate() - 25_000.0).abs() < 1e-6);
    }

    #[test]
    fn wrks_other_lines_are_no_results() {
        for line in [
            "",
            "Running 2s test @ http://127.0.0.1:1/",
            "  2 threads and 10 connections",
            "result requests=1",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn no_time_is_no_rate() {
        assert!(Outcome::default().rate().abs() < f64::EPSILON);
    }
}
