//! How a session notices that it is silent, that a peer is dead, or that it is too old; and what a
//! pause of the process or the machine changes. Pure.

use std::io::{self, ErrorKind};

use super::attempts::is_past;
use super::{Direction, Session, Side, State};
use crate::os::sockets::Delivery;
use crate::relay::failure::EndReason;
use crate::relay::timer_wheel::Stall;

/// Whether TCP looks for dead peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerWatch {
    Later,
    Due,
    On,
}

/// How a connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// An event said so, and the error was not read yet.
    Unknown,
    /// The peer reset it.
    Reset,
    /// The peer answered nothing: keepalive or the unacked timeout ended it.
    Silent,
}

impl Break {
    /// How a connection broke, by the error of a system call.
    pub(crate) fn of(error: &io::Error) -> Break {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Break::Silent
            }
            _ => Break::Reset,
        }
    }
}

impl Session {
    /// Corrects times that were taken in a stalled iteration.
    pub(crate) fn correct_times(&mut self, stall: Stall) {
        // If it asked what peers had acknowledged, the system answered as of the end of the stall.
        self.active_ms = match stall.contains(self.delivery_checked_ms) {
            true => self.active_ms + stall.length_ms(),
            false => stall.correct(self.active_ms),
        };
        if let State::Connecting { since_ms, .. } = &mut self.state {
            *since_ms = stall.correct(*since_ms);
        }
        if stall.is_pause() {
            self.paused_ms = self.paused_ms.saturating_add(stall.length_ms());
            self.resumed_ms = stall.end_ms();
        }
    }

    /// Handles what is due at `now_ms`.
    pub(crate) fn handle_deadline(&mut self, now_ms: u64) {
        if !is_past(self.deadline_ms(), now_ms) {
            return;
        }
        if is_past(self.max_duration_ends_ms(), now_ms) {
            return self.close(EndReason::MaxDuration);
        }
        let silent = is_past(self.silence_ends_ms(), now_ms);
        if silent && self.state == State::Relaying && self.retry_stalled_writes() {
            return;
        }
        match &mut self.state {
            State::FirstBytes { .. } => self.close(EndReason::FirstBytesLate),
            State::Paused { .. } => self.state = State::Picking,
            State::Connecting { late, .. } => *late = true,
            State::Relaying if silent => self.checks_delivery = true,
            State::Relaying => self.peer_watch = PeerWatch::Due,
            State::Picking | State::Closed(_) => {}
        }
    }

    /// Has buffered bytes written once more before the session counts as silent. Returns whether
    /// there are any, and something was written since the last retry.
    // The system reports room only when a third of the send buffer is free, for which a slow reader
    // may need minutes.
    // Tests: bytes_that_go_out_late_are_no_silence,
    // a_reader_that_takes_little_at_a_time_is_not_silent.
    fn retry_stalled_writes(&mut self) -> bool {
        if self.last_write_retry_ms == self.active_ms {
            return false;
        }
        self.last_write_retry_ms = self.active_ms;
        let to_host = self.to_host.retry_buffered();
        self.to_client.retry_buffered() || to_host
    }

    /// Ends the session unless the peers, host and client, still acknowledge bytes.
    // What the kernel has taken is not delivered: a slow reader has megabytes in its send queue.
    // Test: a_peer_that_acknowledges_what_was_written_is_not_silent.
    pub(crate) fn handle_delivery(&mut self, deliveries: [Option<Delivery>; 2], now_ms: u64) {
        self.checks_delivery = false;
        self.delivery_checked_ms = now_ms;
        let paused_ms = self.paused_ms - self.checked_paused_ms;
        self.checked_paused_ms = self.paused_ms;
        let known = self.acknowledged.iter_mut().zip(&mut self.owes);
        for (delivery, (before, owes)) in deliveries.into_iter().zip(known) {
            let Some(delivery) = delivery else { continue };
            *owes = delivery.waits;
            // A peer with a closed window answers probes, and may acknowledge the same bytes twice.
            // None of that is progress.
            // Test: a_peer_that_stopped_acknowledging_is_silent_at_once.
            if delivery.acknowledged != std::mem::replace(before, delivery.acknowledged) {
                let at_ms = now_ms.saturating_sub(delivery.progress_ms);
                let awake_ms = at_ms.max((at_ms + paused_ms).min(self.resumed_ms));
                self.active_ms = self.active_ms.max(awake_ms);
            }
        }
        if is_past(self.silence_ends_ms(), now_ms) {
            self.close(EndReason::silence_of(self.silent_side()));
        }
    }

    /// Whose silence it is that lasts too long.
    // Test: whose_silence_it_is.
    fn silent_side(&self) -> Side {
        let [host_owes, client_owes] = self.owes;
        let takes_nothing = (
            self.to_client.has_unsent() || client_owes,
            self.to_host.has_unsent() || host_owes,
        );
        match (
            takes_nothing,
            self.to_host.is_ending(),
            self.to_client.is_ending(),
        ) {
            // Bytes wait for one side alone.
            ((true, false), ..) => Side::Client,
            ((false, true), ..) => Side::Host,
            // One side has said all: it is for the other to speak.
            (_, true, false) => Side::Host,
            (_, false, true) => Side::Client,
            // The other side was to answer.
            _ => Direction::from(self.last_sender).sink(),
        }
    }

    /// TCP looks for dead peers.
    pub(crate) fn handle_peers_watched(&mut self) {
        self.peer_watch = PeerWatch::On;
    }

    /// The half-closed timeout counts from now, however long ago the last byte was.
    // Tests: after_a_late_half_close_the_other_side_has_its_time_to_answer,
    // a_host_that_breaks_after_a_half_close_gives_no_new_time.
    pub(super) fn begin_half_close(&mut self, now_ms: u64) {
        if !self.is_half_closed() {
            self.active_ms = self.active_ms.max(now_ms);
        }
    }

    pub(super) fn silence_ends_ms(&self) -> Option<u64> {
        self.timeouts
            .silence_ends_ms(self.active_ms, self.is_half_closed())
    }

    pub(super) fn watch_peers_ms(&self) -> Option<u64> {
        (self.peer_watch == PeerWatch::Later)
            .then(|| self.timeouts.watch_peers_ms(self.started_ms))
            .flatten()
    }

    pub(super) fn max_duration_ends_ms(&self) -> Option<u64> {
        let started_ms = self.started_ms.saturating_add(self.paused_ms);
        self.timeouts.max_duration_ends_ms(started_ms)
    }
}
