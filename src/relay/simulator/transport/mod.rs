//! A transport of two simulated sockets that checks each call.
//!
//! It checks every byte, that no end is passed on too early, and that hosts are connected to and
//! dropped only with a reason. Peers also act in the middle of a run, as real ones do.

mod calls;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::super::failure::{CloseMode, ConnectError, ConnectProgress};
use super::super::plan::Group;
use super::super::proxy_protocol::{self, ProxyHeader};
use super::super::session::{Direction, Side, TimeoutsMs};
use super::super::transport::Transport;
use super::host_farm::{FIRST_PORT, HostFarm};
use super::listener::SimulatedListener;
use super::opening::{Wants, any_opening};
use super::peer::Peer;
use super::socket::{Connect, Socket};
use crate::balance::{Failure, HostId, Picked, Random};
use crate::os::address::Address;
use crate::os::outgoing::{ConnectOptions, SourceAddress};
use crate::os::sockets::{DeadPeerTimes, Delivery};
use crate::sync::{Counted, Counter};

/// Few, so that runs are cut short.
pub(super) const MAX_READS_PER_RUN: usize = 4;

/// Pipes of a worker; too few for all connections that want one.
pub(super) const PIPES: usize = 2;

/// The most that a pipe may take.
pub(super) const PIPE: usize = 48;

/// More than any run needs: 16 hosts, or 4 reads with all that follows.
const MAX_CALLS_PER_RUN: usize = 256;

/// How an attempt at a host ended.
#[derive(Debug)]
pub(super) enum AttemptEnd {
    Connected {
        took_ms: u64,
    },
    Failed(Failure),
    /// The host accepted and reset the connection at once.
    ResetByHost,
    /// The client had waited long enough before the host's time was over.
    Abandoned,
    /// It failed in a way that says nothing of the host.
    Excused {
        timed_out: bool,
    },
    /// It accepted, and ended before it said anything. So many bytes were written to it.
    Replayed {
        to_host: u64,
    },
    /// No local port was left.
    NoPort,
    /// No file descriptor was left.
    NoDescriptor,
}

/// An attempt at a host that has ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) picked: Picked,
    /// Where it came from; `None` is the system's choice.
    pub(super) from: Option<SourceAddress>,
    pub(super) end: AttemptEnd,
}

/// A session's sockets.
#[derive(Debug)]
pub(super) struct SimulatedTransport {
    pub(super) client: Socket,
    pub(super) host: Option<Socket>,
    /// The attempt at a host, until it has ended.
    pub(super) attempt: Option<Attempt>,
    /// The attempts that ended in this run.
    pub(super) outcomes: Vec<Outcome>,
    /// What its service wants to know before it picks a host.
    pub(super) wants: Wants,
    /// How many bytes of the client are not for its host: its header.
    pub(super) skip: usize,
    /// The header that its host is sent first.
    pub(super) lead: Vec<u8>,
    /// Its host, once that has accepted.
    pub(super) connected_to: Option<Picked>,
    /// How often it was given another host, and how many bytes the former ones were sent in runs
    /// before: these count for none.
    pub(super) replays: usize,
    /// The most that may be kept for another host.
    pub(super) most_kept: u32,
    pub(super) replayed: u64,
    /// Bytes written to the host, and to the client, in this run.
    pub(super) bytes: [u64; 2],
    /// The client's address; of a Unix socket, its path.
    pub(super) address: Address,
    /// The tokens of client and host.
    tokens: [usize; 2],
    /// The hosts that failed it.
    pub(super) refused: Vec<HostId>,
    /// Those of them that must not be tried again.
    pub(super) excluded: Vec<HostId>,
    /// The hosts it had no port for, since it last paused.
    pub(super) no_port: Vec<HostId>,
    /// Whether the last one that failed did not answer in time.
    pub(super) timed_out: bool,
    pub(super) timeouts: TimeoutsMs,
    pub(super) started_ms: u64,
    /// When it began to wait for a host, if it had to say something before.
    pub(super) waits_since_ms: u64,
    pub(super) now_ms: u64,
    /// The time that its worker takes it to be: that of the start of the iteration.
    pub(super) loop_ms: u64,
    /// When a byte last went through.
    pub(super) active_ms: u64,
    /// How often a half-close was passed on, and when last.
    pub(super) half_closes: usize,
    pub(super) half_closed_ms: Option<u64>,
    /// A side broke, which its worker knows.
    pub(super) broken: bool,
    pub(super) watches_peers: bool,
    /// How long its worker is known to have stood still since it came.
    pub(super) paused_ms: u64,
    /// How they may be closed, once the session has ended by itself.
    pub(super) close_mode: Option<CloseMode>,
    /// How they were closed.
    pub(super) closed: Option<CloseMode>,
    /// Hosts for which another session found no port: they may be skipped without a connect.
    pub(super) held_up: Vec<HostId>,
    pub(super) random: Random,
    /// Its lock must not be held across a system call.
    group: Arc<Group>,
    /// No other session has this number.
    pub(super) serial: u32,
    calls: usize,
    reads: usize,
    /// What is in the pipe to the host, and in the one to the client.
    pub(super) pipes: [usize; 2],
    counted_pipes: [Option<Counted>; 2],
    trace: bool,
}

