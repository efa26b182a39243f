//! `tollgate run`: from arguments to traffic, and to an orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;

use super::check::{host, list};
use super::{Done, Wasm, engine};
use crate::admin::{self, Admin};
use crate::assembly::{Assembler, Trial};
use crate::attempt::RetryBudget;
use crate::demo::Demo;
use crate::health::Life;
use crate::listener::Bound;
use crate::logs;
use crate::manifest::{self, Manifest};
use crate::reload::{Reloader, Site};
use crate::shutdown::{Shutdown, Signals, Wish};
use crate::source::Source;
use crate::worker::{self, Change, Shared, Worker, WorkerError};

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
    /// Do not reload by itself when the manifest or a filter's file changes
    #[arg(long)]
    no_watch: bool,
}

impl Run {
    pub(super) fn run(self, wasm: &Wasm) -> Done {
        let demo = self.start_demo()?;
        let source = self.source(demo.as_ref())?;
        // Before it is read: what changes in between is noticed.
        let digest = source.digest();
        let manifest = source.read()?;
        let _logs = logs::start(&manifest.telemetry.log);
        let engine = engine(wasm)?;
        let host = host(&manifest.telemetry.namespace)?;
        let _sampling = host.pressure.keep_sampling().map_err(|error| error.to_string())?;
        tracing::info!(filters = manifest.filters.len(), "loading filters");
        let assembler = Assembler::new(engine, host.clone());
        let assembled = assembler.assemble(manifest, None, Trial::Start);
        let started = Arc::new(assembled.map_err(|all| list(&all, source.name()))?);
        let workers = self.workers.map_or_else(cores, usize::from);
        let budget = RetryBudget::new(&started.manifest.retry_budget, host.telemetry.clone());
        let shared = Arc::new(Shared { host, shutdown: Arc::default(), budget, workers });
        let watched = digest.filter(|_| !self.no_watch);
        serve(Site { source, watched, assembler, started, shared, workers: Vec::new() }, demo)
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

    /// Where the manifest comes from, and what the arguments put in its place.
    fn source(&self, demo: Option<&Demo>) -> Result<Source, String> {
        let upstream = self.upstream.as_deref().map(manifest::Endpoint::parse).transpose();
        Ok(Source {
            path: self.manifest.clone(),
            default_upstream: demo
                .map(|demo| format!("http://{}", demo.address))
                .or_else(|| self.upstream.clone()),
            listen: self.listen,
            upstream: upstream.map_err(|why| format!("--upstream: {why}"))?,
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts the workers, and waits for the end.
fn serve(mut site: Site, demo: Option<Demo>) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the system gives no runtime: {error}"))?;
    let local = LocalSet::new();
    // Before anything else: a signal that comes while workers start must not kill them half-way.
    let mut signals = runtime.block_on(async { Signals::new() }).map_err(|error| error.to_string())?;
    let shared = site.shared.clone();
    let sockets = bind_all(&site.started.manifest, shared.workers)?;
    let addresses = addresses(&sockets);
    let (threads, ready) = start_workers(&mut site, sockets)?;
    if !ready {
        shared.shutdown.cut_now();
        return finish(threads, &shared.shutdown);
    }
    shared.host.health.set_life(Life::Serving);
    announce(&addresses, shared.workers, demo.as_ref());
    let admin = site.started.manifest.admin.clone();
    let reloader = Reloader::start(site).map_err(|error| format!("the system gives no thread: {error}"))?;
    local.block_on(&runtime, async {
        administer(admin, &reloader, &shared)?;
        until_the_end(&mut signals, &threads, &reloader).await;
        let patience = reloader.running().manifest.shutdown_timeout;
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

/// Reloads when a signal asks for it, until one asks for the end.
async fn until_the_end(signals: &mut Signals, threads: &[WorkerThread], reloader: &Reloader) {
    let mut ended = std::pin::pin!(any_ended(threads));
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => reloader.ask(),
                Wish::End => return,
            },
            // None of them should; what ended it comes to light when it is joined.
            () = &mut ended => return,
        }
    }
}

/// Begins to serve the administration interface, if the manifest wants one.
fn administer(admin: Option<manifest::Admin>, reloader: &Reloader, shared: &Shared) -> Result<(), String> {
    let Some(admin) = admin else { return Ok(()) };
    let failed = |error: std::io::Error| format!("cannot listen on {} (admin): {error}", admin.address);
    let socket = worker::probe(admin.address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let socket = tokio::net::TcpListener::from_std(socket).map_err(failed)?;
    tracing::info!(admin = %address, "administration on http://{address}");
    let admin = Admin { reloader: reloader.clone(), host: shared.host.clone() };
    tokio::task::spawn_local(admin::serve(Arc::new(admin), socket));
    Ok(())
}

type WorkerThread = JoinHandle<Result<(), WorkerError>>;

/// Starts a worker for each set of shares, and puts the ways to them into the site. Also returns whether all could
/// start.
fn start_workers(site: &mut Site, sockets: Vec<Vec<Bound>>) -> Result<(Vec<WorkerThread>, bool), String> {
    let (ready, started) = mpsc::channel();
    let mut threads = Vec::new();
    for (number, bound) in sockets.into_iter().enumerate() {
        let (way, changes) = unbounded_channel();
        threads.push(start_worker(number, site, bound, changes, ready.clone())?);
        site.workers.push(way);
    }
    drop(ready);
    // A worker that cannot start drops its end of the channel without a word; it says why when it is joined.
    let all = started.iter().take(threads.len()).count() == threads.len();
    Ok((threads, all))
}

fn start_worker(
    number: usize,
    site: &Site,
    bound: Vec<Bound>,
    changes: UnboundedReceiver<Change>,
    ready: mpsc::Sender<()>,
) -> Result<WorkerThread, String> {
    let (shared, assembly) = (site.shared.clone(), site.started.clone());
    let run = move || {
        let ready = move || {
            // The main thread waits for this, unless it is ending anyway.
            let _ = ready.send(());
        };
        Worker::run(shared, assembly, bound, changes, ready)
    };
    let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(run);
    thread.map_err(|error| format!("the system gives no thread: {error}"))
}

/// For each worker, its share of each listener.
fn bind_all(manifest: &Manifest, workers: usize) -> Result<Vec<Vec<Bound>>, String> {
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in &manifest.listeners {
        let bound = Bound::all(listener, workers)?;
        sockets.iter_mut().zip(bound).for_each(|(of_worker, bound)| of_worker.push(bound));
    }
    Ok(sockets)
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
