//! What a program brings to a balancer of its own: schedulers, sockets, doors.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[cfg(feature = "web")]
use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use support::PATIENCE;
use support::client::{End, Session, connect, fate, who, who_in_turn};
use support::host::Host;
use txlb::scheduler::{Ask, Hosts, Pick, Scheduler};
use txlb::{Balancer, Door, Event};

fn address(balancer: &Balancer) -> SocketAddr {
    balancer.addresses("web")[0]
}

/// Always the last that may be picked.
#[derive(Debug)]
struct Last;

impl Scheduler for Last {
    fn renew(&mut self, _hosts: &Hosts) {}

    fn pick(&mut self, hosts: &Hosts, ask: &mut Ask<'_>) -> Pick {
        let mut candidates = hosts.candidates().iter().rev();
        candidates.find(|id| !ask.has_tried(**id)).copied().into()
    }
}

#[test]
fn a_scheduler_of_ones_own_goes_by_its_name_everywhere() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let text = format!(
        "<config><service name='web'><listen ip='127.0.0.1:0'/>\
         <group name='main' scheduler='last' enable='1'>\
         <host name='a' ip='{}'/><host name='b' ip='{}'/></group></service></config>",
        a.address(),
        b.address()
    );
    let unknown = Balancer::from_xml(&text).start().unwrap_err();
    assert!(
        unknown.to_string().contains("no scheduler \"last\""),
        "{unknown}"
    );
    let balancer = Balancer::from_xml(&text)
        .scheduler("last", || Last)
        .start()
        .unwrap();
    assert_eq!(who_in_turn(address(&balancer), 3), "bbb");
    let status = balancer.status();
    assert_eq!(status.services[0].groups[0].scheduler, "last");
    balancer
        .apply("changeScheduler service=web group=main scheduler=roundr")
        .unwrap();
    balancer
        .apply("changeScheduler service=web group=main scheduler=last,sticky")
        .unwrap();
    assert_eq!(who_in_turn(address(&balancer), 3), "bbb");
    let choices = balancer
        .apply("complete line=\"changeScheduler service=web group=main scheduler=la\"")
        .unwrap();
    assert_eq!(choices.lines, ["scheduler=last"]);
    let why = balancer
        .apply("changeScheduler service=web group=main scheduler=lst")
        .unwrap_err();
    assert!(why.to_string().ends_with("is last meant?"), "{why}");
}

#[test]
fn a_port_that_was_served_by_oneself_is_taken_over_with_its_queue() {
    let a = Host::new("a");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let waiting: Vec<_> = (0..20).map(|_| connect(place)).collect();
    let balancer = Balancer::builder()
        .service("web")
        .listener(listener)
        .host("a", a.address())
        .workers(2)
        .start()
        .unwrap();
    assert_eq!(balancer.addresses("web"), [place]);
    for client in waiting {
        assert_eq!(Session::on(client).unwrap().close(), "a");
    }
    assert_eq!(who(place), "a");
    // It is as any other listener: once it is not wanted, nobody has it any more.
    balancer.switch_port("web", place.port(), 0).unwrap();
    TcpListener::bind(place).unwrap();
}

/// What fails it: no host takes part.
#[derive(Debug)]
struct Panics;

impl Scheduler for Panics {
    fn renew(&mut self, _hosts: &Hosts) {}

    fn pick(&mut self, _hosts: &Hosts, _ask: &mut Ask<'_>) -> Pick {
        panic!("as the test wants it");
    }
}

#[test]
fn a_scheduler_that_panics_is_told_of_and_ends_the_balancer() {
    let a = Host::new("a");
    let balancer = Balancer::builder()
        .scheduler("panics", || Panics)
        .service("web")
        .listen("127.0.0.1:0")
        .group("main", "panics")
        .host("a", a.address())
        .workers(2)
        .start()
        .unwrap();
    let events = balancer.events();
    let (_, end) = fate(address(&balancer));
    assert_eq!(end, End::Reset);
    let told = events.next_within(PATIENCE);
    assert!(matches!(told, Some(Event::WorkerPanicked(_))), "{told:?}");
    balancer.wait();
}

#[test]
fn doors_are_opened_only_where_that_is_asked_for() {
    let folder = support::txlb::Folder::new();
    let socket = folder.path().join("control.sock");
    let text = format!(
        "<config><service name='web'><listen ip='127.0.0.1:0'/>\
         <group name='main' enable='1'><host ip='127.0.0.1:1'/></group></service>\
         <control socket='{}'/></config>",
        socket.display()
    );
    let balancer = Balancer::from_xml(&text).start().unwrap();
    assert!(!socket.exists());
    drop(balancer);
    let balancer = Balancer::from_xml(&text)
        .door(Door::Control)
        .start()
        .unwrap();
    assert!(socket.exists());
    assert_eq!(balancer.door_addresses(Door::Control), []);
    drop(balancer);
    assert!(!socket.exists());
}

#[cfg(feature = "web")]
#[test]
fn the_admin_page_of_a_program_is_found_where_the_system_put_it() {
    let text = "<config><service name='web'><listen ip='127.0.0.1:0'/>\
                <group name='main' enable='1'><host ip='127.0.0.1:1'/></group></service>\
                <admin><web listen='127.0.0.1:0'/></admin></config>";
    let balancer = Balancer::from_xml(text).door(Door::Web).start().unwrap();
    let mut page = connect(balancer.door_addresses(Door::Web)[0]);
    page.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let (answer, _) = support::client::read_all(&page);
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
