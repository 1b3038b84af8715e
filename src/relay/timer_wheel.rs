//! One timer a session: a hierarchical wheel of intrusive lists.
//!
//! Pure: time is an argument. Arming, moving and cancelling cost a few writes
//! and no allocation, so that a short session may have a connect timeout for
//! almost nothing. A timer fires within [`TICK_MS`] after its time, never
//! before; what it means is the worker's business.

/// The finest step of the wheel.
pub(crate) const TICK_MS: u64 = 8;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Four levels of 64 slots of 8 ms reach 37 hours; a later timer waits in the
/// last slot and is put in its place from there.
const LEVELS: usize = 4;
const NOBODY: u32 = u32::MAX;
const NOWHERE: u16 = u16::MAX;

/// Timers, one for each key; keys are small numbers, as a slab gives them.
#[derive(Debug)]
pub(crate) struct Timers {
    nodes: Vec<Node>,
    heads: [u32; SLOTS * LEVELS],
    /// A bit for each slot of a level that may hold somebody.
    occupied: [u64; LEVELS],
    /// All ticks before this one have been dealt with.
    tick: u64,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    next: u32,
    previous: u32,
    at_tick: u64,
    place: u16,
}

const UNARMED: Node = Node {
    next: NOBODY,
    previous: NOBODY,
    at_tick: 0,
    place: NOWHERE,
};

impl Timers {
    /// No timers; the clock stands at `now_ms`.
    pub(crate) fn new(now_ms: u64) -> Timers {
        Timers {
            nodes: Vec::new(),
            heads: [NOBODY; SLOTS * LEVELS],
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
        self.place(key);
    }

    /// When the timer of `key` fires, if it is armed.
    pub(crate) fn armed_ms(&self, key: u32) -> Option<u64> {
        let node = self.nodes.get(key as usize)?;
        (node.place != NOWHERE).then_some(node.at_tick * TICK_MS)
    }

    /// Disarms the timer of `key`, if it is armed.
    pub(crate) fn cancel(&mut self, key: u32) {
        let Some(&node) = self.nodes.get(key as usize) else {
            return;
        };
        if node.place == NOWHERE {
            return;
        }
        match self.nodes.get_mut(node.previous as usize) {
            Some(previous) => previous.next = node.next,
            None => self.heads[node.place as usize] = node.next,
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

    /// When `expire` is worth calling next: never after a timer's time, though
    /// it may find none due yet.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let armed = self.occupied.iter().any(|&slots| slots != 0);
        armed.then(|| self.next_tick_from(self.tick) * TICK_MS)
    }

    /// The first tick after the current one at which a slot may have to be
    /// emptied.
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

    /// Spreads the slots of the upper levels whose time begins at this tick.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            if !self.tick.is_multiple_of(1 << (SLOT_BITS as usize * level)) {
                continue;
            }
            let slot = slot_of(self.tick, level);
            self.occupied[level] &= !(1 << slot);
            // Taken off as a whole: a far timer may return to this very slot.
            let mut key = std::mem::replace(&mut self.heads[level * SLOTS + slot], NOBODY);
            while key != NOBODY {
                let next = self.nodes[key as usize].next;
                self.place(key);
                key = next;
            }
        }
    }

    /// Links an unlinked `key` into the slot of its tick.
    fn place(&mut self, key: u32) {
        let at_tick = self.nodes[key as usize].at_tick;
        let (level, slot) = self.slot_for(at_tick);
        let place = level * SLOTS + slot;
        let head = std::mem::replace(&mut self.heads[place], key);
        if let Some(second) = self.nodes.get_mut(head as usize) {
            second.previous = key;
        }
        self.nodes[key as usize] = Node {
            next: head,
            previous: NOBODY,
            at_tick,
            place: u16::try_from(place).unwrap_or(NOWHERE),
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
        // Beyond the horizon: the slot that comes round last.
        let unit = SLOT_BITS as usize * (LEVELS - 1);
        let last = ((self.tick >> unit) + SLOTS as u64 - 1) << unit;
        (LEVELS - 1, slot_of(last, LEVELS - 1))
    }

    fn pop(&mut self, slot: usize) -> Option<u32> {
        let key = self.heads[slot];
        (key != NOBODY).then(|| {
            self.cancel(key);
            key
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a slot is less than 64")]
fn slot_of(tick: u64, level: usize) -> usize {
    (tick >> (SLOT_BITS as usize * level)) as usize & (SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Random;
    use std::collections::BTreeMap;

    fn fired(timers: &mut Timers, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        timers.expire(now_ms, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn a_timer_fires_once_and_never_early() {
        let mut timers = Timers::new(1000);
        timers.arm(3, 1500);
        assert_eq!(fired(&mut timers, 1499), []);
        assert_eq!(fired(&mut timers, 1500 + TICK_MS), [3]);
        assert_eq!(fired(&mut timers, 9000), []);
        assert_eq!(timers.next_ms(), None);
    }

    #[test]
    fn a_timer_moved_or_cancelled_does_not_fire_at_its_old_time() {
        let mut timers = Timers::new(0);
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
        let mut timers = Timers::new(80_000);
        timers.arm(0, 5);
        assert!(timers.next_ms().is_some_and(|next_ms| next_ms <= 80_000));
        assert_eq!(fired(&mut timers, 80_000), [0]);
    }

    #[test]
    fn a_timer_beyond_the_horizon_fires_in_its_time() {
        let day_ms = 86_400_000;
        let mut timers = Timers::new(0);
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
            let mut timers = Timers::new(now_ms);
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
}
