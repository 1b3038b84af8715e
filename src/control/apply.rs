//! Puts a configuration in force: all of it, or nothing.
//!
//! [`DataPlane::apply_change`] has all steps. Only what differs changes, and no session is cut.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::data_plane::DataPlane;
use super::error::Error;
use super::fd_budget;
use super::listeners::{BoundAddresses, BoundListener, Listeners, per_worker};
use super::member_questions::CAN_ASK;
use super::recovery::Watched;
use super::routing_loops::LocalService;
use super::running::Renames;
use super::upgrade::Known;
use super::wanted::{ResolveScope, WantedListeners, wanted};
use crate::balance::HostPool;
use crate::config::{self, Config};
use crate::os::handed_over::Shared;
use crate::os::listen::StreamListener;
use crate::os::outgoing;
use crate::relay::{Group, ListenKey, WorkerMessage};

/// How long a change waits for new host names to resolve.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a worker may take to answer. An iteration takes milliseconds; closing a listener takes
/// a second at most.
const WORKER_TIMEOUT: Duration = Duration::from_secs(10);

/// A configuration to put in force, and how.
pub(super) struct ConfigChange<'a> {
    pub(super) next: Config,
    /// Hosts that have another name in `next`: their sessions, health and counts live on.
    pub(super) renames: &'a Renames,
    pub(super) listeners: NewListeners,
    /// What another process knew: at the start alone.
    pub(super) known: Option<Known>,
}

/// Where the sockets of new listeners come from.
pub(super) enum NewListeners {
    /// They are bound now.
    Bind(ResolveScope),
    /// They are bound already.
    Bound(WantedListeners, Vec<BoundListener>),
}

/// The second half of a reconfiguration, which cannot fail.
pub type Commit = Box<dyn FnOnce() + Send>;

/// A part outside of the data plane that depends on the configuration.
pub trait Reconfigure: Send {
    /// Prepares the change from `now` to `next`: opens what is new, closes nothing. `None` if
    /// there is nothing to do.
    ///
    /// The returned commit runs once all workers serve `next`. If it is dropped instead, the
    /// change did not happen: close what was opened.
    ///
    /// # Errors
    /// Why `next` cannot be prepared, in words for an operator.
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String>;

    /// Whether this is the log. It commits last: the old log still gets the lines about the
    /// change.
    fn is_log(&self) -> bool {
        false
    }

    /// Opens anew what may have been moved away, such as a log file. `now` is in force.
    ///
    /// # Errors
    /// Why it failed, in words for an operator; the old one stays open.
    fn reopen(&mut self, _now: &Config) -> Result<(), String> {
        Ok(())
    }

    /// Releases what a successor needs, at once: txlb only serves its last sessions from now on.
    /// Returns whether it still takes part in later changes.
    fn release(&mut self) -> bool {
        true
    }

    /// What a process that takes over is given, by name.
    fn hand_over(&mut self) -> Vec<(String, Shared)> {
        Vec::new()
    }

    /// Another process has what was handed over: its files are not removed any more, but for what
    /// it has no use for, by name.
    fn disown(&mut self, _unwanted: &[String]) {}
}

impl DataPlane {
    /// Puts `next` in force: all of it, or nothing. Returns once every worker serves it.
    ///
    /// # Errors
    /// What refuses it, such as a listener that cannot be bound: everything is as it was.
    pub fn apply(&mut self, next: Config) -> Result<(), Error> {
        let change = ConfigChange {
            next,
            renames: &Renames::default(),
            listeners: NewListeners::Bind(ResolveScope::All),
            known: None,
        };
        self.apply_change(change, &mut []).map(Prepared::commit_log)
    }

