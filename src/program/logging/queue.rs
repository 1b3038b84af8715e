//! What waits for the log's thread, within limits, and whether that thread waits for it.
//!
//! Who adds to it never waits: what finds no room is counted. It does not know what
//! becomes of what is taken from it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::entry::Entry;
use super::target::Target;

/// Lines that may wait to be written; as many again may be in the thread's hand.
pub(super) const QUEUE: usize = 8192;

/// Bytes that these may have; one more line may go beyond them.
pub(super) const QUEUE_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    work: Work,
    /// Everything is written, and the thread waits.
    idle: bool,
}

/// What there is to be done.
#[derive(Default)]
pub(super) struct Work {
    pub(super) entries: Vec<Entry>,
    bytes: usize,
    /// Where to write after so many of the entries; the last word counts.
    pub(super) target: Option<(usize, Target)>,
    /// How many more there was no room for.
    pub(super) lost: u64,
    /// Nothing is to be held back any more.
    pub(super) finish: bool,
}

impl Work {
    /// Lines are lost only where there are many.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.target.is_none() && !self.finish
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() >= QUEUE || self.bytes >= QUEUE_BYTES {
            self.lost += 1;
            return;
        }
        self.bytes += entry.text.len();
        self.entries.push(entry);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, what: impl FnOnce(&mut Work)) {
        let mut state = self.lock();
        what(&mut state.work);
        let was_idle = std::mem::take(&mut state.idle);
        drop(state);
        // A call of the system: only where somebody waits.
        if was_idle {
            self.changed.notify_all();
        }
    }

    pub(super) fn say(&self, entry: Entry) {
        self.add(|work| work.push(entry));
    }

    pub(super) fn switch(&self, target: Target) {
        self.add(|work| work.target = Some((work.entries.len(), target)));
    }

    pub(super) fn switch_from_the_start(&self, target: Target) {
        self.add(|work| work.target = Some((0, target)));
    }

    pub(super) fn take(&self) -> Work {
        std::mem::take(&mut self.lock().work)
    }

    /// Waits until there is work, or for so long.
    pub(super) fn wait(&self, most: Option<Duration>) {
        let mut state = self.lock();
        if !state.work.is_empty() {
            return;
        }
        state.idle = true;
        self.changed.notify_all();
        let is_idle = |state: &mut State| state.idle;
        let Some(most) = most else {
            drop(self.changed.wait_while(state, is_idle));
            return;
        };
        let waited = self.changed.wait_timeout_while(state, most, is_idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.idle = false;
    }

    /// Has everything said that is held back, and waits until it is written, for so
    /// long at most; says whether it came to that.
    pub(super) fn finish(&self, patience: Duration) -> bool {
        self.add(|work| work.finish = true);
        self.settle(patience)
    }

    /// Waits until there is no work, for so long at most; says whether it came to that.
    pub(super) fn settle(&self, patience: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| !state.idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.idle
    }
}
