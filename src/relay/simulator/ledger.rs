//! What the simulated circuits have seen of the hosts, in plain numbers.
//!
//! Compares it with what the tracker, the counters, the meters and the log were
//! told: a link that forgets to tell, tells twice or tells the wrong one shows.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::super::events::health_log::HealthLog;
use super::super::failure::ResourceError;
use super::super::plan::Group;
use super::super::shared::WorkerStats;
use super::sockets::Sockets;
use crate::balance::{Failure, Health, HostId, HostPool, HostStatus, Picked};
use crate::config::Endpoint;

/// How an attempt at a host ended.
#[derive(Debug)]
pub(super) enum Verdict {
    Connected {
        took_ms: u64,
    },
    Failed(Failure),
    /// The host accepted and broke off at once.
    TurnedAway,
    /// The client's patience was over before the host's time was.
    Abandoned,
    /// There was no local port.
    OutOfReach,
    /// There was no descriptor.
    Short,
}

/// What became of an attempt at a host.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) picked: Picked,
    pub(super) verdict: Verdict,
}

/// What must live on of a host as long as it is known.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    total: u64,
    failures: u64,
    connect_ms: u64,
    bytes: [u64; 2],
}

/// A configured host before a turn: where it is, and whether it has failed.
pub(super) type Before = (HostId, SocketAddr, bool);

/// The numbers, by name of host.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    totals: BTreeMap<String, Totals>,
    said: HealthLog,
    short: u64,
    out_of_reach: u64,
    /// When there was no port for an address, within a second.
    no_ports_ms: BTreeMap<SocketAddr, Vec<u64>>,
}

/// The most connects in a second that find no port: one tries for all.
const MOST_TRIES: usize = 11;

/// How its hosts are before a turn.
pub(super) fn before(group: &Group) -> Vec<Before> {
    let pool = group.pool();
    let failed = |status: &HostStatus<'_>| matches!(status.health, Health::Failed(_));
    pool.hosts()
        .filter_map(|status| Some((status.id, status.address?, failed(&status))))
        .collect()
}

impl Ledger {
    /// Enters what has become of a session's hosts in a turn, and sees whether
    /// their health and the log are what they should be then.
    pub(super) fn enter_outcomes(
        &mut self,
        sockets: &mut Sockets,
        hosts: &[Before],
        group: &Group,
    ) {
        for Outcome { picked, verdict } in sockets.outcomes.drain(..) {
            self.count(&picked, &verdict);
            if matches!(verdict, Verdict::OutOfReach) {
                let tries = self.no_ports_ms.entry(picked.address).or_default();
                tries.retain(|at_ms| at_ms + 1000 > sockets.now_ms);
                tries.push(sockets.now_ms);
                assert!(tries.len() <= MOST_TRIES, "searches for ports all the time");
            }
            let same = |host: &&Before| (host.0, host.1) == (picked.id, picked.address);
            if let Some((.., had_failed)) = hosts.iter().find(same) {
                self.check_health(&picked, &verdict, *had_failed, group, sockets.now_ms);
            }
        }
        assert!(
            self.said.agrees_with(group.health_log()),
            "a change is not announced, or what is announced is none"
        );
        self.forget(&group.pool());
    }

    /// Enters what went through to the host, and to the client, in a turn.
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

    fn count(&mut self, picked: &Picked, verdict: &Verdict) {
        let totals = self.of(picked);
        match verdict {
            Verdict::Connected { took_ms } => {
                totals.total += 1;
                totals.connect_ms += took_ms;
            }
            Verdict::Failed(_) | Verdict::TurnedAway => totals.failures += 1,
            Verdict::Abandoned => {}
            Verdict::OutOfReach => self.out_of_reach += 1,
            Verdict::Short => self.short += 1,
        }
    }

    fn check_health(
        &mut self,
        picked: &Picked,
        verdict: &Verdict,
        had_failed: bool,
        group: &Group,
        now_ms: u64,
    ) {
        let pool = group.pool();
        let status = pool.hosts().find(|status| status.id == picked.id);
        let status = status.expect("a host is gone");
        let health = status.health;
        let changed = match verdict {
            Verdict::Connected { .. } => {
                assert_eq!(health, &Health::Healthy);
                had_failed
            }
            Verdict::Failed(failure) => {
                let is_by_name = matches!(status.endpoint, Endpoint::Name { .. });
                match health {
                    // The last address of its name that failed in this turn.
                    Health::Failed(_) if is_by_name => !had_failed,
                    Health::Failed(last) => {
                        assert_eq!(last, failure);
                        !had_failed
                    }
                    _ => {
                        assert!(is_by_name && !had_failed, "{picked:?} has not failed");
                        assert_ne!(status.address, Some(picked.address), "tried again");
                        false
                    }
                }
            }
            _ => {
                let has_failed = matches!(health, Health::Failed(_));
                assert_eq!(has_failed, had_failed, "is blamed for nothing");
                false
            }
        };
        if changed {
            self.said.allow_line(picked.id, now_ms);
        }
    }

    fn of(&mut self, picked: &Picked) -> &mut Totals {
        self.totals.entry(picked.host.name.clone()).or_default()
    }

    /// A host that was removed is forgotten with its last session: that it is,
    /// and not before, shows in its id.
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

    /// That the tracker's numbers are these; `sessions` are those counted on a
    /// host.
    pub(super) fn check(&self, pool: &HostPool, sessions: &[&Picked]) {
        assert_eq!(pool.open(), sessions.len(), "open sessions");
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

    /// The same of what the workers count.
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

    /// That the trouble met was counted.
    pub(super) fn check_stats(&self, stats: &WorkerStats) {
        assert_eq!(stats.errors(ResourceError::NoDescriptors), self.short);
        assert_eq!(stats.errors(ResourceError::NoPorts), self.out_of_reach);
    }
}
