//! Tests of the pool: health, addresses, counts, changes and renamed hosts.

use super::super::fixture::{PoolFixture, all_schedulers, at, group};
use super::super::{Health, Random};
use super::*;

mod shares;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn health(fixture: &PoolFixture, name: &str) -> (Health, u64) {
    let host = fixture
        .pool
        .hosts()
        .find(|host| host.host.name == name)
        .unwrap();
    (host.health.clone(), host.since_ms)
}

fn numbers(fixture: &PoolFixture, name: &str) -> (u32, u64, u64) {
    let host = fixture
        .pool
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
    let mut fixture = PoolFixture::new("leastc", "a");
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    fixture.run("+ + + +");
    assert_eq!(
        (numbers(&fixture, "a"), fixture.pool.open()),
        ((4, 0, 0), 4)
    );
    assert_eq!(fixture.pool.connected(id, &address, 1), None);
    assert_eq!(health(&fixture, "a"), (Health::Healthy, 1));
    fixture.pool.connected(id, &address, 2);
    assert_eq!(
        (numbers(&fixture, "a"), health(&fixture, "a").1),
        ((4, 2, 0), 1)
    );
    fixture.pool.release(id, CLIENT, 3);
    fixture.pool.release(id, CLIENT, 3);
    fixture
        .pool
        .connect_failed(id, &address, CLIENT, Failure::Refused, 3);
    assert_eq!(
        (numbers(&fixture, "a"), fixture.pool.open()),
        ((1, 2, 1), 1)
    );
}

#[test]
fn a_failed_host_keeps_its_totals_the_first_time_and_the_newest_reason() {
    let mut fixture = PoolFixture::new("leastc", "a b");
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    fixture.run("+ + + +");
    fixture.pool.connected(id, &address, 1);
    let change = fixture
        .pool
        .connect_failed(id, &address, CLIENT, Failure::Refused, 5);
    assert_eq!(change, Some(HealthChange::Down(Failure::Refused)));
    let change = fixture
        .pool
        .connect_failed(id, &address, CLIENT, Failure::TimedOut, 6);
    assert_eq!(change, None);
    assert_eq!(
        health(&fixture, "a"),
        (Health::Failed(Failure::TimedOut), 5)
    );
    assert_eq!(numbers(&fixture, "a"), (0, 1, 2));
    let unreachable = Err(Failure::Unreachable);
    assert_eq!(
        fixture.pool.health_checked(id, &address, unreachable, 7),
        None
    );
    assert_eq!(
        health(&fixture, "a"),
        (Health::Failed(Failure::Unreachable), 5)
    );
    assert_eq!(
        fixture.pool.health_checked(id, &address, Ok(()), 8),
        Some(HealthChange::Up)
    );
    assert_eq!(health(&fixture, "a"), (Health::Healthy, 8));
    assert_eq!(numbers(&fixture, "a"), (0, 1, 2));
}

#[test]
fn one_session_that_connects_brings_a_failed_host_back() {
    let mut fixture = PoolFixture::new("leastc", "a");
    fixture.run("!a +");
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    assert!(fixture.pool.all_failed());
    assert_eq!(
        fixture.pool.connected(id, &address, 1),
        Some(HealthChange::Up)
    );
    assert!(!fixture.pool.all_failed());
}

