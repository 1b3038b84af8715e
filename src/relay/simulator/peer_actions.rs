//! What the remote end of a simulated connection does.

use super::peer::Manner;
use super::socket::Socket;
use crate::balance::Random;

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
