//! A limit on how long a body may stand still. Moving is free: the timer is touched only when nothing moves.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Watches for a body that does not move.
#[derive(Debug)]
pub(super) struct Stall {
    limit: Duration,
    moved: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, moved: false, timer: None }
    }

    /// Something moved.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    /// Nothing moves now; ready once that has been so for the limit.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if std::mem::take(&mut self.moved) {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(flavor = "current_thread")]
    async fn only_standing_still_counts() {
        let limit = Duration::from_millis(50);
        let mut stall = Stall::new(limit);
        for _ in 0..4 {
            stall.moved();
            assert!(poll_fn(|cx| Poll::Ready(stall.poll_stalled(cx))).await.is_pending());
            sleep(limit).await;
        }
        stall.moved();
        let begun = Instant::now();
        poll_fn(|cx| stall.poll_stalled(cx)).await;
        assert!(begun.elapsed() >= limit);
    }
}
