//! Responses that are being sent, so that a client that ends txlb still gets its answer.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::sync::lock;

/// How long the end waits for them.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Counts the responses that a server is sending.
#[derive(Default)]
pub(in crate::admin) struct InFlight {
    count: Mutex<usize>,
    ended: Condvar,
}

/// One response, until it is dropped.
pub(in crate::admin) struct InFlightGuard<'a>(&'a InFlight);

impl InFlight {
    /// Counts one.
    pub(in crate::admin) fn begin(&self) -> InFlightGuard<'_> {
        *self.lock() += 1;
        InFlightGuard(self)
    }

    /// Waits until none is left, for a second at most.
    pub(in crate::admin) fn wait(&self) {
        let waits = self
            .ended
            .wait_timeout_while(self.lock(), MAX_WAIT, |count| *count > 0);
        drop(waits);
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        lock(&self.count)
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Instant;

    #[test]
    fn the_end_waits_for_answers_but_not_for_ever() {
        let (in_flight, count) = (InFlight::default(), AtomicBool::new(false));
        in_flight.wait();
        let guard = in_flight.begin();
        let begun = Instant::now();
        in_flight.wait();
        assert!(begun.elapsed() >= MAX_WAIT);
        thread::scope(|scope| {
            scope.spawn(|| {
                count.store(true, Ordering::Release);
                drop(guard);
            });
            in_flight.wait();
            assert!(count.load(Ordering::Acquire));
        });
    }
}
