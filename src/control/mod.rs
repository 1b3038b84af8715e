//! The control plane: the one owner of what runs.
//!
//! Puts a configuration in force, as a whole or not at all, and touches only
//! what differs from the one before. It moves no bytes: the workers do.

mod bound;
mod error;
mod exposed;
mod fd_budget;
mod file;
mod handle;
mod line_protocol;
mod listeners;
mod listening;
mod liveness;
mod loops;
mod panic_guard;
mod recovery;
mod renames;
mod resolutions;
mod resolver;
mod running;
mod save;
mod signals;
mod status;
pub(crate) mod text;
pub(crate) mod width;
mod workers;

pub use crate::balance::{HISTOGRAM_MS, Health, MINUTES};
#[cfg(feature = "web")]
pub(crate) use crate::relay::{Backend, Escaped};
pub use crate::relay::{
    ClientLookup, EndReason, Event, HostName, Phase, RecentEvent, SessionEnd, SessionStatus, Topic,
};
pub(crate) use crate::relay::{EventBus, Subscription};
pub use bound::Bound;
pub use error::Error;
pub use file::{Changed, File, FileError};
pub(crate) use handle::push_clean;
pub use handle::{
    Actor, Commit, ControllerThread, Handle, OutputFormat, Reconfigure, Response, ResponseData,
};
pub use line_protocol::{LineProtocol, LineReply, ParsedLine, Request};
pub use listeners::{places_of as places, places_where};
pub use liveness::Liveness;
pub use loops::circle_warnings;
pub use resolver::resolve_all as resolve_names;
pub use save::{SaveError, Saved};
pub use signals::{CaughtSignals, Signal, forward_signals};
pub use status::{GroupStatus, HostStatus, Outcome, ServiceStatus, Sessions, Status, StoredStatus};
pub use workers::processors;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use listeners::{Listeners, Opened, Resolving, Wanted};
use panic_guard::PanicGuard;
use recovery::{Recovery, Watched};
use renames::Renames;
use resolutions::Resolutions;
use resolver::Resolver;
use running::Running;
use workers::WorkerThread;

use crate::balance::{HostPool, Schedulers};
use crate::config::verb::HostKey;
use crate::config::{self, Config, CustomNames};
use crate::os::inherited::InheritedSocket;
use crate::os::listen::BindAddress;
use crate::relay::{Group, ListenKey, Listing, Plan, Shared, Slice, WorkerMessage};

/// How long a change waits for names that are new to be resolved.
const NAMES_PATIENCE: Duration = Duration::from_secs(2);

/// How long a worker may take to obey: a turn takes milliseconds, and a
/// listener that is to be closed at most a second more.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

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
    pub on_event: Arc<dyn Fn(Notice) + Send + Sync>,
}

impl Options {
    /// So many workers, txlb's own schedulers, and as many sessions as may be.
    pub fn new(workers: usize, on_event: impl Fn(Notice) + Send + Sync + 'static) -> Options {
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

/// What a director tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// After [`DataPlane::stop`]: the last session is over.
    Stopped,
    /// The thread of this name panicked. Nobody does its work any more, and if it was a
    /// worker's, its share of new clients would wait for ever: all should end.
    Panicked(String),
}

/// A running balancer. Dropping it ends its sessions.
pub struct DataPlane {
    config: Config,
    generation: u64,
    wanted: Wanted,
    listeners: Listeners,
    running: Running,
    workers: Vec<WorkerThread>,
    shared: Arc<Shared>,
    answers: Arc<Resolutions>,
    names: Resolver,
    recovery: Recovery,
    schedulers: Arc<Schedulers>,
    most_sessions: usize,
    alarm: PanicGuard,
}

/// What came of trying a host again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retried {
    /// It had failed, and is taken for untried.
    Untried,
    /// It has no address: its name is being resolved.
    Resolving,
    /// It had not failed, or there is no such host.
    NotFailed,
}

