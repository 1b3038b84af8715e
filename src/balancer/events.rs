//! What happens in a balancer, as its program hears of it.
//!
//! Who tells it is the relay's and the director's business.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::control::{Event, Handle, LifecycleEvent, Signal, Subscription};

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
    /// The next event, or `None` if there is none within `timeout`, or never will be.
    pub fn next_within(&self, timeout: Duration) -> Option<Event> {
        self.0.events.recv_timeout(timeout).ok()
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

/// Hears what the director tells, from before there is a desk.
#[derive(Debug)]
pub(super) struct StopOnPanic {
    ended: Sender<()>,
    handle: OnceLock<Handle>,
    panicked: AtomicBool,
}

impl StopOnPanic {
    /// And where it is told that all is over.
    pub(super) fn new() -> (StopOnPanic, Receiver<()>) {
        let (ended, end) = channel();
        let stop_on_panic = StopOnPanic {
            ended,
            handle: OnceLock::new(),
            panicked: AtomicBool::new(false),
        };
        (stop_on_panic, end)
    }

    pub(super) fn handle_event(&self, event: &LifecycleEvent) {
        match event {
            LifecycleEvent::Stopped => drop(self.ended.send(())),
            LifecycleEvent::Panicked(_) => {
                self.panicked.store(true, Ordering::SeqCst);
                self.stop_after_panic();
            }
        }
    }

    /// There is a desk now. A worker may have panicked before: clients come while the doors
    /// are yet to be opened.
    pub(super) fn attend(&self, handle: Handle) {
        let _ = self.handle.set(handle);
        self.stop_after_panic();
    }

    /// A thread that panicked leaves its work undone: the others stop too.
    fn stop_after_panic(&self) {
        if self.panicked.load(Ordering::SeqCst)
            && let Some(handle) = self.handle.get()
        {
            handle.signal(Signal::Stop);
        }
    }
}
