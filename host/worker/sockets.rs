//! The sockets of one listener, one for each worker.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::{bind, probe};

/// For each worker, a socket on the address. A first one, alone, makes sure that the address is free: with
/// `SO_REUSEPORT`, a second Tollgate would else take half of the first one's connections. The error is for people.
pub fn bind_each(mut address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, String> {
    if address.port() != 0 {
        drop(probe(address).map_err(|error| unbound(address, &error))?);
    }
    let mut sockets = Vec::new();
    for _ in 0..workers {
        let socket = bind(address).map_err(|error| unbound(address, &error))?;
        // Port 0 is chosen once, and the others join it.
        address = socket.local_addr().map_err(|error| error.to_string())?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn unbound(address: SocketAddr, error: &io::Error) -> String {
    let help = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; something listens there already: choose another port, for example with --listen"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 are for the privileged",
        _ => "",
    };
    format!("cannot listen on {address}: {error}{help}")
}
