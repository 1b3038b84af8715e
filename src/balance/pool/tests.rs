//! What becomes of hosts: health, addresses, counts, changes.

use super::super::fixture::{Scene, all_schedulers, group};
use super::super::{Health, Random};
use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn health(scene: &Scene, name: &str) -> (Health, u64) {
    let host = scene
        .tracker
        .hosts()
        .find(|host| host.host.name == name)
        .unwrap();
    (host.health.clone(), host.since_ms)
}

fn numbers(scene: &Scene, name: &str) -> (u32, u64, u64) {
    let host = scene
        .tracker
        .hosts()
        .find(|host| host.host.name == name)
        .unwrap();
    (host.open, host.total, host.failures)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_session_is_counted_from_its_pick_to_its_end() {
    let mut scene = Scene::new("leastc", "a");
    let (id, address) = (scene.id("a"), scene.address("a"));
    scene.run("+ + + +");
    assert_eq!((numbers(&scene, "a"), scene.tracker.open()), ((4, 0, 0), 4));
    assert_eq!(scene.tracker.connected(id, address, 1), None);
    assert_eq!(health(&scene, "a"), (Health::Healthy, 1));
    scene.tracker.connected(id, address, 2);
    assert_eq!(
        (numbers(&scene, "a"), health(&scene, "a").1),
        ((4, 2, 0), 1)
    );
    scene.tracker.released(id, CLIENT, 3);
    scene.tracker.released(id, CLIENT, 3);
    scene
        .tracker
        .connect_failed(id, address, CLIENT, Failure::Refused, 3);
    assert_eq!((numbers(&scene, "a"), scene.tracker.open()), ((1, 2, 1), 1));
}

#[test]
fn a_failed_host_keeps_its_totals_the_first_time_and_the_newest_reason() {
    let mut scene = Scene::new("leastc", "a b");
    let (id, address) = (scene.id("a"), scene.address("a"));
    scene.run("+ + + +");
    scene.tracker.connected(id, address, 1);
    let change = scene
        .tracker
        .connect_failed(id, address, CLIENT, Failure::Refused, 5);
    assert_eq!(change, Some(Change::Down(Failure::Refused)));
    let change = scene
        .tracker
        .connect_failed(id, address, CLIENT, Failure::TimedOut, 6);
    assert_eq!(change, None);
    assert_eq!(health(&scene, "a"), (Health::Failed(Failure::TimedOut), 5));
    assert_eq!(numbers(&scene, "a"), (0, 1, 2));
    let unreachable = Err(Failure::Unreachable);
    assert_eq!(scene.tracker.checked(id, address, unreachable, 7), None);
    assert_eq!(
        health(&scene, "a"),
        (Health::Failed(Failure::Unreachable), 5)
    );
    assert_eq!(
        scene.tracker.checked(id, address, Ok(()), 8),
        Some(Change::Up)
    );
    assert_eq!(health(&scene, "a"), (Health::Healthy, 8));
    assert_eq!(numbers(&scene, "a"), (0, 1, 2));
}

#[test]
fn one_session_that_connects_brings_a_failed_host_back() {
    let mut scene = Scene::new("leastc", "a");
    scene.run("!a +");
    let (id, address) = (scene.id("a"), scene.address("a"));
    assert!(scene.tracker.all_failed());
    assert_eq!(scene.tracker.connected(id, address, 1), Some(Change::Up));
    assert!(!scene.tracker.all_failed());
}

#[test]
fn a_host_that_leads_in_circles_is_neither_picked_nor_probed_until_it_does_not() {
    let mut scene = Scene::new("leastc", "a");
    let (id, address) = (scene.id("a"), scene.address("a"));
    let circular = BTreeSet::from([id]);
    let down = Change::Down(Failure::Circular);
    assert_eq!(scene.tracker.mark_circular(&circular, 1), [(id, down)]);
    assert_eq!(scene.tracker.mark_circular(&circular, 2), []);
    assert_eq!(health(&scene, "a"), (Health::Failed(Failure::Circular), 1));
    // Not even where all have failed.
    let mut random = Random::new(1);
    let mut ask = PickContext::new(CLIENT, &[], 3, &mut random);
    assert!(scene.tracker.pick(&mut ask).is_none());
    assert!(scene.tracker.to_check().is_empty() && scene.tracker.to_beat().is_empty());
    // A session that had been let in before says nothing.
    assert_eq!(scene.tracker.connected(id, address, 3), None);
    assert!(!scene.tracker.retry(id, 3));
    assert_eq!(
        scene.tracker.mark_circular(&BTreeSet::new(), 4),
        [(id, Change::Up)]
    );
    assert!(
        scene
            .tracker
            .pick(&mut PickContext::new(CLIENT, &[], 5, &mut random))
            .is_some()
    );
}

#[test]
fn an_interface_has_a_number_which_is_kept_while_there_is_no_answer() {
    let text = "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
                <host name='a' ip='[fe80::1%eth0]:80'/></group></service></config>";
    let config = config::read(text.as_bytes()).unwrap().config;
    let mut tracker = HostPool::new(&config.services[0].groups[0], 1, 0);
    let address = |tracker: &HostPool| tracker.hosts().next().and_then(|it| it.address);
    assert_eq!(address(&tracker), None);
    let gone = tracker.resolved("%eth0", Err("no interface eth0 is there"), 1);
    assert!(matches!(
        gone[..],
        [(_, Change::Down(Failure::Unresolved(_)))]
    ));
    let number = |number: &str| [number.parse().unwrap()];
    assert_eq!(tracker.resolved("%eth1", Ok(&number("::7")), 2), []);
    let there = tracker.resolved("%eth0", Ok(&number("::2")), 3);
    assert!(matches!(there[..], [(_, Change::Up)]));
    let at = |scope: &str| Some(format!("[fe80::1%{scope}]:80").parse().unwrap());
    assert_eq!(address(&tracker), at("2"));
    tracker.resolved("%eth0", Err("no interface eth0 is there"), 4);
    assert_eq!(address(&tracker), at("2"));
    // It was taken away, and made again.
    tracker.resolved("%eth0", Ok(&number("::9")), 5);
    assert_eq!(address(&tracker), at("9"));
}

#[test]
fn two_heartbeats_missed_in_a_row_mark_a_host_failed() {
    let mut scene = Scene::new("leastc", "a");
    let (id, address) = (scene.id("a"), scene.address("a"));
    let mut beat = |result, now_ms| scene.tracker.beat(id, address, result, now_ms);
    let missed = || Err(Failure::TimedOut);
    assert_eq!(beat(missed(), 1), None);
    assert_eq!(beat(Ok(()), 2), None);
    assert_eq!(beat(missed(), 3), None);
    assert_eq!(beat(missed(), 4), Some(Change::Down(Failure::TimedOut)));
    assert_eq!(
        beat(Ok(()), 5),
        None,
        "a failed host is the check's business"
    );
    assert_eq!(health(&scene, "a"), (Health::Failed(Failure::TimedOut), 4));
}

#[test]
fn a_heartbeat_makes_an_untried_host_healthy() {
    let mut scene = Scene::new("leastc", "a");
    let (id, address) = (scene.id("a"), scene.address("a"));
    assert_eq!(health(&scene, "a").0, Health::Untried);
    assert_eq!(scene.tracker.beat(id, address, Ok(()), 1), None);
    assert_eq!(health(&scene, "a"), (Health::Healthy, 1));
}

#[test]
fn a_moved_host_starts_again_but_keeps_its_totals() {
    let mut scene = Scene::new("leastc", "a b");
    let (id, old) = (scene.id("a"), scene.address("a"));
    scene.run("+ + !a");
    scene.tracker.connected(id, old, 1);
    scene.run("!a");
    let host = Arc::clone(scene.tracker.hosts().next().unwrap().host);
    scene.now_ms = 9;
    scene.configure("leastc", "a=10.0.0.2:80 b");
    assert_eq!(
        (scene.id("a"), health(&scene, "a")),
        (id, (Health::Untried, 9))
    );
    assert_eq!(numbers(&scene, "a"), (1, 1, 0));
    assert!(Arc::ptr_eq(
        &host,
        scene.tracker.hosts().next().unwrap().host
    ));
    // What was seen at the old address says nothing of the new one.
    assert_eq!(
        scene
            .tracker
            .connect_failed(id, old, CLIENT, Failure::TimedOut, 10),
        None
    );
    assert_eq!(
        scene.tracker.checked(id, old, Err(Failure::TimedOut), 10),
        None
    );
    assert_eq!(scene.tracker.connected(id, old, 10), None);
    assert_eq!(
        (numbers(&scene, "a"), health(&scene, "a").0),
        ((0, 2, 1), Health::Untried)
    );
}

#[test]
fn hosts_live_on_over_a_change_of_everything_else() {
    let mut scene = Scene::new("leastc", "a b c");
    scene.run("+ + + + !b");
    let hosts: Vec<Arc<Host>> = scene
        .tracker
        .hosts()
        .map(|host| Arc::clone(host.host))
        .collect();
    let before = [numbers(&scene, "a"), numbers(&scene, "b")];
    scene.now_ms = 9;
    scene.configure("roundr", "b*7 x a@drain");
    let status: Vec<HostStatus<'_>> = scene.tracker.hosts().collect();
    let names: Vec<&str> = status.iter().map(|host| host.host.name.as_str()).collect();
    assert_eq!(names, ["b", "x", "a"]);
    assert!(Arc::ptr_eq(status[0].host, &hosts[1]) && Arc::ptr_eq(status[2].host, &hosts[0]));
    assert_eq!(
        (status[0].weight, status[2].state),
        (7, config::HostState::Drain)
    );
    assert_eq!([numbers(&scene, "a"), numbers(&scene, "b")], before);
    assert_eq!(health(&scene, "b"), (Health::Failed(Failure::Refused), 0));
    assert_eq!(scene.tracker.open(), 4, "c's session is still open");
}

#[test]
fn a_host_that_is_added_again_counts_the_sessions_it_still_has() {
    let mut scene = Scene::new("leastc", "a b");
    scene.run("+ + !a");
    let (id, address) = (scene.id("a"), scene.address("a"));
    scene.configure("leastc", "b");
    assert_eq!(
        scene.tracker.connected(id, address, 3),
        None,
        "nobody asks about it"
    );
    scene.configure("leastc", "b a");
    assert_eq!((scene.id("a"), numbers(&scene, "a")), (id, (1, 1, 0)));
    assert_eq!(health(&scene, "a").0, Health::Untried);
}

#[test]
fn what_a_removed_host_does_is_nobodys_concern() {
    let mut scene = Scene::new("leastc", "a b");
    scene.run("+ +");
    let (id, address) = (scene.id("a"), scene.address("a"));
    scene.configure("leastc", "b");
    assert_eq!(
        scene
            .tracker
            .connect_failed(id, address, CLIENT, Failure::Refused, 1),
        None
    );
    assert_eq!(scene.tracker.open(), 1);
    // Even a session that is given back twice does no harm.
    scene.tracker.released(id, CLIENT, 1);
    assert_eq!(
        (
            scene.tracker.open(),
            scene.tracker.connected(id, address, 1)
        ),
        (1, None)
    );
}

#[test]
fn checks_and_heartbeats_are_for_hosts_in_service() {
    let mut scene = Scene::new("leastc", "a b c@down d*0 e=db.example f");
    scene.run("!a !c !d");
    let ids =
        |list: Vec<(HostId, SocketAddr)>| list.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(scene.tracker.to_check()), [scene.id("a")]);
    assert_eq!(ids(scene.tracker.to_beat()), [scene.id("b"), scene.id("f")]);
}

