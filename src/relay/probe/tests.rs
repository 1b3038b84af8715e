//! Hosts that answer, refuse and say nothing, and who of them goes first.

use super::*;
use crate::relay::Clock;
use std::net::TcpListener;

/// Runs until all probes are over; the clock of the fault is the test's.
fn verdicts(
    prober: &mut Prober<&'static str>,
    clock: impl Fn() -> u64,
) -> Vec<Verdict<&'static str>> {
    let mut all = Vec::new();
    while !prober.is_idle() {
        all.extend(prober.wait(Duration::from_secs(10), &clock).unwrap());
    }
    all
}

const LONG: Duration = Duration::from_secs(10);

fn probe(key: &'static str, address: SocketAddr, tries: u32) -> Probe<&'static str> {
    Probe {
        key,
        group: 0,
        urgency: Urgency::Routine,
        address,
        tries,
        timeout_ms: 5_000,
    }
}

/// Silent hosts of many groups have all places; the first answer after `now_ms`.
fn beside_silent_hosts(
    silent_are: Urgency,
    urgent: Urgency,
    (now_ms, patience): (u64, Duration),
) -> Vec<&'static str> {
    let (silent, _full) = silent_host();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut prober = Prober::new(4).unwrap();
    for group in 0..40 {
        prober.begin(Probe {
            group: group / 4,
            urgency: silent_are,
            ..probe("silent", silent.local_addr().unwrap(), 1)
        });
    }
    assert!(prober.wait(Duration::ZERO, || 0).unwrap().is_empty());
    prober.begin(Probe {
        group: 99,
        urgency: urgent,
        ..probe("alive", host.local_addr().unwrap(), 4)
    });
    let mut answered = Vec::new();
    while !answered.contains(&"alive") && answered.len() < 40 {
        let verdicts = prober.wait(patience, || now_ms).unwrap();
        // Waits may end without news.
        if patience.is_zero() {
            assert!(verdicts.is_empty());
            break;
        }
        answered.extend(verdicts.iter().map(|verdict| verdict.key));
        assert!(prober.under_way.len() <= 4);
        let held: usize = prober.held.iter().sum();
        assert_eq!(held, prober.under_way.len());
    }
    answered
}

#[test]
fn who_has_no_host_left_is_tried_at_once_whoever_else_is_silent() {
    for others in [Urgency::UrgentButSilent, Urgency::Routine] {
        let answered = beside_silent_hosts(others, Urgency::Urgent, (0, LONG));
        assert_eq!(answered, ["alive"], "{others:?}");
    }
}

#[test]
fn who_is_silent_gives_way_to_a_group_that_has_no_place() {
    let late = beside_silent_hosts(
        Urgency::Routine,
        Urgency::UrgentButSilent,
        (GIVE_WAY_MS, LONG),
    );
    assert_eq!(late, ["silent", "alive"]);
    let soon = beside_silent_hosts(
        Urgency::UrgentButSilent,
        Urgency::UrgentButSilent,
        (GIVE_WAY_MS - 1, Duration::ZERO),
    );
    assert!(soon.is_empty());
}

#[test]
fn groups_take_turns() {
    let mut lanes = Lanes::default();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    for (key, group) in [
        ("a1", 1),
        ("a2", 1),
        ("a3", 1),
        ("b1", 2),
        ("c1", 3),
        ("b2", 2),
    ] {
        lanes.push(Probe {
            group,
            ..probe(key, address, 1)
        });
    }
    let order: Vec<_> = std::iter::from_fn(|| lanes.pop())
        .map(|it| it.key)
        .collect();
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    assert!(lanes.probes.is_empty());
}

fn real_clock() -> impl Fn() -> u64 {
    let clock = Clock::start();
    move || clock.now_ms()
}

#[test]
fn a_host_that_answers_is_connected_to_so_many_times() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    host.set_nonblocking(true).unwrap();
    let mut prober = Prober::new(8).unwrap();
    prober.begin(probe("alive", host.local_addr().unwrap(), 4));
    let verdicts = verdicts(&mut prober, real_clock());
    assert!(matches!(
        verdicts[..],
        [Verdict {
            key: "alive",
            result: Some(Ok(())),
            ..
        }]
    ));
    assert_eq!(std::iter::from_fn(|| host.accept().ok()).count(), 4);
}

#[test]
fn a_host_that_refuses_fails_at_the_first_try() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut prober = Prober::new(8).unwrap();
    prober.begin(probe("dead", closed, 4));
    let verdicts = verdicts(&mut prober, real_clock());
    assert!(matches!(
        verdicts[..],
        [Verdict {
            result: Some(Err(Failure::Refused)),
            ..
        }]
    ));
}

#[test]
fn a_host_that_is_silent_fails_after_its_time_and_holds_nobody_up() {
    let (silent, _full) = silent_host();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut prober = Prober::new(8).unwrap();
    prober.begin(probe("silent", silent.local_addr().unwrap(), 1));
    prober.begin(probe("alive", host.local_addr().unwrap(), 1));
    let first = loop {
        let verdicts = prober.wait(Duration::from_secs(10), || 0).unwrap();
        if !verdicts.is_empty() {
            break verdicts;
        }
    };
    assert!(matches!(first[..], [Verdict { key: "alive", .. }]));
    let late = prober.wait(Duration::from_secs(10), || 5_000).unwrap();
    assert!(matches!(
        late[..],
        [Verdict {
            key: "silent",
            result: Some(Err(Failure::TimedOut)),
            ..
        }]
    ));
}

#[test]
fn more_probes_than_allowed_take_turns() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut prober = Prober::new(2).unwrap();
    for _ in 0..9 {
        prober.begin(probe("alive", host.local_addr().unwrap(), 2));
    }
    assert_eq!(verdicts(&mut prober, real_clock()).len(), 9);
}

/// A listener whose queue is full: the system drops what comes, and a
/// connect just stays in progress.
fn silent_host() -> (TcpListener, Vec<TcpStream>) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&descriptor, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&descriptor, 0).unwrap();
    let listener = TcpListener::from(descriptor);
    let address = listener.local_addr().unwrap();
    let full = (0..4)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    (listener, full)
}
