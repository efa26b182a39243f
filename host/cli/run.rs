//! `tollgate run`: from arguments to traffic, and to an orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use tokio::task::LocalSet;

use super::check::{host, list};
use super::{Done, Wasm, engine, read_manifest};
use crate::admin::{self, Admin};
use crate::assembly::Assembly;
use crate::attempt::RetryBudget;
use crate::demo::Demo;
use crate::health::Life;
use crate::listener::Bound;
use crate::logs;
use crate::manifest::{self, Manifest};
use crate::shutdown::{Shutdown, Signals};
use crate::worker::{self, Shared, Worker, WorkerError};

/// With nothing else given, this serves the embedded default on 127.0.0.1:8081: five filters, in front of a demo
/// upstream that answers like the OpenAI and Anthropic APIs and fails when a request's headers tell it to.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The manifest; the embedded default if not given
    #[arg(long, short, value_name = "FILE", env = "TOLLGATE_MANIFEST")]
    manifest: Option<PathBuf>,
    /// Listen here instead of on the first listener's address
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The service to put this in front of, instead of the first upstream's endpoints, for example http://127.0.0.1:9000
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// How many worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    workers: Option<std::num::NonZeroUsize>,
}

/// The name that mistakes in the embedded default are reported under.
const EMBEDDED: &str = "(embedded default)";

impl Run {
    pub(super) fn run(self, wasm: &Wasm) -> Done {
        let demo = self.start_demo()?;
        let manifest = self.manifest(demo.as_ref())?;
        let name = self.manifest.clone().unwrap_or_else(|| EMBEDDED.into());
        let _logs = logs::start(&manifest.telemetry.log);
        let engine = engine(wasm)?;
        let host = host(&manifest.telemetry.namespace)?;
        let _sampling = host.pressure.keep_sampling().map_err(|error| error.to_string())?;
        tracing::info!(filters = manifest.filters.len(), "loading filters");
        let assembly = Assembly::new(manifest, &engine, &host).map_err(|all| list(&all, &name))?;
        let workers = self.workers.map_or_else(cores, usize::from);
        let budget = RetryBudget::new(&assembly.manifest.retry_budget, host.telemetry.clone());
        let shared = Arc::new(Shared { host, shutdown: Arc::default(), budget, workers });
        serve(&shared, assembly, demo)
    }

    /// Without a manifest and an upstream there is nothing to be in front of: the demo takes its place.
    fn start_demo(&self) -> Result<Option<Demo>, String> {
        if self.manifest.is_some()
            || self.upstream.is_some()
            || std::env::var_os("TOLLGATE_UPSTREAM").is_some()
        {
            return Ok(None);
        }
        let demo = crate::demo::start(SocketAddr::from(([127, 0, 0, 1], 0)));
        demo.map(Some).map_err(|error| format!("the demo upstream cannot start: {error}"))
    }

    /// The manifest, with what the arguments override.
    fn manifest(&self, demo: Option<&Demo>) -> Result<Manifest, String> {
        let given = self.upstream.as_deref().map(manifest::Endpoint::parse).transpose();
        let given = given.map_err(|why| format!("--upstream: {why}"))?;
        let upstream = demo.map(|demo| format!("http://{}", demo.address)).or_else(|| self.upstream.clone());
        let embedded = |name: &str| match (name, &upstream) {
            ("TOLLGATE_UPSTREAM", Some(url)) => Some(url.clone()),
            _ => std::env::var(name).ok(),
        };
        let mut manifest = match &self.manifest {
            Some(path) => read_manifest(path, &|name| std::env::var(name).ok())?,
            None => manifest::parse(manifest::DEFAULT, EMBEDDED, &embedded)
                .map_err(|mistakes| mistakes.to_string())?,
        };
        if let Some(endpoint) = given {
            let first = manifest.upstreams.first_mut();
            first.ok_or("--upstream: the manifest has no upstream whose place it could take")?.endpoints =
                vec![endpoint];
        }
        if let (Some(address), Some(first)) = (self.listen, manifest.listeners.first_mut()) {
            first.address = address;
        }
        Ok(manifest)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts the workers, and waits for the end.
fn serve(shared: &Arc<Shared>, assembly: Assembly, demo: Option<Demo>) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the system gives no runtime: {error}"))?;
    let local = LocalSet::new();
    // Before anything else: a signal that comes while workers start must not kill them half-way.
    let mut signals = runtime.block_on(async { Signals::new() }).map_err(|error| error.to_string())?;
    let assembly = Arc::new(assembly);
    let sockets = bind_all(&assembly.manifest, shared.workers)?;
    let addresses = addresses(&sockets);
    let (ready, started) = mpsc::channel();
    let threads: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(number, bound)| start_worker(number, shared, &assembly, bound, ready.clone()))
        .collect::<Result<_, String>>()?;
    drop(ready);
    // A worker that cannot start drops its end of the channel without a word; it says why when it is joined.
    if started.iter().take(shared.workers).count() < shared.workers {
        shared.shutdown.cut_now();
        return finish(threads, &shared.shutdown);
    }
    shared.host.health.set_life(Life::Serving);
    announce(&addresses, shared.workers, demo.as_ref());
    let patience = assembly.manifest.shutdown_timeout;
    local.block_on(&runtime, async {
        administer(shared, &assembly)?;
        tokio::select! {
            () = signals.next() => {}
            // None of them should; what ended it comes to light when it is joined.
            () = any_ended(&threads) => {}
        }
        tracing::info!("shutting down; exchanges under way have {patience:?} to end");
        shared.host.health.set_life(Life::Draining);
        shared.shutdown.begin();
        tokio::select! {
            () = signals.patience(patience) => shared.shutdown.cut_now(),
            () = all_ended(&threads) => {}
        }
        Ok::<_, String>(())
    })?;
    finish(threads, &shared.shutdown)
}

