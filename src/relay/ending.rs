//! How a worker finds sessions that are to be ended, and ends them: some in each iteration, so that
//! no other session waits. Which, and how many in a second, is decided in `end_rate` and by the
//! controller.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::connection::Connection;
use super::failure::EndReason;
use super::plan::Group;
use super::slab::Slab;
use super::transport::Transport;
use crate::balance::HostId;
use crate::config::Network;

/// Slots looked at in one iteration.
const SLOTS_PER_ITERATION: u32 = 128;

/// Requests that wait in a worker. It drops any further one.
const MAX_REQUESTS: usize = 64;

/// Why a session is to be ended, and what must still be so when it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndCause {
    /// Its host has failed.
    HostFailed,
    /// Its host is drained, down or removed.
    HostOut,
    /// Its group is disabled or removed.
    GroupOut,
    /// An operator chose it.
    Chosen,
    /// Its host has too many sessions.
    Rebalance,
}

impl EndCause {
    fn reason(self) -> EndReason {
        match self {
            EndCause::HostFailed => EndReason::HostFailed,
            EndCause::HostOut | EndCause::GroupOut => EndReason::Drained,
            EndCause::Chosen => EndReason::Killed,
            EndCause::Rebalance => EndReason::Rebalanced,
        }
    }
}

/// Hosts whose sessions are meant, each with the cause to end them.
#[derive(Debug, Default)]
pub(crate) struct HostCauses(HashMap<HostOfGroup, (Arc<Group>, EndCause)>);

impl HostCauses {
    pub(crate) fn insert(&mut self, group: &Arc<Group>, host: HostId, cause: EndCause) {
        self.0
            .insert((address_of(group), host), (Arc::clone(group), cause));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn cause(&self, host: HostOfGroup) -> Option<EndCause> {
        self.0.get(&host).map(|(_, cause)| *cause)
    }
}

/// A group, by its place in memory, and a host in it.
pub(crate) type HostOfGroup = (usize, HostId);

/// The place of a group in memory, which no other group has while it is held.
pub(crate) fn address_of(group: &Arc<Group>) -> usize {
    Arc::as_ptr(group) as usize
}

/// Which sessions are meant. What is not given matches all.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionFilter {
    pub(crate) id: Option<u64>,
    pub(crate) service: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) client: Option<Network>,
    /// Silent for so long, at least.
    pub(crate) idle_ms: u64,
    /// On one of these hosts.
    pub(crate) hosts: Option<Arc<HostCauses>>,
}

impl SessionFilter {
    /// The sessions on these hosts.
    pub(crate) fn on_hosts(hosts: HostCauses) -> SessionFilter {
        SessionFilter {
            hosts: Some(Arc::new(hosts)),
            ..SessionFilter::default()
        }
    }

    /// Whether it matches all sessions.
    pub(super) fn matches_all(&self) -> bool {
        let SessionFilter {
            id,
            service,
            group,
            client,
            idle_ms,
            hosts,
        } = self;
        let has_names = service.is_some() || group.is_some() || hosts.is_some();
        id.is_none() && !has_names && client.is_none() && *idle_ms == 0
    }

    /// Whether a session is listed.
    pub(super) fn lists<T: Transport>(&self, connection: &Connection<T>, now_ms: u64) -> bool {
        let is_on = |hosts: &Arc<HostCauses>| {
            host_of(connection).is_some_and(|host| hosts.cause(host).is_some())
        };
        self.matches(connection, now_ms) && self.hosts.as_ref().is_none_or(is_on)
    }

    /// Why a session is to end; `None` if it is not meant.
    fn cause<T: Transport>(&self, connection: &Connection<T>, now_ms: u64) -> Option<EndCause> {
        let is_meant = !connection.closed && self.matches(connection, now_ms);
        match &self.hosts {
            Some(hosts) if is_meant => {
                let cause = hosts.cause(host_of(connection)?);
                cause.filter(|it| *it != EndCause::HostFailed || still_ends(connection, *it))
            }
            _ => is_meant.then_some(EndCause::Chosen),
        }
    }

    /// Whether it is meant, whatever its host.
    fn matches<T: Transport>(&self, connection: &Connection<T>, now_ms: u64) -> bool {
        let service = &connection.admission.service.name;
        self.id.is_none_or(|id| id == connection.id)
            && self.service.as_ref().is_none_or(|name| name == service)
            && (self.group.as_ref()).is_none_or(|name| *name == connection.group.name)
            && (self.client).is_none_or(|network| {
                let ip = connection.client_address.ip();
                ip.is_some_and(|ip| network.contains(ip))
            })
            && connection.session.idle_ms(now_ms) >= self.idle_ms
    }
}

fn host_of<T: Transport>(connection: &Connection<T>) -> Option<HostOfGroup> {
    let picked = connection.picked.as_ref()?;
    Some((address_of(&connection.group), picked.id))
}

/// A session that may be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundSession {
    pub(crate) id: u64,
    slot: u32,
    /// Milliseconds since its last byte.
    pub(crate) idle_ms: u64,
    pub(crate) cause: EndCause,
    pub(crate) host: Option<HostOfGroup>,
}

impl FoundSession {
    /// The number of its worker.
    pub(crate) fn worker(&self) -> usize {
        usize::try_from(self.id >> 48).unwrap_or(usize::MAX)
    }
}

