//! A seeded run: clients come, peers act, time passes, operators change things, and all ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use super::super::ending::{
    EndCause, EndRequest, FoundSession, HostCauses, SessionFilter, address_of, keep_longest_silent,
    still_ends,
};
use super::super::mailbox::WorkerMessage;
use super::super::plan::{ListenKey, Plan};
use super::super::session_record::SessionListRequest;
use super::super::timer_wheel::MAX_POLL_MS;
use super::listener::{Listener, SimulatedListener};
use super::socket::Socket;
use super::times::PAUSE_MS;
use super::transport::SimulatedTransport;
use super::worker::SimulatedWorker;
use super::world::{Coverage, WORKERS, World};
use crate::balance::Random;
use crate::os::address::Address;
use crate::os::listen::BindAddress;

/// More iterations than any chain of events needs.
const MAX_ITERATIONS: usize = 10_000;

pub(super) struct Simulation {
    world: World,
    workers: Vec<SimulatedWorker>,
    /// Whether each service has listeners.
    listens: [bool; 2],
    /// A search for sessions that are to end.
    search: Option<Search>,
    /// Clients that are still to come.
    to_come: usize,
    stopped: bool,
}

/// What workers look for, and what they have found so far.
struct Search {
    hosts: Arc<HostCauses>,
    most: usize,
    parts: Receiver<Vec<FoundSession>>,
    found: Vec<FoundSession>,
    is_over: bool,
}

impl Simulation {
    pub(super) fn new(seed: u64, trace: bool) -> Simulation {
        let mut world = World::new(seed, trace);
        let workers = 1 + world.random.index(WORKERS);
        let to_come = match world.random.below(8) {
            0 => 12 + world.random.index(12),
            _ => 1 + world.random.index(7),
        };
        let workers = (0..workers).map(|number| SimulatedWorker::new(number, &mut world));
        let mut simulation = Simulation {
            workers: workers.collect(),
            world,
            listens: [false; 2],
            search: None,
            to_come,
            stopped: false,
        };
        simulation.serve([true, true]);
        simulation
    }

    /// Runs until all sessions have ended. Returns what was covered.
    pub(super) fn run(mut self) -> Coverage {
        for _ in 0..30 + self.world.random.index(150) {
            self.happen();
        }
        if self.world.random.below(16) == 0 {
            self.stop();
        }
        self.wind_up();
        for worker in &self.workers {
            worker.check_is_over();
        }
        self.world.check_nothing_is_left();
        self.world.seen
    }

    fn happen(&mut self) {
        match self.world.random.below(36) {
            0..=2 => self.client_comes(),
            3..=4 => self.pass(8),
            5 => self.pass(400),
            6 => self.pass(20_000),
            7..=8 => self.world.change_hosts(),
            9 => self.each_transport(|it| it.each_mut().for_each(Socket::wake_up)),
            10 => self.pause(),
            11..=15 => self.work(),
            16 => self.change_plan(),
            17 => self.list_sessions(),
            18..=20 => self.end_sessions(),
            _ => self.each_transport(SimulatedTransport::peer_acts),
        }
        let number = self.world.random.index(self.workers.len());
        self.iterate(number);
    }

    /// A client connects to one of the listeners of one worker, as the system chooses.
    fn client_comes(&mut self) {
        let world = &mut self.world;
        let number = match world.random.below(4) {
            0 => world.random.index(self.workers.len()),
            _ => 0,
        };
        let open = |it: &&Listener| it.is_open() && it.closing_since_ms().is_none();
        let listeners: Vec<_> = self.workers[number].listeners.iter().filter(open).collect();
        if self.to_come == 0 || listeners.is_empty() {
            return;
        }
        self.to_come -= 1;
        let listener = match world.random.below(4) {
            0 => listeners[world.random.index(listeners.len())],
            _ => listeners[0],
        };
        let ip = [10, 9, 0, u8::try_from(world.random.below(3)).unwrap()];
        let port = 40_000 + u16::try_from(world.clients).unwrap();
        let address = match ip {
            [.., 0] if world.has_unix() => Address::Unix(Path::new("/run/web").into()),
            ip => SocketAddr::from((ip, port)).into(),
        };
        let number = listener.service();
        let (service, wants) = (&world.services[number], world.wants[number]);
        let client = SimulatedTransport::new(
            world.clients,
            address.clone(),
            (service.timeouts, Arc::clone(&service.group), wants),
            world.now_ms,
            Random::new(world.random.next_u64()),
            world.trace,
        );
        world.clients += 1;
        if world.trace {
            eprintln!("{:>9} ms {address} comes to {number}", world.now_ms);
        }
        listener.arrive(client, address);
    }

