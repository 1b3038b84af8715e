//! DATAPLANE

use std::collections::BTreeSet;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::error::Error;
use super::fd_budget;
use super::health::{Recovery, Watched};
use super::listeners::{
    self, BoundListener, Inheritance, Listeners, ResolveScope, WantedListeners,
};
use super::loops::OwnService;
use super::resolutions::Resolutions;
use super::resolver::{Resolver, lookup};
use super::running::{Renames, Running};
use super::threads::{LifecycleEvent, Liveness, PanicGuard, WorkerThread, start_workers};
use crate::balance::{HostPool, Schedulers};
use crate::config::verb::HostKey;
use crate::config::{self, Config, CustomNames};
use crate::os::inherited::Inherited;
use crate::os::listen::{self, Place};
use crate::os::local_ports;
use crate::relay::{
    ClientLookup, Clock, EventBus, Group, Handoffs, ListenKey, Listing, Plan, RecentEvents, Shared,
    Slice, Topic, WorkerMessage, WorkerStats,
};

/// How long a change waits for names that are new to be resolved.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a worker may take to obey: a turn takes milliseconds, and a
/// listener that is to be closed at most a second more.
const WORKER_TIMEOUT: Duration = Duration::from_secs(10);

/// How to run.
pub struct Options {
    /// How many worker threads; at least one.
    pub workers: usize,
    /// How many sessions there may be at a time, even where there are descriptors for
    /// more; at least one.
    pub most_sessions: usize,
    /// The schedulers that groups may have.
    pub schedulers: Arc<Schedulers>,
    /// Told of what its owner cannot know otherwise, on whatever thread it
    /// happens.
    pub on_event: Arc<dyn Fn(LifecycleEvent) + Send + Sync>,
}

impl Options {
    /// So many workers, txlb's own schedulers, and as many sessions as may be.
    pub fn new(
        workers: usize,
        on_event: impl Fn(LifecycleEvent) + Send + Sync + 'static,
    ) -> Options {
        Options {
            workers,
            most_sessions: usize::MAX,
            schedulers: Arc::default(),
            on_event: Arc::new(on_event),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("workers", &self.workers)
            .field("most_sessions", &self.most_sessions)
            .field("schedulers", &self.schedulers)
            .finish_non_exhaustive()
    }
}

/// A running balancer. Dropping it ends its sessions.
pub struct DataPlane {
    pub(super) config: Config,
    pub(super) generation: u64,
    pub(super) wanted: WantedListeners,
    pub(super) listeners: Listeners,
    pub(super) running: Running,
    pub(super) workers: Vec<WorkerThread>,
    pub(super) shared: Arc<Shared>,
    resolutions: Arc<Resolutions>,
    resolver: Resolver,
    recovery: Recovery,
    schedulers: Arc<Schedulers>,
    most_sessions: usize,
    pub(super) panic_guard: PanicGuard,
}

/// What came of trying a host again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryOutcome {
    /// It had failed, and is taken for untried.
    Untried,
    /// It has no address: its name is being resolved.
    Resolving,
    /// It had not failed, or there is no such host.
    NotFailed,
}

/// A service's name, and where it is reached.
pub(super) type Listening = (String, Vec<SocketAddr>);

impl DataPlane {
    /// Starts to balance what `config` says. Names of hosts are waited for, but
    /// not for longer than 2 s.
    ///
    /// # Errors
    /// A listener that cannot be had, or a thread. Nothing runs then.
    pub fn start(config: Config, options: Options) -> Result<DataPlane, Error> {
        DataPlane::bind(config, options, Vec::new())?.start()
    }

    /// The first half of [`DataPlane::start`]: listens, and starts no thread. The names of
    /// listeners are looked up on this one.
    ///
    /// Somebody else has bound the sockets that are `inherited`. Each is the listener at
    /// its address; where there is none, it is one of the service whose name it has. All
    /// workers accept from the same socket then.
    ///
    /// # Errors
    /// A listener that cannot be had. Nothing is bound then.
    pub fn bind(
        config: Config,
        options: Options,
        inherited: Vec<Inherited>,
    ) -> Result<Bound, Error> {
        Bound::new(config, options, inherited)
    }

