//! Examples for tests: a host, a group and a service, of which each test changes what it is about.

use super::{EndedSessions, GroupStatus, HostStatus, ServiceStatus};
use crate::balance::{Health, Totals};
use crate::config::HostState;
use crate::os::address::Address;

impl HostStatus {
    /// A host that is up, was not tried yet, and has had no session.
    pub(crate) fn example(name: &str) -> HostStatus {
        HostStatus {
            name: name.to_owned(),
            endpoint: "10.0.0.1:80".to_owned(),
            address: Some(Address::Ip(([10, 0, 0, 1], 80).into())),
            weight: 1,
            state: HostState::Up,
            backup: false,
            member_of: None,
            health: Health::Untried,
            since_wall_ms: 0,
            pending: false,
            suspect: false,
            slow_start_percent: None,
            last_failure: None,
            agent: None,
            emptied_wall_ms: None,
            open: 0,
            peak_open: 0,
            busy: 0,
            total: 0,
            recent: Vec::new(),
            known_minutes: 60,
            per_ten_seconds: 0,
            peak_per_second: 0,
            times_failed: 0,
            down_ms: 0,
            last_check: None,
            failed_checks: 0,
            check_health: None,
            failures: 0,
            totals: Totals::default(),
        }
    }
}

impl GroupStatus {
    /// A group with these hosts, and their sessions.
    pub(crate) fn example(name: &str, hosts: Vec<HostStatus>) -> GroupStatus {
        GroupStatus {
            name: name.to_owned(),
            scheduler: "leastc".to_owned(),
            missed_weights: None,
            each: Vec::new(),
            open: hosts.iter().map(|host| host.open as usize).sum(),
            hosts,
        }
    }
}

impl ServiceStatus {
    /// A service with these groups, and their sessions. The first is enabled.
    pub(crate) fn example(name: &str, groups: Vec<GroupStatus>) -> ServiceStatus {
        ServiceStatus {
            name: name.to_owned(),
            addresses: Vec::new(),
            enabled: groups.first().map_or("", |group| &group.name).to_owned(),
            routes: Vec::new(),
            drain_timeout: None,
            ended: EndedSessions::default(),
            open: groups.iter().map(|group| group.open as u64).sum(),
            total: 0,
            groups,
        }
    }
}
