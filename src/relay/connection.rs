//! One session with its circuit: does what the session's state machine asks for,
//! and keeps the count of its host.
//!
//! What to do next is `session`'s business, when it is this session's turn the
//! worker's. What the circuit is made of, sockets or a simulation, is hidden
//! behind [`Transport`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::action::{Action, Side};
use super::client_lookup::{ClientEntry, ClientTable};
use super::end::{Closing, EndReason};
use super::failure::{ConnectError, Progress, Shortage, blame};
use super::health_log::log_health_change;
use super::plan::{Group, Service};
use super::port_gates::PortGates;
use super::pump::{self, Wire};
use super::session::Session;
use super::slab::token;
use super::worker_stats::WorkerStats;
use crate::balance::{Failure, HealthChange, PickContext, Picked, Random};
use crate::os::sockets::Delivery;

/// The way from a client to its host, as a link builds it up and takes it down.
///
/// The client's side is there from the start. The host's side comes with
/// `connect`, may be dropped and come again to another host, and is read and
/// written only after `progress` has said that it is connected.
pub(crate) trait Transport: Wire {
    /// Where a side says by which token its events are to come.
    type Registry;

    /// Registers the client's side, once and for all it will ever wait for.
    ///
    /// # Errors
    /// The system's, if it cannot watch one more.
    fn register(&mut self, registry: &Self::Registry, token: usize) -> io::Result<()>;

    /// Starts to connect to a host without waiting for it, and registers the
    /// host's side. There was none, or it has been dropped.
    ///
    /// # Errors
    /// As of connect(2); there is no host's side then.
    fn connect(&mut self, to: &Picked, registry: &Self::Registry, token: usize) -> io::Result<()>;

    /// How the connect stands; pending where there is none. A failure is told
    /// of once. The system need not be asked where it has `vouched` for the
    /// connection: what became of it since, reading will tell.
    fn progress(&mut self, vouched: bool) -> Progress;

    /// The address that the host knows its side by, once it has begun to connect.
    fn local_address(&self) -> Option<SocketAddr>;

    /// Closes the host's side, if there is one: its connect came to nothing.
    fn drop_host(&mut self);

    /// Has the system look after the host's side while it is silent. That this
    /// may fail is not worth a session.
    fn keep_alive(&mut self);

    /// How far host and client have got with what was written, if the system tells.
    fn deliveries(&self) -> [Option<Delivery>; 2];

    /// Closes both sides, the client's perhaps only with the link itself.
    fn close(&mut self, closing: Closing);
}

/// A session and its circuit.
#[derive(Debug)]
pub(crate) struct Connection<C> {
    pub(crate) session: Session,
    pub(crate) id: u64,
    /// The client's address, of the session and not of the socket.
    pub(crate) client_address: SocketAddr,
    pub(crate) service: Arc<Service>,
    /// The group at the time the client came: it stays there.
    pub(crate) group: Arc<Group>,
    /// The host it is counted on.
    pub(crate) picked: Option<Picked>,
    /// Keeps known whose the connection to the host is, if hosts can ask.
    origin: Option<Box<ClientEntry>>,
    /// It is on the worker's ready list.
    pub(crate) queued: bool,
    /// It is over, and only waits to be swept.
    pub(crate) over: bool,
    /// Of its slot, for its tokens.
    pub(crate) generation: u32,
    pub(crate) circuit: C,
}

/// What a worker lends a session for its turn.
pub(crate) struct Context<'a, C: Transport> {
    pub(crate) registry: &'a C::Registry,
    pub(crate) buffer: &'a mut [u8],
    pub(crate) pipes: &'a mut C::Pipes,
    /// Reads it may do before it is another's turn.
    pub(crate) most_reads: usize,
    pub(crate) random: &'a mut Random,
    pub(crate) meters: &'a WorkerStats,
    /// Where to note whose the connections to hosts are, if hosts can ask.
    pub(crate) origins: Option<&'a Arc<ClientTable>>,
    /// This worker's shard of each host's counters.
    pub(crate) shard: usize,
    pub(crate) now_ms: u64,
    pub(crate) slot: u32,
    pub(crate) port_gates: &'a mut PortGates,
    /// Set when the machine could not connect to a host: for want of what, and to where.
    pub(crate) shortage: &'a mut Option<(Shortage, SocketAddr)>,
}

