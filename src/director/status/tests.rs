//! The names that programs rely on.

use super::*;
use crate::balance::Failure;
use crate::json::Json;
use crate::relay::Topic;

/// A host of which everything is known.
fn host() -> HostStatus {
    HostStatus {
        name: "a \"b\"".to_owned(),
        endpoint: "db:1".to_owned(),
        address: None,
        weight: 5,
        state: HostState::Drain,
        health: Health::Failed(Failure::Refused),
        since_wall_ms: 8,
        open: 1,
        total: 3,
        recent: vec![1, 2],
        failures: 2,
        last_failure: Some(("connection refused".to_owned(), 9)),
        totals: Totals {
            bytes_to_host: 10,
            bytes_to_client: u64::MAX,
            connects: 2,
            connect_ms: 5,
            ..Totals::default()
        },
    }
}

#[test]
fn the_names_in_json_are_those_that_programs_know() {
    let status = Status {
        version: "2.0.0",
        services: vec![ServiceStatus {
            name: "web".to_owned(),
            addresses: vec!["[::1]:80".parse().unwrap()],
            enabled: "main".to_owned(),
            open: 1,
            total: 3,
            groups: vec![GroupStatus {
                name: "main".to_owned(),
                scheduler: "leastc".to_owned(),
                open: 1,
                hosts: vec![host()],
            }],
        }],
        stored: StoredStatus {
            file: Some("/f.xml".into()),
            unsaved: 2,
            last_reload: Some(Outcome {
                wall_ms: 7,
                result: Err("why".to_owned()),
            }),
            last_save: None,
        },
        ended: vec![(EndReason::Finished, 2)],
        happenings: vec![Happening {
            wall_ms: 6,
            topic: Topic::HostUp,
            text: "host web:main/a is up".to_owned(),
        }],
        ..Status::default()
    };
    let json = status.to_json();
    assert_eq!(Json::from(status.to_object()).into_text(), json);
    let (head, buckets) = json.split_once(",\"connect_histogram\":[").unwrap();
    assert_eq!(
        head,
        r#"{"version":"2.0.0","process":0,"at_ms":0,"started_ms":0,"workers":0,"generation":0,"#
            .to_owned()
            + r#""stopping":false,"config":{"file":"/f.xml","unsaved":2,"last_reload":{"at_ms":7,"ok":false,"#
            + r#""error":"why"},"last_save":null},"open":0,"capacity":0,"ended":{"finished":2},"#
            + r#""accept_pauses":0,"no_ports":0,"turns":0,"happenings":[{"at_ms":6,"topic":"host up","#
            + r#""text":"host web:main/a is up"}],"services":[{"name":"web","#
            + r#""listens":["[::1]:80"],"enabled":"main","open":1,"total":3,"groups":[{"name":"#
            + r#""main","scheduler":"leastc","open":1,"hosts":[{"name":"a \"b\"","ip":"db:1","#
            + r#""address":null,"weight":5,"state":"drain","health":"failed","since_ms":8,"#
            + r#""last_error":"connection refused","last_error_ms":9,"open":1,"total":3,"#
            + r#""sessions_per_minute":[1,2],"failed_connects":2,"bytes_to_host":10,"bytes_to_client":18446744073709551615,"#
            + r#""connects":2,"connect_ms":5,"mean_connect_us":2500"#
    );
    assert!(buckets.starts_with(r#"{"most_ms":1,"connects":0},"#));
    assert!(buckets.ends_with(r#"{"most_ms":null,"connects":0}]}]}]}]}"#));
}

#[test]
fn sessions_in_json_say_all_that_is_known() {
    let sessions = Sessions {
        list: vec![SessionStatus::example()],
        more: 3,
    };
    assert_eq!(
        sessions.to_json(),
        r#"{"sessions":[{"id":"1000000000002","client":"10.0.0.9:33333","service":"web","#
            .to_owned()
            + r#""group":"main","host":"one","host_address":"10.0.0.1:80","local_address":null,"#
            + r#""age_ms":120000,"idle_ms":5000,"bytes_to_host":512,"bytes_to_client":1048576,"#
            + r#""phase":"relaying"}],"more":3}"#
    );
}
