//! One session with its two sockets: performs the actions that the state machine asks for.
//!
//! [`Connection::run`] is the path of every byte. [`Session::next`] returns an [`Action`], the
//! connection performs it on its [`Transport`], and a `handle_*` method reports the result.

mod connect;

use connect::Excuse;

use std::io::{self, ErrorKind};
use std::mem;
use std::sync::Arc;

use super::client_lookup::{ClientEntry, ClientTable};
use super::failure::{
    CloseMode, ConnectError, ConnectProgress, EndReason, Shortage, is_unsupported,
    retry_interrupted,
};
use super::first_bytes::FirstBytes;
use super::handoff::{Admission, PendingConnection};
use super::plan::Group;
use super::port_gate::PortGates;
use super::session::{Action, Break, Direction, Session, Side};
use super::shared::WorkerStats;
use super::slab::encode_token;
use super::transport::Transport;
use crate::balance::{Failure, HealthChange, HostEnd, PickContext, Picked, Random};
use crate::os::address::Address;
use crate::os::sockets::DeadPeerTimes;

/// A session and its transport.
#[derive(Debug)]
pub(crate) struct Connection<T: Transport> {
    pub(crate) session: Session,
    pub(crate) id: u64,
    /// The address from which the client connected; after a PROXY protocol header, the header's.
    pub(crate) client_address: Address,
    /// What its client's first bytes are to tell, and have told.
    pub(crate) first_bytes: Option<Box<FirstBytes>>,
    /// Counts it in its service and its worker.
    pub(crate) admission: Admission<T>,
    /// The group that was enabled when the client came, or the one of a route. The session stays
    /// with it.
    pub(crate) group: Arc<Group>,
    /// The host on which the session is counted.
    pub(crate) picked: Option<Picked>,
    /// Which failures of the connect are not the host's fault.
    excuse: Excuse,
    /// The host's part is over, and the pool knows: the session no longer keeps it busy.
    pub(super) host_ended: bool,
    /// The entry in the client lookup, if hosts can ask.
    client_entry: Option<Box<ClientEntry>>,
    /// It is on the worker's ready list.
    pub(crate) queued: bool,
    /// It is closed, and its slot is about to be freed.
    pub(crate) closed: bool,
    /// The generation of its slot, for its tokens.
    pub(crate) generation: u32,
    pub(crate) transport: T,
}

/// What a worker lends a connection for one run.
pub(crate) struct Context<'a, T: Transport> {
    pub(crate) registry: &'a T::Registry,
    pub(crate) buffer: &'a mut [u8],
    pub(crate) pipes: &'a mut T::Pipes,
    /// Reads that one run may make before other connections run.
    pub(crate) max_reads: usize,
    /// Bytes of a client that are looked at before a host is picked.
    pub(crate) max_first_bytes: usize,
    pub(crate) random: &'a mut Random,
    pub(crate) stats: &'a WorkerStats,
    /// The worker's part of the client lookup, if hosts can ask.
    pub(crate) client_table: Option<&'a Arc<ClientTable>>,
    /// The worker's shard of each host's counters.
    pub(crate) shard: usize,
    pub(crate) now_ms: u64,
    pub(crate) slot: u32,
    pub(crate) port_gates: &'a mut PortGates,
    /// Set when this machine could not connect: what it lacks, and the address.
    pub(crate) shortage: &'a mut Option<(Shortage, Address)>,
}

/// How a run of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunResult {
    /// It waits for an event or for its deadline.
    Waiting,
    /// It has more to do than one run allows.
    CutShort,
    /// The session has ended.
    Closed(EndReason),
}

impl<T: Transport> Connection<T> {
    /// The connection of an accepted client.
    pub(crate) fn new(id: u64, pending: PendingConnection<T>, now_ms: u64) -> Connection<T> {
        let PendingConnection {
            transport,
            address,
            wants_header,
            admission,
        } = pending;
        let service = &admission.service;
        let mut session = Session::new(service.timeouts, now_ms);
        let first_bytes = FirstBytes::new(wants_header, service);
        if first_bytes.is_some() {
            session.await_first_bytes(service.first_bytes_ms);
        }
        Connection {
            session,
            id,
            client_address: address,
            first_bytes,
            group: Arc::clone(&admission.service.group),
            admission,
            picked: None,
            excuse: Excuse::default(),
            host_ended: false,
            client_entry: None,
            queued: false,
            closed: false,
            generation: 0,
            transport,
        }
    }

    /// Registers the client's side for events.
    ///
    /// # Errors
    /// Those of [`Transport::register`].
    pub(crate) fn register(&mut self, registry: &T::Registry, slot: u32) -> io::Result<()> {
        let token = encode_token(slot, self.generation, Side::Client);
        self.transport.register(registry, token)
    }

