//! What guests find of WASI 0.2: languages' runtimes import much of it, whether a filter needs it or not. Clocks and
//! randomness work; what is written to the standard streams goes to the log. There are no files, no sockets, no arguments,
//! and no environment. Requests go where `grants` lets them (`callout`).

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::callout::Callouts;
use super::guest::{Filter, Guest};

/// Resources that a guest may have open at once: streams, requests, timers.
const MAX_RESOURCES: usize = 1024;
/// Random bytes that a guest may ask for at once.
const MAX_RANDOM: u64 = 64 << 10;
/// A line on a standard stream is cut into pieces of so many bytes.
const MAX_LINE: usize = 8 << 10;
/// The packages of which something is there.
const PACKAGES: [&str; 7] = [
    "wasi:io/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:cli/",
    "wasi:filesystem/",
    "wasi:sockets/",
    "wasi:http/",
];

/// Whether an interface, by its full name, is one of WASI 0.2.
pub(super) fn offers(interface: &str) -> bool {
    let of_wasi = PACKAGES.iter().any(|package| interface.starts_with(package));
    of_wasi && interface.rsplit_once('@').is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// Gives a linker what guests may import of it.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// The part of an instance's state that WASI's functions work on.
pub(super) struct Wasi {
    context: WasiCtx,
    http: WasiHttpCtx,
    resources: ResourceTable,
    callouts: Callouts,
}

impl Wasi {
    pub(super) fn new(filter: &Filter) -> Self {
        let stream = |of| Stream { filter: filter.name.clone(), of };
        let context = WasiCtx::builder()
            .stdout(stream(Standard::Output))
            .stderr(stream(Standard::Error))
            .max_random_size(MAX_RANDOM)
            .build();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        Self { context, http: WasiHttpCtx::new(), resources, callouts: Callouts::of(filter) }
    }
}

impl Guest {
    /// Only guests that import WASI get here, and these have it from the beginning.
    fn wasi(&mut self) -> &mut Wasi {
        let Self { wasi, filter, .. } = self;
        wasi.get_or_insert_with(|| Box::new(Wasi::new(filter)))
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.resources }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Wasi { http, resources, callouts, .. } = self.wasi();
        WasiHttpCtxView { hooks: callouts, table: resources, ctx: http }
    }
}

/// A standard stream of a guest's.
#[derive(Clone)]
struct Stream {
    filter: String,
    of: Standard,
}

#[derive(Debug, Clone, Copy)]
enum Standard {
    Output,
    Error,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // WASI 0.3's way; nothing of it is linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines { stream: self.clone(), begun: Vec::new() })
    }
}

/// Takes bytes, and makes lines of them in the log. It is always ready: the log waits for nobody.
struct Lines {
    stream: Stream,
    begun: Vec<u8>,
}

impl Lines {
    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.begun);
        let line = line.trim_end();
        let filter = self.stream.filter.as_str();
        match self.stream.of {
            _ if line.is_empty() => {}
            Standard::Output => tracing::info!(filter, "{line}"),
            Standard::Error => tracing::warn!(filter, "{line}"),
        }
        self.begun.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.begun.len() >= MAX_LINE {
                self.end_line();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}
