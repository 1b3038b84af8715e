//! Load balancing: a [`HostPool`] for each group, and the [`Scheduler`] that picks a host
//! for each new session.
//!
//! Pure: no socket, thread, clock or randomness of its own. Time and random numbers are
//! arguments. Workers (`relay`) report connects, recovery (`control`) reports probes.

mod agent;
mod check_result;
mod early_ends;
mod health;
mod host;
mod host_status;
mod hosts;
mod pool;
mod random;
mod schedulers;
mod slow_start;
mod stats;
mod sticky;

pub use agent::{Agent, AgentReport, Wanted};
pub use check_result::{CheckHealth, CheckResult};
pub use early_ends::HostEnd;
pub use health::{Failure, Health, HealthChange};
pub use host::{Host, Member};
pub use host_status::HostStatus;
pub use hosts::Hosts;
pub(crate) use pool::CheckedHost;
pub use pool::{ClientHistory, HostHistory, HostPool, OpenHost, Picked, SourceTurn};
pub use random::Random;
pub use schedulers::Schedulers;
pub use slow_start::SlowStart;
pub use stats::{Counters, HISTOGRAM_MS, MINUTES, RecentSessions, Totals};
pub(crate) use sticky::MAX_CLIENTS as MAX_STICKY_CLIENTS;

use std::fmt::Debug;
use std::net::IpAddr;

/// Identifies a host of one group, until the host is removed and its last session has
/// ended. After that, another host may get the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) u32);

impl HostId {
    /// A small number, to index a `Vec` of hosts: ids count from 0, and freed ones are
    /// used first.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Picks the host for each new session of a group.
///
/// Each group has its own, behind the group's lock. So a scheduler sees every session of
/// the group in order, and needs no synchronisation. Its methods run for each session:
/// they should be quick and allocate nothing. Time and random numbers come from
/// [`PickContext::now_ms`] and [`PickContext::random`].
///
/// Its methods run on the balancer's threads, with the lock held. A scheduler that calls
/// its own balancer deadlocks. To share data with your program, give both an `Arc` of it.
pub trait Scheduler: Send + Debug {
    /// Rebuilds what was derived from the hosts.
    ///
    /// Called before the first pick, and after hosts were added, removed, moved, or changed
    /// in weight, share, state or health. It may be called without a change, too.
    /// A position in the order should be kept for the hosts that stay.
    fn rebuild(&mut self, hosts: &Hosts);

    /// Picks a host for a client: one of [`Hosts::candidates`] that is not in
    /// [`PickContext::tried`]. Any other host counts as [`Pick::None`].
    ///
    /// The pool counts the session itself, and then calls
    /// [`Scheduler::session_started`].
    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick;

    /// A session was given to `host`, and `hosts` has counted it.
    ///
    /// It may be another host than `pick` returned: a sticky client goes where it went
    /// before, and `pick` is not called.
    fn session_started(&mut self, _hosts: &Hosts, _host: HostId) {}

    /// The load of a host has changed, [`Member::load`], and `hosts` has the new one: by a session
    /// that has started or ended, or one that no longer keeps the host busy. Changes by time
    /// alone come with [`Scheduler::rebuild`].
    fn load_changed(&mut self, _hosts: &Hosts, _host: HostId) {}

    /// A session has ended, and `hosts` no longer counts it. Called once for each call of
    /// [`Scheduler::session_started`].
    ///
    /// Its host may have failed or been removed meanwhile. A removed host goes with its
    /// last session: [`Hosts::get`] then returns `None`.
    fn session_ended(&mut self, _hosts: &Hosts, _end: &EndedSession) {}
}

/// A session that has ended, as [`Scheduler::session_ended`] gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedSession {
    /// Its host.
    pub host: HostId,
    /// The client's address; `None` for a client of a Unix socket.
    pub client: Option<IpAddr>,
    /// Whether the host failed it: it did not accept, or reset the connection before any
    /// data. The client may have got another host.
    pub failed: bool,
    /// When it ended, in milliseconds of the clock of [`PickContext::now_ms`].
    pub now_ms: u64,
}

