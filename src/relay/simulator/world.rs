//! The world of simulated workers: the time, the hosts, what is counted, and the checks of each run
//! of a connection.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::clock::Clock;
use super::super::connection::{Connection, Context, RunResult};
use super::super::end_rate::EndRate;
use super::super::ending::{EndCause, FoundSession};
use super::super::events::{Event, SessionEnd, Subscription};
use super::super::failure::{EndReason, ResourceError};
use super::super::plan::{ListenerPlan, Routes, Service};
use super::super::session::{Action, TimeoutsMs};
use super::super::shared::Shared;
use super::super::timer_wheel::TICK_MS;
use super::expected_counts::{self, ExpectedCounts};
use super::host_farm::HostFarm;
use super::opening::Wants;
use super::transport::{MAX_READS_PER_RUN, Network, PIPE, SimulatedTransport, local_address};
use super::worker::SimulatedWorker;
use crate::balance::Random;
use crate::config::RouteTable;

/// Workers; half of the runs use only the first.
pub(super) const WORKERS: usize = 2;

/// A paused session may pick once more when its total wait has just ended.
pub(super) const SLACK_MS: u64 = 50 + 2 * TICK_MS;

/// How much later than at its start an iteration may be over without being a stalled one.
pub(super) const STALLED_MS: u64 = 4 * TICK_MS;

/// What a run has covered.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Coverage {
    /// How sessions ended, in the order of [`EndReason::ALL`].
    pub(super) ends: [u64; EndReason::ALL.len()],
    pub(super) half_closes: usize,
    pub(super) bytes: u64,
    pub(super) retries: usize,
    /// Sessions that were said again to another host, and those with a header for their host.
    pub(super) replays: usize,
    pub(super) headers: usize,
    pub(super) cut_short: usize,
    /// How often bytes stayed in a pipe.
    pub(super) piped: usize,
    pub(super) iterations: usize,
    /// How often the process stood still between two iterations, and within one.
    pub(super) pauses: usize,
    pub(super) stalls: usize,
    /// Clients that were handed off, or waited in a backlog for some time.
    pub(super) handoffs: usize,
    pub(super) waits: usize,
    /// Sessions in lists, sessions found to be ended, and listeners that were closed.
    pub(super) listed: usize,
    pub(super) found: usize,
    pub(super) closed_listeners: usize,
    /// The virtual time of the end.
    pub(super) ended_ms: u64,
}

pub(super) struct World {
    pub(super) now_ms: u64,
    pub(super) random: Random,
    pub(super) network: Rc<Network>,
    pub(super) shared: Arc<Shared<SimulatedTransport>>,
    pub(super) services: [Arc<Service>; 2],
    /// What each of them wants to know before it picks a host.
    pub(super) wants: [Wants; 2],
    pub(super) first_bytes_limit: usize,
    /// How many sessions may be ended, and when they were.
    pub(super) end_rate: EndRate,
    chosen_ms: Vec<u64>,
    /// The sessions that were chosen to be ended, and why.
    chosen: BTreeMap<u64, EndCause>,
    events: Subscription,
    expected_counts: ExpectedCounts,
    /// Whether workers stand still in the middle of an iteration.
    stalls: bool,
    /// When workers last went on after they had stood still.
    pub(super) resumed_ms: u64,
    /// From when until when they stood still for so long that they must notice.
    pub(super) pauses: Vec<(u64, u64)>,
    /// Until when an iteration was last stalled.
    pub(super) stalled_ms: u64,
    /// When a client last had a reason to wait in a backlog.
    pub(super) refused_ms: u64,
    /// Clients that have connected so far.
    pub(super) clients: u32,
    /// Of the sessions whose end was published: their ids, reasons and bytes.
    ended: BTreeSet<u64>,
    ends: [u64; EndReason::ALL.len()],
    ended_bytes: u64,
    pub(super) trace: bool,
    pub(super) seen: Coverage,
}

