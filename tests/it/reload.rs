//! Reloads: what SIGHUP changes, and what it leaves alone, above all open sessions.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::{Session, who, who_in_turn};
use crate::support::control::Controlled;
use crate::support::host::Host;
use crate::support::proc::{descriptors, shows_descriptors};
use crate::support::txlb::{Txlb, run, text};
use crate::support::until;
use rustix::process::Signal;

const LISTEN: &str = "<listen ip=\"127.0.0.1:0\"/>";

/// A group with these hosts and their names.
fn group(name: &str, scheduler: &str, hosts: &[(&str, &Host)]) -> String {
    let host =
        |(name, host): &(&str, &Host)| format!("<host name=\"{name}\" ip=\"{}\"/>", host.address());
    let hosts: String = hosts.iter().map(host).collect();
    format!("<group name=\"{name}\" scheduler=\"{scheduler}\">{hosts}</group>")
}

fn service(name: &str, listens: &str, enabled: &str, groups: &str) -> String {
    format!("<service name=\"{name}\">{listens}{groups}<enable group=\"{enabled}\"/></service>")
}

/// A file with one service, "web", with one group.
fn web(scheduler: &str, hosts: &[(&str, &Host)]) -> String {
    config(&service(
        "web",
        LISTEN,
        "main",
        &group("main", scheduler, hosts),
    ))
}

fn config(services: &str) -> String {
    format!("<config>{services}</config>")
}

fn three_hosts() -> [Host; 3] {
    ["a", "b", "c"].map(Host::new)
}

fn sessions<const N: usize>(address: SocketAddr) -> [Session; N] {
    std::array::from_fn(|_| Session::open(address))
}

fn check(sessions: &mut [Session]) {
    sessions.iter_mut().for_each(|session| session.echo(10_000));
}

/// A free address.
fn free_place() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn is_refused(address: SocketAddr) -> bool {
    let connected = TcpStream::connect(address);
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn hosts_come_go_and_change_places_while_sessions_live_on() {
    let [a, b, c] = three_hosts();
    let mut txlb = Txlb::start(&web("roundr", &[("a", &a), ("b", &b)]));
    let mut open = sessions::<4>(txlb.address());
    txlb.reload(&web("roundr", &[("c", &c), ("b", &b)]));
    check(&mut open);
    assert_eq!(who_in_turn(txlb.address(), 4), "cbcb");
    txlb.reload(&web("roundr", &[("b", &b), ("a", &a), ("c", &c)]));
    check(&mut open);
    assert_eq!(who_in_turn(txlb.address(), 6), "acbacb");
    // Sessions on a removed host end as usual.
    assert_eq!(open.map(Session::close).concat(), "abab");
}

#[test]
fn a_host_that_drains_gets_no_new_sessions_and_keeps_its_old_ones() {
    let [a, b, _] = three_hosts();
    let config = web("roundr", &[("a", &a), ("b", &b)]);
    let mut txlb = Txlb::start(&config);
    let mut open = sessions::<2>(txlb.address());
    for state in ["drain", "down"] {
        txlb.reload(&config.replace("name=\"a\"", &format!("name=\"a\" state=\"{state}\"")));
        assert_eq!(who_in_turn(txlb.address(), 3), "bbb");
        check(&mut open);
    }
    txlb.reload(&config);
    let both = [who(txlb.address()), who(txlb.address())];
    assert!(both.contains(&"a".to_owned()), "{both:?}");
}

#[test]
fn another_group_is_enabled_and_sessions_on_the_old_one_live_on() {
    let [a, b, _] = three_hosts();
    let groups = group("blue", "roundr", &[("a", &a)]) + &group("green", "roundr", &[("b", &b)]);
    let with = |enabled| config(&service("web", LISTEN, enabled, &groups));
    let mut txlb = Txlb::start(&with("blue"));
    let mut open = sessions::<2>(txlb.address());
    txlb.reload(&with("green"));
    check(&mut open);
    assert_eq!(who_in_turn(txlb.address(), 3), "bbb");
    txlb.reload(&with("blue"));
    check(&mut open);
    assert_eq!(who(txlb.address()), "a");
    // The group that was enabled is removed.
    let green = group("green", "roundr", &[("b", &b)]);
    txlb.reload(&config(&service("web", LISTEN, "green", &green)));
    check(&mut open);
    assert_eq!(who(txlb.address()), "b");
    assert_eq!(open.map(Session::close).concat(), "aa");
}

#[test]
fn listeners_come_and_go_while_sessions_live_on() {
    let [a, _, _] = three_hosts();
    let hosts = group("main", "roundr", &[("a", &a)]);
    let with = |listens: &str| config(&service("web", listens, "main", &hosts));
    let other = "<listen ip=\"0.0.0.0:0\"/>";
    let mut txlb = Txlb::start(&with(LISTEN));
    let first = txlb.address();
    let mut open = vec![Session::open(first)];

    txlb.reload(&with(&(LISTEN.to_owned() + other)));
    let addresses = txlb.addresses("web");
    assert_eq!(addresses.len(), 2);
    assert!(addresses.contains(&first));
    let second = *addresses.iter().find(|address| **address != first).unwrap();
    open.push(Session::open(second));
    open.push(Session::open(first));

    txlb.reload(&with(other));
    assert!(is_refused(first));
    assert_eq!(who(second), "a");

    // A removed listener can be added again.
    txlb.reload(&with(&(LISTEN.to_owned() + other)));
    for address in txlb.addresses("web") {
        assert_eq!(who(address), "a");
    }
    check(&mut open);
    for session in open {
        assert_eq!(session.close(), "a");
    }
}

/// An accept backlog that never was empty kept its listener open, and the reload waiting.
#[test]
fn a_listener_is_closed_in_time_however_many_clients_come() {
    let host = Host::new("a");
    let groups = group("main", "roundr", &[("a", &host)]);
    let place = free_place();
    let both = format!("{LISTEN}<listen ip=\"{place}\"/>");
    let mut txlb = Txlb::start_with(
        &config(&service("web", &both, "main", &groups)),
        &["-w", "1"],
    );
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    drop(TcpStream::connect(place));
                }
            });
        }
        txlb.reload(&config(&service("web", LISTEN, "main", &groups)));
        over.store(true, Ordering::Relaxed);
    });
    assert!(is_refused(place));
}

