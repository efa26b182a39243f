//! What a filter may call: the contract's `host.wit`, on top of the exchange in hand and of what the filter owns. One
//! function each, for both doors (see `doors`). Strings and lists arrive here checked; what they say is still hostile.

pub(super) mod body;
pub(super) mod exchange;
pub(super) mod metrics;
pub(super) mod reply;
pub(super) mod request;
pub(super) mod response;
pub(super) mod state;

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use wasmtime::Result;

use super::bindings::types::HeaderError;
use super::guest::Guest;
pub(super) use super::handles::{Counter, Gauge};
use crate::headers::{self, Edit, EditError, Field, Room};
pub(super) use crate::state::Cell;

/// What an edit amounts to: the guest learns of its mistakes, and goes on.
type Edited = Result<Result<(), HeaderError>>;

impl From<EditError> for HeaderError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::InvalidName => Self::InvalidName,
            EditError::InvalidValue => Self::InvalidValue,
            EditError::Forbidden => Self::Forbidden,
            EditError::TooLarge => Self::TooLarge,
        }
    }
}

/// What is to be done to a field.
#[derive(Clone, Copy)]
enum Change<'a> {
    Set(Edit, &'a str),
    Remove,
}

/// A shadowed filter edits a copy: it learns what it would have learnt, and nothing changes.
fn apply(
    headers: &mut HeaderMap,
    room: &mut Room,
    shadow: bool,
    field: Result<&Field, EditError>,
    change: Change<'_>,
) -> Edited {
    let change = |headers: &mut HeaderMap, room: &mut Room, field: &Field| match change {
        Change::Set(how, value) => headers::edit(headers, room, field, value, how),
        Change::Remove => headers::remove(headers, field),
    };
    let done = field.and_then(|field| match shadow {
        true => change(&mut headers.clone(), &mut Room::default(), field),
        false => change(headers, room, field),
    });
    Ok(done.map_err(Into::into))
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let bytes = headers.get(name)?.as_bytes();
    Some(std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed))
}

fn all<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
}

fn names(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    headers.keys().map(|name| Cow::Borrowed(name.as_str())).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) mod pressure {
    //! How busy the process is.

    use wasmtime::Result;

    use super::super::bindings::pressure::Snapshot;
    use super::Guest;

    pub(in crate::wasm) fn read(guest: &mut Guest) -> Result<Snapshot> {
        let read = guest.filter.host.pressure.snapshot();
        Ok(Snapshot {
            memory: read.memory,
            heap: read.heap,
            cpu: read.cpu,
            active_exchanges: read.active_exchanges,
            scheduling_delay_micros: read.scheduling_delay_micros,
        })
    }
}

pub(super) mod health {
    //! What the deep health check shows.

    use wasmtime::Result;

    use super::super::bindings::health::Status;
    use super::Guest;

    pub(in crate::wasm) fn report(
        guest: &mut Guest,
        check: &str,
        status: Status,
        detail: &str,
    ) -> Result<()> {
        Ok(guest.filter.host.health.report(&guest.filter.name, check, status, detail)?)
    }
}

pub(super) mod log {
    //! Lines in the host's log.

    use wasmtime::Result;

    use super::super::bindings::log::Level;
    use super::Guest;

    /// A line of a filter's log is cut past this many bytes.
    const MAX_LOG: usize = 8 << 10;

    pub(in crate::wasm) fn write(guest: &mut Guest, level: Level, message: &str) -> Result<()> {
        let message = &message[..message.floor_char_boundary(MAX_LOG)];
        let filter = guest.filter.name.as_str();
        let id = guest.exchange_id();
        match level {
            Level::Error => tracing::error!(filter, requestId = id, "{message}"),
            Level::Warn => tracing::warn!(filter, requestId = id, "{message}"),
            Level::Info => tracing::info!(filter, requestId = id, "{message}"),
            Level::Debug => tracing::debug!(filter, requestId = id, "{message}"),
            Level::Trace => tracing::trace!(filter, requestId = id, "{message}"),
        }
        Ok(())
    }
}

pub(super) mod clock {
    //! What time it is.

    use std::sync::LazyLock;
    use std::time::{Instant, SystemTime};

    use wasmtime::Result;

    use super::{Guest, millis};

    /// Where the monotonic clock begins: one place for all workers, so that they can compare.
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(in crate::wasm) fn now_micros(_: &mut Guest) -> Result<u64> {
        Ok(u64::try_from(BEGIN.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(in crate::wasm) fn unix_millis(_: &mut Guest) -> Result<u64> {
        // A clock set before 1970 reads as 1970.
        Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis))
    }
}

pub(super) mod random {
    //! Numbers that nobody foresees, and no secrets.

    use wasmtime::Result;

    use super::Guest;

    pub(in crate::wasm) fn next(_: &mut Guest) -> Result<u64> {
        Ok(fastrand::u64(..))
    }
}
