//! One address of an upstream, and the idle connections that a worker keeps to it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::wire::Connection;
use crate::manifest::{self, Pool};

/// One address of an upstream, as one worker sees it.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Host and port.
    pub(super) authority: String,
    /// Requests under way.
    pub(super) active: Cell<usize>,
    target: Target,
    idle: RefCell<VecDeque<Idle>>,
    limits: Pool,
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    Address(SocketAddr),
    Name(String, u16),
}

impl Target {
    fn of(endpoint: &manifest::Endpoint) -> Self {
        match endpoint.host.parse::<IpAddr>() {
            Ok(ip) => Self::Address(SocketAddr::new(ip, endpoint.port)),
            Err(_) => Self::Name(endpoint.host.clone(), endpoint.port),
        }
    }
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl Endpoint {
    pub(super) fn new(endpoint: &manifest::Endpoint, limits: &Pool) -> Self {
        let target = Target::of(endpoint);
        let authority = match &target {
            Target::Address(address) => address.to_string(),
            Target::Name(name, port) => format!("{name}:{port}"),
        };
        Self { authority, active: Cell::new(0), target, idle: RefCell::default(), limits: *limits }
    }

    /// True if the manifest means this one.
    pub(super) fn is(&self, endpoint: &manifest::Endpoint, limits: &Pool) -> bool {
        self.target == Target::of(endpoint) && self.limits == *limits
    }

    /// A new connection. Names are resolved each time, by the system; every address is tried in turn.
    pub(super) async fn dial(&self) -> std::io::Result<TcpStream> {
        let stream = match &self.target {
            Target::Address(address) => TcpStream::connect(address).await,
            Target::Name(name, port) => TcpStream::connect((name.as_str(), *port)).await,
        }?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The connection that was used last: the likeliest to be alive, and the others may then age out.
    pub(super) fn take(&self, now: Instant) -> Option<Box<Connection>> {
        let idle = self.idle.borrow_mut().pop_back()?;
        (now.saturating_duration_since(idle.since) < self.limits.idle).then_some(idle.connection)
    }

    /// Keeps a connection, unless there are enough.
    pub(super) fn keep(&self, connection: Box<Connection>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.limits.max_idle {
            idle.push_back(Idle { connection, since: Instant::now() });
        }
    }

    /// Closes what has been idle for too long, or was closed by the other side.
    pub(super) fn sweep(&self) {
        let limit = self.limits.idle;
        self.idle.borrow_mut().retain(|idle| idle.since.elapsed() < limit && !idle.connection.is_spent());
    }
}
