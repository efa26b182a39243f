//! The contract's imports, with the signatures of the generated ones, on the host and the exchange under test.

use super::context::{trap, with_exchange, with_host};
use super::shared::{Shared, lock};

/// Ends the call as the host would, when it was asked for what it refuses.
fn or_trap<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|why| trap(&why))
}

pub(crate) mod exchange {
    use super::{Shared, trap, with_exchange, with_host};

    const MAX_ATTRIBUTES: usize = 64;
    const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;

    pub(crate) fn id() -> String {
        with_exchange(|exchange, _| exchange.id.clone())
    }

    pub(crate) fn route() -> String {
        with_exchange(|exchange, _| exchange.route.clone())
    }

    pub(crate) fn upstream() -> String {
        with_exchange(|exchange, _| exchange.upstream.clone())
    }

    pub(crate) fn provider() -> String {
        with_exchange(|exchange, _| exchange.provider.clone())
    }

    pub(crate) fn client_address() -> String {
        with_exchange(|exchange, _| exchange.client_address.to_string())
    }

    pub(crate) fn remaining_millis() -> u64 {
        let now = with_host(Shared::monotonic_micros);
        with_exchange(|exchange, _| exchange.deadline_micros.saturating_sub(now) / 1000)
    }

    pub(crate) fn attribute(name: &str) -> Option<String> {
        with_exchange(|exchange, _| exchange.attributes.get(name).cloned())
    }

    pub(crate) fn set_attribute(name: &str, value: &str) {
        with_exchange(|exchange, _| {
            let attributes = &mut exchange.attributes;
            attributes.insert(name.to_owned(), value.to_owned());
            let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
            if attributes.len() > MAX_ATTRIBUTES || bytes > MAX_ATTRIBUTE_BYTES {
                trap("too many attributes, or too long ones");
            }
        });
    }

    pub(crate) fn slot() -> u64 {
        with_exchange(|exchange, _| exchange.slot)
    }

    pub(crate) fn set_slot(value: u64) {
        with_exchange(|exchange, _| exchange.slot = value);
    }
}

/// The functions on fields that `request` and `response` have alike; `$can_change` says in which state and phase.
macro_rules! field_imports {
    ($fields:ident, $can_change:expr) => {
        pub(crate) fn header(name: &str) -> Option<String> {
            with_exchange(|exchange, _| exchange.$fields.first(name))
        }

        pub(crate) fn header_bytes(name: &str) -> Vec<Vec<u8>> {
            with_exchange(|exchange, _| exchange.$fields.all(name))
        }

        pub(crate) fn header_names() -> Vec<String> {
            with_exchange(|exchange, _| exchange.$fields.names())
        }

        pub(crate) fn set_header(name: &str, value: &str) -> Result<(), HeaderError> {
            change(|exchange| exchange.$fields.set(name, value))
        }

        pub(crate) fn append_header(name: &str, value: &str) -> Result<(), HeaderError> {
            change(|exchange| exchange.$fields.append(name, value))
        }

        pub(crate) fn remove_header(name: &str) -> Result<(), HeaderError> {
            change(|exchange| exchange.$fields.remove(name))
        }

        fn change(change: impl FnOnce(&mut State) -> Result<(), HeaderError>) -> Result<(), HeaderError> {
            let can_change: fn(&State, Phase) -> bool = $can_change;
            with_exchange(|exchange, phase| {
                if can_change(exchange, phase) { change(exchange) } else { Err(HeaderError::TooLate) }
            })
        }
    };
}

pub(crate) mod request {
    use super::super::context::Phase;
    use super::super::exchange::State;
    use super::with_exchange;
    use crate::fields::HeaderError;

    pub(crate) fn method() -> String {
        with_exchange(|exchange, _| exchange.method.clone())
    }

    pub(crate) fn authority() -> String {
        with_exchange(|exchange, _| exchange.authority.clone())
    }

    pub(crate) fn path() -> String {
        with_exchange(|exchange, _| exchange.path.clone())
    }

    pub(crate) fn set_path(path: &str) -> Result<(), HeaderError> {
        change(|exchange| {
            if !path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err() {
                return Err(HeaderError::InvalidValue);
            }
            path.clone_into(&mut exchange.path);
            Ok(())
        })
    }

