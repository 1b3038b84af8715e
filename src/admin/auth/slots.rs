//! Waits for a slot to check a password, and checks it on a thread of low priority.
//!
//! Which check is next is decided in `limiter` and `queue`.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::credential::CredentialTag;
use super::limiter::Limiter;
use super::queue::{NotQueued, QueueStatus};
use crate::admin::server::client_address::ClientAddress;
use crate::os::resources;
use crate::sync::lock;

/// Longest wait for a check.
const MAX_WAIT: Duration = Duration::from_secs(10);

pub(super) struct CheckSlots {
    limiter: Mutex<Limiter>,
    /// A check was queued, has ended, or was removed.
    changed: Condvar,
    /// Milliseconds since any moment.
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// What became of the wait.
pub(super) enum SlotResult<'a> {
    /// The password is to be checked now.
    Check(CheckSlot<'a>),
    /// The same was checked meanwhile.
    Same,
    /// Too many wait already, or it took too long.
    Busy,
}

/// The right to check one password, until it is dropped.
pub(super) struct CheckSlot<'a> {
    slots: &'a CheckSlots,
    ticket: u64,
    cost: Cell<Duration>,
}

impl CheckSlots {
    pub(super) fn new(clock: impl Fn() -> u64 + Send + Sync + 'static) -> CheckSlots {
        CheckSlots {
            limiter: Mutex::default(),
            changed: Condvar::new(),
            clock: Box::new(clock),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        lock(&self.limiter)
    }

    /// Waits for a slot.
    pub(super) fn take(
        &self,
        address: ClientAddress,
        name: &str,
        tag: CredentialTag,
    ) -> SlotResult<'_> {
        let until = Instant::now() + MAX_WAIT;
        let now_ms = self.now_ms();
        let mut limiter = self.limiter();
        let queue_key = limiter.queue_key(address, name, now_ms);
        match limiter.push(address, name, tag, now_ms) {
            Ok(ticket) => self.wait(limiter, ticket, until),
            Err(NotQueued::Full) => SlotResult::Busy,
            Err(NotQueued::Same) => {
                let left = until.saturating_duration_since(Instant::now());
                let contains = |limiter: &mut Limiter| limiter.queue.contains(queue_key, &tag);
                let waits = self.changed.wait_timeout_while(limiter, left, contains);
                drop(waits);
                SlotResult::Same
            }
        }
    }

    fn wait<'a>(
        &'a self,
        mut limiter: MutexGuard<'a, Limiter>,
        ticket: u64,
        until: Instant,
    ) -> SlotResult<'a> {
        // A check that was evicted for this one wakes up.
        self.changed.notify_all();
        loop {
            let later = match limiter.queue.try_start(ticket, self.now_ms()) {
                QueueStatus::Started => break,
                QueueStatus::Evicted => return SlotResult::Busy,
                QueueStatus::Later(ms) => Duration::from_millis(ms),
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                limiter.queue.remove(ticket);
                drop(limiter);
                self.changed.notify_all();
                return SlotResult::Busy;
            }
            let waits = self.changed.wait_timeout(limiter, later.min(left));
            limiter = waits.unwrap_or_else(PoisonError::into_inner).0;
        }
        SlotResult::Check(CheckSlot {
            slots: self,
            ticket,
            cost: Cell::default(),
        })
    }
}

impl CheckSlot<'_> {
    /// Checks on a thread of lower priority than the workers. If the system has no thread, this
    /// one does it.
    pub(super) fn check(&self, fits: impl Fn() -> bool + Sync) -> bool {
        let (done, cost) = thread::scope(|scope| {
            let name = thread::Builder::new().name("password".to_owned());
            let work = || {
                resources::lower_thread_priority();
                measure(&fits)
            };
            let done = name.spawn_scoped(scope, work);
            // A panic is reported by the panic guard, and is no right password.
            done.map_or_else(
                |_| measure(&fits),
                |it| it.join().unwrap_or((false, Duration::ZERO)),
            )
        });
        self.cost.set(cost);
        done
    }
}

/// The result, and the processor time that it took.
fn measure(work: impl Fn() -> bool) -> (bool, Duration) {
    let (begun, spent) = (Instant::now(), resources::thread_cpu_time());
    let done = work();
    let used = resources::thread_cpu_time().zip(spent);
    let cost = used.map(|(now, then)| now.saturating_sub(then));
    (done, cost.unwrap_or_else(|| begun.elapsed()))
}

impl Drop for CheckSlot<'_> {
    fn drop(&mut self) {
        let now_ms = self.slots.now_ms();
        let mut limiter = self.slots.limiter();
        limiter.queue.finish(self.ticket, self.cost.get(), now_ms);
        drop(limiter);
        self.slots.changed.notify_all();
    }
}