    /// Puts `next` in force: all of it, or nothing. No session is cut. Returns
    /// once every worker serves it.
    ///
    /// # Errors
    /// A listener that cannot be had: everything is as it was.
    pub fn apply(&mut self, next: Config) -> Result<(), Error> {
        self.apply_as(next, &Renames::default(), ResolveScope::All)
    }

    /// As [`DataPlane::apply`], and some hosts that have new names live on.
    pub(super) fn apply_as(
        &mut self,
        next: Config,
        renames: &Renames,
        scope: ResolveScope,
    ) -> Result<(), Error> {
        self.check_schedulers(&next)?;
        let (wanted, opened) = self.listen(&next, scope)?;
        self.put_in_force(next, wanted, opened, renames)
    }

    /// From here on nothing that the configuration says can be refused.
    fn put_in_force(
        &mut self,
        next: Config,
        wanted: WantedListeners,
        opened: Vec<BoundListener>,
        renames: &Renames,
    ) -> Result<(), Error> {
        let names: BTreeSet<String> = next.host_names().into_iter().map(str::to_owned).collect();
        // One that was asked for before has been waited for.
        let new_names = self
            .resolver
            .set_names(names.iter().cloned())
            .map_err(Error::System)?;
        self.resolver.wait_for(&new_names, NAMES_TIMEOUT);

        self.running = self
            .running
            .next(&next, |service, group| self.new_group(service, group));
        // A group is ready before clients come to it, and as it was until none do.
        self.configure(&next, true, renames);
        self.watch_names(&names);
        let per_worker = self.listeners.commit(&wanted, opened, self.workers.len());
        let plan = Arc::new(self.running.plan(&next, &wanted));
        let (groups, manager) = (self.running.watched_groups(&next), next.manager);
        (self.config, self.wanted) = (next, wanted);
        self.generation += 1;
        self.limit_sessions();
        self.resolutions.set_services(self.own_services());
        self.recovery.watch(Watched { groups, manager });
        let served = self.publish_plan(&plan, per_worker);
        self.configure(&self.config, false, renames);
        self.watch_names(&names);
        served
    }

    /// # Errors
    /// A group wants a scheduler that is neither txlb's nor the program's.
    fn check_schedulers(&self, config: &Config) -> Result<(), Error> {
        let groups = config.services.iter().flat_map(|service| &service.groups);
        let mut wanted = groups.map(|group| &group.scheduler);
        match wanted.find(|scheduler| !self.schedulers.has(scheduler)) {
            None => Ok(()),
            Some(scheduler) => {
                let unknown =
                    config::Scheduler::unknown(&scheduler.to_string(), &self.own_schedulers());
                Err(Error::Scheduler(unknown))
            }
        }
    }

    /// What the program's own schedulers are called.
    pub fn own_schedulers(&self) -> CustomNames {
        self.schedulers.own_names()
    }

    fn new_group(&self, service: &config::Service, group: &config::Group) -> Group {
        let (schedulers, workers) = (Arc::clone(&self.schedulers), self.workers.len());
        let now_ms = self.shared.clock.now_ms();
        let pool = HostPool::with(schedulers, group, workers, now_ms);
        Group::new(&service.name, &group.name, pool).noted_in(self.shared.journal.clone())
    }

    /// Tells the trackers what `config` says of their groups: those that are `enabled`
    /// there, or the others.
    fn configure(&self, config: &Config, enabled: bool, renames: &Renames) {
        let known = self.resolver.resolutions();
        for (running, group) in self.running.with_config(config, enabled) {
            let renamed = renames.of(&running.service, &running.name);
            self.resolutions
                .change_group(running, &known, |pool, now_ms| {
                    pool.configure_renamed(group, renamed, now_ms);
                });
        }
    }

