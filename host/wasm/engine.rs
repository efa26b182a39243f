//! One `wasmtime` engine for the process, with the settings that the chain's cost rests on, and the thread that makes
//! its time limits tick.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The grain of filters' time limits.
const TICK: Duration = Duration::from_millis(1);

/// How many instances may live at once, of all filters on all workers. Only address space is taken beforehand:
/// 6 GiB a slot, of the 128 TiB that a process has.
const MAX_INSTANCES: u32 = 4096;

/// How much of a memory is put back by copying when its instance ends, in bytes.
const KEPT: usize = 1 << 20;

/// What becomes of an instance's memory when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slots {
    /// The kernel takes it back: for instances that live long.
    Emptied,
    /// What was written is put back as it was, where the kernel says what that is (`PAGEMAP_SCAN`, since 6.7): for a fresh
    /// instance with every exchange. To give memory back and fault on it again costs 10 µs an instance, and workers wait
    /// for each other at it: two of them did less than one.
    Refilled,
}

/// Whether the kernel's word on written pages can be taken. It passes over pages that are swapped out, and with them what
/// an exchange wrote there: so not where there is swap. (A page that is being moved in that very moment is passed over,
/// too; [`Instance`](super::Instance)'s end looks at each page first, and so waits for the move.)
fn can_scan() -> bool {
    let swaps = std::fs::read_to_string("/proc/swaps");
    PoolingAllocationConfig::is_pagemap_scan_available()
        && swaps.is_ok_and(|swaps| swaps.lines().count() <= 1)
}

/// The settings, and why.
pub(super) fn config(cache: Option<&Path>, slots: Slots) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // Filters' exports are plain functions. With concurrency on, each call builds a task: two to three times the cost.
    config.concurrency_support(false);
    // The canonical ABI has addresses of 32 bits; memories of 64 would only be one more thing to bound.
    config.wasm_memory64(false);
    // A filter that loops is stopped by the clock. Epochs cost nothing on small calls; fuel costs a third.
    config.epoch_interruption(true);
    // A trap's innermost frames go to the log; more would only be noise in one line.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(8));
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    if let Some(directory) = cache {
        config.cache(Some(Cache::new(CacheConfig::new().with_directory(directory).clone())?));
    }
    Ok(config)
}

/// A limit in ticks, rounded up; one more, since the tick under way is partly over.
pub(super) fn ticks(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX - 1).saturating_add(1)
}

/// Slots for instances: taking one is a few table entries, not an `mmap`.
fn pool(slots: Slots) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MAX_INSTANCES);
    // A component that came from a module brings two small core instances of its own, to link itself.
    pool.total_core_instances(4 * MAX_INSTANCES);
    pool.total_memories(MAX_INSTANCES);
    pool.total_tables(2 * MAX_INSTANCES);
    // A guest that may wait has a stack of its own, and only while a call of it lasts.
    pool.total_stacks(MAX_INSTANCES);
    // A JavaScript or Python engine has more than the default of both.
    pool.max_component_instance_size(4 << 20);
    pool.max_core_instance_size(4 << 20);
    pool.table_elements(100_000);
    pool.max_tables_per_module(4);
    if slots == Slots::Refilled && can_scan() {
        pool.pagemap_scan(Enabled::Yes);
        pool.linear_memory_keep_resident(KEPT);
        pool.table_keep_resident(KEPT);
    }
    pool
}

/// The thread that advances the engine's epoch once a [`TICK`]; it stops when this is dropped.
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, engine) = (stop.clone(), engine.clone());
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A ticker that panicked has nothing left to stop.
            let _ = thread.join();
        }
    }
}
