//! The queue of password checks: whose password is checked next, and how much of a processor that
//! may take.
//!
//! Pure: time is an argument, in milliseconds since an arbitrary start.

use std::net::IpAddr;
use std::time::Duration;

use super::credential::CredentialTag;
use crate::admin::server::client_address::Network;

/// Checks at a time. Each takes a processor, and processors are there for balancing.
pub(super) const MAX_CHECKS: usize = 2;

/// Checks at a time for users who have not logged in from their address before.
/// With two, first come first served, 40 clients kept the right password out in 20 of 20 tries:
/// it did not lack a processor, but a place in the queue.
/// Tests: `unknown_logins_have_one_check_at_a_time_and_known_ones_the_other`,
/// `administrators_get_in_and_attackers_get_their_share_and_no_more`.
const MAX_UNKNOWN_CHECKS: usize = 1;

/// Waiting checks for unknown addresses.
pub(super) const MAX_UNKNOWN_WAITING: usize = 16;

/// Waiting checks for known logins.
const MAX_KNOWN_WAITING: usize = 16;

/// Checks for unknown addresses take a fifth of one processor in the long run.
const CPU_SHARE_DIVISOR: u64 = 5;

/// What these may take at once after a quiet time, in microseconds.
const BURST_US: i64 = 1_000_000;

/// A password to be checked.
pub(super) struct CheckRequest {
    pub(super) queue_key: QueueKey,
    /// How suspect the address is; 0 is not at all.
    pub(super) suspicion: u32,
    /// The user and password.
    pub(super) tag: CredentialTag,
}

/// At most one check waits for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueKey {
    /// A user who has logged in from this address before.
    KnownLogin(IpAddr),
    /// Any other user in this network.
    Unknown(Network),
}

/// Why a check is not queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotQueued {
    /// The same is being checked for the same key: its result counts for both.
    Same,
    /// Another check waits for this key, or too many wait for others.
    Full,
}

/// State of a waiting check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueStatus {
    /// It has started.
    Started,
    /// Not before this many milliseconds have passed, or another check has ended.
    Later(u64),
    /// It was evicted for one that is less suspect.
    Evicted,
}

#[derive(Default)]
pub(super) struct Queue {
    /// In the order of arrival.
    waiting: Vec<QueueEntry>,
    running: Vec<QueueEntry>,
    budget: Budget,
    last_ticket: u64,
}

struct QueueEntry {
    ticket: u64,
    class: u32,
    request: CheckRequest,
}

impl QueueEntry {
    fn is_unknown(&self) -> bool {
        matches!(self.request.queue_key, QueueKey::Unknown(_))
    }
}

impl Queue {
    /// Queues a check. Returns its ticket.
    ///
    /// # Errors
    /// It is not queued.
    pub(super) fn push(&mut self, request: CheckRequest) -> Result<u64, NotQueued> {
        if self.contains(request.queue_key, &request.tag) {
            return Err(NotQueued::Same);
        }
        let entry = QueueEntry {
            ticket: self.last_ticket + 1,
            class: class(request.suspicion),
            request,
        };
        let mut waiting = self.waiting.iter();
        if waiting.any(|it| it.request.queue_key == entry.request.queue_key) {
            return Err(NotQueued::Full);
        }
        self.evict(&entry)?;
        self.last_ticket = entry.ticket;
        let ticket = entry.ticket;
        self.waiting.push(entry);
        Ok(ticket)
    }

    /// Whether this very check waits or runs for that key.
    pub(super) fn contains(&self, queue_key: QueueKey, tag: &CredentialTag) -> bool {
        let mut all = self.waiting.iter().chain(&self.running);
        all.any(|it| it.request.queue_key == queue_key && it.request.tag.is_equal_to(tag))
    }

    /// Starts the check with this ticket, if it is next.
    pub(super) fn try_start(&mut self, ticket: u64, now_ms: u64) -> QueueStatus {
        /// Nothing changes by itself for so long.
        const LONG_MS: u64 = 1000;
        let Some(own) = self.waiting.iter().position(|it| it.ticket == ticket) else {
            return QueueStatus::Evicted;
        };
        let is_unknown = self.waiting[own].is_unknown();
        let unknown = self.running.iter().filter(|it| it.is_unknown()).count();
        if self.running.len() >= MAX_CHECKS || (is_unknown && unknown >= MAX_UNKNOWN_CHECKS) {
            return QueueStatus::Later(LONG_MS);
        }
        if is_unknown && let Err(left_ms) = self.budget.has_some(now_ms) {
            return QueueStatus::Later(left_ms);
        }
        // Of the least suspect class, the first that came.
        let next = self
            .waiting
            .iter()
            .filter(|it| it.is_unknown() == is_unknown)
            .min_by_key(|it| (it.class, it.ticket));
        if next.is_some_and(|it| it.ticket != ticket) {
            return QueueStatus::Later(LONG_MS);
        }
        let entry = self.waiting.remove(own);
        self.running.push(entry);
        QueueStatus::Started
    }

