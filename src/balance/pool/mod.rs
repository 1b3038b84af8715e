//! The host pool of a group: picks hosts, counts sessions, and keeps health and stickiness.
//!
//! It connects to nothing: workers and recovery report what they see. It is behind the lock
//! of its group, so its counts need no atomics.

mod checks;
mod ends;
mod history;
mod source;

use super::health::{Failure, HealthChange};
use super::host::Placement;
use super::host::{Host, Member};
use super::host_status::HostStatus;
use super::hosts::Hosts;
use super::sticky::Clients;
use super::{HostId, Pick, PickContext, Scheduler, Schedulers};
use crate::config::{self, Algorithm, Check, Endpoint, ProxyVersion};
use crate::os::address::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use self::checks::CheckedHost;
pub use self::history::{ClientHistory, HostHistory};
pub use self::source::SourceTurn;

/// The hosts of a group as they are now, with its scheduler.
///
/// Each session that was picked must be given back exactly once, by [`HostPool::release`],
/// [`HostPool::connect_failed`], [`HostPool::refused_early`] or [`HostPool::withdraw`]; or by
/// [`HostPool::host_reported`], after whose `end` it keeps its host busy no more, and then
/// [`HostPool::session_ended`]. Before that, [`HostPool::connected`] reports that its connect
/// succeeded.
#[derive(Debug)]
pub struct HostPool {
    hosts: Hosts,
    /// Makes another scheduler when the configuration names one.
    schedulers: Arc<Schedulers>,
    scheduler: Box<dyn Scheduler>,
    algorithm: Algorithm,
    /// How hosts are checked. A check that stays is the same `Arc`.
    checks: Vec<Arc<Check>>,
    /// The placement of each client, in a sticky group.
    clients: Option<Clients>,
    /// The number of workers, each with a shard of the counters.
    shards: usize,
    /// The number of picks so far.
    picks: u64,
    /// The number of sessions so far that ended after the first byte of their hosts.
    served: u64,
    /// Early ends in a row that make a host failed; 0: any number.
    fail_after: u32,
    /// Where connections to hosts come from; `None` without anything special.
    source: Option<Arc<config::Source>>,
    mptcp: bool,
    send_proxy: Option<ProxyVersion>,
    replay: u32,
    /// Whether the address of a host is a listener of this process.
    has_circular: bool,
    /// Hosts out of service whose last session has ended, until they are taken.
    emptied: Vec<Arc<Host>>,
}

/// The host that was picked for a session.
#[derive(Debug, Clone)]
pub struct Picked {
    /// Its id in the pool.
    pub id: HostId,
    /// Its name and counters.
    pub host: Arc<Host>,
    /// The address to connect to. With port 0, the port is the one that the client asked for.
    pub address: Address,
    /// Whether the host has ended sessions early since it last served: then its first byte is to be
    /// reported at once ([`HostPool::host_reported`]).
    pub ended_early: bool,
    /// The PROXY protocol header that its group's hosts get first.
    pub send_proxy: Option<ProxyVersion>,
    /// Bytes of the client that are kept for another host, should this one end before its first.
    pub replay: u32,
    /// The placement that a sticky client had before.
    previous: Option<Placement>,
}

/// A host with open sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenHost {
    /// Its id.
    pub id: HostId,
    /// Whether it has failed.
    pub has_failed: bool,
    /// Since when it is drained, down or removed; `None` if it is up.
    pub out_since_ms: Option<u64>,
}

impl HostPool {
    /// A pool of untried hosts for `shards` workers, with a built-in scheduler.
    pub fn new(group: &config::Group, shards: usize, now_ms: u64) -> HostPool {
        HostPool::with_schedulers(Arc::default(), group, shards, now_ms)
    }

    /// As [`HostPool::new`], with any of these schedulers. An unknown one is replaced by
    /// the default one.
    pub fn with_schedulers(
        schedulers: Arc<Schedulers>,
        group: &config::Group,
        shards: usize,
        now_ms: u64,
    ) -> HostPool {
        let algorithm = group.scheduler.algorithm.clone();
        let mut pool = HostPool {
            hosts: Hosts::default(),
            scheduler: make(&schedulers, &algorithm),
            schedulers,
            algorithm,
            checks: Vec::new(),
            clients: None,
            shards,
            picks: 0,
            served: 0,
            fail_after: 0,
            source: None,
            mptcp: false,
            send_proxy: None,
            replay: 0,
            has_circular: false,
            emptied: Vec::new(),
        };
        pool.configure(group, now_ms);
        pool
    }

