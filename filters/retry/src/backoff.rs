//! How long to wait before a retry.

use std::time::{Duration, SystemTime};

/// Delays that double from `initial`, and never exceed `max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// The delay before retry number `retry`, counted from 1. `unit` is a random number from 0 to 1, which moves the
    /// delay by up to a half either way; `floor` is the least delay, as far as the cap allows.
    pub(crate) fn delay(&self, retry: u32, unit: f64, floor: Option<Duration>) -> Duration {
        let doubled = self.initial.as_secs_f64() * 2_f64.powf(f64::from(retry.saturating_sub(1)));
        let jittered = doubled * (0.5 + unit);
        let delay = Duration::try_from_secs_f64(jittered).unwrap_or(self.max);
        delay.max(floor.unwrap_or_default()).min(self.max)
    }
}

/// What a `Retry-After` field asks for: seconds, or the time until a date; `None` if it is neither.
pub(crate) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit mean longer than any cap.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(30) };

    fn millis(retry: u32, unit: f64) -> u128 {
        BACKOFF.delay(retry, unit, None).as_millis()
    }

    #[test]
    fn delays_double_give_or_take_a_half() {
        assert_eq!([1, 2, 3].map(|retry| millis(retry, 0.0)), [500, 1000, 2000]);
        assert_eq!([1, 2, 3].map(|retry| millis(retry, 0.5)), [1000, 2000, 4000]);
        assert_eq!([1, 2, 3].map(|retry| millis(retry, 1.0)), [1500, 3000, 6000]);
    }

    #[test]
    fn no_delay_exceeds_the_cap() {
        assert_eq!(millis(5, 0.5), 16_000);
        assert_eq!(millis(6, 0.5), 30_000);
        assert_eq!(millis(6, 0.0), 16_000);
        assert_eq!(millis(u32::MAX, 0.0), 30_000);
        let none = Backoff { initial: Duration::ZERO, max: Duration::ZERO };
        assert_eq!(none.delay(u32::MAX, 1.0, Some(Duration::MAX)), Duration::ZERO);
    }

    #[test]
    fn the_floor_holds_up_to_the_cap() {
        let delay = |floor| BACKOFF.delay(1, 0.5, Some(Duration::from_secs(floor))).as_secs();
        assert_eq!([0, 5, 30, 31, u64::MAX].map(delay), [1, 5, 30, 30, 30]);
    }

    #[test]
    fn retry_after_is_seconds_or_one_of_three_forms_of_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 5);
        let seconds = |value| parse_retry_after(value, now).map(|delay| delay.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(5));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), Some(5));
        assert_eq!(seconds("Sun Nov  6 08:49:37 1994"), Some(5));
        assert_eq!(seconds("Sun, 06 Nov 1993 08:49:37 GMT"), None, "6 November 1993 was a Saturday");
        assert_eq!(seconds("Sat, 06 Nov 1993 08:49:37 GMT"), Some(0), "in the past");
        for hostile in
            ["", " ", "-1", "1.5", "1s", "soon", "\u{fffd}\u{fffd}", "Sun, 99 Nov 1994 08:49:37 GMT"]
        {
            assert_eq!(seconds(hostile), None, "{hostile:?}");
        }
    }
}
