//! Starts programs on a processor of their own, stops them while others are measured, and ends them when they are
//! dropped. They die with this program, however it ends.

use super::procfs;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take until it answers: compiling filters without a cache takes seconds.
const START: Duration = Duration::from_secs(60);

/// A running program, which listens on an address.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a program and waits until `GET path` is answered with 200.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not answer in time; with the end of what it has written to `log`.
    pub(crate) fn start(command: &mut Command, port: u16, path: &str, log: &Path) -> Result<Self, String> {
        let file = File::create(log).map_err(|error| format!("cannot create {}: {error}", log.display()))?;
        let copy = file.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        let child = command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let pid = Pid::from_child(&child);
        let mut server = Self { child, pid, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        server.wait(path).map_err(|problem| format!("{problem}\n{}", tail(log)))?;
        Ok(server)
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// Takes the processor away from it until [`Server::resume`], so that it does not disturb others.
    pub(crate) fn suspend(&self) -> Result<(), String> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Result<(), String> {
        self.signal(Signal::CONT)
    }

    /// The processor time that it uses while `work` runs.
    pub(crate) fn cpu_during<T>(
        &self,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<(T, procfs::Cpu), String> {
        let before = procfs::cpu(self.pid())?;
        let outcome = work()?;
        Ok((outcome, procfs::cpu(self.pid())?.since(&before)))
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        kill_process(self.pid, signal)
            .map_err(|error| format!("cannot signal process {:?}: {error}", self.pid))
    }

    fn wait(&mut self, path: &str) -> Result<(), String> {
        let begin = Instant::now();
        while begin.elapsed() < START {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended at once ({status})"));
            }
            if answers(self.address, path) {
                return Ok(());
            }
            pause(Duration::from_millis(2));
        }
        Err(format!("it did not answer within {} s", START.as_secs()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself cannot be signalled or killed, and is only waited for.
        let _ = self.resume();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that runs on that processor and is killed when the thread that starts it ends.
pub(crate) fn pinned(core: usize, program: &Path) -> Command {
    pinned_to(&core.to_string(), program)
}

/// A program that runs on a list of processors, as taskset(1) takes it.
pub(crate) fn pinned_to(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", cores]).arg(program);
    command
}

/// A port on loopback that nobody listens on.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| format!("the system gives no port: {error}"))
}

/// Waits. Nothing but the benchmark itself runs in this program.
#[expect(clippy::disallowed_methods, reason = "no worker runs in this program")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Whether `GET path` is answered with 200.
fn answers(address: SocketAddr, path: &str) -> bool {
    let attempt = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head == *b"HTTP/1.1 200")
    };
    attempt().unwrap_or(false)
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text =
        std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_what_it_wrote() {
        let log = std::env::temp_dir().join(format!("bench-process-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo out of luck; exit 3"]);
        let problem = Server::start(&mut command, free_port().unwrap(), "/", &log).unwrap_err();
        assert!(problem.contains("ended at once") && problem.contains("out of luck"), "{problem}");
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn programs_are_pinned_and_die_with_their_parent() {
        let command = pinned(1, Path::new("wrk"));
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words, ["--pdeathsig", "KILL", "taskset", "--cpu-list", "1", "wrk"]);
    }
}