    /// Takes over a configuration: order, weights, states and scheduler.
    ///
    /// A host stays the same by its name: it keeps totals, open sessions, health, stickiness
    /// and position. With another endpoint it keeps its totals, and its health and
    /// stickiness are reset. A removed host stays known until its last session ends. If it
    /// is added again before that, it keeps its totals.
    pub fn configure(&mut self, group: &config::Group, now_ms: u64) {
        self.configure_renamed(group, &BTreeMap::new(), now_ms);
    }

    /// As [`HostPool::configure`], with hosts that were renamed: `renamed` maps new names to
    /// former ones. These hosts stay the same, too.
    pub fn configure_renamed(
        &mut self,
        group: &config::Group,
        renamed: &BTreeMap<String, String>,
        now_ms: u64,
    ) {
        let config::Scheduler { algorithm, sticky } = &group.scheduler;
        if *algorithm != self.algorithm {
            self.algorithm = algorithm.clone();
            self.scheduler = make(&self.schedulers, algorithm);
        }
        // The prefix identifies clients: with another one, they all are new.
        self.fail_after = group.fail_after;
        (self.send_proxy, self.replay) = (group.send_proxy, group.replay);
        let prefix = group.sticky_prefix;
        self.clients = sticky.then(|| match self.clients.take() {
            Some(clients) if clients.prefix() == prefix => clients,
            _ => Clients::new(prefix),
        });
        self.hosts.configure(group, renamed, self.shards, now_ms);
        self.configure_checks(&group.checks, now_ms);
        self.configure_source(group);
        self.scheduler.rebuild(&self.hosts);
    }

    /// The PROXY protocol header that its hosts get first.
    pub fn send_proxy(&self) -> Option<ProxyVersion> {
        self.send_proxy
    }

    /// Picks a host and counts the session on it, in one step. `None` if no host is left to
    /// try.
    pub fn pick(&mut self, context: &mut PickContext<'_>) -> Option<Picked> {
        if self.hosts.review(context.now_ms) {
            self.scheduler.rebuild(&self.hosts);
        }
        let id = self
            .sticky_host(context)
            .or_else(|| self.scheduled_host(context))
            .or_else(|| self.spare_backup(context))?;
        self.picks += 1;
        let member = self.hosts.open_session(id, self.picks)?;
        let (host, address) = (Arc::clone(&member.host), member.address.clone()?);
        let ended_early = member.early_ends.row() > 0;
        let placement = member.placement;
        let previous = self.clients.as_mut().zip(context.client);
        let previous =
            previous.and_then(|(it, client)| it.session_started(client, placement, context.now_ms));
        let picked = Picked {
            id,
            host,
            address,
            ended_early,
            send_proxy: self.send_proxy,
            replay: self.replay,
            previous,
        };
        self.scheduler.session_started(&self.hosts, id);
        self.scheduler.load_changed(&self.hosts, id);
        if self.is_full(id) {
            self.rebuild(context.now_ms);
        }
        Some(picked)
    }

    /// The host that a sticky client went to before, if it may be picked.
    fn sticky_host(&self, context: &PickContext<'_>) -> Option<HostId> {
        let placement: Placement = self
            .clients
            .as_ref()?
            .placement(context.client?, context.now_ms)?;
        let same = self.hosts.get(placement.host)?.placement == placement;
        (same && self.may_pick(placement.host, context)).then_some(placement.host)
    }

