//! The remote end of a simulated connection: what it sends, receives, and how it ends.

use super::socket::Socket;
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
    /// The first of them; the others are computed.
    pub(super) opening: Vec<u8>,
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
            opening: Vec::new(),
            stalled: random.below(4) == 0,
            gone: false,
            slowly_ms: [0, 0, 0, 150, 450, 7000][random.index(6)],
            repeats: random.below(8) == 0,
        }
    }

    /// How long a slow reader needs for a byte.
    pub(super) fn receives_slowly_ms(&self) -> Option<u64> {
        let hears = self.slowly_ms > 0 && !self.gone && self.manner != Manner::Dead;
        hears.then_some(self.slowly_ms)
    }
}

/// What the peer does.
impl Socket {
    /// The peer does one thing, or nothing.
    pub(super) fn peer_acts(&mut self, random: &mut Random) {
        if !self.peer_can_act() {
            return;
        }
        match random.below(10) {
            0 => self.peer.stalled = !self.peer.stalled,
            1 if self.peer.manner == Manner::Rude => self.reset_by_peer(),
            1..=4 => self.peer_sends(random.index(40)),
            5..=7 if !self.peer.stalled => self.peer_receives(random.index(40)),
            _ => self.peer_ends(),
        }
        self.peer_refuses_more();
    }

    /// The peer does everything that it can do now.
    pub(super) fn peer_concludes(&mut self) {
        if self.peer_can_act() {
            self.peer_receives(usize::MAX);
            self.peer_sends(usize::MAX);
            self.peer_ends();
            self.peer_refuses_more();
        }
    }

    /// From now on the peer delays nothing, unless it is dead and `may_stay`.
    pub(super) fn peer_winds_up(&mut self, may_stay: bool) {
        if self.peer.manner != Manner::Dead || !may_stay {
            self.peer.manner = match self.peer.manner {
                Manner::Hasty => Manner::Hasty,
                _ => Manner::Polite,
            };
        }
    }

    fn peer_can_act(&self) -> bool {
        self.is_connected() && !self.is_over() && self.peer.manner != Manner::Dead
    }

    fn peer_sends(&mut self, most: usize) {
        if !self.ended {
            let left = self.peer.to_say - self.said;
            self.arrive(most.min(left).min(self.window()));
        }
    }

    fn peer_receives(&mut self, most: usize) {
        if !self.peer.gone {
            self.taken(most.min(self.unreceived()));
        }
    }

    fn peer_ends(&mut self) {
        let may_end = self.peer.manner != Manner::Patient || self.peer_has_received_all();
        if self.ended || self.said < self.peer.to_say || !may_end {
            return;
        }
        self.end_by_peer();
        self.peer.gone = self.peer.manner == Manner::Hasty;
    }

    /// A peer that has closed answers further bytes with a reset.
    fn peer_refuses_more(&mut self) {
        if self.peer.gone && self.unreceived() > 0 {
            self.reset_by_peer();
        }
    }
}
