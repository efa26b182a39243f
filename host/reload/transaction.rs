//! One reload: everything that can fail comes first, and beside what serves; the swap is last, and cannot.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use super::difference::{between, beyond_reload, kept_listeners};
use super::report::{Outcome, Report};
use super::watcher::Watch;
use crate::assembly::{Assembler, Assembly, Trial};
use crate::listener::Bound;
use crate::manifest::{Listener, Manifest};
use crate::source::Source;
use crate::worker::{Change, Shared, Socket, WorkerError};

/// How long workers may take to get ready, and then to swap. They configure their instances of new filters, which the
/// trial has shown to be a matter of seconds at most, between exchanges. One that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What reloads are made with, and for whom.
#[derive(Debug)]
pub struct Site {
    /// Where the manifest comes from.
    pub source: Source,
    /// The digest that the manifest's file had at the start, if changes are to be watched for.
    pub watched: Option<String>,
    /// What made the assembly that the process started with.
    pub assembler: Assembler,
    /// That assembly.
    pub started: Arc<Assembly>,
    /// What all workers have in common.
    pub shared: Arc<Shared>,
    /// The way to each worker.
    pub workers: Vec<UnboundedSender<Change>>,
}

/// Makes reloads, one after the other.
pub(super) struct Transaction {
    site: Site,
    running: watch::Sender<Arc<Assembly>>,
    watch: Option<Watch>,
}

/// The shares of listeners that a new assembly takes.
struct Sockets {
    /// For each worker, one for each listener.
    of_workers: Vec<Vec<Socket>>,
    /// Where the new ones listen.
    added: Vec<SocketAddr>,
}

/// All that is wrong, as people read it.
type Errors = Vec<String>;

impl Transaction {
    /// Also returns where to see what runs.
    pub(super) fn new(site: Site) -> (Self, watch::Receiver<Arc<Assembly>>) {
        let (running, seen) = watch::channel(site.started.clone());
        (Self { site, running, watch: None }, seen)
    }

    /// Watches the manifest and the files that it names, if it is to; `touched` is called when any may be another. What
    /// has changed since the start is noticed by [`Self::has_changed`].
    pub(super) fn watch(&mut self, touched: impl Fn() + Send + 'static) {
        let (Some(digest), Some(path)) = (&self.site.watched, &self.site.source.path) else { return };
        match Watch::start(touched) {
            Ok(mut watch) => {
                watch.know(path, digest.clone());
                let files = self.site.started.files();
                files.for_each(|(file, digest)| watch.know(file, digest.to_owned()));
                self.watch = Some(watch);
            }
            Err(error) => tracing::warn!(
                "changes of the manifest are not noticed: {error}; SIGHUP and `tollgate reload` reload it"
            ),
        }
    }

    /// True if a watched file is not what it was when it was last read.
    pub(super) fn has_changed(&mut self) -> bool {
        self.watch.as_mut().is_some_and(Watch::has_changed)
    }

