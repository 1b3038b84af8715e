//! What tables look like, however long what is in them.

use super::*;
use crate::config::HostState;
use crate::director::Phase;

fn host_status(name: &str, health: Health) -> HostStatus {
    HostStatus {
        name: name.to_owned(),
        endpoint: "10.0.0.1:80".to_owned(),
        address: None,
        weight: 1,
        state: HostState::Up,
        health,
        since_wall_ms: 1_000,
        open: 3,
        total: 1234,
        recent: Vec::new(),
        failures: 2,
        last_failure: None,
        totals: crate::balance::Totals::default(),
    }
}

fn scene(service: &str, hosts: Vec<HostStatus>) -> Status {
    Status {
        wall_ms: 3_601_000,
        started_wall_ms: 1_000,
        process: 77,
        version: "2.0.0",
        workers: 2,
        generation: 5,
        open: 3,
        capacity: 9_400,
        services: vec![ServiceStatus {
            name: service.to_owned(),
            addresses: vec!["127.0.0.1:8080".parse().unwrap()],
            enabled: "main".to_owned(),
            open: 3,
            total: 1234,
            groups: vec![GroupStatus {
                name: "main".to_owned(),
                scheduler: "leastc".to_owned(),
                open: 3,
                hosts,
            }],
        }],
        ..Status::default()
    }
}

#[test]
fn the_status_says_how_each_host_is() {
    let mut healthy = host_status("one", Health::Healthy);
    healthy.totals.bytes_to_client = 3 << 20;
    healthy.last_failure = Some(("no route to it".to_owned(), 1_000));
    let mut failed = host_status("two", Health::Failed(crate::balance::Failure::Refused));
    failed.since_wall_ms = 3_000_000;
    failed.last_failure = Some(("connection refused".to_owned(), 3_600_000));
    let mut drained = host_status("three", Health::Untried);
    drained.state = HostState::Drain;
    let mut scene = scene("web", vec![healthy, failed, drained]);
    scene.stored = StoredStatus {
        file: Some("/etc/txlb/config.xml".into()),
        unsaved: 2,
        last_reload: Some(Outcome {
            wall_ms: 0,
            result: Err("/etc/txlb/config.xml:1:1: the file is empty".to_owned()),
        }),
        last_save: None,
    };
    let text = status(&scene, WIDTH).join("\n");
    assert_eq!(
        text,
        "\
txlb 2.0.0, process 77, up 1 h, 2 workers, generation 5
sessions: 3 open, room for 9400
config: /etc/txlb/config.xml
unsaved: 2 changes
config: last reload failed at 1970-01-01T00:00:00.000Z:
  /etc/txlb/config.xml:1:1: the file is empty

service web at 127.0.0.1:8080: 3 open, 1234 in all
group main (leastc), enabled: 3 open
  host         address                 wt state           open   total   bytes
  one          10.0.0.1:80              1 healthy            3    1234 3.0 MiB
    last failed 1 h ago: no route to it; 2 failed connects
  two          10.0.0.1:80              1 FAILED             3    1234     0 B
    failed for 10 min: connection refused; 2 failed connects
  three        10.0.0.1:80              1 drain/untried      3    1234     0 B"
    );
}

fn session_status(client: &str, service: &str) -> SessionStatus {
    let mut session = SessionStatus::example();
    session.client = client.parse().unwrap();
    session.service = service.to_owned();
    session
}

#[test]
fn sessions_are_a_line_each() {
    let told = Sessions {
        list: vec![session_status("10.0.0.9:33333", "web")],
        more: 7,
    };
    assert_eq!(
        sessions(&told, WIDTH).join("\n"),
        "\
client                service/host      age   idle to host  to cl. doing
10.0.0.9:33333        web/one         2 min    5 s   512 B 1.0 MiB relaying
and 7 more"
    );
    assert_eq!(sessions(&Sessions::default(), WIDTH), [""; 0]);
}

#[test]
fn help_for_options_lists_them() {
    let lines = help(commands::command("setOption"));
    for path in ["manager.hostCheck.interval", "control.socket"] {
        assert!(lines.iter().any(|line| line.trim() == path), "{lines:?}");
    }
}

#[test]
fn nothing_is_wider_than_the_screen() {
    for letter in ["ä", "東", "e\u{301}"] {
        check_widths(&letter.repeat(85));
    }
    let helped = commands::commands().iter().flat_map(|it| help(Some(it)));
    for line in help(None).into_iter().chain(helped) {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

fn check_widths(long: &str) {
    let mut host = host_status(long, Health::Healthy);
    host.endpoint = format!("{long}:80");
    host.state = HostState::Down;
    host.weight = 1000;
    host.open = u32::MAX;
    host.total = u64::MAX;
    host.totals.bytes_to_host = u64::MAX;
    host.last_failure = Some((long.to_owned(), 0));
    let mut scene = scene(long, vec![host]);
    scene.stored.file = Some(long.into());
    let mut session = session_status("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", long);
    session.phase = Phase::HalfClosed;
    session.age_ms = 9_999 * 86_400_000;
    session.idle_ms = session.age_ms;
    session.bytes_to_host = u64::MAX;
    session.bytes_to_client = 1_048_575;
    let told = Sessions {
        list: vec![session],
        more: usize::MAX,
    };
    for columns in [20, 40, WIDTH, 100, 400] {
        let lines = status(&scene, columns).into_iter();
        for line in lines.chain(sessions(&told, columns)) {
            assert!(width::columns(&line) <= columns, "{columns}: {line}");
        }
    }
}

#[test]
fn letters_of_two_columns_keep_the_table_straight() {
    let hosts = ["東京", "ab"].map(|name| host_status(name, Health::Healthy));
    let lines = status(&scene("web", hosts.into()), WIDTH);
    let rows = lines.iter().filter(|line| line.contains(" healthy "));
    let places: Vec<_> = rows
        .map(|row| width::columns(&row[..row.find(" healthy ").unwrap()]))
        .collect();
    assert!(
        matches!(places[..], [one, other] if one == other),
        "{lines:?}"
    );
}

#[test]
fn a_wide_screen_shows_names_and_addresses_uncut() {
    let name = "a name of more than twelve letters";
    let endpoint = "a-host-somewhere-else.example.org:8080";
    let mut host = host_status(name, Health::Healthy);
    host.endpoint = endpoint.to_owned();
    let scene = scene("web", vec![host, host_status("one", Health::Healthy)]);
    let lines = status(&scene, 160);
    let row = lines.iter().find(|line| line.contains(name)).unwrap();
    assert!(row.contains(&format!("{name} {endpoint} ")), "{row}");
    // All of them are in the same columns, and no wider than need be.
    let other = lines.iter().find(|line| line.contains(" one ")).unwrap();
    assert_eq!(row.len(), other.len());
    assert!(row.len() < 160);

    let client = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";
    let told = Sessions {
        list: vec![session_status(client, "a long name of a service")],
        more: 0,
    };
    let lines = sessions(&told, 160).join("\n");
    assert!(lines.contains(client), "{lines}");
    assert!(lines.contains("a long name of a service/one "), "{lines}");
    assert_eq!(sessions(&told, 0)[0].chars().count(), 20);
}
