//! A filter as it is once it has been configured, as a module of its own: instances made from it begin there. A filter
//! with `isolation: request` would else read its configuration, and compile what is in it, once an exchange.
//!
//! What belongs to an instance beside its memory and globals is what it has opened: that is kept, and shared.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::{Extern, Instance, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use super::guest::Guest;

/// How much memory a filter may begin with, in bytes. More would not be mapped but copied, with every exchange.
const MAX_MEMORY: usize = 16 << 20;
/// What the exports that Wizer adds are called.
const ADDED: &str = "__wizer_";

/// The module with everything exported that has to be kept.
pub(super) fn instrument(module: &[u8]) -> wasmtime::Result<Vec<u8>> {
    Ok(Wizer::new().instrument(module)?.1)
}

/// The module as the instance is now. The instance is one of what [`instrument`] made of the module.
pub(super) fn of(module: &[u8], store: &mut Store<Guest>, instance: Instance) -> wasmtime::Result<Arc<[u8]>> {
    let wizer = Wizer::new();
    let (context, _) = wizer.instrument(module)?;
    let mut state = State::of(store, instance)?;
    match pin!(wizer.snapshot(&context, &mut state)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(image) => Ok(image?.into()),
        Poll::Pending => Err(wasmtime::Error::msg("nothing here waits")),
    }
}

/// All that Wizer may ask for.
#[derive(Default)]
struct State {
    globals: HashMap<String, SnapshotVal>,
    memories: HashMap<String, Vec<u8>>,
}

impl State {
    fn of(store: &mut Store<Guest>, instance: Instance) -> wasmtime::Result<Self> {
        let mut state = Self::default();
        let added = |export: wasmtime::Export<'_>| {
            let name = export.name().to_owned();
            name.starts_with(ADDED).then(|| (name, export.into_extern()))
        };
        let exports: Vec<_> = instance.exports(&mut *store).filter_map(added).collect();
        for (name, export) in exports {
            match export {
                Extern::Global(global) => {
                    let value = match global.get(&mut *store) {
                        Val::I32(value) => SnapshotVal::I32(value),
                        Val::I64(value) => SnapshotVal::I64(value),
                        Val::F32(bits) => SnapshotVal::F32(bits),
                        Val::F64(bits) => SnapshotVal::F64(bits),
                        Val::V128(value) => SnapshotVal::V128(value.as_u128()),
                        _ => return Err(wasmtime::Error::msg("a global holds a reference")),
                    };
                    state.globals.insert(name, value);
                }
                Extern::Memory(memory) if memory.data_size(&*store) > MAX_MEMORY => {
                    return Err(wasmtime::Error::msg("it holds too much memory to begin with every time"));
                }
                Extern::Memory(memory) => {
                    state.memories.insert(name, memory.data(&*store).to_vec());
                }
                _ => {}
            }
        }
        Ok(state)
    }
}

impl InstanceState for State {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        // It asks for what it has added, and all of that is here.
        self.globals.remove(name).unwrap_or(SnapshotVal::I32(0))
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        contents(self.memories.get(name).map_or(&[], Vec::as_slice));
    }
}