    fn each_transport(&mut self, mut act: impl FnMut(&mut SimulatedTransport)) {
        for worker in &mut self.workers {
            worker.transports().for_each(&mut act);
            for listener in &worker.listeners {
                listener.each_client(&mut act);
            }
        }
    }

    /// The process is stopped, while its peers go on; or the machine is, or the clock jumps.
    fn pause(&mut self) {
        let most_ms = [100, 5000, 100_000, 10 * 24 * 3_600_000][self.world.random.index(4)];
        let from_ms = self.world.now_ms;
        let until_ms = from_ms + self.world.random.below(most_ms);
        for _ in 0..self.world.random.below(8) {
            let left_ms = until_ms - self.world.now_ms;
            let now_ms = self.world.now_ms + self.world.random.below(1 + left_ms);
            self.advance(now_ms);
            self.each_transport(SimulatedTransport::peer_acts);
        }
        self.advance(until_ms);
        self.world.resumed_ms = until_ms;
        if until_ms - from_ms >= MAX_POLL_MS + PAUSE_MS {
            self.world.pauses.push((from_ms, until_ms));
        }
        self.world.seen.pauses += 1;
    }

    fn advance(&mut self, now_ms: u64) {
        self.each_transport(|it| it.pass(now_ms));
        self.world.set_now(now_ms);
    }

    /// Time passes; the workers sleep until there is something to do.
    fn pass(&mut self, most_ms: u64) {
        let until_ms = self.world.now_ms + self.world.random.below(most_ms);
        self.work();
        while let Some(next_ms) = self.next_ms().filter(|next_ms| *next_ms <= until_ms) {
            self.advance(next_ms.max(self.world.now_ms));
            self.work();
        }
        self.advance(until_ms.max(self.world.now_ms));
        self.work();
    }

    /// When something happens next by itself.
    fn next_ms(&mut self) -> Option<u64> {
        let mut next_ms = None::<u64>;
        let mut at = |at_ms: Option<u64>| next_ms = at_ms.into_iter().chain(next_ms).min();
        self.each_transport(|it| {
            at(it.host.as_ref().and_then(Socket::answer_due_ms));
            it.each().for_each(|socket| at(socket.hears_ms()));
            it.each().for_each(|socket| at(socket.gives_up_ms()));
        });
        let awake = self.workers.iter().filter(|worker| !worker.is_done);
        awake.for_each(|worker| at(worker.wake_ms));
        next_ms
    }

    /// Iterates until there is nothing to do.
    fn work(&mut self) {
        for _ in 0..MAX_ITERATIONS {
            let now_ms = self.world.now_ms;
            let busy = |worker: &mut SimulatedWorker| worker.has_event(now_ms);
            let Some(number) = self.workers.iter_mut().position(busy) else {
                let waiting = |number| self.world.shared.handoffs.waiting(number);
                let waiting: usize = (0..self.workers.len()).map(waiting).sum();
                assert_eq!(waiting, 0, "a client that was handed off waits");
                let workers = self.workers.iter_mut();
                return workers.for_each(|worker| worker.check_at_rest(&mut self.world));
            };
            self.iterate(number);
        }
        panic!("never comes to rest");
    }

    fn iterate(&mut self, number: usize) {
        self.workers[number].iterate(&mut self.world);
        self.collect_found(number);
        self.world.check_counts(&mut self.workers);
    }

    /// One of the services gets listeners, or loses them.
    fn change_plan(&mut self) {
        if !self.stopped {
            let mut listens = self.listens;
            listens[self.world.random.index(2)] ^= true;
            self.serve(listens);
        }
    }

