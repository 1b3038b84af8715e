//! A worker's mailbox: the bounded queue through which the controller sends it messages.
//!
//! Posting waits for room. The worker waits for nothing: it acknowledges through a channel.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mio::{Poll, Token, Waker};

use super::ending::EndRequest;
use super::plan::{ListenKey, Plan};
use super::session_record::SessionListRequest;
use crate::os::listen::{ListenPlace, StreamListener};

/// Messages that may wait in a mailbox.
const CAPACITY: usize = 16;

/// Whether a worker has registered new listeners; if not, which one the system refused, and why.
pub(crate) type Registered = Result<(), (ListenPlace, io::Error)>;

/// A message to a worker.
#[derive(Debug)]
pub(crate) enum WorkerMessage<L = StreamListener> {
    /// Register new listeners, and accept nothing from them yet. `Serve` or `Discard` follows; what
    /// an earlier `Prepare` has left is discarded.
    Prepare {
        /// This worker's sockets for the new listeners.
        opened: Vec<(ListenKey, L)>,
        /// Gets the result. After an error none of the listeners is left.
        done: Sender<Registered>,
    },
    /// Close the listeners that were prepared.
    Discard,
    /// Put a plan in force, with the listeners that were prepared. Listeners that are not in it are
    /// closed once their accept backlogs are empty.
    Serve {
        plan: Arc<Plan>,
        /// Gets a message once the plan is in force and the old listeners are closed.
        done: Sender<()>,
    },
    /// Send second descriptors of all listeners, which go on accepting.
    Duplicate(Sender<Vec<(ListenKey, io::Result<OwnedFd>)>>),
    /// List the open sessions, some in each iteration.
    List(SessionListRequest),
    /// Find or end sessions, some in each iteration.
    End(EndRequest),
    /// Answer, to show that the event loop runs.
    Ping(Sender<()>),
    /// Accept no more clients, and end with the last session. After `grace` the remaining sessions
    /// are cut off.
    Stop {
        grace: Option<Duration>,
        /// Gets a message once all listeners are closed.
        done: Sender<()>,
    },
}

/// The controller's end of a worker's mailbox. The worker ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// `None` only while it is being dropped.
    messages: Option<Arc<SyncSender<WorkerMessage>>>,
    waker: Arc<Waker>,
}

/// Asks whether a worker's event loop runs. Does not keep the mailbox alive.
#[derive(Debug, Clone)]
pub(crate) struct WorkerLiveness {
    messages: Weak<SyncSender<WorkerMessage>>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// A mailbox whose worker is woken through `poll` with `token`.
    ///
    /// # Errors
    /// The system's, if it cannot make the waker.
    pub(crate) fn new(poll: &Poll, token: Token) -> io::Result<(Mailbox, Receiver<WorkerMessage>)> {
        let waker = Arc::new(Waker::new(poll.registry(), token)?);
        let (messages, receiver) = sync_channel(CAPACITY);
        let mailbox = Mailbox {
            messages: Some(Arc::new(messages)),
            waker,
        };
        Ok((mailbox, receiver))
    }

    /// The waker of the worker's event loop.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// A handle that asks whether the worker's event loop runs.
    pub(crate) fn liveness(&self) -> WorkerLiveness {
        WorkerLiveness {
            messages: self
                .messages
                .as_ref()
                .map(Arc::downgrade)
                .unwrap_or_default(),
            waker: self.waker(),
        }
    }

    /// Posts a message. Waits while the mailbox is full.
    ///
    /// # Errors
    /// `BrokenPipe` if the worker has ended.
    pub(crate) fn post(&self, message: WorkerMessage) -> io::Result<()> {
        let messages = self.messages.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        messages
            .send(message)
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.waker.wake()
    }

    /// Posts a message if there is room: the worker may hang.
    ///
    /// # Errors
    /// `WouldBlock` if the mailbox is full, `BrokenPipe` if the worker has ended.
    pub(crate) fn try_post(&self, message: WorkerMessage) -> io::Result<()> {
        let messages = self.messages.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        messages.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => io::ErrorKind::WouldBlock,
            TrySendError::Disconnected(_) => io::ErrorKind::BrokenPipe,
        })?;
        self.waker.wake()
    }
}

impl WorkerLiveness {
    /// Tells the worker to stop. Never waits: a worker with a full mailbox gets no message.
    pub(crate) fn stop(&self, grace: Option<Duration>) {
        // Nothing waits until the listeners are closed.
        let (done, _) = channel();
        let message = WorkerMessage::Stop { grace, done };
        let messages = self.messages.upgrade();
        if messages.is_some_and(|messages| messages.try_send(message).is_ok()) {
            // Fails only if there is no event loop left to wake.
            let _ = self.waker.wake();
        }
    }

    /// Asks for an answer, which a running worker sends. An ended worker hangs up, which the
    /// watchdog accepts. Never waits: `None` if the mailbox is full, which counts as no answer.
    // Tests: who_is_gone_hangs_up_and_whose_mailbox_is_full_is_silent,
    // a_worker_that_hangs_has_the_watchdog_starve.
    pub(crate) fn ask(&self) -> Option<Receiver<()>> {
        let (alive, answer) = channel();
        if let Some(messages) = self.messages.upgrade() {
            match messages.try_send(WorkerMessage::Ping(alive)) {
                // Fails only if there is no event loop left to wake.
                Ok(()) => drop(self.waker.wake()),
                Err(TrySendError::Full(_)) => return None,
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
        Some(answer)
    }
}

impl Drop for Mailbox {
    /// Wakes the worker, which ends when it finds its mailbox disconnected.
    fn drop(&mut self) {
        self.messages = None;
        // Fails only if there is no event loop left to wake.
        let _ = self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;

    use super::*;

    #[test]
    fn who_is_gone_hangs_up_and_whose_mailbox_is_full_is_silent() {
        let poll = Poll::new().unwrap();
        let (mailbox, messages) = Mailbox::new(&poll, Token(0)).unwrap();
        let liveness = mailbox.liveness();
        let asked: Vec<_> = (0..CAPACITY).map(|_| liveness.ask().unwrap()).collect();
        assert!(liveness.ask().is_none());
        let Ok(WorkerMessage::Ping(answer)) = messages.recv() else {
            panic!("no ping came");
        };
        answer.send(()).unwrap();
        assert_eq!(asked[0].try_recv(), Ok(()));
        assert_eq!(asked[1].try_recv(), Err(TryRecvError::Empty));
        // A worker that ends hangs up on what was asked.
        drop(messages);
        assert_eq!(asked[1].recv().ok(), None);
        assert_eq!(liveness.ask().unwrap().recv().ok(), None);
        drop(mailbox);
        assert_eq!(liveness.ask().unwrap().recv().ok(), None);
    }
}
