//! How busy this process is, for filters that shed load. A plain thread measures once a second; workers read
//! the newest measurement from atomics, without a lock. Two figures are fresher than that: exchanges in
//! flight are summed when asked for, and a worker's late timer shows at once.

mod memory;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::telemetry::Telemetry;
use crate::telemetry::process::read;

/// How old a measurement may be: as old as the contract allows.
const INTERVAL: Duration = Duration::from_secs(1);

/// One reading of all figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Share of the memory limit in use, 0 to 1: the control group's limit where there is one, else the
    /// machine's memory. What the kernel would give back first, inactive file pages, is not in use. 0 where
    /// no file tells.
    pub memory: f64,
    /// Share of the process's limit of data (`RLIMIT_DATA`, past which the allocator fails), 0 to 1; 0
    /// without a limit.
    pub heap: f64,
    /// Share of the machine's cores that was busy over the last interval, 0 to 1.
    pub cpu: f64,
    /// Exchanges in flight now.
    pub active_exchanges: u32,
    /// The latest that any worker's timer fired, in microseconds, since the measurement before the last.
    pub scheduling_delay_micros: u64,
}

/// The newest measurement, shared by all workers.
pub struct Pressure {
    telemetry: Arc<Telemetry>,
    /// Where `proc` and `sys` are mounted.
    root: PathBuf,
    /// The shares are the bits of an `f64`.
    memory: AtomicU64,
    heap: AtomicU64,
    cpu: AtomicU64,
    /// Microseconds, over the interval that is over.
    last_delay: AtomicU64,
    /// Microseconds, over the interval that is running.
    delay: AtomicU64,
    last_cpu: Mutex<Option<CpuTimes>>,
}

impl std::fmt::Debug for Pressure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pressure").finish_non_exhaustive()
    }
}

impl Pressure {
    /// Measures for the first time. `root` is where `proc` and `sys` are found: `/`, but for tests.
    #[must_use]
    pub fn new(telemetry: Arc<Telemetry>, root: &Path) -> Arc<Self> {
        let pressure = Arc::new(Self {
            telemetry,
            root: root.to_owned(),
            memory: AtomicU64::default(),
            heap: AtomicU64::default(),
            cpu: AtomicU64::default(),
            last_delay: AtomicU64::default(),
            delay: AtomicU64::default(),
            last_cpu: Mutex::default(),
        });
        if memory::share_in_use(root).is_none() {
            tracing::warn!("this system does not tell how much memory is in use; filters see none in use");
        }
        pressure.sample();
        pressure
    }

    /// The newest figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            memory: f64::from_bits(self.memory.load(Relaxed)),
            heap: f64::from_bits(self.heap.load(Relaxed)),
            cpu: f64::from_bits(self.cpu.load(Relaxed)),
            active_exchanges: u32::try_from(self.telemetry.active()).unwrap_or(u32::MAX),
            scheduling_delay_micros: self.last_delay.load(Relaxed).max(self.delay.load(Relaxed)),
        }
    }

    /// A worker's timer fired this late.
    pub fn report_delay(&self, late: Duration) {
        self.delay.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Measures. Reads a few files of the kernel's, some 100 µs: not for a worker.
    pub fn sample(&self) {
        let store = |figure: &AtomicU64, share: f64| figure.store(share.to_bits(), Relaxed);
        store(&self.memory, memory::share_in_use(&self.root).unwrap_or(0.0));
        store(&self.heap, memory::heap_in_use(&self.root).unwrap_or(0.0));
        if let Some(busy) = self.cpu_since_last_sample() {
            store(&self.cpu, busy);
        }
        self.last_delay.store(self.delay.swap(0, Relaxed), Relaxed);
    }

    /// Measures once a second, in a thread of its own, until the guard is dropped.
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn keep_sampling(self: &Arc<Self>) -> io::Result<Sampler> {
        let pressure = Arc::clone(self);
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("pressure".to_owned()).spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                pressure.sample();
            }
        })?;
        Ok(Sampler { stop: Some(stop), thread: Some(thread) })
    }

    fn cpu_since_last_sample(&self) -> Option<f64> {
        let now = CpuTimes::parse(&read(&self.root.join("proc/stat"))?)?;
        let last = self.last_cpu.lock().unwrap_or_else(PoisonError::into_inner).replace(now)?;
        now.busy_since(last)
    }
}

/// The thread that measures; dropping this ends it.
#[must_use = "dropping it ends the measuring"]
pub struct Sampler {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // The thread waits on the channel, and wakes when its other end is gone.
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that measures pressure panicked");
        }
    }
}

/// Clock ticks of all cores together since the machine's start.
#[derive(Clone, Copy)]
struct CpuTimes {
    idle: u64,
    total: u64,
}