    /// Puts a configuration in force, in the data plane and in `parts`. The caller commits the log
    /// last, once everything is logged.
    ///
    /// Until the workers have registered the new listeners, each step may refuse the change, and
    /// what the steps before it did is undone. After that, none can.
    ///
    /// # Errors
    /// What refuses it: everything is as it was.
    pub(super) fn apply_change(
        &mut self,
        change: ConfigChange<'_>,
        parts: &mut [Box<dyn Reconfigure>],
    ) -> Result<Prepared, Error> {
        let ConfigChange {
            next,
            renames,
            known,
            ..
        } = change;
        // Check.
        self.check_schedulers(&next)?;
        check_client_addresses(&next)?;
        check_members(&next)?;
        let names: BTreeSet<String> = next.host_names().into_iter().map(str::to_owned).collect();
        let threads = self.resolver.start_threads(names.len());
        let threads = threads.and_then(|()| self.members.start_threads(&next));
        threads.map_err(Error::System)?;
        // Prepare.
        let mut prepared = Prepared::new(parts, &self.config, &next).map_err(Error::Part)?;
        // Bind.
        let (wanted, opened) = match change.listeners {
            NewListeners::Bound(wanted, opened) => (wanted, opened),
            NewListeners::Bind(scope) => self.bind_listeners(&next, scope)?,
        };
        let (addresses, sockets) = per_worker(opened, self.workers.len());
        self.register_listeners(sockets)?;
        // Commit. From here on nothing can refuse the change.
        self.resolve_new_names(&next, &names);
        self.commit(next, wanted, addresses);
        // Publish. Groups that get sessions are configured before workers use the new plan, the others
        // after: one change may drain all hosts of one group and enable another. Test:
        // another_group_is_enabled_and_sessions_on_the_old_one_live_on.
        self.configure_serving_groups(renames, &names);
        self.restore_known(known.as_ref(), true);
        self.publish_plan();
        self.configure_other_groups(renames, &names);
        self.members.retain(&self.config);
        self.restore_known(known.as_ref(), false);
        self.running.set_check_ports(&self.config, |service| {
            let mut addresses = self.listeners.addresses(&self.wanted, service);
            addresses.find_map(|address| address.port())
        });
        self.recovery.watch(Watched {
            groups: self.running.watched_groups(&self.config),
            manager: self.config.manager,
        });
        prepared.commit();
        Ok(prepared)
    }

    /// Resolves the names of listeners again, and listens at the addresses found.
    ///
    /// # Errors
    /// A listener that cannot be bound: everything is as it was.
    pub(super) fn listen_again(&mut self) -> Result<(), Error> {
        if self.config.listen_names().is_empty() {
            return Ok(());
        }
        let (wanted, opened) = self.bind_listeners(&self.config, ResolveScope::All)?;
        if opened.is_empty() && wanted == self.wanted {
            return Ok(());
        }
        self.listen_at(wanted, opened)
    }

    /// Makes the files of Unix sockets anew that are gone: no client finds these listeners.
    ///
    /// # Errors
    /// One that cannot be bound: everything is as it was.
    pub(super) fn listen_at_lost_files(&mut self) -> Result<(), Error> {
        let all = self.wanted.clone();
        let is_lost = |key: &ListenKey| self.listeners.has_lost_file(key);
        let (lost, others): (WantedListeners, WantedListeners) =
            all.clone().into_iter().partition(|(key, _)| is_lost(key));
        if lost.is_empty() {
            return Ok(());
        }
        let opened = Listeners::default().bind_new(&lost, self.workers.len(), |_| true)?;
        // Workers know listeners by their keys: the old ones go first.
        self.listen_at(others, Vec::new())?;
        self.listen_at(all, opened)?;
        for ListenKey { place, .. } in lost.keys() {
            log::info!("{place} is listened at anew: its file was gone");
        }
        Ok(())
    }

    /// Listens at `wanted` alone, of which the new ones are `opened`.
    fn listen_at(
        &mut self,
        wanted: WantedListeners,
        opened: Vec<BoundListener>,
    ) -> Result<(), Error> {
        let change = ConfigChange {
            next: self.config.clone(),
            renames: &Renames::default(),
            listeners: NewListeners::Bound(wanted, opened),
            known: None,
        };
        self.apply_change(change, &mut []).map(Prepared::commit_log)
    }

    /// # Errors
    /// A group uses a scheduler that does not exist.
    fn check_schedulers(&self, config: &Config) -> Result<(), Error> {
        let groups = config.services.iter().flat_map(|service| &service.groups);
        let mut wanted = groups.map(|group| &group.scheduler);
        match wanted.find(|scheduler| !self.schedulers.supports(scheduler)) {
            None => Ok(()),
            Some(scheduler) => {
                let unknown_error = config::Scheduler::unknown_error(
                    &scheduler.to_string(),
                    &self.own_schedulers(),
                );
                Err(Error::Scheduler(unknown_error))
            }
        }
    }

