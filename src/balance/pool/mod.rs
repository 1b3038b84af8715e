//! The tracker: a group's hosts as they are now, and who gets the next session.
//!
//! It is told what happens and answers who is next; it connects to nothing. It
//! sits behind one short lock of the group's, so its numbers are plain ones.

use super::host::{Failure, HealthChange, Host, HostStatus, Member};
use super::hosts::{Hosts, Placement};
use super::sticky::Clients;
use super::{EndedSession, HostId, Pick, PickContext, Scheduler, Schedulers};
use crate::config::{self, Endpoint};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What is known of a group's hosts, and its scheduler.
///
/// Every session that was picked for must be given back exactly once, through
/// [`HostPool::release`], [`HostPool::connect_failed`] or [`HostPool::refused_early`];
/// before the first of these, [`HostPool::connected`] says that it was served.
#[derive(Debug)]
pub struct HostPool {
    hosts: Hosts,
    /// Where other schedulers come from.
    schedulers: Arc<Schedulers>,
    scheduler: Box<dyn Scheduler>,
    algorithm: config::Algorithm,
    /// Where clients went, in a group that is sticky.
    clients: Option<Clients>,
    /// How many workers there are.
    shards: usize,
    /// How many picks there were.
    picks: u64,
    /// There are hosts by which sessions would go in circles.
    circular: bool,
}

/// Who gets a session.
#[derive(Debug, Clone)]
pub struct Picked {
    /// What to call it when talking to the tracker.
    pub id: HostId,
    /// Its name and counters.
    pub host: Arc<Host>,
    /// Where to connect.
    pub address: SocketAddr,
    /// Where a sticky client went before.
    previous: Option<Placement>,
}

impl HostPool {
    /// A group of which nothing is known yet, served by `shards` workers, with one of
    /// txlb's schedulers.
    pub fn new(group: &config::Group, shards: usize, now_ms: u64) -> HostPool {
        HostPool::with_schedulers(Arc::default(), group, shards, now_ms)
    }

