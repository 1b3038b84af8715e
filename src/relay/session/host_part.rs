//! The host's part in a session: whether it is over, and how it ended.

use super::{Direction, Session, Side};
use crate::balance::HostEnd;

impl Session {
    /// Whether the host has said anything.
    pub(crate) fn has_host_spoken(&self) -> bool {
        self.spoke[Direction::ToClient.index()]
    }

    /// Whether the host's part is over: all that it said is written to the client, or it is gone.
    pub(crate) fn is_host_done(&self) -> bool {
        self.to_client.is_delivered() || self.is_broken(Side::Host)
    }

    /// How the host's part ends that is over at `now_ms`.
    pub(crate) fn host_end(&self, now_ms: u64) -> HostEnd {
        match self.connected_ms {
            Some(_) if self.has_host_spoken() => HostEnd::Served,
            Some(connected_ms) if self.host_ended_first => HostEnd::Early {
                after_ms: now_ms.saturating_sub(connected_ms),
                asked: self.spoke[Direction::ToHost.index()],
            },
            _ => HostEnd::Unknown,
        }
    }

    /// A side has ended its stream, or broke: notes whether the host did so first.
    pub(super) fn note_end(&mut self, side: Side) {
        let client_ended = self.to_host.is_ending() || self.is_broken(Side::Client);
        self.host_ended_first |= side == Side::Host && !client_ended;
    }
}
