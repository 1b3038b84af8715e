//! Slots for a worker's connections, and the event tokens that name them.
//!
//! Slots are reused. A token holds the slot's generation, so an event for a closed connection
//! never reaches the next one in its slot.

use super::session::Side;

/// Half of a token is the slot, the other half the generation and the side. A 32-bit machine has
/// 49,151 slots for each worker.
const SLOT_BITS: u32 = usize::BITS / 2;
const SLOT_MASK: usize = (1 << SLOT_BITS) - 1;
const SIDE_BIT: usize = 1 << SLOT_BITS;
const GENERATION_SHIFT: u32 = SLOT_BITS + 1;
const GENERATION_MASK: u32 = u32::MAX >> (u32::BITS - (usize::BITS - GENERATION_SHIFT));

/// The first of the slot numbers that no connection gets: mailbox and listeners use them.
pub(crate) const FIRST_SPECIAL: usize = SLOT_MASK - (1 << (SLOT_BITS - 2));

/// The token of one side of the connection in `slot`.
pub(crate) fn encode_token(slot: u32, generation: u32, side: Side) -> usize {
    let side = if side == Side::Host { SIDE_BIT } else { 0 };
    (generation as usize) << GENERATION_SHIFT | side | slot as usize
}

/// What a token names.
pub(crate) enum TokenTarget {
    /// One side of a connection.
    Connection {
        slot: u32,
        generation: u32,
        side: Side,
    },
    /// A number counted from [`FIRST_SPECIAL`].
    Special(usize),
}

/// The reverse of [`encode_token`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "encode_token makes both halves fit"
)]
pub(crate) fn decode_token(token: usize) -> TokenTarget {
    let slot = token & SLOT_MASK;
    if slot >= FIRST_SPECIAL {
        return TokenTarget::Special(slot - FIRST_SPECIAL);
    }
    TokenTarget::Connection {
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
    /// The freed slots, the newest last. It is reused first: it is still in the cache.
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

    /// How many slots exist; every slot number is less.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a token can name one more slot.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.slots.len() < FIRST_SPECIAL
    }

    /// Stores a value. Returns its slot and generation.
    pub(crate) fn insert(&mut self, value: T) -> (u32, u32) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        (index, slot.generation)
    }

    /// The value in a slot.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.value.as_mut()
    }

    /// Whether a slot holds the value of that generation.
    pub(crate) fn is_current(&self, slot: u32, generation: u32) -> bool {
        self.slots
            .get(slot as usize)
            .is_some_and(|slot| slot.value.is_some() && slot.generation == generation)
    }

    /// Frees a slot and returns its value.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let freed = self.slots.get_mut(slot as usize)?;
        let value = freed.value.take()?;
        freed.generation = freed.generation.wrapping_add(1) & GENERATION_MASK;
        self.free.push(slot);
        Some(value)
    }

    /// The values, each with its slot.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let values = self.slots.iter_mut().map(|slot| slot.value.as_mut());
        (0..)
            .zip(values)
            .filter_map(|(slot, value)| Some((slot, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_slot_generation_and_side() {
        for (slot, generation) in [(0, 0), (1, GENERATION_MASK), (12_345, 7)] {
            for side in [Side::Client, Side::Host] {
                let TokenTarget::Connection {
                    slot: s,
                    generation: g,
                    side: d,
                } = decode_token(encode_token(slot, generation, side))
                else {
                    panic!("a session's token names something else");
                };
                assert_eq!((s, g, d), (slot, generation, side));
            }
        }
        assert!(matches!(
            decode_token(FIRST_SPECIAL + 3),
            TokenTarget::Special(3)
        ));
    }

    #[test]
    fn a_reused_slot_is_not_taken_for_its_former_tenant() {
        let mut slab = Slab::new();
        let (slot, generation) = slab.insert("first");
        assert_eq!(slab.remove(slot), Some("first"));
        assert_eq!(slab.remove(slot), None);
        let (again, newer) = slab.insert("second");
        assert_eq!(again, slot);
        assert!(!slab.is_current(slot, generation));
        assert!(slab.is_current(slot, newer));
        assert_eq!(
            (slab.len(), slab.iter_mut().next()),
            (1, Some((slot, &mut "second")))
        );
    }
}
