//! What a session holds of its client: first bytes that are looked at before a host is picked, bytes
//! that go out with a header, and bytes that are kept for another host. Pure.

use super::{Break, Direction, PeerWatch, Session, Side, State};
use crate::balance::HostId;
use crate::relay::failure::EndReason;

impl Session {
    /// Has it await the client's first bytes before it picks a host, for `timeout_ms` at most.
    pub(crate) fn await_first_bytes(&mut self, timeout_ms: u64) {
        let until_ms = self.started_ms.saturating_add(timeout_ms);
        self.state = State::FirstBytes { until_ms };
    }

    /// Whether its client's first bytes are awaited.
    pub(crate) fn awaits_first_bytes(&self) -> bool {
        matches!(self.state, State::FirstBytes { .. })
    }

    /// How many hosts ended without an answer to what was then said to another one.
    pub(crate) fn replays(&self) -> u8 {
        self.replays
    }

    /// Bytes of the client were read that must not be written yet. `short` says that they did not
    /// fill the buffer.
    pub(crate) fn handle_held(&mut self, bytes: &[u8], short: bool, now_ms: u64) {
        self.reads_ahead = false;
        self.handle_read(Direction::ToHost, short, now_ms);
        self.to_host.hold(bytes);
    }

    /// The client has ended its stream behind what is held.
    pub(crate) fn handle_held_end(&mut self) {
        self.reads_ahead = false;
        self.note_end(Side::Client);
        self.to_host.handle_end_behind_held();
    }

    /// Reading from the client failed, behind what is held.
    pub(crate) fn handle_held_failed(&mut self, how: Break, now_ms: u64) {
        match self.state {
            State::FirstBytes { .. } => self.close(EndReason::ClientGone),
            _ => {
                self.handle_held_end();
                self.handle_broken(Side::Client, how, now_ms);
            }
        }
    }

    /// Enough is known of the client: it needs a host. Its waiting time for one begins.
    pub(crate) fn handle_first_bytes(&mut self, now_ms: u64) {
        if let State::FirstBytes { .. } = self.state {
            self.begin_to_wait(now_ms);
            // A header is nothing that the host is told.
            self.spoke[Direction::ToHost.index()] = self.to_host.has_unsent();
            self.state = State::Picking;
        }
    }

    /// What the client says is kept up to `limit` bytes, which may be 0, until the host says its
    /// first: should the host end before, another one gets it all. To be called before
    /// `handle_connected`.
    pub(crate) fn keep_for_replay(&mut self, limit: u32) {
        self.to_host.keep(limit);
    }

    /// The source of this direction has said something.
    pub(super) fn note_spoken(&mut self, direction: Direction) {
        self.spoke[direction.index()] = true;
        // The host has answered: no other one will be asked.
        if direction == Direction::ToClient && self.to_host.keeps_all() {
            self.to_host.forget_kept();
            self.attempts.forget_hosts();
        }
    }

    /// Whether the host has ended or reset before its first byte, and another one is to be asked.
    /// A host that ends in order once the client has ended may have done all it was to do: the client
    /// is told of that end.
    // Tests: what_a_host_has_not_answered_goes_to_the_next,
    // a_host_that_only_listens_is_not_asked_twice,
    // a_host_that_was_asked_nothing_is_not_replaced.
    pub(super) fn may_replay(&self) -> bool {
        let has_asked = self.spoke[Direction::ToHost.index()] || self.to_host.is_readable();
        self.to_host.keeps_all()
            && has_asked
            && self.to_client.is_ending()
            && !self.to_client.is_closed()
            && !self.is_broken(Side::Client)
            && (self.is_broken(Side::Host) || !self.to_host.is_ending())
    }

    /// Whether so few hosts have failed the client that it may have another one.
    pub(crate) fn may_try_another(&self) -> bool {
        !self.attempts.are_nearly_exhausted()
    }

    /// No other host can be asked: the session ends as its host did.
    pub(crate) fn handle_no_replay(&mut self) {
        self.to_host.forget_kept();
        if self.to_host.is_closed() {
            self.to_host.abort();
        }
        self.attempts.forget_hosts();
        self.close_if_finished();
    }

    /// The host is gone before it said anything: another one is asked. The client waits for it as
    /// long as for the first.
    pub(crate) fn handle_replay(&mut self, host: HostId, now_ms: u64) {
        self.begin_to_wait(now_ms);
        self.broken = None;
        self.host_ended_first = false;
        self.peer_watch = PeerWatch::Later;
        self.connected_ms = None;
        (self.acknowledged[0], self.owes[0]) = (0, false);
        self.replays += 1;
        self.to_host.rewind();
        self.attempts.add_failed(host, false);
        self.try_another(now_ms);
    }

    /// The client's waiting time for a host begins.
    fn begin_to_wait(&mut self, now_ms: u64) {
        let awake_ms = now_ms.saturating_sub(self.paused_ms);
        self.awaited_ms = awake_ms.saturating_sub(self.started_ms);
    }
}
