//! Connections over a transport in memory, for `benches/session.rs` alone.
//!
//! Behind the feature `internals`, and no part of the library's interface. Reads and writes cost
//! nothing here, so the benchmark measures what txlb itself does.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::connection::{Connection, Context, RunResult};
use super::failure::{CloseMode, ConnectProgress, EndReason};
use super::plan::{Group, Service};
use super::port_gate::PortGates;
use super::session::{Direction, Readiness, Side};
use super::shared::WorkerStats;
use super::transport::{NoListener, Transport};
use crate::balance::{HostPool, Picked, Random};
use crate::config;
use crate::os::sockets::Delivery;

/// Sizes of a request and its response, in bytes.
const REQUEST: usize = 100;
const RESPONSE: usize = 300;

const BUFFER_BYTES: usize = 64 * 1024;

/// One open session, and the worker that runs it and further sessions.
#[derive(Debug)]
pub struct SessionBench {
    worker: Worker,
    connection: Connection<Memory>,
}

/// What a worker lends its connections.
#[derive(Debug)]
struct Worker {
    service: Arc<Service>,
    buffer: Vec<u8>,
    random: Random,
    stats: WorkerStats,
    port_gates: PortGates,
}

impl SessionBench {
    /// Opens a session of the first service in `config`. `None` if that has no service or no host.
    pub fn new(config: &config::Config) -> Option<SessionBench> {
        let service = config.services.first()?;
        let group = service.enabled_group()?;
        let pool = HostPool::new(group, 1, 0);
        let mut worker = Worker {
            service: Arc::new(Service {
                name: service.name.clone(),
                timeouts: service.timeouts.into(),
                group: Arc::new(Group::new(&service.name, &group.name, pool)),
                stats: Arc::default(),
            }),
            buffer: vec![0; BUFFER_BYTES],
            random: Random::new(1),
            stats: WorkerStats::default(),
            port_gates: PortGates::default(),
        };
        let connection = worker.connect()?;
        Some(SessionBench { worker, connection })
    }

    /// Relays a request and its response over the open session. Returns the bytes that the session
    /// has written so far: to the host, and to the client.
    pub fn exchange(&mut self) -> (u64, u64) {
        self.worker.exchange(&mut self.connection);
        self.connection.session.bytes()
    }

    /// Runs a short session: one request, one response, then the host and the client close. Returns
    /// the bytes written, or `None` if it did not end as `Finished`.
    pub fn short_connection(&mut self) -> Option<(u64, u64)> {
        let mut connection = self.worker.connect()?;
        self.worker.exchange(&mut connection);
        self.worker.end(&mut connection, Side::Host);
        let end = self.worker.end(&mut connection, Side::Client);
        let RunResult::Closed(reason) = end else {
            return None;
        };
        connection.close(reason, 0);
        self.worker.service.stats.count_end();
        self.worker.stats.count_end(reason);
        (reason == EndReason::Finished).then(|| connection.session.bytes())
    }
}

impl Worker {
    /// A session whose host has accepted.
    fn connect(&mut self) -> Option<Connection<Memory>> {
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let service = Arc::clone(&self.service);
        let mut connection = Connection::new(1, Memory::default(), client, service, 0);
        self.service.stats.count_start();
        connection.register(&(), 0).ok()?;
        self.run(&mut connection);
        // As with epoll: a connected socket is writable, and the client's is from the start.
        self.report(&mut connection, Side::Client, writable());
        self.report(&mut connection, Side::Host, writable());
        connection.session.connected_ms().map(|_| connection)
    }

    fn exchange(&mut self, connection: &mut Connection<Memory>) {
        for (side, bytes) in [(Side::Client, REQUEST), (Side::Host, RESPONSE)] {
            connection.transport.end_mut(side).waiting = bytes;
            self.report(connection, side, readable());
        }
    }

    /// Ends the stream of one side.
    fn end(&mut self, connection: &mut Connection<Memory>, side: Side) -> RunResult {
        connection.transport.end_mut(side).ended = true;
        self.report(connection, side, ended())
    }

    fn report(
        &mut self,
        connection: &mut Connection<Memory>,
        side: Side,
        ready: Readiness,
    ) -> RunResult {
        connection.session.handle_ready(side, ready);
        self.run(connection)
    }

    fn run(&mut self, connection: &mut Connection<Memory>) -> RunResult {
        connection.run(&mut Context {
            registry: &(),
            buffer: &mut self.buffer,
            pipes: &mut (),
            client_table: None,
            max_reads: 16,
            random: &mut self.random,
            stats: &self.stats,
            shard: 0,
            now_ms: 0,
            slot: 0,
            port_gates: &mut self.port_gates,
            shortage: &mut None,
        })
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
    type Registry = ();
    type Pipes = ();
    type Listener = NoListener;
    type Waker = ();

    fn wake((): &()) {}

    fn register(&mut self, (): &(), _token: usize) -> io::Result<()> {
        Ok(())
    }

    fn connect(&mut self, _to: &Picked, (): &(), _token: usize) -> io::Result<()> {
        Ok(())
    }

    fn connect_progress(&mut self, _connect_hint: bool) -> ConnectProgress {
        ConnectProgress::Connected
    }

    fn local_address(&self) -> Option<SocketAddr> {
        None
    }

    fn drop_host(&mut self) {}

    fn enable_keepalive(&mut self) {}

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
