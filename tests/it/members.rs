//! Members of names: hosts that come and go as a name server says.

use rustix::process::Signal;

use crate::support::client::{Session, who};
use crate::support::control::Controlled;
use crate::support::name_server::{Mood, NameServer, loopbacks};
use crate::support::traffic::{Traffic, host_everywhere};
use crate::support::txlb::Txlb;
use crate::support::until;

fn config(server: &NameServer, group: &str, host: &str) -> String {
    format!(
        "<config><service name=\"web\"><listen ip=\"127.0.0.1:0\"/>\
         <group name=\"main\" enable=\"true\" {group}>{host}</group></service>{}</config>",
        server.element()
    )
}

fn template(port: u16) -> String {
    format!("<host name=\"web\" ip=\"web.test:{port}\" each=\"true\"/>")
}

/// The names of the members in the status, in their order.
fn hosts(controlled: &Controlled) -> Vec<String> {
    let status = controlled.tell(&["--json", "status"]);
    let found = status.split("{\"name\":\"web@").skip(1);
    let names = found.filter_map(|rest| rest.split('"').next());
    names.map(|name| format!("web@{name}")).collect()
}

#[test]
fn a_service_grows_and_shrinks_under_traffic() {
    let (server, host) = (NameServer::start(), host_everywhere());
    server.set_addresses("web.test", loopbacks(3));
    let text = config(
        &server,
        "scheduler=\"roundr\"",
        &template(host.address().port()),
    );
    let mut lb = Controlled::start(&text);
    let address = lb.txlb.address();
    assert_eq!(
        hosts(&lb),
        ["web@127.1.0.1", "web@127.1.0.2", "web@127.1.0.3"]
    );
    let turns = [who(address), who(address), who(address)];
    assert_eq!(turns, ["127.1.0.1", "127.1.0.2", "127.1.0.3"]);
    let mut last = Session::open(address);
    let traffic = Traffic::start(address);
    server.set_addresses("web.test", loopbacks(200));
    lb.txlb
        .wait_for("197 members more, 200 in all: web@127.1.0.10, ");
    until("each member has a session", || {
        let status = lb.tell(&["--json", "status"]);
        let totals = status.split("\"total\":").skip(1);
        // The service's own comes first.
        let served = totals.filter(|rest| !rest.starts_with("0,")).count();
        served == 201
    });
    server.set_addresses("web.test", loopbacks(200).skip(100));
    lb.txlb.wait_for("100 members less, 100 in all: ");
    // The session of one that is gone lives on.
    last.echo(1000);
    server.set_addresses("web.test", []);
    lb.txlb
        .wait_for("the members of web.test are not known any more: ");
    let before = server.asked();
    until("the name server is asked again", || server.asked() > before);
    assert_eq!(hosts(&lb).len(), 100);
    server.set_addresses("web.test", loopbacks(101).skip(100));
    lb.txlb.wait_for("the members of web.test are known now");
    lb.txlb.wait_for("99 members less, 1 in all: ");
    assert_eq!(who(address), "127.1.0.101");
    assert!(traffic.end() > 200);
    last.close();
}

#[test]
fn an_answer_without_members_changes_nothing() {
    let (server, host) = (NameServer::start(), host_everywhere());
    server.set_addresses("web.test", loopbacks(2));
    let text = config(&server, "", &template(host.address().port()));
    let mut lb = Controlled::start(&text);
    for mood in [Mood::Empty, Mood::Denies, Mood::Fails] {
        server.set_mood(mood);
        // Has names resolved at once.
        lb.txlb.signal(Signal::HUP);
        let why = lb.txlb.wait_for("are not known any more: ");
        assert!(why.contains("those that it had stay"), "{why}");
        let asked = server.asked();
        lb.txlb.signal(Signal::HUP);
        until("it is asked again", || server.asked() > asked);
        assert_eq!(hosts(&lb).len(), 2, "{mood:?}");
        let status = lb.tell(&["status"]);
        assert!(status.contains("2 members; not known now: "), "{status}");
        server.set_mood(Mood::Good);
        lb.txlb.signal(Signal::HUP);
        lb.txlb.wait_for("the members of web.test are known now");
    }
    // Each was said once.
    lb.txlb.wait_for_count("are not known any more", 3);
    server.set_mood(Mood::Lies);
    server.set_addresses("web.test", loopbacks(3));
    lb.txlb.wait_for("1 member more, 3 in all: web@127.1.0.3");
}

#[test]
fn a_silent_name_server_delays_no_verb_and_no_start_for_long() {
    let (server, host) = (NameServer::start(), host_everywhere());
    server.set_mood(Mood::Silent);
    let port = host.address().port();
    let plain = format!("<host name=\"a\" ip=\"127.0.0.1:{port}\"/>");
    let text = config(&server, "", &(plain + &template(port)));
    let lb = Controlled::start(&text);
    assert_eq!(who(lb.txlb.address()), "127.0.0.1");
    lb.tell(&[
        "setWeight",
        "service=web",
        "group=main",
        "name=web",
        "weight=2",
    ]);
    server.set_addresses("web.test", loopbacks(1));
    server.set_mood(Mood::Good);
    until("the name has a member", || hosts(&lb).len() == 1);
}

