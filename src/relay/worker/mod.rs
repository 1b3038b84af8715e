//! A worker: one thread, one event loop, its share of the sessions.
//!
//! Waits for events, notes what they say, and gives each session that has
//! something to do its turn. What a session does in its turn is `link`'s
//! business, how clients come in `accept`'s.

mod accept;
mod line;
mod list;
mod listeners;

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use accept::ACCEPT_PAUSE_MS;
use list::Listings;
use listeners::Listeners;

use super::connection::{Connection, Context, RunResult, Transport};
use super::end::{Closing, EndReason};
use super::failure::Shortage;
use super::late::{Late, Wakeup};
use super::listener::{ListenKey, Listener};
use super::mailbox::{Mailbox, WorkerMessage};
use super::plan::Plan;
use super::port_gates::PortGates;
use super::shared::Shared;
use super::slab::{FIRST_SPECIAL, Named, Slab, named};
use super::tcp_transport::{TcpTransport, readiness};
use super::timeouts::earliest;
use super::timer_wheel::{TICK_MS, Timers};
use super::worker_stats::WorkerStats;
use crate::balance::Random;
use crate::os::pipes::Pipes;

/// Every read goes through one buffer of this size.
const BUFFER: usize = 64 * 1024;

/// Reads a session may do before it is another's turn: 16 buffers, a megabyte.
/// Enough to keep the kernel's buffers moving, too little to be noticed.
const READS_A_TURN: usize = 16;

/// Events taken from the system at once.
const EVENTS: usize = 1024;

const MAIL: usize = 0;
const FIRST_LISTENER: usize = 1;

/// One thread's event loop and all it owns.
pub(crate) struct Worker {
    number: usize,
    shared: Arc<Shared>,
    poll: Poll,
    orders: Receiver<WorkerMessage>,
    plan: Arc<Plan>,
    listeners: Listeners,
    links: Slab<Connection<TcpTransport>>,
    timers: Timers,
    /// Sessions that have something to do.
    ready: VecDeque<u32>,
    /// Sessions that are over: their slots are freed after the batch, so that
    /// no event of it meets a new tenant.
    over: Vec<u32>,
    due: Vec<u32>,
    buffer: Box<[u8]>,
    pipes: Pipes,
    random: Random,
    now_ms: u64,
    late: Late,
    port_gates: PortGates,
    accept_after_ms: u64,
    sessions_so_far: u64,
    /// Who waits to hear that closed listeners are closed.
    unanswered: Vec<Sender<()>>,
    listings: Listings,
    stopping: Option<Stopping>,
}

#[derive(Debug, Clone, Copy)]
struct Stopping {
    cut_off_ms: Option<u64>,
}

