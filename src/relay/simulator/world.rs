//! A simulated worker, its clients and its hosts, on a virtual clock.
//!
//! Lets things happen in an order that is the seed's, and checks after each
//! that all is as it must be.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::super::action::{Action, Side};
use super::super::client_lookup::ClientLookup;
use super::super::connection::{Connection, Context, RunResult};
use super::super::end::EndReason;
use super::super::late::{Late, Wakeup};
use super::super::plan::Service;
use super::super::port_gates::PortGates;
use super::super::timeouts::TimeoutsMs;
use super::super::timer_wheel::{TICK_MS, Timers};
use super::super::worker_stats::WorkerStats;
use super::farm::Farm;
use super::ledger::{self, Ledger};
use super::peer::Peer;
use super::socket::{Connect, Socket};
use super::sockets::{PIPE, Pipes, READS_A_TURN, Sockets, local_address};
use crate::balance::Random;

/// More turns than any series of events needs that follow from one.
const TURNS: usize = 10_000;

/// Too few for all who want one.
const PIPES: usize = 2;

/// A paused session may pick once more when its patience has just ended.
const SLACK_MS: u64 = 50 + 2 * TICK_MS;

/// What a run has seen.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// How sessions ended, in the order of [`EndReason::ALL`].
    pub(super) ends: [usize; EndReason::ALL.len()],
    pub(super) half_closes: usize,
    pub(super) bytes: u64,
    pub(super) retries: usize,
    pub(super) cut_short: usize,
    /// How often something stayed in a pipe.
    pub(super) piped: usize,
    pub(super) turns: usize,
    /// How often the process stood still.
    pub(super) pauses: usize,
    /// The time all this took.
    pub(super) ended_ms: u64,
}

pub(super) struct World {
    now_ms: u64,
    random: Random,
    farm: Farm,
    service: Arc<Service>,
    ledger: Ledger,
    meters: WorkerStats,
    origins: ClientLookup,
    gates: PortGates,
    late: Late,
    /// Timers wait for another look at the sockets.
    looks_again: bool,
    /// When the process went on last after it stood still.
    resumed_ms: u64,
    links: Vec<Connection<Sockets>>,
    /// Clients yet to come.
    to_come: usize,
    timers: Timers,
    ready: VecDeque<u32>,
    buffer: Vec<u8>,
    trace: bool,
    seen: Seen,
}

impl World {
    pub(super) fn new(seed: u64, trace: bool) -> World {
        let mut random = Random::new(seed);
        let now_ms = random.below(1 << 20);
        let timeouts = TimeoutsMs {
            connect: [0, 100, 1000, 5000][random.index(4)],
            idle: [0, 0, 500, 60_000][random.index(4)],
            half_closed: [0, 300, 300_000][random.index(3)],
        };
        let farm = Farm::new(&mut random);
        let service = Service {
            name: "web".to_owned(),
            timeouts,
            group: Arc::clone(&farm.group),
            tally: Arc::default(),
        };
        World {
            farm,
            service: Arc::new(service),
            ledger: Ledger::default(),
            meters: WorkerStats::default(),
            origins: ClientLookup::new(1),
            gates: PortGates::default(),
            late: Late::default(),
            looks_again: false,
            resumed_ms: 0,
            links: Vec::new(),
            to_come: 1 + random.index(7),
            timers: Timers::new(now_ms),
            ready: VecDeque::new(),
            buffer: vec![0; 1 + random.index(64)],
            trace,
            seen: Seen::default(),
            now_ms,
            random,
        }
    }

