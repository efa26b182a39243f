//! A filter's code: compiled, checked against the contract, linked, and ready to be instantiated on any worker.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, Component};
use wasmtime::{Linker, Module, Store};

use super::fault::{Fault, one_line};
use super::guest::{Filter, Guest};
use super::handles::Handles;
use super::instance::{Exports, Instance};
use super::{component as layer, direct, wasi};
use crate::phase::Phase;

/// The package whose interfaces are the contract, and the version that this host speaks.
const PACKAGE: &str = "tollgate:filter/";
/// The contract's version.
pub(super) const VERSION: &str = "0.1.0";
/// What a component offers the host, besides phases.
const LIFECYCLE: &str = "lifecycle";
/// The interfaces of `host.wit`, and of the types that they share.
const IMPORTS: [&str; 13] = [
    "types", "exchange", "request", "response", "body", "reply", "state", "pressure", "metrics", "health",
    "log", "clock", "random",
];
/// The interfaces of `phases.wit`, and the phases that each brings.
const PHASES: [(&str, &[Phase]); 6] = [
    ("on-request", &[Phase::OnRequest]),
    ("on-request-body", &[Phase::OnRequestBody]),
    ("on-attempt", &[Phase::BeforeAttempt, Phase::AfterAttempt]),
    ("on-response", &[Phase::OnResponse]),
    ("on-response-chunk", &[Phase::OnResponseChunk]),
    ("on-complete", &[Phase::OnComplete]),
];

/// Why a filter was refused: one clear sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// Not WebAssembly, or not valid.
    Invalid(String),
    /// A core module without the custom section that says what component it is.
    NoComponentType(String),
    /// It imports what the contract does not offer.
    UnknownImport(String),
    /// It speaks another version of the contract.
    OtherVersion(String),
    /// It exports an interface of the contract's package that is no phase.
    UnknownPhase(String),
    /// It exports no phase.
    NoPhase,
    /// An import or an export has another type than the contract's.
    WrongType(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "it is not a valid WebAssembly component or module: {why}"),
            Self::NoComponentType(why) => write!(
                f,
                "it is a core module that carries no component type ({why}); build it with wit-bindgen, or make it a \
                 component with `wasm-tools component new`"
            ),
            Self::UnknownImport(name) => write!(
                f,
                "it imports `{name}`, which the contract does not offer and the manifest cannot grant; a filter may \
                 import the interfaces of `{PACKAGE}…@{VERSION}`, and those of WASI 0.2"
            ),
            Self::OtherVersion(name) => {
                write!(f, "it speaks another version of the contract (`{name}`); this host speaks {VERSION}")
            }
            Self::UnknownPhase(name) => {
                write!(f, "it exports `{name}`, which is no phase; the phases are {Known}")
            }
            Self::NoPhase => {
                write!(f, "it exports no phase, so it could never be called; the phases are {Known}")
            }
            Self::WrongType(why) => write!(f, "it does not fit the contract {VERSION}: {why}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// The phases' interfaces, listed.
struct Known;

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = PHASES.iter().map(|(name, _)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

/// An interface that a filter imports, by its full name.
pub type Import = String;

/// A filter's code.
#[derive(Clone)]
pub struct Program {
    /// SHA-256 of the bytes as they were given, in hexadecimal.
    pub digest: String,
    /// How many bytes were given.
    pub size: usize,
    /// The interfaces that it imports.
    pub imports: Vec<Import>,
    /// The phases that it takes part in, in the order of an exchange.
    pub phases: Vec<Phase>,
    /// True if it wants to be configured.
    pub has_lifecycle: bool,
    linked: Linked,
    /// What instances are made from instead, if they are to be configured from the beginning.
    configured: Option<Configured>,
}

/// The code, behind one of the doors.
#[derive(Clone)]
enum Linked {
    Direct(direct::Linked),
    Component(layer::Linked),
}

/// The code as it is once it has been configured for one filter.
#[derive(Clone)]
struct Configured {
    linked: direct::Linked,
    opened: Handles,
}

/// How the host and a filter talk to each other. The contract is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Door {
    /// Straight to the core module: for a component that holds one, and imports nothing but the contract.
    Direct,
    /// Through the component layer: for every other.
    Component,
    /// Through the component layer, on a stack of the filter's own: for those that import WASI, and so may wait.
    #[value(skip)]
    Waiting,
}

impl Door {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Component => "component",
            Self::Waiting => "waiting",
        }
    }
}

/// What programs are linked with.
pub(super) struct Linkers {
    pub(super) component: component::Linker<Guest>,
    /// None: every filter goes through the component layer.
    pub(super) direct: Option<Linker<Guest>>,
}

/// A phase, and the interface that exports it, by its full name.
pub(super) struct Exported {
    pub(super) interface: String,
    pub(super) phase: Phase,
}

