//! Ends sessions at a rate: those of hosts that failed or are out of service, those that an operator
//! chose, and those of hosts that have too many. And tells who waits for a host to be empty.
//!
//! The controller's thread does it between requests, and only while there is something to end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use super::data_plane::DataPlane;
use super::handle::Response;
use crate::balance::HostId;
use crate::config::{Service, WhenFailed};
use crate::log_targets;
use crate::relay::{
    EndCause, EndRate, FoundSession, Group, HostCauses, INTERVAL_MS, SessionFilter, address_of,
    keep_longest_silent,
};
use crate::text::plural;

/// How often searches and waiters are looked at.
const LOOK_MS: u64 = 50;

/// Requests that wait until a host is empty, at most. Each keeps a thread of an interface.
const MAX_WAITERS: usize = 8;

/// Verbs that end sessions gradually at the same time, at most.
const MAX_CAMPAIGNS: usize = 16;

/// What is to be ended, and who waits.
#[derive(Default)]
pub(super) struct Ending {
    /// The configuration that it follows.
    generation: u64,
    services: BTreeMap<String, ServiceEnding>,
    campaigns: Vec<Campaign>,
    waiters: Vec<Waiter>,
    is_stopping: bool,
    next_ms: Option<u64>,
}

/// What a service says about sessions of hosts that failed or are out of service.
struct ServiceEnding {
    drain_ms: Option<u64>,
    rate: EndRate,
    groups: Vec<EndingGroup>,
    search: Search,
}

struct EndingGroup {
    group: Arc<Group>,
    when_failed: WhenFailed,
    /// Since when it is disabled, or removed.
    out_since_ms: Option<u64>,
    is_removed: bool,
}

/// A verb that ends sessions gradually.
struct Campaign {
    rate: EndRate,
    kind: CampaignKind,
}

enum CampaignKind {
    /// These sessions, the next one last.
    Chosen(Vec<FoundSession>),
    /// Sessions of hosts that have too many; so many more at most.
    Rebalance {
        group: Arc<Group>,
        left: usize,
        ended: usize,
        search: Search,
    },
}

/// A request that is answered once its hosts are empty; without hosts, when its time is over.
pub(super) struct Waiter {
    pub(super) hosts: Vec<(Arc<Group>, HostId, String)>,
    /// Waits for the processes that an upgrade has replaced, too: where their sessions go is not known.
    pub(super) replaced: bool,
    pub(super) until_ms: u64,
    /// The answer then.
    pub(super) done: &'static str,
    pub(super) response: SyncSender<Response>,
}

/// A search for sessions in all workers.
#[derive(Default)]
struct Search {
    parts: Option<Receiver<Vec<FoundSession>>>,
    found: Vec<FoundSession>,
}

impl Search {
    fn is_under_way(&self) -> bool {
        self.parts.is_some()
    }