    /// Has the groups told what `names` mean, now and later.
    fn watch_names(&self, names: &BTreeSet<String>) {
        let groups = self.running.groups().cloned();
        self.resolutions
            .set_groups(groups, names, || self.resolver.resolutions());
    }

    /// Counts the configurations that were put in force, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Sessions open now.
    pub(super) fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Whether a service listens at this place.
    pub(crate) fn listens_at(&self, place: Place) -> bool {
        self.wanted.keys().any(|key| key.place == place)
    }

    /// Where each service is reached, in the file's order.
    pub(super) fn listening(&self) -> Vec<Listening> {
        let services = self.config.services.iter();
        services
            .map(|service| {
                let addresses = self.listeners.addresses(&self.wanted, &service.name);
                (service.name.clone(), addresses.collect())
            })
            .collect()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Resolves the names of hosts again, at once.
    pub fn resolve_again(&self) {
        self.resolver.resolve_now();
    }

    /// Takes a failed host for one that nobody has tried, so that the next session may
    /// be its. One without an address has its name resolved again.
    pub fn retry_host(&self, host: &HostKey) -> RetryOutcome {
        let group = self.running.group(&host.group.service, &host.group.group);
        let Some(group) = group else {
            return RetryOutcome::NotFailed;
        };
        let mut pool = group.tracker();
        let named = pool.hosts().find(|it| it.host.name == host.name);
        match named.map(|it| (it.id, it.address)) {
            Some((_, None)) => {
                drop(pool);
                self.resolver.resolve_now();
                RetryOutcome::Resolving
            }
            Some((id, Some(_))) if pool.retry(id, self.shared.clock.now_ms()) => {
                RetryOutcome::Untried
            }
            _ => RetryOutcome::NotFailed,
        }
    }

    /// Asks all workers for their sessions, of which at most `most` are listed. They
    /// come bit by bit; when nobody is left to send, that is all.
    pub(crate) fn list_sessions(&self, most: usize) -> Receiver<Slice> {
        let (slices, receiver) = channel();
        let listing = Listing {
            slices,
            room: Arc::new(AtomicUsize::new(most)),
        };
        for worker in &self.workers {
            // One that is no more has no sessions.
            let _ = worker.mailbox.post(WorkerMessage::List(listing.clone()));
        }
        receiver
    }

    /// Stops: clients that wait in the queues are still accepted, then nobody.
    /// Who is left after `grace` is cut off; without it, nobody is.
    /// [`LifecycleEvent::Stopped`] says that it is done.
    pub fn stop(&self, grace: Option<Duration>) {
        drop(self.stop_listening(grace));
    }

    /// As [`DataPlane::stop`]; the receiver hangs up when all listeners are closed.
    pub(super) fn stop_listening(&self, grace: Option<Duration>) -> Receiver<()> {
        let (done, closed) = channel();
        for worker in &self.workers {
            let done = done.clone();
            // One that is no more has stopped.
            let _ = worker.mailbox.post(WorkerMessage::Stop { grace, done });
        }
        closed
    }

    /// Whose the connections to the hosts are: noted while the configuration
    /// has a control socket, where a host may ask.
    pub fn client_lookup(&self) -> ClientLookup {
        self.shared.origins.clone()
    }

    /// Whether the workers go round; lives on, and says no, when they are gone.
    pub fn liveness(&self) -> Liveness {
        Liveness::new(self.workers.iter().map(|worker| worker.mailbox.pulse()))
    }

    /// Notes what happened, for people who look.
    pub(crate) fn record_event(&self, topic: Topic, text: String) {
        self.shared.journal.note(topic, text);
    }

    /// Where everything that happens is told.
    pub(crate) fn event_bus(&self) -> EventBus {
        self.shared.journal.news().clone()
    }

    /// Tells every worker, then waits until all have answered.
    fn publish_plan(
        &self,
        plan: &Arc<Plan>,
        per_worker: Vec<Vec<(ListenKey, TcpListener)>>,
    ) -> Result<(), Error> {
        let mut answers = Vec::new();
        for (number, (worker, opened)) in self.workers.iter().zip(per_worker).enumerate() {
            let (done, answer) = channel();
            let order = WorkerMessage::Serve {
                plan: Arc::clone(plan),
                opened,
                done,
            };
            worker
                .mailbox
                .post(order)
                .map_err(|_| Error::Worker(number))?;
            answers.push(answer);
        }
        for (number, answer) in answers.into_iter().enumerate() {
            answer
                .recv_timeout(WORKER_TIMEOUT)
                .map_err(|_| Error::Worker(number))?;
        }
        Ok(())
    }

    /// Where `next` is to listen, and the new sockets for that.
    fn listen(
        &self,
        next: &Config,
        scope: ResolveScope,
    ) -> Result<(WantedListeners, Vec<BoundListener>), Error> {
        let mut wanted = listeners::wanted(next, &self.wanted, scope)?;
        self.listeners.inheritance.add_named(next, &mut wanted);
        // What this machine does not have is not looked for by changes.
        let is_new = |key: &ListenKey| scope == ResolveScope::All || !self.wanted.contains_key(key);
        let opened = self
            .listeners
            .bind_new(&wanted, self.workers.len(), is_new)?;
        Ok((wanted, opened))
    }

    /// Resolves the names of listeners again, and listens at what is there now.
    ///
    /// # Errors
    /// A listener that cannot be had: everything is as it was.
    pub(crate) fn listen_again(&mut self) -> Result<(), Error> {
        if self.config.listen_names().is_empty() {
            return Ok(());
        }
        let (wanted, opened) = self.listen(&self.config, ResolveScope::All)?;
        if opened.is_empty() && wanted == self.wanted {
            return Ok(());
        }
        let per_worker = self.listeners.commit(&wanted, opened, self.workers.len());
        let plan = Arc::new(self.running.plan(&self.config, &wanted));
        self.wanted = wanted;
        self.limit_sessions();
        self.resolutions.set_services(self.own_services());
        self.publish_plan(&plan, per_worker)
    }

    /// The services between which sessions may go in circles.
    fn own_services(&self) -> Vec<OwnService> {
        let places = self.listeners.places(&self.wanted);
        let services = self.config.services.iter();
        let own = services.filter_map(|service| {
            Some(OwnService {
                places: places.get(&service.name).cloned().unwrap_or_default(),
                group: Arc::clone(self.running.group(&service.name, &service.enabled)?),
            })
        });
        own.collect()
    }

    /// Lets as many sessions in as there are descriptors for, two each, and no more than
    /// its owner wants.
    fn limit_sessions(&self) {
        let room = fd_budget::sessions(&self.config, self.workers.len(), self.listeners.len());
        // A change must not leave room for none.
        let capacity = room.unwrap_or(1).min(self.most_sessions);
        self.shared.capacity.store(capacity, Ordering::Relaxed);
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop(Some(Duration::ZERO));
        for worker in self.workers.drain(..) {
            // A panic has been reported where it happened.
            let _ = worker.thread.join();
        }
    }
}

/// A balancer that listens, and has yet to start. Clients wait in the system's
/// queue meanwhile.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    options: Options,
    wanted: WantedListeners,
    listeners: Listeners,
    opened: Vec<BoundListener>,
}

