//! The state machine of one session: from its pick to its last byte.
//!
//! Pure: no socket, no thread, no clock. It is told what happened (`handle_*`)
//! and says what to do next ([`Session::next`]); `pump` and `worker` do it, on
//! real sockets or on the simulator's. Who is picked is `balance`'s business.

mod bytes;
mod circle;

use super::action::{Action, Direction, Readiness, Side};
use super::attempts::Attempts;
use super::end::EndReason;
use super::half_stream::HalfStream;
use super::listing;
use super::timeouts::{TimeoutsMs, earliest, is_past};
use crate::balance::HostId;
use crate::os::sockets::Delivery;

/// How long a session waits after local trouble before it picks again: twice as
/// long each time, up to 0.8 s.
const PAUSE_MS: u64 = 50;
const MOST_DOUBLINGS: u8 = 4;

/// How long local trouble is borne where there is no connect timeout.
const PATIENCE_MS: u64 = 15_000;

/// When the host's end of a session gets its keepalive: most sessions are over
/// by then, and never pay for the system call.
const KEEPALIVE_AFTER_MS: u64 = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A host is wanted.
    Picking,
    /// A host is wanted, but this machine has no descriptor or port for it now.
    Paused { until_ms: u64 },
    /// A host was picked and has not answered yet.
    Connecting {
        since_ms: u64,
        settle: bool,
        late: bool,
        vouched: bool,
    },
    /// Bytes flow.
    Relaying,
    /// Over.
    Closed(EndReason),
}

/// One client connection and its host connection.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
    to_host: HalfStream,
    to_client: HalfStream,
    /// The side that broke while the other still had something to get.
    broken: Option<Side>,
    /// The side the newest byte came from.
    heard: Side,
    keepalive: KeepAlive,
    /// It was silent for too long, unless the peers still acknowledge bytes.
    checks_delivery: bool,
    /// Bytes that host and client had acknowledged when that was last checked, if there
    /// was more to acknowledge.
    acknowledged: [u64; 2],
    timeouts: TimeoutsMs,
    started_ms: u64,
    connected_ms: Option<u64>,
    active_ms: u64,
    /// What `active_ms` was when what is kept was last tried for want of news.
    knocked_ms: u64,
    attempts: Attempts,
    /// How often it has waited for local trouble to pass.
    pauses: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeepAlive {
    Later,
    Due,
    On,
}

impl Session {
    /// A client has been accepted.
    pub(crate) fn new(timeouts: TimeoutsMs, now_ms: u64) -> Session {
        Session {
            phase: Phase::Picking,
            to_host: HalfStream::new(),
            to_client: HalfStream::new(),
            broken: None,
            heard: Side::Client,
            keepalive: KeepAlive::Later,
            checks_delivery: false,
            acknowledged: [0; 2],
            timeouts,
            started_ms: now_ms,
            connected_ms: None,
            active_ms: now_ms,
            knocked_ms: u64::MAX,
            attempts: Attempts::new(),
            pauses: 0,
        }
    }

    /// What to do now. Never does anything itself: ask again after each step.
    pub(crate) fn next(&self) -> Action {
        match self.phase {
            Phase::Picking => Action::Pick,
            Phase::Paused { .. } => Action::Wait,
            Phase::Connecting {
                settle,
                late,
                vouched,
                ..
            } if settle || late => Action::Settle { late, vouched },
            Phase::Connecting { .. } => Action::Wait,
            Phase::Relaying => self.next_relaying(),
            Phase::Closed(reason) => Action::Close(reason),
        }
    }

    fn next_relaying(&self) -> Action {
        if self.keepalive == KeepAlive::Due {
            return Action::KeepAlive;
        }
        if self.checks_delivery {
            return Action::CheckDelivery;
        }
        // Towards the client first: an answer is what somebody waits for.
        match (
            self.to_client.next(Direction::ToClient),
            self.to_host.next(Direction::ToHost),
        ) {
            // What a client sent before it broke is passed on while that goes
            // without waiting; nobody is there to wait for.
            (Action::Wait, Action::Wait) if self.broken == Some(Side::Client) => {
                Action::Close(EndReason::ClientReset)
            }
            (Action::Wait, step) | (step, _) => step,
        }
    }

    /// The hosts that this client is not to be given now.
    pub(crate) fn tried(&self) -> &[HostId] {
        self.attempts.tried()
    }

    /// What it is doing, as people see it.
    pub(crate) fn phase(&self) -> listing::Phase {
        match self.phase {
            Phase::Picking => listing::Phase::Picking,
            Phase::Paused { .. } => listing::Phase::Waiting,
            Phase::Connecting { .. } => listing::Phase::Connecting,
            Phase::Relaying if self.to_host.is_over() || self.to_client.is_over() => {
                listing::Phase::HalfClosed
            }
            Phase::Relaying | Phase::Closed(_) => listing::Phase::Relaying,
        }
    }

