//! From a manifest to what workers need: every filter found, compiled, checked and tried. It is all or nothing: workers
//! see only chains that can serve.

mod trial;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::chain::Entry;
use crate::file::{self, Unreadable};
use crate::manifest::{self, Component, Isolation, Manifest, Mode};
use crate::phase::Phase;
use crate::state::Registry;
use crate::wasm::{Engine, Fault, Filter, Host, LoadError, Program, digest};

use trial::Failed;
pub use trial::Trial;

mod builtin {
    //! The filters that ship with Tollgate, as core modules that carry their component type.
    include!(concat!(env!("OUT_DIR"), "/builtin.rs"));
}

/// A filter's file may not be larger than this, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// What workers are made from.
#[derive(Debug)]
pub struct Assembly {
    /// The manifest.
    pub manifest: Manifest,
    /// The chain, in order.
    pub entries: Vec<Entry>,
}

impl Assembly {
    /// The files of filters, with the digests of their content.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        let filters = self.manifest.filters.iter().zip(&self.entries);
        filters.filter_map(|(filter, entry)| Some((filter.component.file()?, entry.program.digest.as_str())))
    }
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
    /// There is nothing to try it with.
    Untried(String),
    /// It could not be started: it trapped, took too long, wanted too much, or refused its configuration.
    Unstartable(Fault),
    /// It failed in a phase of an exchange made up to try it.
    Failing(Phase, Fault),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter `{}`: {}", self.filter, self.problem)
    }
}

impl Problem {
    /// The refusal of a filter that has this problem.
    pub fn of(self, filter: &str) -> Refusal {
        Refusal { filter: filter.to_owned(), problem: self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownBuiltin(name) => {
                write!(f, "there is no builtin filter `{name}`; there are {}", builtin_names().join(", "))
            }
            Self::Unreadable(why) | Self::Untried(why) => f.write_str(why),
            Self::Unfit(error) => error.fmt(f),
            Self::Unstartable(fault) if fault.kind == crate::telemetry::FaultKind::Config => {
                write!(f, "it refuses its configuration: {}", fault.message)
            }
            Self::Unstartable(fault) => write!(f, "it cannot be started: {fault}"),
            Self::Failing(phase, fault) => write!(f, "it fails in `{phase}` when it is tried: {fault}"),
        }
    }
}

/// Makes assemblies, one after the other. What filters keep with the host lasts from one to the next, and what has not
/// changed is not made again.
#[derive(Debug)]
pub struct Assembler {
    engine: Arc<Engine>,
    host: Host,
    cells: Registry,
}

impl Assembler {
    /// An assembler of filters that `engine` compiles, for a process with this `host`.
    pub fn new(engine: Arc<Engine>, host: Host) -> Self {
        Self { engine, host, cells: Registry::default() }
    }

    /// Brings a chain together. Every filter is looked at, so that all refusals come at once; those that are not in
    /// `previous` just like that are tried, as far as `trial` says.
    pub fn assemble(
        &self,
        manifest: Manifest,
        previous: Option<&Assembly>,
        trial: Trial,
    ) -> Result<Assembly, Vec<Refusal>> {
        let mut entries = Vec::new();
        let mut refusals = Vec::new();
        let on_trial = trial::host(&self.host);
        for (index, filter) in manifest.filters.iter().enumerate() {
            let entry =
                on_trial.as_ref().map_err(|error| Problem::Untried(error.to_string())).and_then(|host| {
                    let attempt = Attempt { manifest: &manifest, filter, index, previous };
                    self.entry(&attempt, |entry| attempt.check(entry, trial, host))
                });
            match entry {
                Ok(entry) => entries.push(entry),
                Err(problem) => refusals.push(problem.of(&filter.name)),
            }
        }
        if refusals.is_empty() { Ok(Assembly { manifest, entries }) } else { Err(refusals) }
    }

    /// Lets go of what filters kept that have not been in an assembly for a while.
    pub fn release_unused(&self, used: &Assembly) {
        let names: Vec<_> = used.manifest.filters.iter().map(|filter| filter.name.as_str()).collect();
        self.cells.release_unused(&names, Instant::now());
    }

