//! What a filter may call: the contract's `host.wit`, on top of the exchange in hand and of what the filter owns.
//! Strings and lists arrive here checked by `wasmtime`; what they say is still hostile.

mod heads;

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use serde_json::Value;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::{body, clock, exchange, health, log, metrics, pressure, random, reply, state, types};
use super::guest::Guest;
use crate::body::BufferedBody;
use crate::exchange::Stage;
use crate::headers::EditError;
use crate::reply::Reply;
use crate::state::Cell;

/// A line of a filter's log is cut past this many bytes.
const MAX_LOG: usize = 8 << 10;

/// A figure that only grows.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "generated code re-exports it")]
pub struct Counter(Arc<AtomicU64>);

/// A figure that goes up and down: the bits of an `f64`.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "generated code re-exports it")]
pub struct Gauge(Arc<AtomicU64>);

/// `too-late` is not an error of editing but of when.
const TOO_LATE: types::HeaderError = types::HeaderError::TooLate;

impl From<EditError> for types::HeaderError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::InvalidName => Self::InvalidName,
            EditError::InvalidValue => Self::InvalidValue,
            EditError::Forbidden => Self::Forbidden,
            EditError::TooLarge => Self::TooLarge,
        }
    }
}

impl types::Host for Guest {}

impl exchange::Host for Guest {
    fn id(&mut self) -> Result<String> {
        Ok(self.exchange()?.id.clone())
    }

    fn route(&mut self) -> Result<String> {
        Ok(self.exchange()?.names.route.clone())
    }

    fn upstream(&mut self) -> Result<String> {
        Ok(self.exchange()?.names.upstream.clone())
    }

    fn provider(&mut self) -> Result<String> {
        Ok(self.exchange()?.names.provider.clone())
    }

    fn client_address(&mut self) -> Result<String> {
        Ok(self.exchange()?.client.to_string())
    }

    fn remaining_millis(&mut self) -> Result<u64> {
        Ok(millis(self.exchange()?.remaining()))
    }

    fn attribute(&mut self, name: String) -> Result<Option<String>> {
        Ok(self.exchange()?.attribute(&name).map(str::to_owned))
    }

    fn set_attribute(&mut self, name: String, value: String) -> Result<()> {
        let shadow = self.filter.shadow;
        let exchange = self.exchange()?;
        if shadow {
            return Ok(());
        }
        let set = exchange.set_attribute(name, value);
        set.map_err(|_| wasmtime::Error::msg("the exchange's attributes are full: 64 of them, 16 KiB in all"))
    }

    fn slot(&mut self) -> Result<u64> {
        let index = self.filter.index;
        Ok(self.exchange()?.slot(index))
    }

    fn set_slot(&mut self, value: u64) -> Result<()> {
        let index = self.filter.index;
        self.exchange()?.set_slot(index, value);
        Ok(())
    }
}

impl body::Host for Guest {
    fn size(&mut self) -> Result<u64> {
        Ok(self.exchange()?.body.as_ref().map_or(0, |body| body.bytes().len() as u64))
    }

    fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let Some(body) = &self.exchange()?.body else { return Ok(Vec::new()) };
        let bytes = body.bytes();
        let begin = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let end = begin.saturating_add(length as usize).min(bytes.len());
        Ok(bytes.slice(begin..end).to_vec())
    }

    fn replace(&mut self, bytes: Vec<u8>) -> Result<()> {
        let shadow = self.filter.shadow;
        let exchange = self.exchange()?;
        if exchange.stage != Stage::RequestBody {
            return Err(wasmtime::Error::msg("`body.replace` can be called in `on-request-body` only"));
        }
        if !shadow {
            exchange.body = Some(BufferedBody::new(bytes.into()));
        }
        Ok(())
    }

    fn kind(&mut self, pointer: String) -> Result<Option<body::JsonKind>> {
        Ok(self.value(&pointer)?.map(|value| match value {
            Value::Null => body::JsonKind::Null,
            Value::Bool(_) => body::JsonKind::Boolean,
            Value::Number(_) => body::JsonKind::Number,
            Value::String(_) => body::JsonKind::Text,
            Value::Array(_) => body::JsonKind::Array,
            Value::Object(_) => body::JsonKind::Object,
        }))
    }

    fn text(&mut self, pointer: String) -> Result<Option<String>> {
        Ok(self.value(&pointer)?.and_then(Value::as_str).map(str::to_owned))
    }

    fn number(&mut self, pointer: String) -> Result<Option<f64>> {
        Ok(self.value(&pointer)?.and_then(Value::as_f64))
    }

    fn boolean(&mut self, pointer: String) -> Result<Option<bool>> {
        Ok(self.value(&pointer)?.and_then(Value::as_bool))
    }

    fn length(&mut self, pointer: String) -> Result<Option<u32>> {
        let length = match self.value(&pointer)? {
            Some(Value::Array(items)) => Some(items.len()),
            Some(Value::Object(members)) => Some(members.len()),
            _ => None,
        };
        Ok(length.map(|length| u32::try_from(length).unwrap_or(u32::MAX)))
    }

    fn keys(&mut self, pointer: String) -> Result<Vec<String>> {
        let members = self.value(&pointer)?.and_then(Value::as_object);
        Ok(members.map(|members| members.keys().cloned().collect()).unwrap_or_default())
    }
}

impl Guest {
    fn value(&mut self, pointer: &str) -> Result<Option<&Value>> {
        self.parse_json()?;
        let Some(body) = &self.exchange()?.body else { return Ok(None) };
        let too_many = |_| wasmtime::Error::msg("the body holds more JSON values than the host will parse");
        body.value(pointer).map_err(too_many)
    }

    /// Parses the body, unless that has been done: for all filters, so that the first to ask does not pay for it.
    fn parse_json(&mut self) -> Result<()> {
        let Some(body) = self.exchange()?.body.as_ref().filter(|body| !body.is_parsed()) else {
            return Ok(());
        };
        let begun = Instant::now();
        // Whatever is wrong with it, whoever asks for a value is told.
        let _ = body.value("");
        let spent = begun.elapsed();
        self.overtime.credit(spent);
        Ok(())
    }

    /// The reply being made; none before `reject` or `send`.
    fn reply(&mut self) -> Result<Option<&mut Reply>> {
        Ok(self.exchange()?.reply.as_mut())
    }
}

impl reply::Host for Guest {
    fn reject(&mut self, status: u16, code: String, message: String) -> Result<()> {
        let status = StatusCode::from_u16(status).ok().filter(|status| (400..600).contains(&status.as_u16()));
        let reply = Reply::error(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, message);
        self.exchange()?.reply = Some(reply);
        Ok(())
    }

    fn detail(&mut self, text: String) -> Result<()> {
        if let Some(reply) = self.reply()? {
            reply.detail(text);
        }
        Ok(())
    }

    fn retry_after(&mut self, seconds: u32) -> Result<()> {
        if let Some(reply) = self.reply()? {
            reply.retry_after(seconds);
        }
        Ok(())
    }

    fn set_header(&mut self, name: String, value: String) -> Result<Result<(), types::HeaderError>> {
        Ok(match self.reply()? {
            Some(reply) => reply.set_header(&name, &value).map_err(Into::into),
            None => Err(TOO_LATE),
        })
    }

    fn send(&mut self, status: u16, content_type: String, body: Vec<u8>) -> Result<()> {
        let status = StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16()));
        let status =
            status.ok_or_else(|| wasmtime::Error::msg("`reply.send` takes a status from 200 to 599"))?;
        let reply = Reply::sent(status, &content_type, body.into());
        self.exchange()?.reply =
            Some(reply.map_err(|_| wasmtime::Error::msg("no field value as content type"))?);
        Ok(())
    }
}

impl state::Host for Guest {}

impl state::HostCell for Guest {
    fn open(&mut self, key: String) -> Result<Resource<Cell>> {
        let cell = self.filter.cells.open(&key)?;
        Ok(self.table.push(cell)?)
    }

