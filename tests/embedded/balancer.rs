//! A balancer within a program, through the library's public interface alone.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::support::client::{End, Session, connect, who, who_in_turn};
use crate::support::host::{Host, Place};
use crate::support::txlb::Folder;
use crate::support::{TIMEOUT, until};
use txlb::scheduler::{Hosts, Pick, PickContext, Scheduler};
use txlb::status::{HostState, Topic};
use txlb::{Algorithm, Balancer, EndReason, ErrorKind, Event, Events};

fn address(balancer: &Balancer) -> SocketAddr {
    balancer.addresses("web")[0]
}

/// Over hosts by these names, in turn.
fn over(hosts: &[(&str, SocketAddr)]) -> Balancer {
    let mut builder = Balancer::builder()
        .service("web")
        .listen("127.0.0.1:0")
        .group("prod", Algorithm::RoundRobin);
    for (name, address) in hosts {
        builder = builder.host(*name, address);
    }
    builder.workers(2).start().unwrap()
}

/// The next event that is wanted; others are passed over.
fn next<T>(events: &Events, wanted: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = events.next_within(TIMEOUT);
        if let Some(found) = wanted(&event.expect("no such event")) {
            return found;
        }
    }
}

#[test]
fn what_is_said_step_by_step_is_balanced() {
    let (a, b, c) = (Host::new("a"), Host::new("b"), Host::new("c"));
    let balancer = Balancer::builder()
        .service("web")
        .listen("127.0.0.1:0")
        .listen("127.0.0.2:0")
        .connect_timeout(Duration::from_millis(1500))
        .idle_timeout(Duration::from_secs(60))
        .half_closed_timeout(Duration::ZERO)
        .group("old", "roundrobin")
        .host("a", a.address())
        .group("new", Algorithm::WeightedRoundRobin)
        .enabled()
        .host("b", b.address())
        .weight(2)
        .host("c", c.address())
        .service("mail")
        .listen("127.0.0.1:0")
        .host("a", a.address())
        .verb(
            "setOption",
            &[("name", "manager.heartbeat.enable"), ("value", "true")],
        )
        .workers(2)
        .start()
        .unwrap();
    assert_eq!(balancer.addresses("web").len(), 2);
    for address in balancer.addresses("web") {
        assert_eq!(who_in_turn(address, 3).matches('b').count(), 2);
    }
    assert_eq!(who(balancer.addresses("mail")[0]), "a");
    assert_eq!(balancer.addresses("nobody"), []);

    let config = balancer.apply("config").unwrap().lines.join("\n");
    for line in [
        r#"connectTimeout="1.5" idleTimeout="60" halfClosedTimeout="0""#,
        r#"<group name="new" scheduler="weightrr" stickyPrefix="128" failAfter="0" slowStart="0""#,
        r#"<group name="main" scheduler="weightlc" stickyPrefix="128" failAfter="0" slowStart="0""#,
        r#"<heartbeat interval="60" enable="true"/>"#,
    ] {
        assert!(config.contains(line), "{line} in {config}");
    }
    let status = balancer.status();
    assert_eq!((status.workers, status.generation), (2, 1));
    let groups = status.services[0].groups.iter();
    assert_eq!(
        Vec::from_iter(groups.map(|group| &*group.name)),
        ["old", "new"]
    );
}

#[test]
fn invalid_settings_are_reported_at_the_start() {
    let web = || Balancer::builder().service("web");
    let listening = || web().listen("127.0.0.1:0");
    let cases = [
        (
            web().group("g", "leastc"),
            "group comes after a service's listen()",
        ),
        (
            web().service("other"),
            "the service \"web\" listens nowhere",
        ),
        (listening().weight(1), "weight() comes after the host()"),
        (web().enabled(), "enabled() comes after the group()"),
        (
            listening().sticky_prefix(64),
            "sticky_prefix() comes after the group()",
        ),
        (
            listening().group("g", "leastc,sticky").sticky_prefix(129),
            "a whole number from 1 to 128",
        ),
        (listening().host("a", "127.0.0.1:"), "the port is missing"),
        (
            listening().host("a", "h:1").host("a", "h:2"),
            "a host \"a\" already",
        ),
        (
            listening().host("a", "h:1").weight(2_000_000),
            "a whole number from 0 to 1000000",
        ),
        (listening().group("g", "leastcon"), "is leastc meant?"),
        (listening().verb("saveConfig", NOTHING), "is no change"),
        (
            listening().scheduler("a b", || Last),
            "no scheduler can be called",
        ),
        (
            listening().scheduler("leastc", || Last),
            "no scheduler can be called",
        ),
        (
            Balancer::from_xml("<config><servce/></config>"),
            "is <service> meant?",
        ),
    ];
    for (builder, expected) in cases {
        let error = builder.start().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
    let error = Balancer::from_file("/nowhere/at/all.xml")
        .start()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    assert_eq!(said_by_the_system(&error), Some(io::ErrorKind::NotFound));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = web()
        .listen(taken.local_addr().unwrap())
        .start()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Listen);
    assert_eq!(said_by_the_system(&error), Some(io::ErrorKind::AddrInUse));
}

