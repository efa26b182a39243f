//! What a chain needs around it to be called: an engine, a manifest, a worker's counters, and exchanges.

use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header, request};
use tollgate::assembly::{Assembler, Trial};
use tollgate::body::BufferedBody;
use tollgate::chain::{Chain, Entry, Run, Walks};
use tollgate::exchange::{Exchange, Names};
use tollgate::health::Board;
use tollgate::manifest;
use tollgate::pressure::Pressure;
use tollgate::telemetry::{self, Telemetry};
use tollgate::wasm::{Door, Engine, Host};

/// A chat request's body, of 1 KiB.
pub(crate) const CHAT: &str = include_str!("chat.json");

/// An engine that opens filters that way. Compiled filters are kept for the next run.
fn engine(door: Door) -> Arc<Engine> {
    Engine::new(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")), door).expect("an engine")
}

/// What comes of it, where no filter waits.
pub(crate) fn at_once<F: Future>(walk: F) -> F::Output {
    match pin!(walk).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a filter waits"),
    }
}

/// Filters, assembled: what workers share.
pub(crate) struct Cast {
    entries: Vec<Entry>,
    names: Vec<String>,
    telemetry: Arc<Telemetry>,
}

impl Cast {
    /// The filters of the manifest `text`, opened through `door`.
    pub(crate) fn new(door: Door, text: &str) -> Self {
        let manifest =
            manifest::parse(text, "bench", &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let telemetry = Telemetry::new("bench").expect("a namespace");
        let pressure = Pressure::new(telemetry.clone(), Path::new("/"));
        pressure.sample();
        let host = Host { telemetry: telemetry.clone(), pressure, health: Arc::new(Board::default()) };
        let assembled = Assembler::new(engine(door), host).assemble(manifest, None, Trial::Start);
        let assembly = assembled.unwrap_or_else(|refusals| {
            panic!("{}", refusals.iter().map(ToString::to_string).collect::<String>())
        });
        let names = assembly.manifest.filters.iter().map(|filter| filter.name.clone()).collect();
        Self { entries: assembly.entries, names, telemetry }
    }

    /// The chain on one more worker: this thread.
    pub(crate) fn stage(&self) -> Stage {
        let worker = self.telemetry.worker();
        let chain = Chain::new(&self.entries, |name| worker.filter(name), None);
        (0..self.entries.len()).for_each(|index| at_once(chain.warm_up(index)).expect("instances"));
        Stage {
            filters: self.names.clone(),
            chain: Rc::new(chain),
            names: Arc::new(Names {
                route: "chat".into(),
                upstream: "main".into(),
                provider: "openai".into(),
            }),
            request: head(),
            body: CHAT.into(),
            _worker: worker,
        }
    }
}

/// A chain on one worker.
pub(crate) struct Stage {
    /// The names of its filters, in order.
    pub(crate) filters: Vec<String>,
    chain: Rc<Chain>,
    names: Arc<Names>,
    request: request::Parts,
    body: Bytes,
    _worker: telemetry::Worker,
}

impl Stage {
    /// The chain of the manifest `text`, opened through `door`.
    pub(crate) fn new(door: Door, text: &str) -> Self {
        Cast::new(door, text).stage()
    }

    /// The walks of a route with these filters.
    pub(crate) fn walks(&self, filters: &[usize]) -> Rc<Walks> {
        Rc::new(Walks::new(&self.chain, filters))
    }

    /// A chat request whose body has arrived, at the beginning of its walk.
    pub(crate) fn run(&self, walks: &Rc<Walks>) -> Run {
        let client = [192, 0, 2, 1].into();
        let timeout = Duration::from_secs(60);
        let request = self.request.clone();
        let id = "0198f2c0a1b24c3d".to_owned();
        let mut exchange = Exchange::new(request, id, client, self.names.clone(), timeout);
        exchange.body = Some(BufferedBody::new(self.body.clone()));
        Run::new(Box::new(exchange), self.chain.clone(), walks.clone())
    }
}

/// The head of a chat request, with the fields that clients of the API send.
fn head() -> request::Parts {
    Request::builder()
        .method(Method::POST)
        .uri("/v1/chat/completions")
        .header(header::HOST, "api.example.com")
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, CHAT.len())
        .header(header::USER_AGENT, "OpenAI/Python 1.99.1")
        .header(header::AUTHORIZATION, "Bearer sk-0123456789abcdef0123456789abcdef")
        .header("x-request-id", "0198f2c0a1b24c3d")
        .body(())
        .expect("a request")
        .into_parts()
        .0
}

/// Builds the filter that calls imports, where the shipped filters were built and with their profile; returns the path of
/// its module.
pub(crate) fn guest() -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("filters");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--profile", "filter"]);
    cargo.args(["--target", "wasm32-unknown-unknown", "-p", "bench-guest", "--target-dir"]).arg(&target);
    for setting in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(setting);
    }
    assert!(cargo.status().expect("cargo").success(), "the benchmarks' filter does not build");
    target.join("wasm32-unknown-unknown/filter/bench_guest.wasm").display().to_string()
}