#[test]
fn a_name_is_used_once_it_has_an_address_which_is_kept() {
    let mut scene = Scene::new("roundr", "a=db.example b=other.example c=db.example");
    assert_eq!(scene.run("."), "-");
    assert_eq!(
        scene
            .tracker
            .resolved("db.example", Ok(&[ip("10.0.0.5"), ip("::5")]), 1),
        []
    );
    assert_eq!(scene.address("a"), "10.0.0.5:80".parse().unwrap());
    assert_eq!(scene.run(". . ."), "a c a");
    // Still in the answer, if not first.
    scene
        .tracker
        .resolved("db.example", Ok(&[ip("10.0.0.6"), ip("10.0.0.5")]), 2);
    assert_eq!(scene.address("a"), "10.0.0.5:80".parse().unwrap());
    // Gone from it: the first of the same family.
    scene.tracker.resolved(
        "db.example",
        Ok(&[ip("::5"), ip("10.0.0.7"), ip("10.0.0.8")]),
        3,
    );
    assert_eq!(scene.address("a"), "10.0.0.7:80".parse().unwrap());
    scene.tracker.resolved("db.example", Ok(&[ip("::5")]), 4);
    assert_eq!(scene.address("a"), "[::5]:80".parse().unwrap());
    // No answer, or an empty one: the last good address.
    assert_eq!(
        scene.tracker.resolved("db.example", Err("timed out"), 5),
        []
    );
    assert_eq!(scene.tracker.resolved("db.example", Ok(&[]), 6), []);
    assert_eq!(scene.address("a"), "[::5]:80".parse().unwrap());
    assert_eq!(scene.run(". ."), "c a");
}

