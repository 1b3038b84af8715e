//! A worker: one thread with one event loop and its share of the connections.

mod accept;
mod listeners;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use mio::event::Event as MioEvent;
use mio::{Events, Poll, Token};

use accept::PreparedListener;
use listeners::ListenerSet;

use super::connection::{Connection, Context, RunResult};
use super::events::tcplog::TcpLogLine;
use super::events::{Event, SessionEnd};
use super::failure::{CloseMode, EndReason, Shortage};
use super::mailbox::{Mailbox, WorkerMessage};
use super::plan::Plan;
use super::port_gate::PortGates;
use super::session::earliest;
use super::session_list::SessionLists;
use super::shared::{Shared, WorkerStats};
use super::slab::{FIRST_SPECIAL, Slab, TokenTarget, decode_token};
use super::tcp_transport::{TcpTransport, readiness};
use super::timer_wheel::{Stall, TICK_MS, TimerHold, TimerWheel, Wakeup};
use super::transport::Transport;
use crate::balance::Random;
use crate::log_targets;
use crate::os::pipes::Pipes;

/// The size of the one buffer that all reads of a worker share.
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads that a connection may make before others run: 16 buffers, 1 MiB. Enough to keep the
/// kernel's buffers busy, too little to delay others noticeably.
// Test: an_endless_session_and_a_thousand_small_ones_all_get_on.
const MAX_READS_PER_RUN: usize = 16;

/// Events that one poll returns at most.
const MAX_EVENTS: usize = 1024;

/// How long no client is accepted after a shortage.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Numbers of special tokens: the mailbox, and the listeners from 1 on.
const MAILBOX: usize = 0;
const FIRST_LISTENER: usize = 1;

/// One thread's event loop and everything it owns.
pub(crate) struct Worker {
    number: usize,
    shared: Arc<Shared>,
    poll: Poll,
    messages: Receiver<WorkerMessage>,
    plan: Arc<Plan>,
    listeners: ListenerSet,
    prepared: Vec<PreparedListener>,
    connections: Slab<Connection<TcpTransport>>,
    timers: TimerWheel,
    timer_hold: TimerHold,
    /// The ready list: slots of connections that have something to do.
    ready: VecDeque<u32>,
    /// Slots of closed connections. They are freed after the batch of events, so that no event of
    /// the batch reaches the next connection in the slot.
    closed: Vec<u32>,
    /// Reused by `run_due`.
    due: Vec<u32>,
    buffer: Box<[u8]>,
    pipes: Pipes,
    random: Random,
    now_ms: u64,
    port_gates: PortGates,
    /// No client is accepted before this time.
    accept_after_ms: u64,
    accepted_sessions: u64,
    /// Gets a message once all listeners that are to be closed are closed.
    waiting_for_close: Vec<Sender<()>>,
    session_lists: SessionLists,
    stopping: Option<Stopping>,
}

#[derive(Debug, Clone, Copy)]
struct Stopping {
    cut_off_ms: Option<u64>,
}

