//! The state machine of one session, from the pick of a host to the last byte. Pure.
//!
//! It holds no socket, thread or clock. [`Session::next`] says what to do, a `Connection` does it,
//! and a `handle_*` method reports the result.

mod attempts;
mod half_stream;
mod host_part;
#[cfg(test)]
mod tests;

use attempts::{Attempts, is_past};
pub(crate) use attempts::{TimeoutsMs, earliest};
use half_stream::HalfStream;
pub use half_stream::Phase;
pub(crate) use half_stream::{Action, Direction, Readiness, Side};

use super::failure::EndReason;
use super::timer_wheel::Stall;
use crate::balance::HostId;
use crate::os::sockets::Delivery;

/// How long a session waits after a shortage before it picks again. Doubles each time, up to 0.8 s.
const SHORTAGE_PAUSE_MS: u64 = 50;
const MAX_DOUBLINGS: u8 = 4;

/// How long a session waits for a shortage to pass where there is no connect timeout.
const MAX_SHORTAGE_WAIT_MS: u64 = 15_000;

/// The age at which a session gets keepalive at the host's side. Most sessions end before, and save
/// the system call.
const KEEPALIVE_AFTER_MS: u64 = 30_000;

/// How long a session waits if all its hosts are addresses of txlb itself.
const ROUTING_LOOP_WAIT_MS: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It needs a host.
    Picking,
    /// It needs a host, but none can be connected to now.
    Paused { until_ms: u64 },
    /// A connect is in progress.
    Connecting {
        since_ms: u64,
        /// An event came: the connect may be done.
        check: bool,
        /// Its time is over.
        late: bool,
        /// An event has proved that the connect succeeded.
        connect_hint: bool,
    },
    /// Bytes flow.
    Relaying,
    /// The session has ended.
    Closed(EndReason),
}

/// The state of one session.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    to_host: HalfStream,
    to_client: HalfStream,
    /// The side that broke first.
    broken: Option<Side>,
    /// The side that sent the last byte.
    last_sender: Side,
    /// Whether the source of each direction has said anything.
    spoke: [bool; 2],
    /// Whether the host ended its side, or broke, before the client did.
    host_ended_first: bool,
    keepalive: KeepAlive,
    /// It seems silent: ask whether the peers still acknowledge bytes.
    checks_delivery: bool,
    /// What host and client had acknowledged at the last check; 0 if nothing more was to come.
    acknowledged: [u64; 2],
    /// When that was.
    delivery_checked_ms: u64,
    timeouts: TimeoutsMs,
    started_ms: u64,
    connected_ms: Option<u64>,
    /// When the last byte was read or written.
    active_ms: u64,
    /// The value of `active_ms` when buffered bytes were last written without an event.
    last_write_retry_ms: u64,
    attempts: Attempts,
    /// How often it has waited for a shortage to pass.
    pauses: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeepAlive {
    Later,
    Due,
    On,
}

impl Session {
    /// The session of a client that was just accepted.
    pub(crate) fn new(timeouts: TimeoutsMs, now_ms: u64) -> Session {
        Session {
            state: State::Picking,
            to_host: HalfStream::new(),
            to_client: HalfStream::new(),
            broken: None,
            last_sender: Side::Client,
            spoke: [false; 2],
            host_ended_first: false,
            keepalive: KeepAlive::Later,
            checks_delivery: false,
            acknowledged: [0; 2],
            delivery_checked_ms: u64::MAX,
            timeouts,
            started_ms: now_ms,
            connected_ms: None,
            active_ms: now_ms,
            last_write_retry_ms: u64::MAX,
            attempts: Attempts::new(),
            pauses: 0,
        }
    }

    /// The next action. Changes nothing: ask again after each action.
    pub(crate) fn next(&self) -> Action {
        match self.state {
            State::Picking => Action::Pick,
            State::Paused { .. } => Action::Wait,
            State::Connecting {
                check,
                late,
                connect_hint,
                ..
            } if check || late => Action::CheckConnect { late, connect_hint },
            State::Connecting { .. } => Action::Wait,
            State::Relaying => self.next_relaying(),
            State::Closed(reason) => Action::Close(reason),
        }
    }

    fn next_relaying(&self) -> Action {
        if self.keepalive == KeepAlive::Due {
            return Action::KeepAlive;
        }
        if self.checks_delivery {
            return Action::CheckDelivery;
        }
        // The direction to the client first: a client waits for its answer.
        match (
            self.to_client.next(Direction::ToClient),
            self.to_host.next(Direction::ToHost),
        ) {
            // What a client sent before it broke is passed on while the host takes it at once.
            // Test: what_a_client_sent_before_its_reset_is_passed_on_while_that_goes_at_once.
            (Action::Wait, Action::Wait) if self.broken == Some(Side::Client) => {
                Action::Close(EndReason::ClientReset)
            }
            (Action::Wait, action) | (action, _) => action,
        }
    }

