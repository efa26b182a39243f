//! The log: one JSON object a line on standard output, or lines for people where that is a terminal. A worker never
//! waits for whoever reads it: past a bound, lines are dropped.

use std::fmt;
use std::io::IsTerminal;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::manifest::{Log, LogLevel};

/// How many lines may wait for the reader.
const MAX_WAITING: usize = 16_384;

/// Starts the log. What it returns writes out what waits when it is dropped.
pub fn start(config: &Log) -> WorkerGuard {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(MAX_WAITING).lossy(true).finish(stdout);
    let log = tracing_subscriber::fmt().with_max_level(filter(config.level)).with_writer(writer);
    let set = match terminal {
        true => tracing::subscriber::set_global_default(log.compact().with_target(false).finish()),
        false => tracing::subscriber::set_global_default(log.event_format(Lines).finish()),
    };
    // The first log of the process stays the one that counts.
    drop(set);
    guard
}

/// A log for commands that are over soon: warnings and errors, for people, on standard error.
pub fn to_stderr() {
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal()).compact().without_time().with_target(false);
    // The first log of the process stays the one that counts.
    drop(tracing::subscriber::set_global_default(log.finish()));
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// One JSON object a line: `level`, `time` in milliseconds since the Unix epoch, `msg`, and the event's own fields.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writeln!(writer, "{}", Value::Object(line(event)))
    }
}

fn line(event: &Event<'_>) -> Map<String, Value> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = Map::new();
    line.insert("level".into(), event.metadata().level().as_str().to_ascii_lowercase().into());
    line.insert("time".into(), u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into());
    line.insert("msg".into(), Value::Null);
    event.record(&mut Fields(&mut line));
    line
}

/// Puts an event's fields into a line.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.into(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