impl Worker {
    /// Worker `number`, and the mailbox it is reached through.
    ///
    /// # Errors
    /// The system's, if it has no event queue for it.
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        seed: u64,
    ) -> io::Result<(Worker, Mailbox)> {
        let poll = Poll::new()?;
        let (mailbox, orders) = Mailbox::new(&poll, Token(FIRST_SPECIAL + MAIL))?;
        shared.lobbies.open(number, mailbox.waker());
        let now_ms = shared.clock.now_ms();
        let pipes = Pipes::new(shared.pipes);
        let worker = Worker {
            number,
            shared,
            poll,
            orders,
            plan: Arc::default(),
            listeners: Listeners::default(),
            links: Slab::new(),
            timers: Timers::new(now_ms),
            ready: VecDeque::new(),
            over: Vec::new(),
            due: Vec::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            pipes,
            random: Random::new(seed),
            now_ms,
            late: Late::default(),
            port_gates: PortGates::default(),
            accept_after_ms: 0,
            sessions_so_far: 0,
            unanswered: Vec::new(),
            listings: Listings::default(),
            stopping: None,
        };
        Ok((worker, mailbox))
    }

    /// Works until it has been told to stop and its last session is over.
    ///
    /// # Panics
    /// If the system's event queue fails: there is nothing to be done without.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_done() {
            let polled = self.poll.poll(&mut events, self.patience());
            let interrupted = match polled {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("worker {}: no more events: {error}", self.number)
                }
                polled => polled.is_err(),
            };
            self.now_ms = self.shared.clock.now_ms();
            self.meters().count_turn();
            self.port_gates.begin_turn();
            let mut noted = 0;
            for event in &events {
                self.note(event);
                noted += 1;
            }
            self.accept_clients();
            self.run_ready();
            if self.may_expire(interrupted, noted == EVENTS) {
                self.run_due();
                self.cut_off();
            }
            self.list_sessions();
            self.sweep();
        }
    }

    /// How long there is nothing to do, unless the system has news.
    fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.listings.are_under_way() {
            return Some(Duration::ZERO);
        }
        let clients = (self.listeners.ready() > 0).then_some(self.accept_after_ms);
        let resume = self.listeners.resume_due_ms();
        let close = self.listeners.close_due_ms();
        let cut_off = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        let next_ms = [self.timers.next_ms(), clients, resume, close, cut_off]
            .into_iter()
            .flatten()
            .min()?;
        // The clock is read anew: the turn that ends now may have been a long one.
        Some(Duration::from_millis(
            next_ms.saturating_sub(self.shared.clock.now_ms()),
        ))
    }

    /// Whether what is due may be done: after a pause not before each socket was looked at.
    fn may_expire(&mut self, interrupted: bool, full: bool) -> bool {
        let cut_off_ms = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        let wakeup = Wakeup {
            interrupted,
            full,
            due_ms: earliest(self.timers.next_ms(), cut_off_ms),
            now_ms: self.now_ms,
        };
        // Two sockets a session.
        self.late.may_expire(wakeup, 2 * self.links.len() / EVENTS)
    }

    fn note(&mut self, event: &Event) {
        match named(event.token().0) {
            Named::Special(MAIL) => {
                self.read_mail();
                self.take_in_newcomers();
            }
            Named::Special(number) => self.listeners.wake(number - FIRST_LISTENER),
            Named::Session {
                slot,
                generation,
                side,
            } if self.links.is(slot, generation) => {
                let Some(link) = self.links.at(slot) else {
                    return;
                };
                link.session.handle_ready(side, readiness(event));
                enqueue(link, slot, &mut self.ready);
            }
            Named::Session { .. } => {}
        }
    }

    fn read_mail(&mut self) {
        loop {
            match self.orders.try_recv() {
                Ok(WorkerMessage::Serve { plan, opened, done }) => self.serve(plan, opened, done),
                Ok(WorkerMessage::List(listing)) => self.listings.begin(listing),
                Ok(WorkerMessage::Answer(alive)) => drop(alive.send(())),
                Ok(WorkerMessage::Stop { grace, done }) => {
                    self.stop(grace);
                    self.unanswered.push(done);
                }
                Err(TryRecvError::Empty) => return,
                // Nobody can reach it any more.
                Err(TryRecvError::Disconnected) => return self.stop(Some(Duration::ZERO)),
            }
        }
    }

    fn serve(&mut self, plan: Arc<Plan>, opened: Vec<(ListenKey, StdListener)>, done: Sender<()>) {
        self.plan = plan;
        for place in self.listeners.places() {
            let Some(listener) = self.listeners.at(place) else {
                continue;
            };
            match self.plan.doors.get(&listener.key) {
                Some(service) => listener.service = Arc::clone(service),
                None => self.listeners.close_soon(place, self.now_ms),
            }
        }
        for (key, socket) in opened {
            self.open(key, TcpListener::from_std(socket));
        }
        self.unanswered.push(done);
    }

    fn open(&mut self, key: ListenKey, socket: TcpListener) {
        let Some(service) = self.plan.doors.get(&key) else {
            return;
        };
        let mut listener = Listener::new(key, socket, Arc::clone(service));
        let place = self.listeners.next_place();
        let token = Token(FIRST_SPECIAL + FIRST_LISTENER + place);
        match self
            .poll
            .registry()
            .register(&mut listener.socket, token, Interest::READABLE)
        {
            Ok(()) => self.listeners.add(listener),
            Err(error) => log::error!("worker {} cannot listen: {error}", self.number),
        }
    }

    fn stop(&mut self, grace: Option<Duration>) {
        let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let cut_off_ms = grace_ms.map(|grace_ms| self.now_ms.saturating_add(grace_ms));
        self.stopping = Some(Stopping { cut_off_ms });
        for place in self.listeners.places() {
            self.listeners.close_soon(place, self.now_ms);
        }
    }

    fn run_ready(&mut self) {
        // Whoever is cut short comes again in the next round, behind news.
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else {
                return;
            };
            if let Some(link) = self.links.at(slot) {
                link.queued = false;
                self.run_one(slot);
            }
        }
    }

    fn run_due(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.expire(self.now_ms, &mut due);
        for slot in due.drain(..) {
            if let Some(link) = self.links.at(slot) {
                link.session.handle_deadline(self.now_ms);
                // One that was cut short has had its turn: it comes again.
                if !link.queued {
                    self.run_one(slot);
                }
            }
        }
        self.due = due;
    }

    fn run_one(&mut self, slot: u32) {
        let Some(link) = self.links.at(slot).filter(|link| !link.over) else {
            return;
        };
        let mut shortage = None;
        let end = link.run(&mut Context {
            registry: self.poll.registry(),
            buffer: &mut self.buffer,
            pipes: &mut self.pipes,
            most_reads: READS_A_TURN,
            random: &mut self.random,
            meters: &self.shared.meters[self.number],
            origins: self
                .plan
                .notes_origins
                .then(|| self.shared.origins.of_worker(self.number)),
            shard: self.number,
            now_ms: self.now_ms,
            slot,
            port_gates: &mut self.port_gates,
            shortage: &mut shortage,
        });
        let waits = link.session.is_paused();
        match end {
            RunResult::Over(reason) => self.finish(slot, reason),
            RunResult::Waiting => self.arm(slot),
            RunResult::CutShort => {
                enqueue(link, slot, &mut self.ready);
                self.arm(slot);
            }
        }
        if let Some((shortage, address)) = shortage.filter(|_| waits) {
            // More clients would only make it worse, but those of other hosts have ports.
            if shortage != Shortage::Ports {
                self.accept_after_ms = self.now_ms + ACCEPT_PAUSE_MS;
            }
            self.complain(shortage, address);
        }
    }

    /// Sees to it that the session is looked at by its deadline. A timer that
    /// is early is left alone: most deadlines move with every byte, and few
    /// are ever reached.
    fn arm(&mut self, slot: u32) {
        let Some(at_ms) = self
            .links
            .at(slot)
            .and_then(|link| link.session.deadline_ms())
        else {
            return;
        };
        if self
            .timers
            .armed_ms(slot)
            .is_none_or(|armed_ms| armed_ms >= at_ms + TICK_MS)
        {
            self.timers.arm(slot, at_ms);
        }
    }

    fn finish(&mut self, slot: u32, reason: EndReason) {
        let Some(link) = self.links.at(slot) else {
            return;
        };
        link.over = true;
        if self.plan.log_sessions {
            line::log_session(link, &self.shared, reason, self.now_ms);
        }
        line::tell_end(link, &self.shared, reason, self.now_ms);
        link.close(reason, self.now_ms);
        link.service.tally.leave();
        self.listeners.resume_one(&link.service.tally);
        self.timers.cancel(slot);
        self.over.push(slot);
        self.shared.meters[self.number].count_end(reason);
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        self.shared.lobbies.exit(self.number);
    }

    fn cut_off(&mut self) {
        let cut_off_ms = self.stopping.and_then(|stopping| stopping.cut_off_ms);
        if cut_off_ms.is_none_or(|cut_off_ms| self.now_ms < cut_off_ms) {
            return;
        }
        self.listeners = Listeners::default();
        for slot in self.links.occupied().collect::<Vec<_>>() {
            if let Some(link) = self.links.at(slot).filter(|link| !link.over) {
                link.session.close(EndReason::Stopped);
                self.finish(slot, EndReason::Stopped);
            }
        }
    }

    fn sweep(&mut self) {
        for slot in self.over.drain(..) {
            self.links.remove(slot);
            // There is room for a new one.
            self.accept_after_ms = 0;
        }
    }

    fn is_done(&self) -> bool {
        self.stopping.is_some()
            && self.links.is_empty()
            && self.listeners.is_empty()
            && self.shared.lobbies.shut(self.number)
    }

    fn meters(&self) -> &WorkerStats {
        &self.shared.meters[self.number]
    }
}