/// A service's name, and where it is reached.
type Listening = (String, Vec<SocketAddr>);

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
        inherited: Vec<InheritedSocket>,
    ) -> Result<Bound, Error> {
        Bound::new(config, options, inherited)
    }

    /// Puts `next` in force: all of it, or nothing. No session is cut. Returns
    /// once every worker serves it.
    ///
    /// # Errors
    /// A listener that cannot be had: everything is as it was.
    pub fn apply(&mut self, next: Config) -> Result<(), Error> {
        self.apply_as(next, &Renames::default(), Resolving::All)
    }

    /// As [`DataPlane::apply`], and some hosts that have new names live on.
    fn apply_as(
        &mut self,
        next: Config,
        renames: &Renames,
        resolving: Resolving,
    ) -> Result<(), Error> {
        self.check_schedulers(&next)?;
        let (wanted, opened) = self.listen(&next, resolving)?;
        self.put_in_force(next, wanted, opened, renames)
    }

    /// From here on nothing that the configuration says can be refused.
    fn put_in_force(
        &mut self,
        next: Config,
        wanted: Wanted,
        opened: Vec<Opened>,
        renames: &Renames,
    ) -> Result<(), Error> {
        let names: BTreeSet<String> = next.host_names().into_iter().map(str::to_owned).collect();
        // One that was asked for before has been waited for.
        let new_names = self
            .names
            .want(names.iter().cloned())
            .map_err(Error::System)?;
        self.names.settle(&new_names, NAMES_PATIENCE);

        self.running = self
            .running
            .next(&next, |service, group| self.new_group(service, group));
        // A group is ready before clients come to it, and as it was until none do.
        self.configure(&next, true, renames);
        self.concern(&names);
        let shares = self.listeners.replace(&wanted, opened, self.workers.len());
        let plan = Arc::new(self.running.plan(&next, &wanted));
        let (groups, manager) = (self.running.watched(&next), next.manager);
        (self.config, self.wanted) = (next, wanted);
        self.generation += 1;
        self.limit_sessions();
        self.answers.connect(self.own_services());
        self.recovery.watch(Watched { groups, manager });
        let served = self.serve(&plan, shares);
        self.configure(&self.config, false, renames);
        self.concern(&names);
        served
    }

    /// # Errors
    /// A group wants a scheduler that is neither txlb's nor the program's.
    fn check_schedulers(&self, config: &Config) -> Result<(), Error> {
        let groups = config.services.iter().flat_map(|service| &service.groups);
        let mut wanted = groups.map(|group| &group.scheduler);
        match wanted.find(|scheduler| !self.schedulers.supports(scheduler)) {
            None => Ok(()),
            Some(scheduler) => {
                let unknown = config::Scheduler::unknown_error(
                    &scheduler.to_string(),
                    &self.own_schedulers(),
                );
                Err(Error::Scheduler(unknown))
            }
        }
    }

    /// What the program's own schedulers are called.
    pub fn own_schedulers(&self) -> CustomNames {
        self.schedulers.custom_names()
    }

    fn new_group(&self, service: &config::Service, group: &config::Group) -> Group {
        let (schedulers, workers) = (Arc::clone(&self.schedulers), self.workers.len());
        let now_ms = self.shared.clock.now_ms();
        let tracker = HostPool::with_schedulers(schedulers, group, workers, now_ms);
        Group::new(&service.name, &group.name, tracker).noted_in(self.shared.journal.clone())
    }

    /// Tells the trackers what `config` says of their groups: those that are `enabled`
    /// there, or the others.
    fn configure(&self, config: &Config, enabled: bool, renames: &Renames) {
        let known = self.names.answers();
        for (running, group) in self.running.described(config, enabled) {
            let renamed = renames.of(&running.service, &running.name);
            self.answers.change(running, &known, |tracker, now_ms| {
                tracker.configure_renamed(group, renamed, now_ms);
            });
        }
    }

    /// Has the groups told what `names` mean, now and later.
    fn concern(&self, names: &BTreeSet<String>) {
        let groups = self.running.groups().cloned();
        self.answers.concern(groups, names, || self.names.answers());
    }

    /// Counts the configurations that were put in force, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Sessions open now.
    fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Whether a service listens at this place.
    pub(crate) fn listens_at(&self, place: BindAddress) -> bool {
        self.wanted.keys().any(|key| key.place == place)
    }

    /// Where each service is reached, in the file's order.
    fn listening(&self) -> Vec<Listening> {
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
        self.names.again();
    }

    /// Takes a failed host for one that nobody has tried, so that the next session may
    /// be its. One without an address has its name resolved again.
    pub fn retry_host(&self, host: &HostKey) -> Retried {
        let group = self.running.group(&host.group.service, &host.group.group);
        let Some(group) = group else {
            return Retried::NotFailed;
        };
        let mut tracker = group.tracker();
        let named = tracker.hosts().find(|it| it.host.name == host.name);
        match named.map(|it| (it.id, it.address)) {
            Some((_, None)) => {
                drop(tracker);
                self.names.again();
                Retried::Resolving
            }
            Some((id, Some(_))) if tracker.reset_health(id, self.shared.clock.now_ms()) => {
                Retried::Untried
            }
            _ => Retried::NotFailed,
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
    /// [`Notice::Stopped`] says that it is done.
    pub fn stop(&self, grace: Option<Duration>) {
        drop(self.stop_listening(grace));
    }

    /// As [`DataPlane::stop`]; the receiver hangs up when all listeners are closed.
    fn stop_listening(&self, grace: Option<Duration>) -> Receiver<()> {
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
    pub fn origins(&self) -> ClientLookup {
        self.shared.origins.clone()
    }

    /// Whether the workers go round; lives on, and says no, when they are gone.
    pub fn pulses(&self) -> Liveness {
        Liveness::new(self.workers.iter().map(|worker| worker.mailbox.pulse()))
    }

    /// Notes what happened, for people who look.
    pub(crate) fn note(&self, topic: Topic, text: String) {
        self.shared.journal.note(topic, text);
    }

    /// Where everything that happens is told.
    pub(crate) fn news(&self) -> EventBus {
        self.shared.journal.news().clone()
    }

    /// Everything that runs, as it is now.
    pub fn status(&self) -> Status {
        status::snapshot(self)
    }

    /// Tells every worker, then waits until all have answered.
    fn serve(
        &self,
        plan: &Arc<Plan>,
        shares: Vec<Vec<(ListenKey, TcpListener)>>,
    ) -> Result<(), Error> {
        let mut answers = Vec::new();
        for (number, (worker, opened)) in self.workers.iter().zip(shares).enumerate() {
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
                .recv_timeout(ANSWER_PATIENCE)
                .map_err(|_| Error::Worker(number))?;
        }
        Ok(())
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