    /// The hosts that must not be picked for this client now.
    pub(crate) fn tried(&self) -> &[HostId] {
        self.attempts.tried()
    }

    /// What it is doing, as operators see it.
    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Picking => Phase::Picking,
            State::Paused { .. } => Phase::Waiting,
            State::Connecting { .. } => Phase::Connecting,
            State::Relaying if self.is_half_closed() => Phase::HalfClosed,
            State::Relaying | State::Closed(_) => Phase::Relaying,
        }
    }

    /// Milliseconds since the last byte was read or written.
    pub(crate) fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.active_ms)
    }

    /// Whether it waits for a shortage to pass.
    pub(crate) fn is_paused(&self) -> bool {
        matches!(self.state, State::Paused { .. })
    }

    /// Milliseconds since the present connect started.
    pub(crate) fn connecting_ms(&self, now_ms: u64) -> u64 {
        match self.state {
            State::Connecting { since_ms, .. } => now_ms.saturating_sub(since_ms),
            _ => 0,
        }
    }

    /// How many hosts have failed this client.
    pub(crate) fn failed_attempts(&self) -> usize {
        self.attempts.failed()
    }

    /// When the client was accepted.
    pub(crate) fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// When the host accepted, if it has.
    pub(crate) fn connected_ms(&self) -> Option<u64> {
        self.connected_ms
    }

    /// Bytes written so far: to the host, and to the client.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.to_host.sent(), self.to_client.sent())
    }

    /// When to call `handle_deadline` at the latest.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Picking | State::Closed(_) => None,
            State::Paused { until_ms } => Some(until_ms),
            State::Connecting { since_ms, .. } => earliest(
                self.timeouts.connect_ends_ms(since_ms),
                self.total_wait_ends_ms(),
            ),
            State::Relaying => earliest(self.silence_ends_ms(), self.keepalive_ms()),
        }
    }

    /// An event came for the socket of `side`.
    pub(crate) fn handle_ready(&mut self, side: Side, ready: Readiness) {
        let outgoing = Direction::from(side);
        self.half_stream_mut(outgoing).handle_readable(ready);
        if ready.writable {
            self.half_stream_mut(outgoing.opposite()).handle_writable();
        }
        match (&mut self.state, side) {
            (
                State::Connecting {
                    check,
                    connect_hint,
                    ..
                },
                Side::Host,
            ) => {
                *check |= ready.writable || ready.error;
                *connect_hint |= ready.connected;
            }
            (State::Relaying, _) if ready.error => self.handle_broken(side),
            // Before it has a host, only a reset by the client counts: a client that has merely
            // ended its stream waits for its answer.
            (State::Picking | State::Paused { .. } | State::Connecting { .. }, Side::Client)
                if ready.error =>
            {
                self.close(EndReason::ClientGone);
            }
            _ => {}
        }
    }

    /// A host was picked, and a connect to it has started.
    pub(crate) fn handle_picked(&mut self, now_ms: u64) {
        // What was reported about another host's socket does not hold for this one.
        // Test: what_was_seen_of_a_host_that_refused_does_not_hold_for_the_next.
        self.to_client = HalfStream::new();
        self.state = State::Connecting {
            since_ms: now_ms,
            check: false,
            late: false,
            connect_hint: false,
        };
    }

    /// The group has no host, or no further host, for this client.
    pub(crate) fn handle_no_host(&mut self, now_ms: u64) {
        if let Some(retry_ms) = self.attempts.forget_no_port() {
            self.pause(retry_ms, now_ms);
        } else {
            self.close(if self.attempts.timed_out() {
                EndReason::ConnectTimedOut
            } else {
                EndReason::NoHost
            });
        }
    }

    /// The only hosts left are addresses of txlb itself. Waits for a second: an address may be
    /// moving to another machine, and clients that retry at once come less often.
    pub(crate) fn handle_routing_loop(&mut self, now_ms: u64) {
        let until_ms = self.started_ms + ROUTING_LOOP_WAIT_MS;
        if now_ms < until_ms {
            self.state = State::Paused { until_ms };
        } else {
            self.handle_no_host(now_ms);
        }
    }

    /// The connect is still pending: the event was a spurious wake-up.
    pub(crate) fn handle_connect_pending(&mut self) {
        if let State::Connecting { check, .. } = &mut self.state {
            *check = false;
        }
    }

    /// Whether a late connect is the host's fault: not if only the client's total wait is over.
    pub(crate) fn host_timed_out(&self, now_ms: u64) -> bool {
        match self.state {
            State::Connecting { since_ms, .. } => {
                is_past(self.timeouts.connect_ends_ms(since_ms), now_ms)
            }
            _ => false,
        }
    }

    /// The host has accepted.
    pub(crate) fn handle_connected(&mut self, now_ms: u64) {
        self.state = State::Relaying;
        self.connected_ms = Some(now_ms);
        self.active_ms = now_ms;
        self.attempts.forget_hosts();
        // A new socket has room. Events about the client's room are lost: handle_picked has
        // replaced that half-stream.
        self.to_host.handle_writable();
        self.to_client.handle_writable();
    }

    /// The host has not accepted: tries another one, if there is time.
    pub(crate) fn handle_connect_failed(&mut self, host: HostId, timed_out: bool, now_ms: u64) {
        self.attempts.add_failed(host, timed_out);
        self.try_another(now_ms);
    }

    /// An address has not accepted, and its host's name has moved to another address.
    pub(crate) fn handle_moved(&mut self, timed_out: bool, now_ms: u64) {
        self.attempts.add_moved(timed_out);
        self.try_another(now_ms);
    }

    fn try_another(&mut self, now_ms: u64) {
        if self.attempts.are_exhausted() || is_past(self.total_wait_ends_ms(), now_ms) {
            self.attempts.forget_no_port();
            self.handle_no_host(now_ms);
        } else {
            self.state = State::Picking;
        }
    }

    /// No local port is left for `host` until `until_ms`. Tries another host. If none is left, this
    /// one may be tried again then.
    pub(crate) fn handle_no_port(&mut self, host: HostId, until_ms: u64, now_ms: u64) {
        if self.attempts.add_no_port(host, until_ms) {
            self.state = State::Picking;
        } else {
            self.handle_no_host(now_ms);
        }
    }

    /// This machine lacks something that every connect needs. Pauses, though not without limit.
    pub(crate) fn handle_shortage(&mut self, now_ms: u64) {
        let pause_ms = SHORTAGE_PAUSE_MS << self.pauses.min(MAX_DOUBLINGS);
        self.pauses = self.pauses.saturating_add(1);
        self.pause(now_ms + pause_ms, now_ms);
    }

    fn pause(&mut self, until_ms: u64, now_ms: u64) {
        let wait_ends_ms = self
            .total_wait_ends_ms()
            .unwrap_or(self.started_ms + MAX_SHORTAGE_WAIT_MS);
        if now_ms >= wait_ends_ms {
            self.close(EndReason::LocalError);
        } else {
            self.state = State::Paused {
                until_ms: until_ms.min(wait_ends_ms),
            };
        }
    }

    /// Bytes were read. `short` says that they did not fill the buffer.
    pub(crate) fn handle_read(&mut self, direction: Direction, short: bool, now_ms: u64) {
        self.active_ms = now_ms;
        self.last_sender = direction.source();
        self.spoke[direction.index()] = true;
        let half_stream = self.half_stream_mut(direction);
        if short {
            half_stream.handle_short_read();
        } else {
            half_stream.handle_full_read();
        }
    }

    /// Bytes were read into a pipe; `worthwhile` if they were many.
    pub(crate) fn handle_pipe_filled(
        &mut self,
        direction: Direction,
        bytes: usize,
        worthwhile: bool,
        now_ms: u64,
    ) {
        self.active_ms = now_ms;
        self.last_sender = direction.source();
        self.spoke[direction.index()] = true;
        self.half_stream_mut(direction)
            .handle_pipe_filled(bytes, worthwhile);
    }

    /// Bytes were written from the pipe. If some are left in it, the sink is full.
    pub(crate) fn handle_pipe_drained(&mut self, direction: Direction, bytes: usize, now_ms: u64) {
        if bytes > 0 {
            self.active_ms = now_ms;
        }
        self.half_stream_mut(direction).handle_pipe_drained(bytes);
    }

    /// Reading returned the end of the stream.
    pub(crate) fn handle_end(&mut self, direction: Direction) {
        self.note_end(direction.source());
        self.half_stream_mut(direction).handle_end();
        self.close_if_finished();
    }

    /// Of the bytes just read, `sent` were written. Buffers the rest.
    pub(crate) fn handle_sent(&mut self, direction: Direction, sent: usize, rest: &[u8]) {
        self.half_stream_mut(direction).handle_sent(sent, rest);
        self.close_if_finished();
    }

    /// Buffered bytes were written.
    pub(crate) fn handle_buffered_sent(&mut self, direction: Direction, sent: usize, now_ms: u64) {
        if sent > 0 {
            self.active_ms = now_ms;
        }
        self.half_stream_mut(direction).handle_buffered_sent(sent);
        self.close_if_finished();
    }

    /// The sink's writing half was ended.
    pub(crate) fn handle_shutdown(&mut self, direction: Direction) {
        self.half_stream_mut(direction).handle_shutdown();
    }

    /// Reading from, or writing to, `side` failed: its connection is gone.
    pub(crate) fn handle_broken(&mut self, side: Side) {
        self.note_end(side);
        self.broken.get_or_insert(side);
        // Nothing more can be written to it. What it sent before is still read, so that a host's
        // last bytes reach the client.
        // Test: the_last_words_of_a_host_that_resets_reach_the_client.
        self.half_stream_mut(Direction::from(side).opposite())
            .abort();
        self.close_if_finished();
    }

    /// Reading failed: no more bytes will come.
    pub(crate) fn handle_read_failed(&mut self, direction: Direction) {
        self.note_end(direction.source());
        self.half_stream_mut(direction).handle_end();
        self.handle_broken(direction.source());
    }

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
    }

    /// Handles what is due at `now_ms`.
    pub(crate) fn handle_deadline(&mut self, now_ms: u64) {
        if !is_past(self.deadline_ms(), now_ms) {
            return;
        }
        let silent = is_past(self.silence_ends_ms(), now_ms);
        if silent && self.state == State::Relaying && self.retry_stalled_writes() {
            return;
        }
        match &mut self.state {
            State::Paused { .. } => self.state = State::Picking,
            State::Connecting { late, .. } => *late = true,
            State::Relaying if silent => self.checks_delivery = true,
            State::Relaying => self.keepalive = KeepAlive::Due,
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
        for (delivery, before) in deliveries.into_iter().zip(&mut self.acknowledged) {
            let Some(delivery) = delivery else { continue };
            // A peer with a closed window answers probes, and may acknowledge the same bytes twice.
            // With an empty send queue, now and before, it answers keepalives. None of that is
            // progress.
            // Test: a_peer_that_stopped_acknowledging_is_silent_at_once.
            let counts = delivery.waits || *before > 0;
            if counts && delivery.acknowledged != *before {
                let progress_ms = now_ms.saturating_sub(delivery.progress_ms);
                self.active_ms = self.active_ms.max(progress_ms);
            }
            *before = if delivery.waits {
                delivery.acknowledged
            } else {
                0
            };
        }
        if is_past(self.silence_ends_ms(), now_ms) {
            self.close(match self.last_sender {
                Side::Client => EndReason::HostSilent,
                Side::Host => EndReason::ClientSilent,
            });
        }
    }

    /// Keepalive is on at the host's side.
    pub(crate) fn handle_keepalive(&mut self) {
        self.keepalive = KeepAlive::On;
    }

    /// Ends the session. The first reason stays.
    pub(crate) fn close(&mut self, reason: EndReason) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(reason);
        }
    }

    /// Ends the session once both directions have written all their bytes.
    ///
    /// The second direction needs no half-close: closing the socket does the same, with one system
    /// call less.
    fn close_if_finished(&mut self) {
        if !self.to_host.is_finished() || !self.to_client.is_finished() {
            return;
        }
        self.close(match self.broken {
            None => EndReason::Finished,
            Some(Side::Client) => EndReason::ClientReset,
            Some(Side::Host) => EndReason::HostReset,
        });
    }

    fn total_wait_ends_ms(&self) -> Option<u64> {
        self.timeouts.total_wait_ends_ms(self.started_ms)
    }

    fn silence_ends_ms(&self) -> Option<u64> {
        self.timeouts
            .silence_ends_ms(self.active_ms, self.is_half_closed())
    }

    fn is_half_closed(&self) -> bool {
        self.to_host.is_closed() || self.to_client.is_closed()
    }

    fn keepalive_ms(&self) -> Option<u64> {
        (self.keepalive == KeepAlive::Later).then_some(self.started_ms + KEEPALIVE_AFTER_MS)
    }

    /// One direction. What concerns it alone is reported to it.
    pub(crate) fn half_stream(&self, direction: Direction) -> &HalfStream {
        match direction {
            Direction::ToHost => &self.to_host,
            Direction::ToClient => &self.to_client,
        }
    }

    /// The same, to report to.
    pub(crate) fn half_stream_mut(&mut self, direction: Direction) -> &mut HalfStream {
        match direction {
            Direction::ToHost => &mut self.to_host,
            Direction::ToClient => &mut self.to_client,
        }
    }
}
