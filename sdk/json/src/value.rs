//! A value in a document, and what can be asked of it.

use std::borrow::Cow;

use crate::{Entry, text};

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list of items.
    Array,
    /// A list of members, each a name and a value.
    Object,
}

/// A value in a document.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    text: &'a [u8],
    entries: &'a [Entry],
    number: usize,
    entry: Entry,
}

impl<'a> Value<'a> {
    #[inline]
    pub(crate) fn at(text: &'a [u8], entries: &'a [Entry], number: usize) -> Option<Self> {
        Some(Self { text, entries, number, entry: *entries.get(number)? })
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        self.entry.kind
    }

    /// The text of a scalar as it stands, of a string without its quotes; empty for arrays and objects.
    pub fn raw(self) -> &'a [u8] {
        match self.kind() {
            Kind::Array | Kind::Object => &[],
            _ => self.text.get(self.entry.first as usize..self.entry.second as usize).unwrap_or_default(),
        }
    }

    /// The string; none for anything else.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::Text).then(|| match self.decoded() {
            Cow::Borrowed(plain) => String::from_utf8_lossy(plain),
            Cow::Owned(decoded) => String::from_utf8_lossy(&decoded).into_owned().into(),
        })
    }

    /// Whether it is this string.
    pub fn is_text(self, wanted: &str) -> bool {
        self.kind() == Kind::Text
            && match self.entry.is_escaped {
                false => text::same(self.raw(), wanted.as_bytes()),
                true => *self.decoded() == *wanted.as_bytes(),
            }
    }

    /// The number, rounded to the nearest double; none for anything else.
    pub fn as_f64(self) -> Option<f64> {
        if self.kind() != Kind::Number {
            return None;
        }
        let raw = self.raw();
        decimal(raw).or_else(|| std::str::from_utf8(raw).ok()?.parse().ok())
    }

    /// The boolean; none for anything else.
    pub fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Boolean).then(|| self.raw() == b"true")
    }

    /// How many items an array has, or members an object; none for anything else.
    pub fn len(self) -> Option<u32> {
        matches!(self.kind(), Kind::Array | Kind::Object).then_some(self.entry.first)
    }

    /// Whether it is an array or object with nothing in it.
    pub fn is_empty(self) -> bool {
        self.len() == Some(0)
    }

    /// The items of an array, in order; nothing for anything else.
    pub fn items(self) -> Items<'a> {
        Items(self.inside(Kind::Array))
    }

    /// The members of an object, in order, names first; nothing for anything else.
    pub fn members(self) -> Members<'a> {
        Members(self.inside(Kind::Object))
    }

    /// The bytes of a string, in UTF-8, as its escapes have it. They need no second check, as [`Self::as_str`] makes it.
    pub fn decoded(self) -> Cow<'a, [u8]> {
        match self.entry.is_escaped {
            true => text::decode(self.raw()).into(),
            false => self.raw().into(),
        }
    }

    /// Whether both are the same string, however it is written.
    pub(crate) fn has_text_of(self, other: Self) -> bool {
        match self.entry.is_escaped || other.entry.is_escaped {
            false => text::same(self.raw(), other.raw()),
            true => self.decoded() == other.decoded(),
        }
    }

    /// The number of its entry.
    pub(crate) fn number(self) -> usize {
        self.number
    }

    /// The value whose entry has that number.
    pub(crate) fn sibling(self, number: usize) -> Option<Self> {
        Self::at(self.text, self.entries, number)
    }

    /// The entry after the last one that belongs to it.
    pub(crate) fn after(self) -> usize {
        match self.kind() {
            Kind::Array | Kind::Object => self.entry.second as usize,
            _ => self.number + 1,
        }
    }

    fn inside(self, kind: Kind) -> Inside<'a> {
        let next = self.number + 1;
        let end = if self.kind() == kind { self.entry.second as usize } else { next };
        Inside { text: self.text, entries: self.entries, next, end }
    }
}

/// Powers of ten up to the last that a double holds exactly.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The number, if it has no exponent and up to 15 digits: doubles hold those, and the power of ten that they are divided by,
/// exactly, so that the quotient is the nearest double.
fn decimal(raw: &[u8]) -> Option<f64> {
    let (is_negative, unsigned) = raw.strip_prefix(b"-").map_or((false, raw), |rest| (true, rest));
    if unsigned.len() > 16 {
        return None;
    }
    let (mut number, mut decimals, mut digits) = (0_u64, None, 0);
    for byte in unsigned {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + u64::from(byte - b'0');
                digits += 1;
                decimals = decimals.map(|decimals| decimals + 1);
            }
            b'.' => decimals = Some(0_usize),
            _ => return None,
        }
    }
    let power = POWERS.get(decimals.unwrap_or(0)).filter(|_| digits <= 15)?;
    let number = number as f64 / power;
    Some(if is_negative { -number } else { number })
}

#[derive(Debug, Clone)]
struct Inside<'a> {
    text: &'a [u8],
    entries: &'a [Entry],
    next: usize,
    end: usize,
}

impl<'a> Inside<'a> {
    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        if self.next >= self.end {
            return None;
        }
        let value = Value::at(self.text, self.entries, self.next)?;
        self.next = value.after();
        Some(value)
    }
}

/// The items of an array.
#[derive(Debug, Clone)]
pub struct Items<'a>(Inside<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.0.next()
    }
}

/// The members of an object: name, which is a string, and value.
#[derive(Debug, Clone)]
pub struct Members<'a>(Inside<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Value<'a>, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Value<'a>, Value<'a>)> {
        Some((self.0.next()?, self.0.next()?))
    }
}

#[cfg(test)]
mod tests {
    use crate::Document;

    #[test]
    fn numbers_are_the_nearest_doubles() {
        let mut random = fastrand::Rng::with_seed(2);
        let check = |text: String| {
            let document = Document::read(&text, 1).unwrap();
            let number = document.root().unwrap().as_f64().map(f64::to_bits);
            assert_eq!(number, Some(text.parse::<f64>().unwrap().to_bits()), "{text}");
        };
        for text in [
            "0",
            "-0",
            "-0.0",
            "0.1",
            "1e5",
            "999999999999999",
            "9999999999999999",
            "0.123456789012345",
            "-1.5E-7",
        ] {
            check(text.to_owned());
        }
        for _ in 0..100_000 {
            let digits = |random: &mut fastrand::Rng, most| {
                let places = random.u32(1..most);
                random.u64(0..10_u64.pow(places))
            };
            let (whole, sign) = (digits(&mut random, 19), random.choice(["", "-"]).unwrap());
            check(format!("{sign}{whole}"));
            let whole = digits(&mut random, 12);
            check(format!("{sign}{whole}.{:0width$}", digits(&mut random, 8), width = random.usize(1..12)));
        }
    }
}