    /// Where `next` listens, and new sockets for that.
    fn bind_listeners(
        &self,
        next: &Config,
        scope: ResolveScope,
    ) -> Result<(WantedListeners, Vec<BoundListener>), Error> {
        let mut wanted = wanted(next, &self.wanted, scope)?;
        self.listeners.inheritance.add_named(next, &mut wanted);
        // A change does not look again for addresses that this machine lacked before.
        let is_new = |key: &ListenKey| scope == ResolveScope::All || !self.wanted.contains_key(key);
        let opened = self
            .listeners
            .bind_new(&wanted, self.workers.len(), is_new)?;
        Ok((wanted, opened))
    }

    /// Has each worker register its sockets of the new listeners, and waits for the results. A
    /// worker that hangs refuses the change as well: it would serve the old plan.
    ///
    /// # Errors
    /// The first worker that could not, or did not answer. No worker keeps a socket then.
    // Tests: a_listener_that_no_worker_can_watch_is_refused_and_everything_stays,
    // a_worker_that_hangs_refuses_changes.
    fn register_listeners(
        &self,
        sockets: Vec<Vec<(ListenKey, StreamListener)>>,
    ) -> Result<(), Error> {
        let mut results = Vec::new();
        for (worker, opened) in self.workers.iter().zip(sockets) {
            let (done, result) = channel();
            // A full mailbox has dropped `done`: the worker does not answer.
            let _ = worker
                .mailbox
                .try_post(WorkerMessage::Prepare { opened, done });
            results.push(result);
        }
        let answers = results.into_iter().enumerate().map(|(number, result)| {
            match result.recv_timeout(WORKER_TIMEOUT) {
                Ok(Ok(())) => Ok(()),
                Ok(Err((place, error))) => Err(Error::Listen { place, error }),
                Err(_) => Err(Error::Worker(number)),
            }
        });
        let registered: Result<(), Error> = answers.collect();
        if registered.is_err() {
            for worker in &self.workers {
                // A worker that gets no message closes them with the next change.
                let _ = worker.mailbox.try_post(WorkerMessage::Discard);
            }
        }
        registered
    }

    /// Goes on with what another process knew: before workers pick hosts in the groups that get new
    /// sessions.
    fn restore_known(&self, known: Option<&Known>, serving: bool) {
        if let Some(Known(history)) = known {
            self.restore(history, serving);
            if serving {
                self.restore_counts(history);
            }
        }
    }

    /// Looks up names of hosts that are new, and new names with members, and waits for them. Others
    /// have been waited for once.
    fn resolve_new_names(&self, next: &Config, names: &BTreeSet<String>) {
        let deadline = Instant::now() + NAMES_TIMEOUT;
        let new_names = self.resolver.set_names(names.iter().cloned());
        let new_questions = self.members.ask(next);
        self.resolver.wait_for(&new_names, NAMES_TIMEOUT);
        let left = deadline.saturating_duration_since(Instant::now());
        self.members.wait_for(&new_questions, left);
    }

    /// Makes `next` the configuration of the controller's side.
    fn commit(&mut self, next: Config, wanted: WantedListeners, addresses: BoundAddresses) {
        self.running = self
            .running
            .next(&next, |service, group| self.new_group(service, group));
        self.listeners.commit(&wanted, addresses);
        // The names of listeners may have other addresses now, which makes no other configuration.
        let is_new = self.generation == 0 || next != self.config;
        self.generation += u64::from(is_new);
        (self.config, self.wanted) = (next, wanted);
        self.limit_sessions();
    }

    fn configure_serving_groups(&self, renames: &Renames, names: &BTreeSet<String>) {
        self.configure_groups(true, renames, names);
    }

    fn configure_other_groups(&self, renames: &Renames, names: &BTreeSet<String>) {
        self.configure_groups(false, renames, names);
    }

    /// Configures the host pools of the groups that get new sessions, or of the others. Passes on to
    /// all groups what `names` resolve to, now and later.
    fn configure_groups(&self, serving: bool, renames: &Renames, names: &BTreeSet<String>) {
        let known = self.resolver.resolutions();
        for (running, group) in self.running.with_config(&self.config, serving) {
            let renamed = renames.of(&running.service, &running.name);
            self.members
                .configure(running, group, renamed, |group, renamed| {
                    self.resolutions
                        .change_group(running, &known, |pool, now_ms| {
                            pool.configure_renamed(group, renamed, now_ms);
                        });
                });
        }
        let groups = self.running.groups().cloned();
        self.resolutions
            .set_groups(groups, names, || self.resolver.resolutions());
    }

