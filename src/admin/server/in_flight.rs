//! Answers that are being given: whoever tells txlb to end is to hear that it does.
//!
//! What is answered, and to whom, is the doors' business.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::lock;

/// How long the end waits for them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How many a door is giving.
#[derive(Default)]
pub(in crate::admin) struct Answers {
    given: Mutex<usize>,
    ended: Condvar,
}

/// One of them, until it is dropped.
pub(in crate::admin) struct Answering<'a>(&'a Answers);

impl Answers {
    /// One is being given.
    pub(in crate::admin) fn begin(&self) -> Answering<'_> {
        *self.lock() += 1;
        Answering(self)
    }

    /// Waits until none is, for a second at most.
    pub(in crate::admin) fn wait(&self) {
        let waits = self
            .ended
            .wait_timeout_while(self.lock(), LAST_WORDS, |given| *given > 0);
        drop(waits);
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        lock(&self.given)
    }
}

impl Drop for Answering<'_> {
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
        let (answers, given) = (Answers::default(), AtomicBool::new(false));
        answers.wait();
        let answering = answers.begin();
        let begun = Instant::now();
        answers.wait();
        assert!(begun.elapsed() >= LAST_WORDS);
        thread::scope(|scope| {
            scope.spawn(|| {
                given.store(true, Ordering::Release);
                drop(answering);
            });
            answers.wait();
            assert!(given.load(Ordering::Acquire));
        });
    }
}
