//! A worker's way to an upstream: which endpoint is next, a connection to it, and one request over that.

mod endpoint;
mod pool;

use std::cell::Cell;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::body::{AttemptBody, ReadError, RequestBody};
use crate::manifest::{self, Balance};
use crate::telemetry::{ConnectionEvent, ProviderCounters};

use endpoint::Endpoint;
pub use pool::Lease;

/// Why there is no response head.
#[derive(Debug)]
pub enum AttemptError {
    /// No connection: nothing was sent.
    ConnectFailed(String),
    /// The upstream did not answer in time.
    TimedOut,
    /// The connection broke, or what came was not HTTP.
    Reset(String),
    /// The client's body broke off: nobody else's fault.
    Client(ReadError),
}

/// What comes after a response's head, and the connection that it comes by.
#[derive(Debug)]
pub struct Answer {
    /// Content and trailers.
    pub body: Incoming,
    /// To be given back when the body has been read.
    pub lease: Lease,
}

/// One worker's view of an upstream.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in the manifest.
    pub name: String,
    /// How long it may take, and stand still.
    pub timeouts: manifest::UpstreamTimeouts,
    /// Its figures on this worker.
    pub counters: ProviderCounters,
    balance: Balance,
    endpoints: Vec<Rc<Endpoint>>,
    turn: Cell<usize>,
}

impl Upstream {
    /// An upstream as the manifest has it, without a connection yet.
    pub fn new(manifest: &manifest::Upstream, counters: ProviderCounters) -> Self {
        let endpoints = manifest.endpoints.iter().map(|e| Rc::new(Endpoint::new(e, &manifest.pool)));
        Self {
            name: manifest.name.clone(),
            timeouts: manifest.timeouts,
            counters,
            balance: manifest.balance,
            endpoints: endpoints.collect(),
            // Workers begin at different endpoints, so that a few requests spread, too.
            turn: Cell::new(fastrand::usize(..)),
        }
    }

    /// Sends a request and waits for the response's head, from now, which is `begun`, until `deadline`. `make` builds the request; it is called
    /// again if a pooled connection turns out to be stale.
    ///
    /// A connection that sat in the pool may have been closed by the other side just as we wrote to it. If such a one
    /// ends before the first byte of a response, the request goes out once more, over a new connection: always, if its
    /// method is idempotent or nothing of it was sent; otherwise only within [`STALE`], when an idle connection's close
    /// is by far the likeliest reason, and an error that no upstream made is all the client would see. On a new
    /// connection there is no such excuse, and no such second try.
    pub async fn send(
        &self,
        client: IpAddr,
        body: &RequestBody,
        begun: Instant,
        deadline: Instant,
        make: impl Fn(AttemptBody) -> Request<AttemptBody>,
    ) -> Result<(response::Parts, Answer), AttemptError> {
        let endpoint = self.pick(client);
        if let Some(lease) = pool::take_idle(endpoint, begun).await {
            self.counters.connection(ConnectionEvent::Reused);
            match self.exchange(lease, body, begun, deadline, &make).await {
                Err(failed) if failed.is_stale(begun) && body.can_replay() => {
                    self.counters.connection(ConnectionEvent::Stale);
                }
                done => return done.map_err(|failed| failed.error),
            }
        }
        let lease = self.connect(endpoint, deadline).await?;
        self.exchange(lease, body, Instant::now(), deadline, &make).await.map_err(|failed| failed.error)
    }

    /// Drops connections that have been idle for too long.
    pub fn sweep(&self) {
        self.endpoints.iter().for_each(|endpoint| endpoint.sweep());
    }

