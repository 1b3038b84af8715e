//! What an embedding program passes to a balancer: schedulers, sockets, admin interfaces.

#[cfg(feature = "web")]
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::support::TIMEOUT;
use crate::support::client::{End, Session, connect, fate, who, who_in_turn};
use crate::support::host::{Host, Place};
use crate::support::txlb::Folder;
use txlb::scheduler::{Hosts, Pick, PickContext, Scheduler};
use txlb::{AdminInterface, Balancer, ErrorKind, Event, Events};

fn address(balancer: &Balancer) -> SocketAddr {
    balancer.addresses("web")[0]
}

/// Always the last that may be picked.
#[derive(Debug)]
struct Last;

impl Scheduler for Last {
    fn rebuild(&mut self, _hosts: &Hosts) {}

    fn pick(&mut self, hosts: &Hosts, ask: &mut PickContext<'_>) -> Pick {
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

/// Says that it picks, and does not before it is released.
#[derive(Debug)]
struct Hangs {
    picks: Sender<()>,
    released: Arc<Mutex<Receiver<()>>>,
}

impl Scheduler for Hangs {
    fn rebuild(&mut self, _hosts: &Hosts) {}

    fn pick(&mut self, hosts: &Hosts, _ask: &mut PickContext<'_>) -> Pick {
        let _ = self.picks.send(());
        let _ = self.released.lock().unwrap().recv();
        hosts.candidates().first().copied().into()
    }
}

#[test]
fn a_worker_that_hangs_refuses_changes() {
    let host = Host::new("a");
    let (picks, picking) = channel();
    let (release, released) = channel();
    let released = Arc::new(Mutex::new(released));
    let balancer = Balancer::builder()
        .scheduler("hangs", move || Hangs {
            picks: picks.clone(),
            released: Arc::clone(&released),
        })
        .service("web")
        .listen("127.0.0.1:0")
        .group("main", "hangs")
        .host("a", host.address())
        .workers(2)
        .start()
        .unwrap();
    let client = connect(address(&balancer));
    picking.recv().unwrap();
    let add = "addListen service=web ip=127.0.0.2:0";
    let why = balancer.apply(add).unwrap_err();
    assert!(why.to_string().contains("does not answer"), "{why}");
    drop(release);
    assert_eq!(Session::on(client).unwrap().close(), "a");
    let status = balancer.status();
    assert_eq!(
        (status.generation, status.services[0].addresses.len()),
        (1, 1)
    );
    balancer.apply(add).unwrap();
    let served: String = balancer.addresses("web").into_iter().map(who).collect();
    assert_eq!(served, "aa");
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
    // It is as any other listener: once it is not configured, it is closed.
    balancer.switch_port("web", place.port(), 0).unwrap();
    TcpListener::bind(place).unwrap();
}

#[test]
fn a_port_that_was_served_by_oneself_is_a_files_from_then_on() {
    let a = Host::new("a");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let text = |place: SocketAddr| {
        format!(
            "<config><service name='web'><listen ip='{place}'/><group name='main' enable='1'>\
             <host name='a' ip='{}'/></group></service></config>",
            a.address()
        )
    };
    let elsewhere = Balancer::from_xml(text(([127, 0, 0, 1], 0).into()))
        .listener(listener.try_clone().unwrap())
        .start()
        .unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::Configuration);
    let why = format!("no service of the file or text listens at {place}");
    assert!(elsewhere.to_string().ends_with(&why), "{elsewhere}");

    let waiting = connect(place);
    let balancer = Balancer::from_xml(text(place))
        .listener(listener)
        .start()
        .unwrap();
    assert_eq!(balancer.addresses("web"), [place]);
    assert_eq!(Session::on(waiting).unwrap().close(), "a");
}

/// Panics on the threads whose names begin so, from its second call on.
#[derive(Debug)]
struct Panics {
    on: &'static str,
    calls: u32,
}

impl Panics {
    fn call(&mut self) {
        self.calls += 1;
        let thread = std::thread::current();
        let here = thread.name().is_some_and(|name| name.starts_with(self.on));
        assert!(self.calls == 1 || !here, "as the test wants it");
    }
}

impl Scheduler for Panics {
    fn rebuild(&mut self, _hosts: &Hosts) {
        self.call();
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut PickContext<'_>) -> Pick {
        self.call();
        Last.pick(hosts, ask)
    }
}

/// Over a host `a`, and `b` behind it, by a scheduler that panics `on` such a thread.
fn panicking(on: &'static str, a: SocketAddr, b: SocketAddr) -> Balancer {
    let check = [("name", "manager.hostCheck.interval"), ("value", "0.05")];
    Balancer::builder()
        .scheduler("panics", move || Panics { on, calls: 0 })
        .service("web")
        .listen("127.0.0.1:0")
        .group("main", "panics")
        .host("a", a)
        .host("b", b)
        .verb("setOption", &check)
        .workers(2)
        .start()
        .unwrap()
}

/// Waits until a thread whose name begins so is said to have panicked, and all is over.
fn is_told_and_ends(balancer: Balancer, events: &Events, on: &str) {
    let told = std::iter::from_fn(|| events.next_within(TIMEOUT));
    let panicked: Vec<String> = told
        .filter_map(|event| match event {
            Event::Panicked(thread) => Some(thread),
            _ => None,
        })
        .collect();
    assert_eq!(panicked.len(), 1, "{panicked:?}");
    assert!(panicked[0].starts_with(on), "{panicked:?}");
    balancer.wait();
}

#[test]
fn a_scheduler_that_panics_is_reported_and_ends_the_balancer() {
    let a = Host::new("a");
    let balancer = panicking("worker-", a.address(), a.address());
    let events = balancer.events();
    let (_, end) = fate(address(&balancer));
    assert_eq!(end, End::Reset);
    is_told_and_ends(balancer, &events, "worker-");
}

/// Has its first client at once, while the start goes on.
#[test]
fn a_scheduler_that_panics_before_all_is_started_ends_the_balancer() {
    let a = Host::new("a");
    for _ in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let waiting = connect(listener.local_addr().unwrap());
        let balancer = Balancer::builder()
            .scheduler("panics", || Panics {
                on: "worker-",
                calls: 1,
            })
            .service("web")
            .listener(listener)
            .group("main", "panics")
            .host("a", a.address())
            .workers(2)
            .start()
            .unwrap();
        assert!(Session::on(waiting).is_err());
        balancer.wait();
    }
}

