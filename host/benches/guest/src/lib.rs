//! A filter for microbenchmarks: in `on-request` it calls one import of the contract as often as its config says, and
//! proceeds. With `call: nothing` it is the empty filter.

use std::hint::black_box;

use serde::Deserialize;
use tollgate_sdk::metrics::{Counter, Gauge, Metric};
use tollgate_sdk::state::Cell;
use tollgate_sdk::{
    Filter, OnRequest, Verdict, body, clock, exchange, health, log, pressure, random, reply, request,
    response,
};

/// What to call, and how often in a phase.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    call: String,
    #[serde(default)]
    times: u32,
}

/// The filter, with the call that its config names.
pub struct Caller {
    call: fn(&Handles),
    times: u32,
    handles: Handles,
}

/// What is opened once and used often.
struct Handles {
    cell: Cell,
    counter: Counter,
    gauge: Gauge,
}

/// Takes an answer, so that the compiler cannot know that nobody looks at it.
fn keep<T>(answer: T) {
    black_box(answer);
}

/// An import, by the name that a config has for it.
type Call = (&'static str, fn(&Handles));

/// Every import that a filter may call in `on-request` more than once. `nothing` calls none.
const CALLS: [Call; 45] = [
    ("nothing", |_| {}),
    ("exchange.id", |_| keep(exchange::id())),
    ("exchange.route", |_| keep(exchange::route())),
    ("exchange.upstream", |_| keep(exchange::upstream())),
    ("exchange.provider", |_| keep(exchange::provider())),
    ("exchange.client-address", |_| keep(exchange::client_address())),
    ("exchange.remaining-millis", |_| keep(exchange::remaining())),
    ("exchange.attribute", |_| keep(exchange::attribute("bench"))),
    ("exchange.set-attribute", |_| exchange::set_attribute("bench", "a value")),
    ("exchange.slot", |_| keep(exchange::slot())),
    ("exchange.set-slot", |_| exchange::set_slot(black_box(1))),
    ("request.method", |_| keep(request::method())),
    ("request.authority", |_| keep(request::authority())),
    ("request.path", |_| keep(request::path())),
    ("request.set-path", |_| keep(request::set_path("/v1/chat/completions"))),
    ("request.header", |_| keep(request::header("user-agent"))),
    ("request.header (absent)", |_| keep(request::header("x-absent"))),
    ("request.header-bytes", |_| keep(request::header_bytes("user-agent"))),
    ("request.header-names", |_| keep(request::header_names())),
    ("request.set-header", |_| keep(request::set_header("x-bench", "a value"))),
    ("request.append-header + remove-header", |_| {
        keep(request::append_header("x-bench", "a value"));
        keep(request::remove_header("x-bench"));
    }),
    ("response.status", |_| keep(response::status())),
    ("response.header (absent)", |_| keep(response::header("retry-after"))),
    ("body.size", |_| keep(body::size())),
    ("body.read (all)", |_| keep(body::bytes())),
    ("body.read (16 bytes)", |_| keep(body::read(0, 16))),
    ("body.kind", |_| keep(body::kind("/messages/1/content"))),
    ("body.text", |_| keep(body::text("/messages/1/role"))),
    ("body.number", |_| keep(body::number("/max_tokens"))),
    ("body.boolean", |_| keep(body::boolean("/stream"))),
    ("body.length", |_| keep(body::length("/messages"))),
    ("body.keys", |_| keep(body::keys("/messages/1"))),
    ("reply.reject", |_| reply::reject(429, "bench", "Too much of it")),
    ("reply.send", |_| reply::send(200, "text/plain", b"enough")),
    ("state.cell.get", |handles| keep(handles.cell.get())),
    ("state.cell.set", |handles| handles.cell.set(1)),
    ("state.cell.add", |handles| keep(handles.cell.add(1))),
    ("state.cell.compare-exchange", |handles| keep(handles.cell.compare_exchange(0, 0))),
    ("pressure.read", |_| keep(pressure::read())),
    ("metrics.counter.add", |handles| handles.counter.add(1)),
    ("metrics.gauge.set", |handles| handles.gauge.set(1.0)),
    ("health.report", |_| health::report("bench", health::Status::Ok, "well")),
    ("log.write (below the level)", |_| log::write(log::Level::Trace, "nobody reads this")),
    ("clock.now-micros", |_| keep(clock::now())),
    ("random.next", |_| keep(random::next())),
];

impl Filter for Caller {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        let found = CALLS.iter().find(|(name, _)| *name == config.call);
        let Some((_, call)) = found else { return Err(format!("call: there is no `{}`", config.call)) };
        let handles = Handles {
            cell: Cell::open("bench"),
            counter: Counter::open("bench_calls", "Counted by the benchmark.", &[]),
            gauge: Gauge::open("bench_level", "Set by the benchmark.", &[]),
        };
        Ok(Self { call: *call, times: config.times, handles })
    }
}

impl OnRequest for Caller {
    fn on_request(&self) -> Verdict {
        for _ in 0..self.times {
            (self.call)(&self.handles);
        }
        Verdict::Proceed
    }
}

tollgate_sdk::export!(Caller: on_request);
