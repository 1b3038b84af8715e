//! The addresses from which txlb connects to hosts: `<group source>`.
#![cfg(target_os = "linux")]

use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::support::client::{End, connect, fate, who};
use crate::support::config::web;
use crate::support::control::Controlled;
use crate::support::host::{Host, Listener};
use crate::support::txlb::Txlb;

/// A service "web" whose group "main" has this source, and these checks.
fn with_source(source: &str, checks: &str, hosts: &[SocketAddr]) -> String {
    let config = web("connectTimeout='0.2'", "roundr", hosts);
    let attributes = format!("source=\"{source}\" enable=\"true\">{checks}");
    config.replacen("enable=\"true\">", &attributes, 1)
}

/// The address from which a host is connected to by the next session; the last byte of it.
fn source_of_next(host: &Listener, txlb: SocketAddr) -> u8 {
    let _client = connect(txlb);
    last_byte(&host.accept())
}

fn last_byte(stream: &TcpStream) -> u8 {
    match stream.peer_addr().unwrap().ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => panic!("{ip}"),
    }
}

#[test]
fn sessions_come_from_the_addresses_in_turn_and_a_verb_changes_them() {
    let host = Listener::new();
    let config = with_source("127.0.0.9 127.0.0.10", "", &[host.address()]);
    let txlb = Controlled::start(&config);
    let next = || source_of_next(&host, txlb.txlb.address());
    assert_eq!([next(), next(), next(), next()], [9, 10, 9, 10]);
    txlb.tell(&["setGroup", "service=web", "group=main", "source=127.0.0.11"]);
    assert_eq!([next(), next()], [11, 11]);
    txlb.tell(&["setGroup", "service=web", "group=main", "source="]);
    assert_eq!(next(), 1);
    let refused = txlb.refused(&["setGroup", "service=web", "group=main", "source=host"]);
    assert!(refused.contains("at most 64 IP addresses"), "{refused}");
}

#[test]
fn checks_come_from_the_addresses_too() {
    let host = Listener::new();
    let check = "<check type='tcp' interval='0.05'/>";
    let config = with_source("127.0.0.9 127.0.0.10", check, &[host.address()]);
    let _txlb = Txlb::start(&config);
    let mut seen = [0; 4].map(|_| last_byte(&host.accept()));
    seen.sort_unstable();
    assert_eq!(seen, [9, 9, 10, 10]);
}

#[test]
fn an_address_that_is_not_there_is_passed_over_and_named() {
    let host = Host::new("a");
    let config = with_source("203.0.113.9 127.0.0.9", "", &[host.address()]);
    let mut txlb = Txlb::start(&config);
    for _ in 0..4 {
        assert_eq!(who(txlb.address()), "a");
    }
    txlb.wait_for("203.0.113.9 is not an address of this machine: add it to an interface");
    assert_eq!(txlb.count(" is down"), 0);
}

#[test]
fn with_no_address_that_is_there_clients_wait_and_no_host_is_blamed() {
    let host = Host::new("a");
    let mut txlb = Txlb::start(&with_source("203.0.113.9", "", &[host.address()]));
    assert_eq!(fate(txlb.address()), (Vec::new(), End::Reset));
    txlb.wait_for("203.0.113.9 is not an address of this machine");
    assert_eq!(txlb.count(" is down"), 0);
}

#[test]
fn clients_and_hosts_are_reached_by_tcp_where_there_is_no_mptcp() {
    let host = Host::new("a");
    let config = with_source("", "", &[host.address()]);
    let config = config.replace("<listen", "<listen mptcp=\"true\"");
    let config = config.replace("source=\"\"", "mptcp=\"true\"");
    let txlb = Controlled::start(&config);
    assert_eq!(who(txlb.txlb.address()), "a");
    txlb.tell(&["setGroup", "service=web", "group=main", "mptcp=false"]);
    assert_eq!(who(txlb.txlb.address()), "a");
}

#[test]
fn clients_come_over_the_interface_of_a_listener_alone() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let txlb = Controlled::start(&config.replace("<listen", "<listen interface=\"lo\""));
    assert_eq!(who(txlb.txlb.address()), "a");
    let change =
        |attribute: &str| txlb.ctl(&["setListen", "service=web", "ip=127.0.0.1:0", attribute]);
    let refused = change("interface=nowhere0");
    assert!(
        refused.stderr.contains("no interface nowhere0 is there"),
        "{refused:?}"
    );
    assert_eq!(change("interface=").status, Some(0));
}