/// Begins to serve the administration interface, if the manifest wants one.
fn administer(shared: &Arc<Shared>, assembly: &Arc<Assembly>) -> Result<(), String> {
    let Some(admin) = &assembly.manifest.admin else { return Ok(()) };
    let failed = |error: std::io::Error| format!("cannot listen on {} (admin): {error}", admin.address);
    let socket = worker::probe(admin.address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let socket = tokio::net::TcpListener::from_std(socket).map_err(failed)?;
    tracing::info!(admin = %address, "administration on http://{address}");
    let admin = Admin { assembly: assembly.clone(), host: shared.host.clone() };
    tokio::task::spawn_local(admin::serve(Arc::new(admin), socket));
    Ok(())
}

type WorkerThread = JoinHandle<Result<(), WorkerError>>;

fn start_worker(
    number: usize,
    shared: &Arc<Shared>,
    assembly: &Arc<Assembly>,
    bound: Vec<Bound>,
    ready: mpsc::Sender<()>,
) -> Result<WorkerThread, String> {
    let (shared, assembly) = (shared.clone(), assembly.clone());
    let run = move || {
        Worker::run(shared, &assembly, bound, move || {
            // The main thread waits for this, unless it is ending anyway.
            let _ = ready.send(());
        })
    };
    let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(run);
    thread.map_err(|error| format!("the system gives no thread: {error}"))
}

/// For each worker, a socket for each listener. A first one, alone, makes sure that the address is free: with
/// `SO_REUSEPORT`, a second Tollgate would else take half of the first one's connections.
fn bind_all(manifest: &Manifest, workers: usize) -> Result<Vec<Vec<Bound>>, String> {
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in &manifest.listeners {
        let address = listener.address;
        if address.port() != 0 {
            drop(worker::probe(address).map_err(|error| unbound(address, &error))?);
        }
        let bound = Bound::all(listener, workers).map_err(|error| unbound(address, &error))?;
        sockets.iter_mut().zip(bound).for_each(|(of_worker, bound)| of_worker.push(bound));
    }
    Ok(sockets)
}

fn unbound(address: SocketAddr, error: &std::io::Error) -> String {
    let help = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; something listens there already: choose another port, for example with --listen"
        }
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 are for the privileged",
        _ => "",
    };
    format!("cannot listen on {address}: {error}{help}")
}

fn addresses(sockets: &[Vec<Bound>]) -> Vec<SocketAddr> {
    sockets.first().into_iter().flatten().filter_map(|bound| bound.address().ok()).collect()
}

fn announce(addresses: &[SocketAddr], workers: usize, demo: Option<&Demo>) {
    for address in addresses {
        tracing::info!(address = %address, workers, "listening on http://{address}");
    }
    if demo.is_some() {
        tracing::warn!(
            "this is a DEMO: requests go to a built-in upstream that makes its answers up. Give --upstream URL or \
             --manifest FILE to put Tollgate in front of a real service"
        );
    }
}

/// Ready when every worker has ended.
async fn all_ended(threads: &[WorkerThread]) {
    until(|| threads.iter().all(WorkerThread::is_finished), Duration::from_millis(5)).await;
}

/// Ready when any worker has ended.
async fn any_ended(threads: &[WorkerThread]) {
    until(|| threads.iter().any(WorkerThread::is_finished), Duration::from_millis(500)).await;
}

/// Looks from time to time: the end of a thread wakes nobody.
async fn until(is_so: impl Fn() -> bool, interval: Duration) {
    while !is_so() {
        tokio::time::sleep(interval).await;
    }
}

fn finish(threads: Vec<WorkerThread>, shutdown: &Shutdown) -> Done {
    for thread in threads {
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("a worker failed: {error}")),
            Err(_) => return Err("a worker panicked: this is a bug in Tollgate; its log says where".into()),
        }
    }
    match shutdown.cut_count() {
        0 => tracing::info!("all exchanges have ended; good-bye"),
        cut => tracing::error!(connections = cut, "the time is over: {cut} connections were cut"),
    }
    Ok(if shutdown.cut_count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