    /// The host that the scheduler picks. Where it counts sessions or takes turns, a host in slow
    /// start is passed over as often as its share is not whole: with few sessions its load alone
    /// would not hold it back.
    // Test: a_host_in_slow_start_gets_its_part_of_a_share_under_any_scheduler.
    fn scheduled_host(&mut self, context: &mut PickContext<'_>) -> Option<HostId> {
        let mut picked = self.ask_scheduler(context)?;
        let mut passed = [picked; PickContext::MAX_TRIED];
        let tried = context.tried.len();
        if tried < passed.len() {
            passed[..tried].copy_from_slice(context.tried);
        }
        for next in tried..passed.len() {
            if self.stays_with(picked, context) {
                return Some(picked);
            }
            passed[next] = picked;
            let other = self.ask_scheduler(&mut PickContext {
                tried: &passed[..=next],
                random: &mut *context.random,
                ..*context
            });
            match other {
                Some(other) => picked = other,
                // All were passed over: the first one again.
                None => return self.ask_scheduler(context),
            }
        }
        Some(picked)
    }

    /// Whether a host that the scheduler has picked gets the session, by chance if it starts slowly.
    fn stays_with(&self, id: HostId, context: &mut PickContext<'_>) -> bool {
        let percent = self.hosts.get(id).map_or(100, Member::slow_percent);
        let candidates = self.hosts.candidates().len() as u64;
        let percent = u64::from(percent);
        let of = match self.algorithm {
            Algorithm::Random | Algorithm::RoundRobin | Algorithm::LeastConnsRoundRobin => 100,
            // One that is passed over is picked again at once: it is without a session longest.
            Algorithm::LeastConns | Algorithm::WeightedLeastConns => {
                candidates * (100 - percent) + percent
            }
            // They look at its share themselves, or are exempt.
            _ => return true,
        };
        percent == 100 || context.random.below(of) < percent
    }

    /// A backup, for a client that has tried all candidates, though they have not failed.
    fn spare_backup(&self, context: &PickContext<'_>) -> Option<HostId> {
        let spare = || self.hosts.spare_backup(context.tried);
        let tried = context.tried.len();
        (1..=PickContext::MAX_TRIED)
            .contains(&tried)
            .then(spare)
            .flatten()
    }

    fn ask_scheduler(&mut self, context: &mut PickContext<'_>) -> Option<HostId> {
        match self.scheduler.pick(&self.hosts, context) {
            Pick::Host(id) if self.may_pick(id, context) => Some(id),
            _ => None,
        }
    }

    fn may_pick(&self, id: HostId, context: &PickContext<'_>) -> bool {
        context.tried.len() <= PickContext::MAX_TRIED && self.hosts.may_pick(id, context)
    }

    /// The connect of a session to `address` succeeded: the host is healthy.
    pub fn connected(
        &mut self,
        id: HostId,
        address: &Address,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.hosts.get_mut(id)?.count_session(now_ms);
        self.apply_result(id, address, now_ms, |host| host.session_connected(now_ms))
    }

    /// The connect of a session to `address` failed: the host has failed, unless its name has
    /// another address ([`HostPool::has_moved`]). The session is no longer counted.
    pub fn connect_failed(
        &mut self,
        id: HostId,
        address: &Address,
        client: impl Into<Option<IpAddr>>,
        failure: Failure,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.hosts.get_mut(id)?.failures += 1;
        let change = self.apply_result(id, address, now_ms, |host| {
            host.connect_failed(failure, now_ms)
        });
        self.hosts.end_busy(id, false, now_ms);
        self.end_session(id, client.into(), true, now_ms);
        change
    }

    /// Whether a host has another address than `address`, which failed, and may be tried
    /// there.
    pub fn has_moved(&self, id: HostId, address: &Address) -> bool {
        let member = self.hosts.get(id);
        member.is_some_and(|member| !member.has_failed() && !member.is_at(address))
    }

    /// A health check of a failed host at `address` had this result. Ignored if the host has
    /// another address by now, or has not failed any more.
    pub fn health_checked(
        &mut self,
        id: HostId,
        address: &Address,
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.apply_result(id, address, now_ms, |host| match result {
            _ if !host.has_failed() && !host.is_pending() => None,
            Ok(()) => host.connect_succeeded(now_ms),
            Err(failure) => host.connect_failed(failure, now_ms),
        })
    }

    /// A heartbeat to a host at `address` had this result. The second failure in a row makes
    /// the host failed. Ignored if the host has another address by now, or has failed.
    pub fn heartbeat_checked(
        &mut self,
        id: HostId,
        address: &Address,
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.apply_result(id, address, now_ms, |host| match result {
            _ if host.has_failed() => None,
            Ok(()) => host.connect_succeeded(now_ms),
            Err(failure) => host.heartbeat_missed(failure, now_ms),
        })
    }

