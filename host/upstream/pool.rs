//! Connections to an endpoint, and the lease that an exchange has on one: given back whole when its response has been
//! read to the end, closed at once when it is dropped before.

use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::endpoint::Endpoint;
use crate::body::AttemptBody;
use crate::io::{Watch, Watched};

/// How large a response's head may be, in bytes. Its fields are at most 100, as `hyper` has it: more would cost an
/// allocation a response.
const MAX_HEAD: usize = 64 << 10;

/// How long a connection from the pool may take to be ready. One that was given back a moment ago still has a turn of
/// its task to come; one that cannot get rid of its last request, because the upstream answered without reading it,
/// would keep the next one waiting for as long.
const SETTLE: Duration = Duration::from_millis(10);

/// A connection to an upstream.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<AttemptBody>,
    task: AbortHandle,
    watch: Rc<Watch>,
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Drop for Connection {
    /// Dropping the task closes the socket: the upstream learns at once that nobody waits any more.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An exchange's hold on a connection.
#[derive(Debug)]
pub struct Lease {
    connection: Option<Connection>,
    endpoint: Rc<Endpoint>,
    reused: bool,
}

/// An idle connection that the other side has not closed, as far as we can know, and that can take a request.
pub(super) async fn take_idle(endpoint: &Rc<Endpoint>, now: Instant) -> Option<Lease> {
    while let Some(mut connection) = endpoint.take(now) {
        let ready = connection.sender.is_ready()
            || matches!(timeout(SETTLE, connection.sender.ready()).await, Ok(Ok(())));
        if ready {
            return Some(Lease::new(connection, endpoint, true));
        }
    }
    None
}

/// A new connection.
pub(super) async fn connect(endpoint: &Rc<Endpoint>) -> std::io::Result<Lease> {
    let stream = endpoint.dial().await?;
    let watch = Rc::new(Watch::default());
    let io = TokioIo::new(Watched::new(stream, watch.clone()));
    let (sender, driver) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(io).await.map_err(std::io::Error::other)?;
    // What the driver has to say of a failure, the request over it says, too.
    let task = tokio::task::spawn_local(async move { drop(driver.await) }).abort_handle();
    Ok(Lease::new(Connection { sender, task, watch }, endpoint, false))
}

impl Lease {
    fn new(connection: Connection, endpoint: &Rc<Endpoint>, reused: bool) -> Self {
        endpoint.active.set(endpoint.active.get() + 1);
        connection.watch.forget();
        Self { connection: Some(connection), endpoint: endpoint.clone(), reused }
    }

    /// Sends a request; ready when the response's head has arrived.
    pub(super) fn send(&mut self, request: Request<AttemptBody>) -> impl Future<Output = Sent> + use<> {
        // A lease has its connection until it is given back, which takes the lease.
        let sent = self.connection.as_mut().map(|connection| connection.sender.send_request(request));
        async move {
            match sent {
                Some(sent) => sent.await,
                None => std::future::pending().await,
            }
        }
    }

    /// True if the connection had carried another exchange before.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// True if anything has come back.
    pub(super) fn has_received(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.watch.has_received())
    }

    /// Gives the connection back: its response has been read whole, and its request sent whole.
    pub fn give_back(mut self) {
        if let Some(connection) = self.connection.take().filter(|connection| !connection.is_closed()) {
            self.endpoint.keep(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.active.set(self.endpoint.active.get().saturating_sub(1));
    }
}

type Sent = hyper::Result<Response<Incoming>>;
