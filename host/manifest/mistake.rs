//! What is wrong with a manifest: where, why, and what would be right. Mistakes are collected, never thrown at the
//! first one, and printed in the order of the file with the line that they are about.

use std::cell::{Cell, RefCell};
use std::fmt;

/// Mistakes past these are counted, not kept: nobody reads them, and a hostile file could have millions.
const KEPT: usize = 100;
/// Characters of a source line that an excerpt shows.
const EXCERPT: usize = 110;
/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// Words that a suggestion lists, if none is near.
const LISTED: usize = 20;

/// One mistake in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right, where that is known.
    pub help: Option<String>,
}

/// All mistakes of a manifest, in the order of its lines; at least one. Printed one a line, each with an excerpt.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// The name of the manifest, as it was given to `parse`.
    pub source: String,
    /// The first hundred.
    pub mistakes: Vec<Mistake>,
    /// How many more there were.
    pub omitted: usize,
    excerpts: Vec<String>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (mistake, excerpt)) in self.mistakes.iter().zip(&self.excerpts).enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{mistake}{excerpt}", self.source)?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\n{}: and {omitted} more", self.source),
        }
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// A place in the manifest; line and column (in characters) are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Something wrong, without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    message: String,
    help: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), help: None }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Fault {
        Fault { help: Some(help.into()), ..self }
    }

    /// The reverse of `Display`, for faults that have been through serde, whose errors are texts.
    pub(super) fn from_display(text: &str) -> Fault {
        match text.split_once("; ") {
            Some((message, help)) => Fault::new(message).help(help),
            None => Fault::new(text),
        }
    }

    /// Says which environment variables the value came from: it cannot be seen in the manifest.
    pub(super) fn with_variables(self, variables: &[String]) -> Fault {
        if variables.is_empty() {
            return self;
        }
        let names: Vec<_> = variables.iter().map(|name| format!("`{name}`")).collect();
        let noun = if names.len() == 1 { "variable" } else { "variables" };
        Fault {
            message: format!("{} (from the environment {noun} {})", self.message, names.join(", ")),
            ..self
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Findings {
    mistakes: RefCell<Vec<Mistake>>,
    omitted: Cell<usize>,
}

impl Findings {
    pub(super) fn add(&self, at: Position, fault: Fault) {
        let mistake = Mistake { line: at.line, column: at.column, message: fault.message, help: fault.help };
        let mut mistakes = self.mistakes.borrow_mut();
        // An aliased node is read wherever it is used, and is as wrong there as at its anchor.
        if mistakes.contains(&mistake) {
            return;
        }
        if mistakes.len() < KEPT {
            mistakes.push(mistake);
        } else {
            self.omitted.set(self.omitted.get() + 1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// Whether what is added now is only counted: then a search for what was meant is lost work, and a hostile file
    /// could ask for a lot of it.
    pub(super) fn is_full(&self) -> bool {
        self.mistakes.borrow().len() >= KEPT
    }

    pub(super) fn into_mistakes(self, source: &str, text: &str) -> Mistakes {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        // The line breaks of YAML.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let lines: Vec<&str> = text.split('\n').collect();
        let excerpts = mistakes.iter().map(|mistake| excerpt(&lines, mistake)).collect();
        Mistakes { source: source.to_owned(), mistakes, omitted: self.omitted.get(), excerpts }
    }
}

/// The mistake's line with a caret below its column, each on a line of its own; nothing for an empty line.
fn excerpt(lines: &[&str], mistake: &Mistake) -> String {
    let line = lines.get(mistake.line - 1).copied().unwrap_or_default();
    if line.trim().is_empty() {
        return String::new();
    }
    let skipped = (mistake.column - 1).saturating_sub(EXCERPT / 2);
    let shown: String = line.chars().skip(skipped).take(EXCERPT).map(printable).collect();
    let number = mistake.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(mistake.column - 1 - skipped);
    format!("\n  {number} | {}\n  {margin} | {indent}^", shown.trim_end())
}

/// A value as messages show it: in backticks, shortened, and without what would confuse a terminal.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).map(printable).collect();
    let rest = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("`{shown}{rest}`")
}

/// Help for a word that is none of those expected: the one that was probably meant, or all of them.
pub(super) fn suggestion(word: &str, expected: &[&str]) -> String {
    match nearest(word, expected) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => match expected {
            [] => "there is none".to_owned(),
            [only] => format!("it can only be `{only}`"),
            many if many.len() > LISTED => format!("there are {} others", many.len()),
            [first @ .., last] => format!("it can be `{}` or `{last}`", first.join("`, `")),
        },
    }
}

/// The word that differs least, if a slip of the hand explains the difference.
pub(super) fn nearest<'a>(word: &str, expected: &[&'a str]) -> Option<&'a str> {
    // Nothing expected is longer than a name can be; the distance takes the product of the lengths.
    let word: String = word.chars().take(SHOWN).collect::<String>().to_lowercase();
    expected
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Control characters, and those that change the direction of the text around them, show as U+FFFD.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => '\u{FFFD}',
        c if c.is_control() => '\u{FFFD}',
        c => c,
    }
}