    /// The check with this ticket has ended, and took so much of a processor.
    pub(super) fn finish(&mut self, ticket: u64, cost: Duration, now_ms: u64) {
        let Some(own) = self.running.iter().position(|it| it.ticket == ticket) else {
            return;
        };
        if self.running.remove(own).is_unknown() {
            self.budget.spend(cost, now_ms);
        }
    }

    /// Removes the check with this ticket.
    pub(super) fn remove(&mut self, ticket: u64) {
        self.waiting.retain(|it| it.ticket != ticket);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// If the queue is full, evicts the last check of the most suspect class, if `new` is of a
    /// better one.
    fn evict(&mut self, new: &QueueEntry) -> Result<(), NotQueued> {
        let most = match new.is_unknown() {
            true => MAX_UNKNOWN_WAITING,
            false => MAX_KNOWN_WAITING,
        };
        let alike = || {
            let all = self.waiting.iter();
            all.filter(|it| it.is_unknown() == new.is_unknown())
        };
        if alike().count() < most {
            return Ok(());
        }
        let worst = alike().max_by_key(|it| (it.class, it.ticket));
        let worst = worst.filter(|it| it.class > new.class);
        let ticket = worst.map(|it| it.ticket).ok_or(NotQueued::Full)?;
        self.remove(ticket);
        Ok(())
    }
}

/// Classes of suspicion: four times as much is the next class.
fn class(suspicion: u32) -> u32 {
    (u32::BITS - suspicion.leading_zeros()).div_ceil(2)
}

/// Processor time for unknown addresses.
#[derive(Default)]
struct Budget {
    /// Time spent beyond what has been earned until `then_ms`.
    debt_us: i64,
    then_ms: u64,
}

impl Budget {
    /// Whether there is time left to spend.
    ///
    /// # Errors
    /// The milliseconds until there is.
    fn has_some(&mut self, now_ms: u64) -> Result<(), u64> {
        self.earn(now_ms);
        let missing = u64::try_from(self.debt_us - BURST_US + 1).unwrap_or(0);
        match (missing * CPU_SHARE_DIVISOR).div_ceil(1000) {
            0 => Ok(()),
            left_ms => Err(left_ms),
        }
    }

    fn spend(&mut self, cost: Duration, now_ms: u64) {
        self.earn(now_ms);
        let cost = i64::try_from(cost.as_micros()).unwrap_or(i64::MAX);
        self.debt_us = self.debt_us.saturating_add(cost);
    }