impl Program {
    pub(super) fn load(
        engine: &wasmtime::Engine,
        linkers: &Linkers,
        bytes: &[u8],
    ) -> Result<Self, LoadError> {
        let component = as_component(engine, bytes)?;
        let plain = linkers.direct.as_ref().zip(direct::Plain::of(&component));
        // Types are checked on the component layer either way, which knows all about them.
        let typed = plain.as_ref().map_or(&*component, |(_, plain)| &plain.outline);
        let typed = Typed::new(engine, &linkers.component, typed)?;
        let direct = match &plain {
            Some((linker, plain)) => direct::Linked::new(engine, linker, &plain.module, &typed.exported)?,
            None => None,
        };
        let Typed { imports, phases, exported, linked } = typed;
        let linked = match (direct, plain) {
            (Some(linked), _) => Linked::Direct(linked),
            (None, None) => Linked::Component(linked),
            (None, Some(_)) => Linked::Component(Typed::new(engine, &linkers.component, &component)?.linked),
        };
        let has_lifecycle = exported.iter().any(|export| export.phase == Phase::Configure);
        let digest = digest(bytes);
        Ok(Self { digest, size: bytes.len(), imports, phases, has_lifecycle, linked, configured: None })
    }

    /// The version of the contract that it speaks.
    pub fn contract(&self) -> &'static str {
        VERSION
    }

    /// How it is called.
    pub fn door(&self) -> Door {
        match self.linked {
            Linked::Direct(_) => Door::Direct,
            Linked::Component(_) if self.waits() => Door::Waiting,
            Linked::Component(_) => Door::Component,
        }
    }

    /// True if its calls may wait for others: it imports some of WASI.
    pub fn waits(&self) -> bool {
        self.imports.iter().any(|import| wasi::offers(import))
    }

    /// True if it may send requests of its own.
    pub fn sends_requests(&self) -> bool {
        self.imports.iter().any(|import| import.starts_with("wasi:http/outgoing-handler@"))
    }

    /// The program with everything exported that an image of it is made from.
    pub(super) fn instrumented(
        &self,
        engine: &wasmtime::Engine,
        linkers: &Linkers,
    ) -> wasmtime::Result<Self> {
        let (Linked::Direct(linked), Some(linker)) = (&self.linked, &linkers.direct) else {
            return Err(wasmtime::Error::msg("it goes through the component layer"));
        };
        let instrumented = linked.instrumented(engine, linker)?;
        Ok(Self { linked: Linked::Direct(instrumented), ..self.unconfigured() })
    }

    /// The program as an instance of the `instrumented` one is once it has been configured, on an engine for images.
    pub(super) fn preconfigured(
        &self,
        instrumented: &Self,
        filter: &Arc<Filter>,
        engine: &wasmtime::Engine,
        linker: &Linker<Guest>,
    ) -> wasmtime::Result<Self> {
        let Linked::Direct(linked) = &self.linked else {
            return Err(wasmtime::Error::msg("it goes through the component layer"));
        };
        let unstarted = |fault: Fault| wasmtime::Error::msg(fault.to_string());
        let mut instance = Instance::new(instrumented, filter).map_err(unstarted)?;
        let (linked, opened) = instance.image(|store, core| linked.image(engine, linker, store, core))?;
        Ok(Self { configured: Some(Configured { linked, opened }), ..self.clone() })
    }

    /// The program as it was loaded, for any filter.
    #[must_use]
    pub fn unconfigured(&self) -> Self {
        Self { configured: None, ..self.clone() }
    }

    /// What instances have opened from the beginning; none if they have to be configured.
    pub(super) fn configured(&self) -> Option<&Handles> {
        self.configured.as_ref().map(|configured| &configured.opened)
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        match (&self.configured, &self.linked) {
            (Some(Configured { linked, .. }), _) | (None, Linked::Direct(linked)) => linked.engine(),
            (None, Linked::Component(linked)) => linked.pre.engine(),
        }
    }

    /// An instance, in `store`, of a filter that never waits.
    pub(super) fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Exports> {
        Ok(match (&self.configured, &self.linked) {
            (Some(configured), _) => Exports::Direct(configured.linked.instantiate(store, true)?.into()),
            (None, Linked::Direct(linked)) => Exports::Direct(linked.instantiate(store, false)?.into()),
            (None, Linked::Component(linked)) => Exports::Component(linked.instantiate(store)?.into()),
        })
    }

    /// An instance, in `store`, of any filter.
    pub(super) async fn instantiate_waiting(&self, store: &mut Store<Guest>) -> wasmtime::Result<Exports> {
        match &self.linked {
            Linked::Component(linked) if self.waits() => {
                Ok(Exports::Waiting(linked.instantiate_waiting(store).await?.into()))
            }
            _ => self.instantiate(store),
        }
    }
}

/// A component whose type is the contract's.
struct Typed {
    imports: Vec<Import>,
    phases: Vec<Phase>,
    exported: Vec<Exported>,
    linked: layer::Linked,
}

impl Typed {
    fn new(
        engine: &wasmtime::Engine,
        linker: &component::Linker<Guest>,
        bytes: &[u8],
    ) -> Result<Self, LoadError> {
        let component = compile(Component::new(engine, bytes))?;
        let imports = check_imports(engine, &component)?;
        let phases = check_exports(engine, &component)?;
        let pre =
            linker.instantiate_pre(&component).map_err(|error| LoadError::WrongType(one_line(&error)))?;
        let exported = exported(&component);
        let linked = layer::Linked::new(pre, &exported)?;
        Ok(Self { imports, phases, exported, linked })
    }
}

