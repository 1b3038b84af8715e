//! The last 50 events, for the page and the status. The log has all of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use super::event_bus::{Event, EventBus, RecentEvent, Topic};
use crate::relay::clock::Clock;
use crate::sync::lock;

/// How many events are kept.
const CAPACITY: usize = 50;

/// The last events, and the bus that delivers them. Clones share both.
#[derive(Debug, Clone)]
pub(crate) struct RecentEvents {
    clock: Clock,
    event_bus: EventBus,
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    at_ms: u64,
    topic: Topic,
    text: String,
}

impl RecentEvents {
    /// No events yet.
    pub(crate) fn new(clock: Clock) -> RecentEvents {
        RecentEvents {
            clock,
            event_bus: EventBus::default(),
            entries: Arc::default(),
        }
    }

    /// Records an event that happened now, and publishes it unless it is about a host.
    pub(crate) fn record(&self, topic: Topic, text: String) {
        let at_ms = self.clock.now_ms();
        // Events about hosts are published one by one by the health log, which limits only its
        // lines.
        if !matches!(topic, Topic::HostUp | Topic::HostDown) {
            self.event_bus.publish(|| {
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

    /// The bus for these and other events.
    pub(crate) fn event_bus(&self) -> &EventBus {
        &self.event_bus
    }

    /// The recorded events, the oldest first.
    pub(crate) fn list(&self) -> Vec<RecentEvent> {
        let entries = self.lock().clone();
        let recent_event = |Entry { at_ms, topic, text }| RecentEvent {
            wall_ms: self.clock.wall_ms(at_ms),
            topic,
            text,
        };
        entries.into_iter().map(recent_event).collect()
    }

    /// The lock is short, and no system call is made under it.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        lock(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fifty_are_remembered_in_order() {
        let recent_events = RecentEvents::new(Clock::start());
        let same = recent_events.clone();
        for number in 0..CAPACITY + 7 {
            recent_events.record(Topic::Change, number.to_string());
        }
        let texts: Vec<_> = same.list().into_iter().map(|it| it.text).collect();
        let expected: Vec<_> = (7..CAPACITY + 7).map(|it| it.to_string()).collect();
        assert_eq!(texts, expected);
    }
}
