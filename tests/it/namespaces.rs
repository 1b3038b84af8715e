//! Tests in a network namespace: few local ports, or no IPv6.
//!
//! Each test runs itself again in a namespace of its own, which takes root.
#![cfg(target_os = "linux")]

use std::env;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use crate::support::client::{End, connect_from, fate, patient, read_all, who};
use crate::support::config::{web, web_service};
use crate::support::host::{Host, tcp_socket};
use crate::support::rerun::{only, own_program, passes};
use crate::support::txlb::{Folder, Txlb, program, run, text};

/// Set in the namespace.
const INSIDE: &str = "TXLB_TEST_NAMESPACE";

/// Whether this is the test `name` in a namespace. If not, runs it in one that these commands
/// prepare.
fn is_inside(name: &str, prepare: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let script = format!("ip link set lo up && {prepare} && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]);
    command.arg(own_program()).args(only(module_path!(), name));
    passes(command.env(INSIDE, "1"));
    false
}

fn few_ports(from: u16, to: u16) -> String {
    format!("echo {from} {to} >/proc/sys/net/ipv4/ip_local_port_range")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// As from outside of a container.
#[test]
#[ignore = "needs root"]
fn the_control_socket_answers_those_outside_of_its_process_namespace() {
    let folder = Folder::new();
    let socket = folder.file("control.sock");
    let control = format!("<control socket=\"{}\"/></config>", text(&socket));
    let config = web("", "roundr", &[loopback(9)]).replace("</config>", &control);
    let file = folder.write("config.xml", config);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]);
    command.arg(program()).arg("-f").arg(file);
    let mut txlb = Txlb::spawn(command, folder);
    txlb.wait_for(" runs as process 1 ");
    let asked = run(&["ctl", "-C", text(&socket), "status"]);
    assert_eq!(asked.status, Some(0), "{asked:?}");
}

#[test]
#[ignore = "needs root"]
fn a_dead_host_on_the_loopback_is_not_connected_to_itself() {
    let name = "a_dead_host_on_the_loopback_is_not_connected_to_itself";
    if !is_inside(name, &few_ports(40_000, 40_007)) {
        return;
    }
    let dead = loopback(40_002);
    let config =
        web("connectTimeout='1'", "roundr", &[dead]).replace("127.0.0.1:0", "127.0.0.1:9000");
    let checks = "<manager><hostCheck interval=\"1\"/></manager></config>";
    let mut txlb = Txlb::start(&config.replace("</config>", checks));
    let from = IpAddr::from([127, 0, 0, 2]);
    for _ in 0..50 {
        let (received, end) = read_all(&connect_from(from, loopback(9000)));
        assert_eq!((received, end), (Vec::new(), End::Reset));
    }
    assert_eq!(txlb.count(" is up"), 0);
    TcpListener::bind(dead).unwrap();
}

#[test]
#[ignore = "needs root"]
fn a_host_that_no_address_of_this_machine_reaches_is_down() {
    let name = "a_host_that_no_address_of_this_machine_reaches_is_down";
    let off = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    if !is_inside(name, off) {
        return;
    }
    let host = Host::new("b");
    let hosts = ["[::1]:7000".parse().unwrap(), host.address()];
    let mut txlb = Txlb::start(&web("", "roundr", &hosts));
    assert_eq!(who(txlb.address()), "b");
    txlb.wait_for("web:main/a is down: this machine has no IPv6 address to reach it from");
}

#[test]
#[ignore = "needs root"]
fn those_who_wait_for_a_port_hold_up_nobody_else_and_are_served_in_the_end() {
    let name = "those_who_wait_for_a_port_hold_up_nobody_else_and_are_served_in_the_end";
    if !is_inside(name, &few_ports(40_000, 40_007)) {
        return;
    }
    let crowded = TcpListener::bind(loopback(7000)).unwrap();
    let other = TcpListener::bind(loopback(7001)).unwrap();
    let (served, also) = (loopback(9000), loopback(9001));
    let at = |listener: &TcpListener, address: SocketAddr| {
        let hosts = [listener.local_addr().unwrap()];
        web_service("", "roundr", &hosts).replace("127.0.0.1:0", &address.to_string())
    };
    let also_named = at(&other, also).replace("\"web\"", "\"other\"");
    let config = format!("<config>{}{also_named}</config>", at(&crowded, served));
    let mut txlb = Txlb::start(&config);
    let from = |number| IpAddr::from([127, 0, 1, number]);
    let connect = |number| connect_from(from(number), served);
    let clients: Vec<_> = (1..=40).map(connect).collect();
    let complaint = txlb.wait_for("for the moment, clients wait: ");
    assert!(complaint.contains("no local port is left"), "{complaint}");
    // Other sockets are bound to some of the ports, which connect(2) skips then.
    crowded.set_nonblocking(true).unwrap();
    let held: Vec<_> = std::iter::from_fn(|| crowded.accept().ok()).collect();
    crowded.set_nonblocking(false).unwrap();
    assert!((1..8).contains(&held.len()), "{} sessions", held.len());
    let neighbour = connect_from(from(100), also);
    other.accept().unwrap().0.write_all(b"b").unwrap();
    assert_eq!(read_all(&neighbour), (b"b".to_vec(), End::Clean));
    let read = |client: TcpStream| thread::spawn(move || read_all(&client));
    let readers: Vec<_> = clients.into_iter().map(read).collect();
    let answer = |mut stream: TcpStream| stream.write_all(b"c").unwrap();
    let waiting = 40 - held.len();
    held.into_iter().for_each(|(stream, _)| answer(stream));
    for _ in 0..waiting {
        answer(crowded.accept().unwrap().0);
    }
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (b"c".to_vec(), End::Clean));
    }
}

