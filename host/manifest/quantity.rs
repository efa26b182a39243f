//! Durations and sizes: a whole number and its unit.

use std::time::Duration;

use super::mistake::{Fault, quoted};
use super::written::Grammar;

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A duration of `MIN` to `MAX` milliseconds.
pub(super) struct Span<const MIN: u64, const MAX: u64>;

/// For what has to end some time: zero would be at once, and a day is for ever.
pub(super) type Timeout = Span<1, DAY>;
/// A timeout that may be over at once.
pub(super) type Grace = Span<0, DAY>;

/// A size of `MIN` to `MAX` bytes.
pub(super) struct Size<const MIN: u64, const MAX: u64>;

/// The unit's names, and what it is in milliseconds; the largest last.
const DURATIONS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 60 * 60 * 1000)];

/// The same in bytes.
const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

impl<const MIN: u64, const MAX: u64> Grammar for Span<MIN, MAX> {
    type Value = Duration;
    const EXPECTED: &'static str = "a duration such as `10s`";
    const PATTERN: &'static str = "^[0-9]+(ms|s|m|h)$";

    fn read(text: &str) -> Result<Duration, Fault> {
        if text.parse::<f64>().is_ok() {
            let fault = Fault::new(format!("the duration {} has no unit", quoted(text)));
            return Err(fault.help(format!("write `{text}ms` or `{text}s`")));
        }
        let millis = quantity(text, &DURATIONS).ok_or_else(|| {
            Fault::new(format!("{} is not a duration", quoted(text)))
                .help("write a whole number and its unit, `ms`, `s`, `m` or `h`")
        })?;
        within(text, millis, MIN..=MAX, &DURATIONS).map(Duration::from_millis)
    }
}

impl<const MIN: u64, const MAX: u64> Grammar for Size<MIN, MAX> {
    type Value = u64;
    const EXPECTED: &'static str = "a size such as `10MiB`";
    const PATTERN: &'static str = "^[0-9]+(B|KB|KiB|MB|MiB|GB|GiB)?$";

    fn read(text: &str) -> Result<u64, Fault> {
        let bytes = quantity(text, &SIZES).ok_or_else(|| {
            Fault::new(format!("{} is not a size", quoted(text)))
                .help("write a whole number and its unit, `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`")
        })?;
        within(text, bytes, MIN..=MAX, &SIZES)
    }
}

/// The quantity in the smallest unit; as much as there can be, if it is more.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() {
        return None;
    }
    Some(number.parse().unwrap_or(u64::MAX).saturating_mul(*factor))
}

fn within(
    text: &str,
    value: u64,
    range: std::ops::RangeInclusive<u64>,
    units: &[(&str, u64)],
) -> Result<u64, Fault> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (shortest(*range.start(), units), shortest(*range.end(), units));
    Err(Fault::new(format!("{} is out of range", quoted(text))).help(format!("from `{least}` to `{most}`")))
}

/// A quantity in the largest unit that leaves it whole.
fn shortest(value: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().rev().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (name, factor) = fitting.or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::{Grace, Grammar, Size, Timeout};
    use std::time::Duration;

    #[test]
    fn durations() {
        let table = [("10ms", 10), ("2s", 2000), ("1m", 60_000), ("1h", 3_600_000), ("007s", 7000)];
        for (text, millis) in table {
            assert_eq!(Timeout::read(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let wrong = [
            "",
            "10",
            "1.5s",
            "-1s",
            "s",
            "10 s",
            "10S",
            "10sec",
            "0s",
            "25h",
            "99999999999999999999s",
            "١s",
            "1e3",
        ];
        for text in wrong {
            assert!(Timeout::read(text).is_err(), "{text}");
        }
        assert_eq!(Grace::read("0ms"), Ok(Duration::ZERO));
    }

    #[test]
    fn sizes() {
        type Any = Size<1, { u64::MAX }>;
        let table = [
            ("10", 10),
            ("10B", 10),
            ("2KB", 2000),
            ("64KiB", 65_536),
            ("10MB", 10_000_000),
            ("10MiB", 10_485_760),
            ("1GB", 1_000_000_000),
            ("1GiB", 1_073_741_824),
        ];
        for (text, bytes) in table {
            assert_eq!(Any::read(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "10M", "10mib", "-1", "KiB", "1.5MiB", "10 MiB"] {
            assert!(Any::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_are_named_in_the_largest_unit() {
        let message = |text| Size::<65_536, { 4 << 30 }>::read(text).unwrap_err().to_string();
        assert_eq!(message("1KiB"), "`1KiB` is out of range; from `64KiB` to `4GiB`");
    }
}
