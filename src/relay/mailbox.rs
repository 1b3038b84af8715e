//! How the director reaches a worker: a bounded mailbox with acknowledgements.
//!
//! Posting waits for room; a worker never waits for anybody. What an order means is the worker's business.

use std::io;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mio::{Poll, Token, Waker};

use super::listener::ListenKey;
use super::listing::Listing;
use super::plan::Plan;

/// Orders that may wait in a mailbox.
const CAPACITY: usize = 16;

/// What a worker can be told.
#[derive(Debug)]
pub(crate) enum WorkerMessage {
    /// Serve this from now on; listeners that it does not have are closed once
    /// their queues are empty.
    Serve {
        plan: Arc<Plan>,
        /// This worker's sockets for the listeners that are new.
        opened: Vec<(ListenKey, TcpListener)>,
        /// Told once it is in force.
        done: Sender<()>,
    },
    /// List your sessions, some at a time.
    List(Listing),
    /// Say that you are there.
    Answer(Sender<()>),
    /// Accept nobody any more, and end once the last session has; whoever is
    /// left after `grace` is cut off.
    Stop {
        grace: Option<Duration>,
        /// Told once all listeners are closed.
        done: Sender<()>,
    },
}

/// The director's end of a worker's mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// `None` only while it is being dropped.
    orders: Option<Arc<SyncSender<WorkerMessage>>>,
    waker: Arc<Waker>,
}

/// Whether a worker goes round, for who has nothing else to say to it. Does not keep
/// the mailbox.
#[derive(Debug, Clone)]
pub(crate) struct WorkerLiveness {
    orders: Weak<SyncSender<WorkerMessage>>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// A mailbox whose worker is woken through `poll` with `token`.
    pub(crate) fn new(poll: &Poll, token: Token) -> io::Result<(Mailbox, Receiver<WorkerMessage>)> {
        let waker = Arc::new(Waker::new(poll.registry(), token)?);
        let (orders, receiver) = sync_channel(CAPACITY);
        let mailbox = Mailbox {
            orders: Some(Arc::new(orders)),
            waker,
        };
        Ok((mailbox, receiver))
    }

    /// What wakes the worker, for others that have something for it.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// A way to find out whether the worker goes round.
    pub(crate) fn pulse(&self) -> WorkerLiveness {
        WorkerLiveness {
            orders: self.orders.as_ref().map(Arc::downgrade).unwrap_or_default(),
            waker: self.waker(),
        }
    }

    /// Posts an order.
    ///
    /// # Errors
    /// `BrokenPipe` if the worker is no more.
    pub(crate) fn post(&self, order: WorkerMessage) -> io::Result<()> {
        let orders = self.orders.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        orders.send(order).map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.waker.wake()
    }
}

impl WorkerLiveness {
    /// Tells the worker to stop, as an order does, but never waits: one whose mailbox is full
    /// does not hear of it.
    pub(crate) fn stop(&self, grace: Option<Duration>) {
        // Nobody waits to hear that the listeners are closed.
        let (done, _) = channel();
        let order = WorkerMessage::Stop { grace, done };
        let orders = self.orders.upgrade();
        if orders.is_some_and(|orders| orders.try_send(order).is_ok()) {
            // Fails only where there is nothing left to wake.
            let _ = self.waker.wake();
        }
    }

    /// Asks for a sign of life, which comes or does not; a worker that is gone hangs up.
    /// Never waits: `None` of one whose mailbox is full, which is as good as silent.
    pub(crate) fn ask(&self) -> Option<Receiver<()>> {
        let (alive, sign) = channel();
        if let Some(orders) = self.orders.upgrade() {
            match orders.try_send(WorkerMessage::Answer(alive)) {
                // Fails only where there is nothing left to wake.
                Ok(()) => drop(self.waker.wake()),
                Err(TrySendError::Full(_)) => return None,
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
        Some(sign)
    }
}

impl Drop for Mailbox {
    /// Without its mailbox a worker ends: it is woken to find that out.
    fn drop(&mut self) {
        self.orders = None;
        // Fails only where there is nothing left to wake.
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
        let (mailbox, orders) = Mailbox::new(&poll, Token(0)).unwrap();
        let pulse = mailbox.pulse();
        let asked: Vec<_> = (0..CAPACITY).map(|_| pulse.ask().unwrap()).collect();
        assert!(pulse.ask().is_none());
        let Ok(WorkerMessage::Answer(sign)) = orders.recv() else {
            panic!("nobody asked");
        };
        sign.send(()).unwrap();
        assert_eq!(asked[0].try_recv(), Ok(()));
        assert_eq!(asked[1].try_recv(), Err(TryRecvError::Empty));
        // Whoever goes leaves what is asked of them unanswered.
        drop(orders);
        assert_eq!(asked[1].recv().ok(), None);
        assert_eq!(pulse.ask().unwrap().recv().ok(), None);
        drop(mailbox);
        assert_eq!(pulse.ask().unwrap().recv().ok(), None);
    }
}