    /// Has all workers serve the services that are to have listeners.
    fn serve(&mut self, listens: [bool; 2]) {
        let place = BindAddress::At(SocketAddr::from(([10, 0, 0, 9], 80)));
        let key = |index: usize| ListenKey {
            service: Some(self.world.services[index].name.clone()),
            ..ListenKey::at(place)
        };
        let open = (0..2).filter(|index| listens[*index]);
        let listeners = open.map(|index| (key(index), self.world.listener_plan(index)));
        let plan = Arc::new(Plan {
            listeners: listeners.collect(),
            services: 2,
            // The one for which most is looked up.
            session_log: Some(crate::relay::SessionLog {
                format: crate::config::LogFormat::Json,
                instance: String::new(),
            }),
            has_client_lookup: true,
        });
        for worker in &mut self.workers {
            let mut opened: Vec<(ListenKey, SimulatedListener)> = Vec::new();
            for (index, listens) in listens.into_iter().enumerate() {
                let is_of = |it: &&Listener| it.service() == index;
                if self.listens[index] && !listens {
                    let old = worker.listeners.iter().filter(is_of);
                    old.for_each(|it| it.must_close(None));
                    self.world.seen.closed_listeners += 1;
                } else if listens && !self.listens[index] {
                    let random = Random::new(self.world.random.next_u64());
                    let (listener, socket) = Listener::open(&self.world.network, index, random);
                    worker.listeners.push(listener);
                    opened.push((key(index), socket));
                }
            }
            let (done, is_done) = channel();
            worker.expect_acknowledgement(is_done);
            let plan = Arc::clone(&plan);
            let (prepared, _) = channel();
            worker.post(WorkerMessage::Prepare {
                opened,
                done: prepared,
            });
            worker.post(WorkerMessage::Serve { plan, done });
        }
        self.listens = listens;
    }

    /// Has sessions ended as an operator or the controller does.
    fn end_sessions(&mut self) {
        let now_ms = self.world.now_ms;
        let Some(search) = self.search.take() else {
            return self.begin_to_end(now_ms);
        };
        if !search.is_over {
            return self.search = Some(search);
        }
        let mut found = search.found;
        let (all, most) = (found.clone(), self.world.end_rate.allowed(now_ms));
        keep_longest_silent(&mut found, most);
        assert_eq!(found.len(), most.min(all.len()), "leaves some");
        let least_ms = found.last().map_or(u64::MAX, |it| it.idle_ms);
        let mut left = all.iter().filter(|it| !found.contains(it));
        assert!(left.all(|it| it.idle_ms <= least_ms), "not the longest");
        self.world.count_ends(&found);
        for worker in 0..self.workers.len() {
            let own = found.iter().filter(|it| it.worker() == worker).copied();
            let request = EndRequest::End(own.collect());
            self.workers[worker].post(WorkerMessage::End(request));
        }
    }

    fn begin_to_end(&mut self, now_ms: u64) {
        let random = &mut self.world.random;
        let mut filter = SessionFilter::default();
        match random.below(6) {
            0 => filter.idle_ms = 1 + random.below(1000),
            1 => filter.client = "10.9.0.1".parse().ok(),
            _ => {
                let with_groups = random.below(8) == 0;
                let causes = self.world.network.farm.borrow().end_causes(with_groups);
                filter = SessionFilter::on_hosts(causes);
            }
        }
        let Some(hosts) = filter.hosts.clone() else {
            let (ended, _) = channel();
            for worker in &mut self.workers {
                let (filter, ended) = (filter.clone(), ended.clone());
                worker.post(WorkerMessage::End(EndRequest::EndAll { filter, ended }));
            }
            return;
        };
        let most = self.world.end_rate.allowed(now_ms);
        if most > 0 {
            let (found, parts) = channel();
            for worker in &mut self.workers {
                let (filter, found) = (filter.clone(), found.clone());
                worker.post(WorkerMessage::End(EndRequest::Find {
                    filter,
                    most,
                    found,
                }));
            }
            self.search = Some(Search {
                hosts,
                most,
                parts,
                found: Vec::new(),
                is_over: false,
            });
        }
    }

