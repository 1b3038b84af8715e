//! The remote end of a simulated connection: what it sends, receives, and how it ends.

use crate::balance::Random;

/// How a peer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Sends all its bytes, ends its stream, and receives the rest.
    Polite,
    /// The same, but ends its stream only after it has received the other's end.
    Patient,
    /// Closes once it has sent all its bytes, and answers what comes then with a reset.
    Hasty,
    /// Behaves as `Polite`, and then resets.
    Rude,
    /// Neither sends nor receives anything.
    Dead,
}

/// A client or a host.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) manner: Manner,
    /// Bytes that it sends in all.
    pub(super) to_say: usize,
    /// It receives nothing at the moment.
    pub(super) stalled: bool,
    /// It has closed and receives nothing any more.
    pub(super) gone: bool,
    /// It receives one byte in this time; 0 is never.
    slowly_ms: u64,
    /// It acknowledges the same bytes again.
    pub(super) repeats: bool,
}

impl Peer {
    pub(super) fn new(random: &mut Random) -> Peer {
        let manner = match random.below(16) {
            0..=6 => Manner::Polite,
            7..=9 => Manner::Patient,
            10..=11 => Manner::Hasty,
            12..=14 => Manner::Rude,
            _ => Manner::Dead,
        };
        let most = [1, 20, 300][random.index(3)];
        Peer {
            manner,
            to_say: random.index(most),
            stalled: random.below(4) == 0,
            gone: false,
            slowly_ms: [0, 0, 150, 450][random.index(4)],
            repeats: random.below(8) == 0,
        }
    }

    /// How long a slow reader needs for a byte.
    pub(super) fn receives_slowly_ms(&self) -> Option<u64> {
        let hears = self.slowly_ms > 0 && !self.gone && self.manner != Manner::Dead;
        hears.then_some(self.slowly_ms)
    }
}
