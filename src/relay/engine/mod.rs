//! A worker's event loop without its event queue, sockets and clock.
//!
//! [`Worker`](super::worker::Worker) runs it on the system, the simulator on a world of its own. Both
//! bring the time and the events; what is done with them, and in which order, is here.

mod accept;
mod listeners;

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use accept::PreparedListener;
use listeners::ListenerSet;

use super::connection::{Connection, Context, RunResult};
use super::ending::EndRequests;
use super::failure::{CloseMode, EndReason, Shortage};
use super::first_bytes;
use super::mailbox::WorkerMessage;
use super::plan::Plan;
use super::port_gate::PortGates;
use super::session::{Readiness, earliest};
use super::session_record::{self, SessionLists};
use super::shared::{Shared, WorkerStats};
use super::slab::{FIRST_SPECIAL, Slab, TokenTarget, decode_token};
use super::timer_wheel::{MAX_POLL_MS, Stall, TICK_MS, TimerHold, TimerWheel, Wakeup};
use super::transport::{ListenSocket, Transport};
use crate::balance::Random;

/// How long no client is accepted after a shortage.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Numbers of special tokens: the mailbox, and the listeners from 1 on.
const MAILBOX: usize = 0;
const FIRST_LISTENER: usize = 1;

/// The token of an event for the mailbox: a message or a hand-off came.
pub(super) const MAILBOX_TOKEN: usize = FIRST_SPECIAL + MAILBOX;

/// A message to an engine, with listening sockets of its kind.
pub(super) type Message<T> = WorkerMessage<Socket<T>>;

/// A listening socket as the controller opens it.
type Socket<T> = <<T as Transport>::Listener as ListenSocket<T>>::Socket;

/// The event loop and everything that it owns.
pub(super) struct Engine<T: Transport> {
    number: usize,
    shared: Arc<Shared<T>>,
    pub(super) registry: T::Registry,
    messages: Receiver<Message<T>>,
    limits: Limits,
    plan: Arc<Plan>,
    listeners: ListenerSet<T>,
    prepared: Vec<PreparedListener<T>>,
    pub(super) connections: Slab<Connection<T>>,
    pub(super) timers: TimerWheel,
    timer_hold: TimerHold,
    /// The ready list: slots of connections that have something to do.
    ready: VecDeque<u32>,
    /// Slots of closed connections. They are freed at the end of the iteration, so that no event of
    /// its batch reaches the next connection in the slot.
    closed: Vec<u32>,
    /// Reused by `run_due`.
    due: Vec<u32>,
    /// The one buffer that all reads share.
    buffer: Box<[u8]>,
    pipes: T::Pipes,
    random: Random,
    /// The time at which this iteration began.
    now_ms: u64,
    /// When the last iteration was over, if a poll followed that could wait.
    ended_ms: Option<u64>,
    /// When that poll was to return at the latest.
    poll_ends_ms: Option<u64>,
    port_gates: PortGates,
    /// No client is accepted before this time.
    accept_after_ms: u64,
    accepted_sessions: u64,
    /// Gets a message once all listeners that are to be closed are closed.
    waiting_for_close: Vec<Sender<()>>,
    session_lists: SessionLists,
    end_requests: EndRequests,
    stopping: Option<Stopping>,
}

/// How much an engine does at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The size of the buffer for reads.
    pub(super) buffer_bytes: usize,
    /// Reads that a connection may make before others run.
    pub(super) max_reads: usize,
    /// Bytes of a client that are looked at before its host is picked.
    pub(super) first_bytes: usize,
    /// Events that one poll returns at most.
    pub(super) max_events: usize,
}

/// What a poll returned, besides its events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Polled {
    /// It was interrupted: there are no events.
    pub(super) interrupted: bool,
    /// The batch of events was full: more may be waiting.
    pub(super) full: bool,
}

#[derive(Debug, Clone, Copy)]
struct Stopping {
    cut_off_ms: Option<u64>,
}