/// How a session's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunResult {
    /// It waits for an event, or for its deadline.
    Waiting,
    /// It has more to do than one turn allows.
    CutShort,
    /// It is over.
    Over(EndReason),
}

impl<C: Transport> Connection<C> {
    pub(crate) fn new(
        id: u64,
        circuit: C,
        client_address: SocketAddr,
        service: Arc<Service>,
        now_ms: u64,
    ) -> Connection<C> {
        Connection {
            session: Session::new(service.timeouts, now_ms),
            id,
            client_address,
            group: Arc::clone(&service.group),
            service,
            picked: None,
            origin: None,
            queued: false,
            over: false,
            generation: 0,
            circuit,
        }
    }

    /// Has the worker told what becomes of the client.
    ///
    /// # Errors
    /// As of [`Transport::register`].
    pub(crate) fn register(&mut self, registry: &C::Registry, slot: u32) -> io::Result<()> {
        let token = token(slot, self.generation, Side::Client);
        self.circuit.register(registry, token)
    }

    /// Does what there is to do, for as long as the turn allows.
    pub(crate) fn run(&mut self, turn: &mut Context<'_, C>) -> RunResult {
        let before = self.session.bytes();
        let end = self.run_steps(turn);
        self.count_bytes(before, turn.shard);
        end
    }

    fn run_steps(&mut self, turn: &mut Context<'_, C>) -> RunResult {
        let mut reads = 0;
        loop {
            let Connection {
                session, circuit, ..
            } = self;
            match session.next() {
                Action::Wait => return RunResult::Waiting,
                Action::Close(reason) => return RunResult::Over(reason),
                Action::Read(_) | Action::Fill(_) if reads >= turn.most_reads => {
                    return RunResult::CutShort;
                }
                Action::Read(direction) => {
                    reads += 1;
                    pump::read(session, circuit, direction, turn.buffer, turn.now_ms);
                }
                Action::Fill(direction) => {
                    let rich = turn.buffer.len() / 2;
                    let (pipes, now_ms) = (&mut *turn.pipes, turn.now_ms);
                    let length = pump::fill(session, circuit, direction, pipes, rich, now_ms);
                    // As many as it would have taken without the pipe.
                    reads += 1 + length / turn.buffer.len();
                }
                Action::Drain(direction) => {
                    pump::drain(session, circuit, direction, turn.pipes, turn.now_ms);
                }
                Action::Write(direction) => {
                    pump::write_kept(session, circuit, direction, turn.now_ms);
                }
                Action::Shutdown(direction) => pump::shutdown(session, circuit, direction),
                Action::Pick => self.pick(turn),
                Action::Settle { late, vouched } => self.settle(late, vouched, turn),
                Action::KeepAlive => {
                    circuit.keep_alive();
                    session.handle_keepalive();
                }
                Action::CheckDelivery => {
                    session.handle_delivery(circuit.deliveries(), turn.now_ms);
                }
            }
        }
    }

    fn pick(&mut self, turn: &mut Context<'_, C>) {
        let mut ask = PickContext {
            client: self.client_address.ip(),
            tried: self.session.tried(),
            now_ms: turn.now_ms,
            random: turn.random,
        };
        let mut tracker = self.group.tracker();
        self.picked = tracker.pick(&mut ask);
        let Some(picked) = &self.picked else {
            return match tracker.has_circular() {
                true => self.session.handle_circle(turn.now_ms),
                false => self.session.handle_nobody(turn.now_ms),
            };
        };
        drop(tracker);
        if let Err(until_ms) = turn.port_gates.may_try(picked.address, turn.now_ms) {
            let (host, client) = (picked.id, self.client_address.ip());
            self.group.tracker().withdraw(picked, client, turn.now_ms);
            self.picked = None;
            return self.session.handle_no_port(host, until_ms, turn.now_ms);
        }
        let token = token(turn.slot, self.generation, Side::Host);
        let expected = turn.origins.map(ClientTable::expect);
        match self.circuit.connect(picked, turn.registry, token) {
            Ok(()) => {
                if let Some(expected) = expected
                    && let Some(local) = self.circuit.local_address()
                {
                    self.origin = Some(expected.note(local, self.client_address, self.id));
                }
                turn.port_gates.open(picked.address);
                self.session.handle_picked(turn.now_ms);
            }
            Err(error) => self.connect_failed(blame(&error), turn),
        }
    }