impl World {
    pub(super) fn new(seed: u64, trace: bool) -> World {
        let mut random = Random::new(seed);
        let now_ms = random.below(1 << 20);
        let timeouts = TimeoutsMs {
            connect: [0, 100, 1000, 5000][random.index(4)],
            idle: [0, 0, 500, 60_000][random.index(4)],
            half_closed: [0, 300, 300_000][random.index(3)],
            keep_alive: [0, 5000, 60_000][random.index(3)],
            unacked: [0, 0, 0, 20_000][random.index(4)],
            max_duration: [0, 0, 0, 0, 0, 0, 2000, 30_000][random.index(8)],
        };
        let farm = HostFarm::new(&mut random);
        let first_bytes_limit = [60, 300, 16_384][random.index(3)];
        let wants = [0, 1].map(|_| Wants::any(&mut random, first_bytes_limit));
        let service = |name: &str, wants: Wants| {
            Arc::new(Service {
                name: name.to_owned(),
                timeouts,
                first_bytes_ms: wants.timeout_ms,
                log: true,
                routes: wants.hello.then(|| Routes {
                    table: RouteTable::new(&[]),
                    groups: Vec::new(),
                }),
                group: Arc::clone(&farm.group),
                stats: Arc::default(),
            })
        };
        let services = [service("web", wants[0]), service("mail", wants[1])];
        let shared = Shared::new(Clock::start(), WORKERS, 0);
        shared.set_capacity([100, 100, 10, 3][random.index(4)]);
        let events = shared.recent_events.event_bus().subscribe(64);
        World {
            services,
            wants,
            first_bytes_limit,
            end_rate: EndRate::new([1, 4, 1000][random.index(3)]),
            chosen_ms: Vec::new(),
            chosen: BTreeMap::new(),
            events,
            shared: Arc::new(shared),
            network: Rc::new(Network {
                farm: RefCell::new(farm),
                now_ms: Cell::new(now_ms),
                loop_ms: Cell::new(now_ms),
                shortages: Cell::new(0),
                accepted: Cell::new(0),
                winds_up: Cell::new(false),
            }),
            expected_counts: ExpectedCounts::default(),
            stalls: random.below(2) == 0,
            resumed_ms: 0,
            pauses: Vec::new(),
            stalled_ms: 0,
            refused_ms: 0,
            clients: 0,
            ended: BTreeSet::new(),
            ends: [0; EndReason::ALL.len()],
            ended_bytes: 0,
            trace,
            seen: Coverage::default(),
            now_ms,
            random,
        }
    }

