//! The tracker: a group's hosts as they are now, and who gets the next session.
//!
//! It is told what happens and answers who is next; it connects to nothing. It
//! sits behind one short lock of the group's, so its numbers are plain ones.

use super::host::{Change, Failure, Host, HostStatus, Member};
use super::hosts::{Hosts, Place};
use super::sticky::Clients;
use super::{End, HostId, Pick, PickContext, Scheduler, Schedulers};
use crate::config::{self, Endpoint};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What is known of a group's hosts, and its scheduler.
///
/// Every session that was picked for must be given back exactly once, through
/// [`HostPool::released`], [`HostPool::connect_failed`] or [`HostPool::turned_away`];
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
    turn: u64,
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
    former: Option<Place>,
}

impl HostPool {
    /// A group of which nothing is known yet, served by `shards` workers, with one of
    /// txlb's schedulers.
    pub fn new(group: &config::Group, shards: usize, now_ms: u64) -> HostPool {
        HostPool::with(Arc::default(), group, shards, now_ms)
    }

    /// As [`HostPool::new`], with any of these schedulers. One that is not among them
    /// is taken for `leastc`.
    pub fn with(
        schedulers: Arc<Schedulers>,
        group: &config::Group,
        shards: usize,
        now_ms: u64,
    ) -> HostPool {
        let algorithm = group.scheduler.algorithm.clone();
        let mut tracker = HostPool {
            hosts: Hosts::default(),
            scheduler: make(&schedulers, &algorithm),
            schedulers,
            algorithm,
            clients: None,
            shards,
            turn: 0,
            circular: false,
        };
        tracker.configure(group, now_ms);
        tracker
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
    pub fn pick(&mut self, ask: &mut PickContext<'_>) -> Option<Picked> {
        let id = self.remembered(ask).or_else(|| self.scheduled(ask))?;
        self.turn += 1;
        let member = self.hosts.count(id, self.turn)?;
        let (host, address) = (Arc::clone(&member.host), member.address?);
        let clients = self.clients.as_mut();
        let former = clients.and_then(|it| it.arrived(ask.client, member.place, ask.now_ms));
        let picked = Picked {
            id,
            host,
            address,
            former,
        };
        self.scheduler.picked(&self.hosts, id);
        Some(picked)
    }

    /// Where a sticky client went before, if that may be picked.
    fn remembered(&self, ask: &PickContext<'_>) -> Option<HostId> {
        let place: Place = self.clients.as_ref()?.place(ask.client, ask.now_ms)?;
        let same = self.hosts.get(place.host)?.place == place;
        (same && self.may_pick(place.host, ask)).then_some(place.host)
    }

    fn scheduled(&mut self, ask: &mut PickContext<'_>) -> Option<HostId> {
        match self.scheduler.pick(&self.hosts, ask) {
            Pick::Host(id) if self.may_pick(id, ask) => Some(id),
            _ => None,
        }
    }

    fn may_pick(&self, id: HostId, ask: &PickContext<'_>) -> bool {
        ask.tried.len() <= PickContext::MAX_TRIED && self.hosts.may_pick(id, ask)
    }

    /// A session's connect to `address` succeeded: the host is healthy.
    pub fn connected(&mut self, id: HostId, address: SocketAddr, now_ms: u64) -> Option<Change> {
        self.hosts.get_mut(id)?.served(now_ms);
        self.verdict(id, address, |host| host.succeeded(now_ms))
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
    ) -> Option<Change> {
        self.hosts.get_mut(id)?.failures += 1;
        let change = self.verdict(id, address, |host| host.failed(failure, now_ms));
        self.ended(id, client, true, now_ms);
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
    pub fn turned_away(&mut self, id: HostId, client: IpAddr, now_ms: u64) {
        if let Some(member) = self.hosts.get_mut(id) {
            member.failures += 1;
        }
        self.ended(id, client, true, now_ms);
    }

    /// A session has ended, or an attempt at one through no fault of the host's:
    /// its client went away, or there was trouble on this machine.
    pub fn released(&mut self, id: HostId, client: IpAddr, now_ms: u64) {
        self.ended(id, client, false, now_ms);
    }

    /// What was picked is not even tried: it is as if it had not been.
    pub fn withdraw(&mut self, picked: &Picked, client: IpAddr, now_ms: u64) {
        self.released(picked.id, client, now_ms);
        if let (Some(clients), Some(former)) = (&mut self.clients, picked.former) {
            clients.put_back(client, former);
        }
    }

    fn ended(&mut self, host: HostId, client: IpAddr, failed: bool, now_ms: u64) {
        self.hosts.uncount(host);
        let end = End {
            host,
            client,
            failed,
            now_ms,
        };
        self.scheduler.ended(&self.hosts, &end);
        if let Some(clients) = &mut self.clients {
            clients.ended(client, now_ms);
        }
    }

    /// What a check of a failed host found at `address`. Too late for one that is
    /// elsewhere by now, or has not failed any more.
    pub fn checked(
        &mut self,
        id: HostId,
        address: SocketAddr,
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<Change> {
        self.verdict(id, address, |host| match result {
            _ if !host.has_failed() => None,
            Ok(()) => host.succeeded(now_ms),
            Err(failure) => host.failed(failure, now_ms),
        })
    }

    /// What a heartbeat found at `address`, of a host that has not failed: the
    /// second failure in a row marks it so. Too late as for [`HostPool::checked`].
    pub fn beat(
        &mut self,
        id: HostId,
        address: SocketAddr,
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<Change> {
        self.verdict(id, address, |host| match result {
            _ if host.has_failed() => None,
            Ok(()) => host.succeeded(now_ms),
            Err(failure) => host.missed(failure, now_ms),
        })
    }

    /// Something was seen of a host. It says nothing about one that was removed, or
    /// has another address now: a host that an operator moved away from a dead
    /// address must not fail with those who still try that one.
    fn verdict(
        &mut self,
        id: HostId,
        address: SocketAddr,
        tell: impl FnOnce(&mut Member) -> Option<Change>,
    ) -> Option<Change> {
        let member = self.hosts.get_mut(id)?;
        if member.position.is_none() || member.address != Some(address) || member.is_circular() {
            return None;
        }
        let change = tell(member);
        if change.is_some() {
            self.review();
        }
        change
    }

    fn review(&mut self) {
        self.hosts.review();
        self.scheduler.rebuild(&self.hosts);
    }

    /// What resolving `name` gave: addresses, or why there are none.
    ///
    /// Hosts by that name keep the address they have while it is among them, else
    /// take the first one, of the same family if there is one, and their health
    /// starts again; the others are kept for when that one fails. Without an answer they keep what they have; a host that
    /// never had an address has failed. An answer without addresses is none.
    pub fn resolved(
        &mut self,
        name: &str,
        answer: Result<&[IpAddr], &str>,
        now_ms: u64,
    ) -> Vec<(HostId, Change)> {
        let mut changes = Vec::new();
        let mut news = false;
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
                Ok([]) => member.unresolved("it has no address", now_ms),
                Ok(addresses) => member.resolved(addresses, now_ms),
                Err(reason) => member.unresolved(reason, now_ms),
            };
            news |= change.is_some() || member.address != before;
            changes.extend(change.map(|change| (id, change)));
        }
        // As a rule a name resolves to what it did before.
        if news {
            self.review();
        }
        changes
    }

    /// These are the hosts by which sessions would go in circles: they are failed, and
    /// neither picked nor probed, until they are told not to be, or are elsewhere.
    pub fn mark_circular(
        &mut self,
        circular: &BTreeSet<HostId>,
        now_ms: u64,
    ) -> Vec<(HostId, Change)> {
        let mut changes = Vec::new();
        let mut news = false;
        self.circular = !circular.is_empty();
        for index in 0..self.hosts.all().len() {
            let id = self.hosts.all()[index];
            if let Some(member) = self.hosts.get_mut(id) {
                let before = member.is_circular();
                let change = member.mark_circular(circular.contains(&id), now_ms);
                news |= member.is_circular() != before;
                changes.extend(change.map(|change| (id, change)));
            }
        }
        if news {
            self.review();
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
    pub fn to_check(&self) -> Vec<(HostId, SocketAddr)> {
        self.in_service(Member::has_failed)
    }

    /// The hosts for a heartbeat: in service, not failed, with an address.
    pub fn to_beat(&self) -> Vec<(HostId, SocketAddr)> {
        self.in_service(|member| !member.has_failed())
    }

    /// Whether a host has failed by saying nothing: asking it again takes long.
    pub fn is_silent(&self, id: HostId) -> bool {
        self.hosts.get(id).is_some_and(Member::is_silent)
    }

    fn in_service(&self, and: impl Fn(&Member) -> bool) -> Vec<(HostId, SocketAddr)> {
        let members = self
            .hosts
            .members()
            .filter(|member| member.in_service() && !member.is_circular() && and(member));
        members
            .filter_map(|member| Some((member.id, member.address?)))
            .collect()
    }

    /// Whether there are hosts in service and all of them have failed.
    pub fn all_failed(&self) -> bool {
        let mut in_service = self
            .hosts
            .members()
            .filter(|member| member.in_service())
            .peekable();
        in_service.peek().is_some() && in_service.all(Member::has_failed)
    }

    /// Nothing is known any more of whether a host answers, as if nobody had tried
    /// it: if it had failed, it may be picked again. Whether it had.
    pub fn retry(&mut self, id: HostId, now_ms: u64) -> bool {
        let failed = |member: &&mut Member| {
            member.position.is_some() && member.has_failed() && !member.is_circular()
        };
        let Some(member) = self.hosts.get_mut(id).filter(failed) else {
            return false;
        };
        member.start_again(now_ms);
        self.review();
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
