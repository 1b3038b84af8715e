//! Locks that ignore poisoning, and a counter of things that exist at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also after a thread has panicked with the lock held.
///
/// Only for data that is valid after each statement. A panic is reported elsewhere; it must
/// not make every other thread panic, too.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts things that exist at the same time, such as connections. A clone shares the count.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicUsize>);

/// One counted thing: it counts until this is dropped.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Counter {
    /// The number of things now.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more, without a limit.
    pub fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }

    /// Counts one more, unless there are `max` already. Exact with any number of threads.
    pub fn count_below(&self, max: usize) -> Option<Counted> {
        let one_more = |count: usize| (count < max).then(|| count + 1);
        let counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.is_ok().then(|| Counted(Arc::clone(&self.0)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Relaxed: the count itself is all that threads share by it.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_had_after_a_panic() {
        let mutex = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            let held = scope.spawn(|| {
                let _guard = mutex.lock().unwrap();
                std::panic::resume_unwind(Box::new(()));
            });
            held.join()
        });
        assert!(panicked.is_err() && mutex.is_poisoned());
        assert_eq!(*lock(&mutex), 1);
    }

    #[test]
    fn what_is_dropped_is_not_counted() {
        let counter = Counter::default();
        let first = counter.count_below(2).unwrap();
        let second = counter.clone().count();
        assert_eq!(counter.get(), 2);
        assert!(counter.count_below(2).is_none());
        drop(first);
        assert!(counter.count_below(2).is_some());
        drop(second);
        assert_eq!(counter.get(), 0);
    }
}
