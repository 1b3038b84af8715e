//! The checks of a group: which hosts are checked, and what their results and agents change.

use super::{HostId, HostPool};
use crate::balance::agent::AgentReport;
use crate::balance::check_result::CheckResult;
use crate::balance::health::{Failure, HealthChange};
use crate::balance::host::Member;
use crate::config::{Check, HostState};
use crate::os::address::Address;
use std::sync::Arc;

/// A host at one endpoint, to be checked: results for a former one are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CheckedHost {
    pub(crate) id: HostId,
    placement: u64,
}

/// What a check needs to know of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckTarget {
    /// The host's address; `None` if it is not checked now: it is down, has no address, or is a
    /// listener of this process.
    pub(crate) address: Option<Address>,
    /// Whether the host has failed.
    pub(crate) has_failed: bool,
}

impl HostPool {
    /// Takes over the checks of a configuration. How hosts stand in those that stay is kept.
    pub(super) fn configure_checks(&mut self, checks: &[Check], now_ms: u64) {
        if self.checks.is_empty() && checks.is_empty() {
            return;
        }
        let mut known: Vec<_> = self.checks.drain(..).map(Some).collect();
        let mut former = Vec::new();
        for check in checks {
            let index = known.iter().position(|it| it.as_deref() == Some(check));
            let same = index.and_then(|index| known[index].take());
            self.checks
                .push(same.unwrap_or_else(|| Arc::new(check.clone())));
            former.push((check, index));
        }
        // What an agent said is forgotten with the one that said it, whichever that was.
        let agent_is_gone = known.iter().flatten().any(|former| {
            !former.decides() && !checks.iter().any(|check| is_same_agent(former, check))
        });
        for index in 0..self.hosts.all().len() {
            if let Some(member) = self.hosts.get_mut(self.hosts.all()[index]) {
                member.set_checks(&former);
                if agent_is_gone {
                    member.forget_agent(now_ms);
                }
            }
        }
        self.hosts.rebuild_candidates(now_ms);
    }

    /// The checks of the group, in the file's order.
    pub(crate) fn checks(&self) -> &[Arc<Check>] {
        &self.checks
    }

    /// The configured hosts, in the file's order.
    pub(crate) fn checked_hosts(&self) -> Vec<CheckedHost> {
        self.hosts.members().map(checked_host).collect()
    }

    /// Where to check a host; `None` if it is gone.
    pub(crate) fn check_target(&self, host: CheckedHost) -> Option<CheckTarget> {
        let member = self.hosts.get(host.id);
        let member = member.filter(|it| it.position.is_some() && checked_host(it) == host)?;
        let is_checked = member.state != HostState::Down && !member.is_circular();
        Some(CheckTarget {
            address: member.address.clone().filter(|_| is_checked),
            has_failed: member.has_failed(),
        })
    }

    /// A probe or check of a host ended so. What follows from it is not done here.
    pub(crate) fn record_check(&mut self, id: HostId, result: CheckResult) {
        if let Some(member) = self.hosts.get_mut(id) {
            member.record_check(result);
        }
    }