    fn settle(&mut self, late: bool, vouched: bool, turn: &mut Context<'_, C>) {
        match self.circuit.progress(vouched) {
            Progress::Connected => self.connected(turn),
            Progress::Failed(blame) => self.connect_failed(blame, turn),
            Progress::Pending if late => self.connect_is_late(turn),
            Progress::Pending => self.session.handle_connecting(),
        }
    }

    fn connected(&mut self, turn: &mut Context<'_, C>) {
        let connect_ms = self.session.connecting_ms(turn.now_ms);
        self.session.handle_connected(turn.now_ms);
        let Some(picked) = &self.picked else { return };
        picked.host.counters.add_connect(turn.shard, connect_ms);
        let change = self
            .group
            .tracker()
            .connected(picked.id, picked.address, turn.now_ms);
        self.announce(picked, change, turn.now_ms);
    }

    fn connect_is_late(&mut self, turn: &mut Context<'_, C>) {
        if self.session.host_was_slow(turn.now_ms) {
            return self.connect_failed(ConnectError::Host(Failure::TimedOut), turn);
        }
        // The client's patience is at its end, not the host's time.
        if let Some(picked) = self.let_go() {
            self.group
                .tracker()
                .release(picked.id, self.client_address.ip(), turn.now_ms);
            self.session
                .handle_connect_failed(picked.id, true, turn.now_ms);
        }
    }

    fn connect_failed(&mut self, blame: ConnectError, turn: &mut Context<'_, C>) {
        let Some(picked) = self.let_go() else { return };
        log::debug!(
            "session {:#x}: no connection to {}: {blame:?}",
            self.id,
            picked.address
        );
        match blame {
            ConnectError::Host(failure) => {
                let timed_out = failure == Failure::TimedOut;
                let (id, address, now_ms) = (picked.id, picked.address, turn.now_ms);
                let client = self.client_address.ip();
                let mut tracker = self.group.tracker();
                let change = tracker.connect_failed(id, address, client, failure, now_ms);
                let has_moved = tracker.has_moved(id, address);
                drop(tracker);
                if has_moved {
                    self.session.handle_moved(timed_out, now_ms);
                } else {
                    self.session.handle_connect_failed(id, timed_out, now_ms);
                }
                self.announce(&picked, change, turn.now_ms);
            }
            ConnectError::TurnedAway => {
                let client = self.client_address.ip();
                self.group
                    .tracker()
                    .refused_early(picked.id, client, turn.now_ms);
                self.session
                    .handle_connect_failed(picked.id, false, turn.now_ms);
            }
            ConnectError::Local(shortage) => {
                turn.meters.count_trouble(shortage.trouble());
                *turn.shortage = Some((shortage, picked.address));
                self.group
                    .tracker()
                    .release(picked.id, self.client_address.ip(), turn.now_ms);
                if shortage == Shortage::Ports {
                    let until_ms = turn.port_gates.close(picked.address, turn.now_ms);
                    self.session
                        .handle_no_port(picked.id, until_ms, turn.now_ms);
                } else {
                    self.session.handle_local_trouble(turn.now_ms);
                }
            }
        }
    }

    /// Says what has become of a host's health, if anything has.
    fn announce(&self, picked: &Picked, change: Option<HealthChange>, now_ms: u64) {
        if let Some(change) = change {
            log_health_change(&self.group, picked.id, &picked.host.name, &change, now_ms);
        }
    }

    /// Forgets the host that was picked, and closes the connection to it.
    fn let_go(&mut self) -> Option<Picked> {
        self.origin = None;
        self.circuit.drop_host();
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

    /// Closes the circuit, and takes the session off its host's count.
    pub(crate) fn close(&mut self, reason: EndReason, now_ms: u64) {
        self.origin = None;
        self.circuit.close(reason.closing());
        if let Some(picked) = &self.picked {
            let client = self.client_address.ip();
            self.group.tracker().release(picked.id, client, now_ms);
        }
    }
}
