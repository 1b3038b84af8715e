//! A simulated worker with its clients and hosts, on a virtual clock.
//!
//! Events happen in an order that the seed determines. Invariants are checked after each.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::super::client_lookup::ClientLookup;
use super::super::connection::{Connection, Context, RunResult};
use super::super::failure::EndReason;
use super::super::plan::Service;
use super::super::port_gate::PortGates;
use super::super::session::{Action, Side, TimeoutsMs};
use super::super::shared::WorkerStats;
use super::super::timer_wheel::{TICK_MS, TimerHold, TimerWheel, Wakeup};
use super::expected_counts::{self, ExpectedCounts};
use super::host_farm::HostFarm;
use super::peer::Peer;
use super::socket::{Connect, Socket};
use super::sockets::{MAX_READS_PER_RUN, PIPE, Pipes, SimulatedTransport, local_address};
use crate::balance::Random;

/// More iterations than any chain of events needs.
const MAX_ITERATIONS: usize = 10_000;

/// Pipes; too few for all connections that want one.
const PIPES: usize = 2;

/// A paused session may pick once more when its total wait has just ended.
const SLACK_MS: u64 = 50 + 2 * TICK_MS;

/// What a run has covered.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Coverage {
    /// How sessions ended, in the order of [`EndReason::ALL`].
    pub(super) ends: [usize; EndReason::ALL.len()],
    pub(super) half_closes: usize,
    pub(super) bytes: u64,
    pub(super) retries: usize,
    pub(super) cut_short: usize,
    /// How often bytes stayed in a pipe.
    pub(super) piped: usize,
    pub(super) iterations: usize,
    /// How often the process stood still.
    pub(super) pauses: usize,
    /// The virtual time of the end.
    pub(super) ended_ms: u64,
}

pub(super) struct SimulatedWorker {
    now_ms: u64,
    random: Random,
    farm: HostFarm,
    service: Arc<Service>,
    expected_counts: ExpectedCounts,
    stats: WorkerStats,
    client_lookup: ClientLookup,
    port_gates: PortGates,
    timer_hold: TimerHold,
    /// Timers wait until the sockets have been polled again.
    polls_again: bool,
    /// When the process last resumed after a pause.
    resumed_ms: u64,
    connections: Vec<Connection<SimulatedTransport>>,
    /// Clients that are still to come.
    to_come: usize,
    timers: TimerWheel,
    ready: VecDeque<u32>,
    buffer: Vec<u8>,
    trace: bool,
    seen: Coverage,
}

impl SimulatedWorker {
    pub(super) fn new(seed: u64, trace: bool) -> SimulatedWorker {
        let mut random = Random::new(seed);
        let now_ms = random.below(1 << 20);
        let timeouts = TimeoutsMs {
            connect: [0, 100, 1000, 5000][random.index(4)],
            idle: [0, 0, 500, 60_000][random.index(4)],
            half_closed: [0, 300, 300_000][random.index(3)],
        };
        let farm = HostFarm::new(&mut random);
        let service = Service {
            name: "web".to_owned(),
            timeouts,
            group: Arc::clone(&farm.group),
            stats: Arc::default(),
        };
        SimulatedWorker {
            farm,
            service: Arc::new(service),
            expected_counts: ExpectedCounts::default(),
            stats: WorkerStats::default(),
            client_lookup: ClientLookup::new(1),
            port_gates: PortGates::default(),
            timer_hold: TimerHold::default(),
            polls_again: false,
            resumed_ms: 0,
            connections: Vec::new(),
            to_come: 1 + random.index(7),
            timers: TimerWheel::new(now_ms),
            ready: VecDeque::new(),
            buffer: vec![0; 1 + random.index(64)],
            trace,
            seen: Coverage::default(),
            now_ms,
            random,
        }
    }

    /// Runs until all sessions have ended. Returns what was covered.
    pub(super) fn run(mut self) -> Coverage {
        for _ in 0..30 + self.random.index(150) {
            self.happen();
        }
        if self.random.below(32) == 0 {
            self.stop();
        }
        self.wind_up();
        self.check_nothing_is_left();
        self.seen.ended_ms = self.now_ms;
        self.seen
    }

    fn happen(&mut self) {
        match self.random.below(32) {
            0..=2 => self.accept_client(),
            3..=4 => self.pass(8),
            5 => self.pass(400),
            6 => self.pass(20_000),
            7..=8 => self.change_hosts(),
            9 => self.each_open(|sockets| sockets.each_mut().for_each(Socket::wake_up)),
            10 => self.pause(),
            11..=15 => self.work(),
            _ => self.each_open(SimulatedTransport::peer_acts),
        }
        self.iterate();
    }

