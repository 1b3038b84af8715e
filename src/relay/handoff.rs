//! Hand-off of accepted clients to a worker that has fewer sessions.
//!
//! The kernel spreads clients over the workers by a hash of their addresses. That is even for
//! thousands of clients, but of four long sessions one worker may get all.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::plan::Service;
use super::tcp_transport::TcpTransport;
use super::transport::Transport;
use crate::sync::lock;

/// Clients that may wait in a queue: as many as one iteration accepts at a listener.
const MAX_WAITING: usize = 64;

/// An accepted client that has no connection in a worker yet.
#[derive(Debug)]
pub(crate) struct PendingConnection<T> {
    pub(crate) transport: T,
    pub(crate) address: SocketAddr,
    pub(crate) service: Arc<Service>,
}

/// The hand-off queues of all workers, by worker number.
#[derive(Debug)]
pub(crate) struct Handoffs<T: Transport = TcpTransport>(Vec<HandoffQueue<T>>);

#[derive(Debug)]
#[repr(align(128))] // Two cache lines: processors fetch neighbours in pairs.
struct HandoffQueue<T: Transport> {
    /// Sessions of its worker, including the clients that wait in the queue.
    sessions: AtomicUsize,
    /// `None` before the worker exists and after it has ended.
    waiting: Mutex<Option<Vec<PendingConnection<T>>>>,
    waker: OnceLock<Arc<T::Waker>>,
}

impl<T: Transport> Handoffs<T> {
    /// A closed queue for each worker.
    pub(crate) fn new(workers: usize) -> Handoffs<T> {
        let closed = |_| HandoffQueue {
            sessions: AtomicUsize::new(0),
            waiting: Mutex::new(None),
            waker: OnceLock::new(),
        };
        Handoffs((0..workers).map(closed).collect())
    }

    /// Opens the queue of `worker`. `waker` wakes that worker when a client is put into it.
    pub(crate) fn open(&self, worker: usize, waker: Arc<T::Waker>) {
        let queue = &self.0[worker];
        if queue.waker.set(waker).is_ok() {
            queue.with_waiting(|waiting| *waiting = Some(Vec::new()));
        }
    }

    /// Counts a client that `worker` accepted, and hands it off to a worker with fewer sessions if
    /// there is one. Returns the client if it stays.
    pub(crate) fn assign(
        &self,
        worker: usize,
        pending: PendingConnection<T>,
    ) -> Option<PendingConnection<T>> {
        let queue = self.least_busy(worker).unwrap_or(&self.0[worker]);
        if std::ptr::eq(queue, &self.0[worker]) {
            queue.sessions.fetch_add(1, Ordering::Relaxed);
            return Some(pending);
        }
        let rejected = queue.push(pending);
        if rejected.is_some() {
            self.0[worker].sessions.fetch_add(1, Ordering::Relaxed);
        }
        rejected
    }

    /// Counts the end of a session of `worker`.
    pub(crate) fn count_end(&self, worker: usize) {
        self.0[worker].sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes the clients that wait for `worker`. They are counted already.
    pub(crate) fn take(&self, worker: usize) -> Vec<PendingConnection<T>> {
        let all = |waiting: &mut Option<Vec<_>>| waiting.as_mut().map(std::mem::take);
        self.0[worker].with_waiting(all).unwrap_or_default()
    }

    /// Closes the queue of `worker` for good if no client waits in it. Returns whether it did.
    pub(crate) fn close_if_empty(&self, worker: usize) -> bool {
        self.0[worker].with_waiting(|waiting| {
            let empty = waiting.as_ref().is_none_or(Vec::is_empty);
            if empty {
                *waiting = None;
            }
            empty
        })
    }

    /// How many sessions `worker` has.
    pub(crate) fn sessions(&self, worker: usize) -> usize {
        self.0[worker].sessions.load(Ordering::Relaxed)
    }

    /// How many clients wait for `worker`.
    #[cfg(test)]
    pub(crate) fn waiting(&self, worker: usize) -> usize {
        self.0[worker].with_waiting(|waiting| waiting.as_ref().map_or(0, Vec::len))
    }

    /// The worker with the fewest sessions, if it has so few that waking it pays.
    fn least_busy(&self, worker: usize) -> Option<&HandoffQueue<T>> {
        let (sessions, least_busy) = self
            .0
            .iter()
            .map(|queue| (queue.sessions.load(Ordering::Relaxed), queue))
            .min_by_key(|(sessions, _)| *sessions)?;
        is_too_many(self.sessions(worker), sessions).then_some(least_busy)
    }
}

/// Half as many sessions again as the least busy worker. With thousands of short sessions the hash
/// hardly ever gives so many, so these cost nothing more.
fn is_too_many(sessions: usize, least: usize) -> bool {
    sessions > least + least / 2
}

impl<T: Transport> HandoffQueue<T> {
    fn with_waiting<R>(
        &self,
        act: impl FnOnce(&mut Option<Vec<PendingConnection<T>>>) -> R,
    ) -> R {
        act(&mut lock(&self.waiting))
    }

