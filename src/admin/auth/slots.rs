//! Waiting for the turn to have a password checked, over all doors.
//!
//! Whose turn it is is `limiter`'s business. Here are the lock, the waiting, and the thread
//! that checks.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::credential::Tag;
use super::limiter::Limiter;
use super::queue::{NotQueued, Standing};
use crate::admin::server::client_address::Source;
use crate::admin::server::lock;
use crate::os::threads;

/// How long anybody waits before they are turned away.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Slots {
    limiter: Mutex<Limiter>,
    /// Somebody has entered, ended or left.
    moved: Condvar,
    /// Milliseconds since some moment.
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// What came of waiting.
pub(super) enum Turn<'a> {
    /// The password is to be checked now.
    Check(Slot<'a>),
    /// The same was checked meanwhile.
    Same,
    /// Too many wait already, or it takes too long.
    Busy,
}

/// The right to check one password, until it is dropped.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    ticket: u64,
    cost: Cell<Duration>,
}

impl Slots {
    pub(super) fn new(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Slots {
        Slots {
            limiter: Mutex::default(),
            moved: Condvar::new(),
            clock: Box::new(clock),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        lock(&self.limiter)
    }

    /// Waits for the turn to have this checked.
    pub(super) fn take(&self, source: Source, name: &str, tag: Tag) -> Turn<'_> {
        let until = Instant::now() + PATIENCE;
        let now_ms = self.now_ms();
        let mut limiter = self.limiter();
        let lane = limiter.lane(source, name, now_ms);
        match limiter.enter(source, name, tag, now_ms) {
            Ok(ticket) => self.wait(limiter, ticket, until),
            Err(NotQueued::Full) => Turn::Busy,
            Err(NotQueued::Same) => {
                let left = until.saturating_duration_since(Instant::now());
                let is_there = |limiter: &mut Limiter| limiter.queue.is_there(lane, &tag);
                let waits = self.moved.wait_timeout_while(limiter, left, is_there);
                drop(waits);
                Turn::Same
            }
        }
    }

    fn wait<'a>(
        &'a self,
        mut limiter: MutexGuard<'a, Limiter>,
        ticket: u64,
        until: Instant,
    ) -> Turn<'a> {
        // Who had to make room for this one is told so.
        self.moved.notify_all();
        loop {
            let later = match limiter.queue.begin(ticket, self.now_ms()) {
                Standing::Begun => break,
                Standing::Displaced => return Turn::Busy,
                Standing::Later(ms) => Duration::from_millis(ms),
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                limiter.queue.leave(ticket);
                drop(limiter);
                self.moved.notify_all();
                return Turn::Busy;
            }
            let waits = self.moved.wait_timeout(limiter, later.min(left));
            limiter = waits.unwrap_or_else(PoisonError::into_inner).0;
        }
        Turn::Check(Slot {
            slots: self,
            ticket,
            cost: Cell::default(),
        })
    }
}

impl Slot<'_> {
    /// Checks something on a thread that is nicer than those that balance. Where the system
    /// has no thread, this one does it.
    pub(super) fn check(&self, fits: impl Fn() -> bool + Sync) -> bool {
        let (done, cost) = thread::scope(|scope| {
            let name = thread::Builder::new().name("password".to_owned());
            let work = || {
                threads::lower_priority();
                timed(&fits)
            };
            let done = name.spawn_scoped(scope, work);
            // A panic in there has been heard of, and is no right password.
            done.map_or_else(
                |_| timed(&fits),
                |it| it.join().unwrap_or((false, Duration::ZERO)),
            )
        });
        self.cost.set(cost);
        done
    }
}

/// What came of it, and how much of a processor that took.
fn timed(work: impl Fn() -> bool) -> (bool, Duration) {
    let (begun, spent) = (Instant::now(), threads::processor_time());
    let done = work();
    let used = threads::processor_time().zip(spent);
    let cost = used.map(|(now, then)| now.saturating_sub(then));
    (done, cost.unwrap_or_else(|| begun.elapsed()))
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let now_ms = self.slots.now_ms();
        let mut limiter = self.slots.limiter();
        limiter.queue.end(self.ticket, self.cost.get(), now_ms);
        drop(limiter);
        self.slots.moved.notify_all();
    }
}