    pub(super) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.network.now_ms.set(now_ms);
    }

    /// What is behind a listener of a service.
    pub(super) fn listener_plan(&self, service: usize) -> ListenerPlan {
        ListenerPlan {
            service: Arc::clone(&self.services[service]),
            proxy_from: self.wants[service].header.then(|| Arc::from([])),
        }
    }

    pub(super) fn change_hosts(&mut self) {
        let mut farm = self.network.farm.borrow_mut();
        self.expected_counts.check_counters(&farm.group.pool());
        farm.change(&mut self.random, self.now_ms);
        self.expected_counts.forget(&farm.group.pool());
        if self.trace {
            eprintln!("{:>9} ms {}", self.now_ms, farm);
        }
    }

    /// The process may be stopped now, in the middle of an iteration. Returns whether it was.
    pub(super) fn may_stall(&mut self) -> bool {
        if !self.stalls || self.random.below(16) > 0 {
            return false;
        }
        let most_ms = [100, 5000, 100_000][self.random.index(3)];
        let stalled_ms = STALLED_MS + 1 + self.random.below(most_ms);
        self.set_now(self.now_ms + stalled_ms);
        self.resumed_ms = self.now_ms;
        self.seen.stalls += 1;
        true
    }

    /// How long workers were awake since `since_ms`.
    fn awake_ms(&self, since_ms: u64) -> u64 {
        let whole = self
            .pauses
            .iter()
            .filter(|(from_ms, _)| *from_ms >= since_ms);
        let asleep_ms: u64 = whole.map(|(from_ms, until_ms)| until_ms - from_ms).sum();
        self.now_ms - since_ms - asleep_ms
    }

    /// Runs a connection and checks what must hold afterwards.
    pub(super) fn run(
        &mut self,
        connection: &mut Connection<SimulatedTransport>,
        context: &mut Context<'_, SimulatedTransport>,
    ) -> RunResult {
        let may_pick = matches!(
            connection.session.next(),
            Action::Pick | Action::CheckConnect { .. } | Action::Hold
        );
        let picks = may_pick || connection.picked.as_ref().is_some_and(|it| it.replay > 0);
        let network = Rc::clone(&self.network);
        let group = Arc::clone(&connection.group);
        let hosts = picks.then(|| expected_counts::before(&group));
        self.begin_run(connection, context);
        let read_before = connection.transport.bytes_read();
        connection.transport.note_break(self.now_ms);
        let awaited = connection.session.awaits_first_bytes();
        let result = connection.run(context);
        if awaited {
            connection.transport.waits_since_ms = context.now_ms;
        }
        connection.transport.note_break(self.now_ms);
        connection.check_memory(context.buffer.len());
        let most = (MAX_READS_PER_RUN - 1) * context.buffer.len() + PIPE.max(context.buffer.len());
        let read = connection.transport.bytes_read() - read_before;
        assert!(read <= most, "has too much");
        let was_short = connection.transport.was_short();
        assert_eq!(context.shortage.is_some(), was_short, "a shortage");
        if was_short {
            self.refused_ms = self.now_ms;
        }
        if let Some(hosts) = hosts {
            let farm = &network.farm.borrow();
            connection.transport.hold_up(farm, context.port_gates);
            connection.transport.check_sources(farm, context.port_gates);
            connection.check_picks(farm);
            self.expected_counts.enter_outcomes(
                &mut connection.transport,
                &hosts,
                context.shard,
                &group,
            );
        }
        let bytes = connection.transport.bytes;
        self.expected_counts
            .enter_bytes(bytes, connection.picked.as_ref());
        self.see_run(connection, result);
        result
    }

    fn begin_run(
        &mut self,
        connection: &mut Connection<SimulatedTransport>,
        context: &Context<'_, SimulatedTransport>,
    ) {
        if self.trace {
            eprintln!("{:>9} ms {:#x} runs", self.now_ms, connection.id);
        }
        let stalls = self.may_stall();
        connection.transport.pass_unseen(self.now_ms);
        if stalls {
            connection.transport.peer_acts();
        }
        let farm = self.network.farm.borrow();
        connection.transport.hold_up(&farm, context.port_gates);
        connection.transport.begin_run(self.now_ms, context.now_ms);
    }

    fn see_run(&mut self, connection: &mut Connection<SimulatedTransport>, result: RunResult) {
        let transport = &mut connection.transport;
        self.seen.piped += transport.pipes.iter().filter(|it| **it > 0).count();
        self.seen.bytes += transport.bytes.iter().sum::<u64>();
        self.seen.cut_short += usize::from(result == RunResult::CutShort);
        self.seen.replays += std::mem::take(&mut transport.replays);
        self.seen.bytes -= std::mem::take(&mut transport.replayed);
        if let RunResult::Closed(reason) = result {
            transport.close_mode = Some(reason.close_mode());
            self.seen.half_closes += transport.half_closes;
            self.seen.headers += usize::from(!transport.lead.is_empty());
            self.seen.retries += connection.session.failed_attempts();
            self.seen.ends[reason.index()] += 1;
            connection.check_end(reason, |since_ms| self.awake_ms(since_ms));
        }
    }

    /// Checks all that is counted, after an iteration of worker `number`.
    pub(super) fn check_counts(&mut self, workers: &mut [SimulatedWorker]) {
        let mut open = 0;
        let mut sessions = Vec::new();
        let mut busy = 0;
        let mut connected = vec![None; self.clients as usize];
        for (number, worker) in workers.iter_mut().enumerate() {
            let waiting = self.shared.handoffs.waiting(number);
            let connections = worker.engine.connections.len();
            let counted = self.shared.handoffs.sessions(number);
            assert_eq!(counted, connections + waiting, "sessions of a worker");
            open += counted;
            self.seen.handoffs += waiting;
            for (_, connection) in worker.engine.connections.iter_mut() {
                sessions.extend(connection.picked.clone());
                busy += usize::from(connection.picked.is_some() && !connection.is_host_done());
                let has_host = connection.transport.host.is_some();
                connected[connection.transport.serial as usize] =
                    has_host.then_some(connection.client_address);
            }
        }
        let group = Arc::clone(&self.network.farm.borrow().group);
        self.expected_counts.forget(&group.pool());
        self.expected_counts.check(&group.pool(), &sessions, busy);
        for (serial, client) in (0..).zip(connected) {
            let known = self.shared.client_lookup.client_of(local_address(serial));
            assert_eq!(known, client, "the client of a connection to a host");
        }
        let ended_before = self.ended.len();
        self.check_events();
        self.check_open(open, self.ended.len() - ended_before);
    }

    /// Checks the number of open sessions, and whether clients may wait because of it: it was
    /// higher before some `ended`.
    fn check_open(&mut self, open: usize, ended: usize) {
        let capacity = self.shared.capacity.load(Ordering::Relaxed);
        assert!(open <= capacity, "more sessions than there is room for");
        assert_eq!(self.shared.handoffs.open_sessions(), open);
        let own = self.services.each_ref().map(|service| service.stats.open());
        let most = capacity - capacity / 10;
        let fair = |own: &u64| *own <= most as u64;
        assert!(own.iter().all(fair), "leaves nothing to the other service");
        assert_eq!(own.iter().sum::<u64>(), open as u64, "of services");
        let total = self.services.iter().map(|service| service.stats.total());
        assert_eq!(total.sum::<u64>(), self.network.accepted.get());
        if open + ended >= most || self.network.lacks_descriptors() {
            self.refused_ms = self.now_ms;
        }
    }

    /// Sessions were chosen to be ended: no second has more than the rate allows.
    pub(super) fn count_ends(&mut self, chosen: &[FoundSession]) {
        self.end_rate.count(chosen.len(), self.now_ms);
        self.chosen_ms.extend(chosen.iter().map(|_| self.now_ms));
        let rate = self.end_rate.rate as usize;
        for window in self.chosen_ms.windows(rate + 1) {
            assert!(window[rate] - window[0] >= 1000, "ends too many a second");
        }
        self.chosen
            .extend(chosen.iter().map(|it| (it.id, it.cause)));
    }

    /// Checks that a session was ended for a reason that still holds.
    fn check_ended(&self, end: &SessionEnd) {
        let chosen = self.chosen.get(&end.id);
        let farm = self.network.farm.borrow();
        let pool = farm.group.pool();
        let ids = end.host.as_ref().map(|name| pool.hosts_named(name));
        let ids = ids.unwrap_or_default();
        let holds = match end.reason {
            EndReason::HostFailed => {
                // A removed host is forgotten with its last session.
                let has_failed = ids.is_empty() || ids.iter().any(|id| pool.has_failed(*id));
                chosen == Some(&EndCause::HostFailed) && has_failed
            }
            EndReason::Drained if chosen == Some(&EndCause::GroupOut) => true,
            EndReason::Drained => {
                chosen == Some(&EndCause::HostOut) && !ids.iter().all(|id| pool.is_wanted(*id))
                    || ids.is_empty()
            }
            EndReason::Rebalanced => chosen == Some(&EndCause::Rebalance),
            _ => true,
        };
        assert!(holds, "was not to be ended: {end:?} {chosen:?}");
    }

    /// Checks that each session's end is published once.
    fn check_events(&mut self) {
        for event in self.events.events.try_iter() {
            let Event::SessionEnded(end) = event else {
                continue;
            };
            assert!(self.ended.insert(end.id), "ends twice");
            self.check_ended(&end);
            self.ends[end.reason.index()] += 1;
            self.ended_bytes += end.bytes_to_host + end.bytes_to_client;
        }
        let ended = |reason| self.shared.stats.iter().map(|it| it.ended(reason)).sum();
        assert_eq!(self.ends, EndReason::ALL.map(ended), "ends are published");
    }

    /// Checks that nothing is left of any session.
    pub(super) fn check_nothing_is_left(&mut self) {
        let farm = self.network.farm.borrow();
        let pool = farm.group.pool();
        self.expected_counts.check_counters(&pool);
        assert_eq!(pool.open(), 0, "sessions are still counted");
        let errors = |error| self.shared.stats.iter().map(|it| it.errors(error)).sum();
        let shortages = self.network.shortages.get();
        self.expected_counts.check_errors(
            errors(ResourceError::NoDescriptors) - shortages,
            errors(ResourceError::NoPorts),
        );
        for reason in [
            EndReason::Stopped,
            EndReason::HostFailed,
            EndReason::Drained,
            EndReason::Killed,
            EndReason::Rebalanced,
        ] {
            self.seen.ends[reason.index()] = self.ends[reason.index()];
        }
        assert_eq!(self.ends, self.seen.ends, "reasons");
        assert_eq!(self.ends.iter().sum::<u64>(), self.network.accepted.get());
        assert_eq!(self.ended_bytes, self.seen.bytes, "bytes of all sessions");
        self.seen.ended_ms = self.now_ms;
    }
}
