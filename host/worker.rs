//! A worker: one thread, one runtime, its sockets, its chain, its connections to upstreams. Nothing on a request's way
//! is shared with another worker.

mod change;
mod sockets;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::assembly::{Assembly, Problem, Refusal};
use crate::attempt::RetryBudget;
use crate::chain::{Chain, Walks};
use crate::exchange::Names;
use crate::listener;
use crate::manifest::{self, ErrorFormat, Match, Target};
use crate::phase::Phase;
use crate::route;
use crate::shutdown::Shutdown;
use crate::telemetry::{self, ProviderCounters};
use crate::upstream::Upstream;
use crate::wasm::Host;

pub use change::{Change, Socket};
use change::{Listeners, Ready};
pub use sockets::bind_each;

/// How often idle connections are looked through, and how late timers are is measured.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What all workers have in common.
#[derive(Debug)]
pub struct Shared {
    /// What the host offers to filters: figures, pressure, health.
    pub host: Host,
    /// When to stop.
    pub shutdown: Arc<Shutdown>,
    /// The budget for retries.
    pub budget: RetryBudget,
    /// How many workers there are.
    pub workers: usize,
}

/// A worker's state. It never leaves its thread.
#[derive(Debug)]
pub struct Worker {
    /// What all workers have in common.
    pub shared: Arc<Shared>,
    /// The worker's counters.
    pub telemetry: telemetry::Worker,
    /// Where requests are counted that no route took.
    pub unrouted: ProviderCounters,
    /// The budget for retries.
    pub budget: RetryBudget,
    setup: RefCell<Rc<Setup>>,
    listeners: Listeners,
}

/// What the manifest makes of a worker: routes, chain, upstreams. An exchange ends on the setup that it began with.
#[derive(Debug)]
pub struct Setup {
    /// The chain of filters.
    pub chain: Rc<Chain>,
    /// Whether requests go to the access log.
    pub log_requests: bool,
    routes: Vec<(Match, Destination)>,
    upstreams: Vec<Rc<Upstream>>,
}

/// Where a route leads.
#[derive(Debug)]
pub enum Destination {
    /// The figures.
    Metrics,
    /// The health checks.
    Health,
    /// An upstream, through the chain.
    Upstream(Proxied),
}

/// A route to an upstream.
#[derive(Debug)]
pub struct Proxied {
    /// Route, upstream and provider.
    pub names: Arc<Names>,
    /// The upstream.
    pub upstream: Rc<Upstream>,
    /// The filters that it calls, by phase.
    pub walks: Rc<Walks>,
    /// How long until a response's head must have come.
    pub timeout: Duration,
    /// How large a body may be that filters ask to see whole, in bytes.
    pub body_limit: u64,
    /// How much of a streamed body is kept for another attempt, in bytes.
    pub replay_limit: u64,
    /// The shape of our own answers.
    pub errors: ErrorFormat,
    /// A filter may read the response's head when that has gone to the client.
    pub keeps_response: bool,
}

impl Worker {
    /// Runs a worker on this thread, until the shutdown is over. `bound` are its shares of the manifest's
    /// listeners, in their order; `ready` is called when it is about to accept. Then it takes over what comes by `changes`.
    pub fn run(
        shared: Arc<Shared>,
        assembly: Arc<Assembly>,
        bound: Vec<listener::Bound>,
        changes: mpsc::UnboundedReceiver<Change>,
        ready: impl FnOnce(),
    ) -> Result<(), WorkerError> {
        let mut runtime = Builder::new_current_thread();
        // Tasks of one thread, without the second queue and the second wake-up that a `LocalSet` has.
        let runtime = runtime.enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let worker = Rc::new(Self::new(shared, &assembly).await?);
            let sockets = bound.into_iter().map(|bound| Ready::new(Socket::New(bound)));
            let sockets = sockets.collect::<std::io::Result<_>>()?;
            worker.listeners.change(&worker, &assembly.manifest.listeners, sockets);
            drop(assembly);
            tokio::task::spawn_local(housekeeping(Rc::downgrade(&worker)));
            tokio::task::spawn_local(change::take_over_all(worker.clone(), changes));
            ready();
            worker.listeners.until_drained(&worker.shared.shutdown).await;
            Ok(())
        })
    }

    async fn new(shared: Arc<Shared>, assembly: &Assembly) -> Result<Self, WorkerError> {
        let telemetry = shared.host.telemetry.worker();
        let setup = Setup::new(assembly, &telemetry, None).await?;
        Ok(Self {
            unrouted: telemetry.provider("unrouted"),
            budget: shared.budget.clone(),
            telemetry,
            shared,
            setup: RefCell::new(Rc::new(setup)),
            listeners: Listeners::default(),
        })
    }

    /// The setup for a request that begins now.
    pub fn setup(&self) -> Rc<Setup> {
        self.setup.borrow().clone()
    }
}

