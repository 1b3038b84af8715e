//! The session machine over a circuit in memory, for `benches/session.rs` alone.
//!
//! Behind the feature `internals`, which nothing else wants: no part of what the
//! library promises. What it leaves out is the system: a read or a write costs
//! nothing here, so what is measured is what is ours.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::action::{Direction, Readiness, Side};
use super::connection::{Connection, Context, RunResult, Transport};
use super::end::{Closing, EndReason};
use super::failure::Progress;
use super::plan::{Group, Service};
use super::port_gates::PortGates;
use super::pump::Wire;
use super::worker_stats::WorkerStats;
use crate::balance::{HostPool, Picked, Random};
use crate::config;
use crate::os::sockets::Delivery;

/// Bytes of a request, and of its answer.
const REQUEST: usize = 100;
const ANSWER: usize = 300;

const BUFFER: usize = 64 * 1024;

/// A worker's share of a session's costs, with one session that stays.
#[derive(Debug)]
pub struct Rig {
    lender: Lender,
    link: Connection<Memory>,
}

/// What a worker lends its sessions.
#[derive(Debug)]
struct Lender {
    service: Arc<Service>,
    buffer: Vec<u8>,
    random: Random,
    meters: WorkerStats,
    port_gates: PortGates,
}

impl Rig {
    /// A session that relays, over the first service of `config`; `None` if that
    /// has none, or no host.
    pub fn new(config: &config::Config) -> Option<Rig> {
        let service = config.services.first()?;
        let group = service.enabled_group()?;
        let tracker = HostPool::new(group, 1, 0);
        let mut lender = Lender {
            service: Arc::new(Service {
                name: service.name.clone(),
                timeouts: service.timeouts.into(),
                group: Arc::new(Group::new(&service.name, &group.name, tracker)),
                tally: Arc::default(),
            }),
            buffer: vec![0; BUFFER],
            random: Random::new(1),
            meters: WorkerStats::default(),
            port_gates: PortGates::default(),
        };
        let link = lender.connect()?;
        Some(Rig { lender, link })
    }

    /// A request and its answer over the session that stays: the bytes handed over
    /// by that session so far, to the host and to the client.
    pub fn exchange(&mut self) -> (u64, u64) {
        self.lender.exchange(&mut self.link);
        self.link.session.bytes()
    }

    /// A client that comes, asks, is answered by a host that ends then, and goes:
    /// the bytes handed over, or `None` if it did not end well.
    pub fn short_connection(&mut self) -> Option<(u64, u64)> {
        let mut link = self.lender.connect()?;
        self.lender.exchange(&mut link);
        self.lender.end(&mut link, Side::Host);
        let end = self.lender.end(&mut link, Side::Client);
        let RunResult::Over(reason) = end else {
            return None;
        };
        link.close(reason, 0);
        self.lender.service.tally.leave();
        self.lender.meters.count_end(reason);
        (reason == EndReason::Finished).then(|| link.session.bytes())
    }
}

impl Lender {
    /// A session whose host has accepted.
    fn connect(&mut self) -> Option<Connection<Memory>> {
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let service = Arc::clone(&self.service);
        let mut link = Connection::new(1, Memory::default(), client, service, 0);
        self.service.tally.enter();
        link.register(&(), 0).ok()?;
        self.turn(&mut link);
        // As epoll has it: a socket that is connected can be written, and so can
        // the client's from the start.
        self.tell(&mut link, Side::Client, writable());
        self.tell(&mut link, Side::Host, writable());
        link.session.connected_ms().map(|_| link)
    }

    fn exchange(&mut self, link: &mut Connection<Memory>) {
        for (side, bytes) in [(Side::Client, REQUEST), (Side::Host, ANSWER)] {
            link.circuit.at(side).waiting = bytes;
            self.tell(link, side, readable());
        }
    }

    /// One side says that it has said all.
    fn end(&mut self, link: &mut Connection<Memory>, side: Side) -> RunResult {
        link.circuit.at(side).ended = true;
        self.tell(link, side, ended())
    }

    fn tell(&mut self, link: &mut Connection<Memory>, side: Side, ready: Readiness) -> RunResult {
        link.session.handle_ready(side, ready);
        self.turn(link)
    }

    fn turn(&mut self, link: &mut Connection<Memory>) -> RunResult {
        link.run(&mut Context {
            registry: &(),
            buffer: &mut self.buffer,
            pipes: &mut (),
            origins: None,
            most_reads: 16,
            random: &mut self.random,
            meters: &self.meters,
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

/// Two ends that take everything, and say what they are told to.
#[derive(Debug, Default)]
struct Memory {
    client: End,
    host: End,
}

#[derive(Debug, Default)]
struct End {
    /// Bytes to be read.
    waiting: usize,
    /// There is an end behind them.
    ended: bool,
}

impl Memory {
    fn at(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Host => &mut self.host,
        }
    }
}

impl Wire for Memory {
    type Pipes = ();

    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.at(side);
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

    /// There is never so much here that it would be asked for.
    fn fill(&mut self, _direction: Direction, (): &mut ()) -> Option<io::Result<usize>> {
        None
    }

    fn drain(&mut self, _direction: Direction, _length: usize, (): &mut ()) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn shutdown_write(&mut self, _side: Side) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Memory {
    type Registry = ();

    fn register(&mut self, (): &(), _token: usize) -> io::Result<()> {
        Ok(())
    }

    fn connect(&mut self, _to: &Picked, (): &(), _token: usize) -> io::Result<()> {
        Ok(())
    }

    fn progress(&mut self, _vouched: bool) -> Progress {
        Progress::Connected
    }

    fn local_address(&self) -> Option<SocketAddr> {
        None
    }

    fn drop_host(&mut self) {}

    fn keep_alive(&mut self) {}

    fn deliveries(&self) -> [Option<Delivery>; 2] {
        [None; 2]
    }

    fn close(&mut self, _closing: Closing) {}
}