    /// What was found, once all workers have answered.
    fn finished(&mut self) -> Option<Vec<FoundSession>> {
        let parts = self.parts.as_ref()?;
        loop {
            match parts.try_recv() {
                Ok(part) => self.found.extend(part),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        self.parts = None;
        Some(std::mem::take(&mut self.found))
    }
}

impl Ending {
    /// How long the controller may sleep; `None` while nothing is to be ended.
    pub(super) fn poll_timeout(&self, now_ms: u64) -> Option<Duration> {
        let next_ms = self.next_ms?;
        Some(Duration::from_millis(next_ms.saturating_sub(now_ms)))
    }

    /// Does what is due. Cheap where nothing is.
    pub(super) fn run(&mut self, data_plane: &DataPlane) {
        let now_ms = data_plane.now_ms();
        if self.generation != data_plane.generation() {
            self.generation = data_plane.generation();
            self.follow_configuration(data_plane, now_ms);
        } else if self.next_ms.is_none_or(|next_ms| now_ms < next_ms) {
            return;
        }
        let mut is_searching = false;
        for service in self.services.values_mut() {
            service.run(data_plane, now_ms);
            is_searching |= service.search.is_under_way();
        }
        self.campaigns
            .retain_mut(|campaign| campaign.run(data_plane, now_ms));
        self.answer_waiters(data_plane, now_ms);
        is_searching |= self.campaigns.iter().any(Campaign::is_searching);
        let is_idle = self.services.is_empty() && self.campaigns.is_empty();
        self.next_ms = match is_searching || !self.waiters.is_empty() {
            true => Some(now_ms + LOOK_MS),
            false if is_idle => None,
            false => Some(now_ms + INTERVAL_MS),
        };
    }

    /// Looks again at once.
    fn wake(&mut self) {
        self.next_ms = Some(0);
    }

    fn follow_configuration(&mut self, data_plane: &DataPlane, now_ms: u64) {
        let mut former = std::mem::take(&mut self.services);
        for service in &data_plane.config().services {
            let before = former.remove(&service.name);
            let next = ServiceEnding::new(service, before, data_plane, now_ms);
            if let Some(next) = next {
                self.services.insert(service.name.clone(), next);
            }
        }
        // Sessions of a removed service stay for as long as it said.
        for (name, mut service) in former {
            service.remove_groups(|_| true, now_ms);
            if service.has_sessions() {
                self.services.insert(name, service);
            }
        }
    }

    /// Ends these sessions, `rate` a second, the longest silent first.
    pub(super) fn end_gradually(
        &mut self,
        mut sessions: Vec<FoundSession>,
        rate: u32,
    ) -> Result<(), String> {
        keep_longest_silent(&mut sessions, usize::MAX);
        sessions.reverse();
        self.add_campaign(rate, CampaignKind::Chosen(sessions))
    }

    /// Ends sessions of hosts of `group` that have more than their share. Returns how many at most,
    /// and the names of these hosts.
    pub(super) fn rebalance(
        &mut self,
        group: &Arc<Group>,
        rate: u32,
    ) -> Result<(usize, Vec<String>), String> {
        let excess = group.pool().excess();
        let left = excess.iter().map(|(_, count)| count).sum();
        let names = excess
            .iter()
            .filter_map(|(id, _)| group.pool().host_name(*id));
        let names = names.collect();
        // A second one begins anew.
        self.campaigns
            .retain(|campaign| !campaign.rebalances(group));
        if left > 0 {
            let kind = CampaignKind::Rebalance {
                group: Arc::clone(group),
                left,
                ended: 0,
                search: Search::default(),
            };
            self.add_campaign(rate, kind)?;
        }
        Ok((left, names))
    }

    fn add_campaign(&mut self, rate: u32, kind: CampaignKind) -> Result<(), String> {
        if self.campaigns.len() >= MAX_CAMPAIGNS {
            return Err(format!(
                "{MAX_CAMPAIGNS} verbs are ending sessions gradually: wait until one is done"
            ));
        }
        let rate = EndRate::new(rate);
        self.campaigns.push(Campaign { rate, kind });
        self.wake();
        Ok(())
    }

    /// Whether one more request may wait.
    pub(super) fn may_wait(&self) -> Result<(), String> {
        match self.waiters.len() < MAX_WAITERS {
            true => Ok(()),
            false => Err(format!(
                "{MAX_WAITERS} requests are waiting already, for hosts to be empty or for a time"
            )),
        }
    }

    pub(super) fn wait(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
        self.wake();
    }

    /// Forgets what verbs have begun: txlb stops.
    pub(super) fn stop(&mut self) {
        self.campaigns.clear();
        self.is_stopping = true;
        self.wake();
    }

    fn answer_waiters(&mut self, data_plane: &DataPlane, now_ms: u64) {
        let is_stopping = self.is_stopping;
        self.waiters.retain(|waiter| {
            let open = |(group, id, name): &(Arc<Group>, HostId, String)| {
                let open = group.pool().open_on(*id);
                (open > 0).then(|| format!("{} on host {name}", plural(open, "session")))
            };
            let mut left: Vec<String> = waiter.hosts.iter().filter_map(open).collect();
            left.extend(
                waiter
                    .replaced
                    .then(|| data_plane.predecessors.open_sessions())
                    .flatten(),
            );
            // A removed host is not wanted either.
            let mut hosts = waiter.hosts.iter();
            let back = hosts.find(|(group, id, _)| group.pool().is_wanted(*id));
            let is_empty = left.is_empty() && (waiter.replaced || !waiter.hosts.is_empty());
            let is_over = is_empty || now_ms >= waiter.until_ms || is_stopping;
            let outcome = match back {
                Some((_, _, name)) => Err(format!("host {name} is up again: it is not drained")),
                None if !is_over => return true,
                None if left.is_empty() => Ok(waiter.done.to_owned()),
                None => {
                    let left = left.join(", ");
                    Err(match is_stopping {
                        true => format!("txlb is stopping; still open: {left}"),
                        false => format!("still open: {left}; the drain goes on"),
                    })
                }
            };
            // The client may have gone.
            let answer = Response::new(outcome, data_plane.generation());
            let _ = waiter.response.send(answer.with_message());
            false
        });
    }
}

impl ServiceEnding {
    /// What a service of the configuration wants, `before` it changed and now; `None` if nothing.
    fn new(
        service: &Service,
        before: Option<ServiceEnding>,
        data_plane: &DataPlane,
        now_ms: u64,
    ) -> Option<ServiceEnding> {
        let ends_failed = |it: &crate::config::Group| it.when_failed == WhenFailed::End;
        let drain = service.drain_timeout;
        if drain.is_none() && !service.groups.iter().any(ends_failed) {
            return None;
        }
        let drain_ms = drain.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        let mut next = before.unwrap_or_else(|| ServiceEnding {
            drain_ms,
            rate: EndRate::new(service.end_rate),
            groups: Vec::new(),
            search: Search::default(),
        });
        next.drain_ms = drain_ms;
        next.rate.rate = service.end_rate;
        let serving = service.serving_groups();
        let mut known: HashMap<usize, EndingGroup> = HashMap::new();
        for group in &service.groups {
            let Some(running) = data_plane.group(&service.name, &group.name) else {
                continue;
            };
            let place = address_of(running);
            let former = next.groups.iter().find(|it| address_of(&it.group) == place);
            let since_ms = former.and_then(|it| it.out_since_ms).unwrap_or(now_ms);
            let ending = EndingGroup {
                group: Arc::clone(running),
                when_failed: group.when_failed,
                out_since_ms: (!serving.contains(group.name.as_str())).then_some(since_ms),
                is_removed: false,
            };
            known.insert(place, ending);
        }
        next.remove_groups(|place| !known.contains_key(&place), now_ms);
        next.groups.retain(|it| it.is_removed);
        next.groups.extend(known.into_values());
        Some(next)
    }

    /// Sessions of removed groups stay for as long as those of disabled ones.
    fn remove_groups(&mut self, is_gone: impl Fn(usize) -> bool, now_ms: u64) {
        for group in &mut self.groups {
            if is_gone(address_of(&group.group)) {
                group.out_since_ms.get_or_insert(now_ms);
                group.is_removed = true;
            }
        }
    }

    fn has_sessions(&self) -> bool {
        self.groups.iter().any(|it| it.group.pool().open() > 0)
    }

    /// The hosts whose sessions are to end now.
    fn causes(&self, now_ms: u64) -> HostCauses {
        let mut causes = HostCauses::default();
        let is_over = |since_ms: Option<u64>| {
            let until_ms = since_ms
                .zip(self.drain_ms)
                .map(|(at, ms)| at.saturating_add(ms));
            until_ms.is_some_and(|until_ms| now_ms >= until_ms)
        };
        for EndingGroup {
            group,
            when_failed,
            out_since_ms,
            ..
        } in &self.groups
        {
            for host in group.pool().open_hosts() {
                let cause = match () {
                    () if is_over(host.out_since_ms) => EndCause::HostOut,
                    () if is_over(*out_since_ms) => EndCause::GroupOut,
                    () if host.has_failed && *when_failed == WhenFailed::End => {
                        EndCause::HostFailed
                    }
                    () => continue,
                };
                causes.insert(group, host.id, cause);
            }
        }
        causes
    }

    fn run(&mut self, data_plane: &DataPlane, now_ms: u64) {
        self.groups
            .retain(|it| !it.is_removed || it.group.pool().open() > 0);
        let causes = self.causes(now_ms);
        if let Some(mut found) = self.search.finished() {
            // A host may be up again meanwhile.
            found.retain(|it| it.host.and_then(|host| causes.cause(host)) == Some(it.cause));
            keep_longest_silent(&mut found, self.rate.allowed(now_ms));
            self.rate.count(found.len(), now_ms);
            data_plane.end_sessions(&found);
        }
        let most = self.rate.allowed(now_ms);
        if !causes.is_empty() && most > 0 && !self.search.is_under_way() {
            let filter = SessionFilter::on_hosts(causes);
            self.search.parts = Some(data_plane.find_sessions(&filter, most));
        }
    }
}

impl Campaign {
    fn is_searching(&self) -> bool {
        matches!(&self.kind, CampaignKind::Rebalance { search, .. } if search.is_under_way())
    }

    fn rebalances(&self, other: &Arc<Group>) -> bool {
        matches!(&self.kind, CampaignKind::Rebalance { group, .. } if Arc::ptr_eq(group, other))
    }

    /// Ends some sessions. Returns whether any are left.
    fn run(&mut self, data_plane: &DataPlane, now_ms: u64) -> bool {
        let allowed = self.rate.allowed(now_ms);
        let (ends, goes_on) = match &mut self.kind {
            CampaignKind::Chosen(sessions) => {
                let first = sessions.len().saturating_sub(allowed);
                (sessions.split_off(first), !sessions.is_empty())
            }
            CampaignKind::Rebalance {
                group,
                left,
                ended,
                search,
            } => {
                let mut excess: HashMap<HostId, usize> =
                    group.pool().excess().into_iter().collect();
                let mut ends = Vec::new();
                if let Some(mut found) = search.finished() {
                    keep_longest_silent(&mut found, usize::MAX);
                    for session in found {
                        let host = session.host.and_then(|(_, id)| excess.get_mut(&id));
                        if let Some(more) = host.filter(|more| **more > 0)
                            && ends.len() < allowed.min(*left)
                        {
                            *more -= 1;
                            ends.push(session);
                        }
                    }
                    *left -= ends.len();
                    *ended += ends.len();
                }
                let has_more = *left > 0 && excess.values().any(|more| *more > 0);
                if has_more && ends.is_empty() && allowed > 0 && !search.is_under_way() {
                    let mut causes = HostCauses::default();
                    for id in excess.keys() {
                        causes.insert(group, *id, EndCause::Rebalance);
                    }
                    // Some of a host with many may be silent for longer than all of another.
                    let most = allowed.saturating_mul(excess.len().min(64));
                    let filter = SessionFilter::on_hosts(causes);
                    search.parts = Some(data_plane.find_sessions(&filter, most));
                }
                if !has_more {
                    log::info!(
                        target: log_targets::CONTROL,
                        "rebalance of {}:{} is done: {} ended",
                        group.service.escape_debug(),
                        group.name.escape_debug(),
                        plural(*ended, "session")
                    );
                }
                (ends, has_more)
            }
        };
        self.rate.count(ends.len(), now_ms);
        data_plane.end_sessions(&ends);
        goes_on
    }
}
