//! How a request's `x-demo-*` headers tell the demo upstream to misbehave, and the memory of which keys have
//! failed how often. The table in the parent module is the reference.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::provider::Failure;

/// What comes before a break in a body reaches the client in this time; the reset would overtake it
/// otherwise.
const BREAK_PAUSE: Duration = Duration::from_millis(50);

/// Keys that are remembered; the oldest goes when a new one comes.
const MAX_KEYS: usize = 1024;

/// The longest key, in bytes.
const MAX_KEY_SIZE: usize = 128;

const MILLISECONDS: RangeInclusive<u32> = 0..=600_000;

/// What a request was told; by default nothing.
#[derive(Debug, Default)]
pub(super) struct Misbehaviour {
    /// The wait before the head.
    pub(super) delay: Duration,
    /// Whether the connection is reset in place of a head.
    pub(super) breaks_head: bool,
    /// What happens in the middle of the body.
    pub(super) middle: Option<MiddleFault>,
    /// The error that is answered.
    pub(super) failure: Option<Failure>,
    /// The value of `Retry-After`, in seconds.
    pub(super) retry_after: Option<u32>,
}

/// What happens in the middle of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MiddleFault {
    /// The wait.
    pub(super) stall: Duration,
    /// Whether the connection is reset after it.
    pub(super) breaks: bool,
}

impl MiddleFault {
    /// How long nothing is sent.
    pub(super) fn pause(&self) -> Duration {
        if self.breaks { self.stall + BREAK_PAUSE } else { self.stall }
    }
}

impl Misbehaviour {
    /// Reads a request's headers. Headers that cannot be understood are answered 400.
    pub(super) fn of(headers: &HeaderMap, fail_first: &FailFirst) -> Self {
        Self::read(headers, fail_first)
            .unwrap_or_else(|failure| Self { failure: Some(failure), ..Self::default() })
    }

    fn read(headers: &HeaderMap, fail_first: &FailFirst) -> Result<Self, Failure> {
        let told = Self::told(headers)?;
        let Some(first) = number(headers, "x-demo-fail-first", 0..=1000)? else { return Ok(told) };
        if !fail_first.counts(key(headers)?, first) {
            return Ok(Self::default());
        }
        let fails =
            told.failure.is_some() || told.breaks_head || told.middle.is_some_and(|middle| middle.breaks);
        let failure = if fails { told.failure } else { Some(asked_for(StatusCode::SERVICE_UNAVAILABLE)) };
        Ok(Self { failure, ..told })
    }

    /// Everything but `x-demo-fail-first`.
    fn told(headers: &HeaderMap) -> Result<Self, Failure> {
        let retry_after = number(headers, "x-demo-retry-after", 0..=86_400)?;
        let status = number(headers, "x-demo-status", 400..=599)?
            .and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok())
            .or(retry_after.map(|_| StatusCode::TOO_MANY_REQUESTS));
        let stall = number(headers, "x-demo-stall-ms", MILLISECONDS)?;
        let (breaks_head, breaks) = match headers.get("x-demo-break").map(|value| value.as_bytes()) {
            None => (false, false),
            Some(b"head") => (true, false),
            Some(b"body") => (false, true),
            Some(_) => return Err(Failure::invalid("x-demo-break must be head or body")),
        };
        let stall = stall.map(milliseconds).or(breaks.then_some(Duration::ZERO));
        Ok(Self {
            delay: number(headers, "x-demo-delay-ms", MILLISECONDS)?.map(milliseconds).unwrap_or_default(),
            breaks_head,
            middle: stall.map(|stall| MiddleFault { stall, breaks }),
            failure: status.map(asked_for),
            retry_after,
        })
    }
}

fn asked_for(status: StatusCode) -> Failure {
    Failure::new(status, format!("the request asked the demo upstream for a {}", status.as_u16()))
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}

