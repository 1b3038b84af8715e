//! Sample snapshots for the tests of the page.

use std::sync::LazyLock;
use std::time::Duration;

use super::super::{Query, View};
use crate::balance::{CheckResult, Failure, Totals};
use crate::config::{Access, CheckKind, HostState};
use crate::control::{
    EndReason, GroupStatus, Health, HostStatus, Outcome, RecentEvent, ServiceStatus, SessionStatus,
    Sessions, Status, Topic,
};
use crate::os::address::Address;

/// 2026-11-22 17:02:58 UTC.
pub(in super::super) const NOW_MS: u64 = 1_795_366_978_123;

static NOBODY: Sessions = Sessions {
    list: Vec::new(),
    more: 0,
    is_part: false,
};

static EVERY_TEN_SECONDS: LazyLock<Query> =
    LazyLock::new(|| Query::new(Some(Duration::from_secs(10)), &[]));

/// The view of a user with full access.
pub(in super::super) fn view(status: &Status) -> View<'_> {
    View {
        status,
        sessions: &NOBODY,
        unsaved: &[],
        user: Some("admin"),
        access: Access::Full,
        token: "c3VydmV5b3JzIG9mIHRoZSB3b3JsZCwgdW5pdGU",
        query: LazyLock::force(&EVERY_TEN_SECONDS),
        flash_message: None,
    }
}

/// A host that is up, and has been idle.
pub(in super::super) fn host(name: &str) -> HostStatus {
    HostStatus {
        health: Health::Healthy,
        since_wall_ms: NOW_MS - 7_200_000,
        recent: vec![0; 60],
        ..HostStatus::example(name)
    }
}

/// A host that has been down for four minutes.
pub(in super::super) fn failed(name: &str) -> HostStatus {
    HostStatus {
        health: Health::Failed(Failure::Refused),
        since_wall_ms: NOW_MS - 250_000,
        failures: 31,
        times_failed: 2,
        down_ms: 250_000,
        last_failure: Some(("connection refused".to_owned(), NOW_MS - 3_000)),
        ..host(name)
    }
}

/// A host that has had much to do.
pub(in super::super) fn busy(name: &str, number: u32) -> HostStatus {
    let wave = |minute: u32| 40 + (minute * (number + 3) * 7919 % 41) + 5 * number;
    let totals = Totals {
        bytes_to_host: 48_000_000 + u64::from(number) * 7_654_321,
        bytes_to_client: 3_000_000_000 + u64::from(number) * 876_543_210,
        connects: 20_000,
        connect_ms: 24_000 + u64::from(number) * 90_000,
        ..Totals::default()
    };
    HostStatus {
        open: 3 + number,
        busy: 3 + number,
        peak_open: 9 + number,
        per_ten_seconds: 7 + number,
        peak_per_second: 4 + number,
        last_check: Some(CheckResult::new(CheckKind::Tcp, number.into(), None)),
        total: 20_000 + u64::from(number) * 1_234,
        recent: (0..60).map(wave).collect(),
        totals,
        ..host(name)
    }
}

/// One service `web` with these in its group `main`.
pub(in super::super) fn status(hosts: Vec<HostStatus>) -> Status {
    Status {
        name: "lb1".to_owned(),
        wall_ms: NOW_MS,
        started_wall_ms: NOW_MS - 1_000_000_000,
        process: 4711,
        version: "2.0.0",
        workers: 2,
        generation: 12,
        open: 17,
        capacity: 9_400,
        services: vec![service("web", vec![GroupStatus::example("main", hosts)])],
        ..Status::default()
    }
}

/// A service whose first group is enabled.
pub(in super::super) fn service(name: &str, groups: Vec<GroupStatus>) -> ServiceStatus {
    ServiceStatus {
        addresses: vec![Address::Ip(([0, 0, 0, 0], 80).into())],
        total: 65_432,
        ..ServiceStatus::example(name, groups)
    }
}

/// A small site in trouble.
pub(in super::super) fn trouble() -> Status {
    let named = HostStatus {
        endpoint: "db-standby.example.org:5432".to_owned(),
        address: None,
        health: Health::Failed(Failure::Unresolved(
            "Temporary failure in name resolution".to_owned(),
        )),
        ..failed("standby")
    };
    let draining = HostStatus {
        state: HostState::Drain,
        ..busy("three", 2)
    };
    let off = HostStatus {
        state: HostState::Down,
        last_failure: Some((
            "no answer within the connect timeout".to_owned(),
            NOW_MS - 86_400_000,
        )),
        failures: 2,
        ..host("four")
    };
    let untried = HostStatus {
        health: Health::Untried,
        ..host("sorry-page")
    };
    let mut two = failed("two");
    two.recent = busy("two", 1).recent;
    two.recent[55..].fill(0);
    (two.total, two.totals) = (20_411, busy("two", 1).totals);
    let web = service(
        "web",
        vec![
            GroupStatus::example("main", vec![busy("one", 5), two, draining, off]),
            GroupStatus::example("spare", vec![untried]),
        ],
    );
    let mut db = service(
        "database",
        vec![GroupStatus::example("primary", vec![busy("db", 0), named])],
    );
    db.addresses = vec!["[::1]:5432", "127.0.0.1:5432"]
        .into_iter()
        .map(|address| Address::Ip(address.parse().unwrap()))
        .collect();
    let mut status = status(Vec::new());
    status.services = vec![web, db];
    status.open = 15;
    status.ended = vec![
        (EndReason::Finished, 61_234),
        (EndReason::ClientReset, 312),
        (EndReason::NoHost, 4),
    ];
    status.stored.file = Some("/etc/txlb/config.xml".into());
    status.stored.unsaved = 2;
    status.stored.last_reload = Some(Outcome {
        wall_ms: NOW_MS - 500_000,
        result: Err("/etc/txlb/config.xml:7:12: unknown attribute wieght: weight?".to_owned()),
    });
    status.recent_events = recent_events();
    status
}

fn recent_events() -> Vec<RecentEvent> {
    [
        (86_000_000, Topic::Change, "user admin from 10.0.0.7:50022 (web): hostAdminDown service=web group=main name=four"),
        (500_000, Topic::Reload, "SIGHUP: /etc/txlb/config.xml:7:12: unknown attribute wieght: weight?"),
        (250_000, Topic::HostDown, "host web:main/two failed: connection refused"),
        (250_000, Topic::HostDown, "host database:primary/standby failed: name not resolved: Temporary failure in name resolution"),
        (60_000, Topic::Change, "user admin from 10.0.0.7:50022 (web): drainHost service=web group=main name=three"),
        (9_000, Topic::HostUp, "host web:main/one is healthy"),
    ]
    .map(|(ago_ms, topic, text)| RecentEvent {
        wall_ms: NOW_MS - ago_ms,
        topic,
        text: text.to_owned(),
    })
    .to_vec()
}

/// Those of the small site.
pub(super) fn sessions() -> Sessions {
    let session = |number: u16| {
        let mut session = SessionStatus::example();
        session.id = u64::from(number);
        session.client = Address::Ip(([192, 0, 2, 7], 40_000 + number).into());
        session.age_ms = 3_600_000 / u64::from(number + 1);
        session.idle_ms = u64::from(number) * 1_700;
        session
    };
    Sessions {
        list: (0..12).map(session).collect(),
        more: 0,
        is_part: false,
    }
}
