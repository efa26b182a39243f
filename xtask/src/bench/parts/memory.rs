//! Memory of idle connections, and of instances of filters.

use super::{Bench, Table};
use crate::bench::contenders::Contender;
use crate::bench::load::{Load, Request};
use crate::bench::process::Server;
use crate::bench::procfs;
use crate::bench::rounds;
use crate::bench::tollgate::Chain;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Enough that a page here or there does not show.
const IDLE: u32 = 2000;

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let tollgate = |key: &str, length| {
        let label = format!("Tollgate, {length} filters");
        Contender::tollgate(bench.setup, key, &label, Request::get("/"), Chain::pass_through(length), 1)
    };
    let mut table = Table::new(
        &format!(
            "Growth of resident memory: {IDLE} clients that made one request and stay; filters 2 to 32."
        ),
        &["", "KiB"],
    );
    for contender in [Contender::nginx(Request::get("/")), tollgate("memory", 5)] {
        let each = idle_connection(bench, &contender)?;
        table.row([format!("an idle connection, {}", contender.label), format!("{each:.1}")]);
        if contender.key == "memory" {
            bench.figures.insert("memory.idle", each);
        }
    }
    let few = after_load(bench, &tollgate("memory-1", 1))?;
    let many = after_load(bench, &tollgate("memory-32", 32))?;
    let each = (many - few) / 31.0;
    table.row(["a further instance of a pass-through filter".to_owned(), format!("{each:.1}")]);
    Ok(table)
}

/// KiB for each idle connection.
fn idle_connection(bench: &Bench, contender: &Contender) -> Result<f64, String> {
    let server = contender.start(bench.setup)?;
    warm(bench, &server)?;
    let before = kibibytes(&server)?;
    let failed = |error| format!("cannot keep {IDLE} connections: {error}");
    let clients: Vec<_> =
        (0..IDLE).map(|_| client(&server)).collect::<std::io::Result<_>>().map_err(failed)?;
    let after = kibibytes(&server)?;
    drop(clients);
    Ok((after - before) / f64::from(IDLE))
}

/// KiB after some load.
fn after_load(bench: &Bench, contender: &Contender) -> Result<f64, String> {
    let server = contender.start(bench.setup)?;
    warm(bench, &server)?;
    kibibytes(&server)
}

fn warm(bench: &Bench, server: &Server) -> Result<(), String> {
    let load = Load { request: Request::get("/"), connections: 16, seconds: 1, pause: 0 };
    rounds::sample(bench.setup, server, &load).map(drop)
}

fn kibibytes(server: &Server) -> Result<f64, String> {
    procfs::resident(server.pid()).map(|bytes| bytes as f64 / 1024.0)
}

/// A connection that has been answered once.
fn client(server: &Server) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\naccept: */*\r\n\r\n")?;
    let mut answer = [0; 4096];
    if stream.read(&mut answer)? == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(stream) }
}
