//! Reloads: another look at the manifest and the files that it names, and, if all of it can serve, a change to that
//! under traffic. It is a transaction. Everything is read, compiled, tried and warmed up beside what serves; then all
//! workers swap, or none does. What goes wrong leaves the running chain as it is, and is told to whoever asked, to the
//! log, in metrics and in readiness.
//!
//! One thread of its own makes one reload at a time, so that compiling never stops a worker. Several that ask while one
//! is being made are all answered by the next.

mod difference;
mod report;
mod transaction;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::assembly::Assembly;

pub use difference::Edit;
pub use report::{Outcome, Report};
pub use transaction::Site;
use transaction::Transaction;

/// How often what removed filters have kept is looked through. It is kept for minutes.
const SWEEP: Duration = Duration::from_secs(30);

/// A hold on the thread that makes reloads. The thread ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Reloader {
    requests: Sender<Request>,
    running: watch::Receiver<Arc<Assembly>>,
}

/// Somebody who asks for a reload, and may want to know what became of it.
#[derive(Debug)]
struct Request(Option<oneshot::Sender<Arc<Report>>>);

impl Reloader {
    /// Starts the thread, for workers that serve what `site` says.
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn start(site: Site) -> io::Result<Self> {
        let (requests, asked) = mpsc::channel();
        let (transaction, running) = Transaction::new(site);
        thread::Builder::new().name("reload".to_owned()).spawn(move || serve(&asked, transaction))?;
        Ok(Self { requests, running })
    }

    /// What runs.
    #[must_use]
    pub fn running(&self) -> Arc<Assembly> {
        self.running.borrow().clone()
    }

    /// Asks for a reload, and does not wait for it.
    pub fn ask(&self) {
        // The thread ends only when nobody can ask any more.
        let _ = self.requests.send(Request(None));
    }

    /// Asks for a reload; ready when it is over, and workers serve what the report says. None if there is nobody to
    /// make one any more.
    pub async fn reload(&self) -> Option<Arc<Report>> {
        let (sender, report) = oneshot::channel();
        self.requests.send(Request(Some(sender))).ok()?;
        report.await.ok()
    }
}

/// Makes reloads until nobody can ask for one.
fn serve(requests: &Receiver<Request>, mut transaction: Transaction) {
    loop {
        match requests.recv_timeout(SWEEP) {
            Ok(first) => {
                let waiting: Vec<_> = [first].into_iter().chain(requests.try_iter()).collect();
                let report = Arc::new(transaction.run());
                for sender in waiting.into_iter().filter_map(|Request(sender)| sender) {
                    // Whoever asked may have gone away meanwhile.
                    let _ = sender.send(report.clone());
                }
            }
            Err(RecvTimeoutError::Timeout) => transaction.release_unused(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
