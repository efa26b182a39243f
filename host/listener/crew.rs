//! The workers that share a listener's connections. `SO_REUSEPORT` spreads connections by a hash, which is uneven
//! where they are few: of 16 on two workers, one has 11 or more in one case of five. So the worker that
//! accepts a connection hands it to the one that has fewest. That costs something when a connection is made, and
//! nothing on a request's way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All workers of one listener.
#[derive(Debug)]
pub(super) struct Crew {
    members: Vec<Member>,
    /// The places for connections, of all workers together.
    free: Arc<Semaphore>,
    all: u32,
}

#[derive(Debug)]
struct Member {
    connections: AtomicUsize,
    /// Bounded by the listener's places: each handed connection has one.
    inbox: UnboundedSender<Handed>,
}

/// A worker's membership.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) crew: Arc<Crew>,
    pub(super) number: usize,
    pub(super) handed: UnboundedReceiver<Handed>,
}

/// A connection that another worker has accepted. It is the other's runtime's no more.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) stream: std::net::TcpStream,
    pub(super) address: SocketAddr,
    pub(super) held: Held,
}

/// A connection's place, and its being counted for a worker, for as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    crew: Arc<Crew>,
    number: usize,
    _place: OwnedSemaphorePermit,
}

impl Crew {
    /// A seat for each of `workers`, with places for `connections` in all.
    pub(super) fn seats(workers: usize, connections: usize) -> Vec<Seat> {
        let all = u32::try_from(connections.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let (inboxes, handed): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
        let member = |inbox| Member { connections: AtomicUsize::new(0), inbox };
        let members = inboxes.into_iter().map(member).collect();
        let crew = Arc::new(Self { members, free: Arc::new(Semaphore::new(all as usize)), all });
        let seat = |(number, handed)| Seat { crew: crew.clone(), number, handed };
        handed.into_iter().enumerate().map(seat).collect()
    }

    /// A place for one more connection; none if there never will be one.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_owned().await.ok()
    }

    /// Counts a connection that worker `me` has accepted for the worker that has fewest, which is `me` in doubt.
    pub(super) fn hold(self: &Arc<Self>, me: usize, place: OwnedSemaphorePermit) -> Held {
        let load = |number: usize| self.connections(number);
        let number =
            (0..self.members.len()).min_by_key(|number| (load(*number), *number != me)).unwrap_or(me);
        if let Some(member) = self.members.get(number) {
            member.connections.fetch_add(1, Ordering::Relaxed);
        }
        Held { crew: self.clone(), number, _place: place }
    }

    /// Gives a connection to the worker that it is counted for; if that one accepts no more, it is closed.
    pub(super) fn hand_over(&self, handed: Handed) {
        if let Some(member) = self.members.get(handed.held.number) {
            drop(member.inbox.send(handed));
        }
    }

    /// How many connections that worker holds.
    pub(super) fn connections(&self, number: usize) -> usize {
        self.members.get(number).map_or(0, |member| member.connections.load(Ordering::Relaxed))
    }

    /// Ready when no worker holds a connection. New ones are not accepted any more.
    pub(super) async fn all_free(&self) {
        drop(self.free.acquire_many(self.all).await);
    }
}

impl Held {
    /// The worker that the connection is for.
    pub(super) fn worker(&self) -> usize {
        self.number
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(member) = self.crew.members.get(self.number) {
            member.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_has_fewest_gets_the_next_and_in_doubt_whoever_accepted_it() {
        let seats = Crew::seats(3, 10);
        let crew = &seats[0].crew;
        let mut held = Vec::new();
        for (accepted_by, goes_to) in [(2, 2), (2, 0), (2, 1), (1, 1), (1, 0), (0, 2)] {
            held.push(crew.hold(accepted_by, crew.place().await.unwrap()));
            assert_eq!(held.last().unwrap().worker(), goes_to);
        }
        held.remove(3);
        assert_eq!((0..3).map(|number| crew.connections(number)).collect::<Vec<_>>(), [2, 1, 2]);
        assert_eq!(crew.hold(0, crew.place().await.unwrap()).worker(), 1);
        drop(held);
        crew.all_free().await;
    }
}
