//! One session with its sockets: does what the session's state machine asks for.
//!
//! What to do next is `session`'s business, when it is this session's turn the
//! worker's.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::sockopt;

use super::announce::announce;
use super::end::EndReason;
use super::failure::{Blame, Progress, blame, progress};
use super::meters::{Meters, Trouble};
use super::plan::{Group, Service};
use super::pump::{self, Wire};
use super::session::Session;
use super::slab::token;
use super::step::{Side, Step};
use crate::balance::{Ask, Failure, Picked, Random};

/// Reads a session may do before it is another's turn: 16 buffers, a megabyte.
/// Enough to keep the kernel's buffers moving, too little to be noticed.
const READS_A_TURN: u32 = 16;

/// A session and its two sockets.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) session: Session,
    pub(crate) id: u64,
    /// The client's address, of the session and not of the socket.
    pub(crate) client_address: SocketAddr,
    pub(crate) service: Arc<Service>,
    /// The group at the time the client came: it stays there.
    pub(crate) group: Arc<Group>,
    /// The host it is counted on.
    pub(crate) picked: Option<Picked>,
    /// It is on the worker's ready list.
    pub(crate) queued: bool,
    /// It is over, and only waits to be swept.
    pub(crate) over: bool,
    /// Of its slot, for its tokens.
    pub(crate) generation: u32,
    sockets: Sockets,
}

#[derive(Debug)]
struct Sockets {
    client: TcpStream,
    host: Option<TcpStream>,
}

/// What a worker lends a session for its turn.
pub(crate) struct Turn<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) buffer: &'a mut [u8],
    pub(crate) random: &'a mut Random,
    pub(crate) meters: &'a Meters,
    /// This worker's shard of each host's counters.
    pub(crate) shard: usize,
    pub(crate) now_ms: u64,
    pub(crate) slot: u32,
    /// Set when the machine turned out to be short of descriptors.
    pub(crate) shortage: &'a mut bool,
}

/// How a session's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnEnd {
    /// It waits for an event, or for its deadline.
    Waiting,
    /// It has more to do than one turn allows.
    CutShort,
    /// It is over.
    Over(EndReason),
}

impl Link {
    pub(crate) fn new(
        id: u64,
        client: TcpStream,
        client_address: SocketAddr,
        service: Arc<Service>,
        now_ms: u64,
    ) -> Link {
        Link {
            session: Session::new(service.timeouts, now_ms),
            id,
            client_address,
            group: Arc::clone(&service.group),
            service,
            picked: None,
            queued: false,
            over: false,
            generation: 0,
            sockets: Sockets { client, host: None },
        }
    }

    /// Registers the client's socket, once and for all it will ever wait for.
    pub(crate) fn register(&mut self, registry: &Registry, slot: u32) -> io::Result<()> {
        let token = token(slot, self.generation, Side::Client);
        registry.register(&mut self.sockets.client, token, BOTH)
    }

