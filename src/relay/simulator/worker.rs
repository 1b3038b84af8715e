//! A simulated worker: the engine, with events from simulated sockets and a time of its own.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use super::super::engine::{Engine, Limits, MAILBOX_TOKEN, Message, Polled};
use super::super::session::Readiness;
use super::super::session_record::SessionListPart;
use super::super::timer_wheel::TICK_MS;
use super::listener::{CLOSE_WITHIN_MS, Listener};
use super::socket::Socket;
use super::times::PAUSE_MS;
use super::transport::{MAX_READS_PER_RUN, Pipes, SimulatedTransport};
use super::world::{SLACK_MS, STALLED_MS, World};

/// How long clients wait in a backlog after a shortage, or while there is no room.
const ACCEPT_PAUSE_MS: u64 = 100;

pub(super) struct SimulatedWorker {
    pub(super) engine: Engine<SimulatedTransport>,
    pub(super) limits: Limits,
    /// `None` once the controller is gone.
    mailbox: Option<SyncSender<Message<SimulatedTransport>>>,
    waker: Arc<AtomicBool>,
    pub(super) listeners: Vec<Listener>,
    /// What the worker must answer once all these listeners are closed.
    acknowledgements: Vec<(Receiver<()>, Vec<Listener>)>,
    /// A list of sessions that was asked for, with room for so many.
    pub(super) list: Option<(Receiver<SessionListPart>, usize)>,
    /// Tokens of former connections: an event may come late.
    old_tokens: Vec<usize>,
    /// When its poll returns without an event.
    pub(super) wake_ms: Option<u64>,
    /// When its last iteration began, and was over.
    loop_ms: u64,
    ended_ms: u64,
    pub(super) is_done: bool,
}

impl SimulatedWorker {
    pub(super) fn new(number: usize, world: &mut World) -> SimulatedWorker {
        let (mailbox, messages) = sync_channel(16);
        let waker = Arc::new(AtomicBool::new(false));
        world.shared.handoffs.open(number, Arc::clone(&waker));
        let limits = Limits {
            buffer_bytes: 1 + world.random.index(64),
            max_reads: MAX_READS_PER_RUN,
            first_bytes: world.first_bytes_limit,
            max_events: [2, 3, 1024][world.random.index(3)],
        };
        let network = (world.network.clone(), Pipes::default());
        let (shared, seed) = (Arc::clone(&world.shared), world.random.next_u64());
        let now_ms = world.now_ms;
        SimulatedWorker {
            engine: Engine::new(number, shared, messages, network, limits, seed, now_ms),
            limits,
            mailbox: Some(mailbox),
            waker,
            listeners: Vec::new(),
            acknowledgements: Vec::new(),
            list: None,
            old_tokens: Vec::new(),
            wake_ms: None,
            loop_ms: now_ms,
            ended_ms: now_ms,
            is_done: false,
        }
    }

    pub(super) fn post(&mut self, message: Message<SimulatedTransport>) {
        if let Some(mailbox) = self.mailbox.as_ref().filter(|_| !self.is_done) {
            mailbox.send(message).expect("a worker is gone");
            self.waker.store(true, Ordering::Relaxed);
        }
    }

    /// The controller goes, and takes the mailbox along.
    pub(super) fn hang_up(&mut self) {
        self.mailbox = None;
        self.waker.store(true, Ordering::Relaxed);
    }

    /// Expects an answer once all listeners that must be closed now are closed.
    pub(super) fn expect_acknowledgement(&mut self, acknowledgement: Receiver<()>) {
        let closing = |listener: &&Listener| listener.closing_since_ms().is_some();
        let closing = self.listeners.iter().filter(closing).cloned().collect();
        self.acknowledgements.push((acknowledgement, closing));
    }

    /// Asks for a list of at most `room` sessions.
    pub(super) fn expect_list(&mut self, parts: Receiver<SessionListPart>, room: usize) {
        self.list = Some((parts, room));
    }

    pub(super) fn transports(&mut self) -> impl Iterator<Item = &mut SimulatedTransport> {
        self.engine
            .connections
            .iter_mut()
            .map(|it| &mut it.1.transport)
    }

    /// Whether its poll would return at once.
    pub(super) fn has_event(&mut self, now_ms: u64) -> bool {
        let has_event = self.waker.load(Ordering::Relaxed)
            || self.wake_ms.is_some_and(|wake_ms| wake_ms <= now_ms)
            || self.listeners.iter().any(Listener::has_event)
            || self.transports().any(|it| it.has_event_by(now_ms));
        has_event && !self.is_done
    }

