//! The desk: where everybody asks for what is to be changed, done or told.
//!
//! One thread owns the director and all that changes with it, and does one thing after
//! the other. Here is how it is reached; what it does is `controller`'s business.

mod actor;
mod autosave;
mod changes;
mod controller;
mod reconfigure;
mod reload;
mod response;
mod table;
mod view;

pub use actor::Actor;
pub use reconfigure::{Commit, Reconfigure};
pub(crate) use response::push_clean;
pub use response::{OutputFormat, Response, ResponseData};

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use self::controller::Controller;
use super::file::File;
use super::line_protocol::Request;
use super::status::{Sessions, Status};
use super::{DataPlane, Liveness, Signal};
use crate::config::Reading;
use crate::config::verb::{Command, Verb};

/// What open sessions get after TERM, and after `shutdown` without `grace=`.
const GRACE: Duration = Duration::from_secs(5);

/// What the thread is called.
const THREAD: &str = "director";

/// Requests that may wait; who comes then waits at the door.
const CAPACITY: usize = 16;

/// How long the end is waited for: a desk in the middle of something has longer, but
/// nobody waits for it.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// The same where a signal to stop has not even been looked at: the desk waits for a name
/// server or a disk, and whoever sent the signal does not.
const BUSY_PATIENCE: Duration = Duration::from_millis(250);

/// A handle to the desk. Cheap to clone. Its methods wait until it is their turn and
/// what they ask for is done; only [`Handle::signal`] never does.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: SyncSender<Message>,
    signals: Arc<Signals>,
    workers: Liveness,
}

/// The desk's thread. When it is dropped, the desk is closed and the director with it:
/// all sessions end.
#[derive(Debug)]
pub struct ControllerThread {
    desk: Handle,
    /// Hangs up when the thread is over. Behind a lock, so that several threads may
    /// hold it.
    over: Mutex<Receiver<()>>,
}

/// What the thread is asked, and where the answer goes.
#[derive(Debug)]
enum Message {
    QueuedRequest(Box<QueuedRequest>, SyncSender<Response>),
    Status(SyncSender<Status>),
    Sessions(SyncSender<Sessions>),
    /// There may be signals.
    Look,
}

/// What is to be done or told, and on whose behalf.
#[derive(Debug)]
struct QueuedRequest {
    by: Actor,
    wish: Request,
    /// The generation of the configuration that they looked at, if it must be in
    /// force still.
    seen: Option<u64>,
}

/// Signals that nobody has looked at yet: each counts once, however often it came.
#[derive(Debug, Default)]
struct Signals {
    bits: AtomicU8,
    /// When the first came that says to stop.
    stop: OnceLock<Instant>,
}

/// Not a signal: the desk is to be closed.
const CLOSE: u8 = 1 << 7;

impl Signals {
    fn add(&self, bit: u8) {
        self.bits.fetch_or(bit, Ordering::AcqRel);
    }

    /// Whether there is one to stop that nobody has looked at yet.
    fn stop_waits(&self) -> bool {
        let stop = bit(Signal::Stop) | bit(Signal::Quit);
        self.bits.load(Ordering::Acquire) & stop != 0
    }

    fn take(&self) -> u8 {
        self.bits.swap(0, Ordering::AcqRel)
    }
}

fn bit(signal: Signal) -> u8 {
    1 << signal as u8
}

impl ControllerThread {
    /// Opens the desk of a director that has just been started. `file` is the one its
    /// configuration is from, as it was read, if there is one.
    ///
    /// # Errors
    /// The system's, if it has no thread for it.
    pub fn start(
        director: DataPlane,
        file: Option<(File, Reading)>,
        fixtures: Vec<Box<dyn Reconfigure>>,
    ) -> io::Result<ControllerThread> {
        let (requests, incoming) = sync_channel(CAPACITY);
        let (running, over) = sync_channel(0);
        let signals = Arc::<Signals>::default();
        let theirs = Arc::clone(&signals);
        let watch = director.alarm.watch(THREAD);
        let workers = director.pulses();
        let clerk = Controller::new(director, file, fixtures);
        thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                let _running: SyncSender<()> = running;
                let mut clerk = clerk;
                // Goes before the director does, with which all that is told ends.
                let _watch = watch;
                clerk.run(&incoming, &theirs);
            })?;
        Ok(ControllerThread {
            desk: Handle {
                requests,
                signals,
                workers,
            },
            over: Mutex::new(over),
        })
    }

    /// A handle to it.
    pub fn desk(&self) -> Handle {
        self.desk.clone()
    }
}

impl Drop for ControllerThread {
    fn drop(&mut self) {
        self.desk.poke(CLOSE);
        // Nobody sends: this waits for the hanging up.
        let over = self.over.get_mut().unwrap_or_else(PoisonError::into_inner);
        let hung = over.recv_timeout(BUSY_PATIENCE) == Err(RecvTimeoutError::Timeout);
        if hung && !self.desk.signals.stop_waits() {
            let _ = over.recv_timeout(END_PATIENCE.saturating_sub(BUSY_PATIENCE));
        }
    }
}

impl Handle {
    /// Has `command` done, on behalf of `by`.
    pub fn obey(&self, by: &Actor, command: Command) -> Response {
        self.order(by, Request::Command(command), None)
    }

    /// As [`Handle::obey`], but only while the configuration is that of generation
    /// `seen`: whoever has looked at an older one does not know what has changed.
    pub fn obey_seen(&self, by: &Actor, command: Command, seen: u64) -> Response {
        self.order(by, Request::Command(command), Some(seen))
    }

    /// Has several changes made as one: all of them or none.
    pub fn change(&self, by: &Actor, verbs: Vec<Verb>) -> Response {
        self.order(by, Request::Change(verbs), None)
    }

    /// How everything is; once the desk is closed, there is nothing, and it is stopping.
    pub fn status(&self) -> Status {
        let over = || Status {
            stopping: true,
            ..Status::default()
        };
        self.ask(Message::Status).unwrap_or_else(over)
    }

    /// The open sessions, of which 10,000 at most are listed; none once the desk is
    /// closed.
    pub fn sessions(&self) -> Sessions {
        self.ask(Message::Sessions).unwrap_or_default()
    }

    /// Has done what a signal asks for, as soon as may be. A signal that comes while
    /// one of its kind waits is the same as that one.
    ///
    /// To stop does not wait for its turn: a name server or a disk that does not answer may
    /// keep the desk, but keeps nobody from ending.
    pub fn signal(&self, signal: Signal) {
        let grace = match signal {
            Signal::Stop => Some(Some(GRACE)),
            Signal::Quit => Some(None),
            _ => None,
        };
        if grace.is_some() {
            self.signals.stop.get_or_init(Instant::now);
        }
        self.poke(bit(signal));
        if let Some(grace) = grace {
            self.workers.stop(grace);
        }
    }

    fn order(&self, by: &Actor, wish: Request, seen: Option<u64>) -> Response {
        let by = by.clone();
        let order = Box::new(QueuedRequest { by, wish, seen });
        self.ask(|reply| Message::QueuedRequest(order, reply))
            .unwrap_or_else(|| Response::new(Err("txlb has ended".to_owned()), 0))
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Message) -> Option<T> {
        let (reply, answer) = sync_channel(1);
        self.requests.send(request(reply)).ok()?;
        answer.recv().ok()
    }

    fn poke(&self, bit: u8) {
        self.signals.add(bit);
        match self.requests.try_send(Message::Look) {
            // Full: it looks before each request.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}