    /// Tells the search for routing loops what is in force, and sends the plan to every
    /// worker. Waits until each serves it and has closed the listeners that are not in it.
    fn publish_plan(&self) {
        self.resolutions.set_services(self.own_services());
        let plan = Arc::new(self.running.plan(&self.config, &self.wanted, self.name()));
        let mut answers = Vec::new();
        for worker in &self.workers {
            let (done, answer) = channel();
            let plan = Arc::clone(&plan);
            // A worker that has ended serves nobody: the panic guard has reported it.
            let _ = worker.mailbox.post(WorkerMessage::Serve { plan, done });
            answers.push(answer);
        }
        for (number, answer) in answers.into_iter().enumerate() {
            if answer.recv_timeout(WORKER_TIMEOUT).is_err() {
                log::error!(
                    "worker {number} has not confirmed the new configuration in {} s: it serves \
                     the old one until it runs again",
                    WORKER_TIMEOUT.as_secs()
                );
            }
        }
    }

    fn new_group(&self, service: &config::Service, group: &config::Group) -> Group {
        let (schedulers, workers) = (Arc::clone(&self.schedulers), self.workers.len());
        let now_ms = self.shared.clock.now_ms();
        let pool = HostPool::with_schedulers(schedulers, group, workers, now_ms);
        Group::new(&service.name, &group.name, pool)
            .with_recent_events(self.shared.recent_events.clone())
    }

    /// The services, as the search for routing loops needs them.
    fn own_services(&self) -> Vec<LocalService> {
        let places = self.listeners.places(&self.wanted);
        let services = self.config.services.iter();
        let own = services.map(|service| {
            let serving = service.serving_groups();
            let mut groups: Vec<_> = serving.into_iter().collect();
            // Which of several hops closes a loop must not depend on a hash.
            groups.sort_unstable_by_key(|name| (*name != service.enabled, *name));
            let running = |name| self.running.group(&service.name, name).cloned();
            LocalService {
                asked_any_port: service.listens.iter().any(|it| it.proxy),
                places: places.get(&service.name).cloned().unwrap_or_default(),
                groups: groups.into_iter().filter_map(running).collect(),
            }
        });
        own.collect()
    }

    /// Limits sessions to the descriptors, two each, and to the owner's limit.
    fn limit_sessions(&self) {
        let room = fd_budget::sessions(&self.config, self.workers.len(), self.listeners.len());
        // A change must not leave room for no session.
        let capacity = room.unwrap_or(1).min(self.most_sessions);
        self.shared.set_capacity(capacity);
    }
}

/// # Errors
/// A group connects from addresses of clients, and this process may not.
fn check_client_addresses(config: &Config) -> Result<(), Error> {
    match config.uses_client_addresses() && !outgoing::may_be_transparent() {
        true => Err(Error::ClientAddresses),
        false => Ok(()),
    }
}

/// # Errors
/// A host has `each`, and this txlb is built without what that takes.
fn check_members(config: &Config) -> Result<(), Error> {
    match config.hosts().find(|host| host.is_template()) {
        Some(host) if !CAN_ASK => Err(Error::NoMembers {
            host: host.name.clone(),
        }),
        _ => Ok(()),
    }
}

/// What all reconfigurable parts have prepared. Dropping it undoes it.
#[must_use]
pub(super) struct Prepared {
    commits: Vec<Commit>,
    log_commits: Vec<Commit>,
}

impl Prepared {
    /// # Errors
    /// The first part that cannot prepare; the others are undone.
    pub(super) fn new(
        reconfigurables: &mut [Box<dyn Reconfigure>],
        now: &Config,
        next: &Config,
    ) -> Result<Prepared, String> {
        let mut prepared = Prepared {
            commits: Vec::new(),
            log_commits: Vec::new(),
        };
        for reconfigurable in reconfigurables {
            let list = match reconfigurable.is_log() {
                true => &mut prepared.log_commits,
                false => &mut prepared.commits,
            };
            list.extend(reconfigurable.prepare(now, next)?);
        }
        Ok(prepared)
    }

    /// The change is in force: commits everything but the log.
    pub(super) fn commit(&mut self) {
        self.commits.drain(..).for_each(|commit| commit());
    }

    /// Everything is logged: commits the log.
    pub(super) fn commit_log(self) {
        self.log_commits.into_iter().for_each(|commit| commit());
    }
}