#[test]
fn a_host_that_leads_in_circles_is_neither_picked_nor_probed_until_it_does_not() {
    let mut fixture = PoolFixture::new("leastc", "a");
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    let circular = BTreeSet::from([id]);
    let down = HealthChange::Down(Failure::Circular);
    assert_eq!(fixture.pool.mark_circular(&circular, 1), [(id, down)]);
    assert_eq!(fixture.pool.mark_circular(&circular, 2), []);
    assert_eq!(
        health(&fixture, "a"),
        (Health::Failed(Failure::Circular), 1)
    );
    // Not even where all have failed.
    let mut random = Random::new(1);
    let mut context = PickContext::new(CLIENT, &[], 3, &mut random);
    assert!(fixture.pool.pick(&mut context).is_none());
    assert!(
        fixture.pool.health_check_targets().is_empty()
            && fixture.pool.heartbeat_targets().is_empty()
    );
    // The connect of an earlier session does not matter.
    assert_eq!(fixture.pool.connected(id, &address, 3), None);
    assert!(!fixture.pool.reset_health(id, 3));
    assert_eq!(
        fixture.pool.mark_circular(&BTreeSet::new(), 4),
        [(id, HealthChange::Up)]
    );
    assert!(
        fixture
            .pool
            .pick(&mut PickContext::new(CLIENT, &[], 5, &mut random))
            .is_some()
    );
}

#[test]
fn an_interface_has_a_number_which_is_kept_while_there_is_no_answer() {
    let text = "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
                <host name='a' ip='[fe80::1%eth0]:80'/></group></service></config>";
    let config = config::read(text.as_bytes()).unwrap().config;
    let mut pool = HostPool::new(&config.services[0].groups[0], 1, 0);
    let address = |pool: &HostPool| pool.hosts().next().and_then(|it| it.address.cloned());
    assert_eq!(address(&pool), None);
    let gone = pool.name_resolved("%eth0", Err("no interface eth0 is there"), 1);
    assert!(matches!(
        gone[..],
        [(_, HealthChange::Down(Failure::Unresolved(_)))]
    ));
    let number = |number: &str| [number.parse().unwrap()];
    assert_eq!(pool.name_resolved("%eth1", Ok(&number("::7")), 2), []);
    let there = pool.name_resolved("%eth0", Ok(&number("::2")), 3);
    assert!(matches!(there[..], [(_, HealthChange::Up)]));
    assert_eq!(address(&pool), Some(at("[fe80::1%2]:80")));
    pool.name_resolved("%eth0", Err("no interface eth0 is there"), 4);
    assert_eq!(address(&pool), Some(at("[fe80::1%2]:80")));
    // It was taken away, and made again.
    pool.name_resolved("%eth0", Ok(&number("::9")), 5);
    assert_eq!(address(&pool), Some(at("[fe80::1%9]:80")));
}

#[test]
fn two_heartbeats_missed_in_a_row_mark_a_host_failed() {
    let mut fixture = PoolFixture::new("leastc", "a");
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    let mut heartbeat =
        |result, now_ms| fixture.pool.heartbeat_checked(id, &address, result, now_ms);
    let missed = || Err(Failure::TimedOut);
    assert_eq!(heartbeat(missed(), 1), None);
    assert_eq!(heartbeat(Ok(()), 2), None);
    assert_eq!(heartbeat(missed(), 3), None);
    assert_eq!(
        heartbeat(missed(), 4),
        Some(HealthChange::Down(Failure::TimedOut))
    );
    assert_eq!(
        heartbeat(Ok(()), 5),
        None,
        "a failed host is for the health check"
    );
    assert_eq!(
        health(&fixture, "a"),
        (Health::Failed(Failure::TimedOut), 4)
    );
}

#[test]
fn a_heartbeat_makes_an_untried_host_healthy() {
    let mut fixture = PoolFixture::new("leastc", "a");
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    assert_eq!(health(&fixture, "a").0, Health::Untried);
    assert_eq!(
        fixture.pool.heartbeat_checked(id, &address, Ok(()), 1),
        None
    );
    assert_eq!(health(&fixture, "a"), (Health::Healthy, 1));
}