#[test]
fn an_address_that_fails_gives_way_to_the_next_of_its_name() {
    let mut scene = Scene::new("roundr", "a=db.example");
    let id = scene.id("a");
    let all = ["10.0.0.5", "::5", "10.0.0.7"].map(ip);
    scene.tracker.resolved("db.example", Ok(&all), 1);
    let [one, two, three] = all.map(|ip| SocketAddr::new(ip, 80));
    let failed = |scene: &mut Scene, address, now_ms| {
        let picked = scene.pick(&[]).unwrap();
        assert_eq!(picked.address, address);
        scene
            .tracker
            .connect_failed(id, address, CLIENT, Failure::Refused, now_ms)
    };
    let moved = |from, to| {
        let failure = Failure::Refused;
        Some(Change::Moved { failure, from, to })
    };
    assert_eq!(failed(&mut scene, one, 2), moved(one, two));
    assert_eq!(health(&scene, "a"), (Health::Untried, 2));
    assert!(scene.tracker.has_moved(id, one) && !scene.tracker.has_moved(id, two));
    // Who tried the first one as well comes too late to say anything of the next.
    let late = scene
        .tracker
        .connect_failed(id, one, CLIENT, Failure::TimedOut, 3);
    assert_eq!((late, scene.address("a")), (None, two));
    // One that answers ends the row, and is kept.
    assert_eq!(scene.tracker.connected(id, two, 4), None);
    assert_eq!(failed(&mut scene, two, 5), moved(two, three));
    assert_eq!(failed(&mut scene, three, 6), moved(three, one));
    let down = failed(&mut scene, one, 7);
    assert_eq!(down, Some(Change::Down(Failure::Refused)), "all three");
    assert!(!scene.tracker.has_moved(id, one), "it has failed");
    // Checks go from one to the next as well.
    for address in [two, three, one] {
        assert_eq!(scene.tracker.to_check(), [(id, address)]);
        let check = Err(Failure::Refused);
        assert_eq!(scene.tracker.checked(id, address, check, 8), None);
    }
    assert_eq!(
        scene.tracker.checked(id, two, Ok(()), 9),
        Some(Change::Up),
        "the one that answers"
    );
    scene.tracker.resolved("db.example", Ok(&all), 10);
    assert_eq!(scene.address("a"), two);
}

