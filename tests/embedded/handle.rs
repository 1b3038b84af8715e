//! Requests to the controller of a balancer in this process, with real sessions: changes and responses.

use std::net::{SocketAddr, TcpListener};

use crate::support::client::{End, Session, connect_from, who, who_in_turn};
use crate::support::config::web;
use crate::support::embedded::TestBalancer;
use crate::support::host::{Host, Place};
use crate::support::until;
use txlb::Balancer;
use txlb::control::{LifecycleEvent, Phase, Signal};

fn hosts(names: &[&str]) -> (Vec<Host>, Vec<SocketAddr>) {
    let hosts: Vec<Host> = names.iter().map(|name| Host::new(name)).collect();
    let addresses = hosts.iter().map(Host::address).collect();
    (hosts, addresses)
}

fn in_main(verb: &str) -> String {
    let (name, rest) = verb.split_once(' ').unwrap();
    format!("{name} service=web group=main {rest}")
}

#[test]
fn an_answered_verb_is_in_force_and_cuts_nobody() {
    let (_hosts, at) = hosts(&["a", "b"]);
    let mut office = TestBalancer::open(&web("", "roundr", &at[..1]));
    let mut open = Session::open(office.address());
    office.order(&[&in_main(&format!("addHost name=b ip={}", at[1]))]);
    assert_eq!(who_in_turn(office.address(), 4), "baba");
    office.order(&[&in_main("drainHost name=a")]);
    assert_eq!(who_in_turn(office.address(), 3), "bbb");
    office.order(&[&in_main("hostAdminUp name=a"), &in_main("delHost name=b")]);
    assert_eq!(who_in_turn(office.address(), 3), "aaa");
    office.order(&["newGroup service=web group=blue scheduler=p2c"]);
    let add = format!("addHost service=web group=blue name=b ip={}", at[1]);
    office.order(&[&add, "enableGroup service=web group=blue"]);
    assert_eq!(who_in_turn(office.address(), 2), "bb");
    let first = office.address();
    office.order(&["addListen service=web ip=0.0.0.0:0"]);
    office.order(&["delListen service=web ip=127.0.0.1:0"]);
    assert_ne!(office.address(), first);
    assert!(std::net::TcpStream::connect(first).is_err());
    open.echo(10_000);
    assert_eq!(open.close(), "a");
}

#[test]
fn a_listener_stays_open_when_routes_and_headers_change() {
    let (_hosts, at) = hosts(&["a"]);
    let mut office = TestBalancer::open(&web("", "roundr", &at));
    let (first, before) = (office.address(), office.generation());
    let mut open = Session::open(first);
    office.order(&[
        "setListen service=web ip=127.0.0.1:0 proxy=require proxyFrom=192.0.2.1",
        "newGroup service=web group=other scheduler=p2c",
        "addRoute service=web sni=a.test group=other force=true",
    ]);
    assert_eq!((office.address(), office.generation()), (first, before + 3));
    let status = office.status();
    assert_eq!(status.services[0].routes[0].group, "other");
    // The group with the route has no host.
    assert!(!status.is_ready());
    let refusal = office.refusal("delGroup service=web group=other");
    assert!(refusal.contains("route 1"), "{refusal}");
    office.order(&["delRoute service=web route=1"]);
    assert_eq!((office.address(), who(first)), (first, "a".into()));
    assert!(office.status().is_ready());
    open.echo(10_000);
    assert_eq!(open.close(), "a");
}

#[test]
fn a_batch_is_one_change_or_none() {
    let (_hosts, at) = hosts(&["a", "b"]);
    let mut office = TestBalancer::open(&web("", "roundr", &at[..1]));
    let add = in_main(&format!("addHost name=b ip={}", at[1]));
    let before = office.generation();
    office.order(&["begin", &add, &in_main("delHost name=a")]);
    assert_eq!(office.generation(), before);
    office.order(&["commit"]);
    assert_eq!(
        (office.generation(), who(office.address())),
        (before + 1, "b".into())
    );
    office.order(&[
        "begin",
        &in_main("setWeight name=b weight=7"),
        &in_main("drainHost name=a"),
    ]);
    let refusal = office.refusal("commit");
    assert!(
        refusal.starts_with("number 2 of 2 (drainHost "),
        "{refusal}"
    );
    assert_eq!(
        (office.generation(), office.host("b").weight),
        (before + 1, 1)
    );
}