impl Bound {
    /// Binds what `config` says and `inherited` is not there for. Starts no thread: the
    /// names of listeners are looked up one after the other, for as long as the system
    /// takes.
    pub(super) fn new(
        config: Config,
        options: Options,
        inherited: Vec<Inherited>,
    ) -> Result<Bound, Error> {
        let options = Options {
            workers: options.workers.max(1),
            most_sessions: options.most_sessions.max(1),
            ..options
        };
        // The sandbox may hide it later.
        let _ = local_ports::range();
        let listeners = Listeners::with(Inheritance::new(inherited));
        let mut wanted = listeners::wanted_before_start(&config)?;
        listeners.inheritance.add_named(&config, &mut wanted);
        fd_budget::sessions(&config, options.workers, wanted.len())
            .map_err(|(limit, needed)| Error::Descriptors { limit, needed })?;
        let opened = listeners.bind_new(&wanted, options.workers, |_| true)?;
        Ok(Bound {
            config,
            options,
            wanted,
            listeners,
            opened,
        })
    }

    /// The configuration that is to be in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Gives the sockets to another user, whom this process is about to become: only
    /// sockets of one user can be siblings, and later ones will be that user's.
    pub fn give_to(&self, uid: u32, gid: u32) {
        for socket in self.opened.iter().flat_map(BoundListener::sockets) {
            if let Err(error) = listen::give_to(socket, uid, gid) {
                log::debug!("a listening socket stays as it is: {error}");
            }
        }
    }

