//! The workers' threads: how they are started, and who hears how they end.
//!
//! What a worker does is the relay's business.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle, available_parallelism};

use super::Notice;
use super::panic_guard::{PanicGuard, Watch};
use crate::relay::{Mailbox, Shared, Worker};

/// A worker's thread and how to reach it.
pub(super) struct WorkerThread {
    pub(super) mailbox: Mailbox,
    pub(super) thread: JoinHandle<()>,
}

/// How many workers there are where nobody says: one for each processor that this process
/// may use.
pub fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Starts `count` workers.
///
/// # Errors
/// The system's, if it has no thread or event queue for one; none is left then.
pub(super) fn start_workers(
    count: usize,
    shared: &Arc<Shared>,
    alarm: &PanicGuard,
) -> io::Result<Vec<WorkerThread>> {
    let left = Arc::new(AtomicUsize::new(count));
    let start = |number: usize| {
        let seed = u64::from(std::process::id()) << 16 | number as u64;
        let (worker, mailbox) = Worker::new(number, Arc::clone(shared), seed)?;
        let name = format!("worker-{number}");
        let post = Post {
            _watch: alarm.watch(&*name),
            _last: Last {
                left: Arc::clone(&left),
                alarm: alarm.clone(),
            },
        };
        let thread = Builder::new().name(name).spawn(move || {
            let _post = post;
            worker.run();
        })?;
        Ok(WorkerThread { mailbox, thread })
    };
    (0..count).map(start).collect()
}

/// What a worker's thread has until it ends. A panic is told before the end.
struct Post {
    _watch: Watch,
    _last: Last,
}

/// Whoever is the last to leave says so.
struct Last {
    left: Arc<AtomicUsize>,
    alarm: PanicGuard,
}

impl Drop for Last {
    fn drop(&mut self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.alarm.news.end();
            (self.alarm.on_event)(Notice::Stopped);
        }
    }
}
