//! Counts of what simulated connections did with their hosts, kept apart from the code under test.
//!
//! Compared with the host pool, the counters, the worker statistics and the health log.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::events::health_log::HealthLog;
use super::super::plan::Group;
use super::checks::is_place_of;
use super::transport::{AttemptEnd, Outcome, SimulatedTransport};
use crate::balance::{Health, HostId, HostPool, HostStatus, Picked};
use crate::config::Endpoint;
use crate::os::address::Address;

/// The counts of a host, which live as long as the pool knows it.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    total: u64,
    failures: u64,
    connect_ms: u64,
    bytes: [u64; 2],
}

/// A configured host before a run: its address, and whether it has failed.
pub(super) type Before = (HostId, Address, bool);

/// The counts, by the host's name.
#[derive(Debug, Default)]
pub(super) struct ExpectedCounts {
    totals: BTreeMap<String, Totals>,
    expected_log: HealthLog,
    no_descriptor: u64,
    no_port: u64,
    /// When no port was left for an address in a worker, within the last second.
    no_ports_ms: BTreeMap<Way, Vec<u64>>,
}

/// A worker, the source of a connect, and the host's address.
type Way = (usize, Option<IpAddr>, Address);

/// The most connects in a second that find no port: one tries for all.
const MOST_TRIES: usize = 11;

/// The state of a group's hosts before a run.
pub(super) fn before(group: &Group) -> Vec<Before> {
    let pool = group.pool();
    let failed = |status: &HostStatus<'_>| matches!(status.health, Health::Failed(_));
    pool.hosts()
        .filter_map(|status| Some((status.id, status.address?.clone(), failed(&status))))
        .collect()
}

impl ExpectedCounts {
    /// Counts the attempts of a run, and checks the health of the hosts and the log.
    pub(super) fn enter_outcomes(
        &mut self,
        sockets: &mut SimulatedTransport,
        hosts: &[Before],
        worker: usize,
        group: &Group,
    ) {
        let now_ms = sockets.loop_ms;
        let outcomes = std::mem::take(&mut sockets.outcomes);
        for (index, Outcome { picked, from, end }) in outcomes.iter().enumerate() {
            self.count(picked, end);
            // A client's own port needs no search.
            let searches = from.is_none_or(|from| from.address.port() == 0);
            if searches && matches!(end, AttemptEnd::NoPort) {
                let source = from.map(|from| from.address.ip());
                let tries = self
                    .no_ports_ms
                    .entry((worker, source, picked.address.clone()))
                    .or_default();
                tries.retain(|at_ms| at_ms + 1000 > now_ms);
                tries.push(now_ms);
                assert!(tries.len() <= MOST_TRIES, "searches for ports all the time");
            }
            // From another address the same host may have refused.
            let goes_on = matches!(end, AttemptEnd::NoPort)
                && outcomes[index + 1..]
                    .iter()
                    .any(|it| it.picked.id == picked.id);
            let same = |host: &&Before| is_place_of((host.0, &host.1), picked);
            if let Some((.., had_failed)) = hosts.iter().find(same).filter(|_| !goes_on) {
                self.check_health(picked, end, *had_failed, group, now_ms);
            }
        }
        assert!(
            self.expected_log.agrees_with(group.health_log()),
            "a change is not announced, or what is announced is none"
        );
        self.forget(&group.pool());
    }

    /// Counts the bytes that a run wrote to the host and to the client.
    pub(super) fn enter_bytes(&mut self, bytes: [u64; 2], host: Option<&Picked>) {
        let Some(picked) = host else {
            return assert_eq!(bytes, [0; 2], "bytes without a host");
        };
        if bytes != [0; 2] {
            let totals = self.of(picked);
            totals.bytes[0] += bytes[0];
            totals.bytes[1] += bytes[1];
        }
    }

    fn count(&mut self, picked: &Picked, end: &AttemptEnd) {
        let totals = self.of(picked);
        match end {
            AttemptEnd::Connected { took_ms } => {
                totals.total += 1;
                totals.connect_ms += took_ms;
            }
            AttemptEnd::Failed(_) | AttemptEnd::ResetByHost => totals.failures += 1,
            AttemptEnd::Abandoned | AttemptEnd::Excused { .. } => {}
            AttemptEnd::Replayed { to_host } => totals.bytes[0] += to_host,
            AttemptEnd::NoPort => self.no_port += 1,
            AttemptEnd::NoDescriptor => self.no_descriptor += 1,
        }
    }

