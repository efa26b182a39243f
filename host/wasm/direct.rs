//! The direct door: the core module within a component, linked straight to the host's functions, and its phases called
//! as what they are below the component layer. A call costs a fifth of one through that layer, and a string a half or less;
//! what the guest may do, and what the host checks, is the same (`abi`, `doors`).
//!
//! A component comes in by this door if it is one core module and the glue that `wit-component` makes for it, and
//! nothing else: that is so if wrapping the module anew gives the same component. Everything else goes through the
//! component layer.

use std::sync::Arc;

use wasmtime::{
    Engine, Extern, Instance, InstancePre, Linker, Module, ModuleExport, Store, WasmParams, WasmResults,
};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, WorldId};

use super::abi::{self, Linear, Typed};
use super::bindings::types::{Advice, ChunkAction, Ending, Outcome, Verdict};
use super::fault::one_line;
use super::guest::Guest;
use super::image;
use super::program::{Exported, LoadError};
use crate::phase::Phase;

/// What the address of a guest's arena is exported as.
const ARENA: &str = "tollgate_arena";
/// Sections of a component, by their numbers in its binary format.
const CUSTOM_SECTION: u8 = 0;
const TYPE_SECTION: u8 = 7;
/// Fails when what the guest answers is not of the contract's type.
const NO_CASE: &str = "the phase answered no case of its type";

/// What a component is made of, if it is one core module.
pub(super) struct Plain {
    /// The module.
    pub(super) module: Arc<[u8]>,
    /// A component of the same type without code: to check its type without compiling the module once more.
    pub(super) outline: Vec<u8>,
}

impl Plain {
    /// None if the component is anything but one core module, or cannot be taken apart: the component layer says then what
    /// is wrong with it. What decodes types panics on some that nobody writes; these go to the component layer, too.
    pub(super) fn of(component: &[u8]) -> Option<Self> {
        std::panic::catch_unwind(|| Self::taken_apart(component)).ok().flatten()
    }

    fn taken_apart(component: &[u8]) -> Option<Self> {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(component).ok()? else {
            return None;
        };
        let module = main_module(component).filter(|module| is_simple(module))?;
        let wrapped = wrap(module.to_vec(), &resolve, world)?;
        if !same_code(&wrapped, component) {
            return None;
        }
        let abi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
        let outline = wrap(wit_component::dummy_module(&resolve, world, abi), &resolve, world)?;
        Some(Self { module: module.into(), outline })
    }
}

/// The first core module: those that link it come after it.
fn main_module(component: &[u8]) -> Option<&[u8]> {
    let mut payloads = wasmparser::Parser::new(0).parse_all(component).filter_map(Result::ok);
    payloads.find_map(|payload| match payload {
        wasmparser::Payload::ModuleSection { unchecked_range, .. } => component.get(unchecked_range),
        _ => None,
    })
}

/// Whether a module is called and given room to by the names that are looked for here, and by no other that
/// `wit-component` knows, and runs nothing before its memory is known.
fn is_simple(module: &[u8]) -> bool {
    let mut payloads = wasmparser::Parser::new(0).parse_all(module).filter_map(Result::ok);
    payloads.all(|payload| match payload {
        wasmparser::Payload::StartSection { .. } => false,
        wasmparser::Payload::ExportSection(exports) => {
            exports.into_iter().flatten().all(|export| !is_special(export.name))
        }
        _ => true,
    })
}

fn is_special(export: &str) -> bool {
    const SPECIAL: [&str; 5] = [
        "cabi_import_realloc",
        "cabi_export_realloc",
        "canonical_abi_realloc",
        "__wasm_init_task",
        "__wasm_init_async_task",
    ];
    SPECIAL.contains(&export) || export.starts_with("cm32p2")
}

fn wrap(mut module: Vec<u8>, resolve: &Resolve, world: WorldId) -> Option<Vec<u8>> {
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).ok()?;
    ComponentEncoder::default().module(&module).ok()?.encode().ok()
}

/// Whether two components link the same code in the same way. Their types may be written down in another order: types are
/// checked by themselves, and all else refers to what is imported by name.
fn same_code(one: &[u8], other: &[u8]) -> bool {
    sections(one).eq(sections(other))
}