    /// Performs the session's actions until it waits, ends or has read its share.
    pub(crate) fn run(&mut self, context: &mut Context<'_, T>) -> RunResult {
        let mut reads = 0;
        loop {
            let before = self.session.bytes();
            let result = self.run_actions(&mut reads, context);
            self.count_bytes(before, context.shard);
            match result {
                None => self.replay(context.now_ms),
                Some(RunResult::Closed(reason)) => return RunResult::Closed(reason),
                Some(result) => {
                    self.report_host(context.now_ms);
                    return result;
                }
            }
        }
    }

    /// Tells the pool what is new of the host while the session goes on.
    fn report_host(&mut self, now_ms: u64) {
        let news = self.host_news(self.session.is_host_done(), now_ms);
        let Some(picked) = self.picked.as_ref().filter(|_| news != (false, None)) else {
            return;
        };
        let mut pool = self.group.pool();
        let changes = pool.host_reported(picked.id, &picked.address, news, now_ms);
        drop(pool);
        self.log_health_changes(picked, changes.into_iter().flatten(), now_ms);
    }

    /// What the pool does not know yet: whether a host that has ended sessions early says its first
    /// byte here, and how its part ended if it `is_over`.
    // Test: a_host_that_answers_and_ends_at_once_ends_its_row_of_early_ends.
    pub(super) fn host_news(&mut self, is_over: bool, now_ms: u64) -> (bool, Option<HostEnd>) {
        let Some(picked) = &mut self.picked else {
            return (false, None);
        };
        let serves = self.session.has_host_spoken() && mem::take(&mut picked.ended_early);
        let ends = is_over && !mem::replace(&mut self.host_ended, is_over);
        (serves, ends.then(|| self.session.host_end(now_ms)))
    }

    /// `None` if the host is gone and another one is to be asked.
    fn run_actions(
        &mut self,
        reads: &mut usize,
        context: &mut Context<'_, T>,
    ) -> Option<RunResult> {
        loop {
            match self.session.next() {
                Action::Wait => return Some(RunResult::Waiting),
                Action::Close(reason) => return Some(RunResult::Closed(self.read_break(reason))),
                Action::Replay => return None,
                Action::Read(_) | Action::Fill(_) | Action::Hold if *reads >= context.max_reads => {
                    return Some(RunResult::CutShort);
                }
                Action::Hold => {
                    *reads += 1;
                    self.hold(context);
                }
                Action::Read(direction) => {
                    *reads += 1;
                    self.read(direction, context.buffer, context.now_ms);
                }
                Action::Fill(direction) => {
                    let length = self.fill_pipe(direction, context);
                    // As many as it would have taken without the pipe.
                    *reads += 1 + length / context.buffer.len();
                }
                Action::Drain(direction) => {
                    self.drain_pipe(direction, context.pipes, context.now_ms);
                }
                Action::Write(direction) => self.write_buffered(direction, context.now_ms),
                Action::Shutdown(direction) => self.shutdown_write(direction, context.now_ms),
                Action::Pick => self.pick_host(context),
                Action::CheckConnect { late, connect_hint } => {
                    self.check_connect(late, connect_hint, context);
                }
                Action::WatchPeers(timeouts) => {
                    self.transport.watch_peers(DeadPeerTimes {
                        keep_alive_ms: timeouts.keep_alive,
                        unacked_ms: timeouts.unacked,
                    });
                    self.session.handle_peers_watched();
                }
                Action::CheckDelivery => {
                    let deliveries = self.transport.deliveries();
                    self.session.handle_delivery(deliveries, context.now_ms);
                }
            }
        }
    }

    /// Reads once into the worker's buffer and writes at once. The session stores only what the
    /// sink did not take.
    fn read(&mut self, direction: Direction, buffer: &mut [u8], now_ms: u64) {
        match self.transport.read(direction.source(), buffer) {
            Ok(0) => self.session.handle_end(direction),
            Ok(length) => {
                // A short read has emptied the socket: a second read would only return EAGAIN.
                // Test: a_full_read_is_followed_by_another_and_a_short_one_is_not.
                let short = length < buffer.len();
                self.session.handle_read(direction, short, now_ms);
                self.write_new(direction, &buffer[..length], now_ms);
            }
            Err(error) => self.handle_read_error(direction, &error, now_ms),
        }
    }

    fn write_new(&mut self, direction: Direction, bytes: &[u8], now_ms: u64) {
        let transport = &mut self.transport;
        match retry_interrupted(|| transport.write(direction.sink(), bytes)) {
            Ok(sent) => self.session.handle_sent(direction, bytes, sent),
            Err(error) => {
                // Another host may get them.
                // Test: every_run_keeps_its_promises.
                self.session.handle_sent(direction, bytes, 0);
                self.handle_write_error(direction, &error, now_ms);
            }
        }
    }