impl<T: Transport> Engine<T> {
    /// The engine of worker `number`, at `now_ms`.
    pub(super) fn new(
        number: usize,
        shared: Arc<Shared<T>>,
        messages: Receiver<Message<T>>,
        (registry, pipes): (T::Registry, T::Pipes),
        limits: Limits,
        seed: u64,
        now_ms: u64,
    ) -> Engine<T> {
        Engine {
            number,
            shared,
            registry,
            messages,
            limits,
            plan: Arc::default(),
            listeners: ListenerSet::default(),
            prepared: Vec::new(),
            connections: Slab::new(),
            timers: TimerWheel::new(now_ms),
            timer_hold: TimerHold::default(),
            ready: VecDeque::new(),
            closed: Vec::new(),
            due: Vec::new(),
            buffer: vec![0; limits.buffer_bytes].into_boxed_slice(),
            pipes,
            random: Random::new(seed),
            now_ms,
            ended_ms: None,
            poll_ends_ms: None,
            port_gates: PortGates::default(),
            accept_after_ms: 0,
            accepted_sessions: 0,
            waiting_for_close: Vec::new(),
            session_lists: SessionLists::default(),
            end_requests: EndRequests::default(),
            stopping: None,
        }
    }

    /// How long the poll may wait; `None` is until an event comes. `clock_ms` reads the clock: the
    /// iteration that ends now may have been a long one.
    pub(super) fn poll_timeout(&mut self, clock_ms: impl FnOnce() -> u64) -> Option<Duration> {
        (self.ended_ms, self.poll_ends_ms) = (None, None);
        let is_busy = !self.session_lists.is_empty() || !self.end_requests.is_empty();
        if is_busy || !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let end_ms = clock_ms();
        let timeout = self.next_ms().map(|next_ms| next_ms.saturating_sub(end_ms));
        let timeout = timeout.map(|timeout_ms| timeout_ms.min(MAX_POLL_MS));
        self.ended_ms = Some(end_ms).filter(|_| timeout != Some(0));
        self.poll_ends_ms = timeout.map(|timeout_ms| end_ms + timeout_ms);
        timeout.map(Duration::from_millis)
    }

    /// Begins an iteration, whose events follow.
    pub(super) fn begin_iteration(&mut self, now_ms: u64) {
        let start_ms = mem::replace(&mut self.now_ms, now_ms);
        // Without a wait the poll belongs to the iteration before it.
        let end_ms = self.ended_ms.unwrap_or(now_ms);
        self.correct_times(Stall::between(start_ms, end_ms));
        let poll_ends_ms = self.poll_ends_ms.filter(|_| self.ended_ms.is_some());
        self.correct_times(poll_ends_ms.and_then(|due_ms| Stall::of_poll(end_ms, due_ms, now_ms)));
        self.stats().count_iteration();
        self.port_gates.begin_iteration();
    }

    /// Notes an event of this iteration.
    pub(super) fn dispatch_event(&mut self, token: usize, ready: Readiness) {
        match decode_token(token) {
            TokenTarget::Special(MAILBOX) => {
                self.handle_messages();
                self.take_handoffs();
            }
            TokenTarget::Special(number) => self.listeners.mark_ready(number - FIRST_LISTENER),
            TokenTarget::Connection {
                slot,
                generation,
                side,
            } if self.connections.is_current(slot, generation) => {
                let Some(connection) = self.connections.get_mut(slot) else {
                    return;
                };
                connection.session.handle_ready(side, ready, self.now_ms);
                enqueue(connection, slot, &mut self.ready);
            }
            TokenTarget::Connection { .. } => {}
        }
    }

