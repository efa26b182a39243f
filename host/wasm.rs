//! The only door to `wasmtime`: filters go in as bytes and come out as instances whose phases can be called.
//!
//! A component comes in by one of two doors. If it is one core module and imports nothing but the contract, as filters on
//! the Rust SDK are, its module is linked straight to the host's functions (`direct`, `abi`); every other one goes through
//! the component layer (`component`). Both are made from `wit/` when the host is built (`doors`), call the same functions
//! (`imports`), and are tested against each other (`tests/doors.rs`).
//!
//! A component that imports WASI may wait: its calls run on stacks of their own (`component::wait`), and the worker goes on
//! with other exchanges meanwhile. That makes a call dearer, so it is only for those.
//!
//! What was tried, and what it gave (`cargo bench`, nanoseconds, one core of an AMD EPYC, release profile):
//!
//! | | component layer | direct door |
//! |---|---|---|
//! | calling a phase that does nothing | 280 | 52 |
//! | reading a header | 400 | 98 |
//! | setting one | 310 | 92–140 |
//! | adding to a shared cell | 127 | 17 |
//! | the five shipped filters on a chat request of 1 KiB | 15 700 | 9 400 |
//!
//! * Concurrency support off: on, it makes a task of each call, at two to three times the cost. Epochs for time limits:
//!   nothing on small calls. One `Store` an instance, so that a trap stays in its filter. The exchange is moved into the store
//!   for the length of a call.
//! * A string for the guest: through `cabi_realloc` it cost more than the call that asked for it. The SDK's arena (`abi`)
//!   lets the host put it there by itself: from 108 to 49 for `request.method`.
//! * Names of header fields are parsed once an instance (`headers::Fields`), and heads counted only when they may have grown
//!   too large (`headers::Room`): setting a header went from 204 to 92.
//! * Half of what is left of reading a header is the map of fields and two checks for UTF-8; the other half is `wasmtime`'s
//!   way in and out, and the guest's own `String`.
//! * A fresh instance an exchange: 8 µs with two header reads, and no more for a filter whose configuration takes long,
//!   since it begins from an image of the configured one (`image`). Putting a memory back by copying the pages that were
//!   written (`PAGEMAP_SCAN`) needs one system call; giving it back to the kernel took 16.5 µs on one worker and 21 on two. The types of an instance's functions
//!   are looked at when they are first called: the registry that knows them is shared, and was what two workers waited for.

mod abi;
mod bindings;
mod call;
mod callout;
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
mod wasi;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use wasmtime::Linker;
use wasmtime::component as components;

pub use bindings::health::Status as HealthStatus;
pub use bindings::types::{Advice, ChunkAction, Ending, Outcome, Verdict};
pub use call::{AfterAttempt, Ask, Call, OnComplete, OnResponseChunk};
pub use fault::Fault;
pub use guest::{Filter, Host};
pub use instance::Instance;
pub use program::{Door, Import, LoadError, Program, digest};

/// Compiles filters, and makes their time limits tick.
pub struct Engine {
    engine: wasmtime::Engine,
    linkers: program::Linkers,
    images: OnceLock<Images>,
    _ticker: engine::Ticker,
}

/// Another engine, for images of configured filters. What is in a configuration may be secret, and so is an image: this
/// engine keeps nothing on disk.
struct Images {
    engine: wasmtime::Engine,
    linker: Linker<guest::Guest>,
    _ticker: engine::Ticker,
}

impl Images {
    fn new() -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(&engine::config(None, engine::Slots::Refilled)?)?;
        let mut linker = Linker::new(&engine);
        doors::direct(&mut linker)?;
        let ticker = engine::Ticker::start(&engine)?;
        Ok(Self { engine, linker, _ticker: ticker })
    }
}

impl Engine {
    /// An engine that keeps what it compiled under `cache`, if given, and opens the direct door to filters that fit
    /// through it, unless `door` is [`Door::Component`]. It fails where the machine has no address space to give, or the
    /// cache's directory cannot be made.
    pub fn new(cache: Option<&Path>, door: Door) -> wasmtime::Result<Arc<Self>> {
        let engine = wasmtime::Engine::new(&engine::config(cache, engine::Slots::Emptied)?)?;
        let mut component = components::Linker::new(&engine);
        doors::component(&mut component)?;
        wasi::link(&mut component)?;
        let mut direct = Linker::new(&engine);
        doors::direct(&mut direct)?;
        let linkers = program::Linkers { component, direct: Some(direct).filter(|_| door == Door::Direct) };
        let ticker = engine::Ticker::start(&engine)?;
        Ok(Arc::new(Self { engine, linkers, images: OnceLock::new(), _ticker: ticker }))
    }

    /// Compiles a component, or a core module that carries its component type, and checks it against the contract.
    /// Compiling takes a moment (a second a megabyte, on one core): not on a worker.
    pub fn load(&self, bytes: &[u8]) -> Result<Program, LoadError> {
        Program::load(&self.engine, &self.linkers, bytes)
    }

    /// The program as it is once it has been configured for this filter, so that instances need not be: for filters that
    /// get a fresh one for each exchange. It is compiled once more, every time.
    ///
    /// # Errors
    /// It goes through the component layer, keeps things where they cannot be copied, or too many of them; or it could
    /// not be started. Then each of its instances has to be configured.
    pub fn preconfigure(&self, program: &Program, filter: &Arc<Filter>) -> wasmtime::Result<Program> {
        let images = match self.images.get() {
            Some(images) => images,
            None => {
                let images = Images::new()?;
                self.images.get_or_init(|| images)
            }
        };
        let instrumented = program.instrumented(&self.engine, &self.linkers)?;
        program.preconfigured(&instrumented, filter, &images.engine, &images.linker)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