    fn earn(&mut self, now_ms: u64) {
        let earned_us =
            now_ms.saturating_sub(self.then_ms).saturating_mul(1000) / CPU_SHARE_DIVISOR;
        let earned_us = i64::try_from(earned_us).unwrap_or(i64::MAX);
        self.debt_us = self.debt_us.saturating_sub(earned_us).max(0);
        self.then_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::auth::credential::ProcessKey;
    use crate::admin::server::client_address::ClientAddress;

    fn tag(password: &str) -> CredentialTag {
        ProcessKey::of(1).tag("ann", password)
    }

    fn unknown(site: u8, suspicion: u32) -> CheckRequest {
        CheckRequest {
            queue_key: QueueKey::Unknown(ClientAddress::of([10, 0, site, 1].into()).site()),
            suspicion,
            tag: tag("wrong"),
        }
    }

    fn known(last: u8) -> CheckRequest {
        CheckRequest {
            queue_key: QueueKey::KnownLogin([192, 0, 2, last].into()),
            suspicion: 0,
            tag: tag("right"),
        }
    }

    const NOTHING: Duration = Duration::ZERO;

    #[test]
    fn one_check_waits_for_each_key_and_the_same_login_shares_it() {
        let mut queue = Queue::default();
        let first = queue.push(unknown(1, 0)).unwrap();
        assert_eq!(queue.push(unknown(1, 0)), Err(NotQueued::Same));
        let other = || CheckRequest {
            tag: tag("another"),
            ..unknown(1, 0)
        };
        assert_eq!(queue.push(other()), Err(NotQueued::Full));
        assert!(queue.push(unknown(2, 0)).is_ok());
        assert_eq!(queue.try_start(first, 0), QueueStatus::Started);
        // A check that runs does not wait.
        assert_eq!(queue.push(unknown(1, 0)), Err(NotQueued::Same));
        assert!(queue.push(other()).is_ok());
        queue.finish(first, NOTHING, 0);
        assert!(!queue.contains(unknown(1, 0).queue_key, &tag("wrong")));
    }

    #[test]
    fn unknown_logins_have_one_check_at_a_time_and_known_ones_the_other() {
        let mut queue = Queue::default();
        let unknown = [1, 2].map(|site| queue.push(unknown(site, 0)).unwrap());
        let known = [1, 2].map(|last| queue.push(known(last)).unwrap());
        assert_eq!(queue.try_start(unknown[0], 0), QueueStatus::Started);
        assert!(matches!(
            queue.try_start(unknown[1], 0),
            QueueStatus::Later(_)
        ));
        assert!(matches!(
            queue.try_start(known[1], 0),
            QueueStatus::Later(_)
        ));
        assert_eq!(queue.try_start(known[0], 0), QueueStatus::Started);
        assert!(matches!(
            queue.try_start(known[1], 0),
            QueueStatus::Later(_)
        ));
        queue.finish(unknown[0], NOTHING, 0);
        assert_eq!(queue.try_start(known[1], 0), QueueStatus::Started);
    }

    #[test]
    fn the_least_suspect_is_checked_first_and_evicts_the_most_suspect() {
        let mut queue = Queue::default();
        let sites = 0..u8::try_from(MAX_UNKNOWN_WAITING).unwrap();
        let tickets: Vec<_> = sites
            .map(|site| queue.push(unknown(site, 9)).unwrap())
            .collect();
        assert_eq!(queue.push(unknown(99, 9)), Err(NotQueued::Full));
        assert!(queue.push(known(1)).is_ok());
        let fresh = queue.push(unknown(100, 0)).unwrap();
        assert_eq!(queue.try_start(tickets[15], 0), QueueStatus::Evicted);
        assert!(matches!(
            queue.try_start(tickets[0], 0),
            QueueStatus::Later(_)
        ));
        assert_eq!(queue.try_start(fresh, 0), QueueStatus::Started);
        queue.finish(fresh, NOTHING, 0);
        assert_eq!(queue.try_start(tickets[0], 0), QueueStatus::Started);
    }

    #[test]
    fn a_check_that_is_no_longer_waited_for_leaves_the_queue() {
        let mut queue = Queue::default();
        let ticket = queue.push(unknown(1, 0)).unwrap();
        queue.remove(ticket);
        assert_eq!(queue.try_start(ticket, 0), QueueStatus::Evicted);
        assert!(queue.push(unknown(1, 0)).is_ok());
    }

    #[test]
    fn unknown_logins_have_a_fifth_of_a_processor_and_known_ones_are_not_counted() {
        let mut queue = Queue::default();
        let mut spent_ms = 0;
        for now_ms in 0..60_000 {
            let Ok(ticket) = queue.push(unknown(1, 0)) else {
                continue;
            };
            if queue.try_start(ticket, now_ms) == QueueStatus::Started {
                queue.finish(ticket, Duration::from_millis(27), now_ms);
                spent_ms += 27;
            }
            queue.remove(ticket);
        }
        // A second at once, and what is earned in a minute.
        assert!((12_900..13_100).contains(&spent_ms), "{spent_ms}");
        let ticket = queue.push(known(1)).unwrap();
        assert_eq!(queue.try_start(ticket, 60_000), QueueStatus::Started);
        queue.finish(ticket, Duration::from_secs(9), 60_000);
        assert_eq!(queue.budget.has_some(60_200), Ok(()));
    }

    #[test]
    fn a_costly_check_is_paid_for_before_the_next() {
        let mut budget = Budget::default();
        budget.spend(Duration::from_millis(3000), 0);
        assert_eq!(budget.has_some(0), Err(10_001));
        assert_eq!(budget.has_some(10_001), Ok(()));
    }
}
