//! HAProxy's terms for groups and hosts, for metrics, and what its programs read: the statistics as
//! CSV, and its command line.

mod advice;
pub(super) mod cli;
pub(super) mod csv;

use std::collections::HashSet;

use crate::balance::{CheckResult, Failure, Health};
use crate::config::{CheckKind, HostState};
use crate::control::{Backend, GroupStatus, HostStatus, ServiceStatus, Status};

/// HAProxy's status of a server.
///
/// The wanted state comes first: a host that is to drain or to be down must raise no alert.
/// HAProxy differs: a server that drains and fails is DOWN, and one with weight 0 is UP.
/// NOLB is there for servers that ask for no more sessions; here it is for weight 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerStatus {
    /// Failed, and wanted up, whatever its weight: it gets sessions only if all others have failed.
    /// Or it waits for its first check.
    Down,
    /// Gets sessions: healthy or untried.
    Up,
    /// Taken down by an operator.
    Maint,
    /// Draining.
    Drain,
    /// Wanted up and not failed, with weight 0.
    Nolb,
}

impl ServerStatus {
    /// All states, in the order of HAProxy's exporter.
    #[cfg(any(test, feature = "web"))]
    pub(super) const ALL: [ServerStatus; 5] = [
        ServerStatus::Down,
        ServerStatus::Up,
        ServerStatus::Maint,
        ServerStatus::Drain,
        ServerStatus::Nolb,
    ];

    pub(super) fn of(host: &HostStatus) -> ServerStatus {
        match (host.wanted_state(), &host.health) {
            (HostState::Down, _) => ServerStatus::Maint,
            (HostState::Drain, _) => ServerStatus::Drain,
            (HostState::Up, Health::Failed(_)) => ServerStatus::Down,
            (HostState::Up, _) if host.pending => ServerStatus::Down,
            (HostState::Up, _) if host.weight_in_force() == 0 => ServerStatus::Nolb,
            (HostState::Up, _) => ServerStatus::Up,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            ServerStatus::Down => "DOWN",
            ServerStatus::Up => "UP",
            ServerStatus::Maint => "MAINT",
            ServerStatus::Drain => "DRAIN",
            ServerStatus::Nolb => "NOLB",
        }
    }
}

/// HAProxy's status of a check: its word, its number in `show servers state`, and what it means.
pub(super) fn check_status(check: &CheckResult) -> (&'static str, u8, &'static str) {
    match (&check.failure, check.kind) {
        (None, CheckKind::Tcp) => ("L4OK", 6, "Layer4 check passed"),
        (None, _) => ("L7OK", 15, "Layer7 check passed"),
        (Some(Failure::TimedOut), _) => ("L4TOUT", 7, "Layer4 timeout"),
        (Some(Failure::Other(_)), _) => ("SOCKERR", 5, "Socket error"),
        // An answer that is late, missing or not the expected one.
        (Some(Failure::Check(_)), CheckKind::Send | CheckKind::Http | CheckKind::Agent) => {
            ("L7RSP", 13, "Layer7 invalid response")
        }
        (Some(_), _) => ("L4CON", 8, "Layer4 connection problem"),
    }
}

/// A group with its proxy name.
pub(super) struct Proxy<'a> {
    pub(super) name: String,
    pub(super) service: &'a ServiceStatus,
    pub(super) group: &'a GroupStatus,
}

impl Proxy<'_> {
    /// The hosts that get sessions, or would if they were no backups.
    pub(super) fn active(&self) -> impl Iterator<Item = &HostStatus> {
        let hosts = self.group.hosts.iter();
        hosts.filter(|host| ServerStatus::of(host) == ServerStatus::Up)
    }

    /// How many of these are backups, or are not.
    pub(super) fn count_active(&self, backup: bool) -> usize {
        self.active().filter(|host| host.backup == backup).count()
    }

    /// Whether the group gets new sessions.
    #[cfg(feature = "web")]
    pub(super) fn serves(&self) -> bool {
        self.service.serves(&self.group.name)
    }
}

