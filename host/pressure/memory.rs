//! Which share of the memory that this process may have is in use. Control groups nest, and the tightest one
//! kills: of all the groups above the process, the fullest counts. Both versions of control groups are read,
//! as seen from inside and from outside of a container.

use std::path::{Component, Path, PathBuf};

use crate::telemetry::process::{field, read, soft_limit};

/// Share of the memory limit in use, 0 to 1: a control group's limit, else the machine's memory. None where
/// no file tells.
pub(super) fn share_in_use(root: &Path) -> Option<f64> {
    let machine = Machine::read(root);
    let groups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let total = machine.as_ref().map_or(u64::MAX, |machine| machine.total);
    V2.share(root, &groups, total)
        .or_else(|| V1.share(root, &groups, total))
        .or_else(|| machine.map(|machine| share(machine.used, machine.total)))
}

/// Share of the process's limit of data in use, 0 to 1. The kernel counts against `RLIMIT_DATA` what it shows
/// as `VmData`: every private writable mapping, hence all that an allocator hands out. None without a limit.
pub(super) fn heap_in_use(root: &Path) -> Option<f64> {
    let limit = soft_limit(&read(&root.join("proc/self/limits"))?, "Max data size")?;
    let used = field(&read(&root.join("proc/self/status"))?, "VmData")?.saturating_mul(1024);
    Some(share(used, limit))
}

/// Bytes of the whole machine.
struct Machine {
    total: u64,
    used: u64,
}

impl Machine {
    fn read(root: &Path) -> Option<Self> {
        let meminfo = read(&root.join("proc/meminfo"))?;
        let bytes = |key| field(&meminfo, key).map(|kibibytes| kibibytes.saturating_mul(1024));
        let total = bytes("MemTotal")?;
        Some(Self { total, used: total.saturating_sub(bytes("MemAvailable")?) })
    }
}

/// How one version of control groups names its files.
struct Layout {
    mount: &'static str,
    /// The controller in `/proc/self/cgroup`; version 2 has one line for all of them, with none named.
    controller: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// The line of `memory.stat` with the file pages that were not used lately: the kernel drops them before
    /// it kills.
    reclaimable: &'static str,
}

const V2: Layout = Layout {
    mount: "sys/fs/cgroup",
    controller: "",
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: "inactive_file",
};

const V1: Layout = Layout {
    mount: "sys/fs/cgroup/memory",
    controller: "memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

impl Layout {
    /// The fullest of the process's group and those above it. Inside a container the path may be the one
    /// outside, with no such directory here; the container's own group is then the mount itself, where the
    /// walk ends.
    fn share(&self, root: &Path, groups: &str, machine: u64) -> Option<f64> {
        let mount = root.join(self.mount);
        let path = self.path(groups)?;
        path.ancestors()
            .filter_map(|group| self.group_share(&mount.join(group), machine))
            .max_by(f64::total_cmp)
    }

    /// The process's group, relative to the mount. What leads out of the mount is left out.
    fn path(&self, groups: &str) -> Option<PathBuf> {
        let path = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            controllers.split(',').any(|controller| controller == self.controller).then_some(path)
        })?;
        Some(Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect())
    }

    /// None if the group is not there or sets no limit below `machine`, the machine's memory in bytes.
    fn group_share(&self, group: &Path, machine: u64) -> Option<f64> {
        let number = |file| read(&group.join(file))?.trim().parse::<u64>().ok();
        let limit = number(self.limit).filter(|limit| *limit < machine)?;
        let stat = read(&group.join("memory.stat")).unwrap_or_default();
        let reclaimable = field(&stat, self.reclaimable).unwrap_or(0);
        Some(share(number(self.usage)?.saturating_sub(reclaimable), limit))
    }
}

fn share(used: u64, limit: u64) -> f64 {
    if used >= limit { 1.0 } else { used as f64 / limit as f64 }
}

#[cfg(test)]
mod tests {
    use super::super::tests::FakeSystem;
    use super::*;

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:  1000000 kB\nMemFree:  1 kB\nMemAvailable:  400000 kB\n");

