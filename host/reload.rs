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
mod watcher;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::assembly::Assembly;

pub use difference::Edit;
pub use report::{Outcome, Report};
pub use transaction::Site;
use transaction::Transaction;

/// How often what removed filters have kept is looked through. It is kept for minutes.
const SWEEP: Duration = Duration::from_secs(30);

/// How long files must stand still before they are looked at: whoever writes one may be half-way, or have others to
/// write.
const QUIET: Duration = Duration::from_millis(100);

/// How long the first change may wait while others go on.
const LONGEST: Duration = Duration::from_secs(2);

/// A hold on the thread that makes reloads. The thread ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Reloader {
    requests: Arc<Sender<Request>>,
    running: watch::Receiver<Arc<Assembly>>,
}

/// What wakes the thread.
#[derive(Debug)]
enum Request {
    /// Somebody asks for a reload, and may want to know what became of it.
    Reload(Option<oneshot::Sender<Arc<Report>>>),
    /// A file may be another.
    Touched,
}

impl Reloader {
    /// Starts the thread, for workers that serve what `site` says.
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn start(site: Site) -> io::Result<Self> {
        let (requests, asked) = mpsc::channel();
        let (mut transaction, running) = Transaction::new(site);
        let (requests, touched) = (Arc::new(requests), Arc::<AtomicBool>::default());
        // Whoever watches does not keep the thread alive.
        let (way, is_touched) = (Arc::downgrade(&requests), touched.clone());
        transaction.watch(move || {
            if let Some(requests) = way.upgrade().filter(|_| !is_touched.swap(true, Ordering::AcqRel)) {
                // The thread is there as long as somebody can ask.
                let _ = requests.send(Request::Touched);
            }
        });
        let service = Service { asked, touched, transaction, due: None };
        thread::Builder::new().name("reload".to_owned()).spawn(move || service.run())?;
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
        let _ = self.requests.send(Request::Reload(None));
    }

    /// Asks for a reload; ready when it is over, and workers serve what the report says. None if there is nobody to
    /// make one any more.
    pub async fn reload(&self) -> Option<Arc<Report>> {
        let (sender, report) = oneshot::channel();
        self.requests.send(Request::Reload(Some(sender))).ok()?;
        report.await.ok()
    }
}

/// The thread's own part.
struct Service {
    asked: Receiver<Request>,
    /// True if [`Request::Touched`] is on its way: one is enough, however much goes on near the files.
    touched: Arc<AtomicBool>,
    transaction: Transaction,
    due: Option<Due>,
}

/// When to look at the files that may have changed.
#[derive(Debug, Clone, Copy)]
struct Due {
    first: Instant,
    at: Instant,
}

impl Service {
    /// Makes reloads until nobody can ask for one.
    fn run(mut self) {
        // What has changed since the start has woken nobody.
        self.touch();
        loop {
            let wait = self.due.map_or(SWEEP, |due| due.at.saturating_duration_since(Instant::now()));
            match self.asked.recv_timeout(wait) {
                Ok(Request::Reload(sender)) => self.reload(sender),
                Ok(Request::Touched) => {
                    self.touched.store(false, Ordering::Release);
                    self.touch();
                }
                Err(RecvTimeoutError::Timeout) if self.due.take().is_some() => self.look(),
                Err(RecvTimeoutError::Timeout) => self.transaction.release_unused(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// A file may have changed; more may follow.
    fn touch(&mut self) {
        let now = Instant::now();
        let first = self.due.map_or(now, |due| due.first);
        self.due = Some(Due { first, at: (now + QUIET).min(first + LONGEST) });
    }

    fn look(&mut self) {
        if self.transaction.has_changed() {
            self.reload(None);
        }
    }

    /// Makes a reload for whoever asks now, and for all who have asked meanwhile.
    fn reload(&mut self, first: Option<oneshot::Sender<Arc<Report>>>) {
        let mut waiting = vec![first];
        for request in self.asked.try_iter() {
            match request {
                Request::Reload(sender) => waiting.push(sender),
                // It reads all files anyway.
                Request::Touched => self.touched.store(false, Ordering::Release),
            }
        }
        self.due = None;
        let report = Arc::new(self.transaction.run());
        for sender in waiting.into_iter().flatten() {
            // Whoever asked may have gone away meanwhile.
            let _ = sender.send(report.clone());
        }
    }
}
