//! Random numbers from the host; not for secrets.

use crate::host::random as host;

/// 64 bits, evenly spread.
pub fn next() -> u64 {
    host::next()
}

/// A number from 0 up to, but not including, 1.
pub fn unit() -> f64 {
    // A double has 53 bits of precision: more would round up to 1.
    (host::next() >> 11) as f64 / (1_u64 << 53) as f64
}