    /// Queues a client, or returns it if the queue is full or closed.
    fn push(&self, pending: PendingConnection<T>) -> Option<PendingConnection<T>> {
        let (rejected, is_first) = self.with_waiting(|waiting| match waiting {
            Some(waiting) if waiting.len() < MAX_WAITING => {
                self.sessions.fetch_add(1, Ordering::Relaxed);
                waiting.push(pending);
                (None, waiting.len() == 1)
            }
            _ => (Some(pending), false),
        });
        // A client that was there before has had the worker woken.
        if let Some(waker) = self.waker.get().filter(|_| is_first) {
            T::wake(waker);
        }
        rejected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::net::TcpStream;
    use mio::{Poll, Token, Waker};

    #[test]
    fn a_few_sessions_are_spread_and_many_are_left_where_they_fall() {
        // All come to the first of two.
        let mut sessions = [0, 0];
        for _ in 0..4 {
            let to = usize::from(is_too_many(sessions[0], sessions[1]));
            sessions[to] += 1;
        }
        assert_eq!(sessions, [2, 2]);
        assert!(!is_too_many(0, 0));
        assert!(!is_too_many(120, 80));
        assert!(is_too_many(121, 80));
    }

    fn pending(service: &Arc<Service>) -> PendingConnection<TcpTransport> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        PendingConnection {
            address: socket.local_addr().unwrap(),
            transport: TcpTransport::new(TcpStream::from_std(socket)),
            service: Arc::clone(service),
        }
    }

    /// The queues of two workers, with a waker that wakes neither.
    fn open_queues(poll: &Poll) -> Handoffs {
        let handoffs = Handoffs::new(2);
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        for worker in 0..2 {
            handoffs.open(worker, Arc::clone(&waker));
        }
        handoffs
    }

    #[test]
    fn a_queue_is_not_closed_while_a_client_waits_in_it() {
        let (poll, service) = (
            Poll::new().unwrap(),
            Service::example("127.0.0.1:1".parse().unwrap()),
        );
        let handoffs = open_queues(&poll);
        assert!(handoffs.assign(0, pending(&service)).is_some());
        assert!(
            handoffs.assign(0, pending(&service)).is_none(),
            "the other has fewer"
        );
        assert!(!handoffs.close_if_empty(1));
        assert_eq!(handoffs.take(1).len(), 1);
        assert!(handoffs.close_if_empty(1));
    }

    #[test]
    fn a_client_that_finds_the_other_queue_closed_stays_and_is_counted_here() {
        let (poll, service) = (
            Poll::new().unwrap(),
            Service::example("127.0.0.1:1".parse().unwrap()),
        );
        let handoffs = open_queues(&poll);
        assert!(handoffs.close_if_empty(1));
        for sessions in 1..=3 {
            assert!(handoffs.assign(0, pending(&service)).is_some());
            assert_eq!([0, 1].map(|it| handoffs.sessions(it)), [sessions, 0]);
        }
        handoffs.count_end(0);
        assert_eq!(handoffs.sessions(0), 2);
    }
}
