//! Whether services can take new sessions, and why not: for `/ready` and the verb `ready`.

use std::collections::HashSet;

use super::{HostStatus, ServiceStatus, Status};
use crate::balance::Health;
use crate::config::HostState;
use crate::text::plural;

/// Which services can take new sessions.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    stopping: bool,
    resigned: bool,
    /// For each service, in the file's order, the reason if it cannot.
    services: Vec<(String, Option<String>)>,
}

/// Services that are named in one answer.
const MAX_NAMED: usize = 20;

impl Readiness {
    /// Why new sessions of this service, or of some service, are not served: a line for each, 21
    /// at most. None if all is well.
    pub fn reasons(&self, service: Option<&str>) -> Vec<String> {
        if self.stopping {
            return vec!["txlb is stopping".to_owned()];
        }
        if self.resigned {
            return vec!["txlb has resigned".to_owned()];
        }
        let asked = self.services.iter();
        let asked = asked.filter(|(name, _)| service.is_none_or(|service| service == name));
        let mut reasons: Vec<String> = asked
            .filter_map(|(name, reason)| Some(format!("service {name}: {}", reason.as_ref()?)))
            .collect();
        let others = reasons.len().saturating_sub(MAX_NAMED);
        if others > 0 {
            reasons.truncate(MAX_NAMED);
            reasons.push(format!("and {}", plural(others, "other service")));
        }
        reasons
    }

    /// Whether there is such a service.
    pub fn knows(&self, service: &str) -> bool {
        self.services.iter().any(|(name, _)| name == service)
    }
}

impl Status {
    /// Whether every service can take new sessions.
    pub fn is_ready(&self) -> bool {
        self.readiness().reasons(None).is_empty()
    }

    /// Which services can take new sessions.
    pub fn readiness(&self) -> Readiness {
        let services = self.services.iter();
        Readiness {
            stopping: self.stopping,
            resigned: self.resigned,
            services: services
                .map(|service| (service.name.clone(), service.why_not_ready()))
                .collect(),
        }
    }
}

impl ServiceStatus {
    /// Why no host of the enabled group is usable, or of one with a route. Names neither group nor
    /// host: readiness is told without a login.
    fn why_not_ready(&self) -> Option<String> {
        let enabled = self.enabled_group().map_or(&[][..], |group| &group.hosts);
        let why = why_none_usable(enabled, "its enabled group");
        why.or_else(|| {
            let names: HashSet<_> = self.routes.iter().map(|it| it.group.as_str()).collect();
            let mut groups = self.groups.iter().filter(|it| names.contains(&*it.name));
            groups.find_map(|group| why_none_usable(&group.hosts, "a group with a route"))
        })
    }
}

