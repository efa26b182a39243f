//! From a manifest to what workers need: every filter found, compiled, checked and tried. It is all or nothing: the
//! first worker sees a chain that can serve.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::chain::Entry;
use crate::manifest::{self, Component, Isolation, Manifest, Mode};
use crate::state::Cells;
use crate::wasm::{Engine, Fault, Filter, Host, Instance, LoadError, Program};

mod builtin {
    //! The filters that ship with Tollgate, as core modules that carry their component type.
    include!(concat!(env!("OUT_DIR"), "/builtin.rs"));
}

/// A filter's file may not be larger than this, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// What workers are made from.
#[derive(Debug)]
pub struct Assembly {
    /// The manifest.
    pub manifest: Manifest,
    /// The chain, in order.
    pub entries: Vec<Entry>,
}

/// A filter that cannot serve.
#[derive(Debug)]
pub struct Refusal {
    /// Its name in the manifest.
    pub filter: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a filter.
#[derive(Debug)]
pub enum Problem {
    /// There is no such filter in Tollgate itself.
    UnknownBuiltin(String),
    /// Its file cannot be read.
    Unreadable(String),
    /// It does not fit the contract.
    Unfit(LoadError),
    /// It could not be started: it trapped, took too long, wanted too much, or refused its configuration.
    Unstartable(Fault),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter `{}`: {}", self.filter, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownBuiltin(name) => {
                write!(f, "there is no builtin filter `{name}`; there are {}", builtin_names().join(", "))
            }
            Self::Unreadable(why) => f.write_str(why),
            Self::Unfit(error) => error.fmt(f),
            Self::Unstartable(fault) if fault.kind == crate::telemetry::FaultKind::Config => {
                write!(f, "it refuses its configuration: {}", fault.message)
            }
            Self::Unstartable(fault) => write!(f, "it cannot be started: {fault}"),
        }
    }
}

impl Assembly {
    /// Brings a chain together. Every filter is looked at, so that all refusals come at once.
    pub fn new(manifest: Manifest, engine: &Engine, host: &Host) -> Result<Self, Vec<Refusal>> {
        let mut entries = Vec::new();
        let mut refusals = Vec::new();
        for (index, filter) in manifest.filters.iter().enumerate() {
            match assemble(filter, index, engine, host) {
                Ok(entry) => entries.push(entry),
                Err(problem) => refusals.push(Refusal { filter: filter.name.clone(), problem }),
            }
        }
        if refusals.is_empty() { Ok(Self { manifest, entries }) } else { Err(refusals) }
    }
}

fn assemble(filter: &manifest::Filter, index: usize, engine: &Engine, host: &Host) -> Result<Entry, Problem> {
    let program = match &filter.component {
        Component::Builtin(name) => engine.load(builtin(name)?),
        Component::File(path) => engine.load(&read_filter(path).map_err(Problem::Unreadable)?),
    };
    let mut entry = Entry {
        program: program.map_err(Problem::Unfit)?,
        filter: Arc::new(Filter {
            name: filter.name.clone(),
            index,
            config: filter.config.to_string(),
            time: filter.limits.time,
            memory: filter.limits.memory,
            shadow: filter.mode == Mode::Shadow,
            cells: Arc::new(Cells::default()),
            host: host.clone(),
        }),
        on_error: filter.on_error,
        isolation: filter.isolation,
    };
    check_config(&entry.program, filter)?;
    Instance::new(&entry.program, &entry.filter).map_err(Problem::Unstartable)?;
    if entry.isolation == Isolation::Request {
        let configured = engine.preconfigure(&entry.program, &entry.filter).map_err(Problem::Unstartable)?;
        entry.program = configured.unwrap_or(entry.program);
    }
    Ok(entry)
}

/// A configuration that nobody reads is a mistake of its author's.
fn check_config(program: &Program, filter: &manifest::Filter) -> Result<(), Problem> {
    let given = filter.config.as_object().is_some_and(|config| !config.is_empty());
    if given && !program.has_lifecycle {
        let message = "it takes none (it does not export `lifecycle`); remove its `config`".into();
        return Err(Problem::Unstartable(Fault { kind: crate::telemetry::FaultKind::Config, message }));
    }
    Ok(())
}

fn builtin(name: &str) -> Result<&'static [u8], Problem> {
    let found = builtin::BUILTIN.iter().find(|(known, _)| *known == name);
    found.map(|(_, bytes)| *bytes).ok_or_else(|| Problem::UnknownBuiltin(name.to_owned()))
}

/// The names of the filters that ship with Tollgate.
pub fn builtin_names() -> Vec<&'static str> {
    builtin::BUILTIN.iter().map(|(name, _)| *name).collect()
}

/// The bytes of the filter that `reference` names: `builtin:NAME`, or a file.
pub fn find_filter(reference: &str) -> Result<Vec<u8>, String> {
    match reference.strip_prefix("builtin:") {
        Some(name) => builtin(name).map(<[u8]>::to_vec).map_err(|problem| problem.to_string()),
        None => read_filter(Path::new(reference)),
    }
}

/// A filter's file. Only a plain file of a sensible size is read: a FIFO would never end, and a wrong path may lead to
/// anything.
fn read_filter(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("`{}` is no file", path.display()));
    }
    if metadata.len() > MAX_FILE {
        return Err(format!("`{}` is larger than {} MiB", path.display(), MAX_FILE >> 20));
    }
    std::fs::read(path).map_err(unreadable)
}
