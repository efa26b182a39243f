//! Cost of bodies that no filter asks to see: they stream through.

use super::{BRIEF, Bench, Table, cpu};
use crate::bench::contenders::Contender;
use crate::bench::load::Request;
use crate::bench::rounds::Plan;
use crate::bench::setup::BODIES;
use crate::bench::tollgate::Chain;

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let mut table = Table::new(
        "CPU µs a request with a body of that size in the response, or in the request.",
        &["body", "nginx", "Tollgate, no filter", "Tollgate, five pass-through filters"],
    );
    let setup = bench.setup;
    let responses = BODIES.map(|size| ("response", size, Request::get(format!("/bodies/{size}"))));
    let requests =
        BODIES[1..].iter().map(|&size| ("request", size, Request::post("/upload", setup.body(size))));
    for (side, size, request) in responses.into_iter().chain(requests) {
        let tollgate = |key: &str, label: &str, length| {
            Contender::tollgate(setup, key, label, request.clone(), Chain::pass_through(length), 1)
        };
        let contenders = [
            Contender::nginx(request.clone()),
            tollgate("bodies", "Tollgate, no filter", 0),
            tollgate("bodies-five", "Tollgate, five pass-through filters", 5),
        ];
        let measured = bench.rounds(&contenders, &Plan { rounds: 2, ..BRIEF })?;
        let name = if size == 0 { format!("empty {side}") } else { format!("{} KiB {side}", size >> 10) };
        table.row(std::iter::once(name).chain(measured.iter().map(cpu)));
    }
    Ok(table)
}
