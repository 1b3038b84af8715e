//! When each check of each host is due: spread over the interval, jittered, and never twice at a
//! time. Pure: the clock is an argument, and chance comes from a seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{CheckedHost, Random};
use crate::config::Check;
use crate::relay::Group;

/// A check of a host.
#[derive(Debug, Clone)]
pub(super) struct HostCheck {
    pub(super) group: Arc<Group>,
    pub(super) host: CheckedHost,
    pub(super) check: Arc<Check>,
}

/// Identifies a check of a host. The schedule and results on their way hold the group and the check,
/// so their addresses in memory are not reused.
type Key = (usize, CheckedHost, usize);

impl HostCheck {
    fn key(&self) -> Key {
        let group = Arc::as_ptr(&self.group) as usize;
        (group, self.host, Arc::as_ptr(&self.check) as usize)
    }
}

/// The first time of a check is within this time.
const FIRST_MS: u64 = 1000;

/// The schedule.
#[derive(Debug)]
pub(super) struct CheckSchedule {
    entries: HashMap<Key, Entry>,
    /// The next of each entry that does not run; entries that are gone may be in it.
    due: BinaryHeap<Reverse<(u64, Key)>>,
    random: Random,
}

#[derive(Debug)]
struct Entry {
    check: HostCheck,
    due_ms: u64,
    /// It has not ended yet for the first time.
    is_first: bool,
    is_running: bool,
    /// The last result, for checks that log theirs.
    last: Option<String>,
}

impl CheckSchedule {
    /// An empty schedule. The same seed gives the same times.
    pub(super) fn new(seed: u64) -> CheckSchedule {
        CheckSchedule {
            entries: HashMap::new(),
            due: BinaryHeap::new(),
            random: Random::new(seed),
        }
    }

    /// Replaces the checks. Those that were there keep their times. A new one is due within a second,
    /// as sessions may wait for it (`initial`), and then somewhere in its interval.
    pub(super) fn set(&mut self, checks: impl IntoIterator<Item = HostCheck>, now_ms: u64) {
        let mut former = std::mem::take(&mut self.entries);
        self.due.clear();
        for check in checks {
            let key = check.key();
            let entry = former.remove(&key).unwrap_or_else(|| Entry {
                due_ms: now_ms
                    + self
                        .random
                        .below(interval_ms(&check.check, false).min(FIRST_MS)),
                is_first: true,
                is_running: false,
                last: None,
                check,
            });
            if !entry.is_running {
                self.due.push(Reverse((entry.due_ms, key)));
            }
            self.entries.insert(key, entry);
        }
    }

    /// When the next check is due.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due_ms, _))| *due_ms)
    }

    /// The next check that is due. It is not due again before [`CheckSchedule::ended`].
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<HostCheck> {
        while self.next_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            let Reverse((_, key)) = self.due.pop()?;
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.is_running = true;
                entry.due_ms = now_ms;
                return Some(entry.check.clone());
            }
        }
        None
    }

    /// A check has ended: the next is due an interval after its start, or now if that is over.
    pub(super) fn ended(&mut self, check: &HostCheck, has_failed: bool, now_ms: u64) {
        let key = check.key();
        let interval_ms = interval_ms(&check.check, has_failed);
        let Some(entry) = self.entries.get_mut(&key).filter(|it| it.is_running) else {
            return;
        };
        entry.is_running = false;
        let wait_ms = match std::mem::take(&mut entry.is_first) {
            true => self.random.below(interval_ms),
            // A sixteenth earlier to a sixteenth later: checks that fell together drift apart.
            false => interval_ms - interval_ms / 16 + self.random.below(interval_ms / 8 + 1),
        };
        let next_ms = entry.due_ms + wait_ms;
        entry.due_ms = next_ms.max(now_ms);
        self.due.push(Reverse((entry.due_ms, key)));
    }

    /// Whether this result of a check differs from the one before, for checks that log theirs.
    pub(super) fn is_news(&mut self, check: &HostCheck, result: &str) -> bool {
        let entry = self.entries.get_mut(&check.key());
        let entry = entry.filter(|entry| entry.check.check.log);
        entry.is_some_and(|entry| entry.last.replace(result.to_owned()).as_deref() != Some(result))
    }
}

