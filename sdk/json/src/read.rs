//! The reader: one pass over the bytes, which notes where values begin and end.

use std::borrow::Cow;
use std::fmt;

use crate::value::{Kind, Members, Value};
use crate::{Entry, text};

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: u32 = 127;

/// Up to so many names are compared each with each, which is faster than sorting them.
const FEW_NAMES: usize = 8;

/// Up to so many characters, a number without an exponent is no more than a double holds.
const SURELY_FINITE: usize = 300;

/// Why a text is no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// It is no JSON in UTF-8, or has a number that no double can hold.
    NotJson,
    /// An object has a name twice, however it is written.
    NameTwice,
    /// It is nested more than [`MAX_DEPTH`] levels deep.
    TooDeep,
    /// It has more values than allowed, or more than 4 GiB.
    TooLarge,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJson => "it is not valid JSON",
            Self::NameTwice => "an object has a name twice",
            Self::TooDeep => "it is nested too deeply",
            Self::TooLarge => "it has too many values",
        })
    }
}

impl std::error::Error for ReadError {}

/// What was read.
pub(crate) struct Outcome {
    pub(crate) entries: Vec<Entry>,
    pub(crate) values: usize,
    pub(crate) objects: usize,
}

pub(crate) fn read(text: &[u8], max_values: usize) -> Result<Outcome, ReadError> {
    if u32::try_from(text.len()).is_err() {
        return Err(ReadError::TooLarge);
    }
    std::str::from_utf8(text).map_err(|_| ReadError::NotJson)?;
    // Most texts have a value in 16 bytes or more, and hardly any allocator likes a list that grows from nothing.
    let entries = Vec::with_capacity((text.len() / 16).clamp(4, 4096));
    let outcome = Outcome { entries, values: 0, objects: 0 };
    let mut reader = Reader { text, at: 0, outcome, max_values };
    reader.value(MAX_DEPTH)?;
    match reader.peek() {
        None => Ok(reader.outcome),
        Some(_) => Err(ReadError::NotJson),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    outcome: Outcome,
    max_values: usize,
}

impl Reader<'_> {
    /// Reads a value, in which arrays and objects may be nested `levels` deep.
    fn value(&mut self, levels: u32) -> Result<(), ReadError> {
        self.outcome.values += 1;
        if self.outcome.values > self.max_values {
            return Err(ReadError::TooLarge);
        }
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.nested(Kind::Object, b'}', levels),
            Some(b'[') => self.nested(Kind::Array, b']', levels),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Kind::Boolean),
            Some(b'f') => self.word(b"false", Kind::Boolean),
            Some(b'n') => self.word(b"null", Kind::Null),
            _ => Err(ReadError::NotJson),
        }
    }

    /// The next byte that is no white space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    fn nested(&mut self, kind: Kind, close: u8, levels: u32) -> Result<(), ReadError> {
        let levels = levels.checked_sub(1).ok_or(ReadError::TooDeep)?;
        let entry = self.outcome.entries.len();
        self.push(kind, false, 0, 0);
        self.at += 1;
        let count = self.elements(kind, close, levels)?;
        let end = self.outcome.entries.len() as u32;
        if let Some(entry) = self.outcome.entries.get_mut(entry) {
            (entry.first, entry.second) = (count, end);
        }
        if kind == Kind::Object {
            self.outcome.objects += 1;
            self.check_names(entry, count)?;
        }
        Ok(())
    }

    /// Reads items or members up to the closing bracket; how many.
    fn elements(&mut self, kind: Kind, close: u8, levels: u32) -> Result<u32, ReadError> {
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(0);
        }
        let mut count = 0;
        loop {
            if kind == Kind::Object {
                self.name()?;
            }
            self.value(levels)?;
            count += 1;
            let byte = self.peek();
            self.at += 1;
            match byte {
                Some(b',') => {}
                Some(byte) if byte == close => return Ok(count),
                _ => return Err(ReadError::NotJson),
            }
        }
    }

    fn name(&mut self) -> Result<(), ReadError> {
        if self.peek() != Some(b'"') {
            return Err(ReadError::NotJson);
        }
        self.string()?;
        if self.peek() != Some(b':') {
            return Err(ReadError::NotJson);
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), ReadError> {
        let begin = self.at + 1;
        let (end, is_escaped) = text::end(self.text, begin).ok_or(ReadError::NotJson)?;
        self.at = end + 1;
        self.push(Kind::Text, is_escaped, begin, end);
        Ok(())
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), ReadError> {
        let (begin, end) = (self.at, self.at + word.len());
        if self.text.get(begin..end) != Some(word) {
            return Err(ReadError::NotJson);
        }
        self.at = end;
        self.push(kind, false, begin, end);
        Ok(())
    }

    fn number(&mut self) -> Result<(), ReadError> {
        let begin = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        // A zero is followed by no further digit.
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.byte(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        self.push(Kind::Number, false, begin, self.at);
        match has_exponent || self.at - begin > SURELY_FINITE {
            true => self.check_finite(),
            false => Ok(()),
        }
    }

    /// Whether a double holds the last number.
    fn check_finite(&self) -> Result<(), ReadError> {
        let last = self.outcome.entries.len() - 1;
        let number = Value::at(self.text, &self.outcome.entries, last).and_then(Value::as_f64);
        if number.is_some_and(f64::is_finite) { Ok(()) } else { Err(ReadError::NotJson) }
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn digits(&mut self) -> Result<(), ReadError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits > 0 { Ok(()) } else { Err(ReadError::NotJson) }
    }

    /// Notes a place; the text is no longer than a `u32` counts.
    fn push(&mut self, kind: Kind, is_escaped: bool, first: usize, second: usize) {
        self.outcome.entries.push(Entry { kind, is_escaped, first: first as u32, second: second as u32 });
    }

    fn check_names(&self, object: usize, count: u32) -> Result<(), ReadError> {
        let Some(object) = Value::at(self.text, &self.outcome.entries, object) else { return Ok(()) };
        let is_twice = match count as usize <= FEW_NAMES {
            true => few_have_equals(object.members()),
            false => many_have_equals(object.members()),
        };
        if is_twice { Err(ReadError::NameTwice) } else { Ok(()) }
    }
}

/// Whether two of a few names are equal: mostly told by their beginnings and lengths.
fn few_have_equals(members: Members<'_>) -> bool {
    let mut met = [(0, 0); FEW_NAMES];
    for (index, (name, _)) in members.clone().enumerate() {
        let bytes = name.decoded();
        let key = (bytes.len(), text::prefix(&bytes));
        let is_met = met.get(..index).is_some_and(|met| met.contains(&key));
        if is_met && members.clone().take(index).any(|(other, _)| other.has_text_of(name)) {
            return true;
        }
        if let Some(place) = met.get_mut(index) {
            *place = key;
        }
    }
    false
}

/// Whether two of many names are equal.
fn many_have_equals(members: Members<'_>) -> bool {
    let mut names: Vec<Cow<'_, [u8]>> = members.map(|(name, _)| name.decoded()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair.first() == pair.last())
}

#[cfg(test)]
mod tests;