fn said_by_the_system(error: &dyn std::error::Error) -> Option<io::ErrorKind> {
    let source = error.source()?.downcast_ref::<io::Error>();
    source.map(io::Error::kind)
}

const NOTHING: &[(&str, &str)] = &[];

#[test]
fn threads_share_one_by_reference() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Balancer>();
    shared::<txlb::Error>();
    shared::<txlb::ApplyError>();
    sent::<txlb::Builder>();
    sent::<Events>();
    sent::<Event>();
    let a = Host::new("a");
    let balancer = over(&[("a", a.address())]);
    std::thread::scope(|scope| {
        for name in ["b", "c", "d"] {
            let (balancer, place) = (&balancer, a.address());
            scope.spawn(move || balancer.add_host("web", "prod", name, place).unwrap());
        }
    });
    assert_eq!(balancer.status().services[0].groups[0].hosts.len(), 4);
    assert_eq!(balancer.status().generation, 4);
}

#[test]
fn everything_can_be_changed_while_it_runs() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let balancer = over(&[("a", a.address())]);
    let mut session = Session::open(address(&balancer));
    balancer.add_host("web", "prod", "b", b.address()).unwrap();
    let both = who_in_turn(address(&balancer), 4);
    assert_eq!(
        (both.matches('a').count(), both.matches('b').count()),
        (2, 2)
    );
    balancer.drain_host("web", "prod", "a").unwrap();
    assert_eq!(who_in_turn(address(&balancer), 2), "bb");
    let state = |name: &str| {
        let status = balancer.status();
        let service = status.service("web").unwrap();
        service.enabled_group().unwrap().host(name).unwrap().state
    };
    assert_eq!(state("a"), HostState::Drain);
    balancer.restore_host("web", "prod", "a").unwrap();
    assert_eq!(state("a"), HostState::Up);
    balancer
        .apply_all(&[
            "newGroup service=web group=\"next one\" scheduler=leastc",
            &format!(
                "addHost service=web group=\"next one\" name=b ip={}",
                b.address()
            ),
        ])
        .unwrap();
    balancer.enable_group("web", "next one").unwrap();
    assert_eq!(who_in_turn(address(&balancer), 2), "bb");
    let done = balancer.switch_port("web", 0, "127.0.0.3:0").unwrap();
    assert_eq!(done.generation, balancer.status().generation);
    assert_eq!(address(&balancer).ip().to_string(), "127.0.0.3");
    assert_eq!(who(address(&balancer)), "b");
    balancer.remove_host("web", "prod", "a").unwrap();

    // Through all of this, the session went on.
    assert_eq!(balancer.sessions().list.len(), 1);
    session.echo(100_000);
    assert_eq!(session.close(), "a");
}

#[test]
fn what_is_refused_changes_nothing() {
    let a = Host::new("a");
    let balancer = over(&[("a", a.address())]);
    let before = balancer.apply("config").unwrap();
    let refusals = [
        balancer.add_host("web", "prod", "a", "10.0.0.1:80"),
        balancer.remove_host("web", "prod", "a"),
        balancer.drain_host("web", "prod", "nobody"),
        balancer.enable_group("web", "nobody"),
        balancer.switch_port("web", 1, 2),
        balancer.save(),
        balancer.reload(),
        balancer.apply("newGroup service=web group=g scheduler=mine"),
        balancer.apply("begin"),
        balancer.apply("no such verb"),
        balancer.apply_all(&[
            "drainHost service=web group=prod name=a",
            "delService service=x",
        ]),
        balancer.apply_all(&["status"]),
    ];
    for refusal in refusals {
        assert!(!refusal.unwrap_err().to_string().is_empty());
    }
    assert_eq!(balancer.apply("config").unwrap(), before);
}

#[test]
fn a_file_is_read_changed_saved_and_read_again() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let folder = Folder::new();
    let file = folder.path().join("config.xml");
    let text = format!(
        "<config><!-- mine --><service name=\"web\"><listen ip=\"127.0.0.1:0\"/>\
         <group name=\"main\" scheduler=\"roundr\" enable=\"true\"><host name=\"a\" ip=\"{}\"/>\
         </group></service></config>",
        a.address()
    );
    std::fs::write(&file, &text).unwrap();
    let balancer = Balancer::from_file(&file).workers(1).start().unwrap();
    balancer.add_host("web", "main", "b", b.address()).unwrap();
    assert_eq!(balancer.status().stored.unsaved, 1);
    let why = balancer.reload().unwrap_err().to_string();
    assert!(why.contains("would be lost"), "{why}");
    balancer.save().unwrap();
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(
        saved.contains("<!-- mine -->") && saved.contains("name=\"b\""),
        "{saved}"
    );
    std::fs::write(&file, &text).unwrap();
    balancer.reload().unwrap();
    assert_eq!(who_in_turn(address(&balancer), 2), "aa");
}