/// A client with a port of its own, none of those that connect(2) chooses from: it skips a port that
/// a socket was bound to, whatever the address.
fn connect_from_port(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let descriptor = tcp_socket();
    rustix::net::bind(&descriptor, &from).unwrap();
    rustix::net::connect(&descriptor, &to).unwrap();
    patient(TcpStream::from(descriptor))
}

#[test]
#[ignore = "needs root"]
fn each_source_address_has_ports_of_its_own_and_one_without_is_passed_over() {
    let name = "each_source_address_has_ports_of_its_own_and_one_without_is_passed_over";
    if !is_inside(name, &few_ports(40_000, 40_007)) {
        return;
    }
    let host = TcpListener::bind(loopback(7000)).unwrap();
    let sources = [1, 2, 3, 4].map(|last| IpAddr::from([127, 0, 3, last]));
    let served = loopback(9000);
    let source = sources.map(|ip| ip.to_string()).join(" ");
    let config = web("", "roundr", &[loopback(7000)]).replace("127.0.0.1:0", "127.0.0.1:9000");
    let attributes = format!("source=\"{source}\" enable=\"true\"");
    let mut txlb = Txlb::start(&config.replace("enable=\"true\"", &attributes));
    let client = |number| connect_from_port(([127, 0, 1, number], 9000).into(), served);
    // One address would have ports for 8 of them.
    let clients: Vec<_> = (1..=24).map(client).collect();
    let held: Vec<_> = (0..24).map(|_| host.accept().unwrap()).collect();
    for ip in sources {
        let of_source = held.iter().filter(|(_, peer)| peer.ip() == ip);
        assert_eq!(of_source.count(), 6, "{ip}");
    }
    // Eight ports are left of all; after that, clients wait.
    let more: Vec<_> = (101..=109).map(client).collect();
    let complaint = txlb.wait_for("for the moment, clients wait: ");
    assert!(complaint.contains("no local port is left"), "{complaint}");
    let also: Vec<_> = (0..8).map(|_| host.accept().unwrap()).collect();
    // The host ends them first: its side waits for late segments, not txlb's ports.
    drop((held, clients));
    let (_last, peer) = host.accept().unwrap();
    assert!(sources.contains(&peer.ip()), "{peer}");
    assert_eq!(txlb.count(" is down"), 0);
    drop((more, also));
}

#[test]
#[ignore = "needs root"]
fn a_source_address_without_a_route_to_the_host_is_passed_over_and_named() {
    let name = "a_source_address_without_a_route_to_the_host_is_passed_over_and_named";
    // The rule that comes first on every machine has to come after the others.
    let rules = "ip rule add pref 9 lookup local && ip rule del pref 0 && \
                 ip rule add pref 1 from 127.0.3.1 unreachable && \
                 ip rule add pref 2 from 127.0.3.2 blackhole";
    if !is_inside(name, rules) {
        return;
    }
    let host = Host::new("a");
    let with_source = |source: &str| {
        let config = web("connectTimeout='0.2'", "roundr", &[host.address()]);
        let attributes = format!("source=\"{source}\" enable=\"true\"");
        config.replace("enable=\"true\"", &attributes)
    };
    let mut txlb = Txlb::start(&with_source("127.0.3.1 127.0.3.2 127.0.3.3"));
    for _ in 0..6 {
        assert_eq!(who(txlb.address()), "a");
    }
    txlb.wait_for("the host cannot be reached from 127.0.3.");
    assert_eq!(txlb.count(" is down"), 0);
    // With no other address clients wait, as where no port is left.
    let mut txlb = Txlb::start(&with_source("127.0.3.1 127.0.3.2"));
    assert_eq!(fate(txlb.address()), (Vec::new(), End::Reset));
    txlb.wait_for("the host cannot be reached from 127.0.3.");
    assert_eq!(txlb.count(" is down"), 0);
}

/// Sessions to one host address at the same time, of which one source has ports for 2,000.
const MANY: usize = 7000;

#[test]
#[ignore = "needs root"]
fn thousands_of_sessions_to_one_host_come_from_four_addresses() {
    let name = "thousands_of_sessions_to_one_host_come_from_four_addresses";
    if !is_inside(name, &few_ports(40_000, 41_999)) {
        return;
    }
    let host = TcpListener::bind(loopback(7000)).unwrap();
    let config = web("connectTimeout='30'", "roundr", &[loopback(7000)]);
    let source = "source=\"127.0.3.1 127.0.3.2 127.0.3.3 127.0.3.4\" enable=\"true\"";
    let config = config.replace("enable=\"true\"", source);
    let mut txlb = Txlb::start(&config.replace("127.0.0.1:0", "127.0.0.1:9000"));
    let client = |number: usize| {
        let last = u8::try_from(number % 8).unwrap();
        let port = 10_000 + u16::try_from(number / 8).unwrap();
        connect_from_port(([127, 0, 1, last], port).into(), loopback(9000))
    };
    // One after the other: a crowd would not fit into the host's accept backlog.
    let (mut clients, mut served) = (Vec::new(), Vec::new());
    for number in 0..MANY {
        clients.push(client(number));
        served.push(host.accept().unwrap());
    }
    for last in 1..=4 {
        let ip = IpAddr::from([127, 0, 3, last]);
        let of_source = served.iter().filter(|(_, peer)| peer.ip() == ip);
        assert_eq!(of_source.count(), MANY / 4, "{ip}");
    }
    assert_eq!(txlb.count("no local port is left"), 0);
    drop(clients);
}
