//! The state machine of one session, from the pick of a host to the last byte. Pure.
//!
//! It holds no socket, thread or clock. [`Session::next`] says what to do, a `Connection` does it,
//! and a `handle_*` method reports the result.

mod attempts;
mod half_stream;
mod held;
mod silence;
#[cfg(test)]
mod tests;

use attempts::{Attempts, is_past};
pub(crate) use attempts::{TimeoutsMs, earliest};
use half_stream::HalfStream;
pub use half_stream::Phase;
pub(crate) use half_stream::{Action, Direction, Readiness, Side};
pub(crate) use silence::Break;
use silence::PeerWatch;

use super::failure::EndReason;
use crate::balance::{HostEnd, HostId};

/// How long a session waits after a shortage before it picks again. Doubles each time, up to 0.8 s.
const SHORTAGE_PAUSE_MS: u64 = 50;
const MAX_DOUBLINGS: u8 = 4;

/// How long a session waits for a shortage to pass where there is no connect timeout.
const MAX_SHORTAGE_WAIT_MS: u64 = 15_000;

/// How long a session waits if all its hosts are addresses of txlb itself.
const ROUTING_LOOP_WAIT_MS: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The client's first bytes are awaited, until then.
    FirstBytes { until_ms: u64 },
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
    /// The side that broke first, and how.
    broken: Option<(Side, Break)>,
    /// The host was written a header of txlb's own: what the client has said already is to follow in
    /// the same write.
    reads_ahead: bool,
    /// The side that sent the last byte.
    last_sender: Side,
    /// Whether the source of each direction has said anything.
    spoke: [bool; 2],
    /// Whether the host ended its side, or broke, before the client did.
    host_ended_first: bool,
    peer_watch: PeerWatch,
    /// It seems silent: ask whether the peers still acknowledge bytes.
    checks_delivery: bool,
    /// What host and client had acknowledged at the last check; 0 before it.
    acknowledged: [u64; 2],
    /// Whether host and client had something to acknowledge at the last check.
    owes: [bool; 2],
    /// When that was.
    delivery_checked_ms: u64,
    timeouts: TimeoutsMs,
    started_ms: u64,
    /// How long it awaited the client's first bytes, without `paused_ms`.
    awaited_ms: u64,
    /// How long the process or the machine stood still since then, and until when.
    paused_ms: u64,
    resumed_ms: u64,
    /// The value of `paused_ms` at the last check of deliveries.
    checked_paused_ms: u64,
    connected_ms: Option<u64>,
    /// When the last byte was read or written.
    active_ms: u64,
    /// The value of `active_ms` when buffered bytes were last written without an event.
    last_write_retry_ms: u64,
    attempts: Attempts,
    /// How often it has waited for a shortage to pass.
    pauses: u8,
    /// How many hosts ended without an answer to what was then said to another one.
    replays: u8,
}

impl Session {
    /// The session of a client that was just accepted.
    pub(crate) fn new(timeouts: TimeoutsMs, now_ms: u64) -> Session {
        Session {
            state: State::Picking,
            to_host: HalfStream::new(),
            to_client: HalfStream::new(),
            broken: None,
            reads_ahead: false,
            last_sender: Side::Client,
            spoke: [false; 2],
            host_ended_first: false,
            peer_watch: PeerWatch::Later,
            checks_delivery: false,
            acknowledged: [0; 2],
            owes: [false; 2],
            delivery_checked_ms: u64::MAX,
            timeouts,
            started_ms: now_ms,
            awaited_ms: 0,
            paused_ms: 0,
            resumed_ms: 0,
            checked_paused_ms: 0,
            connected_ms: None,
            active_ms: now_ms,
            last_write_retry_ms: u64::MAX,
            attempts: Attempts::new(),
            pauses: 0,
            replays: 0,
        }
    }