#[test]
fn a_moved_host_starts_again_but_keeps_its_totals() {
    let mut fixture = PoolFixture::new("leastc", "a b");
    let (id, old) = (fixture.id("a"), fixture.address("a"));
    fixture.run("+ + !a");
    fixture.pool.connected(id, &old, 1);
    fixture.run("!a");
    let host = Arc::clone(fixture.pool.hosts().next().unwrap().host);
    fixture.now_ms = 9;
    fixture.configure("leastc", "a=10.0.0.2:80 b");
    assert_eq!(
        (fixture.id("a"), health(&fixture, "a")),
        (id, (Health::Untried, 9))
    );
    assert_eq!(numbers(&fixture, "a"), (1, 1, 0));
    assert!(Arc::ptr_eq(
        &host,
        fixture.pool.hosts().next().unwrap().host
    ));
    // Results at the old address do not apply to the new one.
    assert_eq!(
        fixture
            .pool
            .connect_failed(id, &old, CLIENT, Failure::TimedOut, 10),
        None
    );
    assert_eq!(
        fixture
            .pool
            .health_checked(id, &old, Err(Failure::TimedOut), 10),
        None
    );
    assert_eq!(fixture.pool.connected(id, &old, 10), None);
    assert_eq!(
        (numbers(&fixture, "a"), health(&fixture, "a").0),
        ((0, 2, 1), Health::Untried)
    );
}

#[test]
fn hosts_live_on_over_a_change_of_everything_else() {
    let mut fixture = PoolFixture::new("leastc", "a b c");
    fixture.run("+ + + + !b");
    let hosts: Vec<Arc<Host>> = fixture
        .pool
        .hosts()
        .map(|host| Arc::clone(host.host))
        .collect();
    let before = [numbers(&fixture, "a"), numbers(&fixture, "b")];
    fixture.now_ms = 9;
    fixture.configure("roundr", "b*7 x a@drain");
    let status: Vec<HostStatus<'_>> = fixture.pool.hosts().collect();
    let names: Vec<&str> = status.iter().map(|host| host.host.name.as_str()).collect();
    assert_eq!(names, ["b", "x", "a"]);
    assert!(Arc::ptr_eq(status[0].host, &hosts[1]) && Arc::ptr_eq(status[2].host, &hosts[0]));
    assert_eq!(
        (status[0].weight, status[2].state),
        (7, config::HostState::Drain)
    );
    assert_eq!([numbers(&fixture, "a"), numbers(&fixture, "b")], before);
    assert_eq!(health(&fixture, "b"), (Health::Failed(Failure::Refused), 0));
    assert_eq!(fixture.pool.open(), 4, "c's session is still open");
}

#[test]
fn a_host_that_is_added_again_counts_the_sessions_it_still_has() {
    let mut fixture = PoolFixture::new("leastc", "a b");
    fixture.run("+ + !a");
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    fixture.configure("leastc", "b");
    assert_eq!(
        fixture.pool.connected(id, &address, 3),
        None,
        "nobody asks about it"
    );
    fixture.configure("leastc", "b a");
    assert_eq!((fixture.id("a"), numbers(&fixture, "a")), (id, (1, 1, 0)));
    assert_eq!(health(&fixture, "a").0, Health::Untried);
}

#[test]
fn what_a_removed_host_does_changes_nothing() {
    let mut fixture = PoolFixture::new("leastc", "a b");
    fixture.run("+ +");
    let (id, address) = (fixture.id("a"), fixture.address("a"));
    fixture.configure("leastc", "b");
    assert_eq!(
        fixture
            .pool
            .connect_failed(id, &address, CLIENT, Failure::Refused, 1),
        None
    );
    assert_eq!(fixture.pool.open(), 1);
    // Even a session that is given back twice does no harm.
    fixture.pool.release(id, CLIENT, 1);
    assert_eq!(
        (fixture.pool.open(), fixture.pool.connected(id, &address, 1)),
        (1, None)
    );
}

#[test]
fn checks_and_heartbeats_are_for_hosts_in_service() {
    let mut fixture = PoolFixture::new("leastc", "a b c@down d*0 e=db.example f");
    fixture.run("!a !c !d");
    let ids = |list: Vec<(HostId, Address)>| list.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(fixture.pool.health_check_targets()), [fixture.id("a")]);
    assert_eq!(
        ids(fixture.pool.heartbeat_targets()),
        [fixture.id("b"), fixture.id("f")]
    );
}

