//! How a worker takes over another assembly: it gets everything ready beside what serves, waits for the word that the
//! others are ready, too, and then swaps in one step. Exchanges under way end on the setup that they began with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use tokio::sync::{mpsc as inbox, oneshot};

use super::{Setup, Worker, WorkerError};
use crate::assembly::Assembly;
use crate::listener::{Bound, Listener, Registered};
use crate::manifest;
use crate::shutdown::Shutdown;

/// Another assembly for a worker.
#[derive(Debug)]
pub struct Change {
    /// What is to serve.
    pub assembly: Arc<Assembly>,
    /// For each of its listeners, the worker's own share.
    pub sockets: Vec<Socket>,
    /// Takes one message, when the worker is ready or cannot be; dropped when the change is over for the worker.
    pub ready: mpsc::Sender<Result<(), WorkerError>>,
    /// The word to swap. If it is dropped instead, nothing is swapped.
    pub go: oneshot::Receiver<()>,
}

/// A worker's share of a listener.
#[derive(Debug)]
pub enum Socket {
    /// That of the listener in this place of the manifest before.
    Kept(usize),
    /// A new one.
    New(Bound),
}

/// Takes over one assembly after the other, as they come.
pub(super) async fn take_over_all(worker: Rc<Worker>, mut changes: inbox::UnboundedReceiver<Change>) {
    while let Some(change) = changes.recv().await {
        take_over(&worker, change).await;
    }
}

async fn take_over(worker: &Rc<Worker>, change: Change) {
    let prepared = prepare(worker, &change.assembly, change.sockets).await;
    let (prepared, answer) = match prepared {
        Ok(prepared) => (Some(prepared), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // Whoever asked may have given up; then there is no word to go, either.
    let _ = change.ready.send(answer);
    let word = change.go.await;
    if let (Some((setup, sockets)), Ok(())) = (prepared, word)
        && !worker.shared.shutdown.is_draining()
    {
        worker.setup.replace(Rc::new(setup));
        worker.listeners.change(worker, &change.assembly.manifest.listeners, sockets);
    }
}

async fn prepare(
    worker: &Worker,
    assembly: &Assembly,
    sockets: Vec<Socket>,
) -> Result<(Setup, Vec<Ready>), WorkerError> {
    let previous = worker.setup();
    let setup = Setup::new(assembly, &worker.telemetry, Some(&previous)).await?;
    let sockets = sockets.into_iter().map(Ready::new).collect::<Result<_, _>>()?;
    Ok((setup, sockets))
}

/// A share that this worker's runtime knows.
#[derive(Debug)]
pub(super) enum Ready {
    Kept(usize),
    New(Registered),
}

impl Ready {
    pub(super) fn new(socket: Socket) -> std::io::Result<Self> {
        match socket {
            Socket::Kept(index) => Ok(Self::Kept(index)),
            Socket::New(bound) => bound.register().map(Self::New),
        }
    }
}

/// The listeners of a worker.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// In the manifest's order.
    open: RefCell<Vec<Rc<Listener>>>,
    /// Those that accept no more, as long as they have connections.
    closed: RefCell<Vec<Rc<Listener>>>,
}

impl Listeners {
    /// Changes to these listeners. One that has no place among them is closed.
    pub(super) fn change(&self, worker: &Rc<Worker>, settings: &[manifest::Listener], sockets: Vec<Ready>) {
        let mut before: Vec<_> = self.open.take().into_iter().map(Some).collect();
        let mut open = Vec::new();
        for (settings, socket) in settings.iter().zip(sockets) {
            match socket {
                Ready::New(share) => open.push(Listener::open(worker, settings, share)),
                Ready::Kept(index) => {
                    let kept = before.get_mut(index).and_then(Option::take);
                    kept.iter().for_each(|listener| listener.change(settings));
                    open.extend(kept);
                }
            }
        }
        self.open.replace(open);
        let mut closed = self.closed.borrow_mut();
        closed.retain(|listener| listener.connections() > 0);
        closed.extend(before.into_iter().flatten().inspect(|listener| listener.close()));
    }

    /// Accepts until the shutdown begins; then closes the sockets, and waits until the last connection has ended, or is
    /// to be cut.
    pub(super) async fn until_drained(&self, shutdown: &Shutdown) {
        shutdown.draining().await;
        self.open.borrow().iter().for_each(|listener| listener.close());
        let all = [self.open.take(), self.closed.take()].concat();
        let drained = async {
            for listener in &all {
                listener.ended().await;
            }
        };
        tokio::select! {
            () = drained => {}
            () = shutdown.cut() => {
                shutdown.count_cut(all.iter().map(|listener| listener.connections()).sum());
            }
        }
    }
}
