//! Hosts that refuse, do not answer, die, flap and recover.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::client::{End, Session, connect, fate, read_all, who, who_in_turn};
use crate::support::config::web;
use crate::support::host::{Host, Listener, Place, reset};
use crate::support::txlb::Txlb;
use crate::support::{noise, until};
use rustix::process::Signal;

const RESET: (Vec<u8>, End) = (Vec::new(), End::Reset);

/// A service "web" with a `<manager>`.
fn managed(manager: &str, scheduler: &str, hosts: &[SocketAddr]) -> String {
    let config = web("connectTimeout='0.3'", scheduler, hosts);
    config.replace(
        "</config>",
        &format!("<manager>{manager}</manager></config>"),
    )
}

const NO_CHECK: &str = "<hostCheck enable=\"false\"/>";
const QUICK_CHECK: &str = "<hostCheck interval=\"0.2\"/>";

#[test]
fn a_host_that_refuses_costs_the_client_nothing() {
    let (place, host) = (Place::new(), Host::new("b"));
    let hosts = [place.address(), host.address()];
    let mut txlb = Txlb::start(&managed(NO_CHECK, "roundr", &hosts));
    assert_eq!(who_in_turn(txlb.address(), 6), "bbbbbb");
    txlb.wait_for("host web:main/a is down: ");
    txlb.wait_for_count(" is down: ", 1);
}

#[test]
fn a_silent_host_costs_the_client_time_but_no_bytes() {
    let (place, host) = (Place::new(), Listener::new());
    let _silent = place.fall_silent();
    let hosts = [place.address(), host.address()];
    let mut txlb = Txlb::start(&managed(NO_CHECK, "roundr", &hosts));
    let start = Instant::now();
    let mut client = connect(txlb.address());
    let bytes = noise(1, 50_000);
    client.write_all(&bytes).unwrap();
    let at_host = host.accept();
    // The timeout, minus the error of the worker's clock.
    assert!(start.elapsed() >= Duration::from_millis(270));
    client.write_all(b"and more").unwrap();
    drop(client);
    let (received, end) = read_all(&at_host);
    assert!(received == [&bytes[..], b"and more"].concat());
    assert_eq!(end, End::Clean);
    txlb.wait_for("host web:main/a is down: ");
    // The next client does not wait for that host.
    let _next = connect(txlb.address());
    host.accept();
}

#[test]
fn a_client_is_reset_when_all_hosts_are_down() {
    let places = [Place::new(), Place::new(), Place::new()];
    let addresses = places.each_ref().map(Place::address);
    let mut txlb = Txlb::start(&managed(NO_CHECK, "leastc", &addresses));
    assert_eq!(fate(txlb.address()), RESET);
    for name in ["a", "b", "c"] {
        txlb.wait_for(&format!("host web:main/{name} is down: "));
    }
    assert_eq!(fate(txlb.address()), RESET);
}

