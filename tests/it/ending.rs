//! Sessions that are ended: by operators, of hosts that failed or are out of service, and to spread
//! them anew.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::client::{End, connect, patient, read_all, who};
use crate::support::config::web;
use crate::support::control::{Controlled, ctl};
use crate::support::host::{Host, Listener, Place};
use crate::support::{pause, until};

const CLEAN: (Vec<u8>, End) = (Vec::new(), End::Clean);

fn start(attributes: &str, hosts: &[&Host]) -> Controlled {
    let hosts: Vec<_> = hosts.iter().map(|host| host.address()).collect();
    let logging = "<logging connections=\"true\"/></config>";
    Controlled::start(&web(attributes, "leastc", &hosts).replace("</config>", logging))
}

/// A client whose host has said its name, which it returns as well.
fn client(controlled: &Controlled) -> (TcpStream, String) {
    let mut client = patient(connect(controlled.txlb.address()));
    let mut name = [0; 2];
    client.read_exact(&mut name).unwrap();
    (client, String::from_utf8_lossy(&name).trim().to_owned())
}

/// Whether its session goes on.
fn goes_on(mut client: &TcpStream) -> bool {
    client.write_all(b"!").is_ok() && client.read(&mut [0]).is_ok_and(|length| length == 1)
}

fn open(controlled: &Controlled) -> usize {
    let sessions = controlled.tell(&["--json", "sessions"]);
    sessions.matches("\"id\":").count()
}

#[test]
fn one_session_is_ended_by_its_id_in_order() {
    let host = Host::new("a");
    let mut controlled = start("", &[&host]);
    let (one, _) = client(&controlled);
    let listed = controlled.tell(&["sessions"]);
    let row = listed.lines().nth(1).unwrap();
    let id = format!("id={}", row.split_whitespace().next().unwrap());
    let (other, _) = client(&controlled);
    let told = controlled.tell(&["endSession", &id]);
    assert!(told.contains("1 session is ended"), "{told}");
    assert_eq!(read_all(&one), CLEAN);
    assert!(goes_on(&other));
    controlled.txlb.wait_for(" KD ");
    assert!(
        controlled
            .refused(&["endSession", &id])
            .contains("no open session")
    );
}

#[test]
fn sessions_are_ended_by_what_selects_them() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let controlled = start("", &[&a, &b]);
    let clients: Vec<_> = (0..4).map(|_| client(&controlled)).collect();
    let refused = controlled.refused(&["endSessions"]);
    assert!(refused.contains("force=true"), "{refused}");
    for (words, number) in [
        (&["host=b"][..], 2),
        (&["web:main/a"], 2),
        (&["web:main", "client=127.0.0.0/8"], 4),
        (&["web", "idle=3600"], 0),
    ] {
        let listed = controlled.tell(&[&["sessions"], words].concat());
        assert_eq!(listed.matches(" web:main/").count(), number, "{listed}");
    }
    let listed = controlled.tell(&["--json", "sessions", "web:main/b"]);
    assert_eq!(listed.matches("\"host\":\"b\"").count(), 2, "{listed}");
    assert_eq!(listed.matches("\"id\":").count(), 2, "{listed}");
    let none = controlled.tell(&["sessions", "client=10.0.0.9"]);
    assert_eq!(none, "no session matches\n");
    let none = controlled.tell(&["endSessions", "client=10.0.0.0/8"]);
    assert!(none.contains("0 sessions ended"), "{none}");
    let told = controlled.tell(&["endSessions", "service=web", "host=b"]);
    assert!(told.contains("2 sessions ended"), "{told}");
    for (client, name) in &clients {
        assert_eq!(goes_on(client), name == "a");
    }
    let told = controlled.tell(&["endSessions", "client=127.0.0.0/8", "rate=1000"]);
    assert!(
        told.contains("2 sessions will be ended, 1000 a second"),
        "{told}"
    );
    until("all are ended", || open(&controlled) == 0);
    assert_eq!(controlled.tell(&["sessions"]), "no session is open\n");
}