/// Why none of the hosts of a group is usable.
fn why_none_usable(hosts: &[HostStatus], group: &str) -> Option<String> {
    if hosts.iter().any(HostStatus::is_usable) {
        return None;
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for word in hosts.iter().map(why_unusable) {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    let counts: Vec<_> = counts
        .into_iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    Some(match counts.is_empty() {
        true => format!("{group} has no hosts"),
        false => format!("no host of {group} is usable: {}", counts.join(", ")),
    })
}

/// What is wrong with a host that is not usable. What is wanted comes before what is seen.
fn why_unusable(host: &HostStatus) -> &'static str {
    match host.wanted_state() {
        HostState::Down => "down",
        HostState::Drain => "drained",
        HostState::Up if host.weight_in_force() == 0 => "with weight 0",
        HostState::Up if host.address.is_none() => "without an address",
        HostState::Up if matches!(host.health, Health::Failed(_)) => "failed",
        HostState::Up => "not checked yet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Failure;
    use crate::config::Route;
    use crate::control::GroupStatus;

    /// A service whose enabled group has hosts of this state, weight and health.
    fn service(name: &str, hosts: &[(HostState, u32, Health)]) -> ServiceStatus {
        let hosts = hosts.iter().map(|(state, weight, health)| HostStatus {
            state: *state,
            weight: *weight,
            health: health.clone(),
            ..HostStatus::example("one")
        });
        ServiceStatus::example(name, vec![GroupStatus::example("main", hosts.collect())])
    }

    fn failed() -> Health {
        Health::Failed(Failure::Refused)
    }

    fn reasons(services: Vec<ServiceStatus>) -> Vec<String> {
        let status = Status {
            services,
            ..Status::default()
        };
        status.readiness().reasons(None)
    }

    #[test]
    fn one_usable_host_makes_a_service_ready() {
        for health in [Health::Untried, Health::Healthy] {
            let hosts = [(HostState::Up, 1, failed()), (HostState::Up, 1, health)];
            assert_eq!(reasons(vec![service("web", &hosts)]), [""; 0]);
        }
        assert_eq!(reasons(Vec::new()), [""; 0]);
    }

    #[test]
    fn what_is_wrong_with_the_hosts_is_counted() {
        let hosts = [
            (HostState::Up, 1, failed()),
            (HostState::Drain, 1, Health::Healthy),
            (HostState::Up, 3, failed()),
            (HostState::Down, 1, failed()),
            (HostState::Up, 0, Health::Healthy),
        ];
        let mut unresolved = service("b", &[(HostState::Up, 1, Health::Untried)]);
        unresolved.groups[0].hosts[0].address = None;
        let mut pending = service("d", &[(HostState::Up, 1, Health::Untried)]);
        pending.groups[0].hosts[0].pending = true;
        let services = vec![
            service("a b", &hosts),
            unresolved,
            service("c", &[]),
            pending,
        ];
        assert_eq!(
            reasons(services),
            [
                "service a b: no host of its enabled group is usable: 2 failed, \
                 1 drained, 1 down, 1 with weight 0",
                "service b: no host of its enabled group is usable: 1 without an address",
                "service c: its enabled group has no hosts",
                "service d: no host of its enabled group is usable: 1 not checked yet",
            ]
        );
    }

    #[test]
    fn a_group_with_a_route_must_have_a_usable_host_too() {
        let up = [(HostState::Up, 1, Health::Healthy)];
        let with_route = |hosts: &[(HostState, u32, Health)]| {
            let mut web = service("web", &up);
            let mut other = service("", hosts).groups.remove(0);
            other.name = "other".to_owned();
            web.groups.push(other);
            web.routes.push(Route {
                alpn: vec!["h2".to_owned()],
                group: "other".to_owned(),
                ..Route::default()
            });
            reasons(vec![web])
        };
        assert_eq!(with_route(&up), [""; 0]);
        assert_eq!(
            with_route(&[(HostState::Up, 1, failed())]),
            ["service web: no host of a group with a route is usable: 1 failed"]
        );
        assert_eq!(
            with_route(&[]),
            ["service web: a group with a route has no hosts"]
        );
    }

    #[test]
    fn so_many_services_are_named_and_the_others_are_counted() {
        let names = (0..MAX_NAMED + 3).map(|number| service(&number.to_string(), &[]));
        let reasons = reasons(names.collect());
        assert_eq!(reasons.len(), MAX_NAMED + 1);
        assert_eq!(reasons[MAX_NAMED], "and 3 other services");
    }

    #[test]
    fn a_service_is_asked_for_by_its_name() {
        let mut status = Status {
            services: vec![
                service("a", &[]),
                service("b", &[(HostState::Up, 1, Health::Untried)]),
            ],
            ..Status::default()
        };
        let of = |status: &Status, name| status.readiness().reasons(Some(name)).len();
        assert_eq!((of(&status, "a"), of(&status, "b")), (1, 0));
        assert!(status.readiness().knows("a") && !status.readiness().knows("c"));
        status.resigned = true;
        assert_eq!(status.readiness().reasons(Some("b")), ["txlb has resigned"]);
        assert!(!status.is_ready());
        status.stopping = true;
        assert_eq!(status.readiness().reasons(Some("b")), ["txlb is stopping"]);
    }
}
