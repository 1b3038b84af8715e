//! A session on simulated sockets: does what the state machine asks for.
//!
//! The plain mirror of `link`. Checks what must hold of each session; when its
//! turn is, is the world's business.

use std::net::IpAddr;

use super::super::attempts::MAX_ATTEMPTS;
use super::super::end::EndReason;
use super::super::failure::{Blame, Progress, blame};
use super::super::link::TurnEnd;
use super::super::meters::Trouble;
use super::super::pump;
use super::super::session::Session;
use super::super::step::{Direction, Side, Step};
use super::super::timeouts::TimeoutsMs;
use super::farm::Farm;
use super::peer::Peer;
use super::socket::Socket;
use super::wire::Sockets;
use crate::balance::{Ask, Failure, HostId, Picked, Random};

/// Few, so that turns are cut short.
const READS_A_TURN: u32 = 4;

/// More than any turn needs: 16 hosts, or 4 reads with all that follows them.
const STEPS_A_TURN: usize = 64;

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) session: Session,
    pub(super) sockets: Sockets,
    pub(super) picked: Option<Picked>,
    pub(super) queued: bool,
    pub(super) over: Option<EndReason>,
    client: IpAddr,
    timeouts: TimeoutsMs,
    /// The hosts that failed it.
    failed_by: Vec<HostId>,
}

/// What the world lends a session for its turn.
pub(super) struct Turn<'a> {
    pub(super) farm: &'a mut Farm,
    pub(super) buffer: &'a mut [u8],
    pub(super) random: &'a mut Random,
    pub(super) now_ms: u64,
    /// Whether every step is printed.
    pub(super) trace: bool,
}

impl Seat {
    pub(super) fn new(client: IpAddr, sockets: Sockets, timeouts: TimeoutsMs) -> Seat {
        Seat {
            session: Session::new(timeouts, sockets.now_ms),
            sockets,
            picked: None,
            queued: true,
            over: None,
            client,
            timeouts,
            failed_by: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, turn: &mut Turn<'_>) -> TurnEnd {
        self.sockets.now_ms = turn.now_ms;
        let mut reads = 0;
        for _ in 0..STEPS_A_TURN {
            let step = self.session.next();
            if turn.trace {
                eprintln!("{:>9} ms   {step:?}", turn.now_ms);
            }
            match step {
                Step::Wait => return TurnEnd::Waiting,
                Step::Close(reason) => return TurnEnd::Over(reason),
                Step::Read(_) if reads == READS_A_TURN => return TurnEnd::CutShort,
                Step::Read(_) => reads += 1,
                _ => {}
            }
            self.take(step, turn);
        }
        panic!("spins: {:?}", self.session);
    }

    fn take(&mut self, step: Step, turn: &mut Turn<'_>) {
        let (session, sockets) = (&mut self.session, &mut self.sockets);
        match step {
            Step::Read(direction) => {
                let kept = session.kept(direction).len();
                assert_eq!(kept, 0, "reads while something is kept");
                pump::read(session, sockets, direction, turn.buffer, turn.now_ms);
                let kept = session.kept(direction).len();
                assert!(kept <= turn.buffer.len(), "keeps more than it ever reads");
            }
            Step::Write(direction) => pump::write_kept(session, sockets, direction, turn.now_ms),
            Step::Shutdown(direction) => pump::shutdown(session, sockets, direction),
            Step::Pick => self.pick(turn),
            Step::Settle { late } => self.settle(late, turn),
            Step::KeepAlive => session.handle_keepalive(),
            Step::Wait | Step::Close(_) => {}
        }
    }

    fn pick(&mut self, turn: &mut Turn<'_>) {
        self.picked = turn.farm.pick(&mut Ask {
            client: self.client,
            tried: self.session.tried(),
            now_ms: turn.now_ms,
            random: turn.random,
        });
        let Some(picked) = &self.picked else {
            return self.session.handle_nobody(turn.now_ms);
        };
        assert!(!self.failed_by.contains(&picked.id), "tried twice");
        assert!(self.failed_by.len() < MAX_ATTEMPTS, "tries too many hosts");
        if turn.trace {
            eprintln!("{:>9} ms     {}", turn.now_ms, picked.host.name);
        }
        match turn.farm.connect(picked.address, turn.random, turn.now_ms) {
            Ok(connect) => {
                let peer = Peer::new(turn.random);
                let (stream, room) = (turn.random.index(251), 1 + turn.random.index(48));
                self.sockets.host = Some(Socket::new(peer, stream, room, connect));
                self.session.handle_picked(turn.now_ms);
            }
            Err(error) => self.connect_failed(blame(&error), turn),
        }
    }

    fn settle(&mut self, late: bool, turn: &mut Turn<'_>) {
        let Some(host) = &mut self.sockets.host else {
            panic!("settles without a host");
        };
        match host.progress() {
            Progress::Connected => {
                self.session.handle_connected(turn.now_ms);
                self.sockets.active_ms = turn.now_ms;
                if let Some(picked) = &self.picked {
                    turn.farm.connected(picked, turn.now_ms);
                }
            }
            Progress::Failed(blame) => self.connect_failed(blame, turn),
            Progress::Pending if late => self.connect_is_late(turn),
            Progress::Pending => self.session.handle_connecting(),
        }
    }

    fn connect_is_late(&mut self, turn: &mut Turn<'_>) {
        if self.session.host_was_slow(turn.now_ms) {
            return self.connect_failed(Blame::Host(Failure::TimedOut), turn);
        }
        if let Some(picked) = self.let_go() {
            turn.farm.abandoned(&picked, self.client, turn.now_ms);
            self.session
                .handle_connect_failed(picked.id, true, turn.now_ms);
        }
    }

    fn connect_failed(&mut self, blame: Blame, turn: &mut Turn<'_>) {
        let Some(picked) = self.let_go() else { return };
        let now_ms = turn.now_ms;
        match blame {
            Blame::Host(failure) => {
                let timed_out = failure == Failure::TimedOut;
                self.failed_by.push(picked.id);
                turn.farm
                    .connect_failed(&picked, self.client, failure, now_ms);
                self.session
                    .handle_connect_failed(picked.id, timed_out, now_ms);
            }
            Blame::Local(trouble) => {
                turn.farm.abandoned(&picked, self.client, now_ms);
                match trouble {
                    Trouble::NoPorts => self.session.handle_no_port(picked.id, now_ms),
                    _ => self.session.handle_local_trouble(now_ms),
                }
            }
        }
    }

    fn let_go(&mut self) -> Option<Picked> {
        self.sockets.host = None;
        self.picked.take()
    }

    /// Closes the sockets and is taken off its host's count.
    pub(super) fn close(&mut self, reason: EndReason, farm: &mut Farm, now_ms: u64) {
        self.over = Some(reason);
        for socket in self.sockets.each_mut() {
            socket.close(reason.resets());
        }
        self.check_end(reason, now_ms);
        if let Some(picked) = self.picked.take() {
            match self.session.connected_ms() {
                Some(_) => farm.released(&picked, self.client, now_ms),
                None => farm.abandoned(&picked, self.client, now_ms),
            }
        }
    }
}

/// What must hold.
impl Seat {
    /// That it ended for the reason it gives.
    fn check_end(&self, reason: EndReason, now_ms: u64) {
        let connected = self.session.connected_ms().is_some();
        let client = &self.sockets.client;
        let host = self.sockets.host.as_ref();
        let silent_ms = now_ms - self.sockets.active_ms;
        let holds = match reason {
            EndReason::Finished => self.is_complete(Side::Client) && self.is_complete(Side::Host),
            EndReason::ClientReset => connected && client.reset,
            EndReason::HostReset => {
                connected && host.is_some_and(|it| it.reset && self.has_last_words(it))
            }
            EndReason::ClientGone => !connected && client.reset,
            EndReason::ClientSilent | EndReason::HostSilent => {
                connected && self.may_end_after(silent_ms)
            }
            EndReason::NoHost | EndReason::ConnectTimedOut | EndReason::LocalTrouble => !connected,
            _ => true,
        };
        assert!(
            holds,
            "ends as {reason:?}, but did not: {:#?} {:#?}",
            self.session, self.sockets
        );
    }

