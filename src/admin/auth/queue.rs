//! Whose password is checked next, and how much of a processor that may take.
//!
//! Pure: the time is an argument, in milliseconds since any moment; nobody waits in here and
//! nothing is checked.

use std::net::IpAddr;
use std::time::Duration;

use super::credential::Tag;
use crate::admin::server::client_address::Net;

/// Checks at the same time: each takes a processor for as long as it lasts, and
/// those are there for balancing.
pub(super) const AT_ONCE: usize = 2;

/// Those of them for strangers: who has not logged in from their address before.
const STRANGERS_AT_ONCE: usize = 1;

/// Strangers who may wait for a check.
pub(super) const MOST_STRANGERS: usize = 16;

/// Others who may wait for one.
const MOST_PROVEN: usize = 16;

/// Checks for strangers take a fifth of one processor in the long run.
const SHARE: u64 = 5;

/// What they may take at once after a quiet time, in microseconds.
const BURST_US: i64 = 1_000_000;

/// Somebody whose password is to be checked.
pub(super) struct Entrant {
    pub(super) lane: Lane,
    /// How suspect they are.
    pub(super) suspicion: u32,
    /// What they want to have checked.
    pub(super) tag: Tag,
}

/// At most one waits in each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// A user who has logged in from this address before.
    Proven(IpAddr),
    /// Anybody else in this network.
    Stranger(Net),
}

/// Why somebody does not wait for a check of their own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotQueued {
    /// The same is being checked for the same place already: what comes of it is theirs too.
    Same,
    /// Somebody else waits in their lane, or too many do in others.
    Full,
}

/// How it stands with somebody who waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is their turn: it has begun.
    Begun,
    /// Not before so many milliseconds have passed or somebody else has ended.
    Later(u64),
    /// They had to make room.
    Displaced,
}

#[derive(Default)]
pub(super) struct Queue {
    /// In the order of their coming.
    waiting: Vec<Place>,
    running: Vec<Place>,
    budget: Budget,
    last_ticket: u64,
}

struct Place {
    ticket: u64,
    class: u32,
    entrant: Entrant,
}

impl Place {
    fn is_stranger(&self) -> bool {
        matches!(self.entrant.lane, Lane::Stranger(_))
    }
}

impl Queue {
    /// Takes somebody in; the answer is the ticket that they are known by.
    ///
    /// # Errors
    /// They are not to wait.
    pub(super) fn enter(&mut self, entrant: Entrant) -> Result<u64, NotQueued> {
        if self.is_there(entrant.lane, &entrant.tag) {
            return Err(NotQueued::Same);
        }
        let place = Place {
            ticket: self.last_ticket + 1,
            class: class(entrant.suspicion),
            entrant,
        };
        let mut waiting = self.waiting.iter();
        if waiting.any(|it| it.entrant.lane == place.entrant.lane) {
            return Err(NotQueued::Full);
        }
        self.make_room(&place)?;
        self.last_ticket = place.ticket;
        let ticket = place.ticket;
        self.waiting.push(place);
        Ok(ticket)
    }

    /// Whether just this waits, or is being checked, for that lane.
    pub(super) fn is_there(&self, lane: Lane, tag: &Tag) -> bool {
        let mut all = self.waiting.iter().chain(&self.running);
        all.any(|it| it.entrant.lane == lane && it.entrant.tag.is(tag))
    }