#[test]
fn members_of_services_have_ports_weights_and_priorities() {
    let (server, one, two) = (NameServer::start(), host_everywhere(), host_everywhere());
    let [one, two] = [&one, &two].map(|host| host.address().port());
    server.set_services(
        "_web._tcp.test",
        &[
            (10, 7, one, "Node1.test"),
            (10, 0, two, "node1.test"),
            (20, 1, one, "node2.test"),
        ],
    );
    server.set_addresses("Node1.test", loopbacks(1));
    server.set_addresses("node1.test", loopbacks(1));
    server.set_addresses("node2.test", loopbacks(2).skip(1));
    let template = "<host name=\"web\" ip=\"_web._tcp.test\" each=\"srv\" weight=\"2\"/>";
    let lb = Controlled::start(&config(&server, "scheduler=\"weightrr\"", template));
    let status = lb.tell(&["--json", "status"]);
    for part in [
        format!("\"name\":\"web@node1.test:{one}\",\"ip\":\"127.1.0.1:{one}\",\"address\":\"127.1.0.1:{one}\",\"weight\":14,\"state\":\"up\",\"backup\":false,\"member_of\":\"web\""),
        format!("\"name\":\"web@node1.test:{two}\",\"ip\":\"127.1.0.1:{two}\",\"address\":\"127.1.0.1:{two}\",\"weight\":2,\"state\":\"up\",\"backup\":false"),
        format!("\"name\":\"web@node2.test:{one}\",\"ip\":\"127.1.0.2:{one}\",\"address\":\"127.1.0.2:{one}\",\"weight\":2,\"state\":\"up\",\"backup\":true"),
        "\"each\":[{\"name\":\"web\",\"ip\":\"_web._tcp.test\",\"each\":\"srv\",\"members\":3,\"error\":null}]".to_owned(),
    ] {
        assert!(status.contains(&part), "{part} is not in {status}");
    }
    assert_eq!(who(lb.txlb.address()), "127.1.0.1");
}

#[test]
fn verbs_know_members_and_the_file_does_not() {
    let (server, host) = (NameServer::start(), host_everywhere());
    server.set_addresses("web.test", loopbacks(2));
    let port = host.address().port();
    let mut lb = Controlled::start(&config(&server, "scheduler=\"roundr\"", &template(port)));
    let address = lb.txlb.address();
    let tell = |verb: &str, name: &str| {
        lb.tell(&[verb, "service=web", "group=main", &format!("name={name}")])
    };
    let mut session = Session::open(address);
    let first = format!("web@{}", session.name);
    tell("drainHost", &first);
    let (a, b) = (who(address), who(address));
    assert!(a == b && a != session.name);
    session.echo(100);
    assert_eq!(lb.tell(&["diff"]), "");
    let file = std::fs::read(lb.txlb.config_file()).unwrap();
    let said = lb.tell(&["saveConfig"]);
    assert!(!said.contains("saved in"), "{said}");
    assert_eq!(std::fs::read(lb.txlb.config_file()).unwrap(), file);
    // The last usable one stays unless it is insisted.
    let other = format!("web@{a}");
    let refused = lb.refused(&[
        "hostAdminDown",
        "service=web",
        "group=main",
        &format!("name={other}"),
    ]);
    assert!(refused.contains("would have no usable host"), "{refused}");
    a_member_is_not_changed(&lb, &other);
    let refused = lb.refused(&[
        "drainHost",
        "service=web",
        "group=main",
        "name=web@10.9.9.9",
    ]);
    assert!(refused.contains("tells of no member"), "{refused}");
    // A state outlives other changes, and a new name of the template.
    lb.tell(&[
        "setHost",
        "service=web",
        "group=main",
        "name=web",
        "rename=app",
        "weight=2",
    ]);
    session.echo(100);
    assert_eq!((who(address), who(address)), (a.clone(), a.clone()));
    let renamed = first.replace("web@", "app@");
    tell("hostAdminUp", &renamed);
    assert_ne!(who(address), who(address));
    // What was wanted of a member is forgotten when it goes.
    tell("drainHost", &renamed);
    server.set_addresses("web.test", [a.parse().unwrap()]);
    lb.txlb.wait_for("1 member less, 1 in all: ");
    server.set_addresses("web.test", loopbacks(2));
    lb.txlb.wait_for("1 member more, 2 in all: ");
    assert_ne!(who(address), who(address));
    let said = lb.tell(&["endSessions", "service=web", "host=app"]);
    assert!(said.contains("1 session ended"), "{said}");
    session.wait_end();
}

/// It comes, goes and weighs as its name says.
fn a_member_is_not_changed(lb: &Controlled, member: &str) {
    for verb in [
        "delHost",
        "setWeight weight=3",
        "setHost weight=3",
        "setHost rename=x",
    ] {
        let mut words: Vec<&str> = verb.split(' ').collect();
        let name = format!("name={member}");
        words.extend(["service=web", "group=main", name.as_str()]);
        let refused = lb.refused(&words);
        assert!(
            refused.contains("comes and goes with the name"),
            "{refused}"
        );
    }
}

#[test]
fn a_host_that_no_name_can_be_asked_for_is_refused() {
    let (server, host) = (NameServer::start(), host_everywhere());
    server.set_addresses("web.test", loopbacks(1));
    let good = config(&server, "", &template(host.address().port()));
    let mut txlb = Txlb::start(&good);
    for (bad, why) in [
        (
            "ip=\"127.0.0.1:1\" each=\"true\"",
            "an address has no members",
        ),
        (
            "ip=\"web.test:1\" each=\"srv\"",
            "takes the ports from the records",
        ),
        (
            "ip=\"web.test:1\" each=\"maybe\"",
            "must be true, false or srv",
        ),
    ] {
        let text = config(&server, "", &format!("<host name=\"x\" {bad}/>"));
        let said = txlb.reload_in_vain(text);
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(who(txlb.address()), "127.1.0.1");
}