    /// How long ago the last byte came or went.
    pub(crate) fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.active_ms)
    }

    /// Whether it waits for local trouble to pass.
    pub(crate) fn is_paused(&self) -> bool {
        matches!(self.phase, Phase::Paused { .. })
    }

    /// How long the present attempt has taken.
    pub(crate) fn connecting_ms(&self, now_ms: u64) -> u64 {
        match self.phase {
            Phase::Connecting { since_ms, .. } => now_ms.saturating_sub(since_ms),
            _ => 0,
        }
    }

    /// How many hosts have failed this client.
    pub(crate) fn failed(&self) -> usize {
        self.attempts.failed()
    }

    /// When the client came.
    pub(crate) fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// When the host accepted, if it has.
    pub(crate) fn connected_ms(&self) -> Option<u64> {
        self.connected_ms
    }

    /// Bytes handed over so far: to the host, and to the client.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.to_host.sent(), self.to_client.sent())
    }

    /// What is kept of this direction, to be written by [`Action::Write`].
    pub(crate) fn kept(&self, direction: Direction) -> &[u8] {
        self.flow(direction).kept()
    }

    /// How much of this direction is in its pipe.
    pub(crate) fn piped(&self, direction: Direction) -> usize {
        self.flow(direction).piped()
    }

    /// The session must be looked at then, at the latest: `handle_deadline`.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Picking | Phase::Closed(_) => None,
            Phase::Paused { until_ms } => Some(until_ms),
            Phase::Connecting { since_ms, .. } => earliest(
                self.timeouts.connect_ends_ms(since_ms),
                self.patience_ends_ms(),
            ),
            Phase::Relaying => earliest(self.silence_ends_ms(), self.keepalive_ms()),
        }
    }

    /// One of the sockets has changed.
    pub(crate) fn handle_ready(&mut self, side: Side, ready: Readiness) {
        let outgoing = Direction::from(side);
        self.flow_mut(outgoing).handle_readable(ready);
        if ready.writable {
            self.flow_mut(outgoing.opposite()).handle_writable();
        }
        match (&mut self.phase, side) {
            (
                Phase::Connecting {
                    settle, vouched, ..
                },
                Side::Host,
            ) => {
                *settle |= ready.writable || ready.error;
                *vouched |= ready.connected;
            }
            (Phase::Relaying, _) if ready.error => self.handle_broken(side),
            // Before it has a host, only a client that is gone for good counts:
            // one that has merely said all it had to say waits for its answer.
            (Phase::Picking | Phase::Paused { .. } | Phase::Connecting { .. }, Side::Client)
                if ready.error =>
            {
                self.close(EndReason::ClientGone);
            }
            _ => {}
        }
    }

    /// A host was picked, and the connect to it has begun.
    pub(crate) fn handle_picked(&mut self, now_ms: u64) {
        // What was seen of a host tried before does not hold for this one.
        self.to_client = HalfStream::new();
        self.phase = Phase::Connecting {
            since_ms: now_ms,
            settle: false,
            late: false,
            vouched: false,
        };
    }

    /// There is no host for this client (any more).
    pub(crate) fn handle_nobody(&mut self, now_ms: u64) {
        if let Some(in_reach_ms) = self.attempts.forget_out_of_reach() {
            self.pause(in_reach_ms, now_ms);
        } else {
            self.close(if self.attempts.timed_out() {
                EndReason::ConnectTimedOut
            } else {
                EndReason::NoHost
            });
        }
    }

    /// The connect is not settled after all: a spurious wake-up.
    pub(crate) fn handle_connecting(&mut self) {
        if let Phase::Connecting { settle, .. } = &mut self.phase {
            *settle = false;
        }
    }

    /// Whether the host, not this session's patience, is to blame for a connect
    /// that is late.
    pub(crate) fn host_was_slow(&self, now_ms: u64) -> bool {
        match self.phase {
            Phase::Connecting { since_ms, .. } => {
                is_past(self.timeouts.connect_ends_ms(since_ms), now_ms)
            }
            _ => false,
        }
    }

    /// The host has accepted.
    pub(crate) fn handle_connected(&mut self, now_ms: u64) {
        self.phase = Phase::Relaying;
        self.connected_ms = Some(now_ms);
        self.active_ms = now_ms;
        self.attempts.forget_hosts();
        // What is new has room; of the client's room, what was seen is forgotten
        // with the hosts tried before.
        self.to_host.handle_writable();
        self.to_client.handle_writable();
    }

    /// The host has not accepted; another is wanted, if there is time for one.
    pub(crate) fn handle_connect_failed(&mut self, host: HostId, timed_out: bool, now_ms: u64) {
        self.attempts.add_failed(host, timed_out);
        self.try_another(now_ms);
    }

    /// The host has not accepted, but its name has another address, where it is now.
    pub(crate) fn handle_moved(&mut self, timed_out: bool, now_ms: u64) {
        self.attempts.add_moved(timed_out);
        self.try_another(now_ms);
    }

    fn try_another(&mut self, now_ms: u64) {
        if self.attempts.are_used_up() || is_past(self.patience_ends_ms(), now_ms) {
            self.attempts.forget_out_of_reach();
            self.handle_nobody(now_ms);
        } else {
            self.phase = Phase::Picking;
        }
    }

    /// This machine has no local port to reach `host` from, as far as is known:
    /// another host may be in reach. If not, this one may be tried again then.
    pub(crate) fn handle_no_port(&mut self, host: HostId, until_ms: u64, now_ms: u64) {
        if self.attempts.add_out_of_reach(host, until_ms) {
            self.phase = Phase::Picking;
        } else {
            self.handle_nobody(now_ms);
        }
    }

    /// This machine cannot connect to anybody just now. That passes: the
    /// session waits for it, though not for ever.
    pub(crate) fn handle_local_trouble(&mut self, now_ms: u64) {
        let pause_ms = PAUSE_MS << self.pauses.min(MOST_DOUBLINGS);
        self.pauses = self.pauses.saturating_add(1);
        self.pause(now_ms + pause_ms, now_ms);
    }

    fn pause(&mut self, until_ms: u64, now_ms: u64) {
        let patience_ends_ms = self
            .patience_ends_ms()
            .unwrap_or(self.started_ms + PATIENCE_MS);
        if now_ms >= patience_ends_ms {
            self.close(EndReason::LocalTrouble);
        } else {
            self.phase = Phase::Paused {
                until_ms: until_ms.min(patience_ends_ms),
            };
        }
    }

    /// Reading from, or writing to, `side` failed: its connection is gone.
    pub(crate) fn handle_broken(&mut self, side: Side) {
        self.broken.get_or_insert(side);
        // Nothing can be written there any more. What it sent before it broke
        // is still read, so that a host's last words reach the client.
        self.flow_mut(Direction::from(side).opposite()).abort();
        self.settle_end();
    }

    /// Reading from `side` failed: there are no last words.
    pub(crate) fn handle_read_failed(&mut self, direction: Direction) {
        self.flow_mut(direction).handle_end();
        self.handle_broken(direction.source());
    }

    /// Time has passed; whatever is due is dealt with.
    pub(crate) fn handle_deadline(&mut self, now_ms: u64) {
        if !is_past(self.deadline_ms(), now_ms) {
            return;
        }
        let silent = is_past(self.silence_ends_ms(), now_ms);
        if silent && self.phase == Phase::Relaying && self.may_go_after_all() {
            return;
        }
        match &mut self.phase {
            Phase::Paused { .. } => self.phase = Phase::Picking,
            Phase::Connecting { late, .. } => *late = true,
            Phase::Relaying if silent => self.checks_delivery = true,
            Phase::Relaying => self.keepalive = KeepAlive::Due,
            Phase::Picking | Phase::Closed(_) => {}
        }
    }

    /// Has what is kept written once more. The system tells of room only when there
    /// is much of it: to a slow reader bytes may be on their way all the time.
    /// Whether that is worth a try: nothing has gone out since the last one.
    fn may_go_after_all(&mut self) -> bool {
        if self.knocked_ms == self.active_ms {
            return false;
        }
        self.knocked_ms = self.active_ms;
        let to_host = self.to_host.handle_overdue();
        self.to_client.handle_overdue() || to_host
    }

    /// How far host and client have got with what was written, if that is known. A write
    /// that succeeded has only filled the system's buffers: the session is not silent
    /// while these empty.
    pub(crate) fn handle_delivery(&mut self, deliveries: [Option<Delivery>; 2], now_ms: u64) {
        self.checks_delivery = false;
        for (delivery, before) in deliveries.into_iter().zip(&mut self.acknowledged) {
            let Some(delivery) = delivery else { continue };
            // A peer may acknowledge again and again what it has acknowledged before; what
            // it says where nothing waits, nor did when last checked, answers a keepalive.
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
            self.close(match self.heard {
                Side::Client => EndReason::HostSilent,
                Side::Host => EndReason::ClientSilent,
            });
        }
    }

    /// Keepalive is on at the host's end.
    pub(crate) fn handle_keepalive(&mut self) {
        self.keepalive = KeepAlive::On;
    }

    /// Somebody decided that the session is over.
    pub(crate) fn close(&mut self, reason: EndReason) {
        if !matches!(self.phase, Phase::Closed(_)) {
            self.phase = Phase::Closed(reason);
        }
    }

    /// Ends the session once neither direction has anything left to do.
    ///
    /// Where the other direction has ended before, closing does what a
    /// half-close would: one system call less.
    fn settle_end(&mut self) {
        if !self.to_host.finished() || !self.to_client.finished() {
            return;
        }
        self.close(match self.broken {
            None => EndReason::Finished,
            Some(Side::Client) => EndReason::ClientReset,
            Some(Side::Host) => EndReason::HostReset,
        });
    }

    fn patience_ends_ms(&self) -> Option<u64> {
        self.timeouts.patience_ends_ms(self.started_ms)
    }

    fn silence_ends_ms(&self) -> Option<u64> {
        let half_closed = self.to_host.is_over() || self.to_client.is_over();
        self.timeouts.silence_ends_ms(self.active_ms, half_closed)
    }

    fn keepalive_ms(&self) -> Option<u64> {
        (self.keepalive == KeepAlive::Later).then_some(self.started_ms + KEEPALIVE_AFTER_MS)
    }

    fn flow(&self, direction: Direction) -> &HalfStream {
        match direction {
            Direction::ToHost => &self.to_host,
            Direction::ToClient => &self.to_client,
        }
    }

    fn flow_mut(&mut self, direction: Direction) -> &mut HalfStream {
        match direction {
            Direction::ToHost => &mut self.to_host,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

#[cfg(test)]
mod tests {
    //! The state machine, event by event, without a byte or a socket.

    mod connecting;
    mod local_trouble;
    mod relaying;
    mod resets;
    mod silence;

    use super::*;
    use Direction::{ToClient, ToHost};
    use Side::{Client, Host};

    const TIMEOUTS: TimeoutsMs = TimeoutsMs {
        connect: 5000,
        idle: 60_000,
        half_closed: 10_000,
    };

    const READABLE: Readiness = ready(true, false, false, false);
    const WRITABLE: Readiness = ready(false, true, false, false);
    /// Bytes with the end behind them, or the end alone.
    const ENDING: Readiness = ready(true, true, true, false);
    /// A reset, as epoll shows it.
    const BROKEN: Readiness = ready(true, true, true, true);

    const fn ready(readable: bool, writable: bool, read_closed: bool, error: bool) -> Readiness {
        Readiness {
            readable,
            writable,
            read_closed,
            error,
            urgent: false,
            connected: false,
        }
    }

    /// To see how a connect stands that nobody vouches for.
    const fn settle(late: bool) -> Action {
        Action::Settle {
            late,
            vouched: false,
        }
    }

    /// A session whose client came at 0.
    fn picking(timeouts: TimeoutsMs) -> Session {
        let session = Session::new(timeouts, 0);
        assert_eq!(session.next(), Action::Pick);
        session
    }

    /// The same, whose connect began at `now_ms`.
    fn connecting(timeouts: TimeoutsMs, now_ms: u64) -> Session {
        let mut session = picking(timeouts);
        session.handle_picked(now_ms);
        assert_eq!(session.next(), Action::Wait);
        session
    }

    /// The same, connected at once.
    fn relaying(timeouts: TimeoutsMs) -> Session {
        let mut session = connecting(timeouts, 0);
        session.handle_connected(0);
        assert_eq!(session.next(), Action::Wait);
        session
    }

    /// Reads `bytes` in this direction, all there were, of which `sent` go out.
    fn pass(session: &mut Session, direction: Direction, bytes: &[u8], sent: usize, now_ms: u64) {
        assert_eq!(session.next(), Action::Read(direction));
        session.handle_read(direction, true, now_ms);
        session.handle_sent(direction, sent, &bytes[sent..]);
    }

    /// Reads the end of this direction, and passes it on.
    fn half_close(session: &mut Session, direction: Direction) {
        session.handle_ready(direction.source(), ENDING);
        assert_eq!(session.next(), Action::Read(direction));
        session.handle_end(direction);
        assert_eq!(session.next(), Action::Shutdown(direction));
        session.handle_shut(direction);
    }

    /// Local trouble without end, met every time the session picks. When, and as
    /// what, it ends.
    fn trouble_without_end(timeouts: TimeoutsMs) -> (u64, EndReason) {
        let mut session = picking(timeouts);
        let mut now_ms = 0;
        loop {
            session.handle_local_trouble(now_ms);
            match session.next() {
                Action::Close(reason) => return (now_ms, reason),
                step => assert_eq!(step, Action::Wait),
            }
            now_ms = session.deadline_ms().unwrap();
            session.handle_deadline(now_ms);
            assert_eq!(session.next(), Action::Pick);
        }
    }
}
