//! How time passes for the sockets of a simulated session, and what its worker knows of it.

use super::transport::{Attempt, SimulatedTransport};

/// A stall of this length does not count for any session.
pub(super) const PAUSE_MS: u64 = 1000;

impl SimulatedTransport {
    /// Time passes without a run.
    pub(super) fn pass(&mut self, now_ms: u64) {
        self.each_mut().for_each(|socket| socket.pass(now_ms));
    }

    /// What an iteration did that began at `start_ms` counts as done at `end_ms`: it was stalled.
    /// A long stall does not count at all.
    pub(super) fn correct_times(&mut self, start_ms: u64, end_ms: u64) {
        let is_pause = end_ms - start_ms >= PAUSE_MS;
        let counts = |it: &&mut Attempt| is_pause || it.since_ms == start_ms;
        if let Some(attempt) = self.attempt.as_mut().filter(counts) {
            attempt.since_ms += end_ms - start_ms;
        }
        if is_pause {
            self.paused_ms += end_ms - start_ms;
        }
    }

    /// Time passes in the middle of an iteration: its worker sees nothing of it.
    pub(super) fn pass_unseen(&mut self, now_ms: u64) {
        for socket in self.each_mut() {
            let stale_event = socket.stale_event;
            socket.pass(now_ms);
            socket.stale_event = stale_event;
        }
    }

    /// The first break of a side begins a half-close.
    pub(super) fn note_break(&mut self, now_ms: u64) {
        let is_relaying = self.attempt.is_none() && self.host.is_some();
        if is_relaying && !self.broken && self.each().any(|socket| socket.reset_known) {
            self.broken = true;
            if self.half_closes == 0 {
                self.active_ms = now_ms;
            }
        }
    }

    /// When bytes last moved, as far as the peers acknowledge them.
    pub(super) fn progress_ms(&self) -> u64 {
        let received = self.each().map(|socket| socket.received_ms);
        received.fold(self.active_ms, u64::max)
    }
}
