//! A simulated worker, its clients and its hosts, on a virtual clock.
//!
//! Lets things happen in an order that is the seed's, and checks after each
//! that all is as it must be.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::super::end::EndReason;
use super::super::link::TurnEnd;
use super::super::step::Side;
use super::super::timeouts::TimeoutsMs;
use super::super::timers::{TICK_MS, Timers};
use super::farm::Farm;
use super::peer::Peer;
use super::seat::{Seat, Turn};
use super::socket::{Connect, Socket};
use super::wire::Sockets;
use crate::balance::Random;

/// More turns than any series of events needs that follow from one.
const TURNS: usize = 10_000;

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
    pub(super) turns: usize,
    /// The time all this took.
    pub(super) ended_ms: u64,
}

pub(super) struct World {
    now_ms: u64,
    random: Random,
    farm: Farm,
    seats: Vec<Seat>,
    /// Clients yet to come.
    to_come: usize,
    timers: Timers,
    ready: VecDeque<usize>,
    buffer: Vec<u8>,
    timeouts: TimeoutsMs,
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
        World {
            farm: Farm::new(&mut random),
            seats: Vec::new(),
            to_come: 1 + random.index(7),
            timers: Timers::new(now_ms),
            ready: VecDeque::new(),
            buffer: vec![0; 1 + random.index(64)],
            timeouts,
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
            10..=15 => self.work(),
            _ => self.each_open(Sockets::peer_acts),
        }
        self.turn();
    }

    fn change_hosts(&mut self) {
        self.farm.change(&mut self.random, self.now_ms);
        if self.trace {
            eprintln!("{:>9} ms {}", self.now_ms, self.farm);
        }
    }

    fn welcome(&mut self) {
        if self.to_come == 0 {
            return;
        }
        self.to_come -= 1;
        let address = [10, 9, 0, u8::try_from(self.random.below(3)).unwrap()];
        let peer = Peer::new(&mut self.random);
        let (stream, room) = (self.random.index(251), 1 + self.random.index(48));
        let client = Socket::new(peer, stream, room, Connect::Done);
        let random = Random::new(self.random.next_u64());
        let sockets = Sockets::new(client, self.now_ms, random);
        self.ready.push_back(self.seats.len());
        self.say(self.seats.len(), "comes");
        self.seats
            .push(Seat::new(IpAddr::from(address), sockets, self.timeouts));
    }

    fn each_open(&mut self, mut act: impl FnMut(&mut Sockets)) {
        for seat in self.seats.iter_mut().filter(|seat| seat.over.is_none()) {
            act(&mut seat.sockets);
        }
    }

    /// Time passes; the worker sleeps until there is something to do.
    fn pass(&mut self, most_ms: u64) {
        let until_ms = self.now_ms + self.random.below(most_ms);
        self.work();
        while let Some(next_ms) = self.next_ms().filter(|next_ms| *next_ms <= until_ms) {
            self.now_ms = next_ms.max(self.now_ms);
            self.work();
        }
        self.now_ms = until_ms;
        self.work();
    }

    fn next_ms(&self) -> Option<u64> {
        let answers = self
            .open_seats()
            .filter_map(|(_, seat)| seat.sockets.host.as_ref()?.answer_due_ms());
        answers.chain(self.timers.next_ms()).min()
    }

    /// Works until there is nothing to do at the moment.
    fn work(&mut self) {
        for _ in 0..TURNS {
            self.turn();
            if self.ready.is_empty() && self.open_seats().all(|(_, it)| !it.sockets.has_news()) {
                return self.check_all_wait();
            }
        }
        panic!("never comes to rest");
    }

    fn open_seats(&self) -> impl Iterator<Item = (usize, &Seat)> {
        let seats = self.seats.iter().enumerate();
        seats.filter(|(_, seat)| seat.over.is_none())
    }

    /// What a worker does when it wakes up.
    fn turn(&mut self) {
        self.seen.turns += 1;
        for slot in 0..self.seats.len() {
            self.note(slot);
        }
        for _ in 0..self.ready.len() {
            if let Some(slot) = self.ready.pop_front() {
                self.run_one(slot);
            }
        }
        let mut due = Vec::new();
        self.timers.expire(self.now_ms, &mut due);
        for slot in due {
            let slot = slot as usize;
            self.seats[slot].session.handle_deadline(self.now_ms);
            self.run_one(slot);
        }
        self.check_numbers();
    }

    fn note(&mut self, slot: usize) {
        let seat = &mut self.seats[slot];
        if seat.over.is_some() {
            return;
        }
        let host = seat.sockets.host.as_mut();
        if let Some(host) = host.filter(|it| it.answer_due_ms() <= Some(self.now_ms)) {
            host.answer();
        }
        let sides = [
            (Side::Client, Some(&mut seat.sockets.client)),
            (Side::Host, seat.sockets.host.as_mut()),
        ];
        for (side, socket) in sides {
            let Some(socket) = socket.filter(|_| self.random.below(8) > 0) else {
                continue;
            };
            if let Some(ready) = socket.poll() {
                if self.trace {
                    eprintln!("{:>9} ms {slot} {side:?} {ready:?}", self.now_ms);
                }
                seat.session.handle_ready(side, ready);
                if !std::mem::replace(&mut seat.queued, true) {
                    self.ready.push_back(slot);
                }
            }
        }
    }

    fn run_one(&mut self, slot: usize) {
        self.say(slot, "has its turn");
        let seat = &mut self.seats[slot];
        if seat.over.is_some() {
            return;
        }
        seat.queued = false;
        let end = seat.run(&mut Turn {
            farm: &mut self.farm,
            buffer: &mut self.buffer,
            random: &mut self.random,
            now_ms: self.now_ms,
            trace: self.trace,
        });
        match end {
            TurnEnd::Over(reason) => return self.finish(slot, reason),
            TurnEnd::Waiting => {}
            TurnEnd::CutShort => {
                self.seen.cut_short += 1;
                seat.queued = true;
                self.ready.push_back(slot);
            }
        }
        self.arm(slot);
    }

    fn arm(&mut self, slot: usize) {
        let Some(at_ms) = self.seats[slot].session.deadline_ms() else {
            return;
        };
        let key = key(slot);
        let armed_ms = self.timers.armed_ms(key);
        if armed_ms.is_none_or(|armed_ms| armed_ms >= at_ms + TICK_MS) {
            self.timers.arm(key, at_ms);
        }
    }

    fn finish(&mut self, slot: usize, reason: EndReason) {
        let seat = &mut self.seats[slot];
        seat.close(reason, &mut self.farm, self.now_ms);
        self.timers.cancel(key(slot));
        let (to_host, to_client) = seat.session.bytes();
        self.seen.bytes += to_host + to_client;
        self.seen.retries += seat.session.failed();
        self.seen.half_closes += seat.sockets.half_closes;
        self.seen.ends[reason.index()] += 1;
    }

    fn stop(&mut self) {
        for slot in 0..self.seats.len() {
            if self.seats[slot].over.is_none() {
                self.seats[slot].session.close(EndReason::Stopped);
                self.finish(slot, EndReason::Stopped);
            }
        }
        self.to_come = 0;
    }

    /// Everybody does what is left to be done, and time passes until all
    /// sessions are over.
    fn wind_up(&mut self) {
        let TimeoutsMs {
            idle, half_closed, ..
        } = self.timeouts;
        for _ in 0..TURNS {
            self.each_open(|sockets| {
                for socket in sockets.each_mut() {
                    socket.peer_winds_up(idle > 0 && half_closed > 0);
                    socket.peer_concludes();
                }
            });
            self.work();
            if self.open_seats().next().is_none() {
                return;
            }
            if self.open_seats().all(|(_, it)| !it.sockets.has_news())
                && let Some(next_ms) = self.next_ms()
            {
                self.now_ms = next_ms.max(self.now_ms);
            }
        }
        let stuck: Vec<_> = self
            .open_seats()
            .map(|(_, it)| (&it.session, &it.sockets))
            .collect();
        panic!("never ends: {stuck:#?}");
    }

    fn check_numbers(&self) {
        let picked: Vec<_> = self
            .open_seats()
            .filter_map(|(_, seat)| seat.picked.as_ref())
            .collect();
        self.farm.check(&picked);
    }

    fn check_all_wait(&self) {
        for (slot, seat) in self.open_seats() {
            seat.check_waiting();
            seat.check_time(self.now_ms, SLACK_MS);
            if let Some(deadline_ms) = seat.session.deadline_ms() {
                let armed_ms = self.timers.armed_ms(key(slot));
                assert!(
                    armed_ms
                        .is_some_and(|armed_ms| armed_ms <= deadline_ms.max(self.now_ms) + TICK_MS),
                    "nobody looks at it in time: {:#?}",
                    seat.session
                );
            }
        }
    }

    fn check_nothing_is_left(&self) {
        assert_eq!(self.farm.tracker.open(), 0, "sessions are still counted");
        assert_eq!(self.open_seats().count(), 0, "sessions are still open");
        for slot in 0..self.seats.len() {
            assert_eq!(self.timers.armed_ms(key(slot)), None, "a timer is left");
        }
    }

    fn say(&self, slot: usize, what: &str) {
        if self.trace {
            eprintln!("{:>9} ms {slot} {what}", self.now_ms);
        }
    }
}

fn key(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}
