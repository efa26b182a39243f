//! Accepts connections, for ever, within a limit. What fails here fails for one connection; nothing but the shutdown
//! ends the loop.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::connection;
use crate::manifest;
use crate::shutdown::Shutdown;
use crate::worker::Worker;

/// How long to wait when the system has no descriptor to give: trying again at once would only burn the core.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The loops that accept, and the connections that they accepted.
#[derive(Debug)]
pub struct Accepting {
    loops: Vec<AbortHandle>,
    places: Vec<Places>,
}

/// The places for connections that one worker has on a listener.
#[derive(Debug, Clone)]
struct Places {
    free: Arc<Semaphore>,
    all: u32,
}

/// Begins to accept on all listeners of the manifest, by the sockets that this worker has on them.
pub fn accept_on(
    worker: &Rc<Worker>,
    listeners: &[manifest::Listener],
    bound: Vec<std::net::TcpListener>,
) -> io::Result<Accepting> {
    let mut accepting = Accepting { loops: Vec::new(), places: Vec::new() };
    for (listener, socket) in listeners.iter().zip(bound) {
        let places = Places::new(listener.limits.connections.div_ceil(worker.shared.workers));
        let socket = TcpListener::from_std(socket)?;
        let accept = accept(worker.clone(), socket, Rc::new(listener.clone()), places.free.clone());
        accepting.loops.push(tokio::task::spawn_local(accept).abort_handle());
        accepting.places.push(places);
    }
    Ok(accepting)
}

async fn accept(
    worker: Rc<Worker>,
    socket: TcpListener,
    listener: Rc<manifest::Listener>,
    places: Arc<Semaphore>,
) {
    loop {
        // Past the limit, clients wait in the kernel's queue. The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, address) = accept_one(&socket).await;
        let serve = connection::serve(worker.clone(), stream, address.ip().to_canonical(), listener.clone());
        tokio::task::spawn_local(async move {
            serve.await;
            drop(place);
        });
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

impl Places {
    fn new(count: usize) -> Self {
        let all = u32::try_from(count.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Ready when no connection is left. New ones are not accepted any more.
    async fn all_free(&self) {
        drop(self.free.acquire_many(self.all).await);
    }

    fn taken(&self) -> usize {
        (self.all as usize).saturating_sub(self.free.available_permits())
    }
}

impl Accepting {
    /// Accepts until the shutdown begins; then closes the sockets, and waits until the last connection has ended, or is
    /// to be cut.
    pub async fn until_drained(self, shutdown: &Shutdown) {
        shutdown.draining().await;
        self.loops.iter().for_each(AbortHandle::abort);
        let drained = async {
            for places in &self.places {
                places.all_free().await;
            }
        };
        tokio::select! {
            () = drained => {}
            () = shutdown.cut() => shutdown.count_cut(self.places.iter().map(Places::taken).sum()),
        }
    }
}