    fn entry(
        &self,
        attempt: &Attempt<'_>,
        check: impl FnOnce(&Entry) -> Result<(), Problem>,
    ) -> Result<Entry, Problem> {
        let filter = attempt.filter;
        let program = self.program(attempt)?;
        if let Some(same) = attempt.same(&program) {
            return Ok(same.clone());
        }
        let mut entry = Entry {
            program,
            filter: Arc::new(Filter {
                name: filter.name.clone(),
                index: attempt.index,
                config: filter.config.to_string(),
                time: filter.limits.time,
                wait: filter.limits.wait,
                memory: filter.limits.memory,
                instances: filter.limits.instances,
                origins: filter.grants.http.clone(),
                shadow: filter.mode == Mode::Shadow,
                cells: self.cells.open(&filter.name),
                host: self.host.clone(),
            }),
            on_error: filter.on_error,
            isolation: filter.isolation,
            max_reuse: filter.max_reuse,
        };
        // As it was loaded: what it does on trial must not reach what it keeps.
        check(&entry)?;
        if entry.isolation == Isolation::Request || entry.max_reuse.is_some() {
            match self.engine.preconfigure(&entry.program, &entry.filter) {
                Ok(program) => entry.program = program,
                Err(why) => {
                    let filter = entry.filter.name.as_str();
                    tracing::info!(filter, "each of its instances is configured anew: {why}");
                }
            }
        }
        Ok(entry)
    }

    /// The filter's code, compiled before if it can be.
    fn program(&self, attempt: &Attempt<'_>) -> Result<Program, Problem> {
        let bytes = match &attempt.filter.component {
            Component::Builtin(name) => match attempt.builtin(name) {
                Some(program) => return Ok(program.unconfigured()),
                None => builtin(name)?.into(),
            },
            Component::File(path) => Cow::Owned(read_filter(path).map_err(Problem::Unreadable)?),
        };
        if let Some(previous) = attempt.previous {
            let digest = digest(&bytes);
            if let Some(known) = previous.entries.iter().find(|entry| entry.program.digest == digest) {
                return Ok(known.program.unconfigured());
            }
        }
        self.engine.load(&bytes).map_err(Problem::Unfit)
    }
}

/// One filter, about to become part of an assembly.
struct Attempt<'a> {
    manifest: &'a Manifest,
    filter: &'a manifest::Filter,
    index: usize,
    previous: Option<&'a Assembly>,
}

impl<'a> Attempt<'a> {
    /// The same filter in the same place of the previous chain, with the same code.
    fn same(&self, program: &Program) -> Option<&'a Entry> {
        let previous = self.previous?;
        let entry = previous.entries.get(self.index)?;
        let unchanged = previous.manifest.filters.get(self.index) == Some(self.filter)
            && entry.program.digest == program.digest;
        unchanged.then_some(entry)
    }

    /// What the previous chain has of that builtin filter: it cannot have changed.
    fn builtin(&self, name: &str) -> Option<&'a Program> {
        let previous = self.previous?;
        let mut filters = previous.manifest.filters.iter().zip(&previous.entries);
        let is_it =
            |filter: &manifest::Filter| matches!(&filter.component, Component::Builtin(b) if b == name);
        filters.find(|(filter, _)| is_it(filter)).map(|(_, entry)| &entry.program)
    }

    fn check(&self, entry: &Entry, trial: Trial, host: &Host) -> Result<(), Problem> {
        check_config(&entry.program, self.filter)?;
        check_grants(&entry.program, self.filter)?;
        let names = trial::names(self.manifest, self.index);
        let tried = trial::run(trial, &entry.program, &entry.filter, host, names);
        tried.map_err(|Failed { phase, fault }| match phase {
            None => Problem::Unstartable(fault),
            Some(phase) => Problem::Failing(phase, fault),
        })
    }
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

/// A grant that nothing can come of is a mistake, too.
fn check_grants(program: &Program, filter: &manifest::Filter) -> Result<(), Problem> {
    if filter.grants.http.is_empty() || program.sends_requests() {
        return Ok(());
    }
    Err(Problem::Untried(
        "it sends no requests (it does not import `wasi:http/outgoing-handler`); remove `grants.http`".into(),
    ))
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

fn read_filter(path: &Path) -> Result<Vec<u8>, String> {
    file::read(path, MAX_FILE).map_err(|error| match error {
        Unreadable::Io(error) => format!("`{}` cannot be read: {error}", path.display()),
        Unreadable::NoFile => format!("`{}` is no file", path.display()),
        Unreadable::TooLarge(limit) => format!("`{}` is larger than {} MiB", path.display(), limit >> 20),
    })
}