    /// Takes what a worker has found in the iteration that is over, and checks that it left out
    /// only sessions that were silent for less long.
    fn collect_found(&mut self, number: usize) {
        let Some(search) = &mut self.search else {
            return;
        };
        let now_ms = self.world.network.loop_ms.get();
        loop {
            let part = match search.parts.try_recv() {
                Ok(part) => part,
                Err(error) => {
                    search.is_over = error == TryRecvError::Disconnected;
                    return;
                }
            };
            assert!(part.is_sorted_by(|one, next| one.idle_ms >= next.idle_ms));
            let least_ms = part.iter().map(|it| it.idle_ms).min();
            for (_, connection) in self.workers[number].engine.connections.iter_mut() {
                let picked = connection.picked.as_ref();
                let host = picked.map(|it| (address_of(&connection.group), it.id));
                let cause = host.and_then(|it| search.hosts.cause(it));
                let is_meant = cause
                    .is_some_and(|it| it != EndCause::HostFailed || still_ends(connection, it));
                let idle_ms = connection.session.idle_ms(now_ms);
                match part.iter().find(|it| it.id == connection.id) {
                    Some(found) => assert_eq!((Some(found.cause), found.idle_ms), (cause, idle_ms)),
                    None => assert!(
                        !is_meant || (part.len() == search.most && Some(idle_ms) <= least_ms),
                        "one that was silent longer is left out"
                    ),
                }
            }
            self.world.seen.found += part.len();
            search.found.extend(part);
        }
    }

    fn list_sessions(&mut self) {
        let number = self.world.random.index(self.workers.len());
        let room = [0, 2, 1000][self.world.random.index(3)];
        let worker = &mut self.workers[number];
        if worker.list.is_none() && !worker.is_done {
            let (parts, received) = channel();
            worker.expect_list(received, room);
            let room = Arc::new(AtomicUsize::new(room));
            worker.post(WorkerMessage::List(SessionListRequest {
                parts,
                room,
                filter: SessionFilter::default(),
            }));
        }
    }

    /// Has all workers end, after some time or with their last sessions.
    fn stop(&mut self) {
        let grace_ms = [None, Some(0), Some(500), Some(20_000)][self.world.random.index(4)];
        let hangs_up = self.world.random.below(4) == 0;
        let grace_ms = if hangs_up { Some(0) } else { grace_ms };
        self.stopped = true;
        for number in 0..self.workers.len() {
            self.stop_worker(number, grace_ms, hangs_up);
            // The next one learns of it later.
            for _ in 0..self.world.random.index(8) {
                self.happen();
            }
        }
        self.to_come = 0;
    }

    fn stop_worker(&mut self, number: usize, grace_ms: Option<u64>, hangs_up: bool) {
        let worker = &mut self.workers[number];
        let cut_off_ms = grace_ms.map(|grace_ms| self.world.now_ms + grace_ms);
        let listeners = worker.listeners.iter();
        listeners.for_each(|it| it.must_close(cut_off_ms));
        if hangs_up {
            return worker.hang_up();
        }
        let (done, is_done) = channel();
        worker.expect_acknowledgement(is_done);
        let grace = grace_ms.map(Duration::from_millis);
        worker.post(WorkerMessage::Stop { grace, done });
    }

    /// All peers finish, and time passes until all sessions have ended.
    fn wind_up(&mut self) {
        self.world.network.winds_up.set(true);
        let timeouts = self.world.services[0].timeouts;
        let may_stay = timeouts.idle > 0 && timeouts.half_closed > 0;
        // A host may need two minutes to be given up, and clients that wait look ten times a second.
        for _ in 0..10 * MAX_ITERATIONS {
            self.each_transport(|it| {
                for socket in it.each_mut() {
                    socket.peer_winds_up(may_stay);
                    socket.peer_concludes();
                }
            });
            self.work();
            if self.workers.iter().all(|worker| worker.is_done) {
                return;
            }
            let is_idle = |it: &SimulatedWorker| {
                it.engine.connections.is_empty() && it.listeners.iter().all(|it| it.waiting() == 0)
            };
            if !self.stopped && self.workers.iter().all(is_idle) {
                self.stop();
            }
            let now_ms = self.world.now_ms;
            if !self
                .workers
                .iter_mut()
                .any(|worker| worker.has_event(now_ms))
                && let Some(next_ms) = self.next_ms()
            {
                self.advance(next_ms.max(now_ms));
            }
        }
        let workers = self.workers.iter_mut();
        let stuck: Vec<_> = workers
            .flat_map(|worker| worker.engine.connections.iter_mut())
            .map(|(_, it)| (&it.session, &it.transport))
            .collect();
        panic!("never ends: {stuck:#?}");
    }
}
