//! Hosts that answer, refuse and say nothing, and who of them goes first.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream as StdStream};
use std::thread;

use mio::net::TcpStream;

use super::*;
use crate::balance::Failure;
use crate::config::{Check, CheckKind};
use crate::relay::Clock;

/// Runs until all probes have ended, on the clock of the test.
fn results(
    prober: &mut Prober<&'static str>,
    clock: impl Fn() -> u64,
) -> Vec<ProbeResult<&'static str>> {
    let mut all = Vec::new();
    while !prober.is_idle() {
        all.extend(prober.wait(Duration::from_secs(10), &clock).unwrap());
    }
    all
}

const LONG: Duration = Duration::from_secs(10);

fn probe(key: &'static str, address: SocketAddr) -> Probe<&'static str> {
    Probe {
        key,
        group: 0,
        priority: ProbePriority::Routine,
        address: address.into(),
        source: None,
        timeout_ms: 5_000,
        send_proxy: None,
        dialogue: None,
        is_restarted: false,
    }
}

/// Silent hosts of many groups use up the limit. The results up to the answer of another host.
fn beside_silent_hosts(
    silent_are: ProbePriority,
    urgent: ProbePriority,
    (now_ms, poll_timeout): (u64, Duration),
) -> Vec<&'static str> {
    let (silent, _full) = silent_host();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut prober = Prober::new(4).unwrap();
    for group in 0..40 {
        prober.begin(Probe {
            group: group / 4,
            priority: silent_are,
            ..probe("silent", silent.local_addr().unwrap())
        });
    }
    assert!(prober.wait(Duration::ZERO, || 0).unwrap().is_empty());
    prober.begin(Probe {
        group: 99,
        priority: urgent,
        ..probe("alive", host.local_addr().unwrap())
    });
    prober.seen_ms = now_ms;
    let mut answered = Vec::new();
    while !answered.contains(&"alive") && answered.len() < 40 {
        let results = prober.wait(poll_timeout, || now_ms).unwrap();
        // A wait may end without results.
        if poll_timeout.is_zero() {
            assert!(results.is_empty());
            break;
        }
        answered.extend(results.iter().map(|result| result.key));
        assert!(prober.attempts.len() <= 4);
        let running: usize = prober.running.iter().sum();
        assert_eq!(running, prober.attempts.len());
    }
    answered
}

#[test]
fn a_group_without_hosts_is_probed_at_once_even_if_others_are_silent() {
    for others in [ProbePriority::UrgentButSilent, ProbePriority::Routine] {
        let answered = beside_silent_hosts(others, ProbePriority::Urgent, (0, LONG));
        assert_eq!(answered, ["alive"], "{others:?}");
    }
}

#[test]
fn who_is_silent_gives_way_to_a_group_that_has_no_place() {
    let late = beside_silent_hosts(
        ProbePriority::Routine,
        ProbePriority::UrgentButSilent,
        (PREEMPT_AFTER_MS, LONG),
    );
    assert_eq!(late, ["alive"]);
    let soon = beside_silent_hosts(
        ProbePriority::UrgentButSilent,
        ProbePriority::UrgentButSilent,
        (PREEMPT_AFTER_MS - 1, Duration::ZERO),
    );
    assert!(soon.is_empty());
}

#[test]
fn groups_take_turns() {
    let mut queue = FairQueue::default();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    for (key, group) in [
        ("a1", 1),
        ("a2", 1),
        ("a3", 1),
        ("b1", 2),
        ("c1", 3),
        ("b2", 2),
    ] {
        queue.push(Probe {
            group,
            ..probe(key, address)
        });
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.pop())
        .map(|it| it.key)
        .collect();
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    assert!(queue.is_empty());
}

fn real_clock() -> impl Fn() -> u64 {
    let clock = Clock::start();
    move || clock.now_ms()
}

#[test]
fn a_host_that_answers_once_has_not_failed() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    host.set_nonblocking(true).unwrap();
    let mut prober = Prober::new(8).unwrap();
    prober.begin(probe("alive", host.local_addr().unwrap()));
    let results = results(&mut prober, real_clock());
    assert!(matches!(
        results[..],
        [ProbeResult {
            key: "alive",
            verdict: Some(Verdict::Passed),
            ..
        }]
    ));
    assert_eq!(std::iter::from_fn(|| host.accept().ok()).count(), 1);
}

#[test]
fn a_host_that_refuses_fails_at_the_first_try() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut prober = Prober::new(8).unwrap();
    prober.begin(probe("dead", closed));
    let results = results(&mut prober, real_clock());
    assert!(matches!(
        results[..],
        [ProbeResult {
            verdict: Some(Verdict::Failed(Failure::Refused)),
            ..
        }]
    ));
}