#[test]
fn a_name_that_never_had_an_address_has_failed() {
    let mut scene = Scene::new("roundr", "a=db.example b");
    let failure = Failure::Unresolved("no such name".to_owned());
    let changes = scene.tracker.resolved("db.example", Err("no such name"), 1);
    assert_eq!(changes, [(scene.id("a"), Change::Down(failure.clone()))]);
    assert_eq!(health(&scene, "a"), (Health::Failed(failure), 1));
    assert_eq!(
        scene.tracker.to_check(),
        [],
        "there is nowhere to connect to"
    );
    assert_eq!(scene.run("!b . ."), "b b", "nor when all have failed");
    let changes = scene
        .tracker
        .resolved("db.example", Ok(&[ip("10.0.0.5")]), 2);
    assert_eq!(changes, [(scene.id("a"), Change::Up)]);
    assert_eq!(scene.run(". ."), "a a");
}

#[test]
fn another_address_starts_health_again_and_another_port_needs_no_resolving() {
    let mut scene = Scene::new("roundr", "a=db.example b");
    scene
        .tracker
        .resolved("db.example", Ok(&[ip("10.0.0.5")]), 1);
    scene.run("!a");
    let changes = scene
        .tracker
        .resolved("db.example", Ok(&[ip("10.0.0.6")]), 2);
    assert_eq!(changes, [(scene.id("a"), Change::Up)]);
    assert_eq!(health(&scene, "a"), (Health::Untried, 2));
    let mut other = group("roundr", "a=db.example b");
    other.hosts[0].address = Endpoint::Name {
        host: "db.example".to_owned(),
        port: 81,
    };
    scene.tracker.configure(&other, 3);
    assert_eq!(scene.address("a"), "10.0.0.6:81".parse().unwrap());
}

