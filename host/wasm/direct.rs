//! The direct door: the core module within a component, linked straight to the host's functions, and its phases called
//! as what they are below the component layer. A call costs a fifth of one through that layer, and a string a half or less;
//! what the guest may do, and what the host checks, is the same (`abi`, `doors`).
//!
//! A component comes in by this door if it is one core module and the glue that `wit-component` makes for it, and
//! nothing else: that is so if wrapping the module anew gives the same component. Everything else goes through the
//! component layer.

use wasmtime::{InstancePre, Linker, Module, Store, TypedFunc, WasmParams, WasmResults};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, WorldId};

use super::abi::{self, Linear};
use super::bindings::types::{Advice, ChunkAction, Ending, Outcome, Verdict};
use super::guest::Guest;
use super::instance::Phases;
use super::program::Exported;
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
    pub(super) module: Vec<u8>,
    /// A component of the same type without code: to check its type without compiling the module once more.
    pub(super) outline: Vec<u8>,
}

impl Plain {
    /// None if the component is anything but one core module.
    pub(super) fn of(component: &[u8]) -> Option<Self> {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(component).ok()? else {
            return None;
        };
        let module = main_module(component)?;
        let wrapped = wrap(module.to_vec(), &resolve, world)?;
        if !same_code(&wrapped, component) {
            return None;
        }
        let abi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
        let outline = wrap(wit_component::dummy_module(&resolve, world, abi), &resolve, world)?;
        Some(Self { module: module.to_vec(), outline })
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

/// A core module, linked, and the names of its phases' functions.
#[derive(Clone)]
pub(super) struct Linked {
    pub(super) pre: InstancePre<Guest>,
    exports: Vec<(Phase, String)>,
}

impl Linked {
    /// None if the module does not name things as this host's version of the contract does.
    pub(super) fn new(linker: &Linker<Guest>, module: &Module, exported: &[Exported]) -> Option<Self> {
        let pre = linker.instantiate_pre(module).ok()?;
        let core = |export: &Exported| (export.phase, format!("{}#{}", export.interface, export.phase));
        let exports: Vec<_> = exported.iter().map(core).collect();
        exports.iter().all(|(_, name)| module.get_export(name).is_some()).then_some(Self { pre, exports })
    }

    pub(super) fn module(&self) -> &Module {
        self.pre.module()
    }

    pub(super) fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Box<dyn Phases>> {
        let instance = self.pre.instantiate(&mut *store)?;
        let memory = instance.get_memory(&mut *store, "memory");
        let realloc = instance.get_typed_func(&mut *store, "cabi_realloc").ok();
        let arena = instance.get_global(&mut *store, ARENA).and_then(|global| global.get(&mut *store).i32());
        store.data_mut().linear = Some(Linear { memory, realloc, arena: arena.map(i32::cast_unsigned) });
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
            initialize.call(&mut *store, ())?;
        }
        let mut exports = Exports::default();
        for (phase, name) in &self.exports {
            let find = Find { store: &mut *store, instance, name };
            match phase {
                Phase::Configure => exports.configure = find.it()?,
                Phase::OnRequest => exports.on_request = find.it()?,
                Phase::OnRequestBody => exports.on_request_body = find.it()?,
                Phase::BeforeAttempt => exports.before_attempt = find.it()?,
                Phase::AfterAttempt => exports.after_attempt = find.it()?,
                Phase::OnResponse => exports.on_response = find.it()?,
                Phase::OnResponseChunk => exports.on_response_chunk = find.it()?,
                Phase::OnComplete => exports.on_complete = find.it()?,
            }
        }
        Ok(Box::new(exports))
    }
}

/// A phase's function, and the one that frees what its answer took.
struct Export<P, R> {
    call: TypedFunc<P, R>,
    post: Option<TypedFunc<R, ()>>,
}

struct Find<'a> {
    store: &'a mut Store<Guest>,
    instance: wasmtime::Instance,
    name: &'a str,
}

impl Find<'_> {
    fn it<P: WasmParams, R: WasmResults + WasmParams>(self) -> wasmtime::Result<Option<Export<P, R>>> {
        let call = self.instance.get_typed_func(&mut *self.store, self.name)?;
        let post = self.instance.get_typed_func(&mut *self.store, &format!("cabi_post_{}", self.name)).ok();
        Ok(Some(Export { call, post }))
    }
}

/// The functions of the phases that the module exports. An answer of more than one word comes as its address.
#[derive(Default)]
struct Exports {
    configure: Option<Export<(u32, u32), u32>>,
    on_request: Option<Export<(), u32>>,
    on_request_body: Option<Export<(), u32>>,
    before_attempt: Option<Export<u32, u32>>,
    after_attempt: Option<Export<(u32, u32, u32, u64), u32>>,
    on_response: Option<Export<(), u32>>,
    on_response_chunk: Option<Export<(u32, u32, u32), u32>>,
    on_complete: Option<Export<(u32, u64), ()>>,
}

impl Phases for Exports {
    fn configure(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<Result<(), String>> {
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

    fn on_request(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict> {
        verdict(&self.on_request, store, ())
    }

    fn on_request_body(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict> {
        verdict(&self.on_request_body, store, ())
    }

    fn before_attempt(&self, store: &mut Store<Guest>, number: u32) -> wasmtime::Result<Verdict> {
        verdict(&self.before_attempt, store, number)
    }

    fn after_attempt(
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

    fn on_response(&self, store: &mut Store<Guest>) -> wasmtime::Result<Verdict> {
        verdict(&self.on_response, store, ())
    }

    fn on_response_chunk(
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

    fn on_complete(&self, store: &mut Store<Guest>, ending: Ending, micros: u64) -> wasmtime::Result<()> {
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