    /// Does what is to be done in this iteration. `run` is [`Connection::run`], or that with checks.
    pub(super) fn run_iteration(
        &mut self,
        polled: Polled,
        mut run: impl FnMut(&mut Connection<T>, &mut Context<'_, T>) -> RunResult,
    ) {
        self.accept_clients();
        self.run_ready(&mut run);
        if self.may_expire(polled) {
            self.run_due(&mut run);
            self.cut_off_sessions();
        }
        self.end_requested();
        self.acknowledge_closed();
        self.free_closed_slots();
        self.session_lists
            .list_some(&mut self.connections, self.now_ms);
    }

    /// Whether it was stopped and its last session has ended. No client is handed off to it then.
    pub(super) fn is_done(&self) -> bool {
        self.stopping.is_some()
            && self.connections.is_empty()
            && self.listeners.is_empty()
            && self.shared.handoffs.close_if_empty(self.number)
    }

    /// Resets all connections. Dropped sockets would close in order, and a session that was cut
    /// would look like one that has ended.
    pub(super) fn reset_connections(&mut self) {
        for (_, connection) in self.connections.iter_mut() {
            connection.transport.close(CloseMode::Reset);
        }
    }

    /// When there is something to do, if no event comes.
    fn next_ms(&self) -> Option<u64> {
        let clients = (self.listeners.ready() > 0).then_some(self.accept_after_ms);
        let resume = self.listeners.next_resume_ms();
        let close = self.listeners.next_close_ms();
        let cut_off = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        let all = [self.timers.next_ms(), clients, resume, close, cut_off];
        all.into_iter().flatten().min()
    }

    /// Corrects what is known of sessions after a stall.
    fn correct_times(&mut self, stall: Option<Stall>) {
        let Some(stall) = stall else {
            return;
        };
        if stall.is_pause()
            && let Some(Stopping {
                cut_off_ms: Some(cut_off_ms),
            }) = &mut self.stopping
        {
            *cut_off_ms = cut_off_ms.saturating_add(stall.length_ms());
        }
        for (_, connection) in self.connections.iter_mut() {
            connection.session.correct_times(stall);
        }
    }

    /// Whether timers may expire: after a delay not before every socket was polled.
    fn may_expire(&mut self, polled: Polled) -> bool {
        let cut_off_ms = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        let wakeup = Wakeup {
            interrupted: polled.interrupted,
            full: polled.full,
            due_ms: earliest(self.timers.next_ms(), cut_off_ms),
            now_ms: self.now_ms,
        };
        // A connection has two sockets; listeners and the mailbox may fill polls, too.
        let watched = 2 * self.connections.len() + self.listeners.slots() + 1;
        self.timer_hold
            .may_expire(wakeup, watched / self.limits.max_events)
    }

    fn handle_messages(&mut self) {
        loop {
            match self.messages.try_recv() {
                Ok(WorkerMessage::Prepare { opened, done }) => {
                    // The controller may have given up waiting.
                    let _ = done.send(self.prepare_listeners(opened));
                }
                Ok(WorkerMessage::Discard) => self.discard_prepared(),
                Ok(WorkerMessage::Serve { plan, done }) => self.serve(plan, done),
                Ok(WorkerMessage::List(request)) => self.session_lists.begin(request),
                Ok(WorkerMessage::End(request)) => self.end_requests.begin(request),
                Ok(WorkerMessage::Ping(alive)) => drop(alive.send(())),
                Ok(WorkerMessage::Stop { grace, done }) => {
                    self.stop(grace);
                    self.waiting_for_close.push(done);
                }
                Err(TryRecvError::Empty) => return,
                // The controller has dropped the mailbox.
                Err(TryRecvError::Disconnected) => return self.stop(Some(Duration::ZERO)),
            }
        }
    }

    fn serve(&mut self, plan: Arc<Plan>, done: Sender<()>) {
        self.plan = plan;
        for index in self.listeners.indices() {
            let Some(listener) = self.listeners.get_mut(index) else {
                continue;
            };
            match self.plan.listeners.get(&listener.key) {
                Some(plan) => listener.plan = plan.clone(),
                None => self.listeners.close_soon(index, self.now_ms),
            }
        }
        self.open_prepared();
        let plans = self.plan.listeners.values();
        let services = plans.map(|it| (it.service.name.as_str(), &it.service));
        let services: HashMap<_, _> = services.collect();
        for (_, connection) in self.connections.iter_mut() {
            connection.follow(&services);
        }
        self.waiting_for_close.push(done);
    }

    fn stop(&mut self, grace: Option<Duration>) {
        let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let cut_off_ms = grace_ms.map(|grace_ms| self.now_ms.saturating_add(grace_ms));
        self.stopping = Some(Stopping { cut_off_ms });
        self.discard_prepared();
        for index in self.listeners.indices() {
            self.listeners.close_soon(index, self.now_ms);
        }
    }

    fn run_ready(
        &mut self,
        run: &mut impl FnMut(&mut Connection<T>, &mut Context<'_, T>) -> RunResult,
    ) {
        // A connection that is cut short runs again in the next iteration, after new events.
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else {
                return;
            };
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.queued = false;
                self.run_connection(slot, run);
            }
        }
    }

    fn run_due(
        &mut self,
        run: &mut impl FnMut(&mut Connection<T>, &mut Context<'_, T>) -> RunResult,
    ) {
        let mut due = mem::take(&mut self.due);
        self.timers.expire(self.now_ms, &mut due);
        for slot in due.drain(..) {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.session.handle_deadline(self.now_ms);
                // A connection that was cut short has run in this iteration, and runs again.
                if !connection.queued {
                    self.run_connection(slot, run);
                }
            }
        }
        self.due = due;
    }

