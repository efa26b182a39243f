//! The exchange in hand: who it is from, where it goes, and what is remembered of it across its phases. Every
//! function traps while there is no exchange, which is in `configure`.

use std::net::IpAddr;
use std::time::Duration;

use crate::host::exchange as host;

/// The id in `x-request-id`: the client's own if it was a sensible one, else made by the host.
pub fn id() -> String {
    host::id()
}

/// The route's name in the manifest, or `routes[N]` for the Nth, counted from 0.
pub fn route() -> String {
    host::route()
}

/// The upstream's name in the manifest.
pub fn upstream() -> String {
    host::upstream()
}

/// The upstream's `provider`: its label in metrics and logs.
pub fn provider() -> String {
    host::provider()
}

/// The client's IP address, as the connection has it.
pub fn client_address() -> Option<IpAddr> {
    host::client_address().parse().ok()
}

/// What is left, in whole milliseconds, before the host gives up on this exchange.
pub fn remaining() -> Duration {
    Duration::from_millis(host::remaining_millis())
}

/// The value that this or an earlier filter gave `name`.
pub fn attribute(name: &str) -> Option<String> {
    host::attribute(name)
}

/// Names a value for later filters, logs and traces. More than 64 of them, or 16 KiB in all, trap.
pub fn set_attribute(name: &str, value: &str) {
    host::set_attribute(name, value);
}

/// One word of this filter's own, kept across this exchange's phases; 0 at first.
pub fn slot() -> u64 {
    host::slot()
}

/// Keeps `value` for this filter's later phases of this exchange.
pub fn set_slot(value: u64) {
    host::set_slot(value);
}
