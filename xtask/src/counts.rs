//! Reads how many tests passed, failed and were ignored from what the test programs print.

use std::fmt;
use std::ops::AddAssign;

/// How many tests ended which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Counts {
    /// The counts in a line like `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`, the last that a
    /// test program prints; nothing for any other line.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (_, parts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |label: &str| {
            parts.split("; ").find_map(|part| part.strip_suffix(label)?.strip_suffix(' ')?.parse().ok())
        };
        Some(Self { passed: number("passed")?, failed: number("failed")?, ignored: number("ignored")? })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 { write!(f, ", {} skipped", self.ignored) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.42s";

    #[test]
    fn a_result_line_gives_its_counts() {
        assert_eq!(Counts::from_line(LINE), Some(Counts { passed: 12, failed: 3, ignored: 1 }));
    }

    #[test]
    fn other_lines_give_nothing() {
        for line in
            ["", "test a ... ok", "test result: ok", "test result: ok. many passed; 0 failed; 0 ignored"]
        {
            assert_eq!(Counts::from_line(line), None, "{line:?}");
        }
        assert_eq!(Counts::from_line(&format!("  {LINE}")), None);
    }

    #[test]
    fn totals_name_what_was_skipped_only_when_something_was() {
        let mut total = Counts { passed: 1, failed: 0, ignored: 0 };
        assert_eq!(total.to_string(), "1 passed, 0 failed");
        total += Counts { passed: 12, failed: 3, ignored: 1 };
        assert_eq!(total.to_string(), "13 passed, 3 failed, 1 skipped");
    }
}
