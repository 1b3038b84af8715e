//! Slots for a worker's sessions, and the tokens that name them: plain numbers,
//! as event queues keep them.
//!
//! A slot is reused, a token is not (until its generation has gone all the way
//! round): an event for a session that is gone finds nobody. It knows nothing
//! of what it stores.

use super::action::Side;

/// Half of a token says which slot, the other half which generation and side:
/// on a 32-bit machine that leaves 49,151 slots for each worker.
const SLOT_BITS: u32 = usize::BITS / 2;
const SLOT_MASK: usize = (1 << SLOT_BITS) - 1;
const SIDE_BIT: usize = 1 << SLOT_BITS;
const GENERATION_SHIFT: u32 = SLOT_BITS + 1;
const GENERATION_MASK: u32 = u32::MAX >> (u32::BITS - (usize::BITS - GENERATION_SHIFT));

/// Tokens from here on (the last slot numbers) are not sessions'.
pub(crate) const FIRST_SPECIAL: usize = SLOT_MASK - (1 << (SLOT_BITS - 2));

/// The token of one side of the session in `slot`.
pub(crate) fn token(slot: u32, generation: u32, side: Side) -> usize {
    let side = if side == Side::Host { SIDE_BIT } else { 0 };
    (generation as usize) << GENERATION_SHIFT | side | slot as usize
}

/// What a token names.
pub(crate) enum Named {
    /// One side of a session.
    Session {
        slot: u32,
        generation: u32,
        side: Side,
    },
    /// Something else: counted from [`FIRST_SPECIAL`].
    Special(usize),
}

/// The reverse of [`token`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of a token fit by its making"
)]
pub(crate) fn named(token: usize) -> Named {
    let slot = token & SLOT_MASK;
    if slot >= FIRST_SPECIAL {
        return Named::Special(slot - FIRST_SPECIAL);
    }
    Named::Session {
        slot: slot as u32,
        generation: (token >> GENERATION_SHIFT) as u32,
        side: if token & SIDE_BIT == 0 {
            Side::Client
        } else {
            Side::Host
        },
    }
}

/// Values in numbered slots.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The freed ones, the newest last: it is reused first, being warm.
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many slots hold a value.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many slots there are: all numbers of slots are below.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is room for one more that a token can name.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.slots.len() < FIRST_SPECIAL
    }

    /// Stores a value; its slot and generation name it.
    pub(crate) fn insert(&mut self, value: T) -> (u32, u32) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.slots[slot as usize];
        place.value = Some(value);
        (slot, place.generation)
    }

    /// The value in `slot`.
    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.value.as_mut()
    }

    /// Whether the value in `slot` is still the one of that generation.
    pub(crate) fn is(&self, slot: u32, generation: u32) -> bool {
        self.slots
            .get(slot as usize)
            .is_some_and(|place| place.value.is_some() && place.generation == generation)
    }

    /// Frees a slot.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let place = self.slots.get_mut(slot as usize)?;
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1) & GENERATION_MASK;
        self.free.push(slot);
        Some(value)
    }

    /// The slots that hold a value.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = u32> + '_ {
        (0..)
            .zip(&self.slots)
            .filter(|(_, place)| place.value.is_some())
            .map(|(slot, _)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_slot_generation_and_side() {
        for (slot, generation) in [(0, 0), (1, GENERATION_MASK), (12_345, 7)] {
            for side in [Side::Client, Side::Host] {
                let Named::Session {
                    slot: s,
                    generation: g,
                    side: d,
                } = named(token(slot, generation, side))
                else {
                    panic!("a session's token names something else");
                };
                assert_eq!((s, g, d), (slot, generation, side));
            }
        }
        assert!(matches!(named(FIRST_SPECIAL + 3), Named::Special(3)));
    }

    #[test]
    fn a_reused_slot_is_not_taken_for_its_former_tenant() {
        let mut slab = Slab::new();
        let (slot, generation) = slab.insert("first");
        assert_eq!(slab.remove(slot), Some("first"));
        assert_eq!(slab.remove(slot), None);
        let (again, newer) = slab.insert("second");
        assert_eq!(again, slot);
        assert!(!slab.is(slot, generation));
        assert!(slab.is(slot, newer));
        assert_eq!(
            (slab.len(), slab.occupied().collect::<Vec<_>>()),
            (1, vec![slot])
        );
    }
}