    async fn connect(&self, endpoint: &Rc<Endpoint>, deadline: Instant) -> Result<Lease, AttemptError> {
        let limit = deadline.min(Instant::now() + self.timeouts.connect);
        let connected = match timeout_at(limit, pool::connect(endpoint)).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            // The exchange's time is over, not the connection's.
            Err(_) if limit == deadline => return Err(AttemptError::TimedOut),
            Err(_) => Err(format!("no connection within {:?}", self.timeouts.connect)),
        };
        if connected.is_ok() {
            self.counters.connection(ConnectionEvent::Opened);
        }
        connected.map_err(|why| AttemptError::ConnectFailed(format!("{}: {why}", endpoint.authority)))
    }

    async fn exchange(
        &self,
        mut lease: Lease,
        body: &RequestBody,
        begun: Instant,
        deadline: Instant,
        make: impl Fn(AttemptBody) -> Request<AttemptBody>,
    ) -> Result<(response::Parts, Answer), Failed> {
        let request = make(body.attempt());
        let idempotent = request.method().is_idempotent();
        let sent = lease.send(request);
        match within(sent, self.timeouts.response, begun, deadline, body).await {
            Some(Ok(response)) => {
                let (head, body) = response.into_parts();
                Ok((head, Answer { body, lease }))
            }
            Some(Err(error)) => Err(Failed::new(&error, &lease, body, idempotent)),
            // A client that is slow to send is no failure of the upstream's.
            None if body.is_awaited() => Err(Failed::plain(AttemptError::Client(ReadError::Stalled))),
            None => Err(Failed::plain(AttemptError::TimedOut)),
        }
    }

    fn pick(&self, client: IpAddr) -> &Rc<Endpoint> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let count = self.endpoints.len();
        let rotated = (0..count).map(|n| &self.endpoints[(turn % count + n) % count]);
        let picked = match self.balance {
            Balance::RoundRobin => None,
            Balance::LeastRequest => rotated.min_by_key(|endpoint| endpoint.active.get()),
            Balance::ConsistentHash => self.endpoints.iter().max_by_key(|e| weight(client, &e.authority)),
        };
        picked.unwrap_or(&self.endpoints[turn % count])
    }
}

/// Waits for the response's head. Its time begins anew as long as the request's body moves or is awaited from the
/// client, who has a limit of its own: a slow upload is not a slow upstream.
async fn within<T>(
    sent: impl Future<Output = T>,
    limit: Duration,
    mut since: Instant,
    deadline: Instant,
    body: &RequestBody,
) -> Option<T> {
    let mut sent = std::pin::pin!(sent);
    loop {
        let before = body.progress();
        let until = deadline.min(since + limit);
        if let Ok(done) = timeout_at(until, &mut sent).await {
            return Some(done);
        }
        if until == deadline || (body.progress() == before && !body.is_awaited()) {
            return None;
        }
        since = Instant::now();
    }
}

/// Rendezvous hashing: a client goes to the endpoint that weighs most for it. The hasher's keys are fixed, so that all
/// workers, and the next process, agree.
fn weight(client: IpAddr, endpoint: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((client, endpoint))
}

/// How soon after a request began a pooled connection's end is taken for that of an idle one, if the request must not
/// be made twice. An upstream that had closed it says so within a round trip; one that fails at the request takes
/// longer, mostly.
const STALE: Duration = Duration::from_secs(1);

/// A request that got no response over one connection.
struct Failed {
    error: AttemptError,
    /// It can be made twice, or nothing of it was sent.
    harmless: bool,
    /// The connection had been used before, and not one byte of a response came.
    stale: bool,
}

impl Failed {
    fn new(error: &hyper::Error, lease: &Lease, body: &RequestBody, idempotent: bool) -> Self {
        if let Some(failure) = body.failure() {
            return Self::plain(AttemptError::Client(failure));
        }
        let stale = lease.is_reused() && !lease.has_received() && !error.is_parse();
        let harmless = idempotent || error.is_canceled();
        Self { error: AttemptError::Reset(describe(error)), stale, harmless }
    }

    /// A failure that is no stale connection's.
    fn plain(error: AttemptError) -> Self {
        Self { error, stale: false, harmless: false }
    }

    fn is_stale(&self, begun: Instant) -> bool {
        self.stale && (self.harmless || begun.elapsed() < STALE)
    }
}

/// `hyper`'s own words, with the cause below them.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