/// All groups in the file's order, each with a unique name, and HAProxy's number for it: services
/// have numbers, too.
///
/// Group `b:c` of service `a` and group `c` of service `a:b` would both be `a:b:c`, and
/// two series with one name are an error. The later one has its service's colons as
/// `%3A`, which no other name has.
pub(super) fn proxies(status: &Status) -> Vec<(usize, Proxy<'_>)> {
    let mut taken = HashSet::new();
    let (mut proxies, mut id) = (Vec::new(), 0);
    for service in &status.services {
        id += 1;
        for group in &service.groups {
            id += 1;
            let mut name = Backend(&service.name, &group.name).to_string();
            if !taken.insert(name.clone()) {
                let colons = service.name.matches(':').count();
                name = name.replacen(':', "%3A", colons);
                taken.insert(name.clone());
            }
            let proxy = Proxy {
                name,
                service,
                group,
            };
            proxies.push((id, proxy));
        }
    }
    proxies
}

/// Snapshots for the tests of what programs read.
#[cfg(test)]
pub(super) mod samples {
    use crate::balance::{CheckHealth, CheckResult, Failure, Health, Totals};
    use crate::config::{CheckKind, HostState};
    use crate::control::{
        EndReason, EndedSessions, GroupStatus, HostStatus, Outcome, ServiceStatus, Status,
        StoredStatus,
    };

    /// Every kind of character that a name may have, or that may break what it is written
    /// into; control characters cannot come from a file, but cost nothing here.
    pub(in crate::admin) const NASTY: &str =
        "a \"b\"\\n,c/d%0A\n\r\t\0{}='<&\u{7f}\u{85}\u{2028}ü€\u{1f980}#:;";

    /// An untried host.
    pub(in crate::admin) fn host(name: &str) -> HostStatus {
        HostStatus {
            since_wall_ms: 1_000_000_000_500,
            ..HostStatus::example(name)
        }
    }

    pub(in crate::admin) fn group(name: &str, hosts: Vec<HostStatus>) -> GroupStatus {
        GroupStatus {
            scheduler: "leastc,sticky".to_owned(),
            ..GroupStatus::example(name, hosts)
        }
    }

    /// Two sessions that have ended.
    fn ended() -> EndedSessions {
        let mut ended = EndedSessions {
            reasons: vec![(EndReason::Finished, 1), (EndReason::NoHost, 1)],
            ..EndedSessions::default()
        };
        ended.durations[0] = 1;
        ended.durations[2] = 1;
        ended.duration_ms = 17_250;
        ended
    }

    pub(in crate::admin) fn service(name: &str, groups: Vec<GroupStatus>) -> ServiceStatus {
        ServiceStatus {
            addresses: vec![crate::os::address::Address::Ip("[::1]:80".parse().unwrap())],
            ended: ended(),
            total: 9,
            ..ServiceStatus::example(name, groups)
        }
    }

    /// A healthy host with sessions.
    fn busy(name: &str) -> HostStatus {
        HostStatus {
            weight: 5,
            health: Health::Healthy,
            open: 2,
            busy: 1,
            total: 7,
            failures: 1,
            last_failure: Some(("connection refused".to_owned(), 1_000_000_000_400)),
            totals: Totals {
                bytes_to_host: 100,
                bytes_to_client: 2000,
                connects: 7,
                connect_ms: 3014,
                histogram: [3, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1],
            },
            ..host(name)
        }
    }