/// A scheduler of somebody's own that answers what it must not.
#[derive(Debug)]
struct Wrong(HostId);

impl Scheduler for Wrong {
    fn rebuild(&mut self, _: &Hosts) {}

    fn pick(&mut self, _: &Hosts, _: &mut PickContext<'_>) -> Pick {
        Pick::Host(self.0)
    }
}

#[test]
fn a_scheduler_cannot_pick_who_is_not_to_be_picked() {
    let mut scene = Scene::new("roundr", "a b@down");
    for (wrong, expected) in [
        (scene.id("a"), "a"),
        (scene.id("b"), "-"),
        (HostId(99), "-"),
    ] {
        scene.tracker.scheduler = Box::new(Wrong(wrong));
        assert_eq!(scene.run("."), expected);
    }
    let tried = [scene.id("a")];
    scene.tracker.scheduler = Box::new(Wrong(tried[0]));
    assert!(scene.pick(&tried).is_none());
}

#[test]
fn a_tracker_can_be_behind_a_lock_of_many_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let tracker = HostPool::new(&group("leastc,sticky", "a b"), 1, 0);
    let shared_tracker = std::sync::Mutex::new(tracker);
    shared(&shared_tracker);
    let mut random = Random::new(1);
    let mut ask = PickContext {
        client: CLIENT,
        tried: &[],
        now_ms: 0,
        random: &mut random,
    };
    assert!(shared_tracker.lock().unwrap().pick(&mut ask).is_some());
}

fn renamed(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(new, old): &(&str, &str)| ((*new).to_owned(), (*old).to_owned());
    pairs.iter().map(owned).collect()
}

fn rename(scene: &mut Scene, scheduler: &str, hosts: &str, pairs: &[(&str, &str)]) {
    let now_ms = scene.now_ms;
    let group = group(scheduler, hosts);
    scene
        .tracker
        .configure_renamed(&group, &renamed(pairs), now_ms);
}