    /// Applies a result to the health of a host. A result is ignored if the host was removed,
    /// or has another address now: a host that was moved away from a dead address must not
    /// fail by sessions that still try it.
    // Test: a_moved_host_starts_again_but_keeps_its_totals.
    fn apply_result(
        &mut self,
        id: HostId,
        address: &Address,
        now_ms: u64,
        apply: impl FnOnce(&mut Member) -> Option<HealthChange>,
    ) -> Option<HealthChange> {
        let member = self.hosts.get_mut(id)?;
        if member.position.is_none() || !member.is_at(address) || member.is_circular() {
            return None;
        }
        let was_ready = member.is_ready();
        let change = apply(member);
        if change.is_some() || member.is_ready() != was_ready {
            self.rebuild(now_ms);
        }
        change
    }

    fn rebuild(&mut self, now_ms: u64) {
        self.hosts.rebuild_candidates(now_ms);
        self.scheduler.rebuild(&self.hosts);
    }

    /// The resolver has an answer for `name`: addresses, or the reason why there are none.
    ///
    /// Hosts of that name keep their address if it is among them. Otherwise they get the
    /// first one, if possible of the same family, and their health is reset. The other
    /// addresses are used when that one fails. After an error or an empty answer they keep
    /// their address; a host that never had one has failed.
    pub fn name_resolved(
        &mut self,
        name: &str,
        answer: Result<&[IpAddr], &str>,
        now_ms: u64,
    ) -> Vec<(HostId, HealthChange)> {
        let mut changes = Vec::new();
        let mut changed = false;
        for index in 0..self.hosts.all().len() {
            let id = self.hosts.all()[index];
            let Some(member) = self
                .hosts
                .get_mut(id)
                .filter(|member| is_named(member, name))
            else {
                continue;
            };
            let before = member.address.clone();
            let change = match answer {
                Ok([]) => member.resolution_failed("it has no address", now_ms),
                Ok(addresses) => member.set_addresses(addresses, now_ms),
                Err(reason) => member.resolution_failed(reason, now_ms),
            };
            changed |= change.is_some() || member.address != before;
            changes.extend(change.map(|change| (id, change)));
        }
        // Mostly a name resolves to the same addresses as before.
        if changed {
            self.rebuild(now_ms);
        }
        changes
    }

    /// Marks the hosts whose address is a listener of this process, so that sessions would
    /// loop. They are failed, and neither picked nor probed, until they are not marked any
    /// more, or have another address.
    pub fn mark_circular(
        &mut self,
        circular: &BTreeSet<HostId>,
        now_ms: u64,
    ) -> Vec<(HostId, HealthChange)> {
        let mut changes = Vec::new();
        let mut changed = false;
        self.has_circular = !circular.is_empty();
        for index in 0..self.hosts.all().len() {
            let id = self.hosts.all()[index];
            if let Some(member) = self.hosts.get_mut(id) {
                let before = member.is_circular();
                let change = member.mark_circular(circular.contains(&id), now_ms);
                changed |= member.is_circular() != before;
                changes.extend(change.map(|change| (id, change)));
            }
        }
        if changed {
            self.rebuild(now_ms);
        }
        changes
    }

    /// Whether the address of a host is a listener of this process.
    pub fn has_circular(&self) -> bool {
        self.has_circular
    }

