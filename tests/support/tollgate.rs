//! Tollgate itself: the binary that ships, started with a manifest, watched, and stopped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Client, Message, Origin, eventually};

/// A running Tollgate. It is killed when this is dropped, and the test fails if it panicked.
#[derive(Debug)]
pub struct Tollgate {
    /// Its first listener.
    pub address: SocketAddr,
    /// Its process id.
    pub pid: u32,
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
    errors: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    directory: PathBuf,
}

/// How much of its log a failed test shows.
const LAST_LINES: usize = 200;

impl Tollgate {
    /// Starts it with a manifest. `LISTENER` in the text becomes a listener on a free port.
    pub fn start(manifest: &str) -> Self {
        Self::start_with(manifest, &[], |_| {})
    }

    /// Starts it in front of an origin, with `filters` as the manifest's `filters:` (may be empty) and `route` as
    /// further keys of its only route, each on a line of its own.
    pub fn in_front_of(origin: &Origin, filters: &str, route: &str) -> Self {
        let url = origin.url();
        let indented: String = route.lines().map(|line| format!("    {line}\n")).collect();
        Self::start(&format!(
            "version: 1\nlisteners:\n  - LISTENER\nupstreams:\n  main:\n    endpoints: [\"{url}\"]\n{filters}\n\
             routes:\n  - match: {{path: /metrics}}\n    serve: metrics\n  - match: {{path-prefix: /health/}}\n    serve: health\n  \
             - match: {{path-prefix: /}}\n    upstream: main\n{indented}"
        ))
    }

    /// Starts it with a manifest, further arguments, and whatever else `prepare` does to the command.
    pub fn start_with(manifest: &str, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let directory = directory();
        let file = directory.join("manifest.yaml");
        std::fs::write(&file, expand(manifest)).unwrap();
        let mut command = command();
        command.arg("run").arg("--manifest").arg(&file).args(arguments);
        prepare(&mut command);
        Self::watch(command, directory)
    }

    /// Starts a command that is to become a running Tollgate.
    pub fn watch(mut command: Command, directory: PathBuf) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (output, errors) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<String>>::default());
        let (lines, text) = (output.clone(), errors.clone());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let readers = vec![
            std::thread::spawn(move || {
                stdout.lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line));
            }),
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stderr.read(&mut buffer) {
                    text.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
                }
            }),
        ];
        let address = "0.0.0.0:0".parse().unwrap();
        let pid = child.id();
        let mut started = Self { address, pid, child, output, errors, readers, directory };
        eventually("Tollgate listens", || started.has_started());
        started
    }

    fn has_started(&mut self) -> bool {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("Tollgate ended with {status}: {}\n{}", self.errors(), self.output().join("\n"));
        }
        let line = self.output().into_iter().find(|line| line.contains("listening on"));
        let Some(line) = line else { return false };
        let event: serde_json::Value = serde_json::from_str(&line).expect("a line of the log");
        self.address = event["address"].as_str().unwrap().parse().unwrap();
        true
    }

    /// A new connection to it.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A GET on a connection of its own.
    pub fn get(&self, path: &str) -> Message {
        self.client().get(path)
    }

    /// A POST of JSON on a connection of its own.
    pub fn post(&self, path: &str, json: &str) -> Message {
        self.client().post(path, "", json)
    }

    /// The file of its manifest.
    pub fn manifest(&self) -> PathBuf {
        self.directory.join("manifest.yaml")
    }

    /// Puts another manifest in the place of its own, whole, as editors and deployments do. `LISTENER` becomes the same
    /// as at the start.
    pub fn replace_manifest(&self, text: &str) {
        let next = self.directory.join("manifest.next");
        std::fs::write(&next, expand(text)).unwrap();
        std::fs::rename(next, self.manifest()).unwrap();
    }

    /// The address of its administration interface, once that is there.
    pub fn admin(&self) -> SocketAddr {
        let event = self.event("administration on");
        event["admin"].as_str().unwrap().parse().unwrap()
    }

    /// The first line of the log that has this in it, once it is there.
    pub fn event(&self, words: &str) -> serde_json::Value {
        let find = || self.output().into_iter().find(|line| line.contains(words));
        eventually(&format!("{words:?} is logged"), || find().is_some());
        serde_json::from_str(&find().unwrap()).expect("a line of the log")
    }

    /// The lines of its log so far.
    pub fn output(&self) -> Vec<String> {
        self.output.lock().unwrap().clone()
    }

    /// What it has written to standard error so far.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// True if a line of the log has all these words in it.
    pub fn has_logged(&self, words: &[&str]) -> bool {
        self.output().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// The figure of that series, labels and all, as `/metrics` shows it; 0 if it does not.
    pub fn metric(&self, series: &str) -> f64 {
        let metrics = self.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a figure"))
    }

    /// Resident memory, in bytes; `VmHWM` for the highest so far, `VmRSS` for now.
    pub fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line =
            status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).expect("a figure");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Sends it a signal, as `kill` names it.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; the exit code, or none if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("Tollgate ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Tollgate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        let _ = std::fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            assert!(!self.errors().contains("panicked"), "Tollgate panicked: {}", self.errors());
        } else {
            let output = self.output();
            let last = &output[output.len().saturating_sub(LAST_LINES)..];
            eprintln!("Tollgate's log:\n{}\n{}", last.join("\n"), self.errors());
        }
    }
}

fn expand(manifest: &str) -> String {
    manifest.replace("LISTENER", "address: 127.0.0.1:0")
}

/// The binary, with compiled filters kept between tests, and none of this environment's own settings.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TOLLGATE_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    command
}

/// A new, empty directory for one test.
pub fn directory() -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("test-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
