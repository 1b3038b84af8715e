//! How sessions end: what the pool counts then, and what it learns of their hosts.

use super::{HostPool, Picked};
use crate::balance::health::HealthChange;
use crate::balance::{EndedSession, HostEnd, HostId, Member};
use crate::os::address::Address;
use std::net::IpAddr;

impl HostPool {
    /// The host accepted a session and reset it before any data. It answers, so it
    /// has not failed, unless that are too many in a row. The session is no longer counted.
    pub fn refused_early(
        &mut self,
        picked: &Picked,
        client: impl Into<Option<IpAddr>>,
        now_ms: u64,
    ) -> Option<HealthChange> {
        let id = picked.id;
        if let Some(member) = self.hosts.get_mut(id) {
            member.failures += 1;
        }
        let end = HostEnd::Early {
            after_ms: 0,
            asked: false,
        };
        let change = self.count_end(id, &picked.address, end, now_ms);
        self.end_session(id, client.into(), true, now_ms);
        change
    }

    /// A session was given up without a fault of the host: its client went away, or this machine
    /// lacks resources. It is no longer counted.
    pub fn release(&mut self, id: HostId, client: impl Into<Option<IpAddr>>, now_ms: u64) {
        self.hosts.end_busy(id, true, now_ms);
        self.end_session(id, client.into(), false, now_ms);
    }

    /// Undoes a pick that was not even tried.
    pub fn withdraw(&mut self, picked: &Picked, client: impl Into<Option<IpAddr>>, now_ms: u64) {
        let client = client.into();
        self.release(picked.id, client, now_ms);
        if let (Some(clients), Some(previous), Some(client)) =
            (&mut self.clients, picked.previous, client)
        {
            clients.restore_placement(client, previous);
        }
    }

    /// Whether a client that has `tried` some hosts may have another one, `host` aside.
    pub fn has_another(&self, tried: &[HostId], host: HostId) -> bool {
        let untried = |id: &&HostId| **id != host && !tried.contains(id);
        let tried = || [tried, &[host]].concat();
        self.hosts.candidates().iter().any(|id| untried(&id))
            || self.hosts.spare_backup(&tried()).is_some()
    }

    /// What is new of a host in a session at `address`. `serves`: it had ended sessions early
    /// ([`Picked::ended_early`]), and has said the first byte of this one. `end`: its part is over,
    /// since all that it said is written to the client, or it is gone; the session is open until
    /// [`HostPool::session_ended`], but no longer keeps the host busy.
    pub fn host_reported(
        &mut self,
        id: HostId,
        address: &Address,
        (serves, end): (bool, Option<HostEnd>),
        now_ms: u64,
    ) -> [Option<HealthChange>; 2] {
        let served = serves.then(|| self.has_served(id, address, now_ms));
        let ended = end.map(|end| self.count_end(id, address, end, now_ms));
        if end.is_some() {
            self.scheduler.load_changed(&self.hosts, id);
        }
        [served.flatten(), ended.flatten()]
    }

    /// A session has ended whose host's part was over. It is no longer counted.
    pub fn session_ended(&mut self, id: HostId, client: impl Into<Option<IpAddr>>, now_ms: u64) {
        self.end_session(id, client.into(), false, now_ms);
    }

    /// How many sessions the hosts that may be picked now have above their share, and above a tenth
    /// more than it. The share is by weight, where the scheduler looks at weights.
    pub fn excess(&self) -> Vec<(HostId, usize)> {
        let weigh = |member: &Member| match self.algorithm.weighted() {
            None => u64::from(member.share()),
            Some(_) => 1,
        };
        let members = || self.hosts.candidate_members();
        let open: u64 = members().map(|member| u64::from(member.open)).sum();
        let weights: u64 = members().map(weigh).sum();
        let excess = |member: &Member| {
            let share = (open * weigh(member)).div_ceil(weights.max(1));
            let most = share.max(open * weigh(member) * 11 / (10 * weights.max(1)));
            usize::try_from(u64::from(member.open).saturating_sub(most)).unwrap_or(0)
        };
        members()
            .map(|member| (member.id, excess(member)))
            .filter(|(_, excess)| *excess > 0)
            .collect()
    }

    pub(super) fn has_served(
        &mut self,
        id: HostId,
        address: &Address,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.apply_result(id, address, now_ms, |host| host.has_served(now_ms))
    }

    /// A session no longer keeps its host busy. What that tells of the host.
    fn count_end(
        &mut self,
        id: HostId,
        address: &Address,
        end: HostEnd,
        now_ms: u64,
    ) -> Option<HealthChange> {
        let change = match end {
            // Its first byte may be long ago, so it ends no row of early ends. If there was one, it
            // was reported when it came.
            // Test: the_end_of_an_old_session_clears_nobody.
            HostEnd::Served => {
                self.served += 1;
                None
            }
            HostEnd::Early { after_ms, asked } => {
                let (served, fail_after) = (self.served, self.fail_after);
                let mut counts = false;
                let change = self.apply_result(id, address, now_ms, |host| {
                    counts = host.early_ends.count(after_ms, asked, served);
                    let fails = fail_after > 0 && host.early_ends.row() >= fail_after;
                    (counts && fails)
                        .then(|| host.ended_too_early(now_ms))
                        .flatten()
                });
                change.or_else(|| counts.then(|| self.suspect(id)).flatten())
            }
            HostEnd::Unknown => None,
        };
        self.hosts.end_busy(id, end != HostEnd::Served, now_ms);
        change
    }

    /// A host becomes suspect if it ends sessions quickly while others serve: these ended sessions
    /// that they had served, or have some that are busy.
    fn suspect(&mut self, id: HostId) -> Option<HealthChange> {
        let member = self.hosts.get(id).filter(|it| !it.has_failed())?;
        let served_before = member.early_ends.served_before()?;
        if self.served == served_before && !self.hosts.others_serve(id) {
            return None;
        }
        self.hosts.get_mut(id)?.early_ends.suspect();
        Some(HealthChange::Suspect)
    }

    pub(super) fn end_session(
        &mut self,
        host: HostId,
        client: Option<IpAddr>,
        failed: bool,
        now_ms: u64,
    ) {
        let was_full = self.is_full(host);
        let emptied = self.hosts.close_session(host, now_ms);
        // Each caller takes them at once.
        self.emptied.extend(emptied);
        let end = EndedSession {
            host,
            client,
            failed,
            now_ms,
        };
        self.scheduler.session_ended(&self.hosts, &end);
        self.scheduler.load_changed(&self.hosts, host);
        if let (Some(clients), Some(client)) = (&mut self.clients, client) {
            clients.session_ended(client, now_ms);
        }
        if was_full && !self.is_full(host) {
            self.rebuild(now_ms);
        }
    }
}
