//! Deadlines of connections: a hierarchical timer wheel with one timer for each slot of the slab.
//!
//! Arming, moving and cancelling cost a few writes and no allocation, so even a short session can
//! afford a connect timeout. Pure: time is an argument.

/// The resolution of the wheel. A timer fires within this time after its deadline, never before.
pub(crate) const TICK_MS: u64 = 8;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Four levels of 64 slots of 8 ms reach 37 hours. A later timer waits in the last slot and moves
/// on from there.
const LEVELS: usize = 4;
const NO_KEY: u32 = u32::MAX;
const NO_SLOT: u16 = u16::MAX;

/// The timers, one for each key. Keys are small numbers: slots of the slab.
#[derive(Debug)]
pub(crate) struct TimerWheel {
    nodes: Vec<Node>,
    heads: [u32; SLOTS * LEVELS],
    /// A bit for each slot of a level that may hold a timer.
    occupied: [u64; LEVELS],
    /// All ticks before this one have expired.
    tick: u64,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    next: u32,
    previous: u32,
    at_tick: u64,
    slot_index: u16,
}

const UNARMED: Node = Node {
    next: NO_KEY,
    previous: NO_KEY,
    at_tick: 0,
    slot_index: NO_SLOT,
};

impl TimerWheel {
    /// No timers; the time is `now_ms`.
    pub(crate) fn new(now_ms: u64) -> TimerWheel {
        TimerWheel {
            nodes: Vec::new(),
            heads: [NO_KEY; SLOTS * LEVELS],
            occupied: [0; LEVELS],
            tick: now_ms / TICK_MS,
        }
    }