#[test]
fn services_come_and_go_while_sessions_live_on() {
    let [a, b, _] = three_hosts();
    let web = service(
        "web",
        LISTEN,
        "main",
        &group("main", "roundr", &[("a", &a)]),
    );
    let mail = service(
        "mail",
        LISTEN,
        "main",
        &group("main", "roundr", &[("b", &b)]),
    );
    let mut txlb = Txlb::start(&config(&web));
    txlb.reload(&config(&(mail.clone() + &web)));
    let (at_web, at_mail) = (txlb.address(), txlb.addresses("mail")[0]);
    let mut open = [Session::open(at_web), Session::open(at_mail)];
    txlb.reload(&config(&mail));
    assert!(is_refused(at_web));
    assert_eq!(who(at_mail), "b");
    check(&mut open);
    assert_eq!(open.map(Session::close).concat(), "ab");
}

#[test]
fn a_scheduler_is_replaced_while_sessions_live_on() {
    let [a, b, _] = three_hosts();
    let hosts = [("a", &a), ("b", &b)];
    let mut txlb = Txlb::start(&web("roundr,sticky", &hosts));
    let mut open = sessions::<2>(txlb.address());
    assert_eq!(who_in_turn(txlb.address(), 3), "aaa");
    txlb.reload(&web("leastc", &hosts));
    assert_eq!(who(txlb.address()), "b");
    let third = Session::open(txlb.address());
    assert_eq!(third.name, "b");
    txlb.reload(&web("roundr", &hosts));
    let mut turns = [who(txlb.address()), who(txlb.address())];
    turns.sort();
    assert_eq!(turns, ["a", "b"]);
    check(&mut open);
    assert_eq!(open.map(Session::close).concat(), "aa");
}

#[test]
fn round_robin_goes_on_where_it_was() {
    let [a, b, c] = three_hosts();
    let file = web("roundr", &[("a", &a), ("b", &b), ("c", &c)]);
    let mut txlb = Txlb::start(&file);
    let mut turns = who(txlb.address());
    for number in 0..5 {
        txlb.reload(&format!("{file}<!-- {number} -->"));
        turns += &who(txlb.address());
    }
    assert_eq!(turns, "abcabc");
}

