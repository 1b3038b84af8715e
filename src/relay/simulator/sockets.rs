//! A transport of two simulated sockets that checks each call.
//!
//! It checks every byte, that no end is passed on too early, and that hosts are connected to and
//! dropped only with a reason. Peers also act in the middle of a run, as real ones do.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;

use super::super::failure::{CloseMode, ConnectError, ConnectProgress};
use super::super::plan::{Group, Service};
use super::super::port_gate::PortGates;
use super::super::session::{Direction, Side, TimeoutsMs};
use super::super::slab;
use super::super::transport::Transport;
use super::host_farm::HostFarm;
use super::peer::Peer;
use super::socket::Socket;
use crate::balance::{Failure, HostId, PickContext, Picked, Random};
use crate::os::sockets::Delivery;

/// Few, so that runs are cut short.
pub(super) const MAX_READS_PER_RUN: usize = 4;

/// The most that a pipe may take.
pub(super) const PIPE: usize = 48;

/// More than any run needs: 16 hosts, or 4 reads with all that follows.
const MAX_CALLS_PER_RUN: usize = 256;

/// The age at which a session gets keepalive.
pub(super) const KEEPALIVE_AFTER_MS: u64 = 30_000;

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
    /// No local port was left.
    NoPort,
    /// No file descriptor was left.
    NoDescriptor,
}

/// An attempt at a host that has ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) picked: Picked,
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
    /// Bytes written to the host, and to the client, in this run.
    pub(super) bytes: [u64; 2],
    /// The client's address.
    address: IpAddr,
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
    pub(super) now_ms: u64,
    /// When a byte last went through.
    pub(super) active_ms: u64,
    /// How often a half-close was passed on, and when last.
    pub(super) half_closes: usize,
    pub(super) half_closed_ms: Option<u64>,
    pub(super) keeps_alive: bool,
    /// How they were closed.
    pub(super) closed: Option<CloseMode>,
    /// Hosts for which another session found no port: they may be skipped without a connect.
    pub(super) held_up: Vec<HostId>,
    pub(super) random: Random,
    /// Its lock must not be held across a system call.
    group: Arc<Group>,
    slot: u32,
    calls: usize,
    reads: usize,
    /// What is in the pipe to the host, and in the one to the client.
    pub(super) pipes: [usize; 2],
    trace: bool,
}

/// A connect that has begun.
#[derive(Debug)]
pub(super) struct Attempt {
    picked: Picked,
    since_ms: u64,
}

