//! The last things that happened, for people who look: hosts down and up, changes,
//! reloads, saves.
//!
//! A short memory beside the log, which has everything; nothing is written here. Who
//! listens to what happens is `news`' business.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::Clock;
use super::event_bus::{Event, EventBus};

/// How many are remembered.
const CAPACITY: usize = 50;

/// The last things that happened. Clones are the same journal.
#[derive(Debug, Clone)]
pub(crate) struct RecentEvents {
    clock: Clock,
    news: EventBus,
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    at_ms: u64,
    topic: Topic,
    text: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentEvent {
    /// When, in milliseconds since 1970.
    pub wall_ms: u64,
    /// What kind of thing it was.
    pub topic: Topic,
    /// What it was, in words; what is in it from outside has been escaped.
    pub text: String,
}

/// A kind of thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topic {
    /// A host has failed.
    HostDown,
    /// A host is back.
    HostUp,
    /// Somebody has changed something.
    Change,
    /// The file was read again.
    Reload,
    /// The file was written.
    Save,
    /// Something could not be done.
    Error,
}

impl Topic {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Topic::HostDown => "host down",
            Topic::HostUp => "host up",
            Topic::Change => "change",
            Topic::Reload => "reload",
            Topic::Save => "save",
            Topic::Error => "error",
        }
    }
}

impl RecentEvents {
    /// An empty one.
    pub(crate) fn new(clock: Clock) -> RecentEvents {
        RecentEvents {
            clock,
            news: EventBus::default(),
            entries: Arc::default(),
        }
    }

    /// Notes what happened just now. The lock is short: no system call is made under
    /// it.
    pub(crate) fn note(&self, topic: Topic, text: String) {
        let at_ms = self.clock.now_ms();
        // Hosts have events of their own, which are not rationed as words are.
        if !matches!(topic, Topic::HostUp | Topic::HostDown) {
            self.news.tell(|| {
                let (wall_ms, text) = (self.clock.wall_ms(at_ms), text.clone());
                Event::Noted(RecentEvent {
                    wall_ms,
                    topic,
                    text,
                })
            });
        }
        let mut entries = self.lock();
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(Entry { at_ms, topic, text });
    }

    /// Who is told of it, and of more that is not remembered.
    pub(crate) fn news(&self) -> &EventBus {
        &self.news
    }

    /// What is remembered, the oldest first.
    pub(crate) fn happenings(&self) -> Vec<RecentEvent> {
        let entries = self.lock().clone();
        let happening = |Entry { at_ms, topic, text }| RecentEvent {
            wall_ms: self.clock.wall_ms(at_ms),
            topic,
            text,
        };
        entries.into_iter().map(happening).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fifty_are_remembered_in_order() {
        let journal = RecentEvents::new(Clock::start());
        let same = journal.clone();
        for number in 0..CAPACITY + 7 {
            journal.note(Topic::Change, number.to_string());
        }
        let texts: Vec<_> = same.happenings().into_iter().map(|it| it.text).collect();
        let expected: Vec<_> = (7..CAPACITY + 7).map(|it| it.to_string()).collect();
        assert_eq!(texts, expected);
    }
}