#[test]
fn events_are_published() {
    let (a, place) = (Host::new("a"), Place::new());
    let balancer = Balancer::builder()
        .service("web")
        .listen("127.0.0.1:0")
        .group("prod", Algorithm::RoundRobin)
        .host("gone", place.address())
        .host("a", a.address())
        .verb(
            "setOption",
            &[("name", "manager.hostCheck.interval"), ("value", "0.1")],
        )
        .start()
        .unwrap();
    let events = balancer.events();
    let mut session = Session::open(address(&balancer));
    session.echo(1000);
    session.close();
    let (host, reason) = next(&events, |event| match event {
        Event::HostDown { host, reason } => Some((host.to_string(), reason.clone())),
        _ => None,
    });
    assert_eq!((&*host, &*reason), ("web:prod/gone", "connection refused"));
    let end = next(&events, |event| match event {
        Event::SessionEnded(end) => Some(end.clone()),
        _ => None,
    });
    assert_eq!(
        (&*end.service, &*end.group, end.host.as_deref()),
        ("web", "prod", Some("a"))
    );
    assert_eq!(
        (end.bytes_to_host, end.bytes_to_client, end.retries),
        (1000, 1002, 1)
    );
    assert_eq!(
        (end.reason, end.host_address.clone()),
        (EndReason::Finished, Some(a.address().into()))
    );
    assert!(end.connect_ms.unwrap() <= end.total_ms);

    let _listener = place.listen();
    let up = |event: &Event| matches!(event, Event::HostUp { host } if host.host == "gone");
    next(&events, |event| up(event).then_some(()));
    balancer.drain_host("web", "prod", "gone").unwrap();
    let noted = next(&events, |event| match event {
        Event::Recorded(event) => Some(event.clone()),
        _ => None,
    });
    assert_eq!(noted.topic, Topic::Change);
    assert!(
        noted.text.contains("drainHost service=web"),
        "{}",
        noted.text
    );
    drop(balancer);
    assert!(
        events
            .into_iter()
            .all(|event| matches!(event, Event::SessionEnded(_)))
    );
}

#[test]
fn a_slow_subscriber_delays_nothing() {
    let a = Host::new("a");
    let balancer = over(&[("a", a.address())]);
    let events = balancer.events();
    for _ in 0..1100 {
        let mut stream = connect(address(&balancer));
        stream.write_all(b"x").unwrap();
    }
    // Ends have been published before; what is open is counted at another moment.
    until("all sessions are over", || {
        let ended = balancer.status().ended;
        ended.iter().map(|(_, sessions)| sessions).sum::<u64>() == 1100
    });
    // There is room for 1,024; of the others the next event tells.
    let waiting: Vec<Event> = std::iter::from_fn(|| events.try_next()).collect();
    assert_eq!(waiting.len(), 1024);
    who(address(&balancer));
    let missed = next(&events, |event| match event {
        Event::Missed(missed) => Some(*missed),
        _ => None,
    });
    assert_eq!(missed, 1100 - 1024);
}

#[test]
fn open_sessions_have_their_time_when_it_ends() {
    let a = Host::new("a");
    let balancer = over(&[("a", a.address())]);
    let place = address(&balancer);
    let (mut session, cut) = (Session::open(place), Session::open(place));
    let end = std::thread::spawn(move || balancer.shutdown(Duration::from_millis(300)));
    session.echo(1000);
    assert_eq!(session.close(), "a");
    assert_eq!(cut.wait_end(), End::Reset);
    end.join().unwrap();
    assert!(std::net::TcpStream::connect(place).is_err());

    let balancer = over(&[("a", a.address())]);
    let cut = Session::open(address(&balancer));
    drop(balancer);
    assert_eq!(cut.wait_end(), End::Reset);
}

#[test]
fn who_comes_when_there_are_as_many_sessions_as_there_may_be_waits() {
    let a = Host::new("a");
    let balancer = Balancer::builder()
        .service("web")
        .listen("127.0.0.1:0")
        .host("a", a.address())
        .sessions(2)
        .workers(1)
        .start()
        .unwrap();
    assert_eq!(balancer.status().capacity, 2);
    let (first, second) = (
        Session::open(address(&balancer)),
        Session::open(address(&balancer)),
    );
    let third = connect(address(&balancer));
    // A change has the worker go round: it would let the third one in now.
    balancer.add_host("web", "main", "b", a.address()).unwrap();
    assert_eq!(balancer.status().capacity, 2);
    assert_eq!(balancer.status().services[0].total, 2);
    first.close();
    assert_eq!(Session::on(third).unwrap().close(), "a");
    second.close();
}

#[test]
fn an_admin_client_that_stops_it_is_waited_for() {
    let a = Host::new("a");
    let balancer = over(&[("a", a.address())]);
    let events = balancer.events();
    balancer.apply("shutdown grace=0").unwrap();
    // Who listens hears of the end, though the balancer is held still.
    assert!(
        events
            .into_iter()
            .all(|it| matches!(it, Event::Recorded(_)))
    );
    assert_eq!(balancer.events().count(), 0);
    balancer.wait();
}

/// Never asked.
#[derive(Debug)]
struct Last;

impl Scheduler for Last {
    fn rebuild(&mut self, _hosts: &Hosts) {}

    fn pick(&mut self, _hosts: &Hosts, _ask: &mut PickContext<'_>) -> Pick {
        Pick::None
    }
}