/// What the workers share: the hosts, and two times.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) farm: RefCell<HostFarm>,
    pub(super) now_ms: Cell<u64>,
    /// When the iteration that runs now began.
    pub(super) loop_ms: Cell<u64>,
    /// How often a client could not be registered or accepted for want of something.
    pub(super) shortages: Cell<u64>,
    /// Clients that were accepted.
    pub(super) accepted: Cell<u64>,
    /// From now on no client lacks anything before it has a session.
    pub(super) winds_up: Cell<bool>,
}

impl Network {
    /// Whether a client finds no file descriptor left.
    pub(super) fn lacks_descriptors(&self) -> bool {
        !self.winds_up.get() && self.farm.borrow().lacks_descriptors()
    }
}

/// A connect that has begun.
#[derive(Debug)]
pub(super) struct Attempt {
    picked: Picked,
    from: Option<SourceAddress>,
    /// The host has no port, and is not checked at the one that the client asked for.
    is_at_unchecked_port: bool,
    /// What its worker takes for its start.
    pub(super) since_ms: u64,
}

impl Attempt {
    /// Whether this failure says nothing of the host.
    fn excuses(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Refused => self.is_at_unchecked_port,
            _ => self.from.is_some_and(|from| from.is_transparent),
        }
    }
}

impl SimulatedTransport {
    /// A client that connects.
    pub(super) fn new(
        serial: u32,
        address: Address,
        (timeouts, group, wants): (TimeoutsMs, Arc<Group>, Wants),
        now_ms: u64,
        mut random: Random,
        trace: bool,
    ) -> SimulatedTransport {
        let peer = Peer::new(&mut random).with_opening(any_opening(wants, &mut random));
        let (stream, room) = (random.index(251), 1 + random.index(48));
        let mut client = Socket::new(peer, stream, room, Connect::Done);
        client.pass(now_ms);
        SimulatedTransport {
            client,
            host: None,
            attempt: None,
            outcomes: Vec::new(),
            wants,
            skip: 0,
            lead: Vec::new(),
            connected_to: None,
            replays: 0,
            most_kept: 0,
            replayed: 0,
            bytes: [0; 2],
            address,
            tokens: [0; 2],
            refused: Vec::new(),
            excluded: Vec::new(),
            no_port: Vec::new(),
            timed_out: false,
            timeouts,
            started_ms: now_ms,
            waits_since_ms: 0,
            now_ms,
            loop_ms: now_ms,
            active_ms: now_ms,
            half_closes: 0,
            half_closed_ms: None,
            broken: false,
            watches_peers: false,
            paused_ms: 0,
            close_mode: None,
            closed: None,
            held_up: Vec::new(),
            random,
            group,
            serial,
            calls: 0,
            reads: 0,
            pipes: [0; 2],
            counted_pipes: [None, None],
            trace,
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Socket> {
        std::iter::once(&self.client).chain(&self.host)
    }

    pub(super) fn each_mut(&mut self) -> impl Iterator<Item = &mut Socket> {
        std::iter::once(&mut self.client).chain(&mut self.host)
    }

    /// Bytes that were read so far from the sockets that there are.
    pub(super) fn bytes_read(&self) -> usize {
        self.each().map(|socket| socket.read).sum()
    }

    /// One of the peers does something.
    pub(super) fn peer_acts(&mut self) {
        match &mut self.host {
            Some(host) if self.random.below(2) == 0 => host.peer_acts(&mut self.random),
            _ => self.client.peer_acts(&mut self.random),
        }
    }

    /// How many bytes of its source were written to `sink`, or are not for it.
    pub(super) fn passed(&self, sink: Side) -> usize {
        match (sink, &self.host) {
            (Side::Client, _) => self.client.wrote,
            (Side::Host, Some(host)) => self.skip + host.wrote.saturating_sub(self.lead.len()),
            (Side::Host, None) => self.skip,
        }
    }

    /// Whether all that was read for `sink` is written to it.
    fn has_passed_all(&self, sink: Side) -> bool {
        let (_, source) = self.pair(sink).expect("has no host");
        source.read == self.passed(sink)
    }

    /// Takes the header from the first bytes that are written to a host.
    fn take_lead(&mut self, bytes: &[u8]) {
        let Some(picked) = self.connected_to.as_ref() else {
            return;
        };
        if picked.send_proxy.is_none() || !self.lead.is_empty() {
            return;
        }
        let header = proxy_protocol::parse(bytes).expect("writes a wrong header");
        let (header, length) = header.expect("writes a part of a header");
        match (header, self.address.ip()) {
            (ProxyHeader::Proxied { client, asked }, Some(ip)) => {
                assert_eq!(client.ip(), ip, "tells another client");
                assert_eq!(asked, ASKED, "tells another place");
            }
            (ProxyHeader::Own, None) => {}
            (header, address) => panic!("does not tell its client: {header:?}, {address:?}"),
        }
        self.lead = bytes[..length].to_vec();
    }

    /// The socket of `side` first, then the other.
    pub(super) fn pair(&self, side: Side) -> Option<(&Socket, &Socket)> {
        let host = self.host.as_ref()?;
        Some(match side {
            Side::Client => (&self.client, host),
            Side::Host => (host, &self.client),
        })
    }

    /// Its sockets, each with its token.
    pub(super) fn each_with_token(&mut self) -> impl Iterator<Item = (usize, &mut Socket)> {
        let [client, host] = self.tokens;
        let host = self.host.as_mut().map(|socket| (host, socket));
        std::iter::once((client, &mut self.client)).chain(host)
    }

    /// A run of the connection begins, in an iteration that began at `loop_ms`.
    pub(super) fn begin_run(&mut self, now_ms: u64, loop_ms: u64) {
        (self.now_ms, self.loop_ms) = (now_ms, loop_ms);
        (self.calls, self.reads) = (0, 0);
        self.bytes = [0; 2];
        let TimeoutsMs {
            idle, half_closed, ..
        } = self.timeouts;
        if self.has_passed(idle, self.active_ms) || self.has_passed(half_closed, self.active_ms) {
            self.each_mut().for_each(Socket::doubt_that_it_is_full);
        }
    }

    /// Whether this client has waited for a host for as long as any may.
    pub(super) fn has_waited_out(&self) -> bool {
        self.has_passed(3 * self.timeouts.connect, self.started_ms)
    }

    fn has_passed(&self, timeout_ms: u64, since_ms: u64) -> bool {
        timeout_ms > 0 && self.now_ms >= since_ms + timeout_ms
    }

    fn at(&mut self, side: Side) -> &mut Socket {
        match side {
            Side::Client => &mut self.client,
            Side::Host => self.host.as_mut().expect("uses a host it does not have"),
        }
    }

    /// A system call begins.
    fn call(&mut self, what: std::fmt::Arguments<'_>) {
        self.calls += 1;
        assert!(self.calls < MAX_CALLS_PER_RUN, "spins");
        assert!(!self.group.is_locked(), "holds a lock meanwhile");
        if self.trace {
            eprintln!("{:>9} ms   {what}", self.now_ms);
        }
    }

    /// Something may happen between any two system calls; or the call itself
    /// is interrupted.
    fn may_be_interrupted(&mut self) -> io::Result<()> {
        if self.random.below(8) == 0 {
            self.peer_acts();
        }
        match self.random.below(32) {
            0 => Err(io::ErrorKind::Interrupted.into()),
            _ => Ok(()),
        }
    }

    /// Ends the attempt.
    fn finish_attempt(&mut self, end: AttemptEnd) {
        let attempt = self.attempt.take().expect("no attempt to conclude");
        let end = match end {
            AttemptEnd::Failed(failure) if attempt.excuses(&failure) => AttemptEnd::Excused {
                timed_out: failure == Failure::TimedOut,
            },
            end => end,
        };
        match end {
            AttemptEnd::Failed(_)
            | AttemptEnd::ResetByHost
            | AttemptEnd::Abandoned
            | AttemptEnd::Excused { .. } => {
                self.refused.push(attempt.picked.id);
                self.timed_out = matches!(
                    end,
                    AttemptEnd::Failed(Failure::TimedOut)
                        | AttemptEnd::Abandoned
                        | AttemptEnd::Excused { timed_out: true }
                );
            }
            AttemptEnd::NoPort => self.no_port.push(attempt.picked.id),
            AttemptEnd::Connected { .. } => self.connected_to = Some(attempt.picked.clone()),
            AttemptEnd::NoDescriptor | AttemptEnd::Replayed { .. } => {}
        }
        self.outcomes.push(Outcome {
            picked: attempt.picked,
            from: attempt.from,
            end,
        });
    }
}

/// Where a session connects from: to each of its hosts from the same address.
pub(super) fn local_address(serial: u32) -> SocketAddr {
    let port = 30_000 + u16::try_from(serial).expect("too many sessions");
    SocketAddr::from(([10, 0, 0, 9], port))
}

/// Where clients connect to, by their own account and that of their headers.
pub(super) const ASKED: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), FIRST_PORT + 5);

/// The pipes of a worker that hold bytes.
#[derive(Default)]
pub(super) struct Pipes(Counter);