#[test]
fn nothing_else_changes_with_a_name_whoever_picks() {
    // Maglev goes by names: another name is another place in its table.
    let others = all_schedulers();
    let others = others.iter().filter(|name| !name.starts_with("maglev"));
    for scheduler in others {
        let [mut plain, mut other] = [(); 2].map(|()| Scene::new(scheduler, "a*3 b c*2"));
        let start = "+ + + . + !b + -a . +";
        assert_eq!(plain.run(start), other.run(start), "{scheduler}");
        rename(&mut other, scheduler, "a*3 z c*2", &[("z", "b")]);
        plain.configure(scheduler, "a*3 b c*2");
        assert_eq!(numbers(&plain, "b"), numbers(&other, "z"), "{scheduler}");
        assert_eq!(health(&plain, "b"), health(&other, "z"), "{scheduler}");
        let more = |name| format!("+ + . ?{name} + + . + + -{name} +");
        let picked = other.run(&more("z")).replace('z', "b");
        assert_eq!(plain.run(&more("b")), picked, "{scheduler}");
    }
}

#[test]
fn names_may_be_swapped() {
    let mut scene = Scene::new("leastc", "a b");
    scene.run("+ + + !b");
    let [a, b] = ["a", "b"].map(|name| (scene.id(name), numbers(&scene, name)));
    rename(&mut scene, "leastc", "b a", &[("a", "b"), ("b", "a")]);
    let now = ["b", "a"].map(|name| (scene.id(name), numbers(&scene, name)));
    assert_eq!(now, [a, b]);
    assert_ne!(health(&scene, "a").0, Health::Untried);
    assert_eq!(health(&scene, "b").0, Health::Untried);
}

#[test]
fn a_new_host_by_a_former_name_is_a_new_one() {
    let mut scene = Scene::new("leastc", "a");
    scene.run("+ +");
    let a = scene.id("a");
    rename(&mut scene, "leastc", "a x", &[("x", "a")]);
    assert_eq!((scene.id("x"), numbers(&scene, "x").0), (a, 2));
    assert_eq!(numbers(&scene, "a"), (0, 0, 0));
}

#[test]
fn a_host_whose_name_is_taken_over_goes_when_its_sessions_have() {
    let mut scene = Scene::new("roundr", "a b");
    assert_eq!(scene.run("+ +"), "a b");
    let (a, b) = (scene.id("a"), scene.id("b"));
    // b is removed, and a called so.
    rename(&mut scene, "roundr", "b", &[("b", "a")]);
    assert_eq!((scene.id("b"), scene.tracker.open()), (a, 2));
    // Its name is that of the one that is configured, whatever happens.
    scene.configure("roundr", "b");
    assert_eq!(scene.id("b"), a);
    scene.tracker.released(b, CLIENT, 1);
    assert_eq!(
        (scene.tracker.open(), scene.tracker.host_name(b)),
        (1, None)
    );
    assert_eq!(scene.tracker.host_name(a).as_deref(), Some("b"));
}

#[test]
fn what_counts_into_a_host_goes_on_doing_so() {
    let mut scene = Scene::new("roundr", "a");
    let picked = scene.pick(&[]).unwrap();
    picked.host.counters.add_bytes(0, 3, 0);
    rename(&mut scene, "roundr", "x", &[("x", "a")]);
    picked.host.counters.add_bytes(0, 4, 0);
    let host = scene.tracker.hosts().next().unwrap().host.clone();
    assert_eq!(
        (host.name.as_str(), host.counters.sum().bytes_to_host),
        ("x", 7)
    );
}

#[test]
fn a_host_that_is_retried_is_one_that_nobody_has_tried() {
    let mut scene = Scene::new("roundr", "a b");
    let a = scene.id("a");
    assert!(!scene.tracker.retry(a, 1));
    scene.run("!a");
    assert_eq!(scene.run(". ."), "b b");
    assert!(scene.tracker.retry(a, 7));
    assert_eq!(health(&scene, "a"), (Health::Untried, 7));
    let mut both: Vec<_> = scene.run(". .").split(' ').map(str::to_owned).collect();
    both.sort();
    assert_eq!(both, ["a", "b"]);
}