#[test]
fn a_name_is_used_once_it_has_an_address_which_is_kept() {
    let mut fixture = PoolFixture::new("roundr", "a=db.example b=other.example c=db.example");
    assert_eq!(fixture.run("."), "-");
    assert_eq!(
        fixture
            .pool
            .name_resolved("db.example", Ok(&[ip("10.0.0.5"), ip("::5")]), 1),
        []
    );
    assert_eq!(fixture.address("a"), at("10.0.0.5:80"));
    assert_eq!(fixture.run(". . ."), "a c a");
    // Still in the answer, though not first.
    fixture
        .pool
        .name_resolved("db.example", Ok(&[ip("10.0.0.6"), ip("10.0.0.5")]), 2);
    assert_eq!(fixture.address("a"), at("10.0.0.5:80"));
    // No longer in it: the first of the same family.
    fixture.pool.name_resolved(
        "db.example",
        Ok(&[ip("::5"), ip("10.0.0.7"), ip("10.0.0.8")]),
        3,
    );
    assert_eq!(fixture.address("a"), at("10.0.0.7:80"));
    fixture
        .pool
        .name_resolved("db.example", Ok(&[ip("::5")]), 4);
    assert_eq!(fixture.address("a"), at("[::5]:80"));
    // No answer, or an empty one: the last good address.
    assert_eq!(
        fixture
            .pool
            .name_resolved("db.example", Err("timed out"), 5),
        []
    );
    assert_eq!(fixture.pool.name_resolved("db.example", Ok(&[]), 6), []);
    assert_eq!(fixture.address("a"), at("[::5]:80"));
    assert_eq!(fixture.run(". ."), "c a");
}

#[test]
fn an_address_that_fails_gives_way_to_the_next_of_its_name() {
    let mut fixture = PoolFixture::new("roundr", "a=db.example");
    let id = fixture.id("a");
    let all = ["10.0.0.5", "::5", "10.0.0.7"].map(ip);
    fixture.pool.name_resolved("db.example", Ok(&all), 1);
    let [one, two, three] = all.map(|ip| Address::Ip(std::net::SocketAddr::new(ip, 80)));
    let failed = |fixture: &mut PoolFixture, address: &Address, now_ms| {
        let picked = fixture.pick(&[]).unwrap();
        assert_eq!(&picked.address, address);
        fixture
            .pool
            .connect_failed(id, address, CLIENT, Failure::Refused, now_ms)
    };
    let moved = |from: &Address, to: &Address| {
        let (from, to) = (from.clone(), to.clone());
        let failure = Failure::Refused;
        Some(HealthChange::Moved { failure, from, to })
    };
    assert_eq!(failed(&mut fixture, &one, 2), moved(&one, &two));
    assert_eq!(health(&fixture, "a"), (Health::Untried, 2));
    assert!(fixture.pool.has_moved(id, &one) && !fixture.pool.has_moved(id, &two));
    // A late failure of the first address does not apply to the next one.
    let late = fixture
        .pool
        .connect_failed(id, &one, CLIENT, Failure::TimedOut, 3);
    assert_eq!((late, fixture.address("a")), (None, two.clone()));
    // An address that answers is kept, and the count starts again.
    assert_eq!(fixture.pool.connected(id, &two, 4), None);
    assert_eq!(failed(&mut fixture, &two, 5), moved(&two, &three));
    assert_eq!(failed(&mut fixture, &three, 6), moved(&three, &one));
    let down = failed(&mut fixture, &one, 7);
    assert_eq!(
        down,
        Some(HealthChange::Down(Failure::Refused)),
        "all three"
    );
    assert!(!fixture.pool.has_moved(id, &one), "it has failed");
    // Checks go from one address to the next, too.
    for address in [two.clone(), three, one] {
        assert_eq!(fixture.pool.health_check_targets(), [(id, address.clone())]);
        let check = Err(Failure::Refused);
        assert_eq!(fixture.pool.health_checked(id, &address, check, 8), None);
    }
    assert_eq!(
        fixture.pool.health_checked(id, &two, Ok(()), 9),
        Some(HealthChange::Up),
        "the one that answers"
    );
    fixture.pool.name_resolved("db.example", Ok(&all), 10);
    assert_eq!(fixture.address("a"), two);
}