    /// Does what there is to do, for as long as the turn allows.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>) -> TurnEnd {
        let before = self.session.bytes();
        let end = self.run_steps(turn);
        self.count_bytes(before, turn.shard);
        end
    }

    fn run_steps(&mut self, turn: &mut Turn<'_>) -> TurnEnd {
        let mut reads = 0;
        loop {
            let Link {
                session, sockets, ..
            } = self;
            match session.next() {
                Step::Wait => return TurnEnd::Waiting,
                Step::Close(reason) => return TurnEnd::Over(reason),
                Step::Read(_) if reads == READS_A_TURN => return TurnEnd::CutShort,
                Step::Read(direction) => {
                    reads += 1;
                    pump::read(session, sockets, direction, turn.buffer, turn.now_ms);
                }
                Step::Write(direction) => {
                    pump::write_kept(session, sockets, direction, turn.now_ms);
                }
                Step::Shutdown(direction) => pump::shutdown(session, sockets, direction),
                Step::Pick => self.pick(turn),
                Step::Settle { late } => self.settle(late, turn),
                Step::KeepAlive => self.keep_alive(),
            }
        }
    }

    fn pick(&mut self, turn: &mut Turn<'_>) {
        let mut ask = Ask {
            client: self.client_address.ip(),
            tried: self.session.tried(),
            now_ms: turn.now_ms,
            random: turn.random,
        };
        self.picked = self.group.tracker().pick(&mut ask);
        let Some(picked) = &self.picked else {
            return self.session.handle_nobody(turn.now_ms);
        };
        match connect(
            picked.address,
            turn.registry,
            token(turn.slot, self.generation, Side::Host),
        ) {
            Ok(socket) => {
                self.sockets.host = Some(socket);
                self.session.handle_picked(turn.now_ms);
            }
            Err(error) => self.connect_failed(blame(&error), turn),
        }
    }

    fn settle(&mut self, late: bool, turn: &mut Turn<'_>) {
        let Some(socket) = &self.sockets.host else {
            return self.session.handle_connecting();
        };
        match progress(socket) {
            Progress::Connected => self.connected(turn),
            Progress::Failed(blame) => self.connect_failed(blame, turn),
            Progress::Pending if late => self.connect_is_late(turn),
            Progress::Pending => self.session.handle_connecting(),
        }
    }

    fn connected(&mut self, turn: &mut Turn<'_>) {
        let connect_ms = self.session.connecting_ms(turn.now_ms);
        self.session.handle_connected(turn.now_ms);
        let Some(picked) = &self.picked else { return };
        picked.host.counters.add_connect(turn.shard, connect_ms);
        let change = self
            .group
            .tracker()
            .connected(picked.id, picked.address, turn.now_ms);
        if let Some(change) = change {
            announce(
                &self.group,
                picked.id,
                &picked.host.name,
                &change,
                turn.now_ms,
            );
        }
    }

    fn connect_is_late(&mut self, turn: &mut Turn<'_>) {
        if self.session.host_was_slow(turn.now_ms) {
            return self.connect_failed(Blame::Host(Failure::TimedOut), turn);
        }
        // The client's patience is at its end, not the host's time.
        if let Some(picked) = self.let_go() {
            self.group
                .tracker()
                .abandoned(picked.id, self.client_address.ip(), turn.now_ms);
            self.session
                .handle_connect_failed(picked.id, true, turn.now_ms);
        }
    }

    fn connect_failed(&mut self, blame: Blame, turn: &mut Turn<'_>) {
        let Some(picked) = self.let_go() else { return };
        log::debug!(
            "session {:#x}: no connection to {}: {blame:?}",
            self.id,
            picked.address
        );
        match blame {
            Blame::Host(failure) => {
                let timed_out = failure == Failure::TimedOut;
                let change = self.group.tracker().connect_failed(
                    picked.id,
                    picked.address,
                    self.client_address.ip(),
                    failure,
                    turn.now_ms,
                );
                self.session
                    .handle_connect_failed(picked.id, timed_out, turn.now_ms);
                if let Some(change) = change {
                    announce(
                        &self.group,
                        picked.id,
                        &picked.host.name,
                        &change,
                        turn.now_ms,
                    );
                }
            }
            Blame::Local(trouble) => {
                turn.meters.count_trouble(trouble);
                self.group
                    .tracker()
                    .abandoned(picked.id, self.client_address.ip(), turn.now_ms);
                if trouble == Trouble::NoPorts {
                    self.session.handle_no_port(picked.id, turn.now_ms);
                } else {
                    *turn.shortage = true;
                    self.session.handle_local_trouble(turn.now_ms);
                }
            }
        }
    }

    /// Forgets the host that was picked, and closes its socket.
    fn let_go(&mut self) -> Option<Picked> {
        self.sockets.host = None;
        self.picked.take()
    }

    fn keep_alive(&mut self) {
        if let Some(socket) = &self.sockets.host {
            // Not worth a session: without it, a dead peer is noticed later.
            let _ = sockopt::set_socket_keepalive(socket, true);
        }
        self.session.handle_keepalive();
    }

    fn count_bytes(&self, before: (u64, u64), shard: usize) {
        let (to_host, to_client) = self.session.bytes();
        if let Some(picked) = &self.picked
            && (to_host, to_client) != before
        {
            picked.host.counters.add_to_host(shard, to_host - before.0);
            picked
                .host
                .counters
                .add_to_client(shard, to_client - before.1);
        }
    }

    /// Closes both sockets, and takes the session off its host's count.
    pub(crate) fn close(&mut self, reason: EndReason, now_ms: u64) {
        if reason.resets() {
            self.sockets.reset_on_close();
        }
        self.sockets.host = None;
        if let Some(picked) = &self.picked {
            let client = self.client_address.ip();
            let mut tracker = self.group.tracker();
            match self.session.connected_ms() {
                Some(_) => tracker.released(picked.id, client, now_ms),
                None => tracker.abandoned(picked.id, client, now_ms),
            }
        }
    }
}

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Starts to connect. What the system says of the socket before connect(2) was
/// called would be taken for news, so it is registered after that.
fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    registry.register(&mut socket, token, BOTH)?;
    // Not worth the connection: without it, small writes wait for one another.
    let _ = socket.set_nodelay(true);
    Ok(socket)
}

impl Sockets {
    fn at(&mut self, side: Side) -> io::Result<&mut TcpStream> {
        match side {
            Side::Client => Ok(&mut self.client),
            Side::Host => self
                .host
                .as_mut()
                .ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closing sends a reset from now on, so that a session that was cut does
    /// not look like one that ended.
    fn reset_on_close(&self) {
        for socket in std::iter::once(&self.client).chain(&self.host) {
            // Fails on a socket that is gone already: all the same then.
            let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }
}

impl Wire for Sockets {
    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self.at(side)?, buffer)
    }

    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self.at(side)?, bytes)
    }

    fn shutdown_write(&mut self, side: Side) -> io::Result<()> {
        self.at(side)?.shutdown(Shutdown::Write)
    }
}