    /// The next action. Changes nothing: ask again after each action.
    pub(crate) fn next(&self) -> Action {
        match self.state {
            State::FirstBytes { .. } if self.to_host.is_readable() => Action::Hold,
            State::FirstBytes { .. } => Action::Wait,
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
        if self.peer_watch == PeerWatch::Due {
            return Action::WatchPeers(self.timeouts);
        }
        if self.checks_delivery {
            return Action::CheckDelivery;
        }
        if self.may_replay() {
            return Action::Replay;
        }
        if self.reads_ahead && self.to_host.is_readable() {
            return Action::Hold;
        }
        // The direction to the client first: a client waits for its answer.
        match (
            self.to_client.next(Direction::ToClient),
            self.to_host.next(Direction::ToHost),
        ) {
            // What a client sent before it broke is passed on while the host takes it at once.
            // Test: what_a_client_sent_before_its_reset_is_passed_on_while_that_goes_at_once.
            (Action::Wait, Action::Wait) if self.is_broken(Side::Client) => {
                Action::Close(self.break_reason())
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
            State::FirstBytes { .. } => Phase::FirstBytes,
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

    /// The hosts that have failed this client, in order.
    pub(crate) fn failed_hosts(&self) -> &[HostId] {
        self.attempts.failed_hosts()
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
        let deadline_ms = match self.state {
            State::Picking | State::Closed(_) => return None,
            State::FirstBytes { until_ms } => Some(until_ms.saturating_add(self.paused_ms)),
            State::Paused { until_ms } => Some(until_ms),
            State::Connecting { since_ms, .. } => earliest(
                self.timeouts.connect_ends_ms(since_ms),
                self.total_wait_ends_ms(),
            ),
            State::Relaying => earliest(self.silence_ends_ms(), self.watch_peers_ms()),
        };
        earliest(deadline_ms, self.max_duration_ends_ms())
    }

    /// An event came for the socket of `side`.
    pub(crate) fn handle_ready(&mut self, side: Side, ready: Readiness, now_ms: u64) {
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
            (State::Relaying, _) if ready.error => self.handle_broken(side, Break::Unknown, now_ms),
            // Before it has a host, only a reset by the client counts: a client that has merely
            // ended its stream waits for its answer.
            (
                State::FirstBytes { .. }
                | State::Picking
                | State::Paused { .. }
                | State::Connecting { .. },
                Side::Client,
            ) if ready.error => self.close(EndReason::ClientGone),
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
        let until_ms = self.started_ms + self.awaited_ms + ROUTING_LOOP_WAIT_MS;
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

    /// The host has accepted. `header` is written to it first; it may be empty.
    pub(crate) fn handle_connected(&mut self, header: &[u8], now_ms: u64) {
        if !header.is_empty() {
            self.reads_ahead = !self.to_host.has_unsent();
            self.to_host.lead_with(header);
        }
        self.state = State::Relaying;
        self.connected_ms = Some(now_ms);
        self.active_ms = now_ms;
        if !self.to_host.keeps_all() {
            self.attempts.forget_hosts();
        }
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
            .unwrap_or(self.started_ms + self.awaited_ms + MAX_SHORTAGE_WAIT_MS);
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
        self.note_spoken(direction);
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
        self.note_spoken(direction);
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

    /// Of the `bytes` just read, `sent` were written. Buffers the rest.
    pub(crate) fn handle_sent(&mut self, direction: Direction, bytes: &[u8], sent: usize) {
        self.half_stream_mut(direction).handle_sent(bytes, sent);
        self.close_if_finished();
    }

    /// Buffered bytes were written.
    pub(crate) fn handle_buffered_sent(&mut self, direction: Direction, sent: usize, now_ms: u64) {
        if sent > 0 {
            self.active_ms = now_ms;
        }
        self.reads_ahead &= direction != Direction::ToHost;
        self.half_stream_mut(direction).handle_buffered_sent(sent);
        self.close_if_finished();
    }

    /// The sink's writing half was ended.
    pub(crate) fn handle_shutdown(&mut self, direction: Direction, now_ms: u64) {
        self.begin_half_close(now_ms);
        self.half_stream_mut(direction).handle_shutdown();
    }

    /// Reading from, or writing to, `side` failed: its connection is gone.
    pub(crate) fn handle_broken(&mut self, side: Side, how: Break, now_ms: u64) {
        self.note_end(side);
        self.begin_half_close(now_ms);
        match &mut self.broken {
            Some((first, Break::Unknown)) if *first == side => self.broken = Some((side, how)),
            broken => drop(broken.get_or_insert((side, how))),
        }
        // Nothing more can be written to it. What it sent before is still read, so that a host's
        // last bytes reach the client.
        // Test: the_last_words_of_a_host_that_resets_reach_the_client.
        self.half_stream_mut(Direction::from(side).opposite())
            .abort();
        self.close_if_finished();
    }

    /// Reading failed: no more bytes will come.
    pub(crate) fn handle_read_failed(&mut self, direction: Direction, how: Break, now_ms: u64) {
        self.note_end(direction.source());
        self.half_stream_mut(direction).handle_end();
        self.handle_broken(direction.source(), how, now_ms);
    }

    /// The side whose connection broke by an error that was not read yet.
    pub(crate) fn unknown_break(&self) -> Option<Side> {
        let (side, how) = self.broken?;
        (how == Break::Unknown).then_some(side)
    }

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
    fn note_end(&mut self, side: Side) {
        let client_ended = self.to_host.is_ending() || self.is_broken(Side::Client);
        self.host_ended_first |= side == Side::Host && !client_ended;
    }

    fn is_broken(&self, side: Side) -> bool {
        self.broken.is_some_and(|(broken, _)| broken == side)
    }

    /// Whether nothing is on its way through it: it may be ended in order.
    pub(crate) fn is_quiet(&self) -> bool {
        self.connected_ms.is_some() && self.to_host.is_quiet() && self.to_client.is_quiet()
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
        if !self.to_host.is_finished() || !self.to_client.is_finished() || self.may_replay() {
            return;
        }
        self.close(self.break_reason());
    }

    /// Why it ends: by the side that broke, if one did.
    fn break_reason(&self) -> EndReason {
        match self.broken {
            None => EndReason::Finished,
            Some((side, Break::Silent)) => EndReason::silence_of(side),
            Some((Side::Client, _)) => EndReason::ClientReset,
            Some((Side::Host, _)) => EndReason::HostReset,
        }
    }

    fn total_wait_ends_ms(&self) -> Option<u64> {
        let passed_ms = self.awaited_ms.saturating_add(self.paused_ms);
        let since_ms = self.started_ms.saturating_add(passed_ms);
        self.timeouts.total_wait_ends_ms(since_ms)
    }

    fn is_half_closed(&self) -> bool {
        self.to_host.is_closed() || self.to_client.is_closed()
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
