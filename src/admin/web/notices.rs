//! What came of the last presses of a button, until the page has shown it.
//!
//! A press is answered by going back to the page, which is told where to find what
//! came of it. How it is shown is the page's business.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::admin::pages::Notice;

/// How many are kept.
const CAPACITY: usize = 64;

/// The last notices, each under a number that cannot be guessed.
#[derive(Default)]
pub(super) struct Notices(Mutex<VecDeque<(u64, Notice)>>);

impl Notices {
    /// Keeps one under this number.
    pub(super) fn keep(&self, number: u64, notice: Notice) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == CAPACITY {
            kept.pop_front();
        }
        kept.push_back((number, notice));
    }

    /// Takes the one of this number: it is shown once.
    pub(super) fn take(&self, number: u64) -> Option<Notice> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(own, _)| *own == number)?;
        kept.remove(place).map(|(_, notice)| notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(text: &str) -> Notice {
        Notice {
            ok: true,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_notice_is_shown_once_and_the_oldest_are_forgotten() {
        let notices = Notices::default();
        for number in 0..=CAPACITY as u64 {
            notices.keep(number, notice(&number.to_string()));
        }
        assert!(notices.take(0).is_none());
        assert_eq!(notices.take(1).map(|it| it.text), Some("1".to_owned()));
        assert!(notices.take(1).is_none());
        assert!(notices.take(CAPACITY as u64).is_some());
    }
}