/// The sections of a component, but for types, and for what tools note down.
fn sections(component: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let payloads = wasmparser::Parser::new(0).parse_all(component).filter_map(Result::ok);
    let sections = payloads.filter_map(|payload| payload.as_section());
    let code = sections.filter(|(id, _)| ![CUSTOM_SECTION, TYPE_SECTION].contains(id));
    code.filter_map(|(id, range)| Some((id, component.get(range)?)))
}

/// A core module, linked, and where its exports are.
#[derive(Clone)]
pub(super) struct Linked {
    pre: InstancePre<Guest>,
    places: Arc<Places>,
    /// The module itself.
    bytes: Arc<[u8]>,
}

/// Where a module's exports are, found once.
struct Places {
    memory: Option<ModuleExport>,
    realloc: Option<ModuleExport>,
    arena: Option<ModuleExport>,
    initialize: Option<ModuleExport>,
    phases: Vec<(Phase, Place)>,
    names: Vec<(Phase, String)>,
}

/// Where a phase's function is, and the one that frees what its answer took.
struct Place {
    call: ModuleExport,
    post: Option<ModuleExport>,
}

impl Linked {
    /// None if the module does not name things as this host's version of the contract does.
    pub(super) fn new(
        engine: &Engine,
        linker: &Linker<Guest>,
        module: &Arc<[u8]>,
        exported: &[Exported],
    ) -> Result<Option<Self>, LoadError> {
        let name = |export: &Exported| (export.phase, format!("{}#{}", export.interface, export.phase));
        let compiled = Module::new(engine, module).map_err(|error| LoadError::Invalid(one_line(&error)))?;
        let places = Places::of(&compiled, exported.iter().map(name).collect());
        Ok(places.and_then(|places| Self::link(linker, &compiled, places, module.clone()).ok()))
    }

    fn link(
        linker: &Linker<Guest>,
        module: &Module,
        places: Places,
        bytes: Arc<[u8]>,
    ) -> wasmtime::Result<Self> {
        Ok(Self { pre: linker.instantiate_pre(module)?, places: Arc::new(places), bytes })
    }

    /// The same with everything exported that has to be kept for an [`image`](Self::image).
    pub(super) fn instrumented(&self, engine: &Engine, linker: &Linker<Guest>) -> wasmtime::Result<Self> {
        self.with_code(engine, linker, image::instrument(&self.bytes)?.into())
    }

    /// The same as the instance is now.
    pub(super) fn image(
        &self,
        engine: &Engine,
        linker: &Linker<Guest>,
        store: &mut Store<Guest>,
        instance: Instance,
    ) -> wasmtime::Result<Self> {
        let image = self.with_code(engine, linker, image::of(&self.bytes, store, instance)?)?;
        // No other image is made of this one.
        Ok(Self { bytes: Arc::default(), ..image })
    }

    fn with_code(&self, engine: &Engine, linker: &Linker<Guest>, bytes: Arc<[u8]>) -> wasmtime::Result<Self> {
        let module = Module::new(engine, &bytes)?;
        let places = Places::of(&module, self.places.names.clone());
        let places = places.ok_or_else(|| wasmtime::Error::msg("an export is gone"))?;
        Self::link(linker, &module, places, bytes)
    }

    pub(super) fn engine(&self) -> &Engine {
        self.pre.module().engine()
    }

    /// An instance, in `store`. One that is `configured` has been initialized, too.
    pub(super) fn instantiate(
        &self,
        store: &mut Store<Guest>,
        configured: bool,
    ) -> wasmtime::Result<Exports> {
        let places = &*self.places;
        let instance = self.pre.instantiate(&mut *store)?;
        let mut found = Found { store, instance };
        let memory = found.export(places.memory.as_ref()).and_then(Extern::into_memory);
        let realloc = found.function(places.realloc.as_ref()).map(Arc::new);
        let arena = found.export(places.arena.as_ref()).and_then(Extern::into_global);
        let arena = arena.and_then(|global| global.get(&mut *found.store).i32()).map(i32::cast_unsigned);
        found.store.data_mut().linear = Some(Linear { instance, memory, realloc, arena });
        if let Some(initialize) = found.function::<(), ()>(places.initialize.as_ref()).filter(|_| !configured)
        {
            initialize.call(&mut *found.store, ())?;
        }
        let mut exports = Exports::default();
        for (phase, place) in &places.phases {
            match phase {
                Phase::Configure => exports.configure = found.phase(place),
                Phase::OnRequest => exports.on_request = found.phase(place),
                Phase::OnRequestBody => exports.on_request_body = found.phase(place),
                Phase::BeforeAttempt => exports.before_attempt = found.phase(place),
                Phase::AfterAttempt => exports.after_attempt = found.phase(place),
                Phase::OnResponse => exports.on_response = found.phase(place),
                Phase::OnResponseChunk => exports.on_response_chunk = found.phase(place),
                Phase::OnComplete => exports.on_complete = found.phase(place),
            }
        }
        Ok(exports)
    }
}

