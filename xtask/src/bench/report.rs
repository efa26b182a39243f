//! The report: what was measured where, as Markdown for people and JSON for programs.

use super::machine::Machine;
use super::rounds::Measured;
use super::stats::Spread;
use super::targets::Target;
use serde::Serialize;
use std::fmt::Write as _;

/// All that a run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// How it was measured, in a sentence.
    pub(crate) method: String,
    pub(crate) contenders: Vec<Measured>,
    pub(crate) targets: Vec<Target>,
    pub(crate) sections: Vec<Section>,
}

/// A further measurement, as a table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// What the figures are.
    pub(crate) note: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Report {
    /// The report for people.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.machine, self.method);
        if !self.contenders.is_empty() {
            let columns = CONTENDER_COLUMNS.map(str::to_owned);
            let rows: Vec<_> = self.contenders.iter().map(contender_row).collect();
            let _ = write!(text, "\n{}", table(&columns, &rows));
            text.push_str(&self.disturbance());
        }
        if self.targets.iter().any(|target| target.measured.is_some()) {
            let columns = ["target", "measured", "limit", ""].map(str::to_owned);
            let rows: Vec<_> = self.targets.iter().filter_map(Target::row).collect();
            let _ = write!(text, "\n### Targets\n\n{}", table(&columns, &rows));
        }
        for section in &self.sections {
            let _ = write!(text, "\n### {}\n\n{}\n\n", section.title, section.note);
            text.push_str(&table(&section.columns, &section.rows));
        }
        text
    }

    /// A warning, when the machine was not quiet.
    fn disturbance(&self) -> String {
        let most = self.contenders.iter().map(|measured| measured.others).fold(0.0, f64::max);
        if most <= QUIET {
            return String::new();
        }
        format!(
            "\n**The machine was not quiet:** other programs took up to {:.0} % of the proxy's processor. Run it again.\n",
            most * 100.0
        )
    }
}

/// The share of the proxy's processor that others may take before the figures are in doubt.
const QUIET: f64 = 0.05;

const CONTENDER_COLUMNS: [&str; 11] = [
    "contender",
    "CPU µs/request (min–max)",
    "user + system",
    "requests/s (min–max)",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "calls + waits",
    "resident MiB",
    "core busy",
    "others on it",
];

fn contender_row(measured: &Measured) -> Vec<String> {
    vec![
        measured.label.clone(),
        format!("**{:.1}** ({:.1}–{:.1})", measured.cpu.median, measured.cpu.min, measured.cpu.max),
        format!("{:.1} + {:.1}", measured.user, measured.cpu.median - measured.user),
        whole(&measured.rate),
        format!("{:.0}", measured.p50.median),
        format!("{:.0}", measured.p99.median),
        format!("{:.0}", measured.p999.median),
        measured
            .calls
            .map_or_else(|| "–".to_owned(), |calls| format!("{:.1} + {:.1}", calls.working, calls.waiting)),
        format!("{:.1}", measured.resident as f64 / f64::from(1 << 20)),
        format!("{:.0} %", measured.busy * 100.0),
        format!("{:.0} %", measured.others * 100.0),
    ]
}

/// A spread of large numbers.
fn whole(spread: &Spread) -> String {
    format!("{:.0} ({:.0}–{:.0})", spread.median, spread.min, spread.max)
}

/// A Markdown table; all columns but the first are aligned to the right.
fn table(columns: &[String], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    let mut line = |cells: &[String]| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    line(columns);
    let rule: Vec<_> =
        (0..columns.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
    line(&rule);
    rows.iter().for_each(|row| line(row));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::syscalls::Calls;

    fn measured() -> Measured {
        let spread = |median| Spread { median, min: median - 1.0, max: median + 1.0 };
        Measured {
            key: "nginx".to_owned(),
            label: "nginx".to_owned(),
            rate: spread(25_000.0),
            p50: spread(400.0),
            p99: spread(900.0),
            p999: spread(1500.0),
            cpu: spread(32.0),
            user: 8.0,
            busy: 0.97,
            others: 0.01,
            resident: 6 << 20,
            calls: Some(Calls { working: 4.04, waiting: 0.12 }),
            errors: 0,
            samples: Vec::new(),
        }
    }

    #[test]
    fn a_contender_is_a_row_with_median_and_spread() {
        let row = contender_row(&measured());
        assert_eq!(row.len(), CONTENDER_COLUMNS.len());
        assert_eq!(row[1], "**32.0** (31.0–33.0)");
        assert_eq!(row[2], "8.0 + 24.0");
        assert_eq!(row[3], "25000 (24999–25001)");
        assert_eq!(&row[7..], ["4.0 + 0.1", "6.0", "97 %", "1 %"]);
    }

    #[test]
    fn tables_are_markdown() {
        let cells = |row: [&str; 2]| row.map(str::to_owned).to_vec();
        let text = table(&cells(["what", "µs"]), &[cells(["nginx", "32"])]);
        assert_eq!(text, "| what | µs |\n| --- | ---: |\n| nginx | 32 |\n");
    }
}
