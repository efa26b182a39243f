//! A filter for tests: in every phase it notes down what each import of the contract answers, to good arguments and to
//! bad ones, and it changes what can be changed. `/report` answers with the notes, and begins new ones.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use tollgate_sdk::metrics::{Counter, Gauge, Metric};
use tollgate_sdk::state::Cell;
use tollgate_sdk::{
    Advice, ChunkAction, Ending, Filter, OnAttempt, OnComplete, OnRequest, OnRequestBody, OnResponse,
    OnResponseChunk, Outcome, Verdict, body, clock, exchange, health, log, pressure, random, reply, request,
    response,
};

/// The config is text that has to arrive as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    greeting: String,
}

/// The filter, and its notes.
pub struct Probe {
    notes: RefCell<String>,
    /// Strings of the host's that outlast their exchange.
    kept: RefCell<Vec<String>>,
    cell: Cell,
    counter: Counter,
    gauge: Gauge,
}

/// Notes down each expression and its value.
macro_rules! note {
    ($probe:expr, $($value:expr),+ $(,)?) => {{
        let mut notes = $probe.notes.borrow_mut();
        $(writeln!(notes, "{} = {:?}", stringify!($value), $value).unwrap_or_default();)+
    }};
}

impl Filter for Probe {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        if config.greeting.is_empty() {
            return Err("greeting: öffne dich".to_owned());
        }
        let probe = Self {
            notes: RefCell::default(),
            kept: RefCell::default(),
            cell: Cell::open("probe"),
            counter: Counter::open("probed", "What was probed.", &[("kind", "count"), ("place", "ü")]),
            gauge: Gauge::open("probe_level", "", &[]),
        };
        note!(probe, config.greeting);
        Ok(probe)
    }
}

impl OnRequest for Probe {
    fn on_request(&self) -> Verdict {
        if request::path() == "/report" {
            reply::send(200, "text/plain; charset=utf-8", self.notes.take().as_bytes());
            return Verdict::Respond;
        }
        self.read_exchange();
        self.read_head();
        self.keep_some();
        self.edit_request();
        self.count();
        self.reject()
    }
}

impl Probe {
    fn read_exchange(&self) {
        exchange::set_attribute("größe", "weit");
        note!(
            self,
            exchange::id(),
            exchange::route(),
            exchange::upstream(),
            exchange::provider(),
            exchange::client_address(),
            exchange::remaining() > Duration::ZERO,
            exchange::attribute("größe"),
            exchange::attribute("none"),
            exchange::slot(),
            clock::now() > Duration::ZERO,
            clock::system_time() > std::time::SystemTime::UNIX_EPOCH,
            random::next() != random::next(),
            pressure::read().active_exchanges,
            pressure::read().memory > 0.0,
        );
        exchange::set_slot(u64::MAX - 1);
        log::write(log::Level::Debug, "noted");
    }

    fn read_head(&self) {
        note!(
            self,
            request::method(),
            request::authority(),
            request::path(),
            request::header("x-probe"),
            request::header("X-PROBE"),
            request::header("x-empty"),
            request::header("no name"),
            request::header("host"),
            request::header_bytes("x-probe"),
            request::header_names(),
            response::status(),
            response::header("x-probe"),
            response::header_names(),
            response::set_header("x", "y"),
            body::size(),
            body::text("/a"),
        );
    }

    /// Every other string stays, so that the next ones lie beside it.
    fn keep_some(&self) {
        let mut kept = self.kept.borrow_mut();
        for (number, name) in request::header_names().into_iter().enumerate() {
            let value = request::header(&name).unwrap_or_default();
            if number % 2 == 0 && kept.len() < 64 {
                kept.push(value);
            }
        }
        kept.extend(request::header("x-probe").map(|value| value + " and more"));
        note!(self, kept);
    }

    fn edit_request(&self) {
        note!(
            self,
            request::set_header("x-set", "a value"),
            request::set_header("X-Set", "another value"),
            request::append_header("x-set", "a third"),
            request::remove_header("x-probe"),
            request::remove_header("x-none"),
            request::set_header("no name", "x"),
            request::set_header("x-line", "a\r\nb: c"),
            request::set_header("host", "x"),
            request::set_header("x-long", &"l".repeat(70_000)),
            request::header_bytes("x-set"),
            request::set_path("no path"),
            request::set_path(&format!("{}&probed", request::path())),
            request::path(),
        );
    }

