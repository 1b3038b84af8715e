//! Upgrades while the name server is away: members of names serve on, and what operators want of
//! them stays.
#![cfg(target_os = "linux")]

use crate::support::client::who;
use crate::support::name_server::{Mood, NameServer, loopbacks};
use crate::support::traffic::host_everywhere;
use crate::support::upgradable::Upgradable;

/// Whether the status has this member with this state.
fn is(txlb: &Upgradable, member: &str, state: &str) -> bool {
    let status = txlb.tell(&["--json", "status"]);
    let (_, rest) = status
        .split_once(&format!("{{\"name\":\"{member}\""))
        .unwrap_or_else(|| panic!("no {member} in {status}"));
    let (_, rest) = rest.split_once("\"state\":\"").unwrap();
    rest.starts_with(&format!("{state}\""))
}

#[test]
fn members_and_what_is_wanted_of_them_outlive_upgrades_without_a_name_server() {
    let (server, host) = (NameServer::start(), host_everywhere());
    server.set_addresses("web.test", loopbacks(3));
    let mut txlb = Upgradable::with(&format!(
        "<service name='web'><listen ip='127.0.0.1:0'/>\
         <group name='main' enable='true' scheduler='roundr'>\
         <host name='web' ip='web.test:{}' each='true'/></group></service>{}",
        host.address().port(),
        server.element()
    ));
    let address = txlb.txlb.address();
    let drained = "web@127.1.0.1";
    let of = |name: &'static str| ["service=web", "group=main", name];
    txlb.tell(&[&["drainHost"][..], &of("name=web@127.1.0.1")].concat());
    server.set_mood(Mood::Silent);
    // The second process has no answer of its own to hand over.
    for _ in 0..2 {
        txlb.upgrade(Upgradable::by_verb);
        let mut served = [(); 4].map(|()| who(address));
        served.sort();
        assert_eq!(served, ["127.1.0.2", "127.1.0.2", "127.1.0.3", "127.1.0.3"]);
        assert!(is(&txlb, drained, "drain") && is(&txlb, "web@127.1.0.2", "up"));
    }
    // The first answer of its own counts.
    server.set_addresses("web.test", loopbacks(4));
    server.set_mood(Mood::Good);
    txlb.txlb.wait_for("1 member more, 4 in all: web@127.1.0.4");
    assert!(is(&txlb, drained, "drain"));
    txlb.tell(&[&["hostAdminUp"][..], &of("name=web@127.1.0.1")].concat());
    let served = [(); 4].map(|()| who(address));
    assert!(served.contains(&"127.1.0.1".to_owned()), "{served:?}");
}