    field_imports!(request, |_, phase| phase.request_can_change());
}

pub(crate) mod response {
    use super::super::context::Phase;
    use super::super::exchange::State;
    use super::with_exchange;
    use crate::fields::HeaderError;

    pub(crate) fn status() -> u16 {
        with_exchange(|exchange, _| exchange.status)
    }

    pub(crate) fn set_status(status: u16) -> Result<(), HeaderError> {
        change(|exchange| {
            // Those two have no body: neither can one of them be made another, nor another one of them.
            let bodiless = |status| matches!(status, 204 | 304);
            if !(200..=599).contains(&status) || bodiless(status) || bodiless(exchange.status) {
                return Err(HeaderError::InvalidValue);
            }
            exchange.status = status;
            Ok(())
        })
    }

    field_imports!(response, |exchange, phase| exchange.status != 0 && phase == Phase::OnResponse);
}

pub(crate) mod body {
    use serde_json::Value;

    use super::super::context::Phase;
    use super::{trap, with_exchange};
    use crate::body::JsonKind;

    pub(crate) fn size() -> u64 {
        with_exchange(|exchange, _| exchange.body.bytes().len() as u64)
    }

    pub(crate) fn read(offset: u64, length: u32) -> Vec<u8> {
        with_exchange(|exchange, _| {
            let from_offset = usize::try_from(offset).ok().and_then(|o| exchange.body.bytes().get(o..));
            from_offset.unwrap_or_default().iter().copied().take(length as usize).collect()
        })
    }

    pub(crate) fn replace(bytes: &[u8]) {
        with_exchange(|exchange, phase| {
            if phase != Phase::OnRequestBody {
                trap("`body::replace` outside `on_request_body`");
            }
            exchange.body.replace(bytes.to_vec());
        });
    }

    pub(crate) fn kind(pointer: &str) -> Option<JsonKind> {
        at(pointer, |value| {
            Some(match value {
                Value::Null => JsonKind::Null,
                Value::Bool(_) => JsonKind::Boolean,
                Value::Number(_) => JsonKind::Number,
                Value::String(_) => JsonKind::Text,
                Value::Array(_) => JsonKind::Array,
                Value::Object(_) => JsonKind::Object,
            })
        })
    }

