//! The data plane as the controller drives it: its threads, listeners and groups, and its start in
//! two halves. How a configuration is put in force is in `apply`.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::Options;
use super::apply::{ConfigChange, NewListeners};
use super::draining::Predecessors;
use super::error::Error;
use super::fd_budget;
use super::inheritance::Inheritance;
use super::listeners::{BoundListener, Listeners};
use super::members::Members;
use super::recovery::Recovery;
use super::resolutions::Resolutions;
use super::resolver::{Found, Resolver, lookup};
use super::running::{Renames, Running};
use super::threads::{Liveness, PanicGuard, WorkerThread, start_workers};
use super::upgrade::{Known, Upgrader};
use super::wanted::{self, WantedListeners};
use crate::balance::{Failure, Health, Schedulers};
use crate::config::verb::{GroupKey, HostKey};
use crate::config::{Config, CustomNames, Endpoint};
use crate::os::address::Address;
use crate::os::addresses;
use crate::os::inherited::InheritedSocket;
use crate::os::listen::{self, ListenPlace};
use crate::os::{resources, usage};
use crate::relay::{
    ClientLookup, Clock, EndRequest, EventBus, FoundSession, Group, SessionFilter, SessionListPart,
    SessionListRequest, Shared, Topic, WorkerMessage,
};

/// A running data plane. Dropping it ends its sessions.
pub struct DataPlane {
    pub(super) config: Config,
    pub(super) generation: u64,
    /// Whether `resign` was said: the services serve, and are not ready.
    pub(super) resigned: bool,
    pub(super) wanted: WantedListeners,
    pub(super) listeners: Listeners,
    pub(super) running: Running,
    pub(super) workers: Vec<WorkerThread>,
    pub(super) shared: Arc<Shared>,
    pub(super) resolutions: Arc<Resolutions>,
    pub(super) resolver: Resolver,
    pub(super) members: Members,
    pub(super) recovery: Recovery,
    pub(super) schedulers: Arc<Schedulers>,
    pub(super) most_sessions: usize,
    pub(super) panic_guard: PanicGuard,
    pub(super) upgrader: Option<Upgrader>,
    pub(super) predecessors: Predecessors,
}

/// The result of [`DataPlane::retry_host`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryOutcome {
    /// It had failed for this reason, and is reset to untried.
    Untried(Failure),
    /// It has no address: its name is being resolved.
    Resolving,
    /// It had not failed, or does not exist.
    NotFailed,
}

/// A service's name, and the addresses where it listens.
pub(super) type Listening = (String, Vec<Address>);

impl DataPlane {
    /// Starts to balance by `config`. Waits 2 s at most for names of hosts.
    ///
    /// # Errors
    /// A listener that cannot be bound, or a thread that cannot start. Nothing runs then.
    pub fn start(config: Config, options: Options) -> Result<DataPlane, Error> {
        DataPlane::bind(config, options, Vec::new())?.start()
    }

    /// The first half of [`DataPlane::start`]: binds listeners and starts no thread. Resolves the
    /// names of listeners on this thread.
    ///
    /// Sockets of `inherited` are bound already. Each is the listener at its address. If no
    /// listener has that address, it belongs to the service whose name it has. All workers accept
    /// from the same socket.
    ///
    /// # Errors
    /// A listener that cannot be bound. Nothing is bound then.
    pub fn bind(
        config: Config,
        options: Options,
        inherited: Vec<InheritedSocket>,
    ) -> Result<Bound, Error> {
        Bound::new(config, options, inherited)
    }

    /// Names of the program's own schedulers.
    pub fn own_schedulers(&self) -> CustomNames {
        self.schedulers.custom_names()
    }

    /// The number of the configuration in force, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What this txlb is called.
    pub(super) fn name(&self) -> &str {
        self.config.general.name_on(resources::machine_name())
    }

    /// Number of open sessions.
    pub(super) fn open(&self) -> usize {
        self.shared.handoffs.open_sessions()
    }

    /// Whether a service listens at this place.
    pub(crate) fn listens_at(&self, place: &ListenPlace) -> bool {
        self.wanted.keys().any(|key| key.place == *place)
    }