    /// A check of a host at `address` had this result. Ignored if the host or the check is gone, or
    /// the host has another address by now.
    pub(crate) fn check_ended(
        &mut self,
        (host, address): (CheckedHost, &Address),
        check: &Arc<Check>,
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<HealthChange> {
        let index = self.check_index((host, address), check)?;
        self.apply_result(host.id, address, now_ms, |member| {
            member.check_ended((index, check), result, now_ms)
        })
    }

    /// The agent of a host at `address` said something. Returns what is in force now, if that
    /// changed, and the change of the host's health. Ignored as by [`HostPool::check_ended`].
    pub(crate) fn agent_said(
        &mut self,
        (host, address): (CheckedHost, &Address),
        check: &Arc<Check>,
        report: &AgentReport,
        now_ms: u64,
    ) -> (Option<String>, Option<HealthChange>) {
        let known = self.check_index((host, address), check);
        let Some(member) = self.hosts.get_mut(host.id).filter(|_| known.is_some()) else {
            return (None, None);
        };
        let (changed, change) = member.agent_said(report, now_ms);
        let in_force = member.agent().filter(|_| changed).map(ToString::to_string);
        if changed {
            self.rebuild(now_ms);
        }
        (in_force, change)
    }

    /// The index of a check whose result counts.
    fn check_index(
        &self,
        (host, address): (CheckedHost, &Address),
        check: &Arc<Check>,
    ) -> Option<usize> {
        let target = self.check_target(host)?;
        let mut checks = self.checks.iter();
        let index = checks.position(|it| Arc::ptr_eq(it, check));
        index.filter(|_| target.address.as_ref() == Some(address))
    }

    /// Whether a host has as many sessions as its agent allows.
    pub(super) fn is_full(&self, id: HostId) -> bool {
        self.hosts.get(id).is_some_and(Member::is_full)
    }
}

/// Whether another check asks the agent of `agent`.
fn is_same_agent(agent: &Check, other: &Check) -> bool {
    let is_there = (agent.ip, agent.port) == (other.ip, other.port);
    !other.decides() && is_there && agent.send == other.send
}

fn checked_host(member: &Member) -> CheckedHost {
    CheckedHost {
        id: member.id,
        placement: member.placement.number,
    }
}

#[cfg(test)]
mod tests {
    //! Checks and agents beside what sessions find, and a plain model of them.

    use super::*;
    use crate::balance::{Health, PickContext, Random};
    use crate::config::{self, Algorithm};

    /// A pool with these checks, as in a file, and its hosts.
    fn pool(checks: &str, hosts: &str) -> (HostPool, Vec<CheckedHost>) {
        let pool = HostPool::new(&group(checks, hosts), 1, 0);
        let hosts = pool.checked_hosts();
        (pool, hosts)
    }

    fn group(checks: &str, hosts: &str) -> config::Group {
        let text = format!(
            "<config><service name='s'><listen ip='1'/><group name='g' scheduler='roundr' \
             enable='1'>{checks}{hosts}</group></service></config>"
        );
        let config = config::read(text.as_bytes()).unwrap().config;
        config.services[0].groups[0].clone()
    }

    const HOST: &str = "<host name='a' ip='10.0.0.1:80'/>";
    const TWO: &str = "<host name='a' ip='10.0.0.1:80'/><host name='b' ip='10.0.0.2:80'/>";
    const AGENT: &str = "<check type='agent' port='9777'/>";

    fn check(
        pool: &mut HostPool,
        host: CheckedHost,
        number: usize,
        result: Result<(), &str>,
    ) -> Option<HealthChange> {
        let check = Arc::clone(&pool.checks()[number]);
        let address = pool.check_target(host).unwrap().address.unwrap();
        let result = result.map_err(|why| Failure::Check(why.to_owned()));
        pool.check_ended((host, &address), &check, result, 1)
    }

    fn says(pool: &mut HostPool, host: CheckedHost, line: &str) -> Option<String> {
        let mut checks = pool.checks().iter();
        let check = Arc::clone(checks.find(|check| !check.decides()).unwrap());
        let address = pool.check_target(host).unwrap().address.unwrap();
        let report = AgentReport::parse(line.as_bytes());
        pool.agent_said((host, &address), &check, &report, 1).0
    }

    fn health(pool: &HostPool) -> Health {
        pool.hosts().next().unwrap().health.clone()
    }

    /// The names of the hosts of the next picks, `-` for none.
    fn picks(pool: &mut HostPool, count: usize) -> String {
        let mut random = Random::new(1);
        let client = std::net::IpAddr::from([10, 0, 0, 9]);
        let mut pick = || {
            let mut context = PickContext::new(client, &[], 1, &mut random);
            let picked = pool.pick(&mut context);
            picked.map_or_else(|| "-".to_owned(), |picked| picked.host.name.clone())
        };
        (0..count).map(|_| pick()).collect()
    }

