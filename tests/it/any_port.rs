//! Hosts without a port: the port that the client asked for.
#![cfg(target_os = "linux")]

use std::net::{SocketAddr, TcpListener};

use crate::support::client::{End, Session, fate, who};
use crate::support::control::Controlled;
use crate::support::host::{Host, Listener};
use crate::support::until;

/// The machine of the hosts.
const MACHINE: &str = "127.0.0.2";

/// A listener there, and the address with the same port on this machine.
fn port_of_both() -> (Listener, SocketAddr) {
    let listener = TcpListener::bind((MACHINE, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = Listener::from(listener);
    (listener, SocketAddr::from(([127, 0, 0, 1], port)))
}

fn config(listens: &[SocketAddr], host: &str, manager: &str) -> String {
    let listens = listens.iter().map(|it| format!("<listen ip=\"{it}\"/>"));
    format!(
        "<config><service name=\"web\">{}<group name=\"main\" enable=\"true\">\
         <host name=\"a\" ip=\"{host}\"/></group></service>{manager}</config>",
        listens.collect::<String>()
    )
}

#[test]
fn a_host_is_connected_to_at_the_port_that_the_client_asked_for() {
    let ((one, at_one), (two, at_two)) = (port_of_both(), port_of_both());
    let hosts = [Host::on(one, "one"), Host::on(two, "two")];
    let txlb = Controlled::start(&config(&[at_one, at_two], MACHINE, ""));
    assert_eq!(who(at_one), "one");
    assert_eq!(who(at_two), "two");
    let status = txlb.tell(&["--json", "status"]);
    assert!(status.contains(r#""address":"127.0.0.2""#), "{status}");
    let session = Session::open(at_two);
    let sessions = txlb.tell(&["--json", "sessions"]);
    let address = format!(r#""host_address":"{}""#, hosts[1].address());
    assert!(sessions.contains(&address), "{sessions}");
    assert_eq!(session.close(), "two");
}

#[test]
fn a_name_without_a_port_is_one_of_any_port_too() {
    let (one, at_one) = port_of_both();
    let _host = Host::on(one, "one");
    let txlb = Controlled::start(&config(&[at_one], "127.0.0.9", ""));
    let change = ["setHost", "service=web", "group=main", "name=a"];
    txlb.tell(&[&change[..], &["ip=localhost"]].concat());
    let shown = txlb.tell(&["config"]);
    assert!(shown.contains("ip=\"localhost\""), "{shown}");
    txlb.tell(&[&change[..], &["ip=127.0.0.2"]].concat());
    assert_eq!(who(at_one), "one");
}

#[test]
fn a_host_without_a_port_is_checked_at_that_of_the_first_listener() {
    let ((one, at_one), (two, at_two)) = (port_of_both(), port_of_both());
    let there = one.address();
    drop(one);
    let _two = Host::on(two, "two");
    let task = "<manager><hostCheck interval=\"0.1\" enable=\"false\"/></manager>";
    let mut txlb = Controlled::start(&config(&[at_one, at_two], MACHINE, task));
    // Nobody listens at the first port: what fails there has failed.
    drop(fate(at_one));
    txlb.txlb
        .wait_for("host web:main/a is down: connection refused");
    let host = Host::on(Listener::from(TcpListener::bind(there).unwrap()), "one");
    txlb.txlb.wait_for("host web:main/a is up");
    until("the host is back", || who(at_one) == "one");
    drop(host);
}

#[test]
fn a_host_without_a_port_that_refuses_at_another_than_the_first_has_not_failed() {
    let ((one, at_one), (two, at_two)) = (port_of_both(), port_of_both());
    let _one = Host::on(one, "one");
    drop(two);
    let mut txlb = Controlled::start(&config(&[at_one, at_two], MACHINE, ""));
    for _ in 0..2 {
        assert_eq!(fate(at_two), (Vec::new(), End::Reset));
        assert_eq!(who(at_one), "one");
    }
    let status = txlb.tell(&["--json", "status"]);
    assert!(status.contains(r#""failed_connects":0"#), "{status}");
    assert_eq!(txlb.txlb.count(" is down"), 0);
}

#[test]
fn a_host_without_a_port_that_is_this_machine_is_no_way_in_circles() {
    let (_one, at_one) = port_of_both();
    let mut txlb = Controlled::start(&config(&[at_one], "127.0.0.1", ""));
    // The start has read the line already.
    txlb.txlb.wait_for_count("host web:main/a is down: ", 1);
}

/// Hosts at three ports in a row, which are free on this machine as well, named by their ports.
fn ports_in_a_row() -> (u16, Vec<Host>) {
    let bind = |ip: &str, first: u16| -> std::io::Result<Vec<TcpListener>> {
        (first..first + 3)
            .map(|port| TcpListener::bind((ip, port)))
            .collect()
    };
    let free = |first: u16| {
        drop(bind("127.0.0.1", first).ok()?);
        Some((first, bind(MACHINE, first).ok()?))
    };
    let mut firsts = (15_000..25_000).step_by(7);
    let (first, listeners) = firsts.find_map(free).expect("no ports in a row are free");
    let named = |listener: TcpListener| {
        let name = listener.local_addr().unwrap().port().to_string();
        Host::on(Listener::from(listener), &name)
    };
    (first, listeners.into_iter().map(named).collect())
}

#[test]
fn a_range_of_ports_is_one_listener_that_leads_to_as_many_ports_of_a_host() {
    let (first, _hosts) = ports_in_a_row();
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let range = format!("127.0.0.1:{first}-{}", first + 2);
    let config = config(&[at(first)], MACHINE, "").replace(&at(first).to_string(), &range);
    let txlb = Controlled::start(&config);
    for port in first..first + 3 {
        assert_eq!(who(at(port)), port.to_string());
    }
    let overlapping = format!("ip=127.0.0.1:{}", first + 1);
    let refused = txlb.refused(&["addListen", "service=web", &overlapping]);
    assert!(refused.contains("is listened on already"), "{refused}");
    let (from, to) = (format!("from={range}"), format!("to={}", at(first + 1)));
    let session = Session::open(at(first));
    txlb.tell(&["switchPort", "service=web", &from, &to]);
    assert_eq!(who(at(first + 1)), (first + 1).to_string());
    assert!(std::net::TcpStream::connect(at(first + 2)).is_err());
    assert_eq!(session.close(), first.to_string());
    let back = format!("to={range}");
    txlb.tell(&[
        "switchPort",
        "service=web",
        &to.replace("to=", "from="),
        &back,
    ]);
    assert_eq!(who(at(first + 2)), (first + 2).to_string());
    let shown = txlb.tell(&["config"]);
    assert!(
        shown.contains(&format!("<listen ip=\"{range}\"")),
        "{shown}"
    );
}