    /// Makes a reload, and tells everybody what became of it.
    pub(super) fn run(&mut self) -> Report {
        let begun = Instant::now();
        // What is read is hostile. Should it bring down the compiler, the running chain stays nevertheless.
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt())).unwrap_or_else(|_| {
            Err(vec!["the reload panicked: this is a bug in Tollgate; its log says where".to_owned()])
        });
        let outcome = attempt.unwrap_or_else(|errors| Outcome::Refused { errors });
        let manifest = self.site.source.name().display().to_string();
        let report = Report::new(manifest, outcome, begun.elapsed());
        let host = &self.site.shared.host;
        host.telemetry.reload(report.result());
        host.health.set_current(report.is_current());
        report.log();
        report
    }

    /// Lets go of what filters kept that have not been in the chain for a while.
    pub(super) fn release_unused(&self) {
        self.site.assembler.release_unused(&self.running.borrow());
    }

    fn attempt(&mut self) -> Result<Outcome, Errors> {
        if self.site.shared.shutdown.is_draining() {
            return Err(vec!["the process is shutting down".to_owned()]);
        }
        let manifest = self.read().map_err(|mistakes| vec![mistakes])?;
        let Site { source, assembler, started, .. } = &self.site;
        let needs_restart = beyond_reload(&started.manifest, &manifest);
        let running = self.running.borrow().clone();
        let assembled = assembler.assemble(manifest, Some(&running), Trial::Phases);
        let assembly = assembled.map_err(|refusals| {
            refusals
                .iter()
                .map(|refusal| format!("{}: {refusal}", source.name().display()))
                .collect::<Vec<_>>()
        })?;
        let changes = between(&running, &assembly);
        if changes.is_empty() {
            return Ok(Outcome::Unchanged { needs_restart });
        }
        self.swap(&running, Arc::new(assembly))?;
        Ok(Outcome::Applied { changes, needs_restart })
    }

    /// Reads the manifest. Files are looked at before they are read, so that what changes in between counts as a change.
    fn read(&mut self) -> Result<Manifest, String> {
        let Self { site, running, watch } = self;
        if let (Some(watch), Some(path)) = (&mut *watch, &site.source.path) {
            let running = running.borrow();
            let files = running.files().map(|(file, _)| file);
            watch.begin(&files.chain([path.as_path()]).collect::<Vec<_>>());
        }
        let manifest = site.source.read()?;
        if let Some(watch) = watch {
            let files = manifest.filters.iter().filter_map(|filter| filter.component.file());
            watch.add(&files.collect::<Vec<_>>());
        }
        Ok(manifest)
    }

    /// Has all workers take over the assembly, or none.
    fn swap(&self, running: &Assembly, assembly: Arc<Assembly>) -> Result<(), Errors> {
        let (ready, answers) = channel();
        let sockets = self.sockets(&running.manifest.listeners, &assembly.manifest.listeners)?;
        let words = self.offer(&assembly, sockets.of_workers, ready)?;
        self.all_ready(&answers)?;
        for word in words {
            // A worker that is gone serves nothing that could be wrong; what ended it comes to light elsewhere.
            let _ = word.send(());
        }
        self.site.shared.budget.set(&assembly.manifest.retry_budget);
        // Nothing comes any more: each worker drops its end when it has swapped.
        if matches!(answers.recv_timeout(PATIENCE), Err(RecvTimeoutError::Timeout)) {
            tracing::error!("a worker has not swapped to the new chain within {PATIENCE:?}");
        }
        for address in sockets.added {
            tracing::info!(address = %address, "listening on http://{address}");
        }
        let names: Vec<_> = assembly.manifest.filters.iter().map(|filter| filter.name.as_str()).collect();
        self.site.shared.host.health.keep_reports_of(&names);
        self.running.send_replace(assembly);
        self.release_unused();
        Ok(())
    }

    /// Gives each worker its part, and returns what gives each the word to swap.
    fn offer(
        &self,
        assembly: &Arc<Assembly>,
        sockets: Vec<Vec<Socket>>,
        ready: Sender<Result<(), WorkerError>>,
    ) -> Result<Vec<oneshot::Sender<()>>, Errors> {
        let mut words = Vec::new();
        for (worker, sockets) in self.site.workers.iter().zip(sockets) {
            let (word, go) = oneshot::channel();
            let change = Change { assembly: assembly.clone(), sockets, ready: ready.clone(), go };
            worker.send(change).map_err(|_| vec!["a worker has ended".to_owned()])?;
            words.push(word);
        }
        Ok(words)
    }

    /// A socket for each worker and listener: those that stay keep theirs.
    fn sockets(&self, old: &[Listener], new: &[Listener]) -> Result<Sockets, Errors> {
        let workers = self.site.workers.len();
        let mut sockets =
            Sockets { of_workers: (0..workers).map(|_| Vec::new()).collect(), added: Vec::new() };
        for (listener, kept) in new.iter().zip(kept_listeners(old, new)) {
            let of_listener: Vec<Socket> = match kept {
                Some(place) => (0..workers).map(|_| Socket::Kept(place)).collect(),
                None => {
                    let bound = Bound::all(listener, workers).map_err(|error| vec![error])?;
                    sockets.added.extend(bound.first().and_then(|bound| bound.address().ok()));
                    bound.into_iter().map(Socket::New).collect()
                }
            };
            sockets.of_workers.iter_mut().zip(of_listener).for_each(|(all, socket)| all.push(socket));
        }
        Ok(sockets)
    }

    /// Waits until every worker is ready.
    fn all_ready(&self, answers: &Receiver<Result<(), WorkerError>>) -> Result<(), Errors> {
        let deadline = Instant::now() + PATIENCE;
        let mut errors = Vec::new();
        for _ in &self.site.workers {
            match answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => errors.push(error.to_string()),
                Err(_) => errors.push(format!("a worker was not ready within {PATIENCE:?}")),
            }
        }
        // What one worker cannot do, the others mostly cannot, either.
        errors.sort_unstable();
        errors.dedup();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}
