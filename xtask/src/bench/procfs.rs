//! What the kernel says of a process: processor time, memory, threads. See proc(5).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Processor time that a process has used since it began, over all its living threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    /// From the scheduler, to the nanosecond.
    pub(crate) total: Duration,
    /// In user mode, in clock ticks: coarse, good for a share.
    pub(crate) user_ticks: u64,
    /// In the kernel, in clock ticks.
    pub(crate) system_ticks: u64,
}

impl Cpu {
    /// What has been used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }

    /// The part of the time that was spent in user mode, from 0 to 1.
    pub(crate) fn user_share(&self) -> f64 {
        self.user_ticks as f64 / (self.user_ticks + self.system_ticks).max(1) as f64
    }
}

/// The processor time of a process. Contenders keep their threads, so that none takes its time along.
pub(crate) fn cpu(pid: u32) -> Result<Cpu, String> {
    let total = thread_times(pid)?.into_values().sum();
    let stat = read(pid, "stat")?;
    let (user_ticks, system_ticks) =
        ticks(&stat).ok_or_else(|| format!("/proc/{pid}/stat has no times: {stat}"))?;
    Ok(Cpu { total, user_ticks, system_ticks })
}

/// The processor time of each living thread of a process.
pub(crate) fn thread_times(pid: u32) -> Result<BTreeMap<u32, Duration>, String> {
    let path = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&path).map_err(|error| format!("cannot list {path}: {error}"))?;
    // A thread may end between the two readings.
    let times = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let time = run_time(&fs::read_to_string(entry.path().join("schedstat")).ok()?)?;
        Some((entry.file_name().to_str()?.parse().ok()?, time))
    });
    Ok(times.collect())
}

/// The time that a processor has been busy since it began, whoever kept it so; in clock ticks.
pub(crate) fn core_busy(core: usize) -> Result<u64, String> {
    let stat =
        fs::read_to_string("/proc/stat").map_err(|error| format!("cannot read /proc/stat: {error}"))?;
    busy_in(&stat, core).ok_or_else(|| format!("/proc/stat does not tell of processor {core}"))
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64, String> {
    let status = read(pid, "status")?;
    resident_in(&status).ok_or_else(|| format!("/proc/{pid}/status does not tell the resident memory"))
}

/// The thread of a process that has used most time: the one that serves, where there is one worker.
pub(crate) fn busiest_thread(pid: u32) -> Result<u32, String> {
    let busiest = thread_times(pid)?.into_iter().max_by_key(|(_, time)| *time);
    busiest.map(|(thread, _)| thread).ok_or_else(|| format!("process {pid} has no threads"))
}

fn read(pid: u32, file: &str) -> Result<String, String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// The first number of a `schedstat`: nanoseconds on a processor.
fn run_time(schedstat: &str) -> Option<Duration> {
    schedstat.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// `utime` and `stime`, fields 14 and 15 of a `stat`. The second, the name in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// All times of a processor's line but `idle` and `iowait`, the fourth and fifth, and those of guests, the last two,
/// which are counted twice.
fn busy_in(stat: &str, core: usize) -> Option<u64> {
    let prefix = format!("cpu{core} ");
    let times = stat.lines().find_map(|line| line.strip_prefix(&prefix))?;
    let times = times.split_ascii_whitespace().take(8).enumerate();
    times.filter(|(place, _)| ![3, 4].contains(place)).map(|(_, time)| time.parse::<u64>().ok()).sum()
}

/// `VmRSS` of a `status`, in bytes.
fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|kibibytes: u64| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_time_is_the_first_number_in_nanoseconds() {
        assert_eq!(run_time("51200855 27678598 130\n"), Some(Duration::from_nanos(51_200_855)));
        assert_eq!(run_time("\n"), None);
    }

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 130 0 0 20 0 4 0 9 1 2";
        assert_eq!(ticks(stat), Some((250, 130)));
        assert_eq!(ticks("42 (short) S 1"), None);
    }

    #[test]
    fn a_processor_is_busy_when_it_is_not_idle() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 4 1000 1000 8 16 32 500 500\n";
        assert_eq!(busy_in(stat, 0), Some(63));
        assert_eq!(busy_in(stat, 1), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident_in("Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(resident_in("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(cpu(pid).unwrap().total > Duration::ZERO);
        assert!(resident(pid).unwrap() > 0);
        assert!(thread_times(pid).unwrap().contains_key(&busiest_thread(pid).unwrap()));
    }

    #[test]
    fn the_difference_of_two_readings_is_what_was_used() {
        let earlier = Cpu { total: Duration::from_millis(5), user_ticks: 1, system_ticks: 1 };
        let later = Cpu { total: Duration::from_millis(45), user_ticks: 4, system_ticks: 2 };
        let used = later.since(&earlier);
        assert_eq!(used.total, Duration::from_millis(40));
        assert!((used.user_share() - 0.75).abs() < 1e-9);
    }
}
