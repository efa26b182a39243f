//! Time to reload the shipped chain when one filter's configuration has changed, and what requests feel of it.

use super::{Bench, Table};
use crate::bench::load::{Load, Outcome};
use crate::bench::process::{self, Server};
use crate::bench::setup::{PROXY_CORE, read, write};
use crate::bench::stats::Spread;
use crate::cargo;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RELOADS: usize = 6;
/// Between two reloads under load.
const INTERVAL: Duration = Duration::from_millis(400);
const SECONDS: u32 = 3;

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let reloading = Reloading::start(bench)?;
    let load = Load { request: bench.setup.chat(), connections: 4, seconds: SECONDS, pause: 2 };
    let calm = bench.setup.generator.run(reloading.server.address, &load)?;
    // The first compiles nothing either, but fills pages that later ones find.
    reloading.reload(0)?;
    let generator = bench.setup.generator.clone();
    let address = reloading.server.address;
    let under_load = std::thread::scope(|scope| {
        let load = scope.spawn(move || generator.run(address, &load));
        let times: Result<Vec<_>, _> = (1..=RELOADS)
            .map(|number| {
                process::pause(INTERVAL);
                reloading.reload(number)
            })
            .collect();
        let outcome = load.join().map_err(|_| "the load broke off".to_owned())?;
        Ok::<_, String>((times?, outcome?))
    });
    let (times, busy) = under_load?;
    let times = Spread::of(times).ok_or("nothing was reloaded")?;
    bench.figures.insert("reload.time", times.median);
    bench.figures.insert("reload.slowest", (busy.max - calm.p999) / 1e3);
    Ok(table(&times, &calm, &busy))
}

fn table(times: &Spread, calm: &Outcome, busy: &Outcome) -> Table {
    let mut table = Table::new(
        "`POST /reload` after one filter's configuration has changed, under a light load of chat requests.",
        &["", "ms"],
    );
    let milliseconds = |micros: f64| format!("{:.1}", micros / 1e3);
    table.row(["a reload".to_owned(), format!("{:.1} ({:.1}–{:.1})", times.median, times.min, times.max)]);
    table.row(["p99.9 without reloads".to_owned(), milliseconds(calm.p999)]);
    table.row(["slowest request without reloads".to_owned(), milliseconds(calm.max)]);
    table.row([format!("slowest request during {RELOADS} reloads"), milliseconds(busy.max)]);
    table.row(["requests that failed during them".to_owned(), busy.errors.to_string()]);
    table
}

/// Tollgate with a manifest that changes.
struct Reloading {
    server: Server,
    manifest: PathBuf,
    /// The manifest's text, but for what changes.
    text: String,
    admin: u16,
}

impl Reloading {
    fn start(bench: &Bench) -> Result<Self, String> {
        let setup = bench.setup;
        let (port, admin) = (process::free_port()?, process::free_port()?);
        let default = read(&cargo::root()?.join("host/default.yaml"))?;
        let text = format!("{default}\nadmin: {{address: \"127.0.0.1:{admin}\"}}\n");
        let manifest = setup.folder.join("reload.yaml");
        write(&manifest, version(&text, 0).as_bytes())?;
        let mut command = process::pinned(PROXY_CORE, &setup.tollgate);
        command.args(["run", "--workers", "1", "--listen", &format!("127.0.0.1:{port}"), "--manifest"]);
        command.arg(&manifest).args(["--upstream", &format!("http://{}", setup.upstream.address)]);
        command.env("REQUEST_LOGGING_ENABLED", "false").env("TOLLGATE_CACHE", setup.folder.join("cache"));
        let server = Server::start(&mut command, port, "/", &setup.folder.join("reload.log"))?;
        Ok(Self { server, manifest, text, admin })
    }

    /// Changes the manifest and asks for the reload; milliseconds until it was done.
    fn reload(&self, number: usize) -> Result<f64, String> {
        write_whole(&self.manifest, &version(&self.text, number + 1))?;
        let begin = Instant::now();
        let status =
            post(self.admin, "/reload").map_err(|error| format!("cannot ask for a reload: {error}"))?;
        let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
        match status.as_str() {
            "200" => Ok(milliseconds),
            "404" => Err("this build of Tollgate does not reload".to_owned()),
            _ => Err(format!("a reload was answered with {status}")),
        }
    }
}

/// The manifest, different for each number.
fn version(text: &str, number: usize) -> String {
    text.replace("probes: 1", &format!("probes: {}", number + 1))
}

/// A file is replaced whole, as editors do it.
fn write_whole(path: &Path, text: &str) -> Result<(), String> {
    let new = path.with_extension("new");
    write(&new, text.as_bytes())?;
    std::fs::rename(&new, path).map_err(|error| format!("cannot replace {}: {error}", path.display()))
}

/// The status of the answer to an empty POST.
fn post(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(String::from_utf8_lossy(&head[9..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_the_embedded_default_is_another() {
        let text = read(&cargo::root().unwrap().join("host/default.yaml")).unwrap();
        assert_ne!(version(&text, 1), version(&text, 2));
        assert!(version(&text, 1).contains("probes: 2"));
    }
}
