//! Whether the workers go round: asked by who must know even while the desk is busy. And
//! that they are to stop, which does not wait for the desk either.
//!
//! What is done about one that does not is for who asks to know.

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::relay::WorkerLiveness;

/// The pulses of all workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Liveness(Arc<[WorkerLiveness]>);

impl Liveness {
    pub(super) fn new(pulses: impl Iterator<Item = WorkerLiveness>) -> Liveness {
        Liveness(pulses.collect())
    }

    /// Has all sessions cut off, whatever the desk is about. Never waits.
    pub fn cut_off(&self) {
        self.stop(Some(Duration::ZERO));
    }

    /// Tells the workers to stop, whatever the desk is about. Never waits: where a mailbox is
    /// full, the desk's own order has to do.
    pub(super) fn stop(&self, grace: Option<Duration>) {
        self.0.iter().for_each(|pulse| pulse.stop(grace));
    }

    /// Whether every worker gives a sign of life within `patience`: each has its turn
    /// to end first, which takes milliseconds.
    pub fn beat(&self, patience: Duration) -> bool {
        self.all(patience, |sign| sign.is_ok())
    }

    /// Whether no worker hangs: each gives a sign of life within `patience`, or is gone,
    /// as those are that have nothing left to do while txlb stops.
    pub fn go_on(&self, patience: Duration) -> bool {
        self.all(patience, |sign| sign != Err(RecvTimeoutError::Timeout))
    }

    /// Whether all signs are good: they are asked for at once.
    fn all(&self, patience: Duration, good: impl Fn(Result<(), RecvTimeoutError>) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let signs: Vec<_> = self.0.iter().map(WorkerLiveness::ask).collect();
        signs.into_iter().all(|sign| {
            let left = deadline.saturating_duration_since(Instant::now());
            sign.is_some_and(|sign| good(sign.recv_timeout(left)))
        })
    }
}
