//! Signals, and the end of the process, in order: no new connections, what is under way is brought to its end, and what has not
//! ended in time is cut, and counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How far the shutdown is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Draining,
    Cut,
}

/// What workers and connections wait on.
#[derive(Debug)]
pub struct Shutdown {
    stage: watch::Sender<Stage>,
    cut: AtomicUsize,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { stage: watch::Sender::new(Stage::Serving), cut: AtomicUsize::new(0) }
    }
}

impl Shutdown {
    /// No new connections from now on.
    pub fn begin(&self) {
        self.advance(Stage::Draining);
    }

    /// What is still under way is cut.
    pub fn cut_now(&self) {
        self.advance(Stage::Cut);
    }

    /// True once the shutdown has begun.
    pub fn is_draining(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }

    /// Ready once the shutdown has begun.
    pub async fn draining(&self) {
        self.reach(Stage::Draining).await;
    }

    /// Ready once what is still under way is to be cut.
    pub async fn cut(&self) {
        self.reach(Stage::Cut).await;
    }

    /// Counts connections that were cut.
    pub fn count_cut(&self, connections: usize) {
        self.cut.fetch_add(connections, Ordering::AcqRel);
    }

    /// How many connections were cut.
    pub fn cut_count(&self) -> usize {
        self.cut.load(Ordering::Acquire)
    }

    fn advance(&self, to: Stage) {
        self.stage.send_modify(|stage| *stage = (*stage).max(to));
    }

    async fn reach(&self, wanted: Stage) {
        // The sender is ours: the channel does not close while we are here.
        drop(self.stage.subscribe().wait_for(|stage| *stage >= wanted).await);
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM and SIGINT: an orderly end.
    End,
    /// SIGHUP: another look at the manifest.
    Reload,
}

/// The signals that the process listens to.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens for SIGTERM, SIGINT and SIGHUP from now on. Needs a runtime.
    pub fn new() -> std::io::Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, hangup: hangup? })
    }

    /// Ready at the next signal.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// Ready when what drains must be cut: the time is over, or a second signal to end has come.
    pub async fn patience(&mut self, limit: Duration) {
        let asked_again = async { while self.next().await != Wish::End {} };
        drop(tokio::time::timeout(limit, asked_again).await);
    }
}