    /// As [`HostPool::new`], with any of these schedulers. One that is not among them
    /// is taken for `leastc`.
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
            clients: None,
            shards,
            picks: 0,
            circular: false,
        };
        pool.configure(group, now_ms);
        pool
    }

    /// The group is now this: its order, weights, states and scheduler are taken over.
    ///
    /// Hosts are known by name: totals, open sessions, health, stickiness and
    /// positions live on. One with another endpoint keeps its totals, but its
    /// health and stickiness start again. One that was removed stays known until
    /// its last session ends; if it comes back before, it goes on counting.
    pub fn configure(&mut self, group: &config::Group, now_ms: u64) {
        self.configure_renamed(group, &BTreeMap::new(), now_ms);
    }

    /// As [`HostPool::configure`], and some of the hosts had other names before:
    /// `renamed` has these by the new ones. They live on as well.
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
        // Who is one client is said by the prefix: with another, nobody is known.
        let prefix = group.sticky_prefix;
        self.clients = sticky.then(|| match self.clients.take() {
            Some(clients) if clients.prefix() == prefix => clients,
            _ => Clients::new(prefix),
        });
        self.hosts
            .configure(&group.hosts, renamed, self.shards, now_ms);
        self.scheduler.rebuild(&self.hosts);
    }

    /// Picks a host and counts the session on it, in one step. `None` if nobody
    /// is left to try.
    pub fn pick(&mut self, context: &mut PickContext<'_>) -> Option<Picked> {
        let id = self
            .sticky_host(context)
            .or_else(|| self.scheduled_host(context))?;
        self.picks += 1;
        let member = self.hosts.open_session(id, self.picks)?;
        let (host, address) = (Arc::clone(&member.host), member.address?);
        let clients = self.clients.as_mut();
        let previous = clients
            .and_then(|it| it.session_started(context.client, member.placement, context.now_ms));
        let picked = Picked {
            id,
            host,
            address,
            previous,
        };
        self.scheduler.session_started(&self.hosts, id);
        Some(picked)
    }

    /// Where a sticky client went before, if that may be picked.
    fn sticky_host(&self, context: &PickContext<'_>) -> Option<HostId> {
        let placement: Placement = self
            .clients
            .as_ref()?
            .placement(context.client, context.now_ms)?;
        let same = self.hosts.get(placement.host)?.placement == placement;
        (same && self.may_pick(placement.host, context)).then_some(placement.host)
    }

    fn scheduled_host(&mut self, context: &mut PickContext<'_>) -> Option<HostId> {
        match self.scheduler.pick(&self.hosts, context) {
            Pick::Host(id) if self.may_pick(id, context) => Some(id),
            _ => None,
        }
    }

    fn may_pick(&self, id: HostId, context: &PickContext<'_>) -> bool {
        context.tried.len() <= PickContext::MAX_TRIED && self.hosts.may_pick(id, context)
    }

    /// A session's connect to `address` succeeded: the host is healthy.
    pub fn connected(
        &mut self,
        id: HostId,
        address: SocketAddr,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.hosts.get_mut(id)?.count_session(now_ms);
        self.apply_result(id, address, |host| host.connect_succeeded(now_ms))
    }

    /// A session's connect to `address` failed: the host has failed, unless its name has
    /// another address ([`HostPool::has_moved`]). The session is no longer counted.
    pub fn connect_failed(
        &mut self,
        id: HostId,
        address: SocketAddr,
        client: IpAddr,
        failure: Failure,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.hosts.get_mut(id)?.failures += 1;
        let change = self.apply_result(id, address, |host| host.connect_failed(failure, now_ms));
        self.end_session(id, client, true, now_ms);
        change
    }

    /// Whether a host is not at `address` any more, where it failed, and may be tried
    /// where it is now.
    pub fn has_moved(&self, id: HostId, address: SocketAddr) -> bool {
        let member = self.hosts.get(id);
        member.is_some_and(|member| !member.has_failed() && member.address != Some(address))
    }

    /// The host accepted a session and broke it off before anything was said. It
    /// is there, so it has not failed; the session is no longer counted.
    pub fn refused_early(&mut self, id: HostId, client: IpAddr, now_ms: u64) {
        if let Some(member) = self.hosts.get_mut(id) {
            member.failures += 1;
        }
        self.end_session(id, client, true, now_ms);
    }

    /// A session has ended, or an attempt at one through no fault of the host's:
    /// its client went away, or there was trouble on this machine.
    pub fn release(&mut self, id: HostId, client: IpAddr, now_ms: u64) {
        self.end_session(id, client, false, now_ms);
    }

    /// What was picked is not even tried: it is as if it had not been.
    pub fn withdraw(&mut self, picked: &Picked, client: IpAddr, now_ms: u64) {
        self.release(picked.id, client, now_ms);
        if let (Some(clients), Some(previous)) = (&mut self.clients, picked.previous) {
            clients.restore_placement(client, previous);
        }
    }

    fn end_session(&mut self, host: HostId, client: IpAddr, failed: bool, now_ms: u64) {
        self.hosts.close_session(host);
        let end = EndedSession {
            host,
            client,
            failed,
            now_ms,
        };
        self.scheduler.session_ended(&self.hosts, &end);
        if let Some(clients) = &mut self.clients {
            clients.session_ended(client, now_ms);
        }
    }

    /// What a check of a failed host found at `address`. Too late for one that is
    /// elsewhere by now, or has not failed any more.
    pub fn health_checked(
        &mut self,
        id: HostId,
        address: SocketAddr,
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.apply_result(id, address, |host| match result {
            _ if !host.has_failed() => None,
            Ok(()) => host.connect_succeeded(now_ms),
            Err(failure) => host.connect_failed(failure, now_ms),
        })
    }

    /// What a heartbeat found at `address`, of a host that has not failed: the
    /// second failure in a row marks it so. Too late as for [`HostPool::health_checked`].
    pub fn heartbeat_checked(
        &mut self,
        id: HostId,
        address: SocketAddr,
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.apply_result(id, address, |host| match result {
            _ if host.has_failed() => None,
            Ok(()) => host.connect_succeeded(now_ms),
            Err(failure) => host.heartbeat_missed(failure, now_ms),
        })
    }

    /// Something was seen of a host. It says nothing about one that was removed, or
    /// has another address now: a host that an operator moved away from a dead
    /// address must not fail with those who still try that one.
    fn apply_result(
        &mut self,
        id: HostId,
        address: SocketAddr,
        tell: impl FnOnce(&mut Member) -> Option<HealthChange>,
    ) -> Option<HealthChange> {
        let member = self.hosts.get_mut(id)?;
        if member.position.is_none() || member.address != Some(address) || member.is_circular() {
            return None;
        }
        let change = tell(member);
        if change.is_some() {
            self.rebuild();
        }
        change
    }

    fn rebuild(&mut self) {
        self.hosts.rebuild_candidates();
        self.scheduler.rebuild(&self.hosts);
    }

    /// What resolving `name` gave: addresses, or why there are none.
    ///
    /// Hosts by that name keep the address they have while it is among them, else
    /// take the first one, of the same family if there is one, and their health
    /// starts again; the others are kept for when that one fails. Without an answer they keep what they have; a host that
    /// never had an address has failed. An answer without addresses is none.
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
            let before = member.address;
            let change = match answer {
                Ok([]) => member.resolution_failed("it has no address", now_ms),
                Ok(addresses) => member.set_addresses(addresses, now_ms),
                Err(reason) => member.resolution_failed(reason, now_ms),
            };
            changed |= change.is_some() || member.address != before;
            changes.extend(change.map(|change| (id, change)));
        }
        // As a rule a name resolves to what it did before.
        if changed {
            self.rebuild();
        }
        changes
    }

    /// These are the hosts by which sessions would go in circles: they are failed, and
    /// neither picked nor probed, until they are told not to be, or are elsewhere.
    pub fn mark_circular(
        &mut self,
        circular: &BTreeSet<HostId>,
        now_ms: u64,
    ) -> Vec<(HostId, HealthChange)> {
        let mut changes = Vec::new();
        let mut changed = false;
        self.circular = !circular.is_empty();
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
            self.rebuild();
        }
        changes
    }

    /// Whether there are hosts by which sessions would go in circles.
    pub fn has_circular(&self) -> bool {
        self.circular
    }

    /// The configured hosts, in the file's order.
    pub fn hosts(&self) -> impl Iterator<Item = HostStatus<'_>> {
        self.hosts.members().map(Member::status)
    }

    /// The hosts that a check may bring back: failed, in service, with an address.
    pub fn health_check_targets(&self) -> Vec<(HostId, SocketAddr)> {
        self.targets(Member::has_failed)
    }

    /// The hosts for a heartbeat: in service, not failed, with an address.
    pub fn heartbeat_targets(&self) -> Vec<(HostId, SocketAddr)> {
        self.targets(|member| !member.has_failed())
    }

    /// Whether a host has failed by saying nothing: asking it again takes long.
    pub fn has_timed_out(&self, id: HostId) -> bool {
        self.hosts.get(id).is_some_and(Member::has_timed_out)
    }

    fn targets(&self, and: impl Fn(&Member) -> bool) -> Vec<(HostId, SocketAddr)> {
        let members = self
            .hosts
            .members()
            .filter(|member| member.is_in_service() && !member.is_circular() && and(member));
        members
            .filter_map(|member| Some((member.id, member.address?)))
            .collect()
    }

    /// Whether there are hosts in service and all of them have failed.
    pub fn all_failed(&self) -> bool {
        let mut in_service = self
            .hosts
            .members()
            .filter(|member| member.is_in_service())
            .peekable();
        in_service.peek().is_some() && in_service.all(Member::has_failed)
    }

    /// Nothing is known any more of whether a host answers, as if nobody had tried
    /// it: if it had failed, it may be picked again. Whether it had.
    pub fn reset_health(&mut self, id: HostId, now_ms: u64) -> bool {
        let failed = |member: &&mut Member| {
            member.position.is_some() && member.has_failed() && !member.is_circular()
        };
        let Some(member) = self.hosts.get_mut(id).filter(failed) else {
            return false;
        };
        member.reset_health(now_ms);
        self.rebuild();
        true
    }

    /// What a known host is called.
    pub fn host_name(&self, id: HostId) -> Option<String> {
        self.hosts.get(id).map(|member| member.host.name.clone())
    }

    /// Sessions open on one host.
    pub fn open_on(&self, id: HostId) -> usize {
        self.hosts.get(id).map_or(0, |member| member.open as usize)
    }

    /// Sessions open on all hosts, removed ones included.
    pub fn open(&self) -> usize {
        self.hosts.open()
    }
}

fn make(schedulers: &Schedulers, algorithm: &config::Algorithm) -> Box<dyn Scheduler> {
    let made = schedulers.make(algorithm);
    made.unwrap_or_else(Schedulers::make_default)
}

fn is_named(member: &Member, name: &str) -> bool {
    match &member.endpoint {
        Endpoint::Name { host, .. } => host == name,
        Endpoint::Zoned { zone, .. } => zone == name,
        Endpoint::Address(_) => false,
    }
}

#[cfg(test)]
mod tests;