    fn change_hosts(&mut self) {
        self.expected_counts.check_counters(&self.farm.group.pool());
        self.farm.change(&mut self.random, self.now_ms);
        self.expected_counts.forget(&self.farm.group.pool());
        if self.trace {
            eprintln!("{:>9} ms {}", self.now_ms, self.farm);
        }
    }

    fn accept_client(&mut self) {
        if self.to_come == 0 {
            return;
        }
        self.to_come -= 1;
        let slot = u32::try_from(self.connections.len()).unwrap();
        let address = [10, 9, 0, u8::try_from(self.random.below(3)).unwrap()];
        let address = SocketAddr::from((address, 40_000 + u16::try_from(slot).unwrap()));
        let peer = Peer::new(&mut self.random);
        let (stream, room) = (self.random.index(251), 1 + self.random.index(48));
        let mut client = Socket::new(peer, stream, room, Connect::Done);
        client.pass(self.now_ms);
        let random = Random::new(self.random.next_u64());
        let (service, now_ms) = (Arc::clone(&self.service), self.now_ms);
        let sockets = SimulatedTransport::new(
            client,
            address.ip(),
            &service,
            slot,
            now_ms,
            random,
            self.trace,
        );
        let mut connection = Connection::new(u64::from(slot), sockets, address, service, now_ms);
        connection.generation = slot;
        connection.register(&self.farm, slot).unwrap();
        connection.queued = true;
        self.ready.push_back(slot);
        self.say(slot, "comes");
        self.connections.push(connection);
    }

    fn each_open(&mut self, mut act: impl FnMut(&mut SimulatedTransport)) {
        for connection in self
            .connections
            .iter_mut()
            .filter(|connection| !connection.closed)
        {
            act(&mut connection.transport);
        }
    }

    /// The process is stopped, while its peers go on.
    fn pause(&mut self) {
        let most_ms = [100, 5000, 100_000][self.random.index(3)];
        let until_ms = self.now_ms + self.random.below(most_ms);
        for _ in 0..self.random.below(8) {
            let now_ms = self.now_ms + self.random.below(1 + until_ms - self.now_ms);
            self.advance(now_ms);
            self.each_open(SimulatedTransport::peer_acts);
        }
        self.advance(until_ms);
        self.resumed_ms = until_ms;
        self.seen.pauses += 1;
    }

    fn advance(&mut self, now_ms: u64) {
        self.each_open(|sockets| sockets.pass(now_ms));
        self.now_ms = now_ms;
    }

    /// Time passes; the worker sleeps until there is something to do.
    fn pass(&mut self, most_ms: u64) {
        let until_ms = self.now_ms + self.random.below(most_ms);
        self.work();
        while let Some(next_ms) = self.next_ms().filter(|next_ms| *next_ms <= until_ms) {
            self.advance(next_ms.max(self.now_ms));
            self.work();
        }
        self.advance(until_ms);
        self.work();
    }

    fn next_ms(&self) -> Option<u64> {
        let answers = self
            .open_connections()
            .filter_map(|(_, connection)| connection.transport.host.as_ref()?.answer_due_ms());
        let slow = self
            .open_connections()
            .flat_map(|(_, connection)| connection.transport.each().filter_map(Socket::hears_ms));
        answers.chain(slow).chain(self.timers.next_ms()).min()
    }

    /// Iterates until there is nothing to do.
    fn work(&mut self) {
        for _ in 0..MAX_ITERATIONS {
            self.iterate();
            if self.ready.is_empty()
                && !self.polls_again
                && self
                    .open_connections()
                    .all(|(_, it)| !it.transport.has_event())
            {
                return self.check_all_wait();
            }
        }
        panic!("never comes to rest");
    }

    fn open_connections(&self) -> impl Iterator<Item = (u32, &Connection<SimulatedTransport>)> {
        (0..)
            .zip(&self.connections)
            .filter(|(_, connection)| !connection.closed)
    }

    fn connection(&mut self, slot: u32) -> &mut Connection<SimulatedTransport> {
        &mut self.connections[slot as usize]
    }

