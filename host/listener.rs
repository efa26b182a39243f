//! Accepts connections, for ever, within a limit. What fails here fails for one connection; nothing but the shutdown, or
//! a manifest without the listener, ends the loop.

mod crew;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;

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

/// A share of a listener whose socket the worker's runtime knows.
#[derive(Debug)]
pub struct Registered {
    socket: TcpListener,
    seat: Seat,
}

impl Bound {
    /// A listener's shares, one for each of `workers`. Port 0 is chosen once. The error is for people.
    pub fn all(listener: &manifest::Listener, workers: usize) -> Result<Vec<Self>, String> {
        let sockets = worker::bind_each(listener.address, workers)?;
        let seats = Crew::seats(workers, listener.limits.connections);
        Ok(sockets.into_iter().zip(seats).map(|(socket, seat)| Self { socket, seat }).collect())
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Makes the socket known to the runtime, which must be the worker's own.
    ///
    /// # Errors
    /// The system's.
    pub fn register(self) -> io::Result<Registered> {
        Ok(Registered { socket: TcpListener::from_std(self.socket)?, seat: self.seat })
    }
}

/// A listener of the manifest on one worker, from the moment that it accepts until its last connection has ended.
#[derive(Debug)]
pub struct Listener {
    /// For connections to come.
    settings: RefCell<Rc<manifest::Listener>>,
    drain: Rc<Shutdown>,
    crew: Arc<Crew>,
    /// The worker's, in the crew.
    number: usize,
}

impl Listener {
    /// Begins to accept, and to take what other workers accept for this one.
    pub fn open(worker: &Rc<Worker>, settings: &manifest::Listener, share: Registered) -> Rc<Self> {
        let Registered { socket, seat: Seat { crew, number, handed } } = share;
        let settings = RefCell::new(Rc::new(settings.clone()));
        let listener = Rc::new(Self { settings, drain: Rc::default(), crew, number });
        let door = Rc::new(Door { worker: worker.clone(), listener: listener.clone() });
        tokio::task::spawn_local(accept(door.clone(), socket));
        tokio::task::spawn_local(take_over(door, handed));
        listener
    }

    /// Changes the settings, for connections that come from now on.
    pub fn change(&self, settings: &manifest::Listener) {
        self.crew.limit_to(settings.limits.connections);
        self.settings.replace(Rc::new(settings.clone()));
    }

    /// Accepts no more. Connections end when the exchange on them has.
    pub fn close(&self) {
        self.drain.begin();
    }

    /// Ready when no connection is left, once it accepts no more.
    pub async fn ended(&self) {
        self.crew.none_held_by(self.number).await;
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.crew.connections(self.number)
    }
}

/// Where connections come in.
struct Door {
    worker: Rc<Worker>,
    listener: Rc<Listener>,
}

impl Door {
    fn serve(&self, stream: TcpStream, address: SocketAddr, held: Held) {
        let (settings, drain) = (self.listener.settings.borrow().clone(), self.listener.drain.clone());
        let address = address.ip().to_canonical();
        let serve = connection::serve(self.worker.clone(), stream, address, settings, drain);
        tokio::task::spawn_local(async move {
            serve.await;
            drop(held);
        });
    }

    /// Serves a connection that was accepted for another runtime.
    fn serve_handed(&self, Handed { stream, address, held }: Handed) {
        match TcpStream::from_std(stream) {
            Ok(stream) => self.serve(stream, address, held),
            Err(error) => tracing::error!("a connection cannot be taken over: {error}"),
        }
    }

    /// Gives a connection to the worker that it is for, or serves it here if that one is about to end.
    fn hand_over(&self, stream: TcpStream, address: SocketAddr, held: Held) {
        let Listener { crew, number, .. } = &*self.listener;
        let handed = stream.into_std().map(|stream| crew.hand_over(Handed { stream, address, held }));
        match handed {
            Ok(Ok(())) => {}
            Ok(Err(mut back)) => {
                back.held.go_to(*number);
                self.serve_handed(back);
            }
            Err(error) => tracing::error!("a connection cannot be handed to another worker: {error}"),
        }
    }
}

/// Accepts until the listener is closed; then closes the socket.
async fn accept(door: Rc<Door>, socket: TcpListener) {
    let Listener { drain, crew, number, .. } = &*door.listener;
    let accept_all = async {
        loop {
            let (stream, address) = accept_one(&socket).await;
            // Past the limit, clients wait: one here, and others in the kernel's queue.
            let held = crew.hold(*number).await;
            if held.worker() == *number {
                door.serve(stream, address, held);
            } else {
                door.hand_over(stream, address, held);
            }
        }
    };
    tokio::select! {
        () = accept_all => {}
        () = drain.draining() => {}
    }
}

/// Serves the connections that other workers have accepted, to the last that came before the listener was closed.
async fn take_over(door: Rc<Door>, mut inbox: UnboundedReceiver<Handed>) {
    let mut closed = std::pin::pin!(door.listener.drain.draining());
    loop {
        tokio::select! {
            handed = inbox.recv() => match handed {
                Some(handed) => door.serve_handed(handed),
                None => return,
            },
            () = &mut closed => break,
        }
    }
    inbox.close();
    while let Some(handed) = inbox.recv().await {
        door.serve_handed(handed);
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
