//! Where and when a run was made, and with which versions.

use super::install::version;
use super::setup::Setup;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// The machine and the programs on it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The day, in UTC.
    date: String,
    processor: String,
    /// How many processors it has.
    processors: usize,
    kernel: String,
    /// A program's name, and what it says of its version.
    versions: BTreeMap<&'static str, String>,
}

impl Machine {
    /// This machine, now.
    pub(crate) fn of(setup: &Setup) -> Self {
        let mut programs = vec![
            ("nginx", &*setup.nginx, "-v"),
            ("wrk", Path::new("wrk"), "-v"),
            ("Tollgate", &*setup.tollgate, "--version"),
        ];
        if let Some(program) = &setup.haproxy {
            programs.push(("HAProxy", program, "-v"));
        }
        if let Some(envoy) = &setup.envoy {
            programs.push(("Envoy", &envoy.program, "--version"));
        }
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            date: version_of_day(),
            processor: processor(&cpuinfo),
            processors: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: kernel.trim().to_owned(),
            versions: programs
                .into_iter()
                .map(|(name, program, argument)| (name, number(&version(program, argument))))
                .collect(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, processor, processors, kernel, versions } = self;
        write!(f, "{date}, {processor}, {processors} processors, Linux {kernel}; ")?;
        let versions: Vec<_> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        f.write_str(&versions.join(", "))
    }
}

fn version_of_day() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn processor(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("unknown processor", |name| name.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// The first number with a dot behind the word "version", if there is one, with what hangs on it; the text itself
/// without a number. A path before that word may have numbers, too.
fn number(text: &str) -> String {
    let text = text.split_once("version").map_or(text, |(_, text)| text);
    let numbers = text.split([' ', '/']).map(|word| word.trim_matches(|c: char| !c.is_ascii_digit()));
    let mut numbers = numbers.filter(|word| word.contains('.'));
    numbers.next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (printed, expected) in [
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/", "2.6.12-1+deb12u3"),
            ("/lib/python3.11/envoy  version: 9e5580933739775e8bce/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
            ("tollgate 0.1.0", "0.1.0"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(number(printed), expected);
        }
    }

    #[test]
    fn the_processors_name_is_read() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: AMD EPYC\n"), "AMD EPYC");
        assert_eq!(processor(""), "unknown processor");
    }
}
