//! Everything that a measurement needs: folders, programs, filters, the upstream and the load.

use super::install;
use super::load::{Generator, Request};
use super::process::{self, Server};
use super::progress::Progress;
use crate::cargo::{self, cargo, succeed};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::fs;
use std::path::{Path, PathBuf};

/// The processor of the proxy that is measured.
pub(crate) const PROXY_CORE: usize = 0;
/// The processor of the load and of the upstream.
pub(crate) const LOAD_CORE: usize = 1;

/// The most connections that are tried.
const MOST_CONNECTIONS: u64 = 10_000;
/// Files that a proxy has open besides its connections, generously.
const OTHER_FILES: u64 = 400;

/// Sizes of the bodies that the upstream serves from files and the load sends, in bytes.
pub(crate) const BODIES: [u64; 5] = [0, 1 << 10, 16 << 10, 256 << 10, 1 << 20];

/// The programs and files of a run.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where configurations, logs and reports go: `target/bench`.
    pub(crate) folder: PathBuf,
    /// Templates and scripts: `xtask/bench`.
    pub(crate) assets: PathBuf,
    /// The proxy.
    pub(crate) tollgate: PathBuf,
    /// The filter of the chains.
    pub(crate) pass_through: PathBuf,
    /// Envoy, where it is wanted and can be had.
    pub(crate) envoy: Option<Envoy>,
    /// HAProxy, likewise.
    pub(crate) haproxy: Option<PathBuf>,
    pub(crate) nginx: PathBuf,
    pub(crate) generator: Generator,
    /// How many clients' connections a proxy may have at once: 10 000, if it may open so many files, for a connection
    /// to the upstream each, too.
    pub(crate) most_connections: u32,
    /// The service behind the proxies.
    pub(crate) upstream: Server,
}

/// Envoy, and the filter that it runs.
#[derive(Debug)]
pub(crate) struct Envoy {
    pub(crate) program: PathBuf,
    pub(crate) filter: PathBuf,
}

impl Setup {
    /// Builds, installs and starts what is needed. `rivals` asks for HAProxy and Envoy, too.
    pub(crate) fn new(profile: &str, rivals: bool, progress: &Progress) -> Result<Self, String> {
        let root = cargo::root()?;
        let (folder, assets) = (root.join("target/bench"), root.join("xtask/bench"));
        cargo::require_wasm_target()?;
        let tollgate = build_tollgate(&root, profile)?;
        let pass_through = build_pass_through(&root)?;
        let nginx = install::debian("nginx")?;
        install::debian("wrk")?;
        // Without it, everything but the system calls is measured.
        let _ = kept("the count of system calls", install::debian("strace"), progress);
        let haproxy = rivals.then(|| kept("HAProxy", install::debian("haproxy"), progress)).flatten();
        let envoy = rivals.then(|| kept("Envoy", find_envoy(&folder, &assets), progress)).flatten();
        let most_connections = raise_limits()?;
        make_bodies(&folder.join("bodies"))?;
        let upstream = start_upstream(&nginx, &assets, &folder)?;
        stay_off_the_proxys_core()?;
        let generator = Generator { script: assets.join("load.lua"), core: LOAD_CORE };
        Ok(Self {
            folder,
            assets,
            tollgate,
            pass_through,
            envoy,
            haproxy,
            nginx,
            generator,
            most_connections,
            upstream,
        })
    }

    /// The request to a language model that the shipped filters are measured with, 1 KB.
    pub(crate) fn chat(&self) -> Request {
        Request::post("/v1/chat/completions", self.assets.join("chat.json"))
    }

    /// The file with a body of so many bytes.
    pub(crate) fn body(&self, size: u64) -> PathBuf {
        self.folder.join("bodies").join(size.to_string())
    }
}

/// A template with `@KEY@` replaced, written to `folder`; its path.
pub(crate) fn configuration(
    assets: &Path,
    template: &str,
    folder: &Path,
    name: &str,
    values: &[(&str, &str)],
) -> Result<PathBuf, String> {
    let text = filled(&read(&assets.join(template))?, values);
    let path = folder.join(name);
    write(&path, text.as_bytes())?;
    Ok(path)
}

