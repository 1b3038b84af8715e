//! Tests of the pool: backups, slow start, the first check, and hosts that end sessions early.

use super::*;
use crate::balance::HostEnd;
use crate::config::{Algorithm, Initial};
use std::time::Duration;

const QUICK: HostEnd = HostEnd::Early {
    after_ms: 1,
    asked: true,
};

/// Configures the fixture with a change of its group.
fn configure(
    fixture: &mut PoolFixture,
    scheduler: &str,
    hosts: &str,
    change: impl FnOnce(&mut config::Group),
) {
    let mut group = group(scheduler, hosts);
    change(&mut group);
    fixture.pool.configure(&group, fixture.now_ms);
}

fn slow_start(group: &mut config::Group) {
    group.slow_start = Some(Duration::from_secs(30));
}

fn status<'a>(fixture: &'a PoolFixture, name: &str) -> HostStatus<'a> {
    let mut hosts = fixture.pool.hosts();
    hosts.find(|host| host.host.name == name).unwrap()
}

/// A session of `name` ends in this way.
fn end(fixture: &mut PoolFixture, name: &str, how: HostEnd) -> Option<HealthChange> {
    let (id, client, now_ms) = (fixture.id(name), fixture.client, fixture.now_ms);
    let change = fixture.host_ends(name, how);
    fixture.pool.session_ended(id, client, now_ms);
    change
}

/// A session that goes wherever the pool wants; on `bad` it ends early. Returns its host.
fn session(fixture: &mut PoolFixture, bad: &str) -> String {
    let Some(picked) = fixture.pick(&[]) else {
        return "-".to_owned();
    };
    let name = picked.host.name.clone();
    let how = if name == bad { QUICK } else { HostEnd::Served };
    end(fixture, &name, how);
    name
}

#[test]
fn a_backup_is_picked_only_while_no_other_host_can_be() {
    for scheduler in all_schedulers() {
        for (hosts, script, picked) in [
            ("a@backup b", ". .", "b b"),
            ("a@backup b", "!b . . ?b .", "a a b"),
            ("a@backup b@drain", ". .", "a a"),
            ("a@backup b*0", ".", "a"),
            ("a@backup b", "!b !a . .", "b b"),
            ("a@backup b@down", "!a . .", "a a"),
            ("a@backup", ". .", "a a"),
        ] {
            let run = PoolFixture::new(&scheduler, hosts).run(script);
            assert_eq!(run, picked, "{scheduler} {hosts}: {script}");
        }
        let mut fixture = PoolFixture::new(&scheduler, "a b@backup c@backup d@backup");
        fixture.run("!d");
        let [a, b, c] = ["a", "b", "c"].map(|name| fixture.id(name));
        assert_eq!(fixture.pick(&[]).unwrap().id, a);
        assert_eq!(
            fixture.pick(&[a]).unwrap().id,
            b,
            "{scheduler}: none is left"
        );
        assert_eq!(
            fixture.pick(&[a]).unwrap().id,
            c,
            "{scheduler}: less loaded"
        );
        assert_eq!(fixture.pick(&[a, b]).unwrap().id, c, "{scheduler}");
        assert!(
            fixture.pick(&[a, b, c]).is_none(),
            "{scheduler}: d has failed"
        );
        // While all have failed, a client that has tried the others has the backups left.
        fixture.run("!a !b !c");
        assert_eq!(fixture.pick(&[]).unwrap().id, a, "{scheduler}");
        assert_ne!(fixture.pick(&[a]).unwrap().id, a, "{scheduler}");
    }
}

#[test]
fn when_all_have_failed_nobody_is_picked_if_the_group_does_not_fail_open() {
    for scheduler in all_schedulers() {
        let mut fixture = PoolFixture::new(&scheduler, "a b");
        configure(&mut fixture, &scheduler, "a b", |group| {
            group.fail_open = false;
        });
        assert_eq!(fixture.run("!a . !b . ?a ."), "b - a", "{scheduler}");
    }
}