    /// One iteration of the event loop.
    fn iterate(&mut self) {
        self.seen.iterations += 1;
        self.port_gates.begin_iteration();
        let interrupted = self.random.below(16) == 0;
        let mut full = false;
        for slot in 0..u32::try_from(self.connections.len()).unwrap() {
            full |= !interrupted && self.dispatch_event(slot);
        }
        for _ in 0..self.ready.len() {
            if let Some(slot) = self.ready.pop_front() {
                self.run_connection(slot);
            }
        }
        let wakeup = Wakeup {
            interrupted,
            full,
            due_ms: self.timers.next_ms(),
            now_ms: self.now_ms,
        };
        self.polls_again = !self.timer_hold.may_expire(wakeup, 2);
        let mut due = Vec::new();
        if !self.polls_again {
            self.timers.expire(self.now_ms, &mut due);
        }
        for slot in due {
            let now_ms = self.now_ms;
            self.connection(slot).session.handle_deadline(now_ms);
            self.run_connection(slot);
        }
        self.check_numbers();
    }

    /// Polls the sockets of a connection. Returns whether an event was left out.
    fn dispatch_event(&mut self, slot: u32) -> bool {
        let connection = &mut self.connections[slot as usize];
        if connection.closed {
            return false;
        }
        let host = connection.transport.host.as_mut();
        if let Some(host) = host.filter(|it| it.answer_due_ms() <= Some(self.now_ms)) {
            host.answer();
        }
        let sides = [
            (Side::Client, Some(&mut connection.transport.client)),
            (Side::Host, connection.transport.host.as_mut()),
        ];
        let mut left_out = false;
        for (side, socket) in sides {
            let Some(socket) = socket else { continue };
            // A socket that is left out is the first in the next poll.
            if !self.polls_again && self.random.below(8) == 0 {
                left_out = true;
                continue;
            }
            if let Some(ready) = socket.poll() {
                if self.trace {
                    eprintln!("{:>9} ms {slot} {side:?} {ready:?}", self.now_ms);
                }
                connection.session.handle_ready(side, ready);
                if !std::mem::replace(&mut connection.queued, true) {
                    self.ready.push_back(slot);
                }
            }
        }
        left_out
    }

    fn run_connection(&mut self, slot: u32) {
        self.say(slot, "runs");
        if self.connection(slot).closed {
            return;
        }
        match self.run_and_check(slot) {
            RunResult::Closed(reason) => return self.finish_session(slot, reason),
            RunResult::Waiting => {}
            RunResult::CutShort => {
                self.seen.cut_short += 1;
                self.connection(slot).queued = true;
                self.ready.push_back(slot);
            }
        }
        self.arm_timer(slot);
    }

    /// Runs a connection and checks what must hold afterwards.
    fn run_and_check(&mut self, slot: u32) -> RunResult {
        let piped = self
            .connections
            .iter()
            .flat_map(|connection| connection.transport.pipes);
        let piped = piped.filter(|&bytes| bytes > 0).count();
        let connection = &mut self.connections[slot as usize];
        let picks = matches!(
            connection.session.next(),
            Action::Pick | Action::CheckConnect { .. }
        );
        let hosts = picks.then(|| expected_counts::before(&self.farm.group));
        let mut shortage = None;
        let mut pipes = Pipes(PIPES.saturating_sub(piped));
        let read = |sockets: &SimulatedTransport| sockets.each().map(|it| it.read).sum::<usize>();
        let read_before = read(&connection.transport);
        connection.queued = false;
        connection.transport.hold_up(&self.farm, &self.port_gates);
        connection.transport.begin_run(self.now_ms);
        let end = connection.run(&mut Context {
            registry: &self.farm,
            buffer: &mut self.buffer,
            pipes: &mut pipes,
            max_reads: MAX_READS_PER_RUN,
            random: &mut self.random,
            stats: &self.stats,
            client_table: Some(self.client_lookup.of_worker(0)),
            shard: 0,
            now_ms: self.now_ms,
            slot,
            port_gates: &mut self.port_gates,
            shortage: &mut shortage,
        });
        let piped_now = connection
            .transport
            .pipes
            .iter()
            .filter(|&&bytes| bytes > 0)
            .count();
        self.seen.piped += piped_now;
        connection.check_memory(self.buffer.len());
        let most = (MAX_READS_PER_RUN - 1) * self.buffer.len() + PIPE.max(self.buffer.len());
        assert!(
            read(&connection.transport) - read_before <= most,
            "has too much"
        );
        if let Some(hosts) = hosts {
            assert_eq!(
                shortage.is_some(),
                connection.transport.was_short(),
                "a shortage"
            );
            connection.transport.hold_up(&self.farm, &self.port_gates);
            connection.check_picks(&self.farm);
            self.expected_counts.enter_outcomes(
                &mut connection.transport,
                &hosts,
                &self.farm.group,
            );
        }
        self.expected_counts
            .enter_bytes(connection.transport.bytes, connection.picked.as_ref());
        end
    }

