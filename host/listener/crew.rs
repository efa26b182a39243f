//! The workers that share a listener's connections. `SO_REUSEPORT` spreads connections by a hash, which is uneven
//! where they are few: of 16 on two workers, one has 11 or more in one case of five. So the worker that
//! accepts a connection hands it to the one that has fewest. That costs something when a connection is made, and
//! nothing on a request's way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// All workers of one listener.
#[derive(Debug)]
pub(super) struct Crew {
    members: Vec<Member>,
    /// How many connections all workers together hold, and may hold.
    held: AtomicUsize,
    limit: AtomicUsize,
    /// Wakes whoever waits for connections to end, or for room for more.
    changed: Notify,
}

#[derive(Debug)]
struct Member {
    connections: AtomicUsize,
    /// Bounded by the listener's limit: each handed connection is counted.
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

/// A connection is counted for a worker for as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    crew: Arc<Crew>,
    number: usize,
}

impl Crew {
    /// A seat for each of `workers`, which may hold `limit` connections in all.
    pub(super) fn seats(workers: usize, limit: usize) -> Vec<Seat> {
        let (inboxes, handed): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
        let member = |inbox| Member { connections: AtomicUsize::new(0), inbox };
        let members = inboxes.into_iter().map(member).collect();
        let (held, limit) = (AtomicUsize::new(0), AtomicUsize::new(limit));
        let crew = Arc::new(Self { members, held, limit, changed: Notify::new() });
        let seat = |(number, handed)| Seat { crew: crew.clone(), number, handed };
        handed.into_iter().enumerate().map(seat).collect()
    }

    /// Changes how many connections there may be. Where there are more already, they stay.
    pub(super) fn limit_to(&self, connections: usize) {
        if self.limit.swap(connections, Ordering::AcqRel) != connections {
            self.changed.notify_waiters();
        }
    }

    /// Counts a connection that worker `me` has accepted for the worker that has fewest, which is `me` in doubt. Ready
    /// when there may be one more.
    pub(super) async fn hold(self: &Arc<Self>, me: usize) -> Held {
        loop {
            let changed = self.changed.notified();
            if self.has_room_for_one() {
                break;
            }
            changed.await;
        }
        let load = |number: usize| self.connections(number);
        let number =
            (0..self.members.len()).min_by_key(|number| (load(*number), *number != me)).unwrap_or(me);
        self.count(number);
        Held { crew: self.clone(), number }
    }

    /// Gives a connection to the worker that it is counted for. If that one takes none any more, it comes back.
    pub(super) fn hand_over(&self, handed: Handed) -> Result<(), Handed> {
        match self.members.get(handed.held.number) {
            Some(member) => member.inbox.send(handed).map_err(|unsent| unsent.0),
            None => Err(handed),
        }
    }

    /// How many connections that worker holds.
    pub(super) fn connections(&self, number: usize) -> usize {
        self.members.get(number).map_or(0, |member| member.connections.load(Ordering::Acquire))
    }

    /// Ready when that worker holds no connection.
    pub(super) async fn none_held_by(&self, number: usize) {
        loop {
            let changed = self.changed.notified();
            if self.connections(number) == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Takes the room, if there is some.
    fn has_room_for_one(&self) -> bool {
        let limit = self.limit.load(Ordering::Acquire);
        let one_more = |held| (held < limit).then_some(held + 1);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    fn count(&self, number: usize) {
        if let Some(member) = self.members.get(number) {
            member.connections.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn uncount(&self, number: usize) {
        if let Some(member) = self.members.get(number) {
            member.connections.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Held {
    /// The worker that the connection is for.
    pub(super) fn worker(&self) -> usize {
        self.number
    }

    /// Makes the connection another worker's.
    pub(super) fn go_to(&mut self, number: usize) {
        self.crew.count(number);
        self.crew.uncount(self.number);
        self.number = number;
        self.crew.changed.notify_waiters();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.crew.uncount(self.number);
        self.crew.held.fetch_sub(1, Ordering::AcqRel);
        self.crew.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn whoever_has_fewest_gets_the_next_and_in_doubt_whoever_accepted_it() {
        let seats = Crew::seats(3, 10);
        let crew = &seats[0].crew;
        let mut held = Vec::new();
        for (accepted_by, goes_to) in [(2, 2), (2, 0), (2, 1), (1, 1), (1, 0), (0, 2)] {
            held.push(now(crew.hold(accepted_by)).unwrap());
            assert_eq!(held.last().unwrap().worker(), goes_to);
        }
        held.remove(3);
        assert_eq!((0..3).map(|number| crew.connections(number)).collect::<Vec<_>>(), [2, 1, 2]);
        assert_eq!(now(crew.hold(0)).unwrap().worker(), 1);
        assert!(now(crew.none_held_by(1)).is_none());
        drop(held);
        assert!((0..3).all(|number| now(crew.none_held_by(number)).is_some()));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn past_the_limit_connections_wait_until_others_end_or_the_limit_grows() {
        let crew = Crew::seats(2, 2).remove(0).crew;
        let first = crew.hold(0).await;
        let (_second, (), third) = tokio::join!(crew.hold(0), async { drop(first) }, crew.hold(1));
        assert!(now(crew.hold(0)).is_none());
        let (_fourth, ()) = tokio::join!(crew.hold(0), async { crew.limit_to(3) });
        crew.limit_to(1);
        drop(third);
        assert!(now(crew.hold(0)).is_none(), "two are still more than one");
    }

    #[test]
    fn what_a_worker_takes_no_more_comes_back_and_what_it_has_been_handed_before_is_its_own() {
        let mut seats = Crew::seats(2, 10);
        let mut other = seats.remove(1);
        let crew = seats.remove(0).crew;
        let handed = |held| {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            Handed { stream: std::net::TcpStream::connect(address).unwrap(), address, held }
        };
        let held: Vec<_> = (0..4).map(|_| now(crew.hold(0)).unwrap()).collect();
        let mut theirs = held.into_iter().filter(|held| held.worker() == 1);
        crew.hand_over(handed(theirs.next().unwrap())).unwrap();
        other.handed.close();
        let mut back = crew.hand_over(handed(theirs.next().unwrap())).unwrap_err();
        assert_eq!((crew.connections(0), crew.connections(1)), (0, 2));
        back.held.go_to(0);
        assert_eq!((crew.connections(0), crew.connections(1)), (1, 1));
        assert!(now(other.handed.recv()).unwrap().is_some(), "handed over before");
        assert!(now(other.handed.recv()).unwrap().is_none());
        assert!(now(crew.none_held_by(1)).is_some());
    }
}
