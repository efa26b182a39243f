//! What `wasmtime` generates from `wit/`, behind one door: the types that phases and imports take and
//! return. Nothing else in the house names the generated modules.

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "tollgate:filter/imports",
        with: {
            "tollgate:filter/state.cell": crate::state::Cell,
            "tollgate:filter/metrics.counter": crate::wasm::handles::Counter,
            "tollgate:filter/metrics.gauge": crate::wasm::handles::Gauge,
        },
    });
}

pub(super) use generated::tollgate::filter::{body, health, log, pressure, types};
