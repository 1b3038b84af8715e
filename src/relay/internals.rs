//! A worker's engine over a transport in memory, for `benches/session.rs` alone.
//!
//! Behind the feature `internals`, and no part of the library's interface. Reads and writes cost
//! nothing here, so the benchmark measures what txlb itself does.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, channel, sync_channel};

use super::clock::Clock;
use super::connection::Connection;
use super::engine::{Engine, MAILBOX_TOKEN, Message, Polled};
use super::failure::{CloseMode, ConnectError, ConnectProgress, EndReason};
use super::mailbox::WorkerMessage;
use super::plan::{Group, ListenKey, ListenerPlan, Plan, Service};
use super::session::{Direction, Readiness, Side};
use super::shared::Shared;
use super::slab::{TokenTarget, decode_token, encode_token};
use super::transport::{ListenSocket, Transport};
use super::worker::LIMITS;
use crate::balance::{HostPool, Picked};
use crate::config;
use crate::os::listen::BindAddress;
use crate::os::outgoing::ConnectOptions;
use crate::os::sockets::{DeadPeerTimes, Delivery};

/// Sizes of a request and its response, in bytes.
const REQUEST: usize = 100;
const RESPONSE: usize = 300;

/// An engine with one open session, which runs it and further sessions.
pub struct SessionBench {
    engine: Engine<Memory>,
    shared: Arc<Shared<Memory>>,
    mailbox: SyncSender<Message<Memory>>,
    listener_token: usize,
    /// The token of the open session's client.
    client_token: usize,
}

impl SessionBench {
    /// Opens a session of the first service in `config`. `None` if that has no service or no host.
    pub fn new(config: &config::Config) -> Option<SessionBench> {
        let service = config.services.first()?;
        let group = service.enabled_group()?;
        let pool = HostPool::new(group, 1, 0);
        let place = BindAddress::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let key = ListenKey::at(place);
        let service = Arc::new(Service {
            name: service.name.clone(),
            timeouts: service.timeouts.into(),
            first_bytes_ms: 0,
            log: true,
            routes: None,
            group: Arc::new(Group::new(&service.name, &group.name, pool)),
            stats: Arc::default(),
        });
        let plan = Arc::new(Plan {
            listeners: [(key.clone(), ListenerPlan::new(service))].into(),
            services: 1,
            ..Plan::default()
        });
        let shared = Arc::new(Shared::new(Clock::start(), 1, 0));
        shared.set_capacity(usize::MAX);
        let (mailbox, messages) = sync_channel(1);
        let (done, _) = channel();
        let opened = vec![(key, Endless::default())];
        mailbox.send(WorkerMessage::Prepare { opened, done }).ok()?;
        let memory = (Cell::new(0), ());
        let mut bench = SessionBench {
            engine: Engine::new(0, Arc::clone(&shared), messages, memory, LIMITS, 1, 0),
            shared,
            mailbox,
            listener_token: 0,
            client_token: 0,
        };
        bench.iterate(MAILBOX_TOKEN, readable());
        bench.listener_token = bench.engine.registry.get();
        let (done, _) = channel();
        let message = WorkerMessage::Serve { plan, done };
        bench.mailbox.send(message).ok()?;
        bench.iterate(MAILBOX_TOKEN, readable());
        bench.client_token = bench.connect();
        bench.bytes(bench.client_token).map(|_| bench)
    }

    /// Relays a request and its response over the open session. Returns the bytes that the session
    /// has written so far: to the host, and to the client.
    pub fn exchange(&mut self) -> (u64, u64) {
        self.relay(self.client_token);
        self.bytes(self.client_token).unwrap_or_default()
    }

    /// Runs a short session: one request, one response, then the host and the client close. Returns
    /// the bytes written, or `None` if it did not end as `Finished`.
    pub fn short_connection(&mut self) -> Option<(u64, u64)> {
        let finished = |shared: &Shared<Memory>| shared.stats[0].ended(EndReason::Finished);
        let before = finished(&self.shared);
        let client_token = self.connect();
        self.relay(client_token);
        let bytes = self.bytes(client_token);
        for side in [Side::Host, Side::Client] {
            self.report(client_token, side, ended(), |end| end.ended = true);
        }
        bytes.filter(|_| finished(&self.shared) == before + 1)
    }

    /// Has a client accepted and a host connected. Returns the token of the client.
    fn connect(&mut self) -> usize {
        self.iterate(self.listener_token, readable());
        // The last that was registered is the host.
        let TokenTarget::Connection {
            slot, generation, ..
        } = decode_token(self.engine.registry.get())
        else {
            return 0;
        };
        let client_token = encode_token(slot, generation, Side::Client);
        // As with epoll: a connected socket is writable, and the client's is from the start.
        for side in [Side::Client, Side::Host] {
            self.report(client_token, side, writable(), |_| ());
        }
        client_token
    }