/// The answer of a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pick {
    /// The session goes to this host.
    Host(HostId),
    /// No host is left to try.
    None,
}

impl From<Option<HostId>> for Pick {
    fn from(host: Option<HostId>) -> Self {
        host.map_or(Pick::None, Pick::Host)
    }
}

/// The client that needs a host, with the time and random numbers for the pick.
#[derive(Debug)]
#[non_exhaustive]
pub struct PickContext<'a> {
    /// The client's address; `None` for a client of a Unix socket, which has none.
    pub client: Option<IpAddr>,
    /// The hosts that have failed this client already. With more than
    /// [`PickContext::MAX_TRIED`] of them, no host is picked.
    pub tried: &'a [HostId],
    /// The time, in milliseconds of a monotonic clock.
    pub now_ms: u64,
    /// The source of random numbers.
    pub random: &'a mut Random,
}

impl<'a> PickContext<'a> {
    /// A pick for `client`, which the hosts in `tried` have failed.
    pub fn new(
        client: impl Into<Option<IpAddr>>,
        tried: &'a [HostId],
        now_ms: u64,
        random: &'a mut Random,
    ) -> PickContext<'a> {
        PickContext {
            client: client.into(),
            tried,
            now_ms,
            random,
        }
    }

    /// How many hosts are tried for one client.
    pub const MAX_TRIED: usize = 16;

    /// Whether `host` has failed this client already.
    pub fn has_tried(&self, host: HostId) -> bool {
        self.tried.contains(&host)
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    //! The order or the proportions of each scheduler, and what holds for all of them.

    use super::fixture::{PoolFixture, all_schedulers};
    use super::{HostId, PickContext, Random};

    #[test]
    fn each_scheduler_keeps_its_order() {
        let table = [
            ("roundr", "a b c", ". . . .", "a b c a"),
            ("roundr", "a b@down c@drain d*0 e", ". . .", "a e a"),
            ("roundr", "a b c", ". !b . . . ?b . .", "a c a c a b"),
            ("leastc", "a b c", "+ + + +", "a b c a"),
            ("leastc", "a b c", "+ + + -b + +", "a b c b a"),
            // None open: the host without a new session for the longest time.
            ("leastc", "a b c", ". . . .", "a b c a"),
            ("leastc", "a b c", "+ + + -c -a +", "a b c a"),
            ("leastcrr", "a b c", "+ + + -c -a +", "a b c a"),
            ("leastcrr", "a b c", "+ + + -a -b + -c +", "a b c a b"),
            ("leastcrr", "a b c", "+ + -a +", "a b c"),
            ("leastcrr", "a b c", "+ + + + -a -b +", "a b c a b"),
            ("weightlc", "a*2 b", "+ + + + + +", "a b a b a a"),
            ("weightlc", "a*3 b*2", "+ + + + +", "a b a b a"),
            // A host that has ended its side is not busy, though the session is open.
            ("leastc", "a b c", "+ + + ~b + +", "a b c b a"),
            ("leastcrr", "a b c", "+ + + ~b ~a + + +", "a b c a b c"),
            ("weightlc", "a*2 b", "+ + + ~a ~a + + +", "a b a a a b"),
            ("weightrr", "a*5 b c", ". . . . . . . .", "a a b a c a a a"),
            ("weightrr", "a*2 b*2 c", ". . . . .", "a b c a b"),
            ("weightrr", "a*5 b@down c*0 d", ". . . . . .", "a a a d a a"),
        ];
        for (scheduler, hosts, script, picked) in table {
            let run = PoolFixture::new(scheduler, hosts).run(script);
            assert_eq!(run, picked, "{scheduler} {hosts}: {script}");
        }
    }

    #[test]
    fn the_less_loaded_of_two_is_picked() {
        // With two hosts, these are the two that are drawn.
        for seed in 0..20 {
            let mut fixture = PoolFixture::new("p2c", "a b");
            fixture.random = Random::new(seed);
            let both = fixture.run("+ +");
            assert!(both == "a b" || both == "b a", "{both}");
            fixture.run("-a");
            assert_eq!(fixture.run("+"), "a");
        }
    }

    #[test]
    fn two_choices_keep_many_hosts_even() {
        let hosts: Vec<String> = (0..100).map(|n| format!("h{n}")).collect();
        let most = |scheduler: &str| {
            let mut fixture = PoolFixture::new(scheduler, &hosts.join(" "));
            (0..10_000).for_each(|_| drop(fixture.pick(&[])));
            fixture.pool.hosts().map(|host| host.open).max().unwrap()
        };
        let (two, one) = (most("p2c"), most("rand"));
        assert!(two <= 104 && one > 115, "{two} {one}");
    }

    #[test]
    fn chance_is_fair() {
        let table = [
            ("rand", "a*9 b c@down d", [10_000, 10_000, 0, 10_000]),
            ("weightr", "a*3 b*2 c@down d", [15_000, 10_000, 0, 5_000]),
            ("p2c", "a*3 b*2 c@down d", [15_000, 10_000, 0, 5_000]),
        ];
        for (scheduler, hosts, expected) in table {
            let counts = PoolFixture::new(scheduler, hosts).count_picks(30_000);
            for ((name, count), expected) in counts.iter().zip(expected) {
                assert!(
                    count.abs_diff(expected) <= expected / 30,
                    "{scheduler} {name} {count}"
                );
            }
        }
    }

    #[test]
    fn what_is_left_keeps_its_proportions() {
        for (scheduler, expected) in [
            ("rand", [0, 15_000, 0, 15_000]),
            ("weightr", [0, 20_000, 0, 10_000]),
        ] {
            let mut fixture = PoolFixture::new(scheduler, "a*7 b*2 c*90 d");
            let tried = [fixture.id("c"), fixture.id("a"), fixture.id("c")];
            let mut counts = [0_u32; 4];
            for _ in 0..30_000 {
                let picked = fixture.pick(&tried).unwrap();
                counts[picked.id.index()] += 1;
            }
            for (count, expected) in counts.iter().zip(expected) {
                assert!(
                    count.abs_diff(expected) <= expected / 30,
                    "{scheduler} {counts:?}"
                );
            }
        }
    }

    #[test]
    fn round_robin_stays_where_it_was_when_hosts_change() {
        let table = [
            // The host that was picked last moved: continue behind it.
            ("a b c d", ". .", "b a c d", ". .", "a c"),
            // It was removed: continue with the host that followed it, wherever that is.
            ("a b c d", ". .", "a c d", ". .", "c d"),
            ("a b c d", ". .", "d x c a", ". .", "c a"),
            ("a b c d", ". .", "a x d", ". .", "d a"),
            ("a b c", ". . .", "a b", ". .", "a b"),
            ("a b", ".", "x y", ". .", "x y"),
            ("a b c", ". .", "a b c@down d", ". .", "d a"),
        ];
        for scheduler in ["roundr", "leastcrr"] {
            for (before, script, after, then, picked) in table {
                let mut fixture = PoolFixture::new(scheduler, before);
                fixture.run(script);
                fixture.configure(scheduler, after);
                assert_eq!(
                    fixture.run(then),
                    picked,
                    "{scheduler}: {before} -> {after}"
                );
            }
        }
        let mut fixture = PoolFixture::new("roundr", "a b c d");
        fixture.run(". .");
        fixture.configure("roundr", "a c d");
        fixture.configure("roundr", "x a c d");
        assert_eq!(
            fixture.run(". ."),
            "c d",
            "a second change does not lose the place"
        );
    }

    #[test]
    fn smooth_weights_go_on_after_a_reload() {
        let mut fixture = PoolFixture::new("weightrr", "a*5 b c");
        assert_eq!(fixture.run(". . ."), "a a b");
        fixture.configure("weightrr", "c x@down a*5 b");
        assert_eq!(fixture.run(". . . ."), "a c a a");
    }

    #[test]
    fn without_hosts_in_service_nobody_is_picked() {
        for scheduler in all_schedulers() {
            for hosts in ["", "a@down", "a@down b@drain c*0", "a=not.resolved.yet"] {
                let mut fixture = PoolFixture::new(&scheduler, hosts);
                assert_eq!(fixture.run("+ ."), "- -", "{scheduler} {hosts}");
                assert_eq!(fixture.pool.open(), 0);
                assert!(!fixture.pool.all_failed());
            }
        }
    }

    #[test]
    fn a_single_host_gets_everything() {
        for scheduler in all_schedulers() {
            let mut fixture = PoolFixture::new(&scheduler, "a b@down c*0");
            assert_eq!(
                fixture.run("+ + . -a !a . ?a ."),
                "a a a a a",
                "{scheduler}"
            );
            assert_eq!(fixture.pool.open(), 1);
        }
    }

    #[test]
    fn when_all_have_failed_the_failed_ones_are_tried() {
        for scheduler in all_schedulers() {
            let mut fixture = PoolFixture::new(&scheduler, "a b c@down d*0");
            fixture.run("!a");
            assert_eq!(fixture.run(". . ."), "b b b", "{scheduler}");
            fixture.run("!b");
            assert!(fixture.pool.all_failed());
            let ids = [fixture.id("a"), fixture.id("b")];
            assert_eq!(fixture.pick(&ids[..1]).unwrap().id, ids[1], "{scheduler}");
            assert_eq!(fixture.pick(&ids[1..]).unwrap().id, ids[0], "{scheduler}");
            assert!(fixture.pick(&ids).is_none(), "{scheduler}");
            fixture.run("?a");
            assert_eq!(fixture.run(". . ."), "a a a", "{scheduler}");
            assert!(!fixture.pool.all_failed());
        }
    }

    #[test]
    fn a_client_is_sent_to_no_host_twice() {
        let hosts: Vec<String> = (1..=20).map(|n| format!("h{n}*{n}")).collect();
        for scheduler in all_schedulers() {
            let mut fixture = PoolFixture::new(&scheduler, &hosts.join(" "));
            for _ in 0..50 {
                let mut tried: Vec<HostId> = Vec::new();
                while tried.len() <= PickContext::MAX_TRIED {
                    let picked = fixture.pick(&tried).unwrap();
                    assert!(!tried.contains(&picked.id), "{scheduler}");
                    tried.push(picked.id);
                }
                assert!(
                    fixture.pick(&tried).is_none(),
                    "{scheduler}: 17 is more than are tried"
                );
            }
            assert_eq!(fixture.pool.open(), 50 * 17);
        }
    }

    #[test]
    fn a_removed_host_is_known_until_its_last_session_ends() {
        for scheduler in all_schedulers() {
            let mut fixture = PoolFixture::new(&scheduler, "a");
            fixture.run("+ +");
            let a = fixture.id("a");
            fixture.configure(&scheduler, "b");
            assert_eq!(fixture.run("+"), "b", "{scheduler}");
            assert_eq!(fixture.pool.open(), 3);
            fixture.release(a);
            fixture.configure(&scheduler, "b c");
            assert_ne!(
                fixture.id("c"),
                a,
                "{scheduler}: its last session is still open"
            );
            assert_eq!(fixture.pool.open(), 2);
            fixture.release(a);
            assert_eq!(fixture.pool.open(), 1);
            fixture.configure(&scheduler, "b c d");
            assert_eq!(fixture.id("d"), a, "{scheduler}: now the id is free");
            assert_eq!(fixture.pool.hosts().map(|host| host.open).sum::<u32>(), 1);
            assert_eq!(fixture.run("!b !c +"), "d", "{scheduler}");
        }
    }

    #[test]
    fn another_algorithm_goes_on_with_the_same_counts() {
        for scheduler in all_schedulers() {
            let mut fixture = PoolFixture::new(&scheduler, "a*1000 b");
            fixture.run("+ + + +");
            let open: Vec<u32> = fixture.pool.hosts().map(|host| host.open).collect();
            fixture.configure("leastc", "a b");
            let run = fixture.run(&"+ ".repeat(4));
            let now: Vec<u32> = fixture.pool.hosts().map(|host| host.open).collect();
            assert_eq!(now.iter().sum::<u32>(), 8);
            assert_eq!(now, [4, 4], "{scheduler}: from {open:?} with {run}");
        }
    }
}
