//! What a full run measures beside the contenders: how the cost grows, and what else costs. A part each, in a table
//! each; a part that fails is left out with a line that says why.

mod bodies;
mod chain;
mod connections;
mod isolation;
mod latency;
mod loading;
mod memory;
mod reload;
mod streams;
mod workers;

use super::chart;
use super::contenders::Contender;
use super::progress::Progress;
use super::report::Section;
use super::rounds::{self, Measured, Plan};
use super::setup::Setup;
use super::targets::Figures;

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Everyone side by side: what the targets are about.
    Contenders,
    /// Latency at half load, with five filters and without.
    Latency,
    /// Cost as the chain grows from 0 to 32 filters.
    Chain,
    /// Cost from 1 to 10 000 connections.
    Connections,
    /// Cost of bodies up to 1 MiB.
    Bodies,
    /// How late a server-sent event arrives.
    Streams,
    /// Memory of an idle connection and of an instance.
    Memory,
    /// Time to load a chain.
    Loading,
    /// Time to reload a chain, and what requests feel of it.
    Reload,
    /// Two workers against one.
    Workers,
    /// An instance per request against one per worker.
    Isolation,
}

impl Part {
    /// The parts in which a contender's figures do not stand alone.
    pub(crate) const FURTHER: [Self; 10] = [
        Self::Latency,
        Self::Chain,
        Self::Connections,
        Self::Bodies,
        Self::Streams,
        Self::Memory,
        Self::Loading,
        Self::Reload,
        Self::Workers,
        Self::Isolation,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Contenders => "Contenders",
            Self::Latency => "Latency at half load",
            Self::Chain => "Cost as the chain grows",
            Self::Connections => "Cost by number of connections",
            Self::Bodies => "Cost of bodies",
            Self::Streams => "Server-sent events",
            Self::Memory => "Memory",
            Self::Loading => "Time to load the shipped chain",
            Self::Reload => "Reload of the shipped chain",
            Self::Workers => "Two workers against one",
            Self::Isolation => "An instance per request against one per worker",
        }
    }
}

/// What parts work with, and what they find.
pub(crate) struct Bench<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) progress: &'a Progress,
    /// For the targets.
    pub(crate) figures: Figures,
    /// The cost by the chain's length, for the plot.
    pub(crate) growth: Vec<chart::Line>,
}

/// A table's columns and rows, and what the figures are.
struct Table {
    note: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl<'a> Bench<'a> {
    /// With nothing found yet.
    pub(crate) fn new(setup: &'a Setup, progress: &'a Progress) -> Self {
        Self { setup, progress, figures: Figures::new(), growth: Vec::new() }
    }

    /// Measures one of [`Part::FURTHER`].
    pub(crate) fn measure(&mut self, part: Part) -> Option<Section> {
        self.progress.part(part.title());
        let table = match part {
            Part::Contenders => return None,
            Part::Latency => latency::measure(self),
            Part::Chain => chain::measure(self),
            Part::Connections => connections::measure(self),
            Part::Bodies => bodies::measure(self),
            Part::Streams => streams::measure(self),
            Part::Memory => memory::measure(self),
            Part::Loading => loading::measure(self),
            Part::Reload => reload::measure(self),
            Part::Workers => workers::measure(self),
            Part::Isolation => isolation::measure(self),
        };
        let table = table.inspect_err(|problem| self.progress.left_out(part.title(), problem)).ok()?;
        let Table { note, columns, rows } = table;
        Some(Section { title: part.title().to_owned(), note, columns, rows })
    }

    /// Measures contenders, of which none may fail.
    fn rounds(&self, contenders: &[Contender], plan: &Plan) -> Result<Vec<Measured>, String> {
        let measured = rounds::run(self.setup, contenders, plan, self.progress);
        if measured.len() == contenders.len() { Ok(measured) } else { Err("a contender failed".to_owned()) }
    }
}

impl Table {
    fn new(note: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { note: note.to_owned(), columns, rows: Vec::new() }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// A short measurement: few rounds of a second, no system calls.
const BRIEF: Plan = Plan { rounds: 3, seconds: 1, connections: 16, pause: 0, count_calls: false };

/// CPU time a request, with its spread.
fn cpu(measured: &Measured) -> String {
    let cpu = &measured.cpu;
    format!("{:.1} ({:.1}–{:.1})", cpu.median, cpu.min, cpu.max)
}