    /// The configured hosts, in the file's order.
    pub fn hosts(&self) -> impl Iterator<Item = HostStatus<'_>> {
        self.hosts.members().map(|member| HostStatus {
            check_health: member.check_health(&self.checks),
            ..member.status()
        })
    }

    /// The hosts for a health check: in service, with an address, and failed or waiting for their
    /// first check.
    pub fn health_check_targets(&self) -> Vec<(HostId, Address)> {
        self.targets(|member| {
            (member.has_failed() || member.is_pending()) && !member.is_judged_by_checks()
        })
    }

    /// The hosts for a heartbeat: the others that are in service, with an address.
    pub fn heartbeat_targets(&self) -> Vec<(HostId, Address)> {
        self.targets(|member| {
            !(member.has_failed() || member.is_pending() || member.is_judged_by_checks())
        })
    }

    /// Whether a host has failed by a timeout: a check of it takes long.
    pub fn has_timed_out(&self, id: HostId) -> bool {
        self.hosts.get(id).is_some_and(Member::has_timed_out)
    }

    fn targets(&self, and: impl Fn(&Member) -> bool) -> Vec<(HostId, Address)> {
        let members = self
            .hosts
            .members()
            .filter(|member| member.is_in_service() && !member.is_circular() && and(member));
        members
            .filter_map(|member| Some((member.id, member.address.clone()?)))
            .collect()
    }

    /// Whether there are hosts in service, and all of them have failed or wait for a check.
    pub fn all_failed(&self) -> bool {
        let mut in_service = self
            .hosts
            .members()
            .filter(|member| member.is_in_service() && member.is_wanted_by_agent())
            .peekable();
        in_service.peek().is_some() && in_service.all(|it| it.has_failed() || it.is_pending())
    }

    /// Sets the health of a host that has failed, or waits for a check, to untried, so that it may
    /// be picked again. Returns whether it was one.
    pub fn reset_health(&mut self, id: HostId, now_ms: u64) -> bool {
        let failed = |member: &&mut Member| {
            let is_out = member.has_failed() || member.is_pending();
            member.position.is_some() && is_out && !member.is_circular()
        };
        let Some(member) = self.hosts.get_mut(id).filter(failed) else {
            return false;
        };
        member.retry(now_ms);
        self.rebuild(now_ms);
        true
    }

    /// The name of a host.
    pub fn host_name(&self, id: HostId) -> Option<String> {
        self.hosts.get(id).map(|member| member.host.name.clone())
    }

    /// The hosts out of service whose last session has ended since the last call.
    pub fn take_emptied(&mut self) -> Vec<Arc<Host>> {
        std::mem::take(&mut self.emptied)
    }

    /// Whether a host has failed.
    pub fn has_failed(&self, id: HostId) -> bool {
        self.failed_since_ms(id).is_some()
    }

    /// When a host failed, in milliseconds of the pool's clock; `None` if it has not.
    pub fn failed_since_ms(&self, id: HostId) -> Option<u64> {
        let member = self.hosts.get(id)?;
        member.has_failed().then_some(member.since_ms)
    }

    /// Whether a host is configured, and neither drained nor down.
    pub fn is_wanted(&self, id: HostId) -> bool {
        self.hosts.get(id).is_some_and(Member::is_wanted)
    }

    /// The hosts with open sessions, removed ones included.
    pub fn open_hosts(&self) -> impl Iterator<Item = OpenHost> {
        let open = self.hosts.known().filter(|member| member.open > 0);
        open.map(|member| OpenHost {
            id: member.id,
            has_failed: member.has_failed(),
            out_since_ms: member.out_since_ms,
        })
    }

    /// The hosts with names that are meant, removed ones with open sessions included.
    pub fn hosts_named(&self, is_meant: impl Fn(&str) -> bool) -> Vec<HostId> {
        let known = self.hosts.known();
        known
            .filter(|member| is_meant(member.name()))
            .map(|member| member.id)
            .collect()
    }

    /// Sessions open on one host.
    pub fn open_on(&self, id: HostId) -> usize {
        self.hosts.get(id).map_or(0, |member| member.open as usize)
    }

    /// Sessions that keep a host busy, removed ones included.
    #[cfg(test)]
    pub(crate) fn known_busy(&self) -> u32 {
        self.hosts.known().map(|member| member.busy).sum()
    }

    /// Sessions open on all hosts, removed ones included.
    pub fn open(&self) -> usize {
        self.hosts.open()
    }
}

fn make(schedulers: &Schedulers, algorithm: &Algorithm) -> Box<dyn Scheduler> {
    let made = schedulers.make(algorithm);
    made.unwrap_or_else(Schedulers::make_default)
}

fn is_named(member: &Member, name: &str) -> bool {
    match &member.endpoint {
        Endpoint::Name { host, .. } => host == name,
        Endpoint::Zoned { zone, .. } => zone == name,
        Endpoint::Address(_) | Endpoint::Unix(_) => false,
    }
}

#[cfg(test)]
mod tests;
