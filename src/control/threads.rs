//! Threads of a data plane: starts the workers, reports panics, and asks workers for a sign of
//! life.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, Builder, JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use crate::relay::{Event, EventBus, Mailbox, Shared, Worker, WorkerLiveness};

/// What happens to the threads of a data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifecycleEvent {
    /// The last session has ended after [`DataPlane::stop`](super::DataPlane::stop).
    Stopped,
    /// The thread of this name panicked, and its work stays undone. Clients of a worker would wait
    /// for ever, so the owner should stop.
    Panicked(String),
}

/// A worker's thread and its mailbox.
pub(super) struct WorkerThread {
    pub(super) mailbox: Mailbox,
    pub(super) thread: JoinHandle<()>,
}

/// The default number of workers: the processors that this process may use.
pub fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Starts `count` workers.
///
/// # Errors
/// The system has no thread or event queue for one. None is left then.
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

/// Dropped at the end of a worker's thread. Reports a panic first, then the end.
struct WorkerGuard {
    _watch: ThreadWatch,
    _last: LastWorker,
}

/// Reports when the last worker has ended.
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

/// Asks workers for a sign of life, past the controller, which may be busy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Liveness(Arc<[WorkerLiveness]>);

impl Liveness {
    pub(super) fn new(liveness: impl Iterator<Item = WorkerLiveness>) -> Liveness {
        Liveness(liveness.collect())
    }

    /// Cuts all sessions, past the controller. Never waits.
    pub fn cut_sessions(&self) {
        self.stop(Some(Duration::ZERO));
    }

    /// Tells workers to stop, past the controller. Never waits. A full mailbox gets the
    /// controller's order later.
    pub(super) fn stop(&self, grace: Option<Duration>) {
        self.0.iter().for_each(|worker| worker.stop(grace));
    }

    /// Whether every worker answers within `timeout`. Each ends its iteration first, which takes
    /// milliseconds.
    pub fn all_respond(&self, timeout: Duration) -> bool {
        self.all(timeout, |response| response.is_ok())
    }

    /// Whether every worker answers within `timeout` or has ended. While txlb stops, workers
    /// without sessions end. Test: after_quit_it_is_alive_until_the_last_session_is_over.
    pub fn none_hangs(&self, timeout: Duration) -> bool {
        self.all(timeout, |response| {
            response != Err(RecvTimeoutError::Timeout)
        })
    }

    /// Whether all responses are good. Workers are asked at the same time.
    fn all(&self, timeout: Duration, good: impl Fn(Result<(), RecvTimeoutError>) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let responses: Vec<_> = self.0.iter().map(WorkerLiveness::ask).collect();
        responses.into_iter().all(|response| {
            let remaining = deadline.saturating_duration_since(Instant::now());
            response.is_some_and(|response| good(response.recv_timeout(remaining)))
        })
    }
}

/// Reports panics of the threads that hold its guards. Mostly a program's own scheduler panicked.
#[derive(Clone)]
pub(super) struct PanicGuard {
    pub(super) event_bus: EventBus,
    pub(super) on_event: Arc<dyn Fn(LifecycleEvent) + Send + Sync>,
}

/// Reports, when dropped, whether its thread panics.
pub(super) struct ThreadWatch {
    panic_guard: PanicGuard,
    thread: String,
}

impl PanicGuard {
    /// Guards the thread that holds the result; `thread` is its name.
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
                .publish(|| Event::Panicked(thread.clone()));
            (self.panic_guard.on_event)(LifecycleEvent::Panicked(thread));
        }
    }
}