    pub(crate) fn text(pointer: &str) -> Option<String> {
        at(pointer, |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn number(pointer: &str) -> Option<f64> {
        at(pointer, Value::as_f64)
    }

    pub(crate) fn boolean(pointer: &str) -> Option<bool> {
        at(pointer, Value::as_bool)
    }

    pub(crate) fn length(pointer: &str) -> Option<u32> {
        at(pointer, |value| {
            let array = value.as_array().map(Vec::len);
            let length = array.or_else(|| value.as_object().map(serde_json::Map::len))?;
            u32::try_from(length).ok()
        })
    }

    pub(crate) fn keys(pointer: &str) -> Vec<String> {
        at(pointer, |value| value.as_object().map(|object| object.keys().cloned().collect()))
            .unwrap_or_default()
    }

    fn at<T>(pointer: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        with_exchange(|exchange, _| exchange.body.at(pointer).and_then(read))
    }
}

pub(crate) mod reply {
    use super::super::reply::Reply;
    use super::with_exchange;
    use crate::fields::HeaderError;

    pub(crate) fn reject(status: u16, code: &str, message: &str) {
        with_exchange(|exchange, _| exchange.reply = Some(Reply::reject(status, code, message)));
    }

    pub(crate) fn send(status: u16, content_type: &str, body: &[u8]) {
        with_exchange(|exchange, _| exchange.reply = Some(Reply::send(status, content_type, body)));
    }

    pub(crate) fn detail(text: &str) {
        change(|reply| reply.detail(text));
    }

    pub(crate) fn retry_after(seconds: u32) {
        change(|reply| reply.retry_after = Some(seconds));
    }

    pub(crate) fn set_header(name: &str, value: &str) -> Result<(), HeaderError> {
        change(|reply| reply.set_header(name, value)).unwrap_or(Err(HeaderError::TooLate))
    }

    /// Nothing happens before an answer was begun.
    fn change<T>(change: impl FnOnce(&mut Reply) -> T) -> Option<T> {
        with_exchange(|exchange, _| exchange.reply.as_mut().map(change))
    }
}

pub(crate) mod state {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::{or_trap, with_host};

    pub(crate) struct Cell(Arc<AtomicI64>);

    impl Cell {
        pub(crate) fn open(key: &str) -> Self {
            Self(or_trap(with_host(|host| host.open_cell(key))))
        }

        pub(crate) fn get(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }

        pub(crate) fn set(&self, value: i64) {
            self.0.store(value, Ordering::SeqCst);
        }

        pub(crate) fn add(&self, delta: i64) -> i64 {
            self.0.fetch_add(delta, Ordering::SeqCst).wrapping_add(delta)
        }

        pub(crate) fn compare_exchange(&self, expected: i64, replacement: i64) -> i64 {
            self.0
                .compare_exchange(expected, replacement, Ordering::SeqCst, Ordering::SeqCst)
                .unwrap_or_else(|found| found)
        }
    }
}

pub(crate) mod pressure {
    use super::{lock, with_host};
    use crate::pressure::Snapshot;

    pub(crate) fn read() -> Snapshot {
        with_host(|host| *lock(&host.pressure))
    }
}

pub(crate) mod metrics {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::figures::Kind;
    use super::{lock, or_trap, with_host};

    pub(crate) struct Counter(Arc<AtomicU64>);

    impl Counter {
        pub(crate) fn open(name: &str, _help: &str, labels: &[(String, String)]) -> Self {
            Self(open(Kind::Counter, name, labels))
        }

        pub(crate) fn add(&self, by: u64) {
            self.0.fetch_add(by, Ordering::SeqCst);
        }
    }

    pub(crate) struct Gauge(Arc<AtomicU64>);

    impl Gauge {
        pub(crate) fn open(name: &str, _help: &str, labels: &[(String, String)]) -> Self {
            Self(open(Kind::Gauge, name, labels))
        }

        pub(crate) fn set(&self, value: f64) {
            self.0.store(value.to_bits(), Ordering::SeqCst);
        }
    }

    fn open(kind: Kind, name: &str, labels: &[(String, String)]) -> Arc<AtomicU64> {
        or_trap(with_host(|host| lock(&host.figures).open(kind, name, labels)))
    }
}

pub(crate) mod health {
    use super::{lock, trap, with_host};
    use crate::health::Status;

    const MAX_CHECKS: usize = 64;

    pub(crate) fn report(check: &str, status: Status, detail: &str) {
        with_host(|host| {
            let mut checks = lock(&host.checks);
            checks.insert(check.to_owned(), (status, detail.to_owned()));
            if checks.len() > MAX_CHECKS {
                trap("more than 64 health checks");
            }
        });
    }
}

pub(crate) mod log {
    use super::super::LogLine;
    use super::{lock, with_host};
    use crate::log::Level;

    const MAX_LINE_BYTES: usize = 8 * 1024;

    pub(crate) fn write(level: Level, message: &str) {
        let message = message[..message.floor_char_boundary(MAX_LINE_BYTES)].to_owned();
        with_host(|host| lock(&host.logs).push(LogLine { level, message }));
    }
}

pub(crate) mod clock {
    use super::{Shared, with_host};

    pub(crate) fn now_micros() -> u64 {
        with_host(Shared::monotonic_micros)
    }

    pub(crate) fn unix_millis() -> u64 {
        with_host(Shared::unix_millis)
    }
}

pub(crate) mod random {
    use super::{Shared, with_host};

    pub(crate) fn next() -> u64 {
        with_host(Shared::next_random)
    }
}

#[cfg(feature = "http")]
pub(crate) mod http {
    use super::{lock, with_host};
    use crate::http::{Request, Response, SendError};

    pub(crate) fn send(request: &Request) -> Result<Response, SendError> {
        let responder = with_host(|shared| lock(&shared.responder).clone());
        let response = responder.ok_or(SendError::Denied)?(request)?;
        if response.body.len() > request.limit { Err(SendError::TooLarge) } else { Ok(response) }
    }
}