impl Drop for Worker {
    /// A session that a panic has cut must not look like one that has ended.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for slot in self.links.occupied().collect::<Vec<_>>() {
            if let Some(link) = self.links.at(slot) {
                link.circuit.close(Closing::Reset);
            }
        }
    }
}

fn enqueue(link: &mut Connection<TcpTransport>, slot: u32, ready: &mut VecDeque<u32>) {
    if !std::mem::replace(&mut link.queued, true) {
        ready.push_back(slot);
    }
}

#[cfg(test)]
mod tests {
    //! Two workers on real sockets, of which one gets all the clients.

    use std::net::{SocketAddr, TcpStream};
    use std::sync::atomic::{AtomicU64, AtomicUsize};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::balance::HostPool;
    use crate::config;
    use crate::os::listen::{BindAddress, bind_all};
    use crate::relay::client_lookup::ClientLookup;
    use crate::relay::clock::Clock;
    use crate::relay::handoff::{Handoffs, PendingConnection};
    use crate::relay::plan::{Group, Service};
    use crate::relay::recent_events::RecentEvents;

    /// The only service of a configuration, with one host.
    pub(super) fn service(host: SocketAddr) -> Arc<Service> {
        let text = format!(
            r#"<config><service name="s"><listen ip="127.0.0.1:0"/>
        <group name="g" enable="true"><host ip="{host}"/></group></service></config>"#
        );
        let config = config::read(text.as_bytes()).unwrap().config;
        let service = &config.services[0];
        let tracker = HostPool::new(&service.groups[0], 2, 0);
        Arc::new(Service {
            name: service.name.clone(),
            timeouts: service.timeouts.into(),
            group: Arc::new(Group::new("s", "g", tracker)),
            tally: Arc::default(),
        })
    }

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            clock: Clock::start(),
            capacity: AtomicUsize::new(100),
            open: AtomicUsize::new(0),
            complain_after_ms: AtomicU64::new(0),
            pipes: 0,
            lobbies: Handoffs::new(2),
            journal: RecentEvents::new(Clock::start()),
            meters: vec![WorkerStats::default(), WorkerStats::default()],
            origins: ClientLookup::new(2),
        })
    }

    #[test]
    fn clients_that_all_come_to_one_worker_are_shared_with_the_other() {
        let host = StdListener::bind("127.0.0.1:0").unwrap();
        let place = BindAddress::At("127.0.0.1:0".parse().unwrap());
        let listener = bind_all(place, 1, false).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        let key = ListenKey {
            place,
            service: None,
        };
        let door = (key.clone(), service(host.local_addr().unwrap()));
        let plan = Arc::new(Plan {
            doors: [door].into(),
            ..Plan::default()
        });
        let shared = shared();
        let (mut threads, mut mailboxes) = (Vec::new(), Vec::new());
        let mut listeners = vec![(key, listener)];
        for number in 0..2 {
            let (worker, mailbox) = Worker::new(number, Arc::clone(&shared), 1).unwrap();
            threads.push(thread::spawn(move || worker.run()));
            let (done, is_done) = channel();
            let order = WorkerMessage::Serve {
                plan: Arc::clone(&plan),
                opened: std::mem::take(&mut listeners),
                done,
            };
            mailbox.post(order).unwrap();
            is_done.recv().unwrap();
            mailboxes.push(mailbox);
        }
        let mut sessions = Vec::new();
        for _ in 0..4 {
            sessions.push((TcpStream::connect(address).unwrap(), host.accept().unwrap()));
        }
        let counts = [0, 1].map(|number| shared.lobbies.sessions(number));
        assert_eq!(counts, [2, 2]);
        drop(sessions);
        for mailbox in &mailboxes {
            let (done, is_done) = channel();
            mailbox
                .post(WorkerMessage::Stop { grace: None, done })
                .unwrap();
            is_done.recv().unwrap();
        }
        assert!(TcpStream::connect(address).is_err());
        for thread in threads {
            thread.join().unwrap();
        }
        let counts = [0, 1].map(|number| shared.lobbies.sessions(number));
        assert_eq!((counts, shared.open.load(Ordering::Relaxed)), ([0, 0], 0));
    }

    fn newcomer(service: &Arc<Service>) -> PendingConnection {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        PendingConnection {
            address: socket.local_addr().unwrap(),
            socket: mio::net::TcpStream::from_std(socket),
            service: Arc::clone(service),
        }
    }

    /// The lobbies of two workers, which are woken by nobody who listens.
    fn lobbies(poll: &Poll) -> Handoffs {
        let lobbies = Handoffs::new(2);
        let waker = Arc::new(mio::Waker::new(poll.registry(), Token(0)).unwrap());
        for worker in 0..2 {
            lobbies.open(worker, Arc::clone(&waker));
        }
        lobbies
    }

    #[test]
    fn a_lobby_is_not_shut_while_somebody_waits_in_it() {
        let (poll, service) = (
            Poll::new().unwrap(),
            service("127.0.0.1:1".parse().unwrap()),
        );
        let lobbies = lobbies(&poll);
        assert!(lobbies.enter(0, newcomer(&service)).is_some());
        assert!(
            lobbies.enter(0, newcomer(&service)).is_none(),
            "the other has fewer"
        );
        assert!(!lobbies.shut(1));
        assert_eq!(lobbies.take(1).len(), 1);
        assert!(lobbies.shut(1));
    }

    #[test]
    fn who_finds_the_other_lobby_shut_stays_and_is_counted_here() {
        let (poll, service) = (
            Poll::new().unwrap(),
            service("127.0.0.1:1".parse().unwrap()),
        );
        let lobbies = lobbies(&poll);
        assert!(lobbies.shut(1));
        for sessions in 1..=3 {
            assert!(lobbies.enter(0, newcomer(&service)).is_some());
            assert_eq!([0, 1].map(|it| lobbies.sessions(it)), [sessions, 0]);
        }
        lobbies.exit(0);
        assert_eq!(lobbies.sessions(0), 2);
    }
}