#[test]
fn a_host_that_is_down_initially_waits_for_its_first_check() {
    for scheduler in all_schedulers() {
        let mut fixture = PoolFixture::new(&scheduler, "");
        let down = |group: &mut config::Group| group.initial = Initial::Down;
        configure(&mut fixture, &scheduler, "a b", down);
        assert!(status(&fixture, "a").pending && fixture.pool.all_failed());
        assert_eq!(fixture.pool.health_check_targets().len(), 2);
        assert!(fixture.pool.heartbeat_targets().is_empty());
        assert_eq!(fixture.run(". ?a . !a ."), "- a a", "{scheduler}");
        assert_eq!(fixture.run("?b ."), "b", "{scheduler}: the first one of it");
        // An operator may know better.
        configure(&mut fixture, &scheduler, "c", down);
        let c = fixture.id("c");
        assert_eq!(fixture.run("."), "-", "{scheduler}: a new host");
        assert!(fixture.pool.reset_health(c, 0));
        assert_eq!(fixture.run("."), "c", "{scheduler}");
    }
}

/// The expected parts of three hosts at different times, as a table: the host that comes back is
/// a, its share is so many percent, and the others have whole ones.
#[test]
fn a_host_in_slow_start_gets_its_part_of_a_share_under_any_scheduler() {
    const PICKS: u32 = 21_000;
    for algorithm in Algorithm::ALL {
        let scheduler = config::Scheduler::from(algorithm.clone()).to_string();
        for (seconds, percent) in [(0, 10), (10, 40), (20, 70), (30, 100)] {
            let mut fixture = PoolFixture::new(&scheduler, "a b c");
            configure(&mut fixture, &scheduler, "a b c", slow_start);
            fixture.run("!a");
            fixture.now_ms = 100_000;
            fixture.run("?a");
            assert_eq!(
                status(&fixture, "a").slow_start.unwrap().percent(100_000),
                10
            );
            fixture.now_ms += seconds * 1000;
            // Sessions that end at once: it is not load that holds the host back.
            let counts = fixture.count_picks(PICKS);
            let got = counts[0].1;
            // Its percentage of a third, or its weight of all weights.
            let (least, most) = match algorithm {
                Algorithm::Maglev => (PICKS / 3, PICKS / 3),
                _ => (PICKS * percent / 300, PICKS * percent / (percent + 200)),
            };
            let range = least - least / 10..=most + most / 10;
            assert!(range.contains(&got), "{scheduler} {percent} %: {got}");
        }
    }
}

#[test]
fn sessions_that_stay_are_shared_by_slow_start_too() {
    for scheduler in ["leastc", "leastcrr", "weightlc"] {
        let mut fixture = PoolFixture::new(scheduler, "a b c");
        configure(&mut fixture, scheduler, "a b c", slow_start);
        fixture.run("!a");
        fixture.now_ms = 100_000;
        fixture.run("?a");
        fixture.now_ms += 10_000;
        (0..2400).for_each(|_| drop(fixture.pick(&[])));
        let open = status(&fixture, "a").open;
        assert!((380..=420).contains(&open), "{scheduler}: {open}, not 400");
    }
}

#[test]
fn who_comes_back_starts_slowly_and_who_was_there_does_not() {
    let came_back = |before: &str, script: &str, after: &str| {
        let mut fixture = PoolFixture::new("roundr", "");
        let mut fresh = group("roundr", before);
        slow_start(&mut fresh);
        fixture.pool = HostPool::new(&fresh, 1, 0);
        fixture.now_ms = 1000;
        fixture.run(script);
        configure(&mut fixture, "roundr", after, slow_start);
        status(&fixture, "a").slow_start.is_some()
    };
    for (before, script, after, slow) in [
        ("a b", "", "a b", false),
        ("a b", "!b ?b", "a b", false),
        ("a b", "!a ?a", "a b", true),
        ("b", "", "a b", true),
        ("a@drain b", "", "a b", false),
        ("a b", "", "a=10.0.0.2:80 b", true),
        ("a b", "", "a*3 b", false),
    ] {
        let is_slow = came_back(before, script, after);
        assert_eq!(is_slow, slow, "{before}, {script}, {after}");
    }
    // It was taken out of service and put back.
    for away in ["a@drain b", "a@down b", "a*0 b", "b"] {
        let mut fixture = PoolFixture::new("roundr", "a b");
        configure(&mut fixture, "roundr", away, slow_start);
        configure(&mut fixture, "roundr", "a b", slow_start);
        assert!(status(&fixture, "a").slow_start.is_some(), "{away}");
        configure(&mut fixture, "roundr", "a b", |_| {});
        assert!(
            status(&fixture, "a").slow_start.is_none(),
            "no longer configured"
        );
    }
}