impl Places {
    /// None if a phase is not there by its name.
    fn of(module: &Module, names: Vec<(Phase, String)>) -> Option<Self> {
        let place = |(phase, name): &(Phase, String)| {
            let call = module.get_export_index(name)?;
            Some((*phase, Place { call, post: module.get_export_index(&format!("cabi_post_{name}")) }))
        };
        Some(Self {
            memory: module.get_export_index("memory"),
            realloc: module.get_export_index("cabi_realloc"),
            arena: module.get_export_index(ARENA),
            initialize: module.get_export_index("_initialize"),
            phases: names.iter().map(place).collect::<Option<_>>()?,
            names,
        })
    }
}

/// A fresh instance, whose exports are being looked up.
struct Found<'a> {
    store: &'a mut Store<Guest>,
    instance: Instance,
}

impl Found<'_> {
    fn export(&mut self, place: Option<&ModuleExport>) -> Option<Extern> {
        self.instance.get_module_export(&mut *self.store, place?)
    }

    fn function<P, R>(&mut self, place: Option<&ModuleExport>) -> Option<Typed<P, R>> {
        Some(Typed::new(self.export(place)?.into_func()?))
    }

    fn phase<P, R>(&mut self, place: &Place) -> Option<Export<P, R>> {
        Some(Export { call: self.function(Some(&place.call))?, post: self.function(place.post.as_ref()) })
    }
}

/// A phase's function, and the one that frees what its answer took.
struct Export<P, R> {
    call: Typed<P, R>,
    post: Option<Typed<R, ()>>,
}

/// The functions of the phases that the module exports. An answer of more than one word comes as its address.
#[derive(Default)]
pub(super) struct Exports {
    configure: Option<Export<(u32, u32), u32>>,
    on_request: Option<Export<(), u32>>,
    on_request_body: Option<Export<(), u32>>,
    before_attempt: Option<Export<u32, u32>>,
    after_attempt: Option<Export<(u32, u32, u32, u64), u32>>,
    on_response: Option<Export<(), u32>>,
    on_response_chunk: Option<Export<(u32, u32, u32), u32>>,
    on_complete: Option<Export<(u32, u64), ()>>,
}