    /// One iteration of the event loop.
    pub(super) fn iterate(&mut self, world: &mut World) {
        if self.is_done {
            return;
        }
        world.seen.iterations += 1;
        // A signal may end any poll.
        let interrupted = !self.has_event(world.now_ms) || world.random.below(16) == 0;
        let (events, full) = match interrupted {
            true => (Vec::new(), false),
            false => self.poll(world),
        };
        self.correct_times(world);
        world.network.loop_ms.set(world.now_ms);
        self.engine.begin_iteration(world.now_ms);
        for (token, ready) in events {
            self.engine.dispatch_event(token, ready);
        }
        let polled = Polled { interrupted, full };
        self.engine
            .run_iteration(polled, |connection, context| world.run(connection, context));
        world.may_stall();
        self.check_iteration(world);
        let timeout = self.engine.poll_timeout(|| world.now_ms);
        let milliseconds = |it: std::time::Duration| u64::try_from(it.as_millis()).unwrap();
        self.ended_ms = world.now_ms;
        self.wake_ms = timeout.map(|it| world.now_ms + milliseconds(it));
        self.is_done = self.engine.is_done();
        world.may_stall();
    }

    /// Has the model of each session know when the last iteration was over, if it was stalled.
    fn correct_times(&mut self, world: &mut World) {
        let waited = self.wake_ms.is_none_or(|wake_ms| wake_ms > self.ended_ms);
        let start_ms = std::mem::replace(&mut self.loop_ms, world.now_ms);
        let end_ms = if waited { self.ended_ms } else { world.now_ms };
        if end_ms > start_ms + STALLED_MS {
            self.stand_still(world, start_ms, end_ms);
        }
        let now_ms = world.now_ms;
        if waited && self.wake_ms.is_some_and(|it| now_ms >= it + PAUSE_MS) {
            self.stand_still(world, end_ms, now_ms);
        }
    }

    fn stand_still(&mut self, world: &mut World, from_ms: u64, until_ms: u64) {
        world.stalled_ms = world.stalled_ms.max(until_ms);
        self.transports()
            .for_each(|it| it.correct_times(from_ms, until_ms));
    }

    /// The events that there are, as many as one poll returns, and whether there may be more.
    fn poll(&mut self, world: &mut World) -> (Vec<(usize, Readiness)>, bool) {
        let mut events = Vec::new();
        let readable = Readiness {
            readable: true,
            ..Readiness::default()
        };
        if self.waker.swap(false, Ordering::Relaxed) {
            events.push((MAILBOX_TOKEN, readable));
        }
        let listeners = self.listeners.iter().filter_map(Listener::poll);
        events.extend(listeners.map(|token| (token, readable)));
        let max_events = self.limits.max_events;
        let now_ms = world.now_ms;
        self.transports().for_each(|it| it.host_answers(now_ms));
        let sockets = self
            .transports()
            .flat_map(SimulatedTransport::each_with_token);
        let mut sockets: Vec<_> = sockets.filter(|it| it.1.has_event()).collect();
        let full = sockets.len() >= max_events;
        for (token, socket) in next_to_report(&mut sockets, max_events) {
            if let Some(ready) = socket.poll() {
                if world.trace {
                    eprintln!("{now_ms:>9} ms {token:#x} {ready:?}");
                }
                events.push((*token, ready));
            }
        }
        events.extend(self.late_event(world));
        let first = world.random.index(events.len().max(1));
        events.rotate_left(first);
        (events, full)
    }

    /// An event of a connection that has ended, now and then.
    fn late_event(&mut self, world: &mut World) -> Option<(usize, Readiness)> {
        let sockets = self
            .transports()
            .flat_map(SimulatedTransport::each_with_token);
        let tokens: Vec<usize> = sockets.map(|it| it.0).collect();
        let old_tokens = &mut self.old_tokens;
        let known = |token: &usize| old_tokens.contains(token);
        let new: Vec<usize> = tokens.iter().copied().filter(|it| !known(it)).collect();
        old_tokens.extend(new);
        let token = old_tokens[world.random.index(old_tokens.len().max(1))..].first()?;
        let broken = Readiness {
            readable: true,
            error: true,
            ..Readiness::default()
        };
        (!tokens.contains(token) && world.random.below(4) == 0).then_some((*token, broken))
    }

    /// Checks what an iteration did besides running connections.
    fn check_iteration(&mut self, world: &mut World) {
        self.acknowledgements.retain(|(acknowledgement, closing)| {
            let answer = acknowledgement.try_recv();
            assert_ne!(answer, Err(TryRecvError::Disconnected), "no answer");
            let closed = !closing.iter().any(Listener::is_open);
            assert!(answer.is_err() || closed, "answers before it has closed");
            answer.is_err()
        });
        if let Some((parts, room)) = &self.list
            && let Ok(part) = parts.try_recv()
        {
            let open = self.engine.connections.iter_mut();
            let open: Vec<u64> = open.map(|it| it.1.id).collect();
            let listed: Vec<u64> = part.sessions.iter().map(|it| it.id).collect();
            assert_eq!(listed, open[..open.len().min(*room)]);
            assert_eq!(part.more, open.len() - listed.len());
            world.seen.listed += listed.len();
            self.list = None;
        }
    }

