//! Microbenchmarks of the chain, through the host's own `Chain`, `Walks` and `Run`, without a network: a call of a phase,
//! each import of the contract, JSON, and the shipped filters, alone and together, on a chat request of 1 KiB.
//!
//! Fresh instances are compared with reused ones, too, on one worker and on two.
//!
//! `cargo bench` runs all, `cargo bench -- --quick` in a minute, `cargo bench -- shipped` those whose names begin so.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "like a test, a benchmark that cannot be set up ends there"
)]

mod imports;
mod isolation;
mod json;
mod shipped;
mod stage;

use criterion::Criterion;

use tollgate::wasm::Door;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    json::bench(&mut criterion);
    for door in [Door::Direct, Door::Component] {
        imports::bench(&mut criterion, door);
        shipped::bench(&mut criterion, door);
    }
    isolation::bench(&mut criterion);
    criterion.final_summary();
}
