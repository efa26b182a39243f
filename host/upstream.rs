//! A worker's way to an upstream: which endpoint is next, a connection to it, and one request over that.
//!
//! The client's side of HTTP/1.1 is our own, above `httparse`. Over `hyper`'s, a request was a copy of the head, a channel,
//! and a task of the connection's to be woken three times: a quarter of all instructions that a request cost.

mod answer;
mod chunked;
mod endpoint;
mod head;
mod interim;
mod pool;
mod wire;

use std::cell::Cell;
use std::future::poll_fn;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::{request, response};
use tokio::time::{Instant, timeout_at};

use crate::body::{ReadError, RequestBody};
use crate::manifest::{self, Balance};
use crate::telemetry::{ConnectionEvent, ProviderCounters};

use endpoint::Endpoint;
use pool::Lease;
use wire::Broken;

pub use answer::Answer;
pub use interim::Interim;

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

/// A request on its way to an upstream.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its head, as filters have left it; the body has a framing of its own.
    pub head: &'a request::Parts,
    /// Its body.
    pub body: &'a RequestBody,
    /// Where interim responses go, if the client knows what they are.
    pub interim: &'a Interim,
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
    /// An upstream as the manifest has it. Endpoints that `previous` has, too, keep their connections and what is known
    /// of them; others begin without.
    pub fn new(manifest: &manifest::Upstream, counters: ProviderCounters, previous: Option<&Self>) -> Self {
        let endpoints = manifest.endpoints.iter().map(|endpoint| {
            let mut known = previous.into_iter().flat_map(|upstream| &upstream.endpoints);
            let same = known.find(|known| known.is(endpoint, &manifest.pool));
            same.cloned().unwrap_or_else(|| Rc::new(Endpoint::new(endpoint, &manifest.pool)))
        });
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

    /// Sends a request and waits for the response's head, from now, which is `begun`, until `deadline`.
    ///
    /// A connection that sat in the pool may have been closed by the other side just as we wrote to it. If such a one
    /// ends before the first byte of a response, the request goes out once more, over a new connection: always, if its
    /// method is idempotent or nothing of it was sent; otherwise only within [`STALE`], when an idle connection's close
    /// is by far the likeliest reason, and an error that no upstream made is all the client would see. On a new
    /// connection there is no such excuse, and no such second try.
    pub async fn send(
        &self,
        client: IpAddr,
        request: Outgoing<'_>,
        begun: Instant,
        deadline: Instant,
    ) -> Result<(response::Parts, Answer), AttemptError> {
        let endpoint = self.pick(client);
        if let Some(lease) = pool::take_idle(endpoint, begun) {
            self.counters.connection(ConnectionEvent::Reused);
            match exchange(lease, &request, self.limits(begun, deadline)).await {
                Err(failed) if failed.is_stale(begun) && request.body.can_replay() => {
                    self.counters.connection(ConnectionEvent::Stale);
                }
                done => return done.map_err(|failed| failed.error),
            }
        }
        let lease = self.connect(endpoint, deadline).await?;
        exchange(lease, &request, self.limits(Instant::now(), deadline)).await.map_err(|failed| failed.error)
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

    fn limits(&self, since: Instant, deadline: Instant) -> Limits {
        Limits { since, response: self.timeouts.response, deadline }
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

/// How long a response's head may take.
struct Limits {
    since: Instant,
    response: Duration,
    deadline: Instant,
}

/// One request over one connection.
async fn exchange(
    lease: Lease,
    request: &Outgoing<'_>,
    limits: Limits,
) -> Result<(response::Parts, Answer), Failed> {
    let reused = lease.reused;
    let mut answer = Answer::to(request.head, request.body.attempt(), lease);
    match within(&mut answer, request, limits).await {
        Some(Ok(head)) => Ok((head, answer)),
        Some(Err(broken)) => Err(Failed::new(&broken, &mut answer, reused, request)),
        // A client that is slow to send is no failure of the upstream's.
        None if request.body.is_awaited() => Err(Failed::plain(AttemptError::Client(ReadError::Stalled))),
        None => Err(Failed::plain(AttemptError::TimedOut)),
    }
}

/// Waits for the response's head. Its time begins anew as long as the request's body moves or is awaited from the
/// client, who has a limit of its own: a slow upload is not a slow upstream.
async fn within(
    answer: &mut Answer,
    request: &Outgoing<'_>,
    mut limits: Limits,
) -> Option<Result<response::Parts, Broken>> {
    let body = request.body;
    let mut before = body.progress();
    poll_fn(|cx| {
        if let Poll::Ready(done) = answer.poll_head(&request.head.method, request.interim, cx) {
            return Poll::Ready(Some(done));
        }
        loop {
            let until = limits.deadline.min(limits.since + limits.response);
            let Some(connection) = answer.connection() else { return Poll::Pending };
            ready!(connection.poll_until(until, cx));
            if until == limits.deadline || (body.progress() == before && !body.is_awaited()) {
                return Poll::Ready(None);
            }
            before = body.progress();
            limits.since = Instant::now();
        }
    })
    .await
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
    fn new(broken: &Broken, answer: &mut Answer, reused: bool, request: &Outgoing<'_>) -> Self {
        if let Some(failure) = request.body.failure() {
            return Self::plain(AttemptError::Client(failure));
        }
        let (sent, received) = answer.connection().map_or((true, true), |c| (c.has_sent, c.has_received));
        let stale = reused && !received && !matches!(broken, Broken::Parse(_));
        let harmless = request.head.method.is_idempotent() || !sent;
        Self { error: AttemptError::Reset(broken.to_string()), stale, harmless }
    }

    /// A failure that is no stale connection's.
    fn plain(error: AttemptError) -> Self {
        Self { error, stale: false, harmless: false }
    }

    fn is_stale(&self, begun: Instant) -> bool {
        self.stale && (self.harmless || begun.elapsed() < STALE)
    }
}
