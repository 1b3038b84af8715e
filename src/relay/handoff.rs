//! Hand-off of accepted clients to a worker that has fewer sessions.
//!
//! The kernel spreads clients over the workers by a hash of their addresses. That is even for
//! thousands of clients, but of four long sessions one worker may get all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::plan::Service;
use super::shared::Shared;
use super::tcp_transport::TcpTransport;
use super::transport::Transport;
use crate::os::address::Address;
use crate::sync::lock;

/// Clients that may wait in a queue: as many as one iteration accepts at a listener.
const MAX_WAITING: usize = 64;

/// An accepted client that has no connection in a worker yet.
#[derive(Debug)]
pub(crate) struct PendingConnection<T: Transport> {
    pub(crate) transport: T,
    pub(crate) address: Address,
    /// Whether it must begin with a PROXY protocol header.
    pub(crate) wants_header: bool,
    pub(crate) admission: Admission<T>,
}

/// A client's place among the open sessions of its service and its worker. It is counted there from
/// its accept on, until this is dropped.
#[derive(Debug)]
pub(crate) struct Admission<T: Transport> {
    pub(crate) service: Arc<Service>,
    shared: Arc<Shared<T>>,
    worker: usize,
}

impl<T: Transport> Admission<T> {
    /// Counts a client that `worker` has accepted.
    pub(crate) fn new(service: Arc<Service>, shared: &Arc<Shared<T>>, worker: usize) -> Self {
        service.stats.count_start();
        shared
            .handoffs
            .count(worker)
            .fetch_add(1, Ordering::Relaxed);
        Admission {
            service,
            shared: Arc::clone(shared),
            worker,
        }
    }

    /// Counts it for another worker.
    fn move_to(&mut self, worker: usize) {
        let handoffs = &self.shared.handoffs;
        handoffs.count(worker).fetch_add(1, Ordering::Relaxed);
        handoffs.count(self.worker).fetch_sub(1, Ordering::Relaxed);
        self.worker = worker;
    }
}

impl<T: Transport> Drop for Admission<T> {
    fn drop(&mut self) {
        self.service.stats.count_end();
        let count = self.shared.handoffs.count(self.worker);
        count.fetch_sub(1, Ordering::Relaxed);
    }
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

    /// The worker that is to have the next client of `worker`: another one if that has so few
    /// sessions that waking it pays.
    pub(crate) fn choose(&self, worker: usize) -> usize {
        let all = (0..self.0.len()).map(|other| (self.sessions(other), other));
        let (least, least_busy) = all.min().unwrap_or((0, worker));
        match is_too_many(self.sessions(worker), least) {
            true => least_busy,
            false => worker,
        }
    }

    /// Hands a client off to `worker`, or returns it if that worker's queue is full or closed.
    pub(crate) fn push(
        &self,
        worker: usize,
        mut pending: PendingConnection<T>,
    ) -> Option<PendingConnection<T>> {
        let queue = &self.0[worker];
        let (rejected, is_first) = queue.with_waiting(|waiting| match waiting {
            Some(waiting) if waiting.len() < MAX_WAITING => {
                pending.admission.move_to(worker);
                waiting.push(pending);
                (None, waiting.len() == 1)
            }
            _ => (Some(pending), false),
        });
        // A client that was there before has had the worker woken.
        if let Some(waker) = queue.waker.get().filter(|_| is_first) {
            T::wake(waker);
        }
        rejected
    }

    /// Takes the clients that wait for `worker`.
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
        self.count(worker).load(Ordering::Relaxed)
    }

    /// How many clients wait for `worker`.
    #[cfg(test)]
    pub(crate) fn waiting(&self, worker: usize) -> usize {
        self.0[worker].with_waiting(|waiting| waiting.as_ref().map_or(0, Vec::len))
    }

    /// Sessions open now, in all workers.
    pub(crate) fn open_sessions(&self) -> usize {
        (0..self.0.len()).map(|worker| self.sessions(worker)).sum()
    }

    fn count(&self, worker: usize) -> &AtomicUsize {
        &self.0[worker].sessions
    }
}

/// Half as many sessions again as the least busy worker. With thousands of short sessions the hash
/// hardly ever gives so many, so these cost nothing more.
fn is_too_many(sessions: usize, least: usize) -> bool {
    sessions > least + least / 2
}

impl<T: Transport> HandoffQueue<T> {
    fn with_waiting<R>(&self, act: impl FnOnce(&mut Option<Vec<PendingConnection<T>>>) -> R) -> R {
        act(&mut lock(&self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::clock::Clock;
    use crate::relay::stream::StreamSocket;
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

    fn pending(shared: &Arc<Shared>, worker: usize) -> PendingConnection<TcpTransport> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = std::net::TcpStream::connect(address).unwrap();
        PendingConnection {
            wants_header: false,
            address: socket.local_addr().unwrap().into(),
            transport: TcpTransport::new(StreamSocket::Tcp(TcpStream::from_std(socket))),
            admission: Admission::new(Service::example(address), shared, worker),
        }
    }

    /// The open queues of two workers, with a waker that wakes neither.
    fn open_queues(poll: &Poll) -> Arc<Shared> {
        let shared = Arc::new(Shared::new(Clock::start(), 2, 0));
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        for worker in 0..2 {
            shared.handoffs.open(worker, Arc::clone(&waker));
        }
        shared
    }

    #[test]
    fn a_queue_is_not_closed_while_a_client_waits_in_it() {
        let poll = Poll::new().unwrap();
        let shared = open_queues(&poll);
        let handoffs = &shared.handoffs;
        assert_eq!(handoffs.choose(0), 0);
        let stays = pending(&shared, 0);
        assert_eq!(handoffs.choose(0), 1, "the other has fewer");
        assert!(handoffs.push(1, pending(&shared, 0)).is_none());
        assert_eq!([0, 1].map(|it| handoffs.sessions(it)), [1, 1]);
        assert!(!handoffs.close_if_empty(1));
        drop(stays);
        assert_eq!(handoffs.take(1).len(), 1);
        assert_eq!(handoffs.open_sessions(), 0);
        assert!(handoffs.close_if_empty(1));
    }

    #[test]
    fn a_client_that_finds_the_other_queue_closed_stays_and_is_counted_here() {
        let poll = Poll::new().unwrap();
        let shared = open_queues(&poll);
        let handoffs = &shared.handoffs;
        assert!(handoffs.close_if_empty(1));
        let stays = handoffs.push(1, pending(&shared, 0)).unwrap();
        assert_eq!([0, 1].map(|it| handoffs.sessions(it)), [1, 0]);
        assert_eq!(stays.admission.service.stats.open(), 1);
        drop(stays);
        assert_eq!(handoffs.open_sessions(), 0);
    }
}
