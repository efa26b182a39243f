//! The only door to `wasmtime`: filters go in as bytes and come out as instances whose phases can be called.
//!
//! What was measured, and led to this shape: free functions instead of handles; concurrency support off; one `Store`
//! an instance, so that a trap stays in its filter; epochs for time limits; the exchange moved into the store for the
//! length of a call. Figures are in the contract's draft notes and will be beside the benchmark.

mod abi;
mod bindings;
mod component;
mod direct;
mod doors;
mod engine;
mod fault;
mod guest;
mod handles;
mod image;
mod imports;
mod instance;
mod limiter;
mod overtime;
mod program;

use std::path::Path;
use std::sync::Arc;

use wasmtime::Linker;
use wasmtime::component as components;

pub use bindings::health::Status as HealthStatus;
pub use bindings::types::{Advice, ChunkAction, Ending, Outcome, Verdict};
pub use fault::Fault;
pub use guest::{Filter, Host};
pub use instance::Instance;
pub use program::{Door, Import, LoadError, Program};

/// Compiles filters, and makes their time limits tick.
pub struct Engine {
    engine: wasmtime::Engine,
    linkers: program::Linkers,
    _ticker: engine::Ticker,
}

impl Engine {
    /// An engine that keeps what it compiled under `cache`, if given, and opens the direct door to filters that fit
    /// through it, unless `door` is [`Door::Component`]. It fails where the machine has no address space to give, or the
    /// cache's directory cannot be made.
    pub fn new(cache: Option<&Path>, door: Door) -> wasmtime::Result<Arc<Self>> {
        let engine = wasmtime::Engine::new(&engine::config(cache)?)?;
        let mut component = components::Linker::new(&engine);
        doors::component(&mut component)?;
        let mut direct = Linker::new(&engine);
        doors::direct(&mut direct)?;
        let linkers = program::Linkers { component, direct: Some(direct).filter(|_| door == Door::Direct) };
        let ticker = engine::Ticker::start(&engine)?;
        Ok(Arc::new(Self { engine, linkers, _ticker: ticker }))
    }

    /// Compiles a component, or a core module that carries its component type, and checks it against the contract.
    /// Compiling takes a moment (a second a megabyte, on one core): not on a worker.
    pub fn load(&self, bytes: &[u8]) -> Result<Program, LoadError> {
        Program::load(&self.engine, &self.linkers, bytes)
    }

    /// The program as it is once it has been configured for this filter, so that instances need not be: for filters that
    /// get a fresh one for each exchange. None if that cannot be had: it goes through the component layer, or keeps
    /// things where they cannot be copied. It is compiled once more.
    pub fn preconfigure(&self, program: &Program, filter: &Arc<Filter>) -> Result<Option<Program>, Fault> {
        program.preconfigure(&self.engine, &self.linkers, filter)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
