//! What happens in a balancer, as its program hears of it.
//!
//! Who tells it is the relay's and the director's business.

use std::time::Duration;

use crate::control::{Event, Subscription};

/// How many events wait until they are taken; more are counted, and not kept.
pub(super) const ROOM: usize = 1024;

/// What happens in a balancer from now on.
///
/// An iterator: its `next` waits, and ends when the balancer has, whoever stopped it. Up to 1,024 events wait
/// to be taken; no session ever waits for that. Those for which there is no room are lost,
/// and [`Event::Missed`] says how many these were.
#[derive(Debug)]
pub struct Events(pub(super) Subscription);

impl Events {
    /// The next event, or `None` if there is none within `patience`, or never will be.
    pub fn next_within(&self, patience: Duration) -> Option<Event> {
        self.0.events.recv_timeout(patience).ok()
    }

    /// The next event, if there is one already.
    pub fn try_next(&self) -> Option<Event> {
        self.0.events.try_recv().ok()
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.0.events.recv().ok()
    }
}
