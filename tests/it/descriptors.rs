//! Running out of descriptors, on accept and on connect, and recovering.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::client::{Session, connect, patient, read_all, who, who_in_turn};
use crate::support::config::{web, web_service};
use crate::support::host::{Host, hang_up};
use crate::support::proc::{descriptors, processor_time, shows_descriptors};
use crate::support::txlb::{Folder, Txlb, program};
use crate::support::until;
use rustix::process::{Resource, Rlimit, prlimit};

const FULL: &str = "as many sessions are open as there are descriptors for (";

/// Whether this client got data from the host.
fn is_served(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let received = matches!(client.peek(&mut [0]), Ok(1..));
    client.set_nonblocking(false).unwrap();
    received
}

/// How many clients got data from their host.
fn served(clients: &[TcpStream]) -> usize {
    clients.iter().filter(|client| is_served(client)).count()
}

/// The number after `text` in a line.
fn number_after(line: &str, text: &str) -> usize {
    let (_, rest) = line.split_once(text).unwrap();
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}

/// Sets the limit to this many more descriptors than txlb has open.
fn leave(txlb: &Txlb, more: u64) {
    let open = descriptors(txlb.pid());
    let mut free = (0..).filter(|number| !open.contains(number));
    let current = free.nth(usize::try_from(more).unwrap());
    limit(txlb, current.unwrap());
}

fn limit(txlb: &Txlb, current: u64) {
    let maximum = Some(1024);
    let old = prlimit(
        Some(txlb.pid()),
        Resource::Nofile,
        Rlimit {
            current: Some(current),
            maximum,
        },
    );
    old.unwrap();
}

/// Runs `wait`, and checks that txlb does not spin meanwhile.
fn without_a_busy_loop<T>(txlb: &mut Txlb, wait: impl FnOnce(&mut Txlb) -> T) -> T {
    let (start, before) = (Instant::now(), processor_time(txlb.pid()));
    let result = wait(txlb);
    let (passed, used) = (start.elapsed(), processor_time(txlb.pid()) - before);
    assert!(
        used < passed / 4 + Duration::from_millis(100),
        "{used:?} of {passed:?}"
    );
    result
}

/// Repeated lines are counted for ten seconds: one each second, fewer on a slow machine.
fn once_a_second(line: &str) {
    let times = number_after(line, "said ");
    assert!((5..=10).contains(&times), "{line}");
}

#[test]
fn clients_there_are_no_descriptors_for_wait_until_there_are() {
    let host = Host::new("a");
    let mut txlb = Txlb::start_limited(128, &web("", "leastc", &[host.address()]), &["-w", "4"]);
    let clients: Vec<TcpStream> = (0..64).map(|_| connect(txlb.address())).collect();
    let first = txlb.wait_for(FULL);
    let room = number_after(&first, FULL);
    assert!((10..60).contains(&room), "{first}");
    // Workers check the limit at the same time: each may accept one more.
    let fits = room..room + 4;
    until("as many are served as fit", || {
        fits.contains(&served(&clients))
    });
    let more = without_a_busy_loop(&mut txlb, |txlb| txlb.wait_for(FULL));
    once_a_second(&more);
    assert!(fits.contains(&served(&clients)));

    let (first_ones, mut waiting): (Vec<_>, Vec<_>) = clients.into_iter().partition(is_served);
    let mut sessions: Vec<_> = first_ones
        .into_iter()
        .map(|it| Session::on(it).unwrap())
        .collect();
    sessions.iter_mut().for_each(|session| session.echo(1000));
    for session in sessions {
        assert_eq!(session.close(), "a");
    }
    // Waiting clients are served in any order as others leave.
    while !waiting.is_empty() {
        until("somebody is served", || served(&waiting) > 0);
        let (next_ones, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_served);
        for client in next_ones {
            let mut session = Session::on(client).unwrap();
            session.echo(1000);
            assert_eq!(session.close(), "a");
        }
        waiting = rest;
    }
    assert_eq!(txlb.count(" is down: "), 0);
}

