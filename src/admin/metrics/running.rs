//! `/running.txt`: services, groups and hosts as plain text, in the format documented by
//! PythonDirector.
//!
//! A line each, with fields separated by one blank. Names and reasons are escaped as in
//! the log, so that each is one field.

use std::fmt::Write;

use crate::admin::haproxy::ServerStatus;
use crate::balance::Health;
use crate::control::{Escaped, GroupStatus, HostStatus, ServiceStatus, Status};

/// All services with their groups and hosts.
pub(in crate::admin) fn running(status: &Status) -> String {
    let mut out = String::new();
    for service in &status.services {
        push_service(service, &mut out);
        for group in &service.groups {
            push_group(service, group, &mut out);
        }
    }
    out
}

/// Appends a line for each address of a service, or one with `-` if it has none.
fn push_service(service: &ServiceStatus, out: &mut String) {
    let (name, enabled) = (Escaped(&service.name), Escaped(&service.enabled));
    for address in &service.addresses {
        let _ = writeln!(out, "service {name} {address} {enabled}");
    }
    if service.addresses.is_empty() {
        let _ = writeln!(out, "service {name} - {enabled}");
    }
}

/// Appends a group's hosts: first those that get new sessions, then the others.
fn push_group(service: &ServiceStatus, group: &GroupStatus, out: &mut String) {
    let state = match service.serves(&group.name) {
        true => "enabled",
        false => "inactive",
    };
    let _ = writeln!(out, "group {} {state}", Escaped(&group.name));
    for host in group.hosts.iter().filter(|host| host.is_usable()) {
        let (name, address) = (Escaped(&host.name), &host.endpoint);
        let _ = writeln!(out, "host {name} {address} {} -", host.open);
    }
    for host in group.hosts.iter().filter(|host| !host.is_usable()) {
        let (name, address) = (Escaped(&host.name), &host.endpoint);
        let why = why_disabled(host);
        let _ = writeln!(out, "disabled {name} {address} {} -", Escaped(&why));
    }
}

/// Why a host gets no new sessions: what is wanted comes before what is seen.
fn why_disabled(host: &HostStatus) -> String {
    match (ServerStatus::of(host), &host.health) {
        (ServerStatus::Maint, _) => "admin down".to_owned(),
        (ServerStatus::Drain, _) => "drain".to_owned(),
        (_, Health::Failed(why)) => why.to_string(),
        _ if host.address.is_none() => "no address yet".to_owned(),
        (ServerStatus::Nolb | ServerStatus::Down | ServerStatus::Up, _) => "weight 0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::haproxy::samples::{group, host, service};
    use crate::balance::Failure;
    use crate::config::HostState;

    fn failed(name: &str, why: Failure) -> HostStatus {
        HostStatus {
            health: Health::Failed(why),
            ..host(name)
        }
    }

    fn status(services: Vec<ServiceStatus>) -> Status {
        Status {
            services,
            ..Status::default()
        }
    }

    #[test]
    fn services_groups_and_hosts_have_a_line_each() {
        let two = HostStatus {
            endpoint: "db.example.org:80".to_owned(),
            ..failed("two", Failure::Refused)
        };
        let one = HostStatus {
            open: 3,
            ..host("one")
        };
        let groups = vec![group("main", vec![two, one]), group("spare", Vec::new())];
        let mut web = service("web", groups);
        web.addresses.push(([127, 0, 0, 1], 81).into());
        let mut mail = service("mail", vec![group("mx", Vec::new())]);
        mail.addresses.clear();
        assert_eq!(
            running(&status(vec![web, mail])),
            "service web [::1]:80 main\n\
             service web 127.0.0.1:81 main\n\
             group main enabled\n\
             host one 10.0.0.1:80 3 -\n\
             disabled two db.example.org:80 connection%20refused -\n\
             group spare inactive\n\
             service mail - mx\n\
             group mx enabled\n"
        );
    }

    #[test]
    fn a_host_that_gets_no_new_sessions_is_disabled_and_says_why() {
        let of = |state, weight, health| {
            let host = HostStatus {
                state,
                weight,
                health,
                ..host("one")
            };
            let text = running(&status(vec![service(
                "web",
                vec![group("main", vec![host])],
            )]));
            text.lines().last().unwrap().to_owned()
        };
        let failed = || Health::Failed(Failure::Other("a\nb/c".to_owned()));
        let disabled = |why: &str| format!("disabled one 10.0.0.1:80 {why} -");
        let listed = "host one 10.0.0.1:80 0 -";
        assert_eq!(of(HostState::Up, 1, Health::Untried), listed);
        assert_eq!(of(HostState::Up, 1, failed()), disabled("a%0Ab%2Fc"));
        assert_eq!(of(HostState::Up, 0, failed()), disabled("a%0Ab%2Fc"));
        assert_eq!(
            of(HostState::Up, 0, Health::Healthy),
            disabled("weight%200")
        );
        assert_eq!(of(HostState::Drain, 1, failed()), disabled("drain"));
        assert_eq!(
            of(HostState::Down, 1, Health::Healthy),
            disabled("admin%20down")
        );
    }

    #[test]
    fn a_line_has_its_fields_whatever_a_name_is() {
        let name = "a b\tc\n%\u{85}";
        let hosts = vec![host(name), failed(name, Failure::Refused)];
        let escaped = "a%20b%09c%0A%25%C2%85";
        assert_eq!(
            running(&status(vec![service(name, vec![group(name, hosts)])])),
            format!(
                "service {escaped} [::1]:80 {escaped}\n\
                 group {escaped} enabled\n\
                 host {escaped} 10.0.0.1:80 0 -\n\
                 disabled {escaped} 10.0.0.1:80 connection%20refused -\n"
            )
        );
    }
}