    #[track_caller]
    fn assert_share(files: &[(&str, &str)], expected: Option<f64>) {
        assert_eq!(share_in_use(&FakeSystem::new(files).0), expected);
    }

    #[test]
    fn without_a_group_it_is_the_machines_memory() {
        assert_share(&[MEMINFO], Some(0.6));
        assert_share(&[MEMINFO, ("proc/self/cgroup", "0::/\n")], Some(0.6));
    }

    #[test]
    fn a_limit_of_version_2_counts_without_inactive_files() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/system.slice/tollgate.service\n"),
            ("sys/fs/cgroup/system.slice/tollgate.service/memory.max", "1000\n"),
            ("sys/fs/cgroup/system.slice/tollgate.service/memory.current", "900\n"),
            ("sys/fs/cgroup/system.slice/tollgate.service/memory.stat", "anon 1\ninactive_file 400\n"),
        ];
        assert_share(&files, Some(0.5));
    }

    #[test]
    fn of_nested_groups_the_fullest_counts() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/memory.max", "1000\n"),
            ("sys/fs/cgroup/outer/memory.current", "950\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "500\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "100\n"),
        ];
        assert_share(&files, Some(0.95));
        let unlimited =
            [files[0], files[1], ("sys/fs/cgroup/outer/inner/memory.max", "max\n"), files[2], files[3]];
        assert_share(&unlimited, Some(0.95));
    }

    #[test]
    fn inside_a_container_the_mount_is_the_group() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/../../docker/0123abcd\n"),
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "250\n"),
            ("outside/memory.max", "1\n"),
        ];
        assert_share(&files, Some(0.25));
    }

    #[test]
    fn a_limit_of_version_1_counts_without_inactive_files() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/pod/a\n0::/\n"),
            ("sys/fs/cgroup/memory/pod/a/memory.limit_in_bytes", "2000\n"),
            ("sys/fs/cgroup/memory/pod/a/memory.usage_in_bytes", "1800\n"),
            ("sys/fs/cgroup/memory/pod/a/memory.stat", "inactive_file 7\ntotal_inactive_file 300\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5\n"),
        ];
        assert_share(&files, Some(0.75));
    }

    #[test]
    fn a_limit_above_the_machines_memory_is_none() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/memory.max", "1024000001\n"),
            ("sys/fs/cgroup/a/memory.current", "5\n"),
        ];
        assert_share(&files, Some(0.6));
    }

    #[test]
    fn broken_files_give_no_share_and_no_panic() {
        assert_share(&[], None);
        assert_share(&[("proc/meminfo", "MemTotal: lots\n")], None);
        assert_share(&[("proc/meminfo", "MemTotal: 0 kB\nMemAvailable: 0 kB\n")], Some(1.0));
        let garbage = ["", ":", "::", "0:", "0::", "a:memory:\0", "0::/\u{1F980}/..\n\n:::"];
        for groups in garbage {
            assert_share(&[MEMINFO, ("proc/self/cgroup", groups)], Some(0.6));
        }
        let inconsistent = [
            MEMINFO,
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/memory.max", "0\n"),
            ("sys/fs/cgroup/a/memory.current", "10\n"),
            ("sys/fs/cgroup/a/memory.stat", "inactive_file 99999\n"),
        ];
        assert_share(&inconsistent, Some(1.0));
    }

    #[test]
    fn the_heap_is_measured_only_against_a_limit() {
        let status = ("proc/self/status", "VmPeak:\t 9 kB\nVmData:\t     512 kB\n");
        let limits = |limit: &str| {
            format!("Max cpu time  unlimited  unlimited  seconds\nMax data size  {limit}  unlimited  bytes\n")
        };
        let heap =
            |limit: &str| heap_in_use(&FakeSystem::new(&[status, ("proc/self/limits", &limits(limit))]).0);
        assert_eq!(heap("1048576"), Some(0.5));
        assert_eq!(heap("1000"), Some(1.0));
        assert_eq!(heap("unlimited"), None);
    }
}