#[test]
fn least_connections_counts_right_after_many_reloads() {
    let [a, b, c] = three_hosts();
    let all = web("leastc", &[("a", &a), ("b", &b), ("c", &c)]);
    let without_b = web("leastc", &[("c", &c), ("a", &a)]);
    let mut txlb = Txlb::start(&all);
    let mut open = Vec::from(sessions::<9>(txlb.address()));
    for _ in 0..10 {
        txlb.reload(&without_b);
        txlb.reload(&all);
    }
    check(&mut open);
    // Three each: one of the first two ends on c, then two on b.
    let end = |open: &mut Vec<Session>, name: &str| {
        let place = open
            .iter()
            .position(|session| session.name == name)
            .unwrap();
        open.remove(place).close()
    };
    assert_eq!(end(&mut open, "c"), "c");
    assert_eq!(who(txlb.address()), "c");
    assert_eq!(end(&mut open, "b") + &end(&mut open, "b"), "bb");
    assert_eq!(who_in_turn(txlb.address(), 3), "bbb");
    open.push(Session::open(txlb.address()));
    assert_eq!(open.last().unwrap().name, "b");
    // b and c have two now, a has three.
    let more = sessions::<2>(txlb.address());
    let mut names = more.each_ref().map(|session| session.name.clone());
    names.sort();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn a_bad_file_changes_nothing_and_says_where_it_is_bad() {
    let [a, b, _] = three_hosts();
    let good = web("roundr", &[("a", &a)]);
    let mut txlb = Txlb::start(&good);
    let mut open = sessions::<1>(txlb.address());
    let cut = &good[..good.len() / 2];
    let unknown = good.replace("<group", "\n  <gruop/><group");
    let bad = [
        (String::new(), ":1:1: "),
        (cut.to_owned(), ":1:"),
        ("Dear txlb, listen at port 80.".to_owned(), ":1:1: "),
        (unknown, ":2:3: "),
        (good.replace("roundr", "best"), ":1:"),
        (good.clone() + &" ".repeat(2_000_000), ":1:"),
        ("<a>".repeat(100_000), ":1:"),
    ];
    for (text, place) in bad {
        let complaint = txlb.reload_in_vain(&text);
        let file = txlb.config_file();
        let start = format!("ERROR {}{place}", file.display());
        assert!(complaint.contains(&start), "{start} is not in {complaint}");
        assert_eq!(who(txlb.address()), "a");
    }
    let complaint = txlb.reload_in_vain(b"<config>\xFF</config>");
    assert!(complaint.contains(":1:9: "), "{complaint}");
    check(&mut open);
    txlb.reload(&web("roundr", &[("b", &b)]));
    assert_eq!(who(txlb.address()), "b");
    check(&mut open);
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    let host = Host::new("a");
    let good = web("roundr", &[("a", &host)]);
    let mut controlled = Controlled::start(&good);
    let mut session = Session::open(controlled.txlb.address());
    let bad = good
        .replace("roundr", "round")
        .replace(LISTEN, "\n<listen ip=\"x\"/>");
    let file = controlled.txlb.config_file();
    fs::write(&file, bad).unwrap();
    let (file, path) = (text(&file), file.display());
    let errors = [
        format!("{path}:2:9: ip is \"x\": the port is missing: write x:PORT"),
        format!("{path}:2:36: there is no scheduler \"round\": is roundr meant?"),
    ];
    for arguments in [&["-t", "-f", file][..], &["-f", file]] {
        let ended = run(arguments);
        assert_eq!(ended.status, Some(65), "{ended:?}");
        assert_eq!(Vec::from_iter(ended.stderr.lines()), errors);
    }
    controlled.txlb.signal(Signal::HUP);
    let first = format!("{}; the running configuration stays", errors[0]);
    controlled.txlb.wait_for(&first);
    controlled.txlb.wait_for(&errors[1]);
    let refused = controlled.ctl(&["reload"]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert_eq!(refused.stderr, format!("error: {}\n", errors[0]));
    let told = refused.stdout.lines().map(str::trim);
    assert_eq!(Vec::from_iter(told), errors);
    session.echo(100);
}

#[test]
fn a_file_that_cannot_be_read_changes_nothing() {
    let [a, b, _] = three_hosts();
    let mut txlb = Txlb::start(&web("roundr", &[("a", &a)]));
    let file = txlb.config_file();
    fs::remove_file(&file).unwrap();
    txlb.signal(Signal::HUP);
    txlb.wait_for("No such file or directory (os error 2); the running configuration stays");
    fs::create_dir(&file).unwrap();
    txlb.signal(Signal::HUP);
    txlb.wait_for("it is a folder, and not a file; the running configuration stays");
    assert_eq!(who(txlb.address()), "a");
    fs::remove_dir(&file).unwrap();
    txlb.reload(&web("roundr", &[("b", &b)]));
    assert_eq!(who(txlb.address()), "b");
}

#[test]
fn a_listener_that_cannot_be_had_stops_the_whole_change() {
    let [a, b, _] = three_hosts();
    let mut txlb = Txlb::start(&web("roundr", &[("a", &a)]));
    let mut open = sessions::<1>(txlb.address());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap();
    // Everything else in this file could be put in force.
    let hosts = group("main", "roundr", &[("b", &b)]);
    let listens = format!("<listen ip=\"0.0.0.0:0\"/><listen ip=\"{place}\"/>");
    let extra = service("extra", LISTEN, "main", &hosts);
    let next = config(&(extra + &service("web", &listens, "main", &hosts)));
    let complaint = txlb.reload_in_vain(&next);
    assert!(
        complaint.contains(&format!("cannot listen at {place}: ")),
        "{complaint}"
    );
    assert_eq!(who_in_turn(txlb.address(), 3), "aaa");
    check(&mut open);

    // The failed change leaves nothing open.
    drop(taken);
    let first = txlb.address();
    txlb.reload(&next);
    assert!(is_refused(first));
    for address in txlb
        .addresses("web")
        .into_iter()
        .chain(txlb.addresses("extra"))
    {
        assert_eq!(who(address), "b");
    }
    assert!(txlb.addresses("web").contains(&place));
    check(&mut open);
}

#[test]
fn a_file_that_is_as_it_was_is_said_to_be() {
    let [a, _, _] = three_hosts();
    let file = web("roundr", &[("a", &a)]);
    let mut txlb = Txlb::start(&file);
    for _ in 0..3 {
        txlb.signal(Signal::HUP);
        txlb.wait_for("config.xml is unchanged");
    }
    txlb.folder.write("config.xml", &file);
    txlb.signal(Signal::HUP);
    txlb.wait_for("config.xml is unchanged");
    assert_eq!(txlb.count("is in force"), 0);
    assert_eq!(who(txlb.address()), "a");
}

#[test]
fn sessions_are_logged_as_soon_as_the_file_says_so() {
    let [a, _, _] = three_hosts();
    let file = web("roundr", &[("a", &a)]);
    let mut txlb = Txlb::start(&file);
    let before = Session::open(txlb.address());
    assert_eq!(who(txlb.address()), "a");
    txlb.reload(&file.replace("</config>", "<logging connections=\"true\"/></config>"));
    before.close();
    txlb.wait_for(" web web:main/a 0/");
    txlb.wait_for_count(" web:main/a ", 1);
}

#[test]
fn fifty_reloads_under_load_harm_nobody_and_leave_nothing_behind() {
    if !shows_descriptors() {
        return;
    }
    let [a, b, c] = three_hosts();
    let more = format!("{LISTEN}<listen ip=\"0.0.0.0:0\"/>");
    let files = [
        web("roundr", &[("a", &a), ("b", &b)]),
        config(&service(
            "web",
            &more,
            "other",
            &group("other", "leastc", &[("b", &b), ("c", &c)]),
        )),
    ];
    let mut txlb = Txlb::start(&files[0]);
    let address = txlb.address();
    #[cfg(target_os = "linux")]
    let before = descriptors(txlb.pid()).len();
    let over = AtomicBool::new(false);
    let served: usize = thread::scope(|scope| {
        let client = || {
            let mut long = Session::open(address);
            let mut served = 0;
            loop {
                let mut short = Session::open(address);
                short.echo(3000);
                short.close();
                long.echo(3000);
                served += 1;
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
            long.close();
            served
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(client)).collect();
        for number in 1..=50 {
            txlb.reload(&files[number % 2]);
            Session::open(address).echo(30_000);
        }
        over.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert!(served >= 50, "{served} sessions are no load");
    assert_eq!(txlb.count(" ERROR "), 0);
    assert_eq!(txlb.count(" is down: "), 0);
    #[cfg(target_os = "linux")]
    until("all descriptors are closed", || {
        descriptors(txlb.pid()).len() <= before
    });
    assert_eq!(txlb.stop(), Some(0));
}
