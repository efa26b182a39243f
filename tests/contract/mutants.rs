//! Filters with some bytes changed at random: loaded, started and called, or refused; never a panic, never a hang.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tollgate::exchange::{Exchange, Names};
use tollgate::health::Board;
use tollgate::pressure::Pressure;
use tollgate::state::Cells;
use tollgate::telemetry::Telemetry;
use tollgate::wasm::{
    AfterAttempt, Ask, Door, Ending, Engine, Fault, Filter, Host, Instance, OnComplete, OnResponseChunk,
    Outcome,
};

use super::{component, filter};
use crate::support::tollgate::{command, directory};

pub(super) fn engine() -> Arc<Engine> {
    Engine::new(None, Door::Direct).unwrap()
}

/// A filter of the manifest's, under tight limits.
fn limited() -> Arc<Filter> {
    let telemetry = Telemetry::new("mutants").unwrap();
    let pressure = Pressure::new(telemetry.clone(), Path::new("/"));
    Arc::new(Filter {
        name: "mutant".into(),
        index: 0,
        config: "{}".into(),
        time: Duration::from_millis(5),
        wait: Duration::from_secs(1),
        memory: 1 << 20,
        instances: 1,
        origins: Vec::new(),
        shadow: false,
        cells: Arc::new(Cells::default()),
        host: Host { telemetry, pressure, health: Arc::new(Board::default()) },
    })
}

/// Calls everything that the filter has; how many calls were without a fault.
fn call_all(mut instance: Instance) -> usize {
    let (request, ()) = http::Request::get("/path").body(()).unwrap().into_parts();
    let names = Arc::<Names>::default();
    let client = IpAddr::from([127, 0, 0, 1]);
    let mut exchange = Box::new(Exchange::new(request, "id".into(), client, names, Duration::from_secs(1)));
    let (outcome, elapsed) = (Outcome::Status(200), Duration::ZERO);
    let asked = [Ask::Request, Ask::RequestBody, Ask::BeforeAttempt(1), Ask::Response];
    let mut calls: Vec<Result<(), Fault>> =
        asked.iter().map(|ask| instance.call(&mut exchange, *ask).map(drop)).collect();
    calls.push(instance.call(&mut exchange, AfterAttempt { number: 1, outcome, elapsed }).map(drop));
    calls.push(instance.call(&mut exchange, OnResponseChunk { chunk: b"chunk", last: true }).map(drop));
    calls.push(instance.call(&mut exchange, OnComplete { ending: Ending::Complete, elapsed }));
    calls.iter().filter(|call| call.is_ok()).count()
}

/// The bytes with `count` of them changed.
fn mutated(bytes: &[u8], count: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut mutant = bytes.to_vec();
    for _ in 0..count {
        let place = random.usize(..mutant.len());
        mutant[place] = random.u8(..);
    }
    mutant
}

#[test]
fn a_changed_filter_is_refused_or_runs_within_its_limits() {
    let module = std::fs::read(filter().build()).unwrap();
    let (engine, limits) = (engine(), limited());
    let (mut loaded, mut started, mut refused) = (0, 0, 0);
    for (bytes, kind) in [(&module, "module"), (&component(&module), "component")] {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            // Many changes are caught early; a few reach deeper.
            let count = if seed % 4 == 0 { bytes.len() / 100 } else { 1 };
            let mutant = mutated(bytes, count, &mut random);
            let tried = catch_unwind(AssertUnwindSafe(|| match engine.load(&mutant) {
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().contains('\n'), "one line: {error}");
                }
                Ok(program) => {
                    loaded += 1;
                    if let Ok(instance) = Instance::new(&program, &limits) {
                        started += 1;
                        call_all(instance);
                    }
                }
            }));
            assert!(tried.is_ok(), "the {kind} with {count} bytes changed under seed {seed} makes it panic");
        }
    }
    assert!(
        refused > 50 && loaded > 50 && started > 50,
        "{refused} refused, {loaded} loaded, {started} started"
    );
    let whole = Instance::new(&engine.load(&module).unwrap(), &limits).unwrap();
    assert_eq!(call_all(whole), 7, "unchanged, it runs");
}

#[test]
fn the_program_itself_survives_changed_filters() {
    let module = std::fs::read(filter().build()).unwrap();
    let file = directory().join("mutant.wasm");
    for seed in 1000..1030 {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = if seed % 2 == 0 { module.len() / 100 } else { 2 };
        std::fs::write(&file, mutated(&module, count, &mut random)).unwrap();
        let output = command().arg("inspect").arg(&file).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "seed {seed}: {:?} {errors}", output.status);
        assert!(!errors.contains("panicked") && errors.lines().count() <= 1, "seed {seed}: {errors}");
    }
}