    fn run_connection(
        &mut self,
        slot: u32,
        run: &mut impl FnMut(&mut Connection<T>, &mut Context<'_, T>) -> RunResult,
    ) {
        let Some(connection) = self.connections.get_mut(slot).filter(|it| !it.closed) else {
            return;
        };
        let mut shortage = None;
        let result = run(
            connection,
            &mut Context {
                registry: &self.registry,
                buffer: &mut self.buffer,
                pipes: &mut self.pipes,
                max_reads: self.limits.max_reads,
                max_first_bytes: self.limits.first_bytes,
                random: &mut self.random,
                stats: &self.shared.stats[self.number],
                client_table: self
                    .plan
                    .has_client_lookup
                    .then(|| self.shared.client_lookup.of_worker(self.number)),
                shard: self.number,
                now_ms: self.now_ms,
                slot,
                port_gates: &mut self.port_gates,
                shortage: &mut shortage,
            },
        );
        let waits = connection.session.is_paused();
        match result {
            RunResult::Closed(reason) => self.finish_session(slot, reason),
            RunResult::Waiting => self.arm_timer(slot),
            RunResult::CutShort => {
                enqueue(connection, slot, &mut self.ready);
                self.arm_timer(slot);
            }
        }
        let is_told = |(shortage, _): &(Shortage, SocketAddr)| waits || shortage.needs_operator();
        if let Some((shortage, address)) = shortage.filter(is_told) {
            // More clients would only make it worse, except for ports: other hosts have some.
            if !shortage.is_of_address() {
                self.accept_after_ms = self.now_ms + ACCEPT_PAUSE_MS;
            }
            self.log_shortage(shortage, address);
        }
    }

    /// Makes sure that a timer fires by the session's deadline. A timer that is too early stays:
    /// most deadlines move with every byte, and few are ever reached.
    fn arm_timer(&mut self, slot: u32) {
        let Some(at_ms) = self
            .connections
            .get_mut(slot)
            .and_then(|connection| connection.session.deadline_ms())
        else {
            return;
        };
        if self
            .timers
            .armed_ms(slot)
            .is_none_or(|armed_ms| armed_ms >= at_ms + TICK_MS)
        {
            self.timers.arm(slot, at_ms);
        }
    }

    fn finish_session(&mut self, slot: u32, reason: EndReason) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.session.close(reason);
        connection.closed = true;
        // Before it is released: the log line counts this session, too.
        session_record::report_end(connection, &self.shared, &self.plan, reason, self.now_ms);
        if reason == EndReason::BadProxyHeader {
            first_bytes::log_bad_header(connection, &self.shared, self.now_ms);
        }
        let duration_ms = self.now_ms.saturating_sub(connection.session.started_ms());
        let stats = &connection.admission.service.stats;
        stats.count_ended(reason, duration_ms);
        connection.close(reason, self.now_ms);
        self.listeners
            .resume_one(&connection.admission.service.stats);
        self.timers.cancel(slot);
        self.closed.push(slot);
        self.shared.stats[self.number].count_end(reason);
    }

    /// Closes all listeners and sessions once the grace period of a stop is over.
    fn cut_off_sessions(&mut self) {
        let cut_off_ms = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        if cut_off_ms.is_none_or(|cut_off_ms| self.now_ms < cut_off_ms) {
            return;
        }
        self.listeners = ListenerSet::default();
        let open = self.connections.iter_mut().filter(|(_, it)| !it.closed);
        for slot in open.map(|(slot, _)| slot).collect::<Vec<_>>() {
            self.finish_session(slot, EndReason::Stopped);
        }
    }

    /// Ends some of the sessions that the controller wants to end.
    fn end_requested(&mut self) {
        let ends = self
            .end_requests
            .next_ends(&mut self.connections, self.now_ms);
        for (slot, reason) in ends {
            self.finish_session(slot, reason);
        }
    }

    fn free_closed_slots(&mut self) {
        for slot in self.closed.drain(..) {
            self.connections.remove(slot);
            // The closed sockets have made room for a new client.
            self.accept_after_ms = 0;
        }
    }

    fn stats(&self) -> &WorkerStats {
        &self.shared.stats[self.number]
    }
}

fn enqueue<T: Transport>(connection: &mut Connection<T>, slot: u32, ready: &mut VecDeque<u32>) {
    if !mem::replace(&mut connection.queued, true) {
        ready.push_back(slot);
    }
}