    fn relay(&mut self, client_token: usize) {
        for (side, bytes) in [(Side::Client, REQUEST), (Side::Host, RESPONSE)] {
            self.report(client_token, side, readable(), |end| end.waiting = bytes);
        }
    }

    /// Something happens to one side of a connection, and is reported.
    fn report(
        &mut self,
        client_token: usize,
        side: Side,
        ready: Readiness,
        act: impl FnOnce(&mut End),
    ) {
        let TokenTarget::Connection {
            slot, generation, ..
        } = decode_token(client_token)
        else {
            return;
        };
        if let Some(connection) = self.engine.connections.get_mut(slot) {
            act(connection.transport.end_mut(side));
            self.iterate(encode_token(slot, generation, side), ready);
        }
    }

    /// One iteration of the event loop with one event.
    fn iterate(&mut self, token: usize, ready: Readiness) {
        self.engine.poll_timeout(|| 0);
        self.engine.begin_iteration(0);
        self.engine.dispatch_event(token, ready);
        let polled = Polled {
            interrupted: false,
            full: false,
        };
        self.engine.run_iteration(polled, Connection::run);
    }

    /// The bytes that a connection has written, if its host has accepted.
    fn bytes(&mut self, client_token: usize) -> Option<(u64, u64)> {
        let TokenTarget::Connection { slot, .. } = decode_token(client_token) else {
            return None;
        };
        let session = &self.engine.connections.get_mut(slot)?.session;
        session.connected_ms().map(|_| session.bytes())
    }
}

fn writable() -> Readiness {
    Readiness {
        writable: true,
        ..Readiness::default()
    }
}

fn readable() -> Readiness {
    Readiness {
        readable: true,
        ..writable()
    }
}

fn ended() -> Readiness {
    Readiness {
        read_closed: true,
        ..readable()
    }
}

/// Two sides that take every write, and from which as much can be read as they are configured to.
#[derive(Debug, Default)]
struct Memory {
    client: End,
    host: End,
}

#[derive(Debug, Default)]
struct End {
    /// Bytes to be read.
    waiting: usize,
    /// The end of the stream follows them.
    ended: bool,
}

impl Memory {
    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Host => &mut self.host,
        }
    }
}

impl Transport for Memory {
    /// The token that was registered last.
    type Registry = Cell<usize>;
    type Pipes = ();
    type Listener = Endless;
    type Waker = ();

    fn wake((): &()) {}

    fn register(&mut self, registry: &Cell<usize>, token: usize) -> io::Result<()> {
        registry.set(token);
        Ok(())
    }

    fn connect(
        &mut self,
        _: &Picked,
        _: ConnectOptions,
        registry: &Cell<usize>,
        token: usize,
    ) -> Result<(), ConnectError> {
        registry.set(token);
        Ok(())
    }

    fn connect_progress(&mut self, _connect_hint: bool) -> ConnectProgress {
        ConnectProgress::Connected
    }

    fn local_address(&self) -> Option<SocketAddr> {
        None
    }

    fn asked_address(&self) -> Option<SocketAddr> {
        None
    }

    fn drop_host(&mut self) {}

    fn watch_peers(&mut self, _times: DeadPeerTimes) {}

    fn take_error(&mut self, _side: Side) -> Option<io::Error> {
        None
    }

    fn deliveries(&self) -> [Option<Delivery>; 2] {
        [None; 2]
    }

    fn close(&mut self, _mode: CloseMode) {}

    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.end_mut(side);
        let length = end.waiting.min(buffer.len());
        if length == 0 && !end.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        end.waiting -= length;
        Ok(length)
    }

    fn write(&mut self, _side: Side, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn fill_pipe(&mut self, _direction: Direction, (): &mut ()) -> Option<io::Result<usize>> {
        None
    }

    fn drain_pipe(
        &mut self,
        _direction: Direction,
        _length: usize,
        (): &mut (),
    ) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn shutdown_write(&mut self, _side: Side) -> io::Result<()> {
        Ok(())
    }
}

/// A listener at which every second accept finds a client: one for each event.
#[derive(Default)]
struct Endless(Cell<bool>);

impl ListenSocket<Memory> for Endless {
    type Socket = Endless;

    fn new(socket: Endless) -> Endless {
        socket
    }

    fn register(&mut self, registry: &Cell<usize>, token: usize) -> io::Result<()> {
        registry.set(token);
        Ok(())
    }

    fn deregister(&mut self, _: &Cell<usize>) {}

    fn accept(&self) -> io::Result<(Memory, SocketAddr)> {
        if self.0.replace(!self.0.get()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Ok((Memory::default(), client))
    }
}