impl Worker {
    /// Worker `number` and its mailbox.
    ///
    /// # Errors
    /// The system's, if it cannot make an event queue.
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        seed: u64,
    ) -> io::Result<(Worker, Mailbox)> {
        let poll = Poll::new()?;
        let (mailbox, messages) = Mailbox::new(&poll, Token(FIRST_SPECIAL + MAILBOX))?;
        shared.handoffs.open(number, mailbox.waker());
        let now_ms = shared.clock.now_ms();
        let pipes = Pipes::new(shared.pipes);
        let worker = Worker {
            number,
            shared,
            poll,
            messages,
            plan: Arc::default(),
            listeners: ListenerSet::default(),
            prepared: Vec::new(),
            connections: Slab::new(),
            timers: TimerWheel::new(now_ms),
            timer_hold: TimerHold::default(),
            ready: VecDeque::new(),
            closed: Vec::new(),
            due: Vec::new(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            pipes,
            random: Random::new(seed),
            now_ms,
            port_gates: PortGates::default(),
            accept_after_ms: 0,
            accepted_sessions: 0,
            waiting_for_close: Vec::new(),
            session_lists: SessionLists::default(),
            stopping: None,
        };
        Ok((worker, mailbox))
    }

    /// Runs the event loop until the worker was stopped and its last session has ended.
    ///
    /// # Panics
    /// If the system's event queue fails: a worker can do nothing without it.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        while !self.is_done() {
            let timeout = self.poll_timeout();
            let polled = self.poll.poll(&mut events, timeout);
            let interrupted = match polled {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("worker {}: no more events: {error}", self.number)
                }
                polled => polled.is_err(),
            };
            let before_ms = mem::replace(&mut self.now_ms, self.shared.clock.now_ms());
            if timeout == Some(Duration::ZERO) {
                self.correct_times(before_ms, self.now_ms);
            }
            self.stats().count_iteration();
            self.port_gates.begin_iteration();
            let mut dispatched = 0;
            for event in &events {
                self.dispatch_event(event);
                dispatched += 1;
            }
            self.accept_clients();
            self.run_ready();
            if self.may_expire(interrupted, dispatched == MAX_EVENTS) {
                self.run_due();
                self.cut_off_sessions();
            }
            self.session_lists
                .list_some(&mut self.connections, self.now_ms);
            self.free_closed_slots();
        }
    }

    /// How long the poll may wait; `None` is until an event comes.
    fn poll_timeout(&mut self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.session_lists.is_empty() {
            return Some(Duration::ZERO);
        }
        let clients = (self.listeners.ready() > 0).then_some(self.accept_after_ms);
        let resume = self.listeners.next_resume_ms();
        let close = self.listeners.next_close_ms();
        let cut_off = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        let next_ms = [self.timers.next_ms(), clients, resume, close, cut_off]
            .into_iter()
            .flatten()
            .min()?;
        // The clock is read again: the iteration that ends now may have been a long one.
        let end_ms = self.shared.clock.now_ms();
        self.correct_times(self.now_ms, end_ms);
        Some(Duration::from_millis(next_ms.saturating_sub(end_ms)))
    }

    /// Corrects what sessions did in an iteration from `start_ms` to `end_ms`, if it was stalled. At
    /// once, since the next iteration may be stalled as well.
    fn correct_times(&mut self, start_ms: u64, end_ms: u64) {
        let Some(stall) = Stall::between(start_ms, end_ms) else {
            return;
        };
        for slot in self.connections.occupied().collect::<Vec<_>>() {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.session.correct_times(stall);
            }
        }
    }

    /// Whether timers may expire: after a delay not before every socket was polled.
    fn may_expire(&mut self, interrupted: bool, full: bool) -> bool {
        let cut_off_ms = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        let wakeup = Wakeup {
            interrupted,
            full,
            due_ms: earliest(self.timers.next_ms(), cut_off_ms),
            now_ms: self.now_ms,
        };
        // A connection has two sockets.
        self.timer_hold
            .may_expire(wakeup, 2 * self.connections.len() / MAX_EVENTS)
    }

    fn dispatch_event(&mut self, event: &MioEvent) {
        match decode_token(event.token().0) {
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
                connection.session.handle_ready(side, readiness(event));
                enqueue(connection, slot, &mut self.ready);
            }
            TokenTarget::Connection { .. } => {}
        }
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
            match self.plan.routes.get(&listener.key) {
                Some(service) => listener.service = Arc::clone(service),
                None => self.listeners.close_soon(index, self.now_ms),
            }
        }
        self.open_prepared();
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

    fn run_ready(&mut self) {
        // A connection that is cut short runs again in the next iteration, after new events.
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else {
                return;
            };
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.queued = false;
                self.run_connection(slot);
            }
        }
    }

    fn run_due(&mut self) {
        let mut due = mem::take(&mut self.due);
        self.timers.expire(self.now_ms, &mut due);
        for slot in due.drain(..) {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.session.handle_deadline(self.now_ms);
                // A connection that was cut short has run in this iteration, and runs again.
                if !connection.queued {
                    self.run_connection(slot);
                }
            }
        }
        self.due = due;
    }

    fn run_connection(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot).filter(|it| !it.closed) else {
            return;
        };
        let mut shortage = None;
        let result = connection.run(&mut Context {
            registry: self.poll.registry(),
            buffer: &mut self.buffer,
            pipes: &mut self.pipes,
            max_reads: MAX_READS_PER_RUN,
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
        });
        let waits = connection.session.is_paused();
        match result {
            RunResult::Closed(reason) => self.finish_session(slot, reason),
            RunResult::Waiting => self.arm_timer(slot),
            RunResult::CutShort => {
                enqueue(connection, slot, &mut self.ready);
                self.arm_timer(slot);
            }
        }
        if let Some((shortage, address)) = shortage.filter(|_| waits) {
            // More clients would only make it worse, except for ports: other hosts have some.
            if shortage != Shortage::Ports {
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
        connection.closed = true;
        // Before it is released: the log line counts this session, too.
        if self.plan.log_sessions {
            log_session(connection, &self.shared, reason, self.now_ms);
        }
        publish_session_end(connection, &self.shared, reason, self.now_ms);
        connection.close(reason, self.now_ms);
        connection.service.stats.count_end();
        self.listeners.resume_one(&connection.service.stats);
        self.timers.cancel(slot);
        self.closed.push(slot);
        self.shared.stats[self.number].count_end(reason);
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        self.shared.handoffs.count_end(self.number);
    }

    /// Closes all listeners and sessions once the grace period of a stop is over.
    fn cut_off_sessions(&mut self) {
        let cut_off_ms = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        if cut_off_ms.is_none_or(|cut_off_ms| self.now_ms < cut_off_ms) {
            return;
        }
        self.listeners = ListenerSet::default();
        for slot in self.connections.occupied().collect::<Vec<_>>() {
            if let Some(connection) = self.connections.get_mut(slot).filter(|it| !it.closed) {
                connection.session.close(EndReason::Stopped);
                self.finish_session(slot, EndReason::Stopped);
            }
        }
    }

    fn free_closed_slots(&mut self) {
        for slot in self.closed.drain(..) {
            self.connections.remove(slot);
            // The closed sockets have made room for a new client.
            self.accept_after_ms = 0;
        }
    }

    fn is_done(&self) -> bool {
        self.stopping.is_some()
            && self.connections.is_empty()
            && self.listeners.is_empty()
            && self.shared.handoffs.close_if_empty(self.number)
    }

    fn stats(&self) -> &WorkerStats {
        &self.shared.stats[self.number]
    }
}