    fn count(&self) {
        self.counter.add(2);
        self.gauge.set(-1.5);
        health::report("probe", health::Status::Degraded, "it is only a test");
        let fresh = Cell::open("fresh");
        note!(
            self,
            self.cell.add(3),
            self.cell.get(),
            self.cell.compare_exchange(1, 2),
            fresh.compare_exchange(fresh.get(), i64::MIN),
            fresh.get(),
        );
        self.cell.set(-7);
    }

    fn reject(&self) -> Verdict {
        if request::header("x-reject").is_none() {
            return Verdict::Proceed;
        }
        note!(self, reply::set_header("x-early", "no"));
        reply::reject(418, "teapot", "Short and stout, ö.");
        reply::detail("the handle");
        reply::detail("the spout");
        reply::retry_after(11);
        note!(self, reply::set_header("x-pot", "tea"), reply::set_header("a b", "tea"));
        Verdict::Respond
    }
}

impl OnRequestBody for Probe {
    fn on_request_body(&self) -> Verdict {
        note!(
            self,
            body::size(),
            body::read(0, 64),
            body::read(body::size().saturating_sub(3), 9),
            body::read(u64::MAX, 9),
            body::bytes().len(),
            body::keys(""),
            body::length(""),
            body::length("/list"),
            body::text("/a").map(|text| text.len()),
            body::text("/list/1"),
            body::number("/n"),
            body::boolean("/yes"),
            exchange::slot(),
        );
        for pointer in ["", "/a", "/list", "/n", "/yes", "/nothing", "/absent", "no pointer"] {
            note!(self, pointer, body::kind(pointer));
        }
        if request::header("x-replace").is_some() {
            body::replace(b"{\"a\":\"new\"}");
            note!(self, body::text("/a"), body::size());
        }
        Verdict::Proceed
    }
}

impl OnAttempt for Probe {
    fn before_attempt(&self, number: u32) -> Verdict {
        note!(self, number, request::set_header("x-attempt", &number.to_string()));
        Verdict::Proceed
    }

    fn after_attempt(&self, number: u32, outcome: Outcome, elapsed: Duration) -> Advice {
        note!(
            self,
            number,
            outcome,
            elapsed > Duration::ZERO,
            response::status(),
            request::set_header("x", "late"),
        );
        match response::header("x-advice").as_deref() {
            Some("retry") if number == 1 => Advice::Retry(Duration::from_millis(1)),
            Some("stop") => Advice::Stop,
            _ => Advice::Accept,
        }
    }
}

impl OnResponse for Probe {
    fn on_response(&self) -> Verdict {
        note!(
            self,
            response::status(),
            response::set_status(299),
            response::set_status(204),
            response::set_status(99),
            response::header_names(),
            response::header_bytes("x-origin"),
            response::set_header("x-origin", "probed"),
            response::append_header("x-origin", "twice"),
            response::remove_header("x-gone"),
            response::set_header("content-length", "1"),
            response::header("x-origin"),
        );
        Verdict::Proceed
    }
}

impl OnResponseChunk for Probe {
    fn on_response_chunk(&self, chunk: Vec<u8>, last: bool) -> ChunkAction {
        // How a body is cut into chunks is the network's choice.
        match response::header("x-chunk").as_deref() {
            Some("upper") => ChunkAction::Replace(chunk.to_ascii_uppercase()),
            Some("abort") if last || !chunk.is_empty() => ChunkAction::Abort("it is enough".to_owned()),
            _ => ChunkAction::Pass,
        }
    }
}

impl OnComplete for Probe {
    fn on_complete(&self, ending: Ending, elapsed: Duration) {
        note!(self, ending, elapsed > Duration::ZERO, exchange::slot(), exchange::attribute("größe"));
    }
}

tollgate_sdk::export!(Probe: on_request, on_request_body, on_attempt, on_response, on_response_chunk, on_complete);
