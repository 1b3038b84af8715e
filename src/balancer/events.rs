//! Events of a balancer for the program that embeds it, and the stop after a panic.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::control::{Event, Handle, LifecycleEvent, Signal, Subscription};

/// Events that wait to be taken. Further ones are counted and dropped.
pub(super) const ROOM: usize = 1024;

/// The events of a balancer from now on.
///
/// An iterator: its `next` waits, and ends when the balancer has ended. Up to 1,024 events wait to
/// be taken; no session waits for that. Further ones are lost, and [`Event::Missed`] has their
/// number.
#[derive(Debug)]
pub struct Events(pub(super) Subscription);

impl Events {
    /// The next event. `None` if none comes within `timeout`, or the balancer has ended.
    pub fn next_within(&self, timeout: Duration) -> Option<Event> {
        self.0.events.recv_timeout(timeout).ok()
    }

    /// The next event, if one waits.
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

/// Stops the balancer when a thread panics, even before there is a controller.
#[derive(Debug)]
pub(super) struct StopOnPanic {
    ended: Sender<()>,
    handle: OnceLock<Handle>,
    panicked: AtomicBool,
}

impl StopOnPanic {
    /// The receiver gets a message at the end of the last session.
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

    /// Sets the controller. A worker may have panicked before: clients come while the admin
    /// servers are still starting. Test:
    /// a_scheduler_that_panics_before_all_is_started_ends_the_balancer.
    pub(super) fn set_handle(&self, handle: Handle) {
        let _ = self.handle.set(handle);
        self.stop_after_panic();
    }

    /// A thread that panicked leaves its work undone, so the others stop.
    fn stop_after_panic(&self) {
        if self.panicked.load(Ordering::SeqCst)
            && let Some(handle) = self.handle.get()
        {
            handle.signal(Signal::Stop);
        }
    }
}