impl Drop for Worker {
    /// After a panic, resets the connections: dropped sockets would close in order, and a session
    /// that was cut would look like one that has ended.
    // Test: a_scheduler_that_panics_is_reported_and_ends_the_balancer.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for slot in self.connections.occupied().collect::<Vec<_>>() {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.transport.close(CloseMode::Reset);
            }
        }
    }
}

fn enqueue(connection: &mut Connection<TcpTransport>, slot: u32, ready: &mut VecDeque<u32>) {
    if !mem::replace(&mut connection.queued, true) {
        ready.push_back(slot);
    }
}

/// Writes the line of a session that has ended, while it is still counted.
fn log_session(
    connection: &Connection<TcpTransport>,
    shared: &Shared,
    reason: EndReason,
    now_ms: u64,
) {
    let session = &connection.session;
    let (group_open, host_open, host) = {
        let pool = connection.group.pool();
        let picked = connection.picked.as_ref();
        let host_open = picked.map_or(0, |picked| pool.open_on(picked.id));
        // The host may have been renamed since it was picked.
        let host = picked.and_then(|picked| pool.host_name(picked.id));
        (pool.open(), host_open, host)
    };
    let line = TcpLogLine {
        client: connection.client_address,
        accepted_wall_ms: shared.clock.wall_ms(session.started_ms()),
        service: &connection.service.name,
        group: &connection.group.name,
        host: host.as_deref(),
        connect_ms: session
            .connected_ms()
            .map(|at_ms| at_ms - session.started_ms()),
        total_ms: now_ms - session.started_ms(),
        bytes_to_client: session.bytes().1,
        reason,
        open: [
            shared.open.load(Ordering::Relaxed) as u64,
            connection.service.stats.open(),
            group_open as u64,
            host_open as u64,
        ],
        retries: session.failed_attempts(),
    };
    log::info!(target: log_targets::SESSIONS, "{line}");
}

/// Publishes the end of a session to subscribers.
fn publish_session_end(
    connection: &Connection<TcpTransport>,
    shared: &Shared,
    reason: EndReason,
    now_ms: u64,
) {
    shared.recent_events.event_bus().publish(|| {
        let session = &connection.session;
        let picked = connection.picked.as_ref();
        let started_ms = session.started_ms();
        let (bytes_to_host, bytes_to_client) = session.bytes();
        Event::SessionEnded(Box::new(SessionEnd {
            id: connection.id,
            client: connection.client_address,
            accepted_wall_ms: shared.clock.wall_ms(started_ms),
            service: connection.service.name.clone(),
            group: connection.group.name.clone(),
            host: picked.and_then(|picked| connection.group.pool().host_name(picked.id)),
            host_address: picked.map(|picked| picked.address),
            connect_ms: session.connected_ms().map(|at_ms| at_ms - started_ms),
            total_ms: now_ms - started_ms,
            bytes_to_host,
            bytes_to_client,
            retries: session.failed_attempts(),
            reason,
        }))
    });
}