fn compile<T>(compiled: wasmtime::Result<T>) -> Result<T, LoadError> {
    compiled.map_err(|error| LoadError::Invalid(one_line(&error)))
}

/// SHA-256 of a filter's bytes, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("digest", &self.digest)
            .field("phases", &self.phases)
            .finish_non_exhaustive()
    }
}

/// The bytes of a component: as they are, or made from a core module by the component type that it carries.
fn as_component<'a>(
    engine: &wasmtime::Engine,
    bytes: &'a [u8],
) -> Result<std::borrow::Cow<'a, [u8]>, LoadError> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => encode(engine, bytes).map(Into::into),
        Some([0, b'a', b's', b'm', ..]) => Ok(bytes.into()),
        _ => Err(LoadError::Invalid("it does not begin with WebAssembly's magic bytes".into())),
    }
}

fn encode(engine: &wasmtime::Engine, module: &[u8]) -> Result<Vec<u8>, LoadError> {
    // The encoder takes for granted that sections end where they say.
    Module::validate(engine, module).map_err(|error| LoadError::Invalid(one_line(&error)))?;
    let refused = |error| LoadError::NoComponentType(format!("{error:#}").replace('\n', " "));
    wit_component::ComponentEncoder::default().module(module).and_then(|mut e| e.encode()).map_err(refused)
}

fn check_imports(engine: &wasmtime::Engine, component: &Component) -> Result<Vec<Import>, LoadError> {
    let ty = component.component_type();
    ty.imports(engine).map(|(name, _)| check_import(name)).collect()
}

fn check_import(full: &str) -> Result<Import, LoadError> {
    if wasi::offers(full) {
        return Ok(full.into());
    }
    let Some((name, version)) = contract_name(full) else {
        return Err(LoadError::UnknownImport(full.into()));
    };
    if !speaks(version) {
        return Err(LoadError::OtherVersion(full.into()));
    }
    if !IMPORTS.contains(&name) {
        return Err(LoadError::UnknownImport(full.into()));
    }
    Ok(full.into())
}

fn check_exports(engine: &wasmtime::Engine, component: &Component) -> Result<Vec<Phase>, LoadError> {
    let ty = component.component_type();
    let mut phases = Vec::new();
    for (full, item) in ty.exports(engine) {
        let Some((name, version)) = contract_name(full) else { continue };
        if !matches!(item.ty, ComponentItem::ComponentInstance(_)) || name == "types" {
            continue;
        }
        if !speaks(version) {
            return Err(LoadError::OtherVersion(full.into()));
        }
        match PHASES.iter().find(|(phase, _)| *phase == name) {
            Some((_, of)) => phases.extend_from_slice(of),
            None if name == LIFECYCLE => {}
            None => return Err(LoadError::UnknownPhase(full.into())),
        }
    }
    phases.sort_unstable();
    if phases.is_empty() { Err(LoadError::NoPhase) } else { Ok(phases) }
}

/// `tollgate:filter/request@0.1.0` → `request`, `0.1.0`; none for another package.
fn contract_name(full: &str) -> Option<(&str, &str)> {
    full.strip_prefix(PACKAGE).map(|name| name.split_once('@').unwrap_or((name, "")))
}

/// Versions `0.1.*` are compatible with each other.
fn speaks(version: &str) -> bool {
    version.strip_prefix("0.1.").is_some_and(|patch| patch.chars().all(|digit| digit.is_ascii_digit()))
}

/// The phases that a component exports, and its `configure`.
fn exported(component: &Component) -> Vec<Exported> {
    let lifecycle: (&str, &[Phase]) = (LIFECYCLE, &[Phase::Configure]);
    let mut found = Vec::new();
    for (interface, phases) in PHASES.into_iter().chain([lifecycle]) {
        let interface = format!("{PACKAGE}{interface}@{VERSION}");
        if component.get_export_index(None, &interface).is_some() {
            found.extend(phases.iter().map(|phase| Exported { interface: interface.clone(), phase: *phase }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        assert!(check_import("tollgate:filter/request@0.1.7").is_ok());
        assert_eq!(
            check_import("tollgate:filter/request@0.2.0"),
            Err(LoadError::OtherVersion("tollgate:filter/request@0.2.0".into()))
        );
        assert!(matches!(check_import("tollgate:filter/request"), Err(LoadError::OtherVersion(_))));
        assert!(matches!(check_import("tollgate:filter/sockets@0.1.0"), Err(LoadError::UnknownImport(_))));
        assert!(check_import("wasi:cli/environment@0.2.0").is_ok());
        assert!(matches!(check_import("wasi:cli/environment@0.3.0"), Err(LoadError::UnknownImport(_))));
        assert!(matches!(check_import("wasi:keyvalue/store@0.2.0"), Err(LoadError::UnknownImport(_))));
    }
}