    fn write_buffered(&mut self, direction: Direction, now_ms: u64) {
        let transport = &mut self.transport;
        let bytes = self.session.half_stream(direction).buffered();
        match retry_interrupted(|| transport.write(direction.sink(), bytes)) {
            Ok(sent) => self.session.handle_buffered_sent(direction, sent, now_ms),
            Err(error) => self.handle_write_error(direction, &error, now_ms),
        }
    }

    /// Reads into a pipe and writes from it at once. Returns the number of bytes that were read.
    fn fill_pipe(&mut self, direction: Direction, context: &mut Context<'_, T>) -> usize {
        match self.transport.fill_pipe(direction, context.pipes) {
            // Before an urgent mark splice(2) returns 0 once a FIN is queued behind the mark. So a
            // 0 is no end of the stream until read has returned it as well.
            // Tests: bytes_go_through_in_order_and_an_end_is_0,
            // a_byte_marked_urgent_in_the_midst_of_much_holds_up_nothing.
            None | Some(Ok(0)) => self.session.half_stream_mut(direction).handle_no_pipe(),
            Some(Ok(length)) => {
                let worthwhile = length >= context.buffer.len() / 2;
                self.session
                    .handle_pipe_filled(direction, length, worthwhile, context.now_ms);
                self.drain_pipe(direction, context.pipes, context.now_ms);
                return length;
            }
            // A sandbox may forbid splice(2), or a system not have it. Reading still works.
            Some(Err(error)) if is_unsupported(&error) => {
                self.session.half_stream_mut(direction).handle_no_pipe();
            }
            Some(Err(error)) => self.handle_read_error(direction, &error, context.now_ms),
        }
        0
    }

    fn drain_pipe(&mut self, direction: Direction, pipes: &mut T::Pipes, now_ms: u64) {
        let transport = &mut self.transport;
        let length = self.session.half_stream(direction).piped();
        match retry_interrupted(|| transport.drain_pipe(direction, length, pipes)) {
            Ok(sent) => self.session.handle_pipe_drained(direction, sent, now_ms),
            Err(error) => self.handle_write_error(direction, &error, now_ms),
        }
    }

    fn shutdown_write(&mut self, direction: Direction, now_ms: u64) {
        self.report_host(now_ms); // Before the client can come again.
        match self.transport.shutdown_write(direction.sink()) {
            Ok(()) => self.session.handle_shutdown(direction, now_ms),
            // It says only that the socket is broken.
            Err(_) => self
                .session
                .handle_broken(direction.sink(), Break::Unknown, now_ms),
        }
    }

    fn handle_read_error(&mut self, direction: Direction, error: &io::Error, now_ms: u64) {
        match error.kind() {
            ErrorKind::WouldBlock => self.session.half_stream_mut(direction).handle_would_block(),
            ErrorKind::Interrupted => {}
            _ => self
                .session
                .handle_read_failed(direction, Break::of(error), now_ms),
        }
    }

    fn handle_write_error(&mut self, direction: Direction, error: &io::Error, now_ms: u64) {
        self.session
            .handle_broken(direction.sink(), Break::of(error), now_ms);
    }

    /// The reason to close, once the error is read by which a side broke: a peer that TCP has
    /// given up was silent. Mostly a read has told; if not, this is one system call.
    // Test: a_peer_that_tcp_gave_up_was_silent.
    fn read_break(&mut self, reason: EndReason) -> EndReason {
        let side = self.session.unknown_break();
        let error = side.and_then(|side| self.transport.take_error(side));
        match (side, error.as_ref().map(Break::of)) {
            (Some(side), Some(Break::Silent)) => EndReason::silence_of(side),
            _ => reason,
        }
    }

    fn pick_host(&mut self, context: &mut Context<'_, T>) {
        let mut pick_context = PickContext {
            client: self.client_address.ip(),
            tried: self.session.tried(),
            now_ms: context.now_ms,
            random: context.random,
        };
        let mut pool = self.group.pool();
        self.picked = pool.pick(&mut pick_context);
        let Some(picked) = &self.picked else {
            return match pool.has_circular() {
                true => self.session.handle_routing_loop(context.now_ms),
                false => self.session.handle_no_host(context.now_ms),
            };
        };
        let source = pool.next_source(picked.id);
        drop(pool);
        self.connect_picked(source.as_ref(), context);
    }

    fn check_connect(&mut self, late: bool, connect_hint: bool, context: &mut Context<'_, T>) {
        match self.transport.connect_progress(connect_hint) {
            ConnectProgress::Connected => self.connected(context),
            ConnectProgress::Failed(error) => self.connect_failed(error, context),
            ConnectProgress::Pending if late => self.connect_timed_out(context),
            ConnectProgress::Pending => self.session.handle_connect_pending(),
        }
    }

