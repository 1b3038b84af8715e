//! Snapshot of a host for status and pages.

use super::HostId;
use super::agent::Agent;
use super::check_result::{CheckHealth, CheckResult};
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
    /// How often it has failed.
    pub times_failed: u32,
    /// For how long it had failed before `since_ms`, in milliseconds.
    pub past_down_ms: u64,
    /// How its last probe or check ended; `None` before the first, and after a reset.
    pub last_check: Option<&'a CheckResult>,
    /// Probes and checks that failed while it had not failed.
    pub failed_checks: u64,
    /// How it stands in the check that is nearest to a failure; `None` without checks.
    pub check_health: Option<CheckHealth>,
    /// Open sessions, those still connecting included.
    pub open: u32,
    /// The most sessions that were open at the same time.
    pub peak_open: u32,
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
    /// For how long it has failed so far, in milliseconds.
    pub fn down_ms(&self, now_ms: u64) -> u64 {
        let failed_ms = self.health.failed_ms(self.since_ms, now_ms);
        self.past_down_ms.saturating_add(failed_ms)
    }

    /// Whether it could serve a session for what is seen of it: it has an address, has not
    /// failed, waits for no check, and its agent does not object.
    pub(crate) fn may_serve(&self) -> bool {
        let is_out = self.pending || matches!(self.health, Health::Failed(_));
        self.address.is_some() && !is_out && self.agent.is_none_or(Agent::takes_sessions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::PoolFixture;
    use crate::config::CheckKind;

    #[test]
    fn how_often_and_how_long_a_host_has_failed_is_counted() {
        let mut fixture = PoolFixture::new("leastc", "a b");
        let seen = |fixture: &PoolFixture, now_ms| {
            let host = fixture.pool.hosts().next().unwrap();
            (host.times_failed, host.down_ms(now_ms))
        };
        assert_eq!(seen(&fixture, 100), (0, 0));
        fixture.now_ms = 100;
        fixture.fail("a");
        // Another failure of one that has failed is the same one.
        fixture.now_ms = 150;
        fixture.fail("a");
        assert_eq!(seen(&fixture, 160), (1, 60));
        fixture.now_ms = 200;
        fixture.recover("a");
        assert_eq!(seen(&fixture, 500), (1, 100));
        fixture.now_ms = 600;
        fixture.fail("a");
        assert_eq!(seen(&fixture, 605), (2, 105));
        // An operator wants it to be tried.
        let id = fixture.id("a");
        fixture.pool.reset_health(id, 610);
        assert_eq!(seen(&fixture, 900), (2, 110));
    }

    #[test]
    fn the_most_open_sessions_and_the_last_check_are_kept() {
        let mut fixture = PoolFixture::new("leastc", "a");
        let id = fixture.id("a");
        let picked: Vec<_> = (0..3).filter_map(|_| fixture.pick(&[])).collect();
        assert_eq!(picked.len(), 3);
        fixture.release(id);
        let passed = CheckResult::new(CheckKind::Tcp, 7, None);
        fixture.pool.record_check(id, passed.clone());
        let host = fixture.pool.hosts().next().unwrap();
        assert_eq!((host.open, host.peak_open), (2, 3));
        assert_eq!((host.last_check, host.failed_checks), (Some(&passed), 0));
    }

    #[test]
    fn failed_checks_count_while_the_host_has_not_failed() {
        let mut fixture = PoolFixture::new("leastc", "a");
        let id = fixture.id("a");
        let failed = CheckResult::new(CheckKind::Http, u64::MAX, Some(Failure::Refused));
        fixture.pool.record_check(id, failed.clone());
        fixture.fail("a");
        fixture.pool.record_check(id, failed.clone());
        let host = fixture.pool.hosts().next().unwrap();
        assert_eq!((host.last_check, host.failed_checks), (Some(&failed), 1));
        // What an operator resets has had no check.
        fixture.pool.reset_health(id, 1);
        let host = fixture.pool.hosts().next().unwrap();
        assert_eq!((host.last_check, host.failed_checks), (None, 1));
    }
}