    fn get(&mut self, cell: Resource<Cell>) -> Result<i64> {
        Ok(self.table.get(&cell)?.get())
    }

    fn set(&mut self, cell: Resource<Cell>, value: i64) -> Result<()> {
        self.table.get(&cell)?.set(value);
        Ok(())
    }

    fn add(&mut self, cell: Resource<Cell>, delta: i64) -> Result<i64> {
        Ok(self.table.get(&cell)?.add(delta))
    }

    fn compare_exchange(&mut self, cell: Resource<Cell>, expected: i64, replacement: i64) -> Result<i64> {
        Ok(self.table.get(&cell)?.compare_exchange(expected, replacement))
    }

    fn drop(&mut self, cell: Resource<Cell>) -> Result<()> {
        self.table.delete(cell)?;
        Ok(())
    }
}

impl pressure::Host for Guest {
    fn read(&mut self) -> Result<pressure::Snapshot> {
        let read = self.filter.host.pressure.snapshot();
        Ok(pressure::Snapshot {
            memory: read.memory,
            heap: read.heap,
            cpu: read.cpu,
            active_exchanges: read.active_exchanges,
            scheduling_delay_micros: read.scheduling_delay_micros,
        })
    }
}

impl metrics::Host for Guest {}

impl metrics::HostCounter for Guest {
    fn open(
        &mut self,
        name: String,
        help: String,
        labels: Vec<(String, String)>,
    ) -> Result<Resource<Counter>> {
        let counter = self.filter.host.telemetry.guest_counter(&self.filter.name, &name, &help, labels)?;
        Ok(self.table.push(Counter(counter))?)
    }

    fn add(&mut self, counter: Resource<Counter>, by: u64) -> Result<()> {
        self.table.get(&counter)?.0.fetch_add(by, Ordering::Relaxed);
        Ok(())
    }

    fn drop(&mut self, counter: Resource<Counter>) -> Result<()> {
        self.table.delete(counter)?;
        Ok(())
    }
}

impl metrics::HostGauge for Guest {
    fn open(&mut self, name: String, help: String, labels: Vec<(String, String)>) -> Result<Resource<Gauge>> {
        let gauge = self.filter.host.telemetry.guest_gauge(&self.filter.name, &name, &help, labels)?;
        Ok(self.table.push(Gauge(gauge))?)
    }

    fn set(&mut self, gauge: Resource<Gauge>, value: f64) -> Result<()> {
        self.table.get(&gauge)?.0.store(value.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    fn drop(&mut self, gauge: Resource<Gauge>) -> Result<()> {
        self.table.delete(gauge)?;
        Ok(())
    }
}

impl health::Host for Guest {
    fn report(&mut self, check: String, status: health::Status, detail: String) -> Result<()> {
        Ok(self.filter.host.health.report(&self.filter.name, &check, status, &detail)?)
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, mut message: String) -> Result<()> {
        message.truncate(message.floor_char_boundary(MAX_LOG));
        let filter = self.filter.name.as_str();
        let id = self.exchange_id();
        match level {
            log::Level::Error => tracing::error!(filter, requestId = id, "{message}"),
            log::Level::Warn => tracing::warn!(filter, requestId = id, "{message}"),
            log::Level::Info => tracing::info!(filter, requestId = id, "{message}"),
            log::Level::Debug => tracing::debug!(filter, requestId = id, "{message}"),
            log::Level::Trace => tracing::trace!(filter, requestId = id, "{message}"),
        }
        Ok(())
    }
}

impl clock::Host for Guest {
    fn now_micros(&mut self) -> Result<u64> {
        Ok(u64::try_from(BEGIN.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn unix_millis(&mut self) -> Result<u64> {
        // A clock set before 1970 reads as 1970.
        Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis))
    }
}

/// Where the monotonic clock begins: one place for all workers, so that they can compare.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl random::Host for Guest {
    fn next(&mut self) -> Result<u64> {
        Ok(fastrand::u64(..))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