    fn arm_timer(&mut self, slot: u32) {
        let Some(at_ms) = self.connection(slot).session.deadline_ms() else {
            return;
        };
        let armed_ms = self.timers.armed_ms(slot);
        if armed_ms.is_none_or(|armed_ms| armed_ms >= at_ms + TICK_MS) {
            self.timers.arm(slot, at_ms);
        }
    }

    fn finish_session(&mut self, slot: u32, reason: EndReason) {
        let connection = &mut self.connections[slot as usize];
        connection.closed = true;
        connection.close(reason, self.now_ms);
        connection.check_end(reason, self.now_ms);
        self.timers.cancel(slot);
        let (to_host, to_client) = connection.session.bytes();
        self.seen.bytes += to_host + to_client;
        self.seen.retries += connection.session.failed_attempts();
        self.seen.half_closes += connection.transport.half_closes;
        self.seen.ends[reason.index()] += 1;
        self.expected_counts.forget(&self.farm.group.pool());
    }

    fn stop(&mut self) {
        let open: Vec<u32> = self.open_connections().map(|(slot, _)| slot).collect();
        for slot in open {
            self.connection(slot).session.close(EndReason::Stopped);
            self.finish_session(slot, EndReason::Stopped);
        }
        self.to_come = 0;
    }

    /// All peers finish, and time passes until all sessions have ended.
    fn wind_up(&mut self) {
        let TimeoutsMs {
            idle, half_closed, ..
        } = self.service.timeouts;
        for _ in 0..MAX_ITERATIONS {
            self.each_open(|sockets| {
                for socket in sockets.each_mut() {
                    socket.peer_winds_up(idle > 0 && half_closed > 0);
                    socket.peer_concludes();
                }
            });
            self.work();
            if self.open_connections().next().is_none() {
                return;
            }
            if self
                .open_connections()
                .all(|(_, it)| !it.transport.has_event())
                && let Some(next_ms) = self.next_ms()
            {
                self.advance(next_ms.max(self.now_ms));
            }
        }
        let stuck: Vec<_> = self
            .open_connections()
            .map(|(_, it)| (&it.session, &it.transport))
            .collect();
        panic!("never ends: {stuck:#?}");
    }

    fn check_numbers(&self) {
        let picked: Vec<_> = self
            .open_connections()
            .filter_map(|(_, connection)| connection.picked.as_ref())
            .collect();
        self.expected_counts.check(&self.farm.group.pool(), &picked);
        self.check_client_lookup();
    }

    /// Checks that the client lookup knows each connection to a host as long as it exists.
    fn check_client_lookup(&self) {
        for (slot, connection) in (0..).zip(&self.connections) {
            let connects = !connection.closed && connection.transport.host.is_some();
            let client = connects.then_some(connection.client_address);
            assert_eq!(self.client_lookup.client_of(local_address(slot)), client);
        }
    }

    fn check_all_wait(&self) {
        for (slot, connection) in self.open_connections() {
            connection.check_waiting();
            if self.now_ms > self.resumed_ms + SLACK_MS {
                connection.check_time(self.now_ms, self.resumed_ms, SLACK_MS);
            }
            if let Some(deadline_ms) = connection.session.deadline_ms() {
                let armed_ms = self.timers.armed_ms(slot);
                assert!(
                    armed_ms
                        .is_some_and(|armed_ms| armed_ms <= deadline_ms.max(self.now_ms) + TICK_MS),
                    "no timer fires in time: {:#?}",
                    connection.session
                );
            }
        }
    }

    fn check_nothing_is_left(&self) {
        let pool = self.farm.group.pool();
        self.expected_counts.check_counters(&pool);
        assert_eq!(pool.open(), 0, "sessions are still counted");
        assert_eq!(
            self.open_connections().count(),
            0,
            "sessions are still open"
        );
        for (slot, _) in (0..).zip(&self.connections) {
            assert_eq!(self.timers.armed_ms(slot), None, "a timer is left");
        }
        self.expected_counts.check_stats(&self.stats);
    }

    fn say(&self, slot: u32, what: &str) {
        if self.trace {
            eprintln!("{:>9} ms {slot} {what}", self.now_ms);
        }
    }
}
