//! Goes off when a thread of a balancer panics: nobody does its work any more, which must
//! not go unnoticed. As a rule it panicked in a scheduler of the program's own.
//!
//! What is done then is up to who hears it.

use std::sync::Arc;
use std::thread;

use super::{Event, EventBus, Notice};

/// Who hears of a panic. Clones tell the same ones.
#[derive(Clone)]
pub(super) struct PanicGuard {
    pub(super) news: EventBus,
    pub(super) on_event: Arc<dyn Fn(Notice) + Send + Sync>,
}

/// Watches over a thread for as long as that has it.
pub(super) struct Watch {
    alarm: PanicGuard,
    thread: String,
}

impl PanicGuard {
    /// Watches over the thread that is given this, whose name is `thread`.
    pub(super) fn watch(&self, thread: impl Into<String>) -> Watch {
        Watch {
            alarm: self.clone(),
            thread: thread.into(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            let thread = std::mem::take(&mut self.thread);
            self.alarm.news.publish(|| Event::Panicked(thread.clone()));
            (self.alarm.on_event)(Notice::Panicked(thread));
        }
    }
}
