//! Snapshots for the tests of what programs read. No test.

use crate::balance::{Failure, Health, Totals};
use crate::config::HostState;
use crate::control::{
    EndReason, GroupStatus, HostStatus, Outcome, ServiceStatus, Status, StoredStatus,
};

/// Every kind of character that a name may have, or that may break what it is written
/// into; control characters cannot come from a file, but cost nothing here.
pub(in crate::admin) const NASTY: &str =
    "a \"b\"\\n,c/d%0A\n\r\t\0{}='<&\u{7f}\u{85}\u{2028}ü€\u{1f980}#:;";

/// A host that nobody has tried.
pub(in crate::admin) fn host(name: &str) -> HostStatus {
    HostStatus {
        name: name.to_owned(),
        endpoint: "10.0.0.1:80".to_owned(),
        address: "10.0.0.1:80".parse().ok(),
        weight: 1,
        state: HostState::Up,
        health: Health::Untried,
        since_wall_ms: 1_000_000_000_500,
        open: 0,
        total: 0,
        recent: Vec::new(),
        failures: 0,
        last_failure: None,
        totals: Totals::default(),
    }
}

pub(in crate::admin) fn group(name: &str, hosts: Vec<HostStatus>) -> GroupStatus {
    GroupStatus {
        name: name.to_owned(),
        scheduler: "leastc,sticky".to_owned(),
        open: hosts.iter().map(|host| host.open as usize).sum(),
        hosts,
    }
}

/// A service with its first group enabled.
pub(in crate::admin) fn service(name: &str, groups: Vec<GroupStatus>) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        addresses: vec!["[::1]:80".parse().unwrap()],
        enabled: groups.first().map_or("", |group| &group.name).to_owned(),
        open: groups.iter().map(|group| group.open as u64).sum(),
        total: 9,
        groups,
    }
}

/// One that has served.
fn busy(name: &str) -> HostStatus {
    HostStatus {
        weight: 5,
        health: Health::Healthy,
        open: 2,
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
    let failed = HostStatus {
        health: Health::Failed(Failure::Refused),
        address: None,
        failures: 4,
        ..host("two")
    };
    Status {
        wall_ms: 1_000_000_060_000,
        started_wall_ms: 1_000_000_000_000,
        process: 42,
        version: "2.0.0",
        workers: 4,
        generation: 3,
        open: 2,
        capacity: 9200,
        ended: vec![(EndReason::Finished, 6), (EndReason::NoHost, 1)],
        accept_pauses: 8,
        no_ports: 11,
        turns: 1234,
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
        address: "[2001:db8::1]:80".parse().ok(),
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
