//! The door for components of any make: `wasmtime`'s component layer calls the phases, lifts and lowers.

use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc,
};

use super::bindings::types::{Advice, ChunkAction, Ending, Outcome, Verdict};
use super::fault::one_line;
use super::guest::Guest;
use super::program::{Exported, LoadError};
use crate::phase::Phase;

/// A component, linked, and where its phases are.
#[derive(Clone)]
pub(super) struct Linked {
    pub(super) pre: InstancePre<Guest>,
    exports: Vec<(Phase, ComponentExportIndex)>,
}

impl Linked {
    /// Checks that each exported phase has the contract's type: to be known when a filter is loaded, not when it is
    /// called.
    pub(super) fn new(pre: InstancePre<Guest>, exported: &[Exported]) -> Result<Self, LoadError> {
        let component = pre.component();
        let mut exports = Vec::new();
        for Exported { interface, phase } in exported {
            let found = component
                .get_export_index(None, interface)
                .and_then(|instance| component.get_export(Some(&instance), phase.as_str()));
            let Some((ComponentItem::ComponentFunc(function), index)) = found else {
                return Err(LoadError::WrongType(format!("`{interface}` has no function `{phase}`")));
            };
            let unlike =
                |error| LoadError::WrongType(format!("`{interface}`, `{phase}`: {}", one_line(&error)));
            check_type(*phase, &function, &pre).map_err(unlike)?;
            exports.push((*phase, index));
        }
        Ok(Self { pre, exports })
    }

    /// An instance, in `store`.
    pub(super) fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Exports> {
        let instance = self.pre.instantiate(&mut *store)?;
        self.exports(store, instance)
    }

    /// An instance of a guest that may wait, in `store`.
    pub(super) async fn instantiate_waiting(&self, store: &mut Store<Guest>) -> wasmtime::Result<Exports> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        self.exports(store, instance)
    }

    fn exports(&self, store: &mut Store<Guest>, instance: Instance) -> wasmtime::Result<Exports> {
        let mut exports = Exports::default();
        for (phase, index) in &self.exports {
            match phase {
                Phase::Configure => exports.configure = Some(instance.get_typed_func(&mut *store, index)?),
                Phase::OnRequest => exports.on_request = Some(instance.get_typed_func(&mut *store, index)?),
                Phase::OnRequestBody => {
                    exports.on_request_body = Some(instance.get_typed_func(&mut *store, index)?);
                }
                Phase::BeforeAttempt => {
                    exports.before_attempt = Some(instance.get_typed_func(&mut *store, index)?);
                }
                Phase::AfterAttempt => {
                    exports.after_attempt = Some(instance.get_typed_func(&mut *store, index)?);
                }
                Phase::OnResponse => exports.on_response = Some(instance.get_typed_func(&mut *store, index)?),
                Phase::OnResponseChunk => {
                    exports.on_response_chunk = Some(instance.get_typed_func(&mut *store, index)?);
                }
                Phase::OnComplete => exports.on_complete = Some(instance.get_typed_func(&mut *store, index)?),
            }
        }
        Ok(exports)
    }
}

/// A function that a filter may export, with its parameters and its result.
pub(super) type Export<P, R> = Option<TypedFunc<P, (R,)>>;

/// The functions of the phases that the filter exports.
#[derive(Default)]
pub(super) struct Exports {
    pub(super) configure: Export<(String,), Result<(), String>>,
    pub(super) on_request: Export<(), Verdict>,
    pub(super) on_request_body: Export<(), Verdict>,
    pub(super) before_attempt: Export<(u32,), Verdict>,
    pub(super) after_attempt: Export<(u32, Outcome, u64), Advice>,
    pub(super) on_response: Export<(), Verdict>,
    pub(super) on_response_chunk: Export<(Vec<u8>, bool), ChunkAction>,
    pub(super) on_complete: Option<TypedFunc<(Ending, u64), ()>>,
}

/// Calls a phase at once.
pub(super) fn call<P, R>(
    export: &Export<P, R>,
    store: &mut Store<Guest>,
    parameters: P,
    absent: R,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower,
    R: Lift + 'static,
    (R,): ComponentNamedList + Lift,
{
    let Some(function) = export else { return Ok(absent) };
    function.call(store, parameters).map(|(answer,)| answer)
}

/// Calls a phase on a stack of the guest's own: it may wait.
pub(super) async fn wait<P, R>(
    export: &Export<P, R>,
    store: &mut Store<Guest>,
    parameters: P,
    absent: R,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + 'static,
    R: Lift + 'static,
    (R,): ComponentNamedList + Lift,
{
    let Some(function) = export else { return Ok(absent) };
    function.call_async(store, parameters).await.map(|(answer,)| answer)
}

fn check_type(phase: Phase, function: &ComponentFunc, pre: &InstancePre<Guest>) -> wasmtime::Result<()> {
    match phase {
        Phase::Configure => is_like(|exports| &exports.configure, function, pre),
        Phase::OnRequest => is_like(|exports| &exports.on_request, function, pre),
        Phase::OnRequestBody => is_like(|exports| &exports.on_request_body, function, pre),
        Phase::BeforeAttempt => is_like(|exports| &exports.before_attempt, function, pre),
        Phase::AfterAttempt => is_like(|exports| &exports.after_attempt, function, pre),
        Phase::OnResponse => is_like(|exports| &exports.on_response, function, pre),
        Phase::OnResponseChunk => is_like(|exports| &exports.on_response_chunk, function, pre),
        Phase::OnComplete => is_like(|exports| &exports.on_complete, function, pre),
    }
}

/// The place that the function would take says which type that is.
fn is_like<P, R>(
    _place: fn(&Exports) -> &Option<TypedFunc<P, R>>,
    function: &ComponentFunc,
    pre: &InstancePre<Guest>,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    function.typecheck::<P, R>(&pre.instance_type())
}