    fn connected(&mut self, context: &mut Context<'_, T>) {
        let connect_ms = self.session.connecting_ms(context.now_ms);
        let Some(picked) = &self.picked else { return };
        let header = self.header_for(picked);
        self.session.keep_for_replay(picked.replay);
        self.session.handle_connected(&header, context.now_ms);
        picked.host.counters.add_connect(context.shard, connect_ms);
        let change = self
            .group
            .pool()
            .connected(picked.id, &picked.address, context.now_ms);
        self.log_health_changes(picked, change, context.now_ms);
    }

    fn connect_timed_out(&mut self, context: &mut Context<'_, T>) {
        if self.session.host_timed_out(context.now_ms) {
            return self.connect_failed(ConnectError::Host(Failure::TimedOut), context);
        }
        // The client has waited as long as it may; the host has time left and has not failed.
        // Test: a_connect_cut_by_the_clients_timeout_is_not_blamed_on_the_host.
        if let Some(picked) = self.drop_host() {
            self.leave_host(picked.id, true, context.now_ms);
        }
    }

    fn connect_failed(&mut self, error: ConnectError, context: &mut Context<'_, T>) {
        let Some(picked) = self.drop_host() else {
            return;
        };
        log::debug!(
            "session {:#x}: no connection to {}: {error:?}",
            self.id,
            picked.address
        );
        let (client, now_ms) = (self.client_address.ip(), context.now_ms);
        match error {
            ConnectError::Host(failure) if self.excuse.covers(&failure) => {
                return self.leave_host(picked.id, failure == Failure::TimedOut, now_ms);
            }
            ConnectError::Host(failure) => {
                let timed_out = failure == Failure::TimedOut;
                let (id, address) = (picked.id, &picked.address);
                let mut pool = self.group.pool();
                let change = pool.connect_failed(id, address, client, failure, now_ms);
                let has_moved = pool.has_moved(id, address);
                drop(pool);
                if has_moved {
                    self.session.handle_moved(timed_out, now_ms);
                } else {
                    self.session.handle_connect_failed(id, timed_out, now_ms);
                }
                self.log_health_changes(&picked, change, now_ms);
            }
            // A host that resets at once has accepted, so it has not failed. The client has said
            // nothing yet, so it may have another host.
            // Test: a_host_that_resets_its_sessions_is_not_taken_for_one_that_is_down.
            ConnectError::ResetByHost => {
                let change = self.group.pool().refused_early(&picked, client, now_ms);
                self.session.handle_connect_failed(picked.id, false, now_ms);
                self.log_health_changes(&picked, change, now_ms);
            }
            ConnectError::Local(shortage) => {
                context.stats.count_error(shortage.resource_error());
                *context.shortage = Some((shortage, picked.address.clone()));
                self.group.pool().release(picked.id, client, now_ms);
                self.session.handle_shortage(now_ms);
            }
        }
        self.log_emptied();
    }

    /// Logs that this was the last session of a host out of service.
    pub(super) fn log_emptied(&self) {
        let emptied = self.group.pool().take_emptied();
        self.group.log_emptied(emptied);
    }

    pub(super) fn log_health_changes(
        &self,
        picked: &Picked,
        changes: impl IntoIterator<Item = HealthChange>,
        now_ms: u64,
    ) {
        for change in changes {
            self.group
                .log_health_change(picked.id, &picked.host.name, &change, now_ms);
        }
    }

    /// Closes the connection to the picked host and returns that host.
    pub(super) fn drop_host(&mut self) -> Option<Picked> {
        // Before the socket: its local address may belong to another connection at once.
        self.client_entry = None;
        self.transport.drop_host();
        self.picked.take()
    }

    fn count_bytes(&self, before: (u64, u64), shard: usize) {
        let (to_host, to_client) = self.session.bytes();
        if let Some(picked) = &self.picked
            && (to_host, to_client) != before
        {
            let (to_host, to_client) = (to_host - before.0, to_client - before.1);
            picked.host.counters.add_bytes(shard, to_host, to_client);
        }
    }

    /// Closes the sockets and releases the host in the pool.
    pub(crate) fn close(&mut self, reason: EndReason, now_ms: u64) {
        self.client_entry = None;
        self.transport.close(match reason.close_mode() {
            CloseMode::OrderlyIfDelivered if !self.session.is_quiet() => CloseMode::Reset,
            mode => mode,
        });
        let news = self.host_news(true, now_ms);
        if let Some(picked) = &self.picked {
            let (id, client) = (picked.id, self.client_address.ip());
            let mut pool = self.group.pool();
            let changes = pool.host_reported(id, &picked.address, news, now_ms);
            pool.session_ended(id, client, now_ms);
            let emptied = pool.take_emptied();
            drop(pool);
            self.log_health_changes(picked, changes.into_iter().flatten(), now_ms);
            self.group.log_emptied(emptied);
        }
    }
}