impl Exports {
    pub(super) fn configure(
        &self,
        store: &mut Store<Guest>,
        config: &str,
    ) -> wasmtime::Result<Result<(), String>> {
        let Some(export) = &self.configure else { return Ok(Ok(())) };
        let (at, length) = hand_over(store, config.as_bytes())?;
        export.call(store, (at, length), |memory, at| {
            let [case, .., a, b, c, d, e, f, g, h] = abi::taken::<12>(memory, at, 4)?;
            match case {
                0 => Ok(Ok(())),
                1 => {
                    let (at, length) =
                        (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]));
                    Ok(Err(abi::text(memory, at, length)?.to_owned()))
                }
                _ => Err(wasmtime::Error::msg(NO_CASE)),
            }
        })
    }

    pub(super) fn on_request(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict> {
        verdict(&self.on_request, store, ())
    }

    pub(super) fn on_request_body(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict> {
        verdict(&self.on_request_body, store, ())
    }

    pub(super) fn before_attempt(&self, store: &mut Store<Guest>, number: u32) -> wasmtime::Result<Verdict> {
        verdict(&self.before_attempt, store, number)
    }

    pub(super) fn after_attempt(
        &self,
        store: &mut Store<Guest>,
        number: u32,
        outcome: Outcome,
        micros: u64,
    ) -> wasmtime::Result<Advice> {
        let Some(export) = &self.after_attempt else { return Ok(Advice::Accept) };
        let (case, status) = match outcome {
            Outcome::Status(status) => (0, u32::from(status)),
            Outcome::ConnectFailed => (1, 0),
            Outcome::TimedOut => (2, 0),
            Outcome::Reset => (3, 0),
        };
        export.call(store, (number, case, status, micros), |memory, at| {
            let [case, _, _, _, delay @ ..] = abi::taken::<8>(memory, at, 4)?;
            match case {
                0 => Ok(Advice::Accept),
                1 => Ok(Advice::Retry(u32::from_le_bytes(*delay))),
                2 => Ok(Advice::Stop),
                _ => Err(wasmtime::Error::msg(NO_CASE)),
            }
        })
    }

    pub(super) fn on_response(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict> {
        verdict(&self.on_response, store, ())
    }

    pub(super) fn on_response_chunk(
        &self,
        store: &mut Store<Guest>,
        chunk: &[u8],
        last: bool,
    ) -> wasmtime::Result<ChunkAction> {
        let Some(export) = &self.on_response_chunk else { return Ok(ChunkAction::Pass) };
        let (at, length) = hand_over(store, chunk)?;
        export.call(store, (at, length, u32::from(last)), |memory, at| {
            let [case, _, _, _, a, b, c, d, length @ ..] = abi::taken::<12>(memory, at, 4)?;
            let (at, length) = (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes(*length));
            match case {
                0 => Ok(ChunkAction::Pass),
                1 => Ok(ChunkAction::Replace(abi::bytes(memory, at, length)?.to_vec())),
                2 => Ok(ChunkAction::Abort(abi::text(memory, at, length)?.to_owned())),
                _ => Err(wasmtime::Error::msg(NO_CASE)),
            }
        })
    }

    pub(super) fn on_complete(
        &self,
        store: &mut Store<Guest>,
        ending: Ending,
        micros: u64,
    ) -> wasmtime::Result<()> {
        let Some(export) = &self.on_complete else { return Ok(()) };
        export.call(store, (ending as u32, micros), |_, ()| Ok(()))
    }
}

impl<P: WasmParams, R: WasmResults + WasmParams + Copy> Export<P, R> {
    /// Calls the phase, reads its answer, and lets the guest free it.
    fn call<A>(
        &self,
        store: &mut Store<Guest>,
        parameters: P,
        read: impl FnOnce(&[u8], R) -> wasmtime::Result<A>,
    ) -> wasmtime::Result<A> {
        let result = self.call.call(&mut *store, parameters)?;
        let memory = store.data().linear.as_ref().and_then(|linear| linear.memory);
        let memory = memory.map_or(&[][..], |memory| memory.data(&*store));
        let answer = read(memory, result)?;
        if let Some(post) = &self.post {
            store.data_mut().is_lowering = true;
            post.call(&mut *store, result)?;
            store.data_mut().is_lowering = false;
        }
        Ok(answer)
    }
}

fn verdict<P: WasmParams>(
    export: &Option<Export<P, u32>>,
    store: &mut Store<Guest>,
    parameters: P,
) -> wasmtime::Result<Verdict> {
    let Some(export) = export else { return Ok(Verdict::Proceed) };
    export.call(store, parameters, |_, case| match case {
        0 => Ok(Verdict::Proceed),
        1 => Ok(Verdict::Respond),
        _ => Err(wasmtime::Error::msg(NO_CASE)),
    })
}

/// Puts bytes where the guest finds them.
fn hand_over(store: &mut Store<Guest>, bytes: &[u8]) -> wasmtime::Result<(u32, u32)> {
    let length = abi::word(bytes.len())?;
    let linear = store.data().linear.as_ref().and_then(|linear| linear.memory.zip(linear.arena));
    let lent = linear.and_then(|(memory, arena)| abi::put(memory.data_mut(&mut *store), arena, bytes));
    let at = match lent {
        Some(at) => at,
        None => abi::allocate(&mut *store, bytes, 1)?,
    };
    Ok((at, length))
}