    /// Checks that it waits for events and deadlines that will come.
    pub(super) fn check_at_rest(&mut self, world: &mut World) {
        assert!(self.is_done || self.list.is_none(), "a list is forgotten");
        let now_ms = world.now_ms;
        let open: Vec<_> = self.listeners.iter().filter(|it| it.is_open()).collect();
        for listener in &open {
            if listener.waiting() > 0 {
                world.seen.waits += 1;
                let soon = now_ms + ACCEPT_PAUSE_MS;
                let wakes = self.wake_ms.is_some_and(|wake_ms| wake_ms <= soon);
                assert!(wakes, "a client waits for ever");
                let has_reason = now_ms <= world.refused_ms + ACCEPT_PAUSE_MS + SLACK_MS;
                assert!(
                    has_reason,
                    "a client waits without a reason: at {now_ms} ms since {} ms until {:?}",
                    world.refused_ms, self.wake_ms
                );
            }
            let since_ms = listener.closing_since_ms();
            let since_ms = since_ms.map(|since_ms| since_ms.max(world.resumed_ms));
            let overdue = since_ms.is_some_and(|it| now_ms > it + CLOSE_WITHIN_MS + SLACK_MS);
            assert!(!overdue, "does not close a listener");
        }
        let closing = open.iter().any(|it| it.closing_since_ms().is_some());
        assert!(
            closing || self.acknowledgements.is_empty(),
            "does not answer"
        );
        self.listeners.retain(Listener::is_open);
        if !self.is_done {
            let wake_ms = self.wake_ms;
            for (_, connection) in self.engine.connections.iter_mut() {
                connection.check_waiting();
                if now_ms > world.resumed_ms + SLACK_MS {
                    let stood_still_ms = [world.resumed_ms, world.stalled_ms];
                    connection.check_time(now_ms, stood_still_ms, SLACK_MS);
                }
                let deadline_ms = connection.session.deadline_ms();
                let latest_ms = deadline_ms.map(|at_ms| at_ms.max(now_ms) + TICK_MS);
                assert!(
                    latest_ms.is_none_or(|at_ms| wake_ms.is_some_and(|it| it <= at_ms)),
                    "no timer fires in time: {:#?}",
                    connection.session
                );
            }
        }
    }

    /// Checks that nothing is left of its sessions.
    pub(super) fn check_is_over(&self) {
        assert!(self.is_done, "does not end");
        assert!(self.acknowledgements.is_empty(), "does not answer");
        let timers = &self.engine.timers;
        let mut slots = 0..self.engine.connections.slots();
        assert!(
            slots.all(|slot| timers.armed_ms(slot).is_none()),
            "a timer is left"
        );
    }
}

impl SimulatedTransport {
    /// Whether one of its sockets has an event at `now_ms`.
    fn has_event_by(&self, now_ms: u64) -> bool {
        let answers = |socket: &Socket| socket.answer_due_ms().is_some_and(|at_ms| at_ms <= now_ms);
        self.each()
            .any(|socket| socket.has_event() || answers(socket))
    }

    /// Its host answers the connect if it is time.
    fn host_answers(&mut self, now_ms: u64) {
        let host = self.host.as_mut();
        if let Some(host) = host.filter(|it| it.answer_due_ms().is_some_and(|at| at <= now_ms)) {
            host.answer();
        }
    }
}

/// Of the sockets with an event those that one poll reports: first those that were left out most
/// often, as the system has a queue of them. The others are left out once more.
// Test: no_socket_is_left_out_for_ever_by_busy_ones.
fn next_to_report<'a, 'b>(
    sockets: &'a mut [(usize, &'b mut Socket)],
    max_events: usize,
) -> &'a mut [(usize, &'b mut Socket)] {
    sockets.sort_by_key(|it| Reverse(it.1.left_out));
    let (reported, left_out) = sockets.split_at_mut(max_events.min(sockets.len()));
    left_out.iter_mut().for_each(|it| it.1.left_out += 1);
    reported
}

#[cfg(test)]
mod tests {
    use super::super::peer::Peer;
    use super::super::socket::Connect;
    use super::*;
    use crate::balance::Random;

    #[test]
    fn no_socket_is_left_out_for_ever_by_busy_ones() {
        let mut random = Random::new(1);
        let mut new = || Socket::new(Peer::new(&mut random), 0, 8, Connect::Done);
        let mut sockets: Vec<Socket> = (0..7).map(|_| new()).collect();
        let mut polls = [0; 7];
        for _ in 0..4 {
            let mut busy: Vec<_> = sockets.iter_mut().enumerate().collect();
            for (number, socket) in next_to_report(&mut busy, 2) {
                socket.poll();
                socket.wake_up();
                polls[*number] += 1;
            }
        }
        assert!(polls.iter().all(|it| *it >= 1), "{polls:?}");
    }
}
