//! Recent events, requests that expect a generation, and liveness of workers.

use std::time::Duration;

use crate::support::TIMEOUT;
use crate::support::client::who_in_turn;
use crate::support::config::web;
use crate::support::embedded::TestBalancer;
use crate::support::host::{Host, Place};
use txlb::config::verb::Command;
use txlb::control::{Actor, DataPlane, MINUTES, Options, Topic};

fn command(line: &str) -> Command {
    line.parse().unwrap()
}

/// What happened, by its topic, the oldest first.
fn happened(balancer: &TestBalancer) -> Vec<(Topic, String)> {
    let recent_events = balancer.status().recent_events.into_iter();
    recent_events.map(|it| (it.topic, it.text)).collect()
}

#[test]
fn hosts_changes_saves_and_reloads_are_remembered_with_who_did_them() {
    let (host, place) = (Host::new("a"), Place::new());
    let text = web("", "roundr", &[host.address(), place.address()]);
    let mut balancer = TestBalancer::open(&text);
    assert_eq!(happened(&balancer), []);
    assert_eq!(who_in_turn(balancer.address(), 2), "aa");
    balancer.order(&[
        "setWeight service=web group=main name=b weight=0",
        "saveConfig",
    ]);
    std::fs::write(balancer.file(), &text).unwrap();
    balancer.order(&["reload force=true"]);
    std::fs::write(balancer.file(), "<config>").unwrap();
    assert!(balancer.refusal("reload").contains("config.xml:1:1"));

    let topics: Vec<_> = happened(&balancer).into_iter().map(|it| it.0).collect();
    let expected = [
        Topic::HostDown,
        Topic::Change,
        Topic::Save,
        Topic::Reload,
        Topic::Error,
    ];
    assert_eq!(topics, expected);
    let texts: Vec<_> = happened(&balancer).into_iter().map(|it| it.1).collect();
    assert_eq!(texts[0], "host web:main/b is down: connection refused");
    assert!(
        texts[1].ends_with("weight=0, was weight=1; by the program"),
        "{texts:?}"
    );
    assert!(texts[2].contains("saveConfig"), "{texts:?}");
    assert!(
        texts[3].contains("is in force as generation 3"),
        "{texts:?}"
    );
    assert!(
        texts[4].ends_with("the running configuration stays"),
        "{texts:?}"
    );
}

#[test]
fn a_change_by_who_has_seen_another_configuration_is_refused() {
    let host = Host::new("a");
    let mut balancer = TestBalancer::open(&web("", "roundr", &[host.address()]));
    let seen = balancer.generation();
    balancer.order(&["setWeight service=web group=main name=a weight=5"]);
    let drain = command("drainHost service=web group=main name=a force=true");
    let answer = balancer
        .handle
        .execute_if_current(&Actor::Program, drain.clone(), seen);
    let why = answer.outcome.unwrap_err();
    assert!(
        why.starts_with("the configuration has changed meanwhile"),
        "{why}"
    );
    let answer = balancer
        .handle
        .execute_if_current(&Actor::Program, drain, seen + 1);
    assert_eq!(
        (answer.outcome, answer.generation),
        (Ok(String::new()), seen + 2)
    );
}

#[test]
fn sessions_are_counted_in_the_minute_that_is_under_way() {
    let host = Host::new("a");
    let balancer = TestBalancer::open(&web("", "roundr", &[host.address()]));
    assert_eq!(who_in_turn(balancer.address(), 3), "aaa");
    let recent = balancer.host("a").recent;
    assert_eq!(recent.len(), MINUTES);
    // A minute may have ended in between.
    assert_eq!(recent[MINUTES - 2] + recent[MINUTES - 1], 3);
}

#[test]
fn workers_are_alive_until_they_are_gone() {
    let host = Host::new("a");
    let text = web("", "roundr", &[host.address()]);
    let options = Options::new(3, |_| {});
    let config = txlb::config::read(text.as_bytes()).unwrap().config;
    let director = DataPlane::start(config, options).unwrap();
    let liveness = director.liveness();
    assert!(liveness.all_respond(TIMEOUT));
    drop(director);
    assert!(!liveness.all_respond(Duration::from_secs(1)));
}