    #[test]
    fn it_is_known_how_near_a_change_a_host_is() {
        let (without, _) = pool("", HOST);
        assert_eq!(without.hosts().next().unwrap().check_health, None);
        let (mut pool, hosts) = pool("<check type='tcp' rise='2' fall='3'/>", HOST);
        let health = |pool: &HostPool| pool.hosts().next().unwrap().check_health.unwrap();
        let (failed, passed) = (Err("no"), Ok(()));
        let mut seen = vec![health(&pool).health];
        for result in [failed, passed, failed, failed, failed, passed, passed] {
            check(&mut pool, hosts[0], 0, result);
            seen.push(health(&pool).health);
        }
        assert_eq!(seen, [4, 3, 4, 3, 2, 0, 1, 4]);
        assert_eq!((health(&pool).rise, health(&pool).fall), (2, 3));
    }

    #[test]
    fn a_host_that_returns_knows_the_checks_of_now() {
        let (mut pool, _) = pool("<check type='tcp'/>", HOST);
        let mut random = Random::new(1);
        let mut context =
            PickContext::new(std::net::IpAddr::from([10, 0, 0, 9]), &[], 1, &mut random);
        // A session keeps it known while it is away, and its group has no check any more.
        let picked = pool.pick(&mut context).unwrap();
        pool.configure(&group("<check type='tcp'/>", ""), 2);
        pool.configure(&group("", ""), 3);
        pool.configure(&group("", HOST), 4);
        assert_eq!(pool.hosts().next().unwrap().id, picked.id);
        pool.connected(picked.id, &picked.address, 5);
        assert_eq!(health(&pool), Health::Healthy);
    }

    #[test]
    fn a_host_fails_and_comes_back_by_results_in_a_row() {
        let (mut pool, hosts) = pool("<check type='tcp' rise='2' fall='3'/>", HOST);
        let table = [
            ("+", "untried>healthy"),
            ("--+--+", "healthy>healthy"),
            ("--", "healthy>healthy"),
            ("-", "healthy>failed"),
            ("+-+-+-", "failed>failed"),
            ("++", "failed>healthy"),
        ];
        let word = |pool: &HostPool| match health(pool) {
            Health::Untried => "untried",
            Health::Healthy => "healthy",
            Health::Failed(_) => "failed",
        };
        for (results, expected) in table {
            let before = word(&pool);
            for result in results.chars() {
                let result = if result == '+' { Ok(()) } else { Err("why") };
                let _ = check(&mut pool, hosts[0], 0, result);
            }
            assert_eq!(format!("{before}>{}", word(&pool)), expected, "{results}");
        }
    }

    #[test]
    fn a_session_fails_a_host_at_once_and_heals_none() {
        let (mut pool, hosts) = pool("<check type='tcp' rise='2'/>", TWO);
        let (id, address) = (hosts[0].id, Address::Ip("10.0.0.1:80".parse().unwrap()));
        let _ = check(&mut pool, hosts[0], 0, Ok(()));
        assert_eq!(picks(&mut pool, 2), "ab");
        let client = std::net::IpAddr::from([10, 0, 0, 9]);
        let change = pool.connect_failed(id, &address, client, Failure::Refused, 5);
        assert_eq!(change, Some(HealthChange::Down(Failure::Refused)));
        assert_eq!(pool.connected(id, &address, 6), None);
        assert_eq!(health(&pool), Health::Failed(Failure::Refused));
        assert_eq!(pool.health_check_targets(), []);
        assert_eq!(check(&mut pool, hosts[0], 0, Ok(())), None);
        assert_eq!(
            check(&mut pool, hosts[0], 0, Ok(())),
            Some(HealthChange::Up)
        );
        assert_eq!(picks(&mut pool, 2).len(), 2);
    }

