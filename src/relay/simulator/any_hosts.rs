//! Random groups and hosts of a simulated farm, and what checks, agents and name servers say of them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::host_farm::{Behaviour, FIRST_PORT, PORTS};
use crate::balance::{Failure, Random};
use crate::config::{
    self, Algorithm, Check, CheckKind, Each, Endpoint, Host, HostState, ProxyVersion, Record,
    Scheduler, Source, SrvRecord,
};

pub(super) fn add_host(group: &mut config::Group, random: &mut Random, has_unix: bool) {
    let name = (0..)
        .map(|_| format!("h{}", random.below(40)))
        .find(|name| group.hosts.iter().all(|host| host.name != *name));
    let host = Host {
        name: name.unwrap_or_default(),
        address: any_endpoint(random, has_unix),
        weight: any_weight(random),
        state: any_state(random),
        backup: random.below(4) == 0,
        ..Host::default()
    };
    let place = random.index(group.hosts.len() + 1);
    group.hosts.insert(place, host);
}

/// Maglev less often than the others: its tables cost more than everything else.
pub(super) fn any_scheduler(random: &mut Random) -> Scheduler {
    let others: Vec<_> = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| *algorithm != Algorithm::Maglev)
        .collect();
    Scheduler {
        algorithm: match random.below(64) {
            0 => Algorithm::Maglev,
            _ => others[random.index(others.len())].clone(),
        },
        sticky: random.below(3) == 0,
    }
}

/// Mostly none.
pub(super) fn any_source(random: &mut Random) -> Source {
    match random.below(8) {
        0 => Source::Client,
        1 | 2 => Source::Addresses(source_addresses(1 + random.index(6))),
        _ => Source::Any,
    }
}

/// So many addresses, and one of a family that no host has.
pub(super) fn source_addresses(count: usize) -> Vec<IpAddr> {
    let last = (101..).take(count);
    let addresses = last.map(|last| IpAddr::from([10, 0, 0, last]));
    addresses.chain([Ipv6Addr::LOCALHOST.into()]).collect()
}

pub(super) fn any_version(random: &mut Random) -> Option<ProxyVersion> {
    [None, None, Some(ProxyVersion::V1), Some(ProxyVersion::V2)][random.index(4)]
}

pub(super) fn any_slow_start(random: &mut Random) -> Option<Duration> {
    Some(Duration::from_secs(1 + random.below(60))).filter(|_| random.below(2) == 0)
}

/// Mostly none: such groups are judged by sessions and probes.
pub(super) fn any_checks(random: &mut Random) -> Vec<Check> {
    let kinds: &[CheckKind] = match random.below(8) {
        0 => &[CheckKind::Tcp],
        1 => &[CheckKind::Agent],
        2 => &[CheckKind::Http, CheckKind::Agent, CheckKind::Tcp],
        _ => &[],
    };
    let check = |kind: &CheckKind| Check {
        kind: *kind,
        rise: 2,
        fall: 2,
        ..Check::default()
    };
    kinds.iter().map(check).collect()
}

/// A line of an agent.
pub(super) fn any_report(random: &mut Random) -> &'static str {
    let reports = [
        "up ready 100% maxconn:0",
        "up ready",
        "drain",
        "maint",
        "down # why",
        "maxconn:1",
        "0%",
        "50% maxconn:3",
    ];
    reports[random.index(reports.len())]
}

/// A host that stands for the members of a name.
pub(super) fn template() -> Host {
    Host {
        name: "each".to_owned(),
        address: Endpoint::Name {
            host: "_each._tcp.test".to_owned(),
            port: 0,
        },
        each: Each::Srv,
        ..Host::default()
    }
}

pub(super) fn expand(group: &config::Group, records: &[Record]) -> config::Group {
    group.expand(|_| records, |_| None)
}

/// Some of the members that a name may have, with other shares and priorities now and then.
pub(super) fn any_records(random: &mut Random) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 1..PORTS {
        if random.below(3) > 0 {
            continue;
        }
        records.push(Record {
            ip: IpAddr::from([10, 0, 0, 1]),
            srv: Some(SrvRecord {
                priority: u16::from(random.below(4) == 0),
                target: "member.test".to_owned(),
                port: FIRST_PORT + number,
                weight: [1, 1, 1, 0, 5][random.index(5)],
            }),
        });
    }
    records
}

pub(super) fn any_endpoint(random: &mut Random, has_unix: bool) -> Endpoint {
    let port = match u16::try_from(random.below(PORTS.into())).unwrap() {
        number @ 0..=2 if has_unix => {
            return Endpoint::Unix(Path::new(&format!("/run/{number}")).into());
        }
        // The one that the client asked for.
        0 => 0,
        number => FIRST_PORT + number,
    };
    match random.below(4) {
        0 => Endpoint::Name {
            host: "pool".to_owned(),
            port,
        },
        _ => Endpoint::Address(SocketAddr::from(([10, 0, 0, 1], port))),
    }
}

pub(super) fn any_weight(random: &mut Random) -> u32 {
    match random.below(16) {
        0 => 0,
        1 => 5,
        2 => 2,
        _ => 1,
    }
}

pub(super) fn any_state(random: &mut Random) -> HostState {
    match random.below(16) {
        0 => HostState::Drain,
        1 => HostState::Down,
        _ => HostState::Up,
    }
}

pub(super) fn any_behaviour(random: &mut Random) -> Behaviour {
    match random.below(16) {
        0 => Behaviour::Silent,
        1..=3 => Behaviour::Refuses,
        _ => Behaviour::Accepts,
    }
}

pub(super) fn any_result(random: &mut Random) -> Result<(), Failure> {
    match random.below(2) {
        0 => Err(Failure::Refused),
        _ => Ok(()),
    }
}