fn interval_ms(check: &Check, has_failed: bool) -> u64 {
    let interval = match check.down_interval {
        Some(interval) if has_failed => interval,
        _ => check.interval,
    };
    let longest = Duration::from_secs(u32::MAX.into());
    u64::try_from(interval.min(longest).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::balance::HostPool;

    /// The checks of so many hosts.
    fn checks(hosts: usize, attributes: &str) -> Vec<HostCheck> {
        let hosts: String = (0..hosts)
            .map(|host| format!("<host name='h{host}' ip='10.0.0.1:{}'/>", 1 + host))
            .collect();
        let text = format!(
            "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
             <check type='tcp' {attributes}/>{hosts}</group></service></config>"
        );
        let config = crate::config::read(text.as_bytes()).unwrap().config;
        let pool = HostPool::new(&config.services[0].groups[0], 1, 0);
        let group = Arc::new(Group::new("s", "g", pool));
        let (hosts, check) = {
            let pool = group.pool();
            (pool.checked_hosts(), Arc::clone(&pool.checks()[0]))
        };
        let check = |host| HostCheck {
            group: Arc::clone(&group),
            host,
            check: Arc::clone(&check),
        };
        hosts.into_iter().map(check).collect()
    }

    /// When each check starts, if each takes no time.
    fn starts(schedule: &mut CheckSchedule, until_ms: u64, has_failed: bool) -> Vec<(u64, Key)> {
        let mut starts = Vec::new();
        while let Some(now_ms) = schedule.next_due_ms().filter(|it| *it < until_ms) {
            while let Some(check) = schedule.take_due(now_ms) {
                starts.push((now_ms, check.key()));
                schedule.ended(&check, has_failed, now_ms);
            }
        }
        starts
    }

    #[test]
    fn checks_are_spread_over_the_interval_and_stay_so() {
        let checks = checks(1000, "interval='2'");
        let mut schedule = CheckSchedule::new(1);
        schedule.set(checks.clone(), 5_000);
        let starts = starts(&mut schedule, 65_000, false);
        let early = starts.iter().filter(|(at_ms, _)| *at_ms < 6_000);
        let keys: HashSet<Key> = early.map(|(_, key)| *key).collect();
        assert_eq!(keys.len(), 1000, "each is due within a second");
        let times: Vec<u64> = starts.into_iter().map(|(at_ms, _)| at_ms).collect();
        assert!((30_000..=32_000).contains(&times.len()), "{}", times.len());
        for from_ms in (8_000..65_000).step_by(100) {
            let now = times
                .iter()
                .filter(|it| (from_ms..from_ms + 100).contains(*it));
            let count = now.count();
            assert!((15..=100).contains(&count), "{count} at {from_ms}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let checks = checks(20, "");
        let run = |seed| {
            let mut schedule = CheckSchedule::new(seed);
            schedule.set(checks.clone(), 0);
            starts(&mut schedule, 20_000, false)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_failed_host_has_an_interval_of_its_own() {
        let checks = checks(1, "interval='10' downInterval='0.5'");
        for (has_failed, least, most) in [(false, 9, 11), (true, 165, 215)] {
            let mut schedule = CheckSchedule::new(3);
            schedule.set(checks.clone(), 0);
            let count = starts(&mut schedule, 100_000, has_failed).len();
            assert!((least..=most).contains(&count), "{count}");
        }
    }

    #[test]
    fn a_check_does_not_overlap_itself() {
        let checks = checks(1, "interval='1'");
        let mut schedule = CheckSchedule::new(3);
        schedule.set(checks.clone(), 0);
        let check = schedule.take_due(1_000).unwrap();
        assert!(schedule.take_due(60_000).is_none());
        // A change in between starts no second one.
        schedule.set(checks.clone(), 61_000);
        assert!(schedule.take_due(62_000).is_none());
        schedule.ended(&check, false, 62_000);
        assert!(schedule.take_due(62_000).is_some());
        // What is gone is not due, and its result starts nothing.
        schedule.set(Vec::new(), 63_000);
        schedule.ended(&check, false, 64_000);
        assert_eq!(
            (schedule.next_due_ms(), schedule.take_due(99_000).is_none()),
            (None, true)
        );
    }

    #[test]
    fn only_results_that_differ_are_news() {
        let of = |attributes: &str| {
            let checks = checks(1, attributes);
            let mut schedule = CheckSchedule::new(3);
            schedule.set(checks.clone(), 0);
            let results = ["passed", "passed", "failed: a", "failed: b", "failed: b"];
            results.map(|result| schedule.is_news(&checks[0], result))
        };
        assert_eq!(of("log='true'"), [true, false, true, true, false]);
        assert_eq!(of(""), [false; 5]);
    }
}