    #[test]
    fn results_of_what_is_gone_or_moved_are_ignored() {
        let checks = "<check type='tcp' fall='1'/>";
        let (mut pool, hosts) = pool(checks, HOST);
        let old = (hosts[0], Address::Ip("10.0.0.1:80".parse().unwrap()));
        let fails = |pool: &mut HostPool, check: &Arc<Check>| {
            pool.check_ended((old.0, &old.1), check, Err(Failure::Refused), 1)
        };
        let check = Arc::clone(&pool.checks()[0]);
        // Another address, and back again: another host at that place.
        pool.configure(&group(checks, "<host name='a' ip='10.0.0.9:80'/>"), 2);
        assert_eq!(fails(&mut pool, &check), None);
        pool.configure(&group(checks, HOST), 3);
        assert_eq!(fails(&mut pool, &check), None);
        // Another check, though it says the same.
        let same = Arc::new((*check).clone());
        let host = pool.checked_hosts()[0];
        let now = (host, &old.1);
        assert_eq!(pool.check_ended(now, &same, Err(Failure::Refused), 1), None);
        // A removed host.
        pool.configure(&group(checks, ""), 4);
        assert_eq!(
            pool.check_ended(now, &check, Err(Failure::Refused), 5),
            None
        );
        assert_eq!(pool.check_target(host), None);
        // A check that stays is the same one.
        pool.configure(&group(&format!("{AGENT}{checks}"), HOST), 6);
        assert!(Arc::ptr_eq(&pool.checks()[1], &check));
    }

    #[test]
    fn an_agent_drains_weighs_limits_and_fails_its_host() {
        let (mut pool, hosts) = pool(AGENT, TWO);
        let mut after = |line: &str, count: usize| {
            let _ = says(&mut pool, hosts[0], line);
            picks(&mut pool, count)
        };
        assert_eq!(after("drain", 3), "bbb");
        assert_eq!(after("ready 0%", 2), "bb");
        assert_eq!(after("100%", 2), "ab");
        // It has one session.
        assert_eq!(after("maxconn:2", 4), "abbb");
        assert_eq!(after("maxconn:0", 2), "ab");
        assert_eq!(after("down", 2), "bb");
        assert_eq!(after("up", 2), "ab");
        assert_eq!(after("maint", 2), "bb");
    }

    #[test]
    fn a_host_that_its_agent_takes_out_comes_back_under_any_scheduler() {
        for algorithm in Algorithm::ALL {
            // The group's first configuration has the host out, or in.
            for first in ["0%", "drain", "down", "maxconn:1", "50%"] {
                let mut group = group(AGENT, HOST);
                group.scheduler = algorithm.clone().into();
                let mut pool = HostPool::new(&group, 1, 0);
                let host = pool.checked_hosts()[0];
                let _ = says(&mut pool, host, first);
                pool.configure(&group, 0);
                let _ = picks(&mut pool, 1);
                let _ = says(&mut pool, host, "up ready 100% maxconn:0");
                assert_eq!(picks(&mut pool, 2), "aa", "{algorithm} after {first}");
            }
        }
    }

    #[test]
    fn a_host_that_was_full_does_not_start_slowly() {
        let mut group = group(AGENT, HOST);
        group.slow_start = Some(std::time::Duration::from_secs(30));
        let mut pool = HostPool::new(&group, 1, 0);
        let host = pool.checked_hosts()[0];
        says(&mut pool, host, "maxconn:1").unwrap();
        assert_eq!(picks(&mut pool, 2), "a-");
        pool.release(host.id, std::net::IpAddr::from([10, 0, 0, 9]), 2);
        assert!(pool.hosts().all(|host| host.slow_start.is_none()));
        let _ = says(&mut pool, host, "drain");
        let _ = says(&mut pool, host, "ready");
        assert!(pool.hosts().all(|host| host.slow_start.is_some()));
    }