    /// Runs until nobody is left. What has been seen.
    pub(super) fn run(mut self) -> Seen {
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
            0..=2 => self.welcome(),
            3..=4 => self.pass(8),
            5 => self.pass(400),
            6 => self.pass(20_000),
            7..=8 => self.change_hosts(),
            9 => self.each_open(|sockets| sockets.each_mut().for_each(Socket::rouse)),
            10 => self.pause(),
            11..=15 => self.work(),
            _ => self.each_open(Sockets::peer_acts),
        }
        self.turn();
    }

    fn change_hosts(&mut self) {
        self.ledger.check_counters(&self.farm.group.tracker());
        self.farm.change(&mut self.random, self.now_ms);
        self.ledger.forget(&self.farm.group.tracker());
        if self.trace {
            eprintln!("{:>9} ms {}", self.now_ms, self.farm);
        }
    }

    fn welcome(&mut self) {
        if self.to_come == 0 {
            return;
        }
        self.to_come -= 1;
        let slot = u32::try_from(self.links.len()).unwrap();
        let address = [10, 9, 0, u8::try_from(self.random.below(3)).unwrap()];
        let address = SocketAddr::from((address, 40_000 + u16::try_from(slot).unwrap()));
        let peer = Peer::new(&mut self.random);
        let (stream, room) = (self.random.index(251), 1 + self.random.index(48));
        let mut client = Socket::new(peer, stream, room, Connect::Done);
        client.pass(self.now_ms);
        let random = Random::new(self.random.next_u64());
        let (service, now_ms) = (Arc::clone(&self.service), self.now_ms);
        let sockets = Sockets::new(
            client,
            address.ip(),
            &service,
            slot,
            now_ms,
            random,
            self.trace,
        );
        let mut link = Connection::new(u64::from(slot), sockets, address, service, now_ms);
        link.generation = slot;
        link.register(&self.farm, slot).unwrap();
        link.queued = true;
        self.ready.push_back(slot);
        self.say(slot, "comes");
        self.links.push(link);
    }

    fn each_open(&mut self, mut act: impl FnMut(&mut Sockets)) {
        for link in self.links.iter_mut().filter(|link| !link.over) {
            act(&mut link.circuit);
        }
    }

    /// The whole process stands still, while its peers do not.
    fn pause(&mut self) {
        let most_ms = [100, 5000, 100_000][self.random.index(3)];
        let until_ms = self.now_ms + self.random.below(most_ms);
        for _ in 0..self.random.below(8) {
            let now_ms = self.now_ms + self.random.below(1 + until_ms - self.now_ms);
            self.advance(now_ms);
            self.each_open(Sockets::peer_acts);
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
            .open_links()
            .filter_map(|(_, link)| link.circuit.host.as_ref()?.answer_due_ms());
        let slow = self
            .open_links()
            .flat_map(|(_, link)| link.circuit.each().filter_map(Socket::hears_ms));
        answers.chain(slow).chain(self.timers.next_ms()).min()
    }

    /// Works until there is nothing to do at the moment.
    fn work(&mut self) {
        for _ in 0..TURNS {
            self.turn();
            if self.ready.is_empty()
                && !self.looks_again
                && self.open_links().all(|(_, it)| !it.circuit.has_news())
            {
                return self.check_all_wait();
            }
        }
        panic!("never comes to rest");
    }

    fn open_links(&self) -> impl Iterator<Item = (u32, &Connection<Sockets>)> {
        (0..).zip(&self.links).filter(|(_, link)| !link.over)
    }

    fn link(&mut self, slot: u32) -> &mut Connection<Sockets> {
        &mut self.links[slot as usize]
    }

    /// What a worker does when it wakes up.
    fn turn(&mut self) {
        self.seen.turns += 1;
        self.gates.begin_turn();
        let interrupted = self.random.below(16) == 0;
        let mut full = false;
        for slot in 0..u32::try_from(self.links.len()).unwrap() {
            full |= !interrupted && self.note(slot);
        }
        for _ in 0..self.ready.len() {
            if let Some(slot) = self.ready.pop_front() {
                self.run_one(slot);
            }
        }
        let wakeup = Wakeup {
            interrupted,
            full,
            due_ms: self.timers.next_ms(),
            now_ms: self.now_ms,
        };
        self.looks_again = !self.late.may_expire(wakeup, 2);
        let mut due = Vec::new();
        if !self.looks_again {
            self.timers.expire(self.now_ms, &mut due);
        }
        for slot in due {
            let now_ms = self.now_ms;
            self.link(slot).session.handle_deadline(now_ms);
            self.run_one(slot);
        }
        self.check_numbers();
    }

    /// Notes what the sockets have to tell. Whether one of them was left out.
    fn note(&mut self, slot: u32) -> bool {
        let link = &mut self.links[slot as usize];
        if link.over {
            return false;
        }
        let host = link.circuit.host.as_mut();
        if let Some(host) = host.filter(|it| it.answer_due_ms() <= Some(self.now_ms)) {
            host.answer();
        }
        let sides = [
            (Side::Client, Some(&mut link.circuit.client)),
            (Side::Host, link.circuit.host.as_mut()),
        ];
        let mut left_out = false;
        for (side, socket) in sides {
            let Some(socket) = socket else { continue };
            // Whoever was left out is first the next time.
            if !self.looks_again && self.random.below(8) == 0 {
                left_out = true;
                continue;
            }
            if let Some(ready) = socket.poll() {
                if self.trace {
                    eprintln!("{:>9} ms {slot} {side:?} {ready:?}", self.now_ms);
                }
                link.session.handle_ready(side, ready);
                if !std::mem::replace(&mut link.queued, true) {
                    self.ready.push_back(slot);
                }
            }
        }
        left_out
    }

    fn run_one(&mut self, slot: u32) {
        self.say(slot, "has its turn");
        if self.link(slot).over {
            return;
        }
        match self.take_turn(slot) {
            RunResult::Over(reason) => return self.finish(slot, reason),
            RunResult::Waiting => {}
            RunResult::CutShort => {
                self.seen.cut_short += 1;
                self.link(slot).queued = true;
                self.ready.push_back(slot);
            }
        }
        self.arm(slot);
    }

    /// A session's turn, and what must hold after it.
    fn take_turn(&mut self, slot: u32) -> RunResult {
        let piped = self.links.iter().flat_map(|link| link.circuit.pipes);
        let piped = piped.filter(|&bytes| bytes > 0).count();
        let link = &mut self.links[slot as usize];
        let picks = matches!(link.session.next(), Action::Pick | Action::Settle { .. });
        let hosts = picks.then(|| ledger::before(&self.farm.group));
        let mut shortage = None;
        let mut pipes = Pipes(PIPES.saturating_sub(piped));
        let read = |sockets: &Sockets| sockets.each().map(|it| it.read).sum::<usize>();
        let read_before = read(&link.circuit);
        link.queued = false;
        link.circuit.hold_up(&self.farm, &self.gates);
        link.circuit.begin_turn(self.now_ms);
        let end = link.run(&mut Context {
            registry: &self.farm,
            buffer: &mut self.buffer,
            pipes: &mut pipes,
            most_reads: READS_A_TURN,
            random: &mut self.random,
            meters: &self.meters,
            origins: Some(self.origins.of_worker(0)),
            shard: 0,
            now_ms: self.now_ms,
            slot,
            port_gates: &mut self.gates,
            shortage: &mut shortage,
        });
        let piped_now = link
            .circuit
            .pipes
            .iter()
            .filter(|&&bytes| bytes > 0)
            .count();
        self.seen.piped += piped_now;
        link.check_memory(self.buffer.len());
        let most = (READS_A_TURN - 1) * self.buffer.len() + PIPE.max(self.buffer.len());
        assert!(read(&link.circuit) - read_before <= most, "has too much");
        if let Some(hosts) = hosts {
            assert_eq!(shortage.is_some(), link.circuit.was_short(), "a shortage");
            link.circuit.hold_up(&self.farm, &self.gates);
            link.check_picks(&self.farm);
            self.ledger
                .enter_outcomes(&mut link.circuit, &hosts, &self.farm.group);
        }
        self.ledger
            .enter_bytes(link.circuit.bytes, link.picked.as_ref());
        end
    }

    fn arm(&mut self, slot: u32) {
        let Some(at_ms) = self.link(slot).session.deadline_ms() else {
            return;
        };
        let armed_ms = self.timers.armed_ms(slot);
        if armed_ms.is_none_or(|armed_ms| armed_ms >= at_ms + TICK_MS) {
            self.timers.arm(slot, at_ms);
        }
    }

    fn finish(&mut self, slot: u32, reason: EndReason) {
        let link = &mut self.links[slot as usize];
        link.over = true;
        link.close(reason, self.now_ms);
        link.check_end(reason, self.now_ms);
        self.timers.cancel(slot);
        let (to_host, to_client) = link.session.bytes();
        self.seen.bytes += to_host + to_client;
        self.seen.retries += link.session.failed();
        self.seen.half_closes += link.circuit.half_closes;
        self.seen.ends[reason.index()] += 1;
        self.ledger.forget(&self.farm.group.tracker());
    }

    fn stop(&mut self) {
        let open: Vec<u32> = self.open_links().map(|(slot, _)| slot).collect();
        for slot in open {
            self.link(slot).session.close(EndReason::Stopped);
            self.finish(slot, EndReason::Stopped);
        }
        self.to_come = 0;
    }

    /// Everybody does what is left to be done, and time passes until all
    /// sessions are over.
    fn wind_up(&mut self) {
        let TimeoutsMs {
            idle, half_closed, ..
        } = self.service.timeouts;
        for _ in 0..TURNS {
            self.each_open(|sockets| {
                for socket in sockets.each_mut() {
                    socket.peer_winds_up(idle > 0 && half_closed > 0);
                    socket.peer_concludes();
                }
            });
            self.work();
            if self.open_links().next().is_none() {
                return;
            }
            if self.open_links().all(|(_, it)| !it.circuit.has_news())
                && let Some(next_ms) = self.next_ms()
            {
                self.advance(next_ms.max(self.now_ms));
            }
        }
        let stuck: Vec<_> = self
            .open_links()
            .map(|(_, it)| (&it.session, &it.circuit))
            .collect();
        panic!("never ends: {stuck:#?}");
    }

    fn check_numbers(&self) {
        let picked: Vec<_> = self
            .open_links()
            .filter_map(|(_, link)| link.picked.as_ref())
            .collect();
        self.ledger.check(&self.farm.group.tracker(), &picked);
        self.check_origins();
    }

    /// Hosts are told whose a connection is for as long as there is one.
    fn check_origins(&self) {
        for (slot, link) in (0..).zip(&self.links) {
            let connects = !link.over && link.circuit.host.is_some();
            let client = connects.then_some(link.client_address);
            assert_eq!(self.origins.client_of(local_address(slot)), client);
        }
    }

    fn check_all_wait(&self) {
        for (slot, link) in self.open_links() {
            link.check_waiting();
            if self.now_ms > self.resumed_ms + SLACK_MS {
                link.check_time(self.now_ms, self.resumed_ms, SLACK_MS);
            }
            if let Some(deadline_ms) = link.session.deadline_ms() {
                let armed_ms = self.timers.armed_ms(slot);
                assert!(
                    armed_ms
                        .is_some_and(|armed_ms| armed_ms <= deadline_ms.max(self.now_ms) + TICK_MS),
                    "nobody looks at it in time: {:#?}",
                    link.session
                );
            }
        }
    }

    fn check_nothing_is_left(&self) {
        let tracker = self.farm.group.tracker();
        self.ledger.check_counters(&tracker);
        assert_eq!(tracker.open(), 0, "sessions are still counted");
        assert_eq!(self.open_links().count(), 0, "sessions are still open");
        for (slot, _) in (0..).zip(&self.links) {
            assert_eq!(self.timers.armed_ms(slot), None, "a timer is left");
        }
        self.ledger.check_meters(&self.meters);
    }

    fn say(&self, slot: u32, what: &str) {
        if self.trace {
            eprintln!("{:>9} ms {slot} {what}", self.now_ms);
        }
    }
}
