//! What is known of hosts and clients, for another process that goes on with it.

use std::collections::HashMap;

use super::HostPool;
use crate::balance::HostId;
use crate::balance::agent::Agent;
use crate::balance::health::{Failure, Health};
use crate::balance::stats::Totals;
use crate::os::address::Address;

/// What is known of a host, by its name. Times are of the pool's clock, which goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostHistory {
    /// Its name.
    pub name: String,
    /// Where it is; health counts for this address alone.
    pub address: Option<Address>,
    /// What was seen of it.
    pub health: Health,
    /// Since when.
    pub since_ms: u64,
    /// Whether it waits for its first check.
    pub pending: bool,
    /// The last failure, and when.
    pub last_failure: Option<(Failure, u64)>,
    /// Sessions it has served.
    pub total: u64,
    /// Connects that failed.
    pub failures: u64,
    /// Sessions in each of the last 60 minutes, the oldest first.
    pub recent: Vec<u32>,
    /// Bytes and connects.
    pub totals: Totals,
    /// What its agent says.
    pub agent: Option<Agent>,
    /// Since when it is out of service.
    pub out_since_ms: Option<u64>,
    /// When its last session ended since then.
    pub emptied_ms: Option<u64>,
}

/// Where a client of a sticky group went. Times are of the pool's clock, which goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHistory {
    /// What identifies it.
    pub key: u128,
    /// The name of its host.
    pub host: String,
    /// When its last session ended; now for one that has a session.
    pub ended_ms: u64,
}

impl HostPool {
    /// What is known of the configured hosts.
    pub fn history(&self, now_ms: u64) -> Vec<HostHistory> {
        let members = self.hosts.members();
        members
            .map(|member| {
                let status = member.status();
                // Which hosts are listeners of the process is found out anew.
                let health = match status.health {
                    Health::Failed(Failure::Circular) => Health::Untried,
                    health => health.clone(),
                };
                HostHistory {
                    name: status.host.name.clone(),
                    address: status.address.cloned(),
                    health,
                    since_ms: status.since_ms,
                    pending: status.pending,
                    last_failure: status.last_failure.cloned(),
                    total: status.total,
                    failures: status.failures,
                    recent: status.recent.by_minute(now_ms).to_vec(),
                    totals: status.host.counters.sum(),
                    agent: status.agent.cloned(),
                    out_since_ms: member.out_since_ms,
                    emptied_ms: status.emptied_ms,
                }
            })
            .collect()
    }

    /// Goes on with what another process knew. To be called once, before the first pick: counts are
    /// added. `clients` are in the order of [`HostPool::client_history`]. Hosts that are not
    /// configured any more, and clients that went there, are left out.
    pub fn restore(&mut self, hosts: &[HostHistory], clients: &[ClientHistory], now_ms: u64) {
        let ids: HashMap<String, HostId> = self
            .hosts
            .members()
            .map(|member| (member.name().to_owned(), member.id))
            .collect();
        for history in hosts {
            let id = ids.get(&history.name).copied();
            if let Some(member) = id.and_then(|id| self.hosts.get_mut(id)) {
                member.host.counters.add_history(&history.totals);
                member.restore(history, now_ms);
            }
        }
        self.rebuild(now_ms);
        let Some(table) = &mut self.clients else {
            return;
        };
        for client in clients {
            let id = ids.get(&client.host).copied();
            if let Some(member) = id.and_then(|id| self.hosts.get(id)) {
                table.restore(client.key, member.placement, client.ended_ms.min(now_ms));
            }
        }
    }

    /// The clients that are remembered, and where they went; the one that is forgotten first comes
    /// first. Empty in a group that is not sticky.
    pub fn client_history(&self, now_ms: u64) -> Vec<ClientHistory> {
        let clients = self.clients.iter().flat_map(|it| it.history(now_ms));
        let known = clients.filter_map(|(key, placement, ended_ms)| {
            let member = self.hosts.get(placement.host)?;
            (member.placement == placement && member.position.is_some()).then(|| ClientHistory {
                key,
                host: member.name().to_owned(),
                ended_ms,
            })
        });
        let mut known: Vec<ClientHistory> = known.collect();
        known.sort_by_key(|client| client.ended_ms);
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::PoolFixture;
    use crate::balance::stats::HISTOGRAM_MS;

    /// Another pool with the same configuration, which goes on with what this one knows.
    fn continued(from: &PoolFixture, scheduler: &str, hosts: &str) -> PoolFixture {
        let mut next = PoolFixture::new(scheduler, hosts);
        let now_ms = from.now_ms;
        next.now_ms = now_ms;
        let (hosts, clients) = (from.pool.history(now_ms), from.pool.client_history(now_ms));
        next.pool.restore(&hosts, &clients, now_ms);
        next
    }

    #[test]
    fn a_failed_host_stays_failed_and_counts_go_on() {
        let mut fixture = PoolFixture::new("roundr", "a b");
        fixture.now_ms = 90_000;
        fixture.run("+ + !a");
        let counters = fixture.pool.hosts().next().unwrap().host.counters.clone();
        counters.add_bytes(0, 7, 9);
        counters.add_connect(0, HISTOGRAM_MS[0]);
        let before = fixture.pool.history(fixture.now_ms);
        let mut next = continued(&fixture, "roundr", "a b");
        assert_eq!(next.pool.history(fixture.now_ms), before);
        assert_eq!(before[0].health, Health::Failed(Failure::Refused));
        assert_eq!(next.run("+ + +"), "b b b");
    }

    #[test]
    fn a_host_at_another_address_is_untried_and_keeps_its_counts() {
        let mut fixture = PoolFixture::new("roundr", "a b");
        fixture.run("!a");
        let next = continued(&fixture, "roundr", "a=10.0.0.77:80 b");
        let host = &next.pool.history(fixture.now_ms)[0];
        assert_eq!(host.health, Health::Untried);
        let (failure, _) = host.last_failure.clone().unwrap();
        assert_eq!(failure, Failure::Refused);
    }

    #[test]
    fn clients_go_where_they_went_in_the_other_process() {
        let mut fixture = PoolFixture::new("roundr,sticky", "a b c");
        let clients = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
        let before: Vec<_> = clients.iter().map(|it| fixture.pick_from(it)).collect();
        let mut next = continued(&fixture, "roundr,sticky", "c b a");
        for (client, host) in clients.iter().zip(before).rev() {
            assert_eq!(next.pick_from(client), host, "{client}");
        }
        // In a group that is not sticky nobody is remembered.
        let plain = continued(&fixture, "roundr", "a b c");
        assert!(plain.pool.client_history(0).is_empty());
    }
}