#[test]
fn a_host_that_ends_sessions_quickly_is_suspect_while_others_serve() {
    let mut fixture = PoolFixture::new("roundr", "a b c");
    let suspects: Vec<_> = (0..60)
        .filter_map(|_| {
            fixture.now_ms += 1;
            session(&mut fixture, "a");
            fixture.pool.hosts().find(|it| it.suspect).map(|it| it.id)
        })
        .collect();
    assert_eq!(suspects.first(), Some(&fixture.id("a")));
    assert!(matches!(status(&fixture, "a").health, Health::Untried));
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    let cleared = fixture.pool.has_served(id, &address, fixture.now_ms);
    assert_eq!(cleared, Some(HealthChange::Cleared));
    assert!(!status(&fixture, "a").suspect);
    assert_eq!(fixture.pool.has_served(id, &address, fixture.now_ms), None);
}

#[test]
fn nobody_is_suspect_where_none_serves_and_what_tells_nothing_breaks_no_row() {
    // All alike, and the only one.
    for hosts in ["a b c", "a"] {
        let mut fixture = PoolFixture::new("leastc", hosts);
        for _ in 0..300 {
            let picked = fixture.pick(&[]).unwrap();
            let name = picked.host.name.clone();
            assert_eq!(end(&mut fixture, &name, QUICK), None, "{hosts}");
        }
    }
    let mut fixture = PoolFixture::new("roundr", "a b");
    let mut told = Vec::new();
    for number in 1..=40 {
        fixture.run("+ +");
        let how = if number % 2 == 0 {
            QUICK
        } else {
            HostEnd::Unknown
        };
        end(&mut fixture, "b", HostEnd::Served);
        told.extend(end(&mut fixture, "a", how).map(|change| (number, change)));
    }
    assert_eq!(told, [(40, HealthChange::Suspect)]);
}

#[test]
fn the_end_of_an_old_session_clears_nobody() {
    let mut fixture = PoolFixture::new("leastc", "a b");
    configure(&mut fixture, "leastc", "a b", |group| group.fail_after = 2);
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    fixture.run("+ + + +");
    assert_eq!(end(&mut fixture, "a", QUICK), None);
    // Its first byte came before that.
    let now_ms = fixture.now_ms;
    let old = |fixture: &mut PoolFixture| {
        let news = (false, Some(HostEnd::Served));
        fixture.pool.host_reported(id, &address, news, now_ms)
    };
    assert_eq!(old(&mut fixture), [None, None]);
    fixture.run("+");
    let down = end(&mut fixture, "a", QUICK);
    assert_eq!(down, Some(HealthChange::Down(Failure::EndedEarly(2))));
    assert_eq!(old(&mut fixture), [None, None]);
    // Who is picked in a row reports the first byte, however long the session goes on.
    let picked = fixture.pick(&[fixture.id("b")]);
    assert!(picked.is_none_or(|picked| picked.ended_early));
}

#[test]
fn a_host_is_suspect_too_if_others_have_long_sessions_alone() {
    let mut fixture = PoolFixture::new("leastc", "a b");
    // b has sessions that go on, and gets no new ones, as a looks idle.
    fixture.run("+ + +");
    let b = fixture.pool.hosts().find(|it| it.host.name == "b").unwrap();
    b.host.counters.add_bytes(0, 0, 1);
    end(&mut fixture, "a", QUICK);
    let mut changes = (0..30).filter_map(|_| {
        fixture.run("+");
        end(&mut fixture, "a", QUICK)
    });
    assert_eq!(changes.next(), Some(HealthChange::Suspect));
}

#[test]
fn a_host_that_fails_quickly_attracts_nobody_before_others_have_said_a_byte() {
    for scheduler in ["leastc", "leastcrr", "weightlc", "p2c"] {
        let mut fixture = PoolFixture::new(scheduler, "a b c");
        let mut got = 0;
        // Eight clients at a time, each second 2,000 sessions: those on a end at once, the others
        // after half a second.
        let mut waiting = std::collections::VecDeque::new();
        for step in 0..4000_u64 {
            fixture.now_ms = step / 2;
            while waiting
                .front()
                .is_some_and(|(at_ms, _)| *at_ms <= fixture.now_ms)
            {
                let (_, name): (u64, String) = waiting.pop_front().unwrap();
                end(&mut fixture, &name, HostEnd::Served);
            }
            if waiting.len() < 8 {
                let name = fixture.pick(&[]).unwrap().host.name.clone();
                if name == "a" {
                    got += 1;
                    end(&mut fixture, "a", QUICK);
                } else {
                    waiting.push_back((fixture.now_ms + 500, name));
                }
            }
        }
        assert!(got < 60, "{scheduler}: {got}");
    }
}

