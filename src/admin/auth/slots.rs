//! How many passwords are checked at the same time, over all doors.
//!
//! Knows nothing of passwords: lets some through, has some wait, turns the rest away.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::lock;

/// Checks at the same time: each takes a processor for as long as it lasts, and
/// those are there for balancing.
pub(super) const AT_ONCE: usize = 2;

/// Who waits for one: whoever comes when so many do is turned away.
pub(super) const MOST_WAITING: usize = 16;

/// How long anybody waits before they are turned away. It takes a queue full of the
/// costliest hashes to be as long.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Slots {
    queue: Mutex<Queue>,
    freed: Condvar,
}

#[derive(Default)]
struct Queue {
    taken: usize,
    waiting: usize,
}

/// The right to check one password, until it is dropped.
pub(super) struct Slot<'a>(&'a Slots);

impl Slots {
    /// Waits until there is one; `None` if too many wait already or it takes too long.
    pub(super) fn take(&self) -> Option<Slot<'_>> {
        let mut queue = lock(&self.queue);
        if queue.taken >= AT_ONCE {
            if queue.waiting >= MOST_WAITING {
                return None;
            }
            queue.waiting += 1;
            let waits = self
                .freed
                .wait_timeout_while(queue, PATIENCE, |queue| queue.taken >= AT_ONCE);
            queue = waits.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            queue.waiting -= 1;
            if queue.taken >= AT_ONCE {
                return None;
            }
        }
        queue.taken += 1;
        Some(Slot(self))
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        lock(&self.queue).waiting
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        lock(&self.0.queue).taken -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Instant;

    use super::*;

    fn until(what: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !what() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }

    #[test]
    fn there_are_two_at_a_time_and_the_rest_wait_or_are_turned_away() {
        let slots = Slots::default();
        let (most, now) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let first = [slots.take().unwrap(), slots.take().unwrap()];
        thread::scope(|scope| {
            let waiters = [(); MOST_WAITING].map(|()| {
                scope.spawn(|| {
                    let slot = slots.take();
                    most.fetch_max(1 + now.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    slot.is_some()
                })
            });
            until(|| slots.waiting() == MOST_WAITING);
            assert!(slots.take().is_none());
            assert_eq!(most.load(Ordering::SeqCst), 0);
            drop(first);
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        });
        assert!(most.load(Ordering::SeqCst) <= AT_ONCE);
        assert_eq!((slots.waiting(), lock(&slots.queue).taken), (0, 0));
    }
}