#[test]
fn what_is_refused_changes_nothing() {
    let (_hosts, at) = hosts(&["a"]);
    let mut office = TestBalancer::open(&web("", "roundr", &at));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("addListen service=web ip={}", taken.local_addr().unwrap());
    let before = office.say("config");
    let cases = [
        ("setWeight service=web group=main name=a", "needs weight="),
        (
            "setWeight service=web group=main name=a weight=1000001",
            "1000001",
        ),
        (
            "setWeight service=web group=main name=b weight=1",
            "has no host \"b\"",
        ),
        ("setWeigth", "is setWeight meant?"),
        (
            "addHost service=web group=main name=a ip=h:1",
            "has a host \"a\" already",
        ),
        (
            "delHost service=web group=main name=a",
            "would have no hosts",
        ),
        ("delGroup service=web group=main", "the only one"),
        (
            "changeScheduler service=web group=main scheduler=leastcon",
            "there is no scheduler \"leastcon\": is leastc meant?",
        ),
        ("drainHost service=\"web", "a quote is not closed"),
        ("commit", "there is no batch"),
        (taken.as_str(), "cannot listen at 127.0.0.1:"),
        (
            "addListen service=web ip=no.such.name.invalid:1",
            "does not resolve",
        ),
        (
            "retryHost service=web group=main name=c",
            "has no host \"c\"",
        ),
    ];
    for (line, why) in cases {
        let refusal = office.refusal(line);
        assert!(refusal.contains(why), "{line}: {refusal}");
    }
    assert_eq!(office.say("config"), before);
    assert_eq!(who(office.address()), "a");
    // Nothing to be done is done, and is no new configuration.
    office.order(&["setWeight service=web group=main name=a weight=1"]);
    assert_eq!(office.generation(), 1);
}