#[test]
fn one_service_leaves_the_last_sessions_to_the_other() {
    let (host, other_host) = (Host::new("a"), Host::new("b"));
    let other = web_service("", "leastc", &[other_host.address()]).replace("web", "other");
    let web = web_service("", "leastc", &[host.address()]);
    let config = format!("<config>{web}{other}</config>");
    let mut txlb = Txlb::start_limited(220, &config, &["-w", "2"]);
    let paused = "service web has its share of the sessions there are descriptors for (";
    let clients: Vec<TcpStream> = (0..120).map(|_| connect(txlb.address())).collect();
    let capacity = number_after(&txlb.wait_for(paused), paused);
    let (most, reserve) = (capacity - capacity / 10, capacity / 10);
    assert!((2..10).contains(&reserve), "{capacity}");
    // Each worker may have accepted one more.
    let fits = most..most + 2;
    until("nine tenths are served", || {
        fits.contains(&served(&clients))
    });
    let last = without_a_busy_loop(&mut txlb, |txlb| {
        // In groups, several times.
        let place = txlb.addresses("other")[0];
        for _ in 0..3 {
            let mut sessions: Vec<_> = (1..reserve).map(|_| Session::open(place)).collect();
            sessions.iter_mut().for_each(|session| session.echo(1000));
            for session in sessions {
                assert_eq!(session.close(), "b");
            }
        }
        txlb.wait_for(paused)
    });
    once_a_second(&last);
    assert!(fits.contains(&served(&clients)));
    // As the service's sessions end, its other clients are accepted.
    let mut waiting = clients;
    while !waiting.is_empty() {
        until("somebody is served", || served(&waiting) > 0);
        let (next_ones, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_served);
        for client in next_ones {
            assert_eq!(Session::on(client).unwrap().close(), "a");
        }
        waiting = rest;
    }
}

#[test]
fn an_accept_without_a_descriptor_is_tried_again() {
    if !shows_descriptors() {
        return;
    }
    let host = Host::new("a");
    let mut txlb = Txlb::start_limited(1024, &web("", "leastc", &[host.address()]), &["-w", "1"]);
    assert_eq!(who(txlb.address()), "a");
    leave(&txlb, 0);
    let clients: Vec<TcpStream> = (0..5).map(|_| connect(txlb.address())).collect();
    let complaint = "cannot accept clients for the moment: ";
    let last = without_a_busy_loop(&mut txlb, |txlb| {
        txlb.wait_for(complaint);
        txlb.wait_for(complaint)
    });
    once_a_second(&last);
    assert!(!clients.iter().any(is_served), "{last}");
    limit(&txlb, 1024);
    for client in clients {
        assert_eq!(Session::on(client).unwrap().close(), "a");
    }
    assert_eq!(txlb.count(" is down: "), 0);
}

#[test]
fn a_connect_without_a_descriptor_is_not_the_hosts_fault() {
    if !shows_descriptors() {
        return;
    }
    let hosts = [Host::new("a"), Host::new("b")];
    let config = web("", "roundr", &hosts.each_ref().map(Host::address));
    let mut txlb = Txlb::start_limited(1024, &config, &["-w", "1"]);
    assert_eq!(who_in_turn(txlb.address(), 2), "ab");
    let before = descriptors(txlb.pid()).len();
    // Enough for the client's socket, not for the host's.
    leave(&txlb, 1);
    let mut client = connect(txlb.address());
    client.write_all(b"early bird").unwrap();
    until("it is accepted", || {
        descriptors(txlb.pid()).len() == before + 1
    });
    without_a_busy_loop(&mut txlb, |txlb| {
        // No client is served for half a second.
        client
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        assert!(client.peek(&mut [0]).is_err());
        assert_eq!(txlb.count(" is down: "), 0);
    });
    limit(&txlb, 1024);
    hang_up(&client);
    let (received, _) = read_all(&patient(client));
    assert!(
        [&b"a\nearly bird"[..], b"b\nearly bird"].contains(&&received[..]),
        "{received:?}"
    );
    assert_eq!(txlb.count(" is down: "), 0);
}

#[test]
fn three_thousand_sessions_one_after_the_other_leave_nothing_behind() {
    if !shows_descriptors() {
        return;
    }
    let host = Host::new("a");
    let txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    let before = descriptors(txlb.pid()).len();
    for _ in 0..3000 {
        assert_eq!(who(txlb.address()), "a");
    }
    until("all descriptors are closed", || {
        descriptors(txlb.pid()).len() <= before
    });
}

#[test]
fn too_few_descriptors_for_a_session_are_refused_with_words() {
    let folder = Folder::new();
    let host = Host::new("a");
    let file = folder.write("config.xml", web("", "leastc", &[host.address()]));
    let started = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 20 && exec \"$0\" \"$@\""])
        .arg(program())
        .args(["-w", "2", "-f"])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&started.stderr);
    assert_eq!(started.status.code(), Some(71), "{said}");
    assert!(said.contains("20 file descriptors are too few"), "{said}");
}

#[test]
fn most_of_few_descriptors_are_for_sessions() {
    let host = Host::new("a");
    let config = web("", "leastc", &[host.address()]);
    for (limit, at_least) in [(64, 10), (1024, 480)] {
        let mut txlb = Txlb::start_limited(limit, &config, &["-w", "2"]);
        let line = txlb
            .seen
            .iter()
            .find(|line| line.contains("enough for "))
            .cloned();
        let room = number_after(&line.unwrap(), "enough for ");
        assert!(room >= at_least, "{room} of {limit}");
        let clients: Vec<_> = (0..room).map(|_| connect(txlb.address())).collect();
        until("all are served", || served(&clients) == room);
        assert_eq!(txlb.count(" is down: "), 0);
    }
}