impl Setup {
    /// A setup that is ready to serve. What is the same in `previous` is shared with it: filters' live instances, and
    /// connections to endpoints.
    async fn new(
        assembly: &Assembly,
        telemetry: &telemetry::Worker,
        previous: Option<&Self>,
    ) -> Result<Self, WorkerError> {
        let previous_chain = previous.map(|setup| &*setup.chain);
        let chain = Chain::new(&assembly.entries, |filter| telemetry.filter(filter), previous_chain);
        for (index, entry) in assembly.entries.iter().enumerate() {
            let unstartable = |fault| Problem::Unstartable(fault).of(&entry.filter.name);
            chain.warm_up(index).await.map_err(unstartable)?;
            // Exchanges go on meanwhile.
            tokio::task::yield_now().await;
        }
        Ok(Self::with_chain(assembly, telemetry, previous, Rc::new(chain)))
    }

    fn with_chain(
        assembly: &Assembly,
        telemetry: &telemetry::Worker,
        previous: Option<&Self>,
        chain: Rc<Chain>,
    ) -> Self {
        let manifest = &assembly.manifest;
        let upstream = |upstream: &manifest::Upstream| {
            let mut known = previous.into_iter().flat_map(|setup| &setup.upstreams);
            let previous = known.find(|known| known.name == upstream.name).map(|known| &**known);
            Rc::new(Upstream::new(upstream, telemetry.provider(&upstream.provider), previous))
        };
        let upstreams: Vec<_> = manifest.upstreams.iter().map(upstream).collect();
        let destination = |route: &manifest::Route| match &route.target {
            Target::Metrics => Some(Destination::Metrics),
            Target::Health => Some(Destination::Health),
            Target::Upstream(target) => {
                let (config, upstream) = manifest.upstreams.iter().zip(&upstreams).nth(target.upstream)?;
                let names = Names {
                    route: route.name.clone(),
                    upstream: config.name.clone(),
                    provider: config.provider.clone(),
                };
                Some(Destination::Upstream(Proxied {
                    names: Arc::new(names),
                    upstream: upstream.clone(),
                    walks: Rc::new(Walks::new(&chain, &target.filters)),
                    timeout: target.timeout,
                    body_limit: target.body_limit,
                    replay_limit: target.replay_limit,
                    errors: target.errors,
                    keeps_response: target.filters.iter().any(|index| reads_late(assembly, *index)),
                }))
            }
        };
        let routes = manifest.routes.iter();
        let routes = routes.filter_map(|route| Some((route.matcher.clone(), destination(route)?))).collect();
        Self { chain, log_requests: manifest.telemetry.log.requests, routes, upstreams }
    }

    /// Where a request leads.
    pub fn route(&self, host: &str, path: &str, method: &Method) -> Option<&Destination> {
        let found = route::find(self.routes.iter().map(|(matcher, _)| matcher), host, path, method)?;
        self.routes.get(found).map(|(_, destination)| destination)
    }
}

/// True if the filter takes part in a phase after the response's head.
fn reads_late(assembly: &Assembly, filter: usize) -> bool {
    let late = |phase: &Phase| matches!(phase, Phase::OnResponseChunk | Phase::OnComplete);
    assembly.entries.get(filter).is_some_and(|entry| entry.program.phases.iter().any(late))
}

/// Why a worker could not run.
#[derive(Debug)]
pub enum WorkerError {
    /// The system gave no runtime, or no socket.
    Io(std::io::Error),
    /// A filter could not be started.
    Filter(Refusal),
}

impl From<std::io::Error> for WorkerError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Refusal> for WorkerError {
    fn from(refusal: Refusal) -> Self {
        Self::Filter(refusal)
    }
}

impl std::fmt::Display for WorkerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Filter(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for WorkerError {}

async fn housekeeping(worker: std::rc::Weak<Worker>) {
    loop {
        let due = tokio::time::Instant::now() + HOUSEKEEPING;
        tokio::time::sleep_until(due).await;
        let Some(worker) = worker.upgrade() else { return };
        worker.shared.host.pressure.report_delay(due.elapsed());
        worker.setup().upstreams.iter().for_each(|upstream| upstream.sweep());
    }
}

/// A socket for one worker of a listener: the kernel spreads connections over all that listen on the address.
pub fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    listen(address, true)
}

/// A socket that fails where another process listens already, even one that would share.
pub fn probe(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    listen(address, false)
}

fn listen(address: SocketAddr, share: bool) -> std::io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    /// Connections that the kernel completes and holds while a worker is busy.
    const BACKLOG: i32 = 4096;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
