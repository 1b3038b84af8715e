//! Snapshot of a host for status and pages.

use super::HostId;
use super::agent::Agent;
use super::health::{Failure, Health};
use super::host::Host;
use super::slow_start::SlowStart;
use super::stats::RecentSessions;
use crate::config::{Endpoint, HostState};
use crate::os::address::Address;
use std::sync::Arc;

/// A snapshot of a host for status and pages.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostStatus<'a> {
    /// Its id.
    pub id: HostId,
    /// Its name and counters.
    pub host: &'a Arc<Host>,
    /// Its endpoint, as configured.
    pub endpoint: &'a Endpoint,
    /// Its address; `None` while its name has never been resolved.
    pub address: Option<&'a Address>,
    /// Its weight.
    pub weight: u32,
    /// What the operator wants of it.
    pub state: HostState,
    /// Whether it gets sessions only while no other host can.
    pub backup: bool,
    /// Whether it gets none before it has passed a check.
    pub pending: bool,
    /// Whether it ends sessions quickly, before its first byte, while others serve.
    pub suspect: bool,
    /// Its slow start, if that is not over.
    pub slow_start: Option<SlowStart>,
    /// What was seen of it.
    pub health: &'a Health,
    /// When its health changed last, in milliseconds of the clock that `now_ms` is from.
    pub since_ms: u64,
    /// Open sessions, those still connecting included.
    pub open: u32,
    /// Those of them that count for schedulers: the host's side lives.
    pub busy: u32,
    /// Sessions that were connected, the open ones included.
    pub total: u64,
    /// The connected sessions of the last hour, by minute.
    pub recent: &'a RecentSessions,
    /// Sessions that it failed.
    pub failures: u64,
    /// Why and when it failed last, whatever its health is now; the time as `since_ms`.
    pub last_failure: Option<&'a (Failure, u64)>,
    /// What its agent says; `None` if it has none, or that has said nothing.
    pub agent: Option<&'a Agent>,
    /// When its last session ended since it was drained or set down; the time as `since_ms`.
    pub emptied_ms: Option<u64>,
}

impl HostStatus<'_> {
    /// Whether it could serve a session for what is seen of it: it has an address, has not
    /// failed, waits for no check, and its agent does not object.
    pub(crate) fn may_serve(&self) -> bool {
        let is_out = self.pending || matches!(self.health, Health::Failed(_));
        self.address.is_some() && !is_out && self.agent.is_none_or(Agent::takes_sessions)
    }
}