/// A request to a worker about sessions that are to end.
#[derive(Debug, Clone)]
pub(crate) enum EndRequest {
    /// Find those that have been silent longest, `most` of them. All dropped: that is all.
    Find {
        filter: SessionFilter,
        most: usize,
        found: Sender<Vec<FoundSession>>,
    },
    /// End these, unless their hosts serve again.
    End(Vec<FoundSession>),
    /// End all that are meant, and tell how many.
    EndAll {
        filter: SessionFilter,
        ended: Sender<usize>,
    },
}

/// The requests that a worker is serving, the oldest first.
#[derive(Debug, Default)]
pub(super) struct EndRequests {
    unfinished: VecDeque<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    request: EndRequest,
    next: usize,
    found: Vec<FoundSession>,
    ended: usize,
}

impl EndRequests {
    pub(super) fn begin(&mut self, request: EndRequest) {
        if self.unfinished.len() < MAX_REQUESTS {
            self.unfinished.push_back(Unfinished {
                request,
                next: 0,
                found: Vec::new(),
                ended: 0,
            });
        }
    }

    /// Whether no request is being served.
    pub(super) fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Goes on with the oldest request. Returns the slots of sessions that end now, and why.
    pub(super) fn next_ends<T: Transport>(
        &mut self,
        connections: &mut Slab<Connection<T>>,
        now_ms: u64,
    ) -> Vec<(u32, EndReason)> {
        let Some(mut unfinished) = self.unfinished.pop_front() else {
            return Vec::new();
        };
        let (ends, is_finished) = unfinished.go_on(connections, now_ms);
        if !is_finished {
            self.unfinished.push_front(unfinished);
        }
        ends
    }
}

impl Unfinished {
    /// Looks at some sessions. Returns those that end now, and whether the request is served.
    fn go_on<T: Transport>(
        &mut self,
        connections: &mut Slab<Connection<T>>,
        now_ms: u64,
    ) -> (Vec<(u32, EndReason)>, bool) {
        let slots = connections.slots() as usize;
        let length = match &self.request {
            EndRequest::End(sessions) => sessions.len(),
            _ => slots,
        };
        let range = self.next..length.min(self.next + SLOTS_PER_ITERATION as usize);
        self.next = range.end;
        let mut ends = Vec::new();
        for index in range {
            match &self.request {
                EndRequest::End(sessions) => {
                    let wanted = &sessions[index];
                    let connection = connections.get_mut(wanted.slot);
                    let connection = connection.filter(|it| it.id == wanted.id && !it.closed);
                    if connection.is_some_and(|it| still_ends(it, wanted.cause)) {
                        ends.push((wanted.slot, wanted.cause.reason()));
                    }
                }
                EndRequest::EndAll { filter, .. } => {
                    let slot = u32::try_from(index).unwrap_or(u32::MAX);
                    let connection = connections.get_mut(slot);
                    let cause = connection.and_then(|it| filter.cause(it, now_ms));
                    ends.extend(cause.map(|cause| (slot, cause.reason())));
                }
                EndRequest::Find { filter, most, .. } => {
                    let slot = u32::try_from(index).unwrap_or(u32::MAX);
                    let Some(connection) = connections.get_mut(slot) else {
                        continue;
                    };
                    let cause = filter.cause(connection, now_ms);
                    self.found.extend(cause.map(|cause| FoundSession {
                        id: connection.id,
                        slot,
                        idle_ms: connection.session.idle_ms(now_ms),
                        cause,
                        host: host_of(connection),
                    }));
                    // Twice as many before they are sorted: each is moved a few times only.
                    if self.found.len() > 2 * most.saturating_add(SLOTS_PER_ITERATION as usize) {
                        keep_longest_silent(&mut self.found, *most);
                    }
                }
            }
        }
        self.ended += ends.len();
        let is_finished = self.next >= length;
        if is_finished {
            self.answer();
        }
        (ends, is_finished)
    }

    /// The receiver may be gone.
    fn answer(&mut self) {
        match &self.request {
            EndRequest::Find { most, found, .. } => {
                keep_longest_silent(&mut self.found, *most);
                let _ = found.send(std::mem::take(&mut self.found));
            }
            EndRequest::EndAll { ended, .. } => drop(ended.send(self.ended)),
            EndRequest::End(_) => {}
        }
    }
}

/// Leaves the sessions that have been silent longest, the longest first.
pub(crate) fn keep_longest_silent(found: &mut Vec<FoundSession>, most: usize) {
    found.sort_by_key(|it| (std::cmp::Reverse(it.idle_ms), it.id));
    found.truncate(most);
}

/// Whether the cause still holds: a failed host may be back meanwhile, a drained one up.
// Test: every_run_keeps_its_promises.
pub(super) fn still_ends<T: Transport>(connection: &Connection<T>, cause: EndCause) -> bool {
    let pool = || connection.group.pool();
    match (cause, &connection.picked) {
        // A session that came after that found the host good enough: while all have failed, they are
        // tried (`failOpen`). One of the same millisecond may have come before, and is ended.
        // Tests: sessions_that_come_while_all_have_failed_stay,
        // sessions_of_a_host_that_fails_are_ended_where_the_group_says_so.
        (EndCause::HostFailed, Some(picked)) => {
            let failed_since_ms = pool().failed_since_ms(picked.id);
            let connected_ms = connection.session.connected_ms();
            failed_since_ms
                .is_some_and(|since_ms| connected_ms.is_some_and(|at_ms| at_ms <= since_ms))
        }
        (EndCause::HostOut, Some(picked)) => !pool().is_wanted(picked.id),
        (EndCause::HostFailed | EndCause::HostOut, None) => false,
        (EndCause::GroupOut | EndCause::Chosen | EndCause::Rebalance, _) => true,
    }
}