    /// Arms the timer of `key`, or moves it.
    pub(crate) fn arm(&mut self, key: u32, at_ms: u64) {
        let index = key as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, UNARMED);
        }
        self.cancel(key);
        self.nodes[index].at_tick = at_ms.div_ceil(TICK_MS).max(self.tick);
        self.slot_index(key);
    }

    /// When the timer of `key` fires, if it is armed.
    pub(crate) fn armed_ms(&self, key: u32) -> Option<u64> {
        let node = self.nodes.get(key as usize)?;
        (node.slot_index != NO_SLOT).then_some(node.at_tick * TICK_MS)
    }

    /// Disarms the timer of `key`, if it is armed.
    pub(crate) fn cancel(&mut self, key: u32) {
        let Some(&node) = self.nodes.get(key as usize) else {
            return;
        };
        if node.slot_index == NO_SLOT {
            return;
        }
        match self.nodes.get_mut(node.previous as usize) {
            Some(previous) => previous.next = node.next,
            None => self.heads[node.slot_index as usize] = node.next,
        }
        if let Some(next) = self.nodes.get_mut(node.next as usize) {
            next.previous = node.previous;
        }
        self.nodes[key as usize] = UNARMED;
    }

    /// Disarms every timer that is due and puts its key into `due`.
    pub(crate) fn expire(&mut self, now_ms: u64, due: &mut Vec<u32>) {
        let now_tick = now_ms / TICK_MS;
        while self.tick <= now_tick {
            self.cascade();
            let slot = slot_of(self.tick, 0);
            self.occupied[0] &= !(1 << slot);
            while let Some(key) = self.pop(slot) {
                due.push(key);
            }
            self.tick = self.next_tick().min(now_tick + 1);
        }
    }

    /// When to call `expire` next. Never after the first deadline, though it may find none due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let armed = self.occupied.iter().any(|&slots| slots != 0);
        armed.then(|| self.next_tick_from(self.tick) * TICK_MS)
    }

    /// The first tick after the current one at which a slot may have to be emptied.
    fn next_tick(&self) -> u64 {
        self.next_tick_from(self.tick + 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a slot is less than 64")]
    fn next_tick_from(&self, tick: u64) -> u64 {
        let mut first = u64::MAX;
        for (level, &slots) in self.occupied.iter().enumerate() {
            if slots == 0 {
                continue;
            }
            // A slot of an upper level is emptied when its first tick comes.
            let unit = SLOT_BITS * u32::try_from(level).unwrap_or(0);
            let from = tick.div_ceil(1 << unit);
            let ahead = slots.rotate_right(slot_of(from, 0) as u32).trailing_zeros();
            first = first.min((from + u64::from(ahead)) << unit);
        }
        first
    }

    /// Moves timers down from the slots of the upper levels that begin at this tick.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            if !self.tick.is_multiple_of(1 << (SLOT_BITS as usize * level)) {
                continue;
            }
            let slot = slot_of(self.tick, level);
            self.occupied[level] &= !(1 << slot);
            // Taken as a whole: a far timer may return to this very slot.
            let mut key = std::mem::replace(&mut self.heads[level * SLOTS + slot], NO_KEY);
            while key != NO_KEY {
                let next = self.nodes[key as usize].next;
                self.slot_index(key);
                key = next;
            }
        }
    }

    /// Links an unlinked `key` into the slot of its tick.
    fn slot_index(&mut self, key: u32) {
        let at_tick = self.nodes[key as usize].at_tick;
        let (level, slot) = self.slot_for(at_tick);
        let slot_index = level * SLOTS + slot;
        let head = std::mem::replace(&mut self.heads[slot_index], key);
        if let Some(second) = self.nodes.get_mut(head as usize) {
            second.previous = key;
        }
        self.nodes[key as usize] = Node {
            next: head,
            previous: NO_KEY,
            at_tick,
            slot_index: u16::try_from(slot_index).unwrap_or(NO_SLOT),
        };
        self.occupied[level] |= 1 << slot;
    }

    fn slot_for(&self, at_tick: u64) -> (usize, usize) {
        for level in 0..LEVELS {
            let unit = SLOT_BITS as usize * level;
            if (at_tick >> unit) - (self.tick >> unit) < SLOTS as u64 {
                return (level, slot_of(at_tick, level));
            }
        }
        // Beyond the reach of the wheel: the slot that comes last.
        let unit = SLOT_BITS as usize * (LEVELS - 1);
        let last = ((self.tick >> unit) + SLOTS as u64 - 1) << unit;
        (LEVELS - 1, slot_of(last, LEVELS - 1))
    }

    fn pop(&mut self, slot: usize) -> Option<u32> {
        let key = self.heads[slot];
        (key != NO_KEY).then(|| {
            self.cancel(key);
            key
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a slot is less than 64")]
fn slot_of(tick: u64, level: usize) -> usize {
    (tick >> (SLOT_BITS as usize * level)) as usize & (SLOTS - 1)
}

/// A timer that is later than this was delayed: events that came meanwhile may be unread.
const DELAYED_MS: u64 = 4 * TICK_MS;

/// Holds timers back until the sockets have been polled again after a delay.
///
/// A process that was stopped finds all timers due but no events, since epoll_wait(2) was
/// interrupted. So does a worker that gets a full batch of events. The unread events may be bytes
/// that would have moved the deadlines.
// Test: a_process_that_was_stopped_looks_at_its_sessions_before_it_ends_them.
#[derive(Debug, Default)]
pub(crate) struct TimerHold {
    /// Polls that may still be made before timers expire; `None` while they are not held back.
    polls_left: Option<usize>,
}

/// An iteration or a poll of the event loop that was stalled: the process was stopped in it, or the
/// machine.
///
/// The loop reads the clock once an iteration, so what a stalled one did looks as old as its start.
/// A session that has just passed on a request would be ended before its host can answer. A long
/// stall was no time in which a peer could have spoken, since the peer may have been stopped, too:
/// it does not count for any session.
// Tests: sessions_go_on_after_the_process_was_stopped_in_the_middle_of_its_work,
// nobody_is_cut_because_the_machine_slept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    start_ms: u64,
    end_ms: u64,
}

/// A stall of this length is no delay by other work.
const PAUSE_MS: u64 = 1000;

/// How long a poll may wait while a timer is armed. A stall within a poll is noticed if the poll
/// returns late.
pub(crate) const MAX_POLL_MS: u64 = 2000;

impl Stall {
    /// Of a poll that began at `start_ms`, was to return at `due_ms`, and did so at `now_ms`.
    pub(crate) fn of_poll(start_ms: u64, due_ms: u64, now_ms: u64) -> Option<Stall> {
        (now_ms >= due_ms + PAUSE_MS).then_some(Stall {
            start_ms,
            end_ms: now_ms,
        })
    }

    /// Of an iteration that began at `start_ms` and was over at `end_ms`, if it was stalled.
    pub(crate) fn between(start_ms: u64, end_ms: u64) -> Option<Stall> {
        (end_ms > start_ms + DELAYED_MS).then_some(Stall { start_ms, end_ms })
    }

    /// Whether something was done in that iteration, at `at_ms` by the loop's clock.
    pub(crate) fn contains(self, at_ms: u64) -> bool {
        at_ms == self.start_ms
    }

    /// How much longer than it seems the iteration took.
    pub(crate) fn length_ms(self) -> u64 {
        self.end_ms - self.start_ms
    }

    /// When it was over.
    pub(crate) fn end_ms(self) -> u64 {
        self.end_ms
    }

    /// The time of something done at `at_ms` by the loop's clock: later by the stall, if it was
    /// done in that iteration, or before a long stall.
    pub(crate) fn correct(self, at_ms: u64) -> u64 {
        match self.is_pause() || self.contains(at_ms) {
            true => (at_ms + self.length_ms()).min(self.end_ms.max(at_ms)),
            false => at_ms,
        }
    }

    /// Whether it is so long that it does not count for any session.
    pub(crate) fn is_pause(self) -> bool {
        self.length_ms() >= PAUSE_MS
    }
}

/// How an iteration of the event loop began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wakeup {
    /// The poll was interrupted: it returned no events.
    pub(crate) interrupted: bool,
    /// The batch of events was full: more may be waiting.
    pub(crate) full: bool,
    /// The first deadline, if there is one.
    pub(crate) due_ms: Option<u64>,
    pub(crate) now_ms: u64,
}

impl TimerHold {
    /// Whether timers may expire in this iteration. If not, poll again without waiting. After
    /// `max_polls` full ones in a row every socket was polled, however many are busy.
    // Tests: after_a_pause_sockets_are_looked_at_until_there_is_no_more_to_see,
    // sockets_that_are_always_busy_do_not_hold_timers_up_for_ever.
    pub(crate) fn may_expire(&mut self, wakeup: Wakeup, max_polls: usize) -> bool {
        let Wakeup {
            interrupted,
            full,
            due_ms,
            now_ms,
        } = wakeup;
        let Some(due_ms) = due_ms.filter(|due_ms| *due_ms <= now_ms) else {
            self.polls_left = None;
            return true;
        };
        let polls_left = match self.polls_left {
            // Each poll after the first is late; only an interrupted or full one calls for another.
            // An interrupted one has polled nothing.
            Some(left) if interrupted => Some(left),
            Some(left) if full => left.checked_sub(1),
            Some(_) => None,
            None if interrupted || full || now_ms > due_ms + DELAYED_MS => Some(max_polls),
            None => None,
        };
        self.polls_left = polls_left;
        polls_left.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Random;
    use std::collections::BTreeMap;

    fn fired(timers: &mut TimerWheel, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        timers.expire(now_ms, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn only_what_a_stalled_iteration_did_is_corrected() {
        assert!(Stall::between(1000, 1000 + DELAYED_MS).is_none());
        let corrected = |end_ms| {
            let stall = Stall::between(2000, end_ms).unwrap();
            [1000, 2000].map(|at| stall.correct(at))
        };
        assert_eq!(corrected(2999), [1000, 2999]);
        // A pause of everything.
        assert_eq!(corrected(3000), [2000, 3000]);
    }

    #[test]
    fn a_timer_fires_once_and_never_early() {
        let mut timers = TimerWheel::new(1000);
        timers.arm(3, 1500);
        assert_eq!(fired(&mut timers, 1499), []);
        assert_eq!(fired(&mut timers, 1500 + TICK_MS), [3]);
        assert_eq!(fired(&mut timers, 9000), []);
        assert_eq!(timers.next_ms(), None);
    }

    #[test]
    fn a_timer_moved_or_cancelled_does_not_fire_at_its_old_time() {
        let mut timers = TimerWheel::new(0);
        for key in 0..3 {
            timers.arm(key, 100);
        }
        timers.arm(1, 5000);
        timers.cancel(2);
        timers.cancel(99);
        assert_eq!(fired(&mut timers, 200), [0]);
        assert_eq!(fired(&mut timers, 6000), [1]);
    }

    #[test]
    fn a_time_in_the_past_fires_at_once() {
        let mut timers = TimerWheel::new(80_000);
        timers.arm(0, 5);
        assert!(timers.next_ms().is_some_and(|next_ms| next_ms <= 80_000));
        assert_eq!(fired(&mut timers, 80_000), [0]);
    }

    #[test]
    fn a_timer_beyond_the_horizon_fires_in_its_time() {
        let day_ms = 86_400_000;
        let mut timers = TimerWheel::new(0);
        timers.arm(0, 10 * day_ms);
        let mut now_ms = 0;
        while let Some(next_ms) = timers.next_ms() {
            now_ms = now_ms.max(next_ms);
            for key in fired(&mut timers, now_ms) {
                assert_eq!((key, now_ms / day_ms), (0, 10));
            }
        }
        assert!(now_ms >= 10 * day_ms);
    }

    /// Against a sorted map, sleeping until `next_ms` or for any other time.
    #[test]
    fn it_agrees_with_a_sorted_map() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut now_ms = random.below(1 << 40);
            let mut timers = TimerWheel::new(now_ms);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for _ in 0..400 {
                let key = u32::try_from(random.below(50)).unwrap();
                let size = random.below(24);
                match random.below(4) {
                    0 => {
                        timers.cancel(key);
                        model.remove(&key);
                    }
                    1 => now_ms = timers.next_ms().unwrap_or(now_ms).max(now_ms),
                    2 => now_ms += random.below(1 << size),
                    _ => {
                        let at_ms = now_ms + random.below(1 << size);
                        timers.arm(key, at_ms);
                        model.insert(key, at_ms);
                    }
                }
                let due = fired(&mut timers, now_ms);
                for key in &due {
                    let at_ms = model.remove(key).expect("fired, but not armed");
                    assert!(
                        at_ms <= now_ms,
                        "seed {seed}: {at_ms} fired early at {now_ms}"
                    );
                }
                for (key, at_ms) in &model {
                    assert!(at_ms + TICK_MS > now_ms, "seed {seed}: {key} is overdue");
                    assert!(timers.armed_ms(*key).is_some());
                    assert!(
                        timers
                            .next_ms()
                            .is_some_and(|next_ms| next_ms <= at_ms + TICK_MS)
                    );
                }
            }
        }
    }

    const ON_TIME: Wakeup = Wakeup {
        interrupted: false,
        full: false,
        due_ms: Some(1000),
        now_ms: 1000,
    };

    #[test]
    fn a_turn_that_is_on_time_or_has_nothing_due_is_not_held_up() {
        let mut hold = TimerHold::default();
        assert!(hold.may_expire(ON_TIME, 1));
        for (interrupted, full) in [(true, false), (false, true)] {
            for due_ms in [None, Some(1001)] {
                let wakeup = Wakeup {
                    interrupted,
                    full,
                    due_ms,
                    ..ON_TIME
                };
                assert!(hold.may_expire(wakeup, 1));
            }
        }
    }

    #[test]
    fn after_a_pause_sockets_are_looked_at_until_there_is_no_more_to_see() {
        let (stopped, full) = (
            Wakeup {
                now_ms: 9000,
                interrupted: true,
                ..ON_TIME
            },
            Wakeup {
                now_ms: 9000,
                full: true,
                ..ON_TIME
            },
        );
        let seen = Wakeup {
            full: false,
            ..full
        };
        for first in [stopped, full, seen] {
            let mut hold = TimerHold::default();
            assert!(!hold.may_expire(first, 1));
            for again in [stopped, stopped, stopped, full] {
                assert!(!hold.may_expire(again, 1));
            }
            assert!(hold.may_expire(seen, 1));
        }
    }

    #[test]
    fn sockets_that_are_always_busy_do_not_hold_timers_up_for_ever() {
        let mut hold = TimerHold::default();
        let full = Wakeup {
            full: true,
            ..ON_TIME
        };
        let polls = (0..).take_while(|_| !hold.may_expire(full, 3)).count();
        assert_eq!(polls, 4);
    }
}
