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
pub enum LifecycleEvent {
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
    panic_guard: &PanicGuard,
) -> io::Result<Vec<WorkerThread>> {
    let running = Arc::new(AtomicUsize::new(count));
    let start = |number: usize| {
        let seed = u64::from(std::process::id()) << 16 | number as u64;
        let (worker, mailbox) = Worker::new(number, Arc::clone(shared), seed)?;
        let name = format!("worker-{number}");
        let guard = WorkerGuard {
            _watch: panic_guard.watch(&*name),
            _last: LastWorker {
                running: Arc::clone(&running),
                panic_guard: panic_guard.clone(),
            },
        };
        let thread = Builder::new().name(name).spawn(move || {
            let _guard = guard;
            worker.run();
        })?;
        Ok(WorkerThread { mailbox, thread })
    };
    (0..count).map(start).collect()
}

/// What a worker's thread has until it ends. A panic is told before the end.
struct WorkerGuard {
    _watch: ThreadWatch,
    _last: LastWorker,
}

/// Whoever is the last to leave says so.
struct LastWorker {
    running: Arc<AtomicUsize>,
    panic_guard: PanicGuard,
}

impl Drop for LastWorker {
    fn drop(&mut self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.panic_guard.event_bus.end();
            (self.panic_guard.on_event)(LifecycleEvent::Stopped);
        }
    }
}

/// The pulses of all workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Liveness(Arc<[WorkerLiveness]>);

impl Liveness {
    pub(super) fn new(liveness: impl Iterator<Item = WorkerLiveness>) -> Liveness {
        Liveness(liveness.collect())
    }

    /// Has all sessions cut off, whatever the desk is about. Never waits.
    pub fn cut_sessions(&self) {
        self.stop(Some(Duration::ZERO));
    }

    /// Tells the workers to stop, whatever the desk is about. Never waits: where a mailbox is
    /// full, the desk's own order has to do.
    pub(super) fn stop(&self, grace: Option<Duration>) {
        self.0.iter().for_each(|worker| worker.stop(grace));
    }

    /// Whether every worker gives a sign of life within `timeout`: each has its turn
    /// to end first, which takes milliseconds.
    pub fn all_respond(&self, timeout: Duration) -> bool {
        self.all(timeout, |response| response.is_ok())
    }

    /// Whether no worker hangs: each gives a sign of life within `timeout`, or is gone,
    /// as those are that have nothing left to do while txlb stops.
    pub fn none_hangs(&self, timeout: Duration) -> bool {
        self.all(timeout, |response| {
            response != Err(RecvTimeoutError::Timeout)
        })
    }

    /// Whether all signs are good: they are asked for at once.
    fn all(&self, timeout: Duration, good: impl Fn(Result<(), RecvTimeoutError>) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let responses: Vec<_> = self.0.iter().map(WorkerLiveness::ask).collect();
        responses.into_iter().all(|response| {
            let remaining = deadline.saturating_duration_since(Instant::now());
            response.is_some_and(|response| good(response.recv_timeout(remaining)))
        })
    }
}

/// Who hears of a panic. Clones tell the same ones.
#[derive(Clone)]
pub(super) struct PanicGuard {
    pub(super) event_bus: EventBus,
    pub(super) on_event: Arc<dyn Fn(LifecycleEvent) + Send + Sync>,
}

/// Watches over a thread for as long as that has it.
pub(super) struct ThreadWatch {
    panic_guard: PanicGuard,
    thread: String,
}

impl PanicGuard {
    /// Watches over the thread that is given this, whose name is `thread`.
    pub(super) fn watch(&self, thread: impl Into<String>) -> ThreadWatch {
        ThreadWatch {
            panic_guard: self.clone(),
            thread: thread.into(),
        }
    }
}

impl Drop for ThreadWatch {
    fn drop(&mut self) {
        if thread::panicking() {
            let thread = std::mem::take(&mut self.thread);
            self.panic_guard
                .event_bus
                .tell(|| Event::Panicked(thread.clone()));
            (self.panic_guard.on_event)(LifecycleEvent::Panicked(thread));
        }
    }
}
