//! What follows when the threads of a balancer end, as they should or by a panic.
//!
//! The events that its program hears are told by those who know of them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::control::{Handle, Notice, Signal};

/// Hears what the director tells, from before there is a desk.
#[derive(Debug)]
pub(super) struct Notices {
    ended: Sender<()>,
    desk: OnceLock<Handle>,
    panicked: AtomicBool,
}

impl Notices {
    /// And where it is told that all is over.
    pub(super) fn new() -> (Notices, Receiver<()>) {
        let (ended, end) = channel();
        let notices = Notices {
            ended,
            desk: OnceLock::new(),
            panicked: AtomicBool::new(false),
        };
        (notices, end)
    }

    pub(super) fn hear(&self, notice: &Notice) {
        match notice {
            Notice::Stopped => drop(self.ended.send(())),
            Notice::Panicked(_) => {
                self.panicked.store(true, Ordering::SeqCst);
                self.stop_after_panic();
            }
        }
    }

    /// There is a desk now. A worker may have panicked before: clients come while the doors
    /// are yet to be opened.
    pub(super) fn attend(&self, desk: Handle) {
        let _ = self.desk.set(desk);
        self.stop_after_panic();
    }

    /// A thread that panicked leaves its work undone: the others stop too.
    fn stop_after_panic(&self) {
        if self.panicked.load(Ordering::SeqCst)
            && let Some(desk) = self.desk.get()
        {
            desk.signal(Signal::Stop);
        }
    }
}