    /// The second half of [`DataPlane::start`]: starts to balance.
    ///
    /// # Errors
    /// A thread that cannot be had, or a scheduler that there is not. Nothing runs then.
    pub fn start(self) -> Result<DataPlane, Error> {
        let clock = Clock::start();
        let options = self.options;
        let count = options.workers;
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            capacity: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            complain_after_ms: AtomicU64::new(0),
            pipes: fd_budget::pipes(count),
            lobbies: Handoffs::new(count),
            journal: RecentEvents::new(clock.clone()),
            meters: (0..count).map(|_| WorkerStats::default()).collect(),
            origins: ClientLookup::new(count),
        });
        let resolutions = Arc::new(Resolutions::new(clock.clone()));
        let on_resolution = Arc::clone(&resolutions);
        let panic_guard = PanicGuard {
            event_bus: shared.journal.news().clone(),
            on_event: options.on_event,
        };
        let resolver_guard = panic_guard.clone();
        let mut data_plane = DataPlane {
            config: Config::default(),
            generation: 0,
            wanted: WantedListeners::new(),
            listeners: self.listeners,
            running: Running::default(),
            workers: start_workers(count, &shared, &panic_guard).map_err(Error::System)?,
            shared,
            resolutions,
            resolver: Resolver::new(
                Box::new(lookup),
                Box::new(move |name, answer| {
                    let _watch = resolver_guard.watch("names");
                    on_resolution.apply_resolution(name, answer);
                }),
            ),
            recovery: Recovery::start(clock, fd_budget::probes(), &panic_guard)
                .map_err(Error::System)?,
            schedulers: options.schedulers,
            most_sessions: options.most_sessions,
            panic_guard,
        };
        data_plane.check_schedulers(&self.config)?;
        data_plane.put_in_force(self.config, self.wanted, self.opened, &Renames::default())?;
        data_plane.listeners.inheritance.warn(&data_plane.wanted);
        Ok(data_plane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::net::{SocketAddr, TcpStream};

    fn config(listen: &str) -> Config {
        let text = format!(
            "<config><service name='s'><listen ip='{listen}'/>\
             <group name='g' enable='1'><host ip='127.0.0.1:1'/></group></service></config>"
        );
        config::read(text.as_bytes()).unwrap().config
    }

    fn bind(config: Config, workers: usize) -> Result<Bound, Error> {
        DataPlane::bind(config, Options::new(workers, |_| {}), Vec::new())
    }

    fn place(bound: &Bound) -> SocketAddr {
        bound.opened[0].address()
    }

    #[test]
    fn clients_of_what_is_bound_wait_for_the_start() {
        let bound = bind(config("localhost:0"), 2).unwrap();
        let address = place(&bound);
        TcpStream::connect(address).unwrap();
        let data_plane = bound.start().unwrap();
        let status = data_plane.status();
        assert!(status.services[0].addresses.contains(&address));
        assert_eq!((status.workers, data_plane.generation()), (2, 1));
    }

    #[test]
    fn what_is_bound_is_nobody_elses_until_it_is_dropped() {
        let bound = bind(config("127.0.0.1:0"), 1).unwrap();
        let taken = place(&bound).to_string();
        let refused = bind(config(&taken), 1).unwrap_err();
        assert_eq!(refused.io_kind(), Some(io::ErrorKind::AddrInUse));
        drop(bound);
        bind(config(&taken), 1).unwrap();
    }
}
