//! Worker threads: their start, their panics, whether they answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, Builder, JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use crate::relay::{Event, EventBus, Mailbox, Shared, Worker, WorkerLiveness};

/// What a director tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// After [`DataPlane::stop`]: the last session is over.
    Stopped,
    /// The thread of this name panicked. Nobody does its work any more, and if it was a
    /// worker's, its share of new clients would wait for ever: all should end.
    Panicked(String),
}

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

/// The pulses of all workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Liveness(Arc<[WorkerLiveness]>);

impl Liveness {
    pub(super) fn new(pulses: impl Iterator<Item = WorkerLiveness>) -> Liveness {
        Liveness(pulses.collect())
    }

    /// Has all sessions cut off, whatever the desk is about. Never waits.
    pub fn cut_off(&self) {
        self.stop(Some(Duration::ZERO));
    }

    /// Tells the workers to stop, whatever the desk is about. Never waits: where a mailbox is
    /// full, the desk's own order has to do.
    pub(super) fn stop(&self, grace: Option<Duration>) {
        self.0.iter().for_each(|pulse| pulse.stop(grace));
    }

    /// Whether every worker gives a sign of life within `patience`: each has its turn
    /// to end first, which takes milliseconds.
    pub fn beat(&self, patience: Duration) -> bool {
        self.all(patience, |sign| sign.is_ok())
    }

    /// Whether no worker hangs: each gives a sign of life within `patience`, or is gone,
    /// as those are that have nothing left to do while txlb stops.
    pub fn go_on(&self, patience: Duration) -> bool {
        self.all(patience, |sign| sign != Err(RecvTimeoutError::Timeout))
    }

    /// Whether all signs are good: they are asked for at once.
    fn all(&self, patience: Duration, good: impl Fn(Result<(), RecvTimeoutError>) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let signs: Vec<_> = self.0.iter().map(WorkerLiveness::ask).collect();
        signs.into_iter().all(|sign| {
            let left = deadline.saturating_duration_since(Instant::now());
            sign.is_some_and(|sign| good(sign.recv_timeout(left)))
        })
    }
}

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
            self.alarm.news.tell(|| Event::Panicked(thread.clone()));
            (self.alarm.on_event)(Notice::Panicked(thread));
        }
    }
}
