//! The workers' threads: how they are started, and who hears how they end.
//!
//! What a worker does is the relay's business.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use super::{Event, News, Notice, Options};
use crate::relay::{Mailbox, Shared, Worker};

/// A worker's thread and how to reach it.
pub(super) struct WorkerThread {
    pub(super) mailbox: Mailbox,
    pub(super) thread: JoinHandle<()>,
}

/// Starts `count` workers.
///
/// # Errors
/// The system's, if it has no thread or event queue for one; none is left then.
pub(super) fn start_workers(
    count: usize,
    shared: &Arc<Shared>,
    options: &Options,
) -> io::Result<Vec<WorkerThread>> {
    let left = Arc::new(AtomicUsize::new(count));
    let start = |number: usize| {
        let seed = u64::from(std::process::id()) << 16 | number as u64;
        let (worker, mailbox) = Worker::new(number, Arc::clone(shared), seed)?;
        let alarm = Alarm {
            number,
            news: shared.journal.news().clone(),
            left: Arc::clone(&left),
            on_event: Arc::clone(&options.on_event),
        };
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let _alarm = alarm;
                worker.run();
            })?;
        Ok(WorkerThread { mailbox, thread })
    };
    (0..count).map(start).collect()
}

/// Goes off when a worker's thread ends.
struct Alarm {
    number: usize,
    news: News,
    left: Arc<AtomicUsize>,
    on_event: Arc<dyn Fn(Notice) + Send + Sync>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.news.tell(|| Event::WorkerPanicked(self.number));
            (self.on_event)(Notice::WorkerPanicked(self.number));
        } else if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            (self.on_event)(Notice::Stopped);
        }
    }
}