    /// Begins the check of whoever has this ticket, if it is their turn.
    pub(super) fn begin(&mut self, ticket: u64, now_ms: u64) -> Standing {
        /// In which nothing changes by itself.
        const LONG_MS: u64 = 1000;
        let Some(own) = self.waiting.iter().position(|it| it.ticket == ticket) else {
            return Standing::Displaced;
        };
        let is_stranger = self.waiting[own].is_stranger();
        let strangers = self.running.iter().filter(|it| it.is_stranger()).count();
        if self.running.len() >= AT_ONCE || (is_stranger && strangers >= STRANGERS_AT_ONCE) {
            return Standing::Later(LONG_MS);
        }
        if is_stranger && let Err(left_ms) = self.budget.has_some(now_ms) {
            return Standing::Later(left_ms);
        }
        // The sort is stable in effect: of the first class, the first that came.
        let next = self
            .waiting
            .iter()
            .filter(|it| it.is_stranger() == is_stranger)
            .min_by_key(|it| (it.class, it.ticket));
        if next.is_some_and(|it| it.ticket != ticket) {
            return Standing::Later(LONG_MS);
        }
        let place = self.waiting.remove(own);
        self.running.push(place);
        Standing::Begun
    }

    /// The check of whoever has this ticket is over, and took so much of a processor.
    pub(super) fn end(&mut self, ticket: u64, cost: Duration, now_ms: u64) {
        let Some(own) = self.running.iter().position(|it| it.ticket == ticket) else {
            return;
        };
        if self.running.remove(own).is_stranger() {
            self.budget.spend(cost, now_ms);
        }
    }