#[test]
fn a_name_that_never_had_an_address_has_failed() {
    let mut fixture = PoolFixture::new("roundr", "a=db.example b");
    let failure = Failure::Unresolved("no such name".to_owned());
    let changes = fixture
        .pool
        .name_resolved("db.example", Err("no such name"), 1);
    assert_eq!(
        changes,
        [(fixture.id("a"), HealthChange::Down(failure.clone()))]
    );
    assert_eq!(health(&fixture, "a"), (Health::Failed(failure), 1));
    assert_eq!(
        fixture.pool.health_check_targets(),
        [],
        "there is nowhere to connect to"
    );
    assert_eq!(fixture.run("!b . ."), "b b", "nor when all have failed");
    let changes = fixture
        .pool
        .name_resolved("db.example", Ok(&[ip("10.0.0.5")]), 2);
    assert_eq!(changes, [(fixture.id("a"), HealthChange::Up)]);
    assert_eq!(fixture.run(". ."), "a a");
}

#[test]
fn another_address_starts_health_again_and_another_port_needs_no_resolving() {
    let mut fixture = PoolFixture::new("roundr", "a=db.example b");
    fixture
        .pool
        .name_resolved("db.example", Ok(&[ip("10.0.0.5")]), 1);
    fixture.run("!a");
    let changes = fixture
        .pool
        .name_resolved("db.example", Ok(&[ip("10.0.0.6")]), 2);
    assert_eq!(changes, [(fixture.id("a"), HealthChange::Up)]);
    assert_eq!(health(&fixture, "a"), (Health::Untried, 2));
    let mut other = group("roundr", "a=db.example b");
    other.hosts[0].address = Endpoint::Name {
        host: "db.example".to_owned(),
        port: 81,
    };
    fixture.pool.configure(&other, 3);
    assert_eq!(fixture.address("a"), at("10.0.0.6:81"));
}

/// A custom scheduler that returns a host that it must not.
#[derive(Debug)]
struct Wrong(HostId);

impl Scheduler for Wrong {
    fn rebuild(&mut self, _: &Hosts) {}

    fn pick(&mut self, _: &Hosts, _: &mut PickContext<'_>) -> Pick {
        Pick::Host(self.0)
    }
}

#[test]
fn a_scheduler_cannot_pick_a_host_that_is_no_candidate() {
    let mut fixture = PoolFixture::new("roundr", "a b@down");
    for (wrong, expected) in [
        (fixture.id("a"), "a"),
        (fixture.id("b"), "-"),
        (HostId(99), "-"),
    ] {
        fixture.pool.scheduler = Box::new(Wrong(wrong));
        assert_eq!(fixture.run("."), expected);
    }
    let tried = [fixture.id("a")];
    fixture.pool.scheduler = Box::new(Wrong(tried[0]));
    assert!(fixture.pick(&tried).is_none());
}

#[test]
fn a_host_pool_can_be_behind_a_lock_of_many_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let pool = HostPool::new(&group("leastc,sticky", "a b"), 1, 0);
    let shared_tracker = std::sync::Mutex::new(pool);
    shared(&shared_tracker);
    let mut random = Random::new(1);
    let mut context = PickContext {
        client: Some(CLIENT),
        tried: &[],
        now_ms: 0,
        random: &mut random,
    };
    assert!(shared_tracker.lock().unwrap().pick(&mut context).is_some());
}

fn renamed(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(new, old): &(&str, &str)| ((*new).to_owned(), (*old).to_owned());
    pairs.iter().map(owned).collect()
}