    /// Where each service listens, in the file's order.
    pub(super) fn listening(&self) -> Vec<Listening> {
        let mut addresses = self.listeners.addresses_by_service(&self.wanted);
        let services = self.config.services.iter();
        services
            .map(|service| {
                let of_service = addresses.remove(service.name.as_str());
                (service.name.clone(), of_service.unwrap_or_default())
            })
            .collect()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Addresses, as configured, of the hosts of a group that get no sessions although they may be
    /// wanted: they have failed, or have no address yet.
    pub(super) fn unusable(&self, group: &GroupKey) -> HashSet<Endpoint> {
        let Some(running) = self.running.group(&group.service, &group.group) else {
            return HashSet::new();
        };
        let pool = running.pool();
        let (mut usable_names, mut unusable) = (Vec::new(), HashSet::new());
        for host in pool.hosts() {
            match host.may_serve() {
                true => usable_names.push(host.host.name.as_str()),
                false => drop(unusable.insert(host.endpoint.clone())),
            }
        }
        // A template is as usable as its members.
        let templates = group
            .find(&self.config)
            .into_iter()
            .flat_map(|it| &it.hosts);
        let templates = templates.filter(|it| it.is_template());
        let without = templates.filter(|it| !usable_names.iter().any(|name| it.has_member(name)));
        unusable.extend(without.map(|template| template.address.clone()));
        unusable
    }

    /// Resolves all names of hosts again, now.
    pub fn resolve_again(&self) {
        self.resolver.resolve_now();
        self.members.ask_again();
    }

    /// Resets a failed host to untried, so that it may get the next session. Without an address,
    /// its name is resolved again.
    pub fn retry_host(&self, host: &HostKey) -> RetryOutcome {
        let running = self.running.group(&host.group.service, &host.group.group);
        let Some(running) = running else {
            return RetryOutcome::NotFailed;
        };
        let group = host.group.find(&self.config);
        let mut hosts = group.into_iter().flat_map(|it| &it.hosts);
        if hosts.any(|it| it.is_template() && it.name == host.name) {
            self.members.ask_again();
            return RetryOutcome::Resolving;
        }
        let mut pool = running.pool();
        let named = pool.hosts().find(|it| it.host.name == host.name);
        match named.map(|it| (it.id, it.address.is_some(), it.health.clone())) {
            Some((_, false, _)) => {
                drop(pool);
                self.resolver.resolve_now();
                RetryOutcome::Resolving
            }
            Some((id, true, Health::Failed(why)))
                if pool.reset_health(id, self.shared.clock.now_ms()) =>
            {
                RetryOutcome::Untried(why)
            }
            _ => RetryOutcome::NotFailed,
        }
    }

    /// Asks all workers for the sessions that match, and lists `most` of them at most. The receiver
    /// hangs up when all workers have answered.
    pub(crate) fn list_sessions(
        &self,
        filter: &SessionFilter,
        most: usize,
    ) -> Receiver<SessionListPart> {
        let (parts, receiver) = channel();
        let listing = SessionListRequest {
            parts,
            room: Arc::new(AtomicUsize::new(most)),
            filter: filter.clone(),
        };
        for worker in &self.workers {
            // A worker that has ended has no sessions.
            let _ = worker.mailbox.post(WorkerMessage::List(listing.clone()));
        }
        receiver
    }

    /// Milliseconds since the start.
    pub(super) fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// The group `name` of a service.
    pub(super) fn group(&self, service: &str, name: &str) -> Option<&Arc<Group>> {
        self.running.group(service, name)
    }

    /// Asks all workers for the sessions that have been silent longest, `most` of them each. The
    /// receiver hangs up when all workers have answered.
    pub(super) fn find_sessions(
        &self,
        filter: &SessionFilter,
        most: usize,
    ) -> Receiver<Vec<FoundSession>> {
        let (found, receiver) = channel();
        for worker in &self.workers {
            let (filter, found) = (filter.clone(), found.clone());
            let request = EndRequest::Find {
                filter,
                most,
                found,
            };
            // A worker that has ended has no sessions; one that hangs is not waited for.
            let _ = worker.mailbox.try_post(WorkerMessage::End(request));
        }
        receiver
    }

    /// Has the workers end these sessions, unless their hosts serve again.
    pub(super) fn end_sessions(&self, sessions: &[FoundSession]) {
        for (number, worker) in self.workers.iter().enumerate() {
            let own = sessions.iter().filter(|it| it.worker() == number);
            let own: Vec<FoundSession> = own.copied().collect();
            if !own.is_empty() {
                let _ = worker
                    .mailbox
                    .try_post(WorkerMessage::End(EndRequest::End(own)));
            }
        }
    }

    /// Has the workers end all sessions that are meant. Each tells how many these were.
    pub(super) fn end_all_sessions(&self, filter: &SessionFilter) -> Receiver<usize> {
        let (ended, receiver) = channel();
        for worker in &self.workers {
            let (filter, ended) = (filter.clone(), ended.clone());
            let request = EndRequest::EndAll { filter, ended };
            let _ = worker.mailbox.try_post(WorkerMessage::End(request));
        }
        receiver
    }

    /// Stops: accepts the clients in the accept backlogs, then closes the listeners. Sessions
    /// still open after `grace` are cut; without `grace`, none is. [`LifecycleEvent::Stopped`](super::LifecycleEvent::Stopped)
    /// follows the end of the last.
    pub fn stop(&mut self, grace: Option<Duration>) {
        drop(self.stop_listening(grace));
    }

    /// As [`DataPlane::stop`]. The receiver hangs up when all listeners are closed.
    pub(super) fn stop_listening(&mut self, grace: Option<Duration>) -> Receiver<()> {
        self.listeners.remove_files();
        let (done, closed) = channel();
        for worker in &self.workers {
            let done = done.clone();
            // A worker that has ended has stopped.
            let _ = worker.mailbox.post(WorkerMessage::Stop { grace, done });
        }
        closed
    }

    /// Which client a connection to a host belongs to. Recorded only while the control socket may
    /// be asked.
    pub fn client_lookup(&self) -> ClientLookup {
        self.shared.client_lookup.clone()
    }

    /// Whether the workers answer. Outlives them, and says no then.
    pub fn liveness(&self) -> Liveness {
        Liveness::new(self.workers.iter().map(|worker| worker.mailbox.liveness()))
    }

    /// Adds to the recent events.
    pub(crate) fn record_event(&self, topic: Topic, text: String) {
        self.shared.recent_events.record(topic, text);
    }

    /// The bus that passes all events to subscribers.
    pub(crate) fn event_bus(&self) -> EventBus {
        self.shared.recent_events.event_bus().clone()
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop(Some(Duration::ZERO));
        for worker in self.workers.drain(..) {
            // The panic guard has reported a panic.
            let _ = worker.thread.join();
        }
    }
}

/// A configuration whose listeners are bound, before any thread runs. Clients wait in the accept
/// backlog.
///
/// Between the two halves, the program gives up root's rights while it has one thread. Test:
/// nothing_of_root_is_left_in_any_thread_but_low_ports.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    options: Options,
    wanted: WantedListeners,
    listeners: Listeners,
    opened: Vec<BoundListener>,
    known: Option<Known>,
}