    fn check_health(
        &mut self,
        picked: &Picked,
        end: &AttemptEnd,
        had_failed: bool,
        group: &Group,
        now_ms: u64,
    ) {
        let pool = group.pool();
        let status = pool.hosts().find(|status| status.id == picked.id);
        let status = status.expect("a host is gone");
        let health = status.health;
        let changed = match end {
            // To accept a session proves nothing where checks decide, or the agent says otherwise.
            AttemptEnd::Connected { .. }
                if pool.checks().iter().any(|check| check.decides())
                    || status.agent.is_some_and(|agent| agent.down().is_some()) =>
            {
                assert_eq!(matches!(health, Health::Failed(_)), had_failed);
                false
            }
            AttemptEnd::Connected { .. } => {
                assert_eq!(health, &Health::Healthy);
                had_failed
            }
            AttemptEnd::Failed(failure) => {
                let is_by_name = matches!(status.endpoint, Endpoint::Name { .. });
                match health {
                    // The last address of its name that failed in this run.
                    Health::Failed(_) if is_by_name => !had_failed,
                    Health::Failed(last) => {
                        assert_eq!(last, failure);
                        !had_failed
                    }
                    _ => {
                        assert!(is_by_name && !had_failed, "{picked:?} has not failed");
                        let address = status.address.map(|it| (picked.id, it));
                        let same = address.is_some_and(|it| is_place_of(it, picked));
                        assert!(!same, "tried again");
                        false
                    }
                }
            }
            _ => {
                let has_failed = matches!(health, Health::Failed(_));
                assert_eq!(has_failed, had_failed, "has failed without a reason");
                false
            }
        };
        if changed {
            self.expected_log.allow_line(picked.id, now_ms);
        }
    }

    fn of(&mut self, picked: &Picked) -> &mut Totals {
        self.totals.entry(picked.host.name.clone()).or_default()
    }

    /// Forgets removed hosts without sessions. The pool forgets them at the same time, which
    /// shows in their ids.
    pub(super) fn forget(&mut self, pool: &HostPool) {
        let configured = |name: &String| pool.hosts().any(|status| status.host.name == *name);
        let known = |name: &String| {
            let ids = (0..64).map(HostId);
            ids.filter_map(|id| pool.host_name(id))
                .any(|known| known == *name)
        };
        self.totals
            .retain(|name, _| configured(name) || known(name));
    }

    /// Checks the pool's counts; `sessions` are those counted on a host, and `busy` those of them
    /// whose host's side lives.
    pub(super) fn check(&self, pool: &HostPool, sessions: &[Picked], busy: usize) {
        assert_eq!(pool.open(), sessions.len(), "open sessions");
        assert_eq!(pool.known_busy() as usize, busy, "busy sessions");
        for picked in sessions {
            let name = pool.host_name(picked.id);
            assert_eq!(
                name.as_ref(),
                Some(&picked.host.name),
                "an id changed hands"
            );
            let open = sessions.iter().filter(|other| other.id == picked.id);
            let counted = pool.open_on(picked.id);
            assert_eq!(counted, open.count(), "open sessions on a host");
        }
        for status in pool.hosts() {
            let Totals {
                total, failures, ..
            } = self.expected(&status);
            let name = &status.host.name;
            assert_eq!(status.total, total, "sessions of {name}");
            assert_eq!(status.failures, failures, "failures of {name}");
        }
    }

    /// Checks the counters that workers write.
    pub(super) fn check_counters(&self, pool: &HostPool) {
        for status in pool.hosts() {
            let sum = status.host.counters.sum();
            let expected = self.expected(&status);
            let bytes = [sum.bytes_to_host, sum.bytes_to_client];
            assert_eq!(bytes, expected.bytes, "bytes of {}", status.host.name);
            assert_eq!(sum.connects, expected.total, "connects");
            assert_eq!(sum.connect_ms, expected.connect_ms, "time to connect");
        }
    }

    fn expected(&self, status: &HostStatus<'_>) -> Totals {
        let totals = self.totals.get(&status.host.name);
        totals.copied().unwrap_or_default()
    }

    /// Checks that shortages were counted.
    pub(super) fn check_errors(&self, no_descriptor: u64, no_port: u64) {
        assert_eq!(no_descriptor, self.no_descriptor);
        assert_eq!(no_port, self.no_port);
    }
}