impl SimulatedTransport {
    pub(super) fn new(
        client: Socket,
        address: IpAddr,
        service: &Service,
        slot: u32,
        now_ms: u64,
        random: Random,
        trace: bool,
    ) -> SimulatedTransport {
        SimulatedTransport {
            client,
            host: None,
            attempt: None,
            outcomes: Vec::new(),
            bytes: [0; 2],
            address,
            refused: Vec::new(),
            excluded: Vec::new(),
            no_port: Vec::new(),
            timed_out: false,
            timeouts: service.timeouts,
            started_ms: now_ms,
            now_ms,
            active_ms: now_ms,
            half_closes: 0,
            half_closed_ms: None,
            keeps_alive: false,
            closed: None,
            held_up: Vec::new(),
            random,
            group: Arc::clone(&service.group),
            slot,
            calls: 0,
            reads: 0,
            pipes: [0; 2],
            trace,
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Socket> {
        std::iter::once(&self.client).chain(&self.host)
    }

    pub(super) fn each_mut(&mut self) -> impl Iterator<Item = &mut Socket> {
        std::iter::once(&mut self.client).chain(&mut self.host)
    }

    /// One of the peers does something.
    pub(super) fn peer_acts(&mut self) {
        match &mut self.host {
            Some(host) if self.random.below(2) == 0 => host.peer_acts(&mut self.random),
            _ => self.client.peer_acts(&mut self.random),
        }
    }

    /// Notes hosts that may be skipped from now on.
    pub(super) fn hold_up(&mut self, farm: &HostFarm, port_gates: &PortGates) {
        if port_gates.is_empty() {
            return;
        }
        for (id, address) in farm.eligible() {
            if port_gates.contains(address) && !self.held_up.contains(&id) {
                self.held_up.push(id);
            }
        }
    }

    /// Time passes without a run.
    pub(super) fn pass(&mut self, now_ms: u64) {
        self.each_mut().for_each(|socket| socket.pass(now_ms));
    }

    /// When bytes last moved, as far as the peers acknowledge them.
    pub(super) fn progress_ms(&self) -> u64 {
        let received = self.each().map(|socket| socket.received_ms);
        received.fold(self.active_ms, u64::max)
    }

    pub(super) fn has_event(&self) -> bool {
        self.each().any(Socket::has_event)
    }

    /// The socket of `side` first, then the other.
    pub(super) fn pair(&self, side: Side) -> Option<(&Socket, &Socket)> {
        let host = self.host.as_ref()?;
        Some(match side {
            Side::Client => (&self.client, host),
            Side::Host => (host, &self.client),
        })
    }

    /// A run of the connection begins.
    pub(super) fn begin_run(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        (self.calls, self.reads) = (0, 0);
        self.bytes = [0; 2];
        let TimeoutsMs {
            idle, half_closed, ..
        } = self.timeouts;
        if self.has_passed(idle, self.active_ms) || self.has_passed(half_closed, self.active_ms) {
            self.each_mut().for_each(Socket::doubt_that_it_is_full);
        }
    }

    /// Whether this machine lacked a descriptor or port in this run.
    pub(super) fn was_short(&self) -> bool {
        let short = |outcome: &Outcome| {
            matches!(outcome.end, AttemptEnd::NoDescriptor | AttemptEnd::NoPort)
        };
        self.outcomes.iter().any(short)
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
        match end {
            AttemptEnd::Failed(_) | AttemptEnd::ResetByHost | AttemptEnd::Abandoned => {
                self.refused.push(attempt.picked.id);
                self.timed_out = matches!(
                    end,
                    AttemptEnd::Failed(Failure::TimedOut) | AttemptEnd::Abandoned
                );
            }
            AttemptEnd::NoPort => self.no_port.push(attempt.picked.id),
            AttemptEnd::NoDescriptor | AttemptEnd::Connected { .. } => {}
        }
        self.outcomes.push(Outcome {
            picked: attempt.picked,
            end,
        });
    }
}

impl Transport for SimulatedTransport {
    type Registry = HostFarm;
    type Pipes = Pipes;

    fn register(&mut self, _: &HostFarm, token: usize) -> io::Result<()> {
        assert_eq!(
            token,
            slab::encode_token(self.slot, self.slot, Side::Client)
        );
        Ok(())
    }

    fn connect(&mut self, to: &Picked, farm: &HostFarm, token: usize) -> io::Result<()> {
        self.call(format_args!("connects to {}", to.host.name));
        assert_eq!(token, slab::encode_token(self.slot, self.slot, Side::Host));
        assert!(self.host.is_none(), "leaves a connection open");
        self.exclude_last(farm);
        assert!(!self.excluded.contains(&to.id), "tried twice");
        assert!(
            self.refused.len() < PickContext::MAX_TRIED,
            "tries too many hosts"
        );
        assert!(
            farm.eligible().contains(&(to.id, to.address)),
            "picked one that is not to be picked: {to:?}"
        );
        let was_tried = |id| {
            let lists = [&self.refused, &self.no_port, &self.held_up];
            lists.iter().any(|list| list.contains(&id))
        };
        farm.visit(self.address, to, was_tried, self.now_ms);
        self.attempt = Some(Attempt {
            picked: to.clone(),
            since_ms: self.now_ms,
        });
        match farm.connect(to.address, &mut self.random, self.now_ms) {
            Ok(connect) => {
                let random = &mut self.random;
                let (peer, stream) = (Peer::new(random), random.index(251));
                let room = 1 + random.index(48);
                let mut host = Socket::new(peer, stream, room, connect);
                host.pass(self.now_ms);
                self.host = Some(host);
                Ok(())
            }
            Err(error) => {
                self.finish_attempt(match error {
                    Errno::MFILE => AttemptEnd::NoDescriptor,
                    Errno::ADDRNOTAVAIL => AttemptEnd::NoPort,
                    _ => AttemptEnd::Failed(Failure::Refused),
                });
                Err(error.into())
            }
        }
    }

    fn connect_progress(&mut self, connect_hint: bool) -> ConnectProgress {
        self.call(format_args!("checks the connect, hint: {connect_hint}"));
        let host = self.host.as_mut().expect("checks a connect without a host");
        let connect_progress = host.connect_progress(connect_hint);
        match &connect_progress {
            ConnectProgress::Pending => {}
            ConnectProgress::Connected => {
                self.active_ms = self.now_ms;
                let since_ms = self.attempt.as_ref().map(|attempt| attempt.since_ms);
                let took_ms = self.now_ms - since_ms.expect("is connected twice");
                self.finish_attempt(AttemptEnd::Connected { took_ms });
            }
            ConnectProgress::Failed(ConnectError::Host(failure)) => {
                self.finish_attempt(AttemptEnd::Failed(failure.clone()));
            }
            ConnectProgress::Failed(ConnectError::ResetByHost) => {
                self.finish_attempt(AttemptEnd::ResetByHost);
            }
            ConnectProgress::Failed(ConnectError::Local(_)) => {
                unreachable!("a host has no such trouble")
            }
        }
        connect_progress
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.host.is_some().then(|| local_address(self.slot))
    }

    fn drop_host(&mut self) {
        self.call(format_args!("drops its host"));
        self.host = None;
        let Some(attempt) = &self.attempt else {
            return;
        };
        // It has not failed by itself: its time, or the client's, is over.
        if self.has_passed(self.timeouts.connect, attempt.since_ms) {
            self.finish_attempt(AttemptEnd::Failed(Failure::TimedOut));
        } else {
            assert!(self.has_waited_out(), "gives a host up before its time");
            self.finish_attempt(AttemptEnd::Abandoned);
        }
    }

    fn enable_keepalive(&mut self) {
        self.call(format_args!("keeps its host alive"));
        assert!(self.host.is_some(), "has no host to keep alive");
        assert!(!self.keeps_alive, "keeps it alive already");
        assert!(self.now_ms >= self.started_ms + KEEPALIVE_AFTER_MS);
        self.keeps_alive = true;
    }

    fn deliveries(&self) -> [Option<Delivery>; 2] {
        [
            self.host.as_ref().map(Socket::delivery),
            Some(self.client.delivery()),
        ]
    }

    fn close(&mut self, mode: CloseMode) {
        self.call(format_args!("closes: {mode:?}"));
        assert_eq!(self.closed, None, "closes twice");
        self.closed = Some(mode);
        for socket in self.each_mut() {
            socket.close(mode);
        }
    }

    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(format_args!("reads from the {side:?}"));
        self.reads += 1;
        assert!(self.reads <= MAX_READS_PER_RUN, "reads for too long");
        let (source, sink) = self.pair(side).expect("reads without a host");
        assert_eq!(source.read, sink.wrote, "reads while bytes are buffered");
        self.may_be_interrupted()?;
        let length = self.at(side).read(buffer)?;
        if length > 0 {
            self.active_ms = self.now_ms;
        }
        Ok(length)
    }

    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize> {
        self.call(format_args!("writes {} bytes to the {side:?}", bytes.len()));
        assert!(!bytes.is_empty(), "writes nothing");
        self.check_bytes(side, bytes);
        self.may_be_interrupted()?;
        let length = self.at(side).write(bytes)?;
        self.active_ms = self.now_ms;
        self.bytes[usize::from(side == Side::Client)] += length as u64;
        Ok(length)
    }

    fn fill_pipe(&mut self, direction: Direction, pipes: &mut Pipes) -> Option<io::Result<usize>> {
        self.call(format_args!(
            "fills a pipe from the {:?}",
            direction.source()
        ));
        self.reads += 1;
        assert!(self.reads <= MAX_READS_PER_RUN, "reads for too long");
        let (source, sink) = self.pair(direction.source()).expect("reads without a host");
        assert_eq!(source.read, sink.wrote, "reads while bytes are buffered");
        let ended = source.ended;
        pipes.0 = pipes.0.checked_sub(1)?;
        // There may be an urgent mark that was not reported.
        if ended && self.random.below(4) == 0 {
            pipes.0 += 1;
            return Some(Ok(0));
        }
        let most = 1 + self.random.index(PIPE);
        let filled = self
            .may_be_interrupted()
            .and_then(|()| self.at(direction.source()).take(most));
        match filled {
            Ok(length @ 1..) => {
                self.active_ms = self.now_ms;
                self.pipes[direction.index()] = length;
            }
            _ => pipes.0 += 1,
        }
        Some(filled)
    }

    fn drain_pipe(
        &mut self,
        direction: Direction,
        length: usize,
        pipes: &mut Pipes,
    ) -> io::Result<usize> {
        let place = direction.index();
        assert_eq!(self.pipes[place], length, "forgets what is in the pipe");
        let (source, sink) = self
            .pair(direction.source())
            .expect("writes without a host");
        let bytes: Vec<u8> = (sink.wrote..source.read)
            .map(|at| source.byte(at))
            .collect();
        assert_eq!(bytes.len(), length, "keeps bytes in two places");
        let sent = self.write(direction.sink(), &bytes)?;
        self.pipes[place] -= sent;
        pipes.0 += usize::from(sent == length);
        Ok(sent)
    }

    fn shutdown_write(&mut self, side: Side) -> io::Result<()> {
        self.call(format_args!("ends its half to the {side:?}"));
        let (sink, source) = self.pair(side).expect("shuts down without a host");
        assert!(
            source.ended && source.is_read_out() && sink.wrote == source.said,
            "passes on an end that is not one, or cuts it short"
        );
        self.half_closes += 1;
        self.half_closed_ms = Some(self.now_ms);
        self.at(side).shutdown_write()
    }
}

/// Where a session connects from: to each of its hosts from the same address.
pub(super) fn local_address(slot: u32) -> SocketAddr {
    let port = 30_000 + u16::try_from(slot).expect("too many sessions");
    SocketAddr::from(([10, 0, 0, 9], port))
}

/// The pipes that are left.
pub(super) struct Pipes(pub(super) usize);