    /// Whoever has this ticket waits no longer.
    pub(super) fn leave(&mut self, ticket: u64) {
        self.waiting.retain(|it| it.ticket != ticket);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Where nobody else may wait, the last of the worst class has to leave, if the newcomer is
    /// of a better one.
    fn make_room(&mut self, newcomer: &Place) -> Result<(), NotQueued> {
        let most = match newcomer.is_stranger() {
            true => MOST_STRANGERS,
            false => MOST_PROVEN,
        };
        let alike = || {
            let all = self.waiting.iter();
            all.filter(|it| it.is_stranger() == newcomer.is_stranger())
        };
        if alike().count() < most {
            return Ok(());
        }
        let worst = alike().max_by_key(|it| (it.class, it.ticket));
        let worst = worst.filter(|it| it.class > newcomer.class);
        let ticket = worst.map(|it| it.ticket).ok_or(NotQueued::Full)?;
        self.leave(ticket);
        Ok(())
    }
}

/// Who is suspect comes after who is less so; four times as much is a class.
fn class(suspicion: u32) -> u32 {
    (u32::BITS - suspicion.leading_zeros()).div_ceil(2)
}

/// What may be spent on strangers.
#[derive(Default)]
struct Budget {
    /// Spent beyond what has been earned by then.
    debt_us: i64,
    then_ms: u64,
}

impl Budget {
    /// Whether there is something left to spend.
    ///
    /// # Errors
    /// The milliseconds until there is.
    fn has_some(&mut self, now_ms: u64) -> Result<(), u64> {
        self.earn(now_ms);
        let missing = u64::try_from(self.debt_us - BURST_US + 1).unwrap_or(0);
        match (missing * SHARE).div_ceil(1000) {
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
        let earned_us = now_ms.saturating_sub(self.then_ms).saturating_mul(1000) / SHARE;
        let earned_us = i64::try_from(earned_us).unwrap_or(i64::MAX);
        self.debt_us = self.debt_us.saturating_sub(earned_us).max(0);
        self.then_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::auth::credential::Key;
    use crate::admin::server::client_address::Source;

    fn tag(password: &str) -> Tag {
        Key::of(1).tag("ann", password)
    }

    fn stranger(site: u8, suspicion: u32) -> Entrant {
        Entrant {
            lane: Lane::Stranger(Source::of([10, 0, site, 1].into()).site()),
            suspicion,
            tag: tag("wrong"),
        }
    }

    fn proven(last: u8) -> Entrant {
        Entrant {
            lane: Lane::Proven([192, 0, 2, last].into()),
            suspicion: 0,
            tag: tag("right"),
        }
    }

    const NOTHING: Duration = Duration::ZERO;

    #[test]
    fn one_waits_in_each_lane_and_who_asks_for_the_same_waits_for_that() {
        let mut queue = Queue::default();
        let first = queue.enter(stranger(1, 0)).unwrap();
        assert_eq!(queue.enter(stranger(1, 0)), Err(NotQueued::Same));
        let other = || Entrant {
            tag: tag("another"),
            ..stranger(1, 0)
        };
        assert_eq!(queue.enter(other()), Err(NotQueued::Full));
        assert!(queue.enter(stranger(2, 0)).is_ok());
        assert_eq!(queue.begin(first, 0), Standing::Begun);
        // Who is being checked does not wait.
        assert_eq!(queue.enter(stranger(1, 0)), Err(NotQueued::Same));
        assert!(queue.enter(other()).is_ok());
        queue.end(first, NOTHING, 0);
        assert!(!queue.is_there(stranger(1, 0).lane, &tag("wrong")));
    }

    #[test]
    fn strangers_have_one_check_at_a_time_and_who_was_there_before_has_the_other() {
        let mut queue = Queue::default();
        let strangers = [1, 2].map(|site| queue.enter(stranger(site, 0)).unwrap());
        let proven = [1, 2].map(|last| queue.enter(proven(last)).unwrap());
        assert_eq!(queue.begin(strangers[0], 0), Standing::Begun);
        assert!(matches!(queue.begin(strangers[1], 0), Standing::Later(_)));
        assert!(matches!(queue.begin(proven[1], 0), Standing::Later(_)));
        assert_eq!(queue.begin(proven[0], 0), Standing::Begun);
        assert!(matches!(queue.begin(proven[1], 0), Standing::Later(_)));
        queue.end(strangers[0], NOTHING, 0);
        assert_eq!(queue.begin(proven[1], 0), Standing::Begun);
    }

    #[test]
    fn who_is_not_suspect_comes_first_and_displaces_the_last_who_is() {
        let mut queue = Queue::default();
        let sites = 0..u8::try_from(MOST_STRANGERS).unwrap();
        let tickets: Vec<_> = sites
            .map(|site| queue.enter(stranger(site, 9)).unwrap())
            .collect();
        assert_eq!(queue.enter(stranger(99, 9)), Err(NotQueued::Full));
        assert!(queue.enter(proven(1)).is_ok());
        let fresh = queue.enter(stranger(100, 0)).unwrap();
        assert_eq!(queue.begin(tickets[15], 0), Standing::Displaced);
        assert!(matches!(queue.begin(tickets[0], 0), Standing::Later(_)));
        assert_eq!(queue.begin(fresh, 0), Standing::Begun);
        queue.end(fresh, NOTHING, 0);
        assert_eq!(queue.begin(tickets[0], 0), Standing::Begun);
    }

    #[test]
    fn who_waits_no_longer_makes_room() {
        let mut queue = Queue::default();
        let ticket = queue.enter(stranger(1, 0)).unwrap();
        queue.leave(ticket);
        assert_eq!(queue.begin(ticket, 0), Standing::Displaced);
        assert!(queue.enter(stranger(1, 0)).is_ok());
    }

    #[test]
    fn strangers_have_a_fifth_of_a_processor_and_others_are_not_counted() {
        let mut queue = Queue::default();
        let mut spent_ms = 0;
        for now_ms in 0..60_000 {
            let Ok(ticket) = queue.enter(stranger(1, 0)) else {
                continue;
            };
            if queue.begin(ticket, now_ms) == Standing::Begun {
                queue.end(ticket, Duration::from_millis(27), now_ms);
                spent_ms += 27;
            }
            queue.leave(ticket);
        }
        // A second at once, and what is earned in a minute.
        assert!((12_900..13_100).contains(&spent_ms), "{spent_ms}");
        let ticket = queue.enter(proven(1)).unwrap();
        assert_eq!(queue.begin(ticket, 60_000), Standing::Begun);
        queue.end(ticket, Duration::from_secs(9), 60_000);
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