impl Bound {
    /// Binds the listeners of `config` that are not `inherited`. Starts no thread: names of
    /// listeners are resolved one after the other, without a timeout of our own.
    pub(super) fn new(
        config: Config,
        options: Options,
        inherited: Vec<InheritedSocket>,
    ) -> Result<Bound, Error> {
        let options = Options {
            workers: options.workers.max(1),
            most_sessions: options.most_sessions.max(1),
            ..options
        };
        // Read now: the sandbox may hide it later.
        let _ = (addresses::local_port_range(), resources::machine_name());
        if fd_budget::has_page(&config) {
            usage::prepare();
        }
        let listeners = Listeners::with(Inheritance::new(inherited));
        let mut wanted = wanted::wanted_before_start(&config)?;
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
            known: None,
        })
    }

    /// Goes on with what another process knew: health, counts, stickiness, and its clock.
    #[must_use]
    pub fn continuing(self, known: Known) -> Bound {
        Bound {
            known: Some(known),
            ..self
        }
    }

    /// The configuration that will be in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Gives the sockets to the user that this process will become, and the files of Unix sockets.
    /// Sockets that share a port by
    /// SO_REUSEPORT must have one owner. Test:
    /// an_address_that_overlaps_what_root_has_bound_can_be_added.
    pub fn change_owner(&self, uid: u32, gid: u32) {
        for socket in self.opened.iter().flat_map(BoundListener::sockets) {
            if let Err(error) = listen::change_owner(socket, uid, gid) {
                log::debug!("a listening socket stays as it is: {error}");
            }
        }
        for file in self.opened.iter().filter_map(BoundListener::file) {
            if let Err(error) = file.change_owner(uid, gid) {
                let path = file.path().display();
                log::warn!("{path}: cannot give the socket to txlb's user: {error}");
            }
        }
    }

    /// The second half of [`DataPlane::start`]: starts threads, and puts the configuration in
    /// force.
    ///
    /// # Errors
    /// A thread that cannot start, or an unknown scheduler. Nothing runs then.
    pub fn start(self) -> Result<DataPlane, Error> {
        let known = self.known.as_ref().map(|Known(history)| history);
        let clock = known.map_or_else(Clock::start, |it| {
            Clock::continued(it.now_ms, it.started_wall_ms)
        });
        let generation = known.map_or(0, |it| it.generation);
        let resigned = known.is_some_and(|it| it.resigned);
        let options = self.options;
        let count = options.workers;
        let shared = Arc::new(Shared::new(clock.clone(), count, fd_budget::pipes(count)));
        let resolutions = Arc::new(Resolutions::new(clock.clone()));
        let on_resolution = Arc::clone(&resolutions);
        let panic_guard = PanicGuard {
            event_bus: shared.recent_events.event_bus().clone(),
            on_event: options.on_event,
        };
        let resolver_guard = panic_guard.clone();
        let members = Members::new(Arc::clone(&resolutions), panic_guard.clone());
        let mut data_plane = DataPlane {
            config: Config::default(),
            generation,
            resigned,
            wanted: WantedListeners::new(),
            listeners: self.listeners,
            running: Running::default(),
            workers: start_workers(count, &shared, &panic_guard).map_err(Error::System)?,
            shared,
            resolutions,
            members,
            resolver: Resolver::new(
                "names",
                Box::new(|name: &String| lookup(name).map(Found::of)),
                Box::new(move |name: &String, answer| {
                    let _watch = resolver_guard.watch("names");
                    on_resolution.apply_resolution(name, answer);
                }),
            ),
            recovery: Recovery::start(clock, fd_budget::probes(), &panic_guard)
                .map_err(Error::System)?,
            schedulers: options.schedulers,
            most_sessions: options.most_sessions,
            panic_guard,
            upgrader: options.upgrader,
            predecessors: options.predecessors,
        };
        let goes_on = self.known.is_some();
        if let Some(Known(history)) = &self.known {
            data_plane.presume_names(&history.names);
        }
        let change = ConfigChange {
            next: self.config,
            renames: &Renames::default(),
            listeners: NewListeners::Bound(self.wanted, self.opened),
            known: self.known,
        };
        data_plane.apply_change(change, &mut [])?.commit_log();
        if goes_on {
            data_plane.resolve_again();
        }
        data_plane.listeners.inheritance.warn(&data_plane.wanted);
        Ok(data_plane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::net::TcpStream;

    fn config(listen: &str) -> Config {
        let text = format!(
            "<config><service name='s'><listen ip='{listen}'/>\
             <group name='g' enable='1'><host ip='127.0.0.1:1'/></group></service></config>"
        );
        crate::config::read(text.as_bytes()).unwrap().config
    }

    fn bind(config: Config, workers: usize) -> Result<Bound, Error> {
        DataPlane::bind(config, Options::new(workers, |_| {}), Vec::new())
    }

    fn place(bound: &Bound) -> std::net::SocketAddr {
        bound.opened[0].address()
    }

    #[test]
    fn clients_of_what_is_bound_wait_for_the_start() {
        let bound = bind(config("localhost:0"), 2).unwrap();
        let address = place(&bound);
        TcpStream::connect(address).unwrap();
        let data_plane = bound.start().unwrap();
        let status = data_plane.status();
        assert!(status.services[0].addresses.contains(&address.into()));
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
