//! Where a worker leaves a client to another that has fewer.
//!
//! The system spreads clients over the workers by a hash of their addresses,
//! which is fair to thousands and a gamble with four: all of a few long sessions
//! may fall to the same worker while the next one sleeps. What becomes of a
//! client is the business of the worker that takes it in.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mio::Waker;
use mio::net::TcpStream;

use super::plan::Service;

/// Clients that may wait in a lobby: as many as are accepted in a turn.
const MOST: usize = 64;

/// A client that no worker has taken in yet.
#[derive(Debug)]
pub(crate) struct PendingConnection {
    pub(crate) socket: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) service: Arc<Service>,
}

/// The lobbies of all workers, by their numbers.
#[derive(Debug)]
pub(crate) struct Handoffs(Vec<HandoffQueue>);

#[derive(Debug, Default)]
#[repr(align(128))] // Two cache lines: neighbours are fetched in pairs.
struct HandoffQueue {
    /// Sessions of its worker, those in the lobby included.
    sessions: AtomicUsize,
    /// `None` once nobody will look any more.
    waiting: Mutex<Option<Vec<PendingConnection>>>,
    waker: OnceLock<Arc<Waker>>,
}

impl Handoffs {
    /// One for each of `workers`, all shut.
    pub(crate) fn new(workers: usize) -> Handoffs {
        Handoffs((0..workers).map(|_| HandoffQueue::default()).collect())
    }

    /// Opens the lobby of `worker`, who is woken by `waker` when somebody waits.
    pub(crate) fn open(&self, worker: usize, waker: Arc<Waker>) {
        let lobby = &self.0[worker];
        if lobby.waker.set(waker).is_ok() {
            lobby.with(|waiting| *waiting = Some(Vec::new()));
        }
    }

    /// Counts a client that came to `worker`. It is given back, unless it was
    /// left to a worker that has fewer.
    pub(crate) fn enter(
        &self,
        worker: usize,
        newcomer: PendingConnection,
    ) -> Option<PendingConnection> {
        let lobby = self.idlest(worker).unwrap_or(&self.0[worker]);
        if std::ptr::eq(lobby, &self.0[worker]) {
            lobby.sessions.fetch_add(1, Ordering::Relaxed);
            return Some(newcomer);
        }
        let refused = lobby.leave(newcomer);
        if refused.is_some() {
            self.0[worker].sessions.fetch_add(1, Ordering::Relaxed);
        }
        refused
    }

    /// A session of `worker` is over.
    pub(crate) fn exit(&self, worker: usize) {
        self.0[worker].sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Who waits for `worker`; they are counted already.
    pub(crate) fn take(&self, worker: usize) -> Vec<PendingConnection> {
        let all = |waiting: &mut Option<Vec<_>>| waiting.as_mut().map(std::mem::take);
        self.0[worker].with(all).unwrap_or_default()
    }

    /// Shuts the lobby of `worker` for good, unless somebody waits there.
    pub(crate) fn shut(&self, worker: usize) -> bool {
        self.0[worker].with(|waiting| {
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

    /// The worker with the fewest sessions, if it has so many fewer than `worker`
    /// that waking it pays.
    fn idlest(&self, worker: usize) -> Option<&HandoffQueue> {
        let (sessions, idlest) = self
            .0
            .iter()
            .map(|lobby| (lobby.sessions.load(Ordering::Relaxed), lobby))
            .min_by_key(|(sessions, _)| *sessions)?;
        is_too_many(self.sessions(worker), sessions).then_some(idlest)
    }
}

/// Half as many again as another has: the hash hardly ever gives so many where
/// sessions are short and come by the thousand, so that these cost nothing more.
fn is_too_many(sessions: usize, least: usize) -> bool {
    sessions > least + least / 2
}

impl HandoffQueue {
    fn with<T>(&self, act: impl FnOnce(&mut Option<Vec<PendingConnection>>) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves a client here, or gives it back where there is no room.
    fn leave(&self, newcomer: PendingConnection) -> Option<PendingConnection> {
        let (refused, first) = self.with(|waiting| match waiting {
            Some(waiting) if waiting.len() < MOST => {
                self.sessions.fetch_add(1, Ordering::Relaxed);
                waiting.push(newcomer);
                (None, waiting.len() == 1)
            }
            _ => (Some(newcomer), false),
        });
        // Whoever was there before has had it woken.
        if let Some(waker) = self.waker.get().filter(|_| first) {
            let _ = waker.wake();
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
