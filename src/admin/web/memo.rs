//! Something that anybody may ask for, but that is found out once a second at most.
//!
//! What it is, is known to who asks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The last answer, and when it was found out.
#[derive(Default)]
pub(super) struct Memo(Mutex<Option<(Instant, bool)>>);

impl Memo {
    /// The last answer, or a new one. Who asks meanwhile waits for that one: that is what
    /// the lock is for, and nobody else takes it.
    pub(super) fn answer(&self, find: impl FnOnce() -> bool) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, answer)) if at.elapsed() < GOOD_FOR => answer,
            _ => {
                let answer = find();
                *last = Some((Instant::now(), answer));
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_out_once() {
        let memo = Memo::default();
        assert!(memo.answer(|| true));
        assert!(memo.answer(|| panic!("asked twice")));
        *memo.0.lock().unwrap() = Instant::now().checked_sub(GOOD_FOR).map(|at| (at, true));
        assert!(!memo.answer(|| false));
    }
}