#[test]
fn a_host_that_is_silent_fails_after_its_time_and_holds_nobody_up() {
    let (silent, _full) = silent_host();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut prober = Prober::new(8).unwrap();
    prober.begin(probe("silent", silent.local_addr().unwrap()));
    prober.begin(probe("alive", host.local_addr().unwrap()));
    let first = loop {
        let results = prober.wait(Duration::from_secs(10), || 0).unwrap();
        if !results.is_empty() {
            break results;
        }
    };
    assert!(matches!(first[..], [ProbeResult { key: "alive", .. }]));
    prober.seen_ms = 5_000;
    let late = prober.wait(Duration::from_secs(10), || 5_000).unwrap();
    assert!(matches!(
        late[..],
        [ProbeResult {
            key: "silent",
            verdict: Some(Verdict::Failed(Failure::TimedOut)),
            ..
        }]
    ));
}

#[test]
fn more_probes_than_allowed_take_turns() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut prober = Prober::new(2).unwrap();
    for _ in 0..9 {
        prober.begin(probe("alive", host.local_addr().unwrap()));
    }
    assert_eq!(results(&mut prober, real_clock()).len(), 9);
}

#[test]
fn who_has_made_room_once_gets_all_its_time() {
    let (silent, _full) = silent_host();
    let silent = silent.local_addr().unwrap();
    let mut prober = Prober::new(2).unwrap();
    let begin = |prober: &mut Prober<_>, group, priority| {
        prober.begin(Probe {
            group,
            priority,
            ..probe("silent", silent)
        });
    };
    begin(&mut prober, 1, ProbePriority::Routine);
    let mut ended = Vec::new();
    for tick in 0..20 {
        // Each tick another group without a healthy host wants its place.
        begin(&mut prober, 100 + tick, ProbePriority::UrgentButSilent);
        let now_ms = (tick as u64) * PREEMPT_AFTER_MS;
        prober.seen_ms = now_ms;
        ended.extend(prober.wait(Duration::ZERO, || now_ms).unwrap());
        assert!(prober.restarted <= prober.attempts.len());
    }
    assert!(!ended.is_empty());
    let all_failed = |it: &ProbeResult<_>| it.verdict == Some(Verdict::Failed(Failure::TimedOut));
    assert!(ended.iter().all(all_failed));
}

#[test]
fn a_process_that_was_stopped_gives_its_hosts_their_time() {
    let (silent, _full) = silent_host();
    let mut prober = Prober::new(2).unwrap();
    prober.begin(probe("silent", silent.local_addr().unwrap()));
    let none = prober.wait(Duration::ZERO, || 1_000).unwrap();
    assert!(none.is_empty());
    // Stopped for a minute between two waits.
    assert!(prober.wait(Duration::ZERO, || 61_000).unwrap().is_empty());
    prober.seen_ms = 65_900;
    assert!(prober.wait(Duration::ZERO, || 65_900).unwrap().is_empty());
    prober.seen_ms = 66_000;
    assert_eq!(prober.wait(Duration::ZERO, || 66_000).unwrap().len(), 1);
}

/// The verdict of a check on a host that does this with its client.
fn checked(check: Check, host: impl FnOnce(StdStream) + Send + 'static) -> Option<Verdict> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || host(listener.accept().unwrap().0));
    let mut prober = Prober::new(2).unwrap();
    prober.begin(Probe {
        dialogue: Some(Dialogue::new(&Arc::new(check), &address.into())),
        ..probe("checked", address)
    });
    let mut results = results(&mut prober, real_clock());
    drop(prober);
    thread.join().unwrap();
    results.remove(0).verdict
}

fn sends(send: &str, expect: &str) -> Check {
    Check {
        kind: CheckKind::Send,
        send: send.parse().unwrap(),
        expect: expect.parse().unwrap(),
        ..Check::default()
    }
}

#[test]
fn a_host_is_talked_to_until_the_verdict() {
    let answered = checked(sends("PING\\n", "PONG"), |mut client| {
        let mut asked = [0; 5];
        client.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"PING\n");
        for byte in b"+PONG\r\n" {
            // The check is over at the G.
            let _ = client.write_all(&[*byte]);
        }
    });
    assert_eq!(answered, Some(Verdict::Passed));
    let ended = checked(sends("", "220 "), |mut client| {
        client.write_all(b"554 no\r\n").unwrap();
    });
    let reason = "expected \"220 \" in the answer, got \"554 no\\r\\n\" and the end of the \
                  connection";
    let failure = Failure::Check(reason.to_owned());
    assert_eq!(ended, Some(Verdict::Failed(failure)));
}

#[test]
fn a_long_request_is_sent_as_the_host_takes_it() {
    let request = "x".repeat(16 * 1024);
    let passed = checked(sends(&request, "done"), |mut client| {
        let mut asked = vec![0; 16 * 1024];
        client.read_exact(&mut asked).unwrap();
        client.write_all(b"done").unwrap();
    });
    assert_eq!(passed, Some(Verdict::Passed));
}

/// A listener with a full accept backlog: connects to it stay in progress.
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