    /// Whether what a host said before it broke has reached the client.
    fn has_last_words(&self, host: &Socket) -> bool {
        let client = &self.sockets.client;
        client.reset || client.wrote == host.said
    }

    /// Whether all that `side` was to get has arrived, with an orderly end, and
    /// nothing is known of a reset.
    fn is_complete(&self, side: Side) -> bool {
        self.sockets.pair(side).is_some_and(|(sink, source)| {
            source.is_heard_out()
                && sink.wrote == source.said
                && sink.was_closed_orderly()
                && !sink.reset_known
        })
    }

    fn may_end_after(&self, silent_ms: u64) -> bool {
        let is_half_closed = self
            .sockets
            .each()
            .any(|socket| socket.shut || socket.reset_known);
        let passed = |timeout_ms: u64| timeout_ms > 0 && silent_ms >= timeout_ms;
        passed(self.timeouts.idle) || (is_half_closed && passed(self.timeouts.half_closed))
    }

    /// That it waits for somebody else, and not for ever.
    pub(super) fn check_waiting(&self) {
        assert_eq!(
            self.session.next(),
            Step::Wait,
            "forgotten: {:#?} {:#?}",
            self.session,
            self.sockets
        );
        if self.session.connected_ms().is_none() {
            return;
        }
        let client = &self.sockets.client;
        assert!(!client.reset_known, "waits for a client that is gone");
        for direction in [Direction::ToHost, Direction::ToClient] {
            let Some((sink, source)) = self.sockets.pair(direction.sink()) else {
                continue;
            };
            let takes = sink.has_room() && !sink.reset && !sink.shut;
            let gives = !self.session.kept(direction).is_empty()
                || source.has_something()
                || source.ended
                || source.reset;
            assert!(
                !(takes && gives),
                "stuck {direction:?}: {:#?} {:#?}",
                self.session,
                self.sockets
            );
        }
    }

    /// That it does not outlast its time.
    pub(super) fn check_time(&self, now_ms: u64, slack_ms: u64) {
        let late = |since_ms: u64, timeout_ms: u64| {
            timeout_ms > 0 && now_ms > since_ms + timeout_ms + slack_ms
        };
        let overdue = match self.session.connected_ms() {
            Some(_) => {
                let active_ms = self.sockets.active_ms;
                let half_closed_ms = self.sockets.half_closed_ms;
                late(active_ms, self.timeouts.idle)
                    || half_closed_ms.is_some_and(|since_ms| {
                        late(since_ms.max(active_ms), self.timeouts.half_closed)
                    })
            }
            None => late(self.session.started_ms(), 3 * self.timeouts.connect),
        };
        assert!(
            !overdue,
            "outlasts its time: {:#?} {:#?}",
            self.session, self.sockets
        );
    }
}
