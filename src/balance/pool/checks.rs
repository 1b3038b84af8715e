//! The checks of a group: which hosts are checked, and what their results and agents change.

use super::{HostId, HostPool};
use crate::balance::agent::AgentReport;
use crate::balance::host::{Failure, HealthChange, Member};
use crate::config::{Check, HostState};
use std::net::SocketAddr;
use std::sync::Arc;

/// A host at one endpoint, to be checked: results for a former one are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CheckedHost {
    pub(crate) id: HostId,
    placement: u64,
}

/// What a check needs to know of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckTarget {
    /// The host's address; `None` if it is not checked now: it is down, has no address, or is a
    /// listener of this process.
    pub(crate) address: Option<SocketAddr>,
    /// Whether the host has failed.
    pub(crate) has_failed: bool,
}

impl HostPool {
    /// Takes over the checks of a configuration. How hosts stand in those that stay is kept.
    pub(super) fn configure_checks(&mut self, checks: &[Check], now_ms: u64) {
        if self.checks.is_empty() && checks.is_empty() {
            return;
        }
        let mut known: Vec<_> = self.checks.drain(..).map(Some).collect();
        let mut former = Vec::new();
        for check in checks {
            let index = known.iter().position(|it| it.as_deref() == Some(check));
            let same = index.and_then(|index| known[index].take());
            self.checks
                .push(same.unwrap_or_else(|| Arc::new(check.clone())));
            former.push((check, index));
        }
        let has_agent = checks.iter().any(|check| !check.decides());
        for index in 0..self.hosts.all().len() {
            if let Some(member) = self.hosts.get_mut(self.hosts.all()[index]) {
                member.set_checks(&former);
                if !has_agent {
                    member.forget_agent(now_ms);
                }
            }
        }
        self.hosts.rebuild_candidates();
    }

    /// The checks of the group, in the file's order.
    pub(crate) fn checks(&self) -> &[Arc<Check>] {
        &self.checks
    }

    /// The configured hosts, in the file's order.
    pub(crate) fn checked_hosts(&self) -> Vec<CheckedHost> {
        self.hosts.members().map(checked_host).collect()
    }

    /// Where to check a host; `None` if it is gone.
    pub(crate) fn check_target(&self, host: CheckedHost) -> Option<CheckTarget> {
        let member = self.hosts.get(host.id);
        let member = member.filter(|it| it.position.is_some() && checked_host(it) == host)?;
        let is_checked = member.state != HostState::Down && !member.is_circular();
        Some(CheckTarget {
            address: member.address.filter(|_| is_checked),
            has_failed: member.has_failed(),
        })
    }

    /// A check of a host at `address` had this result. Ignored if the host or the check is gone, or
    /// the host has another address by now.
    pub(crate) fn check_ended(
        &mut self,
        (host, address): (CheckedHost, SocketAddr),
        check: &Arc<Check>,
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<HealthChange> {
        let index = self.check_index((host, address), check)?;
        let member = self.hosts.get_mut(host.id)?;
        let before = member.has_passed();
        let change = member.check_ended((index, check), result, now_ms);
        if change.is_some() || member.has_passed() != before {
            self.rebuild();
        }
        change
    }

    /// The agent of a host at `address` said something. Returns what is in force now, if that
    /// changed, and the change of the host's health. Ignored as by [`HostPool::check_ended`].
    pub(crate) fn agent_said(
        &mut self,
        (host, address): (CheckedHost, SocketAddr),
        check: &Arc<Check>,
        report: &AgentReport,
        now_ms: u64,
    ) -> (Option<String>, Option<HealthChange>) {
        let known = self.check_index((host, address), check);
        let Some(member) = self.hosts.get_mut(host.id).filter(|_| known.is_some()) else {
            return (None, None);
        };
        let (changed, change) = member.agent_said(report, now_ms);
        let in_force = member.agent().filter(|_| changed).map(ToString::to_string);
        if changed {
            self.rebuild();
        }
        (in_force, change)
    }

    /// The index of a check whose result counts.
    fn check_index(
        &self,
        (host, address): (CheckedHost, SocketAddr),
        check: &Arc<Check>,
    ) -> Option<usize> {
        let target = self.check_target(host)?;
        let mut checks = self.checks.iter();
        let index = checks.position(|it| Arc::ptr_eq(it, check));
        index.filter(|_| target.address == Some(address))
    }

    /// Whether a host has as many sessions as its agent allows.
    pub(super) fn is_full(&self, id: HostId) -> bool {
        let member = self.hosts.get(id);
        member.is_some_and(|member| member.agent().is_some_and(|it| it.is_full(member.open)))
    }
}

fn checked_host(member: &Member) -> CheckedHost {
    CheckedHost {
        id: member.id,
        placement: member.placement.number,
    }
}
