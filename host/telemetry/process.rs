//! The standard `process_*` figures, read from `/proc`. The `prometheus` crate's own collector reports CPU
//! time in whole seconds, too coarse for a proxy that spends microseconds a request, and brings a second
//! `rustix`. What a system does not offer is left out.

use std::fs;
use std::path::Path;

use super::family::Family;

const RESIDENT: &str = "process_resident_memory_bytes";
const VIRTUAL: &str = "process_virtual_memory_bytes";
const CPU: &str = "process_cpu_seconds_total";
const OPEN_FDS: &str = "process_open_fds";
const MAX_FDS: &str = "process_max_fds";
const START: &str = "process_start_time_seconds";
const THREADS: &str = "process_threads";

/// Every name that this module may expose.
pub(super) const NAMES: [&str; 7] = [RESIDENT, VIRTUAL, CPU, OPEN_FDS, MAX_FDS, START, THREADS];

/// The figures of this process. `root` is where `proc` is mounted: `/`, but for tests.
pub(super) fn families(root: &Path) -> Vec<Family> {
    let proc = root.join("proc");
    let mut families = Vec::with_capacity(NAMES.len());
    if let Some(stat) = read(&proc.join("self/stat")).as_deref().and_then(Stat::parse) {
        let start = read(&proc.join("stat")).and_then(|text| field(&text, "btime")).map(|boot| boot as f64);
        families.extend([
            gauge(RESIDENT, "Resident memory size in bytes.", stat.resident_bytes),
            gauge(VIRTUAL, "Virtual memory size in bytes.", stat.virtual_bytes),
            gauge(THREADS, "Number of OS threads in the process.", stat.threads),
            with(Family::counter(CPU, "Total user and system CPU time spent in seconds."), stat.cpu_seconds),
        ]);
        families.extend(start.map(|boot| {
            gauge(
                START,
                "Start time of the process since unix epoch in seconds.",
                boot + stat.started_seconds,
            )
        }));
    }
    let open = open_files(&proc.join("self/fd"));
    families.extend(open.map(|count| gauge(OPEN_FDS, "Number of open file descriptors.", count as f64)));
    let max = read(&proc.join("self/limits")).and_then(|text| soft_limit(&text, "Max open files"));
    families
        .extend(max.map(|limit| gauge(MAX_FDS, "Maximum number of open file descriptors.", limit as f64)));
    families
}

/// The number that follows `key`, a colon if there is one, and white space, at the beginning of a line; in
/// the file's own unit.
pub(crate) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.strip_prefix(key))
        .find(|rest| rest.starts_with([':', ' ', '\t']))
        .and_then(|rest| rest.trim_start_matches(':').split_whitespace().next())
        .and_then(|number| number.parse().ok())
}

/// The soft limit called `name` in the text of `/proc/self/limits`; none where it is unlimited.
pub(crate) fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    field(limits, name)
}

/// The text of a file of the system's; none if there is no such file, as on another kind of system.
pub(crate) fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn gauge(name: &str, help: &str, value: f64) -> Family {
    with(Family::gauge(name, help), value)
}

fn with(mut family: Family, value: f64) -> Family {
    family.sample(&[], value);
    family
}

fn open_files(directory: &Path) -> Option<u64> {
    // Since Linux 6.2 the directory's size is the number of its entries; listing thousands takes
    // milliseconds.
    let size = fs::metadata(directory).ok()?.len();
    if size > 0 { Some(size) } else { Some(fs::read_dir(directory).ok()?.count() as u64) }
}

/// What `/proc/self/stat` says; see proc_pid_stat(5).
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    /// Since the machine's start.
    started_seconds: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field, the program's name in brackets, may itself hold spaces and brackets.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Numbered as in the manual page, from 1; `rest` begins with the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok().map(|value| value as f64);
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            started_seconds: field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * rustix::param::page_size() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "VmRSSX:\t1 kB\nVmRSS:\t  20 kB\nbtime 1795478469\nMax open files  1024  4096  files\n";
        assert_eq!(field(text, "VmRSS"), Some(20));
        assert_eq!(field(text, "btime"), Some(1_795_478_469));
        assert_eq!(field(text, "Vm"), None);
        assert_eq!(soft_limit(text, "Max open files"), Some(1024));
        assert_eq!(soft_limit("Max data size  unlimited  unlimited bytes\n", "Max data size"), None);
        assert_eq!(field("a: 99999999999999999999999\nb:\n", "a"), None);
        assert_eq!(field("a: 99999999999999999999999\nb:\n", "b"), None);
    }

    #[test]
    fn a_program_name_cannot_shift_the_fields() {
        let tail = "S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 7 0 300 4096 2 0";
        let stat = Stat::parse(&format!("42 (a) b) 9 ({tail}) {tail}")).expect("a whole line");
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!((stat.cpu_seconds, stat.threads), (200.0 / ticks, 7.0));
        assert_eq!((stat.started_seconds, stat.virtual_bytes), (300.0 / ticks, 4096.0));
        assert_eq!(stat.resident_bytes, 2.0 * rustix::param::page_size() as f64);
        for cut in
            ["", "42", "42 (a)", "42 (a) S 1 1", "42 (a) S 1 1 1 0 -1 0 0 0 0 0 x 50 0 0 20 0 7 0 3 4 2"]
        {
            assert!(Stat::parse(cut).is_none(), "{cut:?}");
        }
    }

    #[test]
    fn a_system_without_proc_has_no_figures() {
        assert!(families(Path::new("/nowhere")).is_empty());
    }
}
