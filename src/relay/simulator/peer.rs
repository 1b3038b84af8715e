//! The far end of a simulated connection: what it says, hears, and how it ends.
//!
//! What txlb's own end makes of it is `socket`'s business.

use super::socket::Socket;
use crate::balance::Random;

/// How a peer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    /// Says all it has to say, ends its half, and hears the rest.
    Polite,
    /// The same, but ends only once it has heard the other's end.
    Patient,
    /// Closes as soon as it has said all: what comes then is answered by a reset.
    Hasty,
    /// As polite as any other, until it resets.
    Rude,
    /// Neither says nor hears anything.
    Dead,
}

/// A client or a host.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) temper: Temper,
    /// Bytes that it says in all.
    pub(super) to_say: usize,
    /// It does not listen for the moment.
    stalled: bool,
    /// It has closed: nobody is there to hear any more.
    gone: bool,
    /// It takes a byte whenever so much time has passed; 0 is never.
    slowly_ms: u64,
    /// It acknowledges what it has acknowledged before.
    pub(super) repeats: bool,
}

impl Peer {
    pub(super) fn new(random: &mut Random) -> Peer {
        let temper = match random.below(16) {
            0..=6 => Temper::Polite,
            7..=9 => Temper::Patient,
            10..=11 => Temper::Hasty,
            12..=14 => Temper::Rude,
            _ => Temper::Dead,
        };
        let most = [1, 20, 300][random.index(3)];
        Peer {
            temper,
            to_say: random.index(most),
            stalled: random.below(4) == 0,
            gone: false,
            slowly_ms: [0, 0, 150, 450][random.index(4)],
            repeats: random.below(8) == 0,
        }
    }

    /// How long it takes a slow reader to take a byte.
    pub(super) fn hears_slowly_ms(&self) -> Option<u64> {
        let hears = self.slowly_ms > 0 && !self.gone && self.temper != Temper::Dead;
        hears.then_some(self.slowly_ms)
    }
}

impl Socket {
    /// The peer does one thing, or nothing.
    pub(super) fn peer_acts(&mut self, random: &mut Random) {
        if !self.peer_can_act() {
            return;
        }
        match random.below(10) {
            0 => self.peer.stalled = !self.peer.stalled,
            1 if self.peer.temper == Temper::Rude => self.reset_by_peer(),
            1..=4 => self.peer_says(random.index(40)),
            5..=7 if !self.peer.stalled => self.peer_hears(random.index(40)),
            _ => self.peer_ends(),
        }
        self.peer_refuses_more();
    }

    /// The peer does all that is left for it to do at the moment.
    pub(super) fn peer_concludes(&mut self) {
        if self.peer_can_act() {
            self.peer_hears(usize::MAX);
            self.peer_says(usize::MAX);
            self.peer_ends();
            self.peer_refuses_more();
        }
    }

    /// From now on the peer puts nothing off, unless it is dead and `may_stay`.
    pub(super) fn peer_winds_up(&mut self, may_stay: bool) {
        if self.peer.temper != Temper::Dead || !may_stay {
            self.peer.temper = match self.peer.temper {
                Temper::Hasty => Temper::Hasty,
                _ => Temper::Polite,
            };
        }
    }

    fn peer_can_act(&self) -> bool {
        self.is_connected() && !self.is_over() && self.peer.temper != Temper::Dead
    }

    fn peer_says(&mut self, most: usize) {
        if !self.ended {
            let left = self.peer.to_say - self.said;
            self.arrive(most.min(left).min(self.window()));
        }
    }

    fn peer_hears(&mut self, most: usize) {
        if !self.peer.gone {
            self.taken(most.min(self.unheard()));
        }
    }

    fn peer_ends(&mut self) {
        let may_end = self.peer.temper != Temper::Patient || self.peer_has_heard_all();
        if self.ended || self.said < self.peer.to_say || !may_end {
            return;
        }
        self.end_by_peer();
        self.peer.gone = self.peer.temper == Temper::Hasty;
    }

    /// Nobody hears what was sent to a peer that has closed.
    fn peer_refuses_more(&mut self) {
        if self.peer.gone && self.unheard() > 0 {
            self.reset_by_peer();
        }
    }
}