#[test]
fn too_many_early_ends_in_a_row_make_a_host_failed_which_returns_later_each_time() {
    let mut fixture = PoolFixture::new("leastc", "a b");
    configure(&mut fixture, "leastc", "a b", |group| group.fail_after = 3);
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    let early = |fixture: &mut PoolFixture| {
        fixture.run("+ +");
        end(fixture, "b", HostEnd::Served);
        end(fixture, "a", QUICK)
    };
    assert_eq!([(); 2].map(|()| early(&mut fixture)), [None, None]);
    assert_eq!(end(&mut fixture, "a", HostEnd::Unknown), None);
    let failure = Failure::EndedEarly(3);
    let why = "accepted 3 sessions in a row and ended each before its first byte";
    assert_eq!(failure.to_string(), why);
    let change = early(&mut fixture);
    assert_eq!(change, Some(HealthChange::Down(failure.clone())));
    // A connect tells nothing of it, whether a session's or a check's.
    let now_ms = fixture.now_ms;
    assert_eq!(fixture.pool.connected(id, &address, now_ms), None);
    for (wait_ms, row) in [(10_000, 4), (20_000, 5), (40_000, 6)] {
        fixture.now_ms += wait_ms - 1;
        assert_eq!(fixture.recover("a"), None, "{wait_ms}");
        fixture.now_ms += 1;
        assert_eq!(fixture.recover("a"), Some(HealthChange::Up), "{wait_ms}");
        let again = HealthChange::Down(Failure::EndedEarly(row));
        assert_eq!(early(&mut fixture), Some(again), "one is enough now");
    }
    // A byte brings it back at once, where all have failed.
    fixture.run("!b +");
    assert_eq!(
        end(&mut fixture, "a", HostEnd::Served),
        Some(HealthChange::Up)
    );
    fixture.run("?b");
    assert_eq!([(); 2].map(|()| early(&mut fixture)), [None, None]);
    // So many that were reset before they were connected count as well.
    let b = fixture.id("b");
    let picked = fixture.pick(&[b]).unwrap();
    let now_ms = fixture.now_ms;
    let change = fixture.pool.refused_early(&picked, CLIENT, now_ms);
    assert_eq!(change, Some(HealthChange::Down(failure)));
}

#[test]
fn only_what_is_more_than_a_tenth_above_its_share_is_too_much() {
    type Sessions = &'static [(&'static str, usize)];
    let table: [(&str, &str, Sessions, Sessions); 14] = [
        ("leastc", "", &[], &[]),
        ("leastc", "a", &[], &[]),
        ("leastc", "a", &[("a", 50)], &[]),
        ("leastc", "a b", &[("a", 1)], &[]),
        ("leastc", "a b", &[("a", 10)], &[("a", 5)]),
        ("leastc", "a b", &[("a", 55), ("b", 45)], &[]),
        ("leastc", "a b", &[("a", 56), ("b", 44)], &[("a", 1)]),
        ("leastc", "a b c", &[("a", 2)], &[("a", 1)]),
        (
            "leastc",
            "a b c",
            &[("a", 50), ("b", 40)],
            &[("a", 17), ("b", 7)],
        ),
        // By weight, where the scheduler looks at weights.
        ("weightlc", "a*3 b", &[("a", 30), ("b", 10)], &[]),
        ("weightlc", "a*3 b", &[("a", 10), ("b", 30)], &[("b", 19)]),
        ("leastc", "a*3 b", &[("a", 30), ("b", 10)], &[("a", 8)]),
        // A host that gets no sessions has no share, and its sessions belong to none.
        ("leastc", "a b@drain", &[("a", 10), ("b", 30)], &[]),
        ("leastc", "a b c@down", &[("a", 10), ("c", 90)], &[("a", 5)]),
    ];
    for (scheduler, hosts, open, expected) in table {
        let mut fixture = PoolFixture::new(scheduler, "");
        for (name, sessions) in open {
            let others = ["a", "b", "c"].map(|it| match it == *name {
                true => it.to_owned(),
                false => format!("{it}@down"),
            });
            fixture.configure(scheduler, &others.join(" "));
            (0..*sessions).for_each(|_| drop(fixture.run("+")));
        }
        fixture.configure(scheduler, hosts);
        let expected: Vec<_> = (expected.iter())
            .map(|(name, excess)| (fixture.id(name), *excess))
            .collect();
        assert_eq!(fixture.pool.excess(), expected, "{hosts} with {open:?}");
    }
}
