//! What is known of groups and hosts, in HAProxy's words: for the metrics and the
//! CSV, whose readers know those.
//!
//! Says nothing of how they are written down.

#[cfg(test)]
pub(super) mod scene;

use std::collections::HashSet;

use crate::balance::Health;
use crate::config::HostState;
use crate::control::{Backend, GroupStatus, HostStatus, ServiceStatus, Status};

/// How a server is.
///
/// What the operator wants comes first, as nobody need be woken for a host that was
/// taken out of service: HAProxy calls one that drains and fails DOWN. And it says
/// UP of a weight of 0, and NOLB of a server that asks for no more sessions itself;
/// either gets none, and here that is NOLB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// Failed, and in service: it gets sessions only where all the others have
    /// failed too.
    Down,
    /// Gets sessions: healthy, or not tried yet.
    Up,
    /// Switched off.
    Maint,
    /// Gets no new sessions until it is put back.
    Drain,
    /// In service and not failed, but with a weight of 0.
    Nolb,
}

impl Server {
    /// All of them, in the order of HAProxy's exporter.
    pub(super) const ALL: [Server; 5] = [
        Server::Down,
        Server::Up,
        Server::Maint,
        Server::Drain,
        Server::Nolb,
    ];

    pub(super) fn of(host: &HostStatus) -> Server {
        match (host.state, &host.health) {
            (HostState::Down, _) => Server::Maint,
            (HostState::Drain, _) => Server::Drain,
            (HostState::Up, Health::Failed(_)) => Server::Down,
            (HostState::Up, _) if host.weight == 0 => Server::Nolb,
            (HostState::Up, _) => Server::Up,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Server::Down => "DOWN",
            Server::Up => "UP",
            Server::Maint => "MAINT",
            Server::Drain => "DRAIN",
            Server::Nolb => "NOLB",
        }
    }
}

/// A group, and what programs know it by.
pub(super) struct Proxy<'a> {
    pub(super) name: String,
    pub(super) service: &'a ServiceStatus,
    pub(super) group: &'a GroupStatus,
}

impl Proxy<'_> {
    /// The hosts that get sessions.
    pub(super) fn active(&self) -> impl Iterator<Item = &HostStatus> {
        let hosts = self.group.hosts.iter();
        hosts.filter(|host| Server::of(host) == Server::Up)
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.service.enabled == self.group.name
    }
}

/// All groups, in the file's order, each with a name of its own.
///
/// Group `b:c` of service `a` and group `c` of service `a:b` are both `a:b:c`, and two
/// series of one name are an error. The later one has its service's colons as `%3A`,
/// which no name has otherwise.
pub(super) fn proxies(status: &Status) -> Vec<Proxy<'_>> {
    let mut taken = HashSet::new();
    let mut proxies = Vec::new();
    for service in &status.services {
        for group in &service.groups {
            let mut name = Backend(&service.name, &group.name).to_string();
            if !taken.insert(name.clone()) {
                let colons = service.name.matches(':').count();
                name = name.replacen(':', "%3A", colons);
                taken.insert(name.clone());
            }
            proxies.push(Proxy {
                name,
                service,
                group,
            });
        }
    }
    proxies
}

#[cfg(test)]
mod tests {
    use super::scene::{group, host, service};
    use super::*;
    use crate::balance::Failure;

    #[test]
    fn what_the_operator_wants_comes_before_what_is_seen() {
        let failed = Health::Failed(Failure::Refused);
        let cases = [
            (HostState::Up, Health::Untried, 1, "UP"),
            (HostState::Up, Health::Healthy, 1, "UP"),
            (HostState::Up, Health::Healthy, 0, "NOLB"),
            (HostState::Up, failed.clone(), 0, "DOWN"),
            (HostState::Up, failed.clone(), 1, "DOWN"),
            (HostState::Drain, failed.clone(), 1, "DRAIN"),
            (HostState::Drain, Health::Healthy, 0, "DRAIN"),
            (HostState::Down, failed, 1, "MAINT"),
        ];
        for (state, health, weight, word) in cases {
            let host = HostStatus {
                state,
                health,
                weight,
                ..host("one")
            };
            let server = Server::of(&host);
            assert_eq!(server.as_str(), word, "{host:?}");
            assert!(Server::ALL.contains(&server));
        }
    }

    #[test]
    fn two_groups_never_have_one_name() {
        let mut status = Status::default();
        for (name, groups) in [
            ("a", ["b:c:d", "x"]),
            ("a:b", ["c:d", "x"]),
            ("a:b:c", ["d", "x"]),
        ] {
            let groups = groups.map(|name| group(name, vec![])).to_vec();
            status.services.push(service(name, groups));
        }
        let names: Vec<_> = proxies(&status).into_iter().map(|it| it.name).collect();
        assert_eq!(
            names,
            [
                "a:b:c:d",
                "a:x",
                "a%3Ab:c:d",
                "a:b:x",
                "a%3Ab%3Ac:d",
                "a:b:c:x"
            ]
        );
    }
}