fn rename(fixture: &mut PoolFixture, scheduler: &str, hosts: &str, pairs: &[(&str, &str)]) {
    let now_ms = fixture.now_ms;
    let group = group(scheduler, hosts);
    fixture
        .pool
        .configure_renamed(&group, &renamed(pairs), now_ms);
}

#[test]
fn nothing_else_changes_with_a_name_under_any_scheduler() {
    // Maglev hashes names: a new name has other slots.
    let others = all_schedulers();
    let others = others.iter().filter(|name| !name.starts_with("maglev"));
    for scheduler in others {
        let [mut plain, mut other] = [(); 2].map(|()| PoolFixture::new(scheduler, "a*3 b c*2"));
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
    let mut fixture = PoolFixture::new("leastc", "a b");
    fixture.run("+ + + !b");
    let [a, b] = ["a", "b"].map(|name| (fixture.id(name), numbers(&fixture, name)));
    rename(&mut fixture, "leastc", "b a", &[("a", "b"), ("b", "a")]);
    let now = ["b", "a"].map(|name| (fixture.id(name), numbers(&fixture, name)));
    assert_eq!(now, [a, b]);
    assert_ne!(health(&fixture, "a").0, Health::Untried);
    assert_eq!(health(&fixture, "b").0, Health::Untried);
}

#[test]
fn a_new_host_by_a_former_name_is_a_new_one() {
    let mut fixture = PoolFixture::new("leastc", "a");
    fixture.run("+ +");
    let a = fixture.id("a");
    rename(&mut fixture, "leastc", "a x", &[("x", "a")]);
    assert_eq!((fixture.id("x"), numbers(&fixture, "x").0), (a, 2));
    assert_eq!(numbers(&fixture, "a"), (0, 0, 0));
}

#[test]
fn a_host_whose_name_is_taken_over_goes_when_its_sessions_have() {
    let mut fixture = PoolFixture::new("roundr", "a b");
    assert_eq!(fixture.run("+ +"), "a b");
    let (a, b) = (fixture.id("a"), fixture.id("b"));
    // b is removed, and a gets its name.
    rename(&mut fixture, "roundr", "b", &[("b", "a")]);
    assert_eq!((fixture.id("b"), fixture.pool.open()), (a, 2));
    // The name is that of the configured host.
    fixture.configure("roundr", "b");
    assert_eq!(fixture.id("b"), a);
    fixture.pool.release(b, CLIENT, 1);
    assert_eq!((fixture.pool.open(), fixture.pool.host_name(b)), (1, None));
    assert_eq!(fixture.pool.host_name(a).as_deref(), Some("b"));
}

#[test]
fn what_counts_into_a_host_goes_on_doing_so() {
    let mut fixture = PoolFixture::new("roundr", "a");
    let picked = fixture.pick(&[]).unwrap();
    picked.host.counters.add_bytes(0, 3, 0);
    rename(&mut fixture, "roundr", "x", &[("x", "a")]);
    picked.host.counters.add_bytes(0, 4, 0);
    let host = fixture.pool.hosts().next().unwrap().host.clone();
    assert_eq!(
        (host.name.as_str(), host.counters.sum().bytes_to_host),
        ("x", 7)
    );
}

#[test]
fn a_host_that_is_retried_is_one_that_nobody_has_tried() {
    let mut fixture = PoolFixture::new("roundr", "a b");
    let a = fixture.id("a");
    assert!(!fixture.pool.reset_health(a, 1));
    fixture.run("!a");
    assert_eq!(fixture.run(". ."), "b b");
    assert!(fixture.pool.reset_health(a, 7));
    assert_eq!(health(&fixture, "a"), (Health::Untried, 7));
    let mut both: Vec<_> = fixture.run(". .").split(' ').map(str::to_owned).collect();
    both.sort();
    assert_eq!(both, ["a", "b"]);
}