#[test]
fn every_change_is_logged_with_who_what_and_what_was_before() {
    let (_hosts, at) = hosts(&["a"]);
    let mut office = TestBalancer::open(&web("", "roundr", &at));
    // No other test has a host of this name.
    let name = format!("log{}", office.address().port());
    let rename = in_main(&format!("setHost name=a rename={name}"));
    let weigh = in_main(&format!("setWeight name={name} weight=5"));
    let user = format!("addUser name={name} password=$1$x$y access=full");
    office.order(&[&rename, &weigh, &user]);
    office.refusal(&in_main(&format!("delHost name={name}")));
    let mut lines = office.logged(&[&name]);
    lines.retain(|line| !line.contains("listens"));
    let expected = [
        format!("INFO generation 2: {rename}; by the program"),
        format!("INFO generation 3: {weigh}, was weight=1; by the program"),
        format!("INFO generation 4: addUser name={name} password=*** access=full; by the program"),
        format!(
            "INFO refused: {}; by the program: group \"main\" of service \"web\" is enabled and \
             would have no hosts: force=true insists",
            in_main(&format!("delHost name={name}"))
        ),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_renamed_host_lives_on_in_its_counts_its_sessions_and_its_clients() {
    let (_hosts, at) = hosts(&["a", "b"]);
    let mut office = TestBalancer::open(&web("", "roundr,sticky", &at));
    let stick = |from: u8| connect_from([127, 0, 0, from].into(), office.address());
    let mut open = Session::on(stick(7)).unwrap();
    assert_eq!(open.name, "a");
    assert_eq!(Session::on(stick(8)).unwrap().close(), "b");
    // Both at once: each has the other's name then.
    let swap = [("a", "x"), ("b", "a"), ("x", "b")];
    let swap = swap.map(|(old, new)| in_main(&format!("setHost name={old} rename={new}")));
    office.order(&["begin", &swap[0], &swap[1], &swap[2], "commit"]);
    let a = office.host("b");
    assert_eq!(
        (a.endpoint.as_str(), a.open, a.total),
        (at[0].to_string().as_str(), 1, 1)
    );
    assert_eq!(office.host("a").total, 1);
    open.echo(5_000);
    until("the bytes are counted", || {
        office.host("b").totals.bytes_to_host >= 5_000
    });
    let listed = office.handle.sessions().list;
    assert_eq!(listed[0].host.as_deref(), Some("b"));
    // Whose clients they were, they stay; what they are called in a file, they keep.
    assert_eq!(
        Session::on(connect_from([127, 0, 0, 8].into(), office.address()))
            .unwrap()
            .name,
        "b"
    );
    office.order(&["saveConfig"]);
    assert!(
        office
            .stored()
            .contains(&format!("name=\"b\" ip=\"{}\"", at[0]))
    );
    open.close();
    until("the session is counted off", || office.host("b").open == 0);
}

#[test]
fn a_host_that_moves_keeps_its_totals_and_its_sessions_but_not_its_health() {
    let (_hosts, at) = hosts(&["a", "b"]);
    let dead = Place::new();
    let mut office = TestBalancer::open(&web("", "roundr", &[at[0], dead.address()]));
    let mut open = Session::open(office.address());
    assert_eq!(
        (open.name.as_str(), who(office.address())),
        ("a", "a".into())
    );
    let failed = office.host("b");
    assert!(
        failed.last_failure.as_ref().unwrap().0.contains("refused"),
        "{failed:?}"
    );
    assert_eq!(failed.failures, 1);
    office.order(&[&in_main(&format!("setHost name=a ip={}", at[1]))]);
    let moved = office.host("a");
    assert_eq!((moved.total, moved.open), (2, 1));
    assert_eq!(moved.health, txlb::balance::Health::Untried);
    open.echo(1_000);
    assert_eq!(who(office.address()), "b");
    assert_eq!(open.close(), "a");
}

#[test]
fn a_failed_host_that_is_retried_gets_the_next_session() {
    let (_hosts, at) = hosts(&["a"]);
    let place = Place::new();
    let text = web("", "roundr", &[at[0], place.address()]);
    let no_check = "<manager><hostCheck enable='no'/></manager></config>";
    let mut office = TestBalancer::open(&text.replace("</config>", no_check));
    assert_eq!(who_in_turn(office.address(), 3), "aaa");
    assert!(matches!(
        office.host("b").health,
        txlb::balance::Health::Failed(_)
    ));
    let retry = in_main("retryHost name=b");
    let answer = office.say(&retry);
    let reset = "host web:main/b is reset to untried (was failed: connection refused)";
    assert!(answer.contains(reset), "{answer}");
    assert_eq!(office.host("b").health, txlb::balance::Health::Untried);
    // It is still dead: a client finds out, and is served by the other one.
    assert_eq!(who_in_turn(office.address(), 2), "aa");
    assert!(matches!(
        office.host("b").health,
        txlb::balance::Health::Failed(_)
    ));
    let _back = Host::on(place.listen(), "b");
    office.order(&[&retry]);
    let mut both = [who(office.address()), who(office.address())];
    both.sort();
    assert_eq!(both, ["a", "b"]);
    assert!(office.say(&retry).contains("has not failed"));
}

#[test]
fn least_connections_counts_right_after_a_hundred_changes_with_sessions_open() {
    let (_hosts, at) = hosts(&["a", "b", "c"]);
    let text = web("", "leastc", &at);
    let mut office = TestBalancer::open(&text);
    let mut open: Vec<Session> = (0..9).map(|_| Session::open(office.address())).collect();
    let b = format!("addHost name=b ip={}", at[1]);
    for number in 0..50 {
        office.order(&[&in_main("delHost name=b"), &in_main(&b)]);
        office
            .folder
            .write("config.xml", format!("{text}<!-- {number} -->"));
        office.handle.signal(Signal::Reload);
    }
    let status = office.status();
    assert_eq!(status.generation, 151);
    assert_eq!(
        ["a", "b", "c"].map(|name| office.host(name).open),
        [3, 3, 3]
    );
    assert_eq!((status.open, status.services[0].open), (9, 9));
    open.iter_mut().for_each(|session| session.echo(1_000));
    let place = open.iter().position(|session| session.name == "c").unwrap();
    open.remove(place).close();
    until("it is counted off", || office.host("c").open == 2);
    assert_eq!(who(office.address()), "c");
}

#[test]
fn sessions_are_listed_with_all_that_is_known_of_them() {
    let (_hosts, at) = hosts(&["a"]);
    let mut office = TestBalancer::open(&web("", "roundr", &at));
    let mut first = Session::open(office.address());
    first.echo(2_000);
    let second = Session::open(office.address());
    until("all is counted", || {
        let listed = office.handle.sessions();
        assert_eq!((listed.list.len(), listed.more), (2, 0));
        let told: u64 = listed.list.iter().map(|it| it.bytes_to_host).sum();
        told == 2_000
    });
    let listed = office.handle.sessions().list;
    let one = listed.iter().find(|it| it.bytes_to_host > 0).unwrap();
    // The host's greeting is two bytes.
    assert_eq!((one.bytes_to_host, one.bytes_to_client), (2_000, 2_002));
    assert_eq!((one.service.as_str(), one.group.as_str()), ("web", "main"));
    assert_eq!(
        (one.host.as_deref(), one.host_address.clone()),
        (Some("a"), Some(at[0].into()))
    );
    assert_eq!(one.phase, Phase::Relaying);
    assert!(one.local_address.unwrap().ip().is_loopback());
    assert_ne!(listed[0].id, listed[1].id);
    let json = office.say("json sessions");
    assert!(json.starts_with("  {\"sessions\":[{\"id\":\""), "{json}");
    assert!(json.ends_with("\"more\":0}\nok generation 1\n"), "{json}");
    assert_eq!(office.say("sessions").lines().count(), 4);
    first.close();
    second.close();
    until("they are over", || office.handle.sessions().list.is_empty());
}

#[test]
fn shutdown_lets_sessions_end_and_changes_nothing_more() {
    let (_hosts, at) = hosts(&["a"]);
    let mut office = TestBalancer::open(&web("", "roundr", &at));
    let open = Session::open(office.address());
    let answer = office.say("shutdown grace=60");
    assert_eq!(
        answer,
        "ok generation 1: stopping: 1 session has 60 s left\n"
    );
    assert_eq!(
        office.refusal("delService service=web"),
        "txlb is stopping\n"
    );
    assert_eq!(office.refusal("reload"), "txlb is stopping\n");
    office.order(&["shutdown grace=0"]);
    assert_eq!(open.wait_end(), End::Reset);
    assert_eq!(office.events.recv().unwrap(), LifecycleEvent::Stopped);
}

#[test]
fn a_closed_controller_says_so() {
    let (_hosts, at) = hosts(&["a"]);
    let mut office = TestBalancer::open(&web("", "roundr", &at));
    let address = office.address();
    office.close();
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(office.refusal("status"), "txlb has ended\n");
    assert_eq!(office.status().services.len(), 0);
    assert!(!office.status().is_ready());
    assert_eq!(office.handle.sessions().list.len(), 0);
}

#[test]
fn who_sets_a_weight_that_nothing_looks_at_is_told() {
    let balancer = Balancer::builder()
        .service("web")
        .listen("127.0.0.1:0")
        .group("g", "roundr")
        .host("a", "127.0.0.1:1")
        .host("b", "127.0.0.1:2")
        .start()
        .unwrap();
    let done = |line: &str| balancer.apply(line).unwrap().message;
    let note = "roundr of web:g does not look at weights: weightrr does";
    assert_eq!(done("setWeight service=web group=g name=a weight=5"), note);
    assert_eq!(done("setHost service=web group=g name=a weight=6"), note);
    assert_eq!(done("setGroup service=web group=g slowStart=5"), "");
    assert_eq!(done("setGroup service=web group=g scheduler=p2c"), "");
    assert_eq!(done("setWeight service=web group=g name=a weight=7"), "");
}