    #[test]
    fn a_new_check_heals_no_failed_host_at_once() {
        let (mut pool, hosts) = pool("<check type='tcp' fall='1' rise='2'/>", HOST);
        let _ = check(&mut pool, hosts[0], 0, Err("x"));
        pool.configure(&group("<check type='tcp' fall='1' rise='3'/>", HOST), 2);
        for passes in 1..=3 {
            let change = check(&mut pool, hosts[0], 0, Ok(()));
            assert_eq!(change.is_some(), passes == 3, "after {passes}");
        }
    }

    #[test]
    fn what_an_agent_said_goes_with_that_agent_though_another_stays() {
        let other = "<check type='agent' port='9778'/>";
        let (mut pool, hosts) = pool(&format!("{AGENT}{other}"), HOST);
        says(&mut pool, hosts[0], "drain").unwrap();
        let slower = "<check type='agent' port='9777' interval='9'/>";
        pool.configure(&group(&format!("{slower}{other}"), HOST), 2);
        assert_eq!(picks(&mut pool, 1), "-", "it is the same agent");
        pool.configure(&group(other, HOST), 3);
        assert_eq!(picks(&mut pool, 1), "a");
    }

    #[test]
    fn all_have_failed_where_the_others_are_drained_by_their_agents() {
        let (mut pool, hosts) = pool(AGENT, TWO);
        says(&mut pool, hosts[0], "drain").unwrap();
        assert!(!pool.all_failed());
        let _ = says(&mut pool, hosts[1], "down");
        assert!(pool.all_failed());
    }

    #[test]
    fn a_host_that_its_agent_limits_gets_the_next_session_when_one_has_ended() {
        let (mut pool, hosts) = pool(AGENT, HOST);
        says(&mut pool, hosts[0], "maxconn:2").unwrap();
        assert_eq!(picks(&mut pool, 3), "aa-");
        pool.release(hosts[0].id, std::net::IpAddr::from([10, 0, 0, 9]), 2);
        assert_eq!(picks(&mut pool, 2), "a-");
    }

    #[test]
    fn an_agent_that_says_up_lifts_only_what_it_said() {
        let (mut pool, hosts) = pool(
            &format!("{AGENT}<check type='tcp' fall='1' rise='1'/>"),
            HOST,
        );
        assert_eq!(says(&mut pool, hosts[0], "up"), None);
        assert_eq!(health(&pool), Health::Untried);
        let down = Health::Failed(Failure::Check("the agent says stopped: lunch".to_owned()));
        assert!(says(&mut pool, hosts[0], "stopped # lunch").is_some());
        assert_eq!(health(&pool), down);
        // It accepts, and is down all the same.
        assert_eq!(check(&mut pool, hosts[0], 1, Ok(())), None);
        assert_eq!(health(&pool), down);
        assert!(says(&mut pool, hosts[0], "up").is_some());
        assert_eq!(health(&pool), Health::Healthy);
        assert!(check(&mut pool, hosts[0], 1, Err("no")).is_some());
        assert!(says(&mut pool, hosts[0], "down").is_some());
        assert!(says(&mut pool, hosts[0], "up").is_some());
        assert!(matches!(health(&pool), Health::Failed(_)));
        assert_eq!(
            check(&mut pool, hosts[0], 1, Ok(())),
            Some(HealthChange::Up)
        );
    }

