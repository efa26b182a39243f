//! A client's connection: HTTP/1.1 on it, exchange after exchange, and the limits on how long it may stand still.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::body::{BoxError, ResponseBody};
use crate::io::{Watch, Watched};
use crate::manifest;
use crate::proxy;
use crate::shutdown::Shutdown;
use crate::worker::Worker;

/// `hyper` reads a head into a buffer of at least this many bytes.
const MIN_BUFFER: usize = 8 << 10;
/// As many fields `hyper` parses on its stack; any other number costs an allocation a request.
const HYPER_FIELDS: usize = 100;

/// A client, as its exchanges see it.
#[derive(Debug)]
pub struct Client {
    /// Where the connection comes from.
    pub address: IpAddr,
    /// The same, as a field's value.
    pub address_text: HeaderValue,
    /// How long a body may stand still.
    pub idle: Duration,
    /// Its socket.
    pub watch: Rc<Watch>,
    /// How long a request's head may take.
    header: Duration,
    waiting: Cell<Waiting>,
}

/// What a connection waits for, and since when.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    /// A request.
    Request(Instant),
    /// The rest of a request's head.
    Head(Instant),
    /// Nothing: an exchange is under way.
    Exchange,
}

impl Client {
    fn new(address: IpAddr, timeouts: &manifest::ListenerTimeouts) -> Self {
        let waiting = Cell::new(Waiting::Request(Instant::now()));
        // An address in text is visible ASCII.
        let address_text = HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static(""));
        let watch = Rc::default();
        Self { address, address_text, idle: timeouts.idle, header: timeouts.header, watch, waiting }
    }

    /// When the connection has stood still for too long, unless something moves before.
    fn limit(&self) -> Option<Instant> {
        if let Some(since) = self.watch.blocked_since() {
            return Some(since + self.idle);
        }
        match self.waiting.get() {
            Waiting::Request(_) if self.watch.has_received() => {
                let now = Instant::now();
                self.waiting.set(Waiting::Head(now));
                Some(now + self.header)
            }
            Waiting::Request(since) => Some(since + self.idle),
            Waiting::Head(since) => Some(since + self.header),
            Waiting::Exchange => None,
        }
    }
}

/// Serves a connection until it ends, stands still for too long, or its listener's `drain` asks it to go.
pub async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    address: IpAddr,
    listener: Rc<manifest::Listener>,
    drain: Rc<Shutdown>,
) {
    let _counted = worker.telemetry.connection();
    let client = Rc::new(Client::new(address, &listener.timeouts));
    let served = client.clone();
    // Boxed: `hyper` keeps room for it, and an exchange is many times what an idle connection needs.
    let service = service_fn(move |request| Box::pin(exchange(worker.clone(), served.clone(), request)));
    let io = TokioIo::new(Watched::new(stream, client.watch.clone()));
    let mut connection = std::pin::pin!(builder(&listener.limits).serve_connection(io, service));
    let mut still = std::pin::pin!(Still::new(client));
    let mut draining = std::pin::pin!(drain.draining());
    let mut asked = false;
    loop {
        tokio::select! {
            biased;
            // What went wrong on a client's connection is the client's business; its exchange has said what it must.
            _ = &mut connection => return,
            () = &mut still => return,
            () = &mut draining, if !asked => {
                asked = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(limits: &manifest::ListenerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_header_size(limits.header_bytes).max_buf_size(limits.header_bytes.max(MIN_BUFFER));
    // `Still` does this, and tells waiting for a request from waiting for the rest of one.
    builder.header_read_timeout(None);
    if limits.headers != HYPER_FIELDS {
        builder.max_headers(limits.headers);
    }
    builder
}

async fn exchange(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let busy = Busy::new(client.clone());
    let response = proxy::serve(&worker, &client, request).await;
    Ok(response.map(|body| Outgoing { body, _busy: busy }))
}

/// While this lives, an exchange is under way.
#[derive(Debug)]
struct Busy(Rc<Client>);

impl Busy {
    fn new(client: Rc<Client>) -> Self {
        client.waiting.set(Waiting::Exchange);
        Self(client)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.watch.forget();
        self.0.waiting.set(Waiting::Request(Instant::now()));
    }
}

/// A response's body, on a connection that is busy until it has gone.
#[derive(Debug)]
struct Outgoing {
    body: ResponseBody,
    _busy: Busy,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ready when the connection has stood still for too long. One timer a connection serves all its limits: it is looked
/// at when it fires, not whenever something moves.
struct Still {
    client: Rc<Client>,
    timer: Pin<Box<Sleep>>,
}

impl Still {
    fn new(client: Rc<Client>) -> Self {
        let timer = Box::pin(sleep(client.header.min(client.idle)));
        Self { client, timer }
    }
}

impl Future for Still {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let limit = self.client.limit();
            if limit.is_some_and(|limit| limit <= now) {
                return Poll::Ready(());
            }
            // Something may begin to stand still right now, under the shorter of the limits.
            let soonest = now + self.client.header.min(self.client.idle);
            let next = limit.map_or(soonest, |limit| limit.min(soonest));
            self.timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}