    /// Two hosts of one group, the second failed.
    pub(in crate::admin) fn small() -> Status {
        let wrong_status = Failure::Check("expected 200, got 503".to_owned());
        let failed = HostStatus {
            health: Health::Failed(Failure::Refused),
            address: None,
            failures: 4,
            times_failed: 2,
            down_ms: 61_000,
            last_check: Some(CheckResult::new(CheckKind::Http, 12, Some(wrong_status))),
            failed_checks: 3,
            check_health: Some(CheckHealth {
                rise: 2,
                fall: 3,
                health: 1,
            }),
            ..host("two")
        };
        Status {
            wall_ms: 1_000_000_060_000,
            started_wall_ms: 1_000_000_000_000,
            name: "lb1".to_owned(),
            process: 42,
            version: "2.0.0",
            workers: 4,
            generation: 3,
            open: 2,
            capacity: 9200,
            ended: vec![(EndReason::Finished, 6), (EndReason::NoHost, 1)],
            accept_pauses: 8,
            no_ports: 11,
            iterations: 1234,
            services: vec![service(
                "web",
                vec![group("main", vec![busy("one"), failed])],
            )],
            stored: StoredStatus {
                file: Some("/etc/txlb/config.xml".into()),
                unsaved: 2,
                last_reload: Some(Outcome {
                    wall_ms: 1_000_000_030_250,
                    result: Err("2:3: \"what\"\n".to_owned()),
                }),
                last_save: None,
            },
            ..Status::default()
        }
    }

    /// Names full of what is special, states of all kinds, groups without hosts, and
    /// numbers as large as can be.
    pub(in crate::admin) fn nasty() -> Status {
        let in_state = |state, weight| HostStatus {
            state,
            weight,
            address: "[2001:db8::1]:80"
                .parse()
                .ok()
                .map(crate::os::address::Address::Ip),
            ..busy(&format!("{NASTY}{state:?}{weight}"))
        };
        let most = u64::MAX / 16;
        let large = HostStatus {
            open: u32::MAX,
            total: u64::MAX,
            failures: u64::MAX,
            since_wall_ms: u64::MAX,
            totals: Totals {
                bytes_to_host: u64::MAX,
                bytes_to_client: u64::MAX,
                connects: most * 12,
                connect_ms: u64::MAX,
                histogram: [most; 12],
            },
            ..host("")
        };
        let hosts = vec![
            in_state(HostState::Up, 0),
            in_state(HostState::Drain, 5),
            in_state(HostState::Down, 5),
            large.clone(),
            HostStatus {
                name: "BACKEND".to_owned(),
                ..large
            },
        ];
        let mut status = small();
        status.services.extend([
            service(NASTY, vec![group(NASTY, hosts), group("empty", vec![])]),
            service("a", vec![group("b:c", vec![host("one")])]),
            service("a:b", vec![group("c", vec![host("one")])]),
            service("", vec![]),
        ]);
        status
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{group, host, service};
    use super::*;

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
            let server = ServerStatus::of(&host);
            assert_eq!(server.as_str(), word, "{host:?}");
            assert!(ServerStatus::ALL.contains(&server));
        }
    }

    #[test]
    fn checks_have_the_status_of_haproxy() {
        let text = || Failure::Check("got it".to_owned());
        for (kind, failure, expected) in [
            (CheckKind::Tcp, None, "L4OK"),
            (CheckKind::Http, None, "L7OK"),
            (CheckKind::Http, Some(Failure::Refused), "L4CON"),
            (CheckKind::Tcp, Some(Failure::Unreachable), "L4CON"),
            (CheckKind::Tcp, Some(Failure::TimedOut), "L4TOUT"),
            (CheckKind::Tcp, Some(text()), "L4CON"),
            (CheckKind::Send, Some(text()), "L7RSP"),
            (
                CheckKind::Tcp,
                Some(Failure::Other(String::new())),
                "SOCKERR",
            ),
        ] {
            let check = CheckResult::new(kind, 1, failure);
            assert_eq!(check_status(&check).0, expected, "{check:?}");
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
        let names: Vec<_> = proxies(&status)
            .into_iter()
            .map(|(_, it)| it.name)
            .collect();
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