#[test]
fn an_unknown_name_is_named_with_what_may_be_meant() {
    let host = Host::new("one");
    let controlled = start("", &[&host]);
    for (words, expected) in [
        (&["endSessions", "svc9"][..], "there is no service \"svc9\""),
        (
            &["sessions", "wbe"],
            "there is no service \"wbe\": is \"web\" meant?",
        ),
        (
            &["status", "web:mian"],
            "service \"web\" has no group \"mian\": is \"main\" meant?",
        ),
        (
            &["endSessions", "group=mian"],
            "there is no group \"mian\": is \"main\" meant?",
        ),
        (
            &["sessions", "web:main/aa"],
            "group \"main\" of service \"web\" has no host \"aa\": is \"a\" meant?",
        ),
        (
            &["rebalance", "web:mian"],
            "has no group \"mian\": is \"main\" meant?",
        ),
        (&["ready", "wbe"], "is \"web\" meant?"),
        (&["retryHost", "web:main/aa"], "is \"a\" meant?"),
    ] {
        let refused = controlled.refused(words);
        assert!(refused.contains(expected), "{words:?}: {refused}");
    }
}

/// Bytes that a side has not taken are on their way.
#[test]
fn a_session_with_bytes_on_their_way_is_reset() {
    let host = Listener::new();
    let controlled = Controlled::start(&web("", "roundr", &[host.address()]));
    let client = patient(connect(controlled.txlb.address()));
    let at_host = host.accept();
    let sender = std::thread::spawn(move || while (&at_host).write(&[b'z'; 1 << 16]).is_ok() {});
    until("bytes wait", || {
        let sessions = controlled.tell(&["--json", "sessions"]);
        !sessions.contains("\"bytes_to_client\":0")
    });
    controlled.tell(&["endSessions", "force=true"]);
    assert_eq!(read_all(&client).1, End::Reset);
    sender.join().unwrap();
}

#[test]
fn a_drained_host_is_empty_after_its_time_and_who_waits_is_told() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let mut controlled = start("drainTimeout='1'", &[&a, &b]);
    let (at_a, name) = client(&controlled);
    let (at_b, _) = client(&controlled);
    let name = format!("name={name}");
    let drain = ["drainHost", "service=web", "group=main", &name];
    let not_yet = controlled.refused(&[&drain[..], &["wait=0.1"]].concat());
    assert!(not_yet.contains("1 session on host web:main/"), "{not_yet}");
    let told = controlled.tell(&[&drain[..], &["wait=20"]].concat());
    assert!(told.contains("no session is left"), "{told}");
    assert_eq!(read_all(&at_a), CLEAN);
    controlled.txlb.wait_for(" is empty");
    assert!(goes_on(&at_b));
    assert!(controlled.tell(&["status"]).contains("empty for "));
    assert!(
        controlled
            .tell(&["--json", "status"])
            .contains("\"host empty\"")
    );
    // At once where nothing is left.
    controlled.tell(&[&drain[..], &["wait=1000"]].concat());
}

#[test]
fn without_a_time_sessions_stay_on_a_host_that_is_down() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let controlled = start("", &[&a, &b]);
    let (client, name) = client(&controlled);
    let name = format!("name={name}");
    controlled.tell(&["hostAdminDown", "service=web", "group=main", &name]);
    pause(Duration::from_millis(600));
    assert!(goes_on(&client));
}

