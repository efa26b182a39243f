//! Accepts connections, for ever, within a limit. What fails here fails for one connection; nothing but the shutdown
//! ends the loop.

mod crew;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::connection;
use crate::manifest;
use crate::shutdown::Shutdown;
use crate::worker::{self, Worker};

use crew::{Crew, Handed, Held, Seat};

/// How long to wait when the system has no descriptor to give: trying again at once would only burn the core.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// One worker's share of a listener: a socket of its own, and its seat among the workers.
#[derive(Debug)]
pub struct Bound {
    socket: std::net::TcpListener,
    seat: Seat,
}

/// The loops that accept, and the connections that they accepted.
#[derive(Debug)]
pub struct Accepting {
    loops: Vec<AbortHandle>,
    /// For each listener, with this worker's number.
    crews: Vec<(Arc<Crew>, usize)>,
}

impl Bound {
    /// A listener's sockets, one for each of `workers`. Port 0 is chosen once.
    ///
    /// # Errors
    /// The system's, if it does not give one of them.
    pub fn all(listener: &manifest::Listener, workers: usize) -> io::Result<Vec<Self>> {
        let mut address = listener.address;
        let bind = |seat| {
            let socket = worker::bind(address)?;
            address = socket.local_addr()?;
            Ok(Self { socket, seat })
        };
        Crew::seats(workers, listener.limits.connections).into_iter().map(bind).collect()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Begins to accept on all listeners of the manifest, by what this worker has of them.
pub fn accept_on(
    worker: &Rc<Worker>,
    listeners: &[manifest::Listener],
    bound: Vec<Bound>,
) -> io::Result<Accepting> {
    let mut accepting = Accepting { loops: Vec::new(), crews: Vec::new() };
    for (listener, Bound { socket, seat }) in listeners.iter().zip(bound) {
        accepting.crews.push((seat.crew.clone(), seat.number));
        let door = Rc::new(Door {
            worker: worker.clone(),
            listener: Rc::new(listener.clone()),
            crew: seat.crew,
            number: seat.number,
        });
        let accept = accept(door.clone(), TcpListener::from_std(socket)?);
        accepting.loops.push(tokio::task::spawn_local(accept).abort_handle());
        accepting.loops.push(tokio::task::spawn_local(take_over(door, seat.handed)).abort_handle());
    }
    Ok(accepting)
}

/// Where connections come in.
struct Door {
    worker: Rc<Worker>,
    listener: Rc<manifest::Listener>,
    crew: Arc<Crew>,
    number: usize,
}

impl Door {
    fn serve(&self, stream: TcpStream, address: SocketAddr, held: Held) {
        let address = address.ip().to_canonical();
        let serve = connection::serve(self.worker.clone(), stream, address, self.listener.clone());
        tokio::task::spawn_local(async move {
            serve.await;
            drop(held);
        });
    }
}

async fn accept(door: Rc<Door>, socket: TcpListener) {
    loop {
        // Past the limit, clients wait in the kernel's queue. There are always places, free or not.
        let Some(place) = door.crew.place().await else { return };
        let (stream, address) = accept_one(&socket).await;
        let held = door.crew.hold(door.number, place);
        if held.worker() == door.number {
            door.serve(stream, address, held);
            continue;
        }
        match stream.into_std() {
            Ok(stream) => door.crew.hand_over(Handed { stream, address, held }),
            Err(error) => tracing::error!("a connection cannot be handed to another worker: {error}"),
        }
    }
}

/// Serves the connections that other workers have accepted.
async fn take_over(door: Rc<Door>, mut inbox: tokio::sync::mpsc::UnboundedReceiver<Handed>) {
    while let Some(Handed { stream, address, held }) = inbox.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => door.serve(stream, address, held),
            Err(error) => tracing::error!("a connection cannot be taken over: {error}"),
        }
    }
}

/// The next connection. Accepting cannot fail: it tries again.
pub async fn accept_one(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((stream, address)) => {
                // A socket that is gone already fails here, and again when it is read: one report is enough.
                drop(stream.set_nodelay(true));
                return (stream, address);
            }
            Err(error) => pause_if_exhausted(&error).await,
        }
    }
}

/// A connection that went away before it was accepted is nobody's problem. Any other error is the system's, and lasts.
async fn pause_if_exhausted(error: &io::Error) {
    let gone =
        [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused];
    if !gone.contains(&error.kind()) {
        tracing::error!("cannot accept connections: {error}; trying again");
        tokio::time::sleep(EXHAUSTED).await;
    }
}

impl Accepting {
    /// Accepts until the shutdown begins; then closes the sockets, and waits until the last connection has ended, or is
    /// to be cut.
    pub async fn until_drained(self, shutdown: &Shutdown) {
        shutdown.draining().await;
        self.loops.iter().for_each(AbortHandle::abort);
        let drained = async {
            for (crew, _) in &self.crews {
                crew.all_free().await;
            }
        };
        tokio::select! {
            () = drained => {}
            () = shutdown.cut() => shutdown.count_cut(self.held()),
        }
    }
    fn held(&self) -> usize {
        self.crews.iter().map(|(crew, number)| crew.connections(*number)).sum()
    }
}
