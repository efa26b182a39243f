//! Connections to an endpoint, and the lease that an exchange has on one: given back when the exchange is over,
//! closed at once when it is dropped before.

use std::rc::Rc;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::wire::Connection;

/// An exchange's hold on a connection.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Box<Connection>,
    /// It had carried another exchange before.
    pub(super) reused: bool,
    active: Active,
}

/// An idle connection that the other side has not closed, as far as we can know.
pub(super) fn take_idle(endpoint: &Rc<Endpoint>, now: Instant) -> Option<Lease> {
    while let Some(connection) = endpoint.take(now) {
        if !connection.is_spent() {
            return Some(Lease::new(connection, endpoint, true));
        }
    }
    None
}

/// A new connection.
pub(super) async fn connect(endpoint: &Rc<Endpoint>) -> std::io::Result<Lease> {
    let connection = Connection::new(endpoint.dial().await?);
    Ok(Lease::new(Box::new(connection), endpoint, false))
}

impl Lease {
    fn new(mut connection: Box<Connection>, endpoint: &Rc<Endpoint>, reused: bool) -> Self {
        endpoint.active.set(endpoint.active.get() + 1);
        connection.begin();
        Self { connection, reused, active: Active(endpoint.clone()) }
    }

    /// Gives the connection back: its response has been read whole, and its request sent whole.
    pub(super) fn give_back(mut self) {
        self.connection.rest();
        self.active.0.keep(self.connection);
    }
}

/// A request is under way to the endpoint.
#[derive(Debug)]
struct Active(Rc<Endpoint>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
    }
}