fn number(headers: &HeaderMap, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Failure> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number =
        value.to_str().ok().and_then(|text| text.parse().ok()).filter(|number| range.contains(number));
    let (low, high) = range.into_inner();
    number.map(Some).ok_or_else(|| Failure::invalid(format!("{name} must be a number from {low} to {high}")))
}

fn key(headers: &HeaderMap) -> Result<&[u8], Failure> {
    headers
        .get("x-demo-key")
        .map(|key| key.as_bytes())
        .filter(|key| (1..=MAX_KEY_SIZE).contains(&key.len()))
        .ok_or_else(|| {
            Failure::invalid(format!("x-demo-fail-first needs an x-demo-key of 1 to {MAX_KEY_SIZE} bytes"))
        })
}

/// How often requests with a key have misbehaved.
#[derive(Debug, Default)]
pub(super) struct FailFirst {
    keys: Mutex<VecDeque<(Box<[u8]>, u32)>>,
}

impl FailFirst {
    /// Counts a request with this key, and says whether it is one of the first so many.
    fn counts(&self, key: &[u8], first: u32) -> bool {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = keys.iter_mut().find(|(known, _)| **known == *key) {
            *count = count.saturating_add(1);
            return *count <= first;
        }
        if keys.len() == MAX_KEYS {
            keys.pop_front();
        }
        keys.push_back((key.into(), 1));
        first >= 1
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        for (name, value) in [
            ("x-demo-status", "200"),
            ("x-demo-status", "600"),
            ("x-demo-status", "4294967999"),
            ("x-demo-delay-ms", "-1"),
            ("x-demo-delay-ms", "600001"),
            ("x-demo-stall-ms", "1e3"),
            ("x-demo-retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"),
            ("x-demo-break", "tail"),
            ("x-demo-fail-first", "1001"),
        ] {
            let failure = Misbehaviour::read(&headers(&[(name, value)]), &FailFirst::default()).unwrap_err();
            assert!(format!("{failure:?}").contains(name), "{name}: {value} gave {failure:?}");
        }
    }

    #[test]
    fn fail_first_needs_a_key_of_bounded_size() {
        let memory = FailFirst::default();
        let long = "k".repeat(MAX_KEY_SIZE + 1);
        assert!(Misbehaviour::read(&headers(&[("x-demo-fail-first", "1")]), &memory).is_err());
        for key in ["", &long] {
            let told = headers(&[("x-demo-fail-first", "1"), ("x-demo-key", key)]);
            assert!(Misbehaviour::read(&told, &memory).is_err());
        }
        assert!(memory.keys.lock().unwrap().is_empty());
    }

    #[test]
    fn keys_are_counted_apart_and_the_oldest_is_forgotten() {
        let memory = FailFirst::default();
        assert!(memory.counts(b"a", 2) && memory.counts(b"b", 1));
        assert!(memory.counts(b"a", 2) && !memory.counts(b"a", 2) && !memory.counts(b"b", 1));
        for index in 0..MAX_KEYS {
            memory.counts(index.to_string().as_bytes(), 1);
        }
        assert_eq!(memory.keys.lock().unwrap().len(), MAX_KEYS);
        assert!(memory.counts(b"a", 1), "a was forgotten, so this counts as its first");
    }

    #[test]
    fn fail_first_limits_everything_told_and_defaults_to_503() {
        let memory = FailFirst::default();
        let mut told = headers(&[("x-demo-fail-first", "1"), ("x-demo-key", "k"), ("x-demo-delay-ms", "5")]);
        let first = Misbehaviour::of(&told, &memory);
        assert_eq!(first.delay, Duration::from_millis(5));
        assert!(format!("{:?}", first.failure).contains("503"));
        let second = Misbehaviour::of(&told, &memory);
        assert_eq!((second.delay, second.failure.is_some()), (Duration::ZERO, false));

        told.insert("x-demo-key", "other".parse().unwrap());
        told.insert("x-demo-break", "body".parse().unwrap());
        let broken = Misbehaviour::of(&told, &memory);
        assert!(broken.failure.is_none() && broken.middle.is_some_and(|middle| middle.breaks));
    }
}
