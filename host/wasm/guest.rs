//! What belongs to an instance while it lives (its limits, its handles, the exchange in hand), and what belongs to its
//! filter, on all workers, for as long as the process runs.

use std::sync::Arc;
use std::time::Duration;

use super::abi::Linear;
use super::handles::Handles;
use super::limiter::Limiter;
use super::overtime::Overtime;
use super::wasi::Wasi;
use crate::exchange::Exchange;
use crate::headers::Fields;
use crate::health::Board;
use crate::manifest::Origin;
use crate::pressure::Pressure;
use crate::state::Cells;
use crate::telemetry::Telemetry;

/// What the host offers to every filter.
#[derive(Debug, Clone)]
pub struct Host {
    /// Figures.
    pub telemetry: Arc<Telemetry>,
    /// How busy the process is.
    pub pressure: Arc<Pressure>,
    /// What filters report of their health.
    pub health: Arc<Board>,
}

/// A filter as the manifest has it, shared by its instances on all workers.
#[derive(Debug)]
pub struct Filter {
    /// Its name in the manifest.
    pub name: String,
    /// Its place in the chain; also of its slot in an exchange.
    pub index: usize,
    /// Its configuration, as JSON text.
    pub config: String,
    /// How long a call may take.
    pub time: Duration,
    /// How many bytes of memory an instance may have.
    pub memory: u64,
    /// How long a call may wait, computing included, if it can wait.
    pub wait: Duration,
    /// How many instances a worker may have at once.
    pub instances: usize,
    /// The origins that it may send requests to.
    pub origins: Vec<Origin>,
    /// It runs and is counted, and decides nothing: what it would change stays as it is.
    pub shadow: bool,
    /// Its numbers.
    pub cells: Arc<Cells>,
    /// What the host offers.
    pub host: Host,
}

/// The data of an instance's store.
pub(super) struct Guest {
    pub(super) filter: Arc<Filter>,
    /// The exchange in hand, for the length of a call; between calls, a vacant one, so that taking an exchange in
    /// hand is a swap of two pointers.
    exchange: Box<Exchange>,
    in_hand: bool,
    pub(super) fields: Fields,
    pub(super) handles: Handles,
    pub(super) limiter: Limiter,
    pub(super) overtime: Overtime,
    /// A core module's memory, once it is instantiated; the component layer keeps a component's.
    pub(super) linear: Option<Linear>,
    /// The guest is making room for what it gets, and may not call the host meanwhile.
    pub(super) is_lowering: bool,
    /// What a guest finds of WASI, if it imports any.
    pub(super) wasi: Option<Box<Wasi>>,
}

impl Guest {
    /// `has_wasi`: the guest imports some of WASI.
    pub(super) fn new(filter: Arc<Filter>, has_wasi: bool) -> Self {
        Self {
            wasi: has_wasi.then(|| Box::new(Wasi::new(&filter))),
            limiter: Limiter::new(filter.memory),
            overtime: Overtime::new(filter.time),
            filter,
            exchange: Box::new(Exchange::vacant()),
            in_hand: false,
            fields: Fields::default(),
            handles: Handles::default(),
            linear: None,
            is_lowering: false,
        }
    }

    /// Takes an exchange in hand for a call. What an earlier call was refused, or took too long, is forgotten.
    pub(super) fn begin(&mut self, exchange: &mut Box<Exchange>) {
        self.limiter.begin();
        self.is_lowering = false;
        self.overtime.begin();
        self.swap(exchange);
    }

    /// Takes an exchange in hand, or gives it back.
    pub(super) fn swap(&mut self, exchange: &mut Box<Exchange>) {
        std::mem::swap(&mut self.exchange, exchange);
        self.in_hand = !self.in_hand;
    }

    /// Where the guest's arena is, if it keeps one.
    pub(super) fn arena(&self) -> Option<u32> {
        self.linear.as_ref().and_then(|linear| linear.arena)
    }

    /// The exchange in hand. Calling for it outside a phase is an error of the guest: it traps.
    pub(super) fn exchange(&mut self) -> wasmtime::Result<&mut Exchange> {
        self.exchange_and_fields().map(|(exchange, _)| exchange)
    }

    /// The exchange in hand, and the names of fields that the filter uses.
    pub(super) fn exchange_and_fields(&mut self) -> wasmtime::Result<(&mut Exchange, &mut Fields)> {
        if self.in_hand {
            return Ok((&mut self.exchange, &mut self.fields));
        }
        Err(wasmtime::Error::msg("there is no exchange in hand here: `configure` sees none"))
    }

    /// The id of the exchange in hand; empty if there is none.
    pub(super) fn exchange_id(&self) -> &str {
        &self.exchange.id
    }
}