#[test]
fn a_service_without_hosts_resets_its_clients_and_lives() {
    let mut txlb = Txlb::start(&web("", "roundr", &[]));
    assert_eq!(fate(txlb.address()), RESET);
    assert_eq!(fate(txlb.address()), RESET);
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn hosts_that_have_all_failed_are_tried_all_the_same() {
    let places = [Place::new(), Place::new()];
    let addresses = places.each_ref().map(Place::address);
    let mut txlb = Txlb::start(&managed(NO_CHECK, "roundr", &addresses));
    assert_eq!(fate(txlb.address()), RESET);
    txlb.wait_for("web:main/b is down");
    let _back = Host::on(places[1].listen(), "b");
    assert_eq!(who(txlb.address()), "b");
    txlb.wait_for("host web:main/b is up");
}

#[test]
fn a_failed_host_is_put_back_by_the_check_alone() {
    let (place, other) = (Place::new(), Host::new("b"));
    let hosts = [place.address(), other.address()];
    let mut txlb = Txlb::start(&managed(QUICK_CHECK, "roundr", &hosts));
    assert_eq!(who_in_turn(txlb.address(), 2), "bb");
    txlb.wait_for("host web:main/a is down");
    let _back = Host::on(place.listen(), "a");
    txlb.wait_for("host web:main/a is up");
    let mut turns = [who(txlb.address()), who(txlb.address())];
    turns.sort();
    assert_eq!(turns, ["a", "b"]);
}

#[test]
fn a_failed_host_stays_out_without_the_check_while_others_serve() {
    let (place, other) = (Place::new(), Host::new("b"));
    let hosts = [place.address(), other.address()];
    let mut txlb = Txlb::start(&managed(NO_CHECK, "roundr", &hosts));
    assert_eq!(who_in_turn(txlb.address(), 2), "bb");
    txlb.wait_for("host web:main/a is down");
    let back = place.listen();
    assert_eq!(who_in_turn(txlb.address(), 10), "b".repeat(10));
    drop(back);
    assert_eq!(txlb.count("is up"), 0);
}

#[test]
fn after_an_outage_of_all_hosts_one_that_is_back_is_found_soon() {
    let places = [Place::new(), Place::new()];
    let addresses = places.each_ref().map(Place::address);
    let mut txlb = Txlb::start(&managed(NO_CHECK, "roundr", &addresses));
    assert_eq!(fate(txlb.address()), RESET);
    txlb.wait_for("web:main/b is down");
    let _back = Host::on(places[0].listen(), "a");
    let start = Instant::now();
    txlb.wait_for("host web:main/a is up");
    // Two seconds are promised; the third is for a slow machine.
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn the_heartbeat_finds_a_dead_host_without_any_client() {
    let (place, other) = (Place::new(), Host::new("b"));
    let alive = place.listen();
    let heartbeat = format!("{NO_CHECK}<heartbeat interval=\"0.1\" enable=\"true\"/>");
    let hosts = [place.address(), other.address()];
    let mut txlb = Txlb::start(&managed(&heartbeat, "roundr", &hosts));
    // The host is probed, and survives it.
    alive.accept();
    alive.accept();
    assert_eq!(txlb.count(" is down: "), 0);
    drop(alive);
    txlb.wait_for("host web:main/a is down: ");
    assert_eq!(who_in_turn(txlb.address(), 4), "bbbb");
    txlb.wait_for_count(" is down: ", 1);
}

#[test]
fn a_flapping_host_is_not_logged_without_limit() {
    let (place, other) = (Place::new(), Host::new("b"));
    let hosts = [place.address(), other.address()];
    let mut txlb = Txlb::start(&managed("<hostCheck interval=\"0.05\"/>", "roundr", &hosts));
    for _ in 0..8 {
        let up = Host::on(place.listen(), "a");
        until("the host has come back", || who(txlb.address()) == "a");
        drop(up);
        // One of two clients is sent there first, and the host is down again.
        assert_eq!(who_in_turn(txlb.address(), 2), "bb");
    }
    let lines = txlb.count("host web:main/a is ");
    assert!((2..=8).contains(&lines), "{lines} lines about 15 changes");
    assert_eq!(txlb.count("host web:main/b is "), 0);
}

#[test]
fn a_host_that_resets_its_sessions_is_not_taken_for_one_that_is_down() {
    let rude = Host::that(Listener::new(), "", |mut stream, _| {
        stream.read_exact(&mut [0]).unwrap();
        reset(stream);
    });
    let kind = Host::new("b");
    let hosts = [rude.address(), kind.address()];
    let mut txlb = Txlb::start(&managed(NO_CHECK, "roundr", &hosts));
    for _ in 0..5 {
        let mut client = connect(txlb.address());
        client.write_all(b"x").unwrap();
        assert_eq!(read_all(&client), RESET);
        assert_eq!(who(txlb.address()), "b");
    }
    assert_eq!(txlb.count(" is down: "), 0);
}

#[test]
fn a_name_that_does_not_resolve_is_logged_once_and_the_others_serve() {
    let host = Host::new("b");
    let config = web("", "roundr", &[host.address()]);
    let named =
        "<host name=\"x\" ip=\"name.invalid:80\"/><host name=\"y\" ip=\"name.invalid:81\"/>";
    let mut txlb = Txlb::start(&config.replace("<host name", &format!("{named}<host name")));
    let unresolved = "the name name.invalid does not resolve";
    if txlb.count(unresolved) == 0 {
        txlb.wait_for(unresolved);
    }
    assert_eq!(who_in_turn(txlb.address(), 6), "bbbbbb");
    // Names are resolved again, with the same result.
    txlb.signal(Signal::HUP);
    txlb.wait_for("is unchanged");
    assert_eq!(who(txlb.address()), "b");
    assert_eq!(txlb.count(unresolved), 1);
}

#[test]
fn a_host_may_be_a_name() {
    let host = Host::new_everywhere("a");
    let config = web("", "roundr", &[host.address()]);
    let local = format!("localhost:{}", host.address().port());
    let txlb = Txlb::start(&config.replace(&host.address().to_string(), &local));
    let mut session = Session::open(txlb.address());
    session.echo(1000);
    assert_eq!(session.close(), "a");
}