impl CpuTimes {
    /// Reads the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. The two
    /// columns for guests that follow are contained in user and nice.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
        let idle = ticks.get(3)?.saturating_add(ticks.get(4).copied().unwrap_or(0));
        Some(Self { idle, total: ticks.iter().copied().fold(0, u64::saturating_add) })
    }

    /// The share of the ticks since `last` that was not idle; none if there was no tick.
    fn busy_since(self, last: Self) -> Option<f64> {
        let total = self.total.checked_sub(last.total).filter(|ticks| *ticks > 0)?;
        // A core's idle time may be corrected downwards.
        let idle = self.idle.saturating_sub(last.idle).min(total);
        Some((total - idle) as f64 / total as f64)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    use super::*;

    /// A directory tree in place of the kernel's, gone when dropped.
    pub(crate) struct FakeSystem(pub(crate) PathBuf);

    impl FakeSystem {
        pub(crate) fn new(files: &[(&str, &str)]) -> Self {
            static NUMBER: AtomicUsize = AtomicUsize::new(0);
            let name = format!("tollgate-pressure-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
            let system = Self(std::env::temp_dir().join(name));
            fs::create_dir(&system.0).expect("a directory of our own");
            for (path, text) in files {
                system.write(path, text);
            }
            system
        }

        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("directory");
            fs::write(path, text).expect("file");
        }
    }

    impl Drop for FakeSystem {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("the tree is ours to remove");
        }
    }

    fn telemetry() -> Arc<Telemetry> {
        Telemetry::new("test").expect("a namespace")
    }

    #[test]
    fn cpu_is_the_busy_share_between_two_samples() {
        let system = FakeSystem::new(&[("proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3 4\n")]);
        let pressure = Pressure::new(telemetry(), &system.0);
        assert_eq!(pressure.snapshot().cpu, 0.0, "one sample makes no interval");
        system.write("proc/stat", "cpu  150 10 110 720 105 1 2 2 50 0\n");
        pressure.sample();
        assert_eq!(pressure.snapshot().cpu, 0.75);
        pressure.sample();
        assert_eq!(pressure.snapshot().cpu, 0.75, "without a tick the last interval stands");
    }

    #[test]
    fn broken_cpu_times_change_nothing() {
        for text in ["", "cpu", "cpu  1 2 3", "cpu0 1 2 3 4 5", "cpu  a b c d e", "intr 1 2 3 4 5"] {
            assert!(CpuTimes::parse(text).is_none(), "{text:?}");
        }
        let large = CpuTimes::parse(&format!("cpu  {0} {0} {0} {0} {0}", u64::MAX)).expect("numbers");
        let small = CpuTimes::parse("cpu  1 1 1 1 1").expect("numbers");
        assert!(small.busy_since(large).is_none(), "time does not run backwards");
        let share = large.busy_since(small).expect("ticks");
        assert!((0.0..=1.0).contains(&share));
    }

    #[test]
    fn the_latest_timer_of_two_intervals_counts() {
        let pressure = Pressure::new(telemetry(), Path::new("/"));
        let delay = || pressure.snapshot().scheduling_delay_micros;
        pressure.report_delay(Duration::from_micros(700));
        pressure.report_delay(Duration::from_micros(300));
        assert_eq!(delay(), 700, "seen at once");
        pressure.sample();
        pressure.report_delay(Duration::from_micros(200));
        assert_eq!(delay(), 700, "kept over the next interval");
        pressure.sample();
        assert_eq!(delay(), 200);
        pressure.sample();
        assert_eq!(delay(), 0);
        pressure.report_delay(Duration::MAX);
        assert_eq!(delay(), u64::MAX);
    }

    #[test]
    fn active_exchanges_are_counted_when_asked_for() {
        let telemetry = telemetry();
        let pressure = Pressure::new(Arc::clone(&telemetry), Path::new("/"));
        let worker = telemetry.worker();
        let guards: Vec<_> = (0..3).map(|_| worker.active()).collect();
        assert_eq!(pressure.snapshot().active_exchanges, 3);
        drop(guards);
        assert_eq!(pressure.snapshot().active_exchanges, 0);
    }

    #[test]
    fn the_sampler_measures_by_itself_and_ends_with_its_guard() {
        let meminfo = |available: u32| format!("MemTotal: 1000 kB\nMemAvailable: {available} kB\n");
        let system = FakeSystem::new(&[("proc/meminfo", &meminfo(900))]);
        let pressure = Pressure::new(telemetry(), &system.0);
        assert_eq!(pressure.snapshot().memory, 0.1);
        let sampler = pressure.keep_sampling().expect("a thread");
        system.write("proc/meminfo", &meminfo(250));
        let deadline = Instant::now() + Duration::from_secs(20);
        while pressure.snapshot().memory != 0.75 {
            assert!(Instant::now() < deadline, "no new measurement");
            thread::park_timeout(Duration::from_millis(20));
        }
        let stopping = Instant::now();
        drop(sampler);
        assert!(stopping.elapsed() < INTERVAL / 2, "the guard does not wait for the next measurement");
        assert_eq!(Arc::strong_count(&pressure), 1, "the thread is gone");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_can_be_measured() {
        let snapshot = Pressure::new(telemetry(), Path::new("/")).snapshot();
        assert!(snapshot.memory > 0.0 && snapshot.memory <= 1.0, "{snapshot:?}");
    }
}