/// A text with `@KEY@` replaced by its value, for each.
pub(crate) fn filled(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (key, value)| text.replace(&format!("@{key}@"), value))
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn build_tollgate(root: &Path, profile: &str) -> Result<PathBuf, String> {
    eprintln!("building Tollgate with the profile `{profile}`: minutes the first time");
    succeed(&mut cargo(&[
        "build",
        "--quiet",
        "--package",
        "tollgate",
        "--bin",
        "tollgate",
        "--profile",
        profile,
    ])?)?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(root.join("target").join(folder).join("tollgate"))
}

/// Builds the filter as the shipped ones are, beside them.
fn build_pass_through(root: &Path) -> Result<PathBuf, String> {
    const TARGET: [&str; 4] = ["--profile", "filter", "--target", "wasm32-unknown-unknown"];
    let target = root.join("target/filters");
    let mut command = cargo(&["build", "--quiet", "--package", "bench-pass-through"])?;
    succeed(command.args(TARGET).arg("--target-dir").arg(&target))?;
    Ok(target.join("wasm32-unknown-unknown/filter/bench_pass_through.wasm"))
}

/// What is there, or nothing and a line that says why.
fn kept<T>(name: &str, found: Result<T, String>, progress: &Progress) -> Option<T> {
    found.inspect_err(|problem| progress.left_out(name, problem)).ok()
}

fn find_envoy(folder: &Path, assets: &Path) -> Result<Envoy, String> {
    let target = folder.join("proxy-wasm");
    let mut command =
        cargo(&["build", "--quiet", "--locked", "--release", "--target", "wasm32-unknown-unknown"])?;
    command.arg("--target-dir").arg(&target).current_dir(assets.join("proxy-wasm"));
    succeed(&mut command)?;
    let filter = target.join("wasm32-unknown-unknown/release/proxy_wasm_counterpart.wasm");
    Ok(Envoy { program: install::envoy(folder)?, filter })
}

/// Raises the number of open files, which children inherit, and returns how many connections that is good for. Only
/// who may (`CAP_SYS_RESOURCE`) goes above the hard limit.
fn raise_limits() -> Result<u32, String> {
    let wanted = 2 * MOST_CONNECTIONS + OTHER_FILES;
    let now = getrlimit(Resource::Nofile);
    let maximum = now.maximum.map(|maximum| maximum.max(wanted));
    let raise = |maximum| setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let failed = |error| format!("cannot raise the number of open files: {error}");
    raise(maximum).or_else(|_| raise(now.maximum)).map_err(failed)?;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(wanted).min(wanted);
    Ok(u32::try_from(limit.saturating_sub(OTHER_FILES) / 2).unwrap_or(u32::MAX))
}

/// Keeps this program, and what it does itself, on the processor of the load.
fn stay_off_the_proxys_core() -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(LOAD_CORE);
    sched_setaffinity(None, &set)
        .map_err(|_| "this machine has only one processor: two are needed".to_owned())
}

fn make_bodies(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    BODIES.iter().try_for_each(|size| {
        write(&folder.join(size.to_string()), &vec![b'x'; usize::try_from(*size).unwrap_or(0)])
    })
}

fn start_upstream(nginx: &Path, assets: &Path, folder: &Path) -> Result<Server, String> {
    let port = process::free_port()?;
    let values = [("PORT", &*port.to_string()), ("FOLDER", &*folder.to_string_lossy())];
    let path = configuration(assets, "upstream.nginx.conf", folder, "upstream.conf", &values)?;
    let mut command = process::pinned(LOAD_CORE, nginx);
    command.arg("-c").arg(path);
    Server::start(&mut command, port, "/", &folder.join("upstream.out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_template_is_filled() {
        assert_eq!(filled("@A@:@B@:@A@", &[("A", "1"), ("B", "2")]), "1:2:1");
    }
}