    #[test]
    fn what_an_agent_said_goes_with_its_check_and_its_host() {
        let (mut pool, hosts) = pool(AGENT, TWO);
        let says_all = |pool: &mut HostPool, hosts: &[CheckedHost]| {
            says(pool, hosts[0], "drain down").unwrap();
            says(pool, hosts[1], "drain").unwrap();
        };
        says_all(&mut pool, &hosts);
        pool.configure(&group("", TWO), 2);
        assert!(pool.hosts().all(|host| host.agent.is_none()));
        assert_eq!(picks(&mut pool, 2), "ab");
        pool.configure(&group(AGENT, TWO), 3);
        let hosts = pool.checked_hosts();
        says_all(&mut pool, &hosts);
        let moved = TWO.replace("10.0.0.2", "10.0.0.3");
        pool.configure(&group(AGENT, &moved), 4);
        let agents: Vec<_> = pool.hosts().map(|host| host.agent.is_some()).collect();
        assert_eq!(agents, [true, false]);
        pool.configure(&group(AGENT, ""), 5);
        pool.configure(&group(AGENT, TWO), 6);
        assert!(pool.hosts().all(|host| host.agent.is_none()));
    }

    /// A check by its definition: all results since it was last judged anew.
    #[derive(Default, Clone)]
    struct ModelCheck {
        began_failed: bool,
        results: Vec<bool>,
    }

    impl ModelCheck {
        /// Where the last run of so many results like this ends.
        fn last_run(&self, passes: bool, length: usize) -> Option<usize> {
            let ends = length..=self.results.len();
            ends.rev().find(|end| {
                self.results[end - length..*end]
                    .iter()
                    .all(|it| *it == passes)
            })
        }

        fn has_failed(&self, rise: usize, fall: usize) -> bool {
            let fell = match self.last_run(false, fall) {
                None if self.began_failed => Some(0),
                fell => fell,
            };
            let rose = self.last_run(true, rise);
            fell.is_some_and(|fell| rose.is_none_or(|rose| rose <= fell))
        }

        fn has_passed(&self, rise: usize, fall: usize) -> bool {
            !self.has_failed(rise, fall) && self.results.contains(&true)
        }
    }

    #[test]
    fn health_agrees_with_a_plain_model() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let [rise, fall] = [0; 2].map(|_| 1 + random.index(4));
            let check_text = format!("<check type='tcp' rise='{rise}' fall='{fall}'/>");
            let count = 1 + random.index(3);
            let (mut pool, hosts) = pool(&check_text.repeat(count), HOST);
            let mut model = vec![ModelCheck::default(); count];
            let mut has_failed = false;
            let (id, address) = (hosts[0].id, Address::Ip("10.0.0.1:80".parse().unwrap()));
            for step in 0..200 {
                match random.below(16) {
                    0 => {
                        let mut random = Random::new(step);
                        let client = std::net::IpAddr::from([10, 0, 0, 9]);
                        let mut context = PickContext::new(client, &[], 1, &mut random);
                        pool.pick(&mut context).unwrap();
                        pool.connect_failed(id, &address, client, Failure::Refused, step);
                        let results = Vec::new();
                        let began_failed = true;
                        model.fill(ModelCheck {
                            began_failed,
                            results,
                        });
                        has_failed = true;
                    }
                    1 => drop(pool.connected(id, &address, step)),
                    2 if has_failed => {
                        assert!(pool.reset_health(id, step));
                        model.fill(ModelCheck::default());
                        has_failed = false;
                    }
                    _ => {
                        let (number, passes) = (random.index(count), random.below(2) == 0);
                        let result = if passes { Ok(()) } else { Err("why") };
                        let change = check(&mut pool, hosts[0], number, result);
                        model[number].results.push(passes);
                        let before = has_failed;
                        has_failed |= model[number].has_failed(rise, fall) && !passes;
                        has_failed &= !model.iter().all(|it| it.has_passed(rise, fall));
                        assert_eq!(change.is_some(), has_failed != before, "seed {seed}");
                    }
                }
                let all_passed = model.iter().all(|it| it.has_passed(rise, fall));
                match health(&pool) {
                    Health::Failed(_) => assert!(has_failed, "seed {seed} step {step}"),
                    Health::Healthy => assert!(!has_failed, "seed {seed} step {step}"),
                    Health::Untried => assert!(!has_failed && !all_passed, "seed {seed}"),
                }
            }
        }
    }
}