#[test]
fn sessions_of_a_removed_host_and_of_a_disabled_group_are_ended_after_their_time() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let controlled = start("drainTimeout='0.3' endRate='1000'", &[&a, &b]);
    let (one, name) = client(&controlled);
    let (other, _) = client(&controlled);
    let name = format!("name={name}");
    controlled.tell(&["delHost", "service=web", "group=main", &name]);
    assert_eq!(read_all(&one), CLEAN);
    assert!(goes_on(&other));
    controlled.tell(&["newGroup", "service=web", "group=spare", "scheduler=roundr"]);
    let ip = format!("ip={}", a.address());
    controlled.tell(&["addHost", "service=web", "group=spare", "name=a", &ip]);
    controlled.tell(&["enableGroup", "service=web", "group=spare"]);
    assert_eq!(read_all(&other), CLEAN);
    assert_eq!(who(controlled.txlb.address()), "a");
}

#[test]
fn sessions_of_a_host_that_fails_are_ended_where_the_group_says_so() {
    let place = Place::new();
    let b = Host::new("b");
    let listener = place.listen();
    let config = web("", "roundr", &[place.address(), b.address()]);
    let config = config.replace("<group ", "<group whenFailed='end' ");
    let logging = "<logging connections=\"true\"/></config>";
    let mut controlled = Controlled::start(&config.replace("</config>", logging));
    let client = patient(connect(controlled.txlb.address()));
    let at_host = listener.accept();
    // Once a byte has passed, txlb has seen that the host accepted.
    (&at_host).write_all(b"!").unwrap();
    (&client).read_exact(&mut [0]).unwrap();
    drop(listener);
    let deadline = Instant::now() + Duration::from_secs(20);
    while controlled.txlb.count("host web:main/a is down") == 0 {
        assert!(Instant::now() < deadline, "it fails");
        who(controlled.txlb.address());
    }
    assert_eq!(read_all(&client), CLEAN);
    controlled.txlb.wait_for(" DD ");
    drop(at_host);
}

#[test]
fn sessions_that_come_while_all_have_failed_stay() {
    let a = Host::new("a");
    let check = "<check type='send' expect='x' fall='1' interval='0.05' timeout='0.2'/><host ";
    let config = web("", "roundr", &[a.address()]).replacen("<host ", check, 1);
    let config = config.replace("<group ", "<group whenFailed='end' ");
    let mut controlled = Controlled::start(&config);
    let (old, _) = client(&controlled);
    controlled.txlb.wait_for("host web:main/a is down");
    assert_eq!(read_all(&old), CLEAN);
    let (new, _) = client(&controlled);
    pause(Duration::from_millis(600));
    assert!(goes_on(&new));
}

#[test]
fn who_waits_for_a_host_to_be_empty_is_told_that_it_is_up_again() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let controlled = start("", &[&a, &b]);
    let (_client, name) = client(&controlled);
    let name = format!("name={name}");
    let keys = ["service=web", "group=main", &*name];
    let told = std::thread::scope(|scope| {
        let drain = [&["drainHost"][..], &keys, &["wait=60"]].concat();
        let socket = &controlled.socket;
        let waiting = scope.spawn(move || ctl(socket, &drain).stderr);
        until("it is drained", || {
            controlled.tell(&["status"]).contains("drain/")
        });
        controlled.tell(&[&["hostAdminUp"][..], &keys].concat());
        waiting.join().unwrap()
    });
    assert!(told.contains("is up again"), "{told}");
}

#[test]
fn sessions_are_spread_anew_until_no_host_has_a_tenth_too_many() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let controlled = start("", &[&a]);
    let clients: Vec<_> = (0..10).map(|_| client(&controlled).0).collect();
    let ip = format!("ip={}", b.address());
    controlled.tell(&["addHost", "service=web", "group=main", "name=b", &ip]);
    let told = controlled.tell(&["rebalance", "service=web", "rate=1000"]);
    assert!(
        told.contains("5 sessions of a will be ended, 1000 a second"),
        "{told}"
    );
    until("five are left", || open(&controlled) == 5);
    assert_eq!(clients.iter().filter(|client| goes_on(client)).count(), 5);
    let told = controlled.tell(&["rebalance", "service=web", "group=main"]);
    assert!(
        told.contains("2 sessions of a will be ended, 10 a second"),
        "{told}"
    );
}
