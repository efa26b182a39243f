//! What happens, told on standard error: in colour on a terminal, plain in a log.

use std::io::{IsTerminal as _, stderr};
use std::time::Instant;

/// The teller.
#[derive(Debug)]
pub(crate) struct Progress {
    colour: bool,
    begin: Instant,
}

impl Progress {
    /// Colours only for who can see them and has not asked for none (`NO_COLOR`).
    pub(crate) fn new() -> Self {
        let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, begin: Instant::now() }
    }

    /// A new part begins.
    pub(crate) fn part(&self, title: &str) {
        eprintln!("{} {}", self.painted("2", &self.clock()), self.painted("1;36", title));
    }

    /// One figure.
    pub(crate) fn line(&self, step: &str, label: &str, figures: &str) {
        eprintln!("{} {step}  {label:<48} {}", self.painted("2", &self.clock()), self.painted("32", figures));
    }

    /// Something to know.
    pub(crate) fn note(&self, text: &str) {
        eprintln!("{} {}", self.painted("2", &self.clock()), self.painted("33", text));
    }

    /// Something that could not be measured.
    pub(crate) fn left_out(&self, what: &str, problem: &str) {
        self.note(&format!("{what} is left out: {problem}"));
    }

    /// Minutes and seconds since the beginning.
    fn clock(&self) -> String {
        let seconds = self.begin.elapsed().as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }

    fn painted(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