#[test]
fn a_scheduler_that_panics_while_a_change_is_made_does_not_go_unnoticed() {
    let a = Host::new("a");
    let balancer = panicking("director", a.address(), a.address());
    let events = balancer.events();
    balancer
        .drain_host("web", "main", "a")
        .expect_err("nobody was there to do it");
    is_told_and_ends(balancer, &events, "director");
}

#[test]
fn a_scheduler_that_panics_when_a_host_is_back_does_not_go_unnoticed() {
    let (a, place) = (Host::new("a"), Place::new());
    let balancer = panicking("recovery", a.address(), place.address());
    let events = balancer.events();
    assert_eq!(who(address(&balancer)), "a");
    let _listener = place.listen();
    is_told_and_ends(balancer, &events, "recovery");
}

#[test]
fn admin_interfaces_are_opened_only_where_that_is_asked_for() {
    let folder = Folder::new();
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
        .admin(AdminInterface::Control)
        .start()
        .unwrap();
    assert!(socket.exists());
    assert_eq!(balancer.admin_addresses(AdminInterface::Control), []);
    drop(balancer);
    assert!(!socket.exists());
}

#[cfg(feature = "web")]
#[test]
fn the_admin_page_of_a_program_is_found_where_the_system_put_it() {
    let text = "<config><service name='web'><listen ip='127.0.0.1:0'/>\
                <group name='main' enable='1'><host ip='127.0.0.1:1'/></group></service>\
                <admin><web listen='127.0.0.1:0'/></admin></config>";
    let balancer = Balancer::from_xml(text)
        .admin(AdminInterface::Web)
        .start()
        .unwrap();
    let mut page = connect(balancer.admin_addresses(AdminInterface::Web)[0]);
    page.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let (answer, _) = crate::support::client::read_all(&page);
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
