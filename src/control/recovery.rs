//! Recovery of failed hosts: a thread that probes and checks hosts at intervals.
//!
//! hostCheck probes failed hosts, heartbeat the others. If all hosts of an enabled group have
//! failed, they are probed every second, whatever the configuration says. A group with checks of its
//! own is left to them.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::check_schedule::{CheckSchedule, HostCheck};
use super::threads::PanicGuard;
use crate::balance::{CheckResult, Failure, HostId, HostPool, SourceTurn};
use crate::config::{Check, CheckKind, Manager, PeriodicTask, ProxyVersion};
use crate::os::address::Address;
use crate::relay::{
    Clock, Dialogue, Group, Probe, ProbePriority, ProbeResult, ProbeWaker, Prober, TimeoutsMs,
    Verdict, check_address, check_timeout_ms, probe_timeout_ms,
};
use crate::sync::lock;

/// Name of the thread.
const THREAD: &str = "recovery";

/// Interval of probes where all hosts of a group have failed.
const ALL_FAILED_INTERVAL_MS: u64 = 1000;

/// The groups to probe, and how often.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) groups: Vec<WatchedGroup>,
    pub(super) manager: Manager,
}

/// A group, and whether it gets new sessions.
pub(super) struct WatchedGroup {
    pub(super) group: Arc<Group>,
    pub(super) serves: bool,
    /// Timeouts of its service: a host too slow for sessions is not back.
    pub(super) timeouts: TimeoutsMs,
}

/// Handle to the recovery thread.
pub(super) struct Recovery {
    shared: Arc<Mutex<Shared>>,
    waker: ProbeWaker,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    watched: Watched,
    /// Whether `watched` is new.
    has_changed: bool,
    stopped: bool,
}

impl Recovery {
    /// Starts the thread, with `limit` probes at a time at most.
    ///
    /// # Errors
    /// The system has no thread or event queue for it.
    pub(super) fn start(
        clock: Clock,
        limit: usize,
        panic_guard: &PanicGuard,
    ) -> io::Result<Recovery> {
        let prober = Prober::new(limit)?;
        let waker = prober.waker();
        let shared = Arc::default();
        let mut recovery = RecoveryLoop::new(Arc::clone(&shared), prober, clock);
        let watch = panic_guard.watch(THREAD);
        let thread = thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                let _watch = watch;
                recovery.run();
            })?;
        Ok(Recovery {
            shared,
            waker,
            thread: Some(thread),
        })
    }

    /// Replaces the groups to probe.
    pub(super) fn watch(&self, watched: Watched) {
        let mut shared = lock(&self.shared);
        (shared.watched, shared.has_changed) = (watched, true);
        drop(shared);
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake the recovery thread: {error}");
        }
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        lock(&self.shared).stopped = true;
        self.wake();
        if let Some(thread) = self.thread.take() {
            // The panic guard has reported a panic.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Check,
    Heartbeat,
}

/// What a probe is for.
enum Job {
    Recovery(ProbeJob),
    /// A check of the host at this address.
    Check(HostCheck, Address),
}

/// A host to probe, and why.
struct ProbeJob {
    group: Arc<Group>,
    host: HostId,
    purpose: Purpose,
    priority: ProbePriority,
}

/// A host to probe, its address, and the source of the connection.
type Target = (HostId, Address, Option<SourceTurn>);

/// Identifies a probe under way: no host is probed twice at a time. A host with a new address, or
/// urgent now, is another probe, since the first may wait in a queue.
type ProbeId = (usize, HostId, Address, ProbePriority);

/// State of the recovery thread.
struct RecoveryLoop {
    shared: Arc<Mutex<Shared>>,
    prober: Prober<Job>,
    schedule: CheckSchedule,
    clock: Clock,
    under_way: HashSet<ProbeId>,
    check: IntervalTimer,
    heartbeat: IntervalTimer,
    all_failed_timer: IntervalTimer,
}

impl RecoveryLoop {
    fn new(shared: Arc<Mutex<Shared>>, prober: Prober<Job>, clock: Clock) -> RecoveryLoop {
        // Two balancers that start together check at other times.
        let seed = clock.wall_ms(0) ^ u64::from(std::process::id()) << 32;
        RecoveryLoop {
            shared,
            prober,
            schedule: CheckSchedule::new(seed),
            clock,
            under_way: HashSet::new(),
            check: IntervalTimer::default(),
            heartbeat: IntervalTimer::default(),
            all_failed_timer: IntervalTimer::default(),
        }
    }

    fn run(&mut self) {
        let clock = self.clock.clone();
        while let Some(probes) = self.plan(clock.now_ms()) {
            for probe in probes {
                if let Job::Recovery(job) = &probe.key {
                    self.under_way.insert(probe_id(job, &probe.address));
                }
                self.prober.begin(probe);
            }
            self.start_checks(clock.now_ms());
            let wait = self.longest_wait(clock.now_ms());
            match self.prober.wait(wait, || clock.now_ms()) {
                Ok(probed_hosts) => probed_hosts
                    .into_iter()
                    .for_each(|probed| self.apply_result(probed)),
                Err(error) => panic!("the recovery thread has no more events: {error}"),
            }
        }
    }

    fn longest_wait(&self, now_ms: u64) -> Duration {
        let due_ms = self.schedule.next_due_ms();
        let until_due_ms = due_ms.map_or(u64::MAX, |due_ms| due_ms.saturating_sub(now_ms));
        Duration::from_millis(until_due_ms.min(ALL_FAILED_INTERVAL_MS / 2))
    }

    /// The probes of failed hosts and heartbeats that are due; `None` when recovery ends.
    fn plan(&mut self, now_ms: u64) -> Option<Vec<Probe<Job>>> {
        let shared = Arc::clone(&self.shared);
        let mut shared = lock(&shared);
        if std::mem::take(&mut shared.has_changed) {
            let checks = shared.watched.groups.iter().flat_map(checks_of);
            self.schedule.set(checks, now_ms);
        }
        let Watched { groups, manager } = &shared.watched;
        let check = self.check.is_due(Some(manager.host_check), now_ms);
        let heartbeat = self.heartbeat.is_due(Some(manager.heartbeat), now_ms);
        let all_failed_due = self.all_failed_timer.is_due(None, now_ms);
        let mut jobs = Vec::new();
        // Checks wake this thread often: no pool is locked then.
        let is_any_due = check || heartbeat || all_failed_due;
        for watched in groups.iter().filter(|_| is_any_due) {
            let mut pool = watched.group.pool();
            let all_failed = watched.serves && (check || all_failed_due) && pool.all_failed();
            if check || all_failed {
                let hosts = pool.health_check_targets();
                let hosts = targets(&watched.group, &mut pool, hosts);
                let priority = |host| match (all_failed, pool.has_timed_out(host)) {
                    (false, _) => ProbePriority::Routine,
                    (true, false) => ProbePriority::Urgent,
                    (true, true) => ProbePriority::UrgentButSilent,
                };
                let hosts = (hosts, pool.send_proxy());
                jobs.extend(self.jobs(watched, hosts, Purpose::Check, priority));
            }
            if heartbeat {
                let hosts = pool.heartbeat_targets();
                let hosts = targets(&watched.group, &mut pool, hosts);
                let hosts = (hosts, pool.send_proxy());
                jobs.extend(self.jobs(watched, hosts, Purpose::Heartbeat, |_| {
                    ProbePriority::Routine
                }));
            }
        }
        (!shared.stopped).then_some(jobs)
    }

    fn jobs<'a>(
        &'a self,
        watched: &'a WatchedGroup,
        (hosts, send_proxy): (Vec<Target>, Option<ProxyVersion>),
        purpose: Purpose,
        priority: impl Fn(HostId) -> ProbePriority + 'a,
    ) -> impl Iterator<Item = Probe<Job>> + 'a {
        let job = move |(host, address, source)| {
            let job = ProbeJob {
                group: Arc::clone(&watched.group),
                host,
                purpose,
                priority: priority(host),
            };
            (job, address, source)
        };
        let jobs = hosts.into_iter().map(job);
        let is_new = |(job, address, _): &(ProbeJob, Address, Option<SourceTurn>)| {
            !self.under_way.contains(&probe_id(job, address))
        };
        jobs.filter(is_new)
            .map(move |(job, address, source)| Probe {
                source,
                group: group_address(&job.group),
                priority: job.priority,
                address,
                timeout_ms: probe_timeout_ms(watched.timeouts),
                send_proxy,
                dialogue: None,
                is_restarted: false,
                key: Job::Recovery(job),
            })
    }

    /// Starts the checks that are due.
    fn start_checks(&mut self, now_ms: u64) {
        while let Some(check) = self.schedule.take_due(now_ms) {
            let (target, send_proxy, source) = {
                let mut pool = check.group.pool();
                let source = pool.next_source(check.host.id);
                (pool.check_target(check.host), pool.send_proxy(), source)
            };
            let Some(address) = target.and_then(|target| target.address) else {
                self.schedule.ended(&check, false, now_ms);
                continue;
            };
            // With a port of its own, a check needs none of the host.
            let at = check.group.check_address(&address);
            let Some(at) = at.or_else(|| check.check.port.map(|_| address.clone())) else {
                self.schedule.ended(&check, false, now_ms);
                continue;
            };
            // An agent, or who answers checks elsewhere, is no host of the group.
            let is_host = check.check.decides() && check_address(&check.check, &at) == at;
            self.prober.begin(Probe {
                group: group_address(&check.group),
                priority: ProbePriority::Routine,
                address: check_address(&check.check, &at),
                source,
                timeout_ms: check_timeout_ms(&check.check),
                send_proxy: send_proxy.filter(|_| is_host),
                dialogue: Some(Dialogue::new(&check.check, &at)),
                is_restarted: false,
                key: Job::Check(check, address),
            });
        }
    }

    fn apply_result(&mut self, probed: ProbeResult<Job>) {
        let ProbeResult {
            key,
            address,
            verdict,
            took_ms,
        } = probed;
        match key {
            Job::Recovery(job) => {
                self.under_way.remove(&probe_id(&job, &address));
                let result = match verdict {
                    Some(Verdict::Passed) => Ok(()),
                    Some(Verdict::Failed(failure)) => Err(failure),
                    _ => return,
                };
                self.apply_probe(&job, (&address, took_ms), result);
            }
            Job::Check(check, address) => self.apply_check(&check, (&address, took_ms), verdict),
        }
    }

    fn apply_probe(
        &self,
        job: &ProbeJob,
        (address, took_ms): (&Address, u64),
        result: Result<(), Failure>,
    ) {
        let ProbeJob {
            group,
            host,
            purpose,
            priority: _,
        } = job;
        let now_ms = self.clock.now_ms();
        let (change, name) = {
            let mut pool = group.pool();
            let failure = result.as_ref().err().cloned();
            pool.record_check(*host, CheckResult::new(CheckKind::Tcp, took_ms, failure));
            let change = match purpose {
                Purpose::Check => pool.health_checked(*host, address, result, now_ms),
                Purpose::Heartbeat => pool.heartbeat_checked(*host, address, result, now_ms),
            };
            (change, pool.host_name(*host))
        };
        if let (Some(change), Some(name)) = (change, name) {
            group.log_health_change(*host, &name, &change, now_ms);
        }
    }

    /// Applies the verdict of a check of the host at `address`, which took so long.
    fn apply_check(
        &mut self,
        check: &HostCheck,
        (address, took_ms): (&Address, u64),
        verdict: Option<Verdict>,
    ) {
        let now_ms = self.clock.now_ms();
        let text = verdict.as_ref().map(Verdict::to_string);
        let at = (check.host, address);
        let (in_force, change, name, has_failed) = {
            let mut pool = check.group.pool();
            let failure = match &verdict {
                Some(Verdict::Passed) => Some(None),
                Some(Verdict::Failed(failure)) => Some(Some(failure.clone())),
                _ => None,
            };
            if let Some(failure) = failure {
                let result = CheckResult::new(check.check.kind, took_ms, failure);
                pool.record_check(check.host.id, result);
            }
            let mut checked = |result| pool.check_ended(at, &check.check, result, now_ms);
            let (in_force, change) = match verdict {
                Some(Verdict::Passed) => (None, checked(Ok(()))),
                Some(Verdict::Failed(failure)) => (None, checked(Err(failure))),
                Some(Verdict::Report(report)) => pool.agent_said(at, &check.check, &report, now_ms),
                Some(Verdict::NoReport(_)) | None => (None, None),
            };
            let target = pool.check_target(check.host);
            let has_failed = target.as_ref().is_some_and(|target| target.has_failed);
            let name = target.and_then(|_| pool.host_name(check.host.id));
            (in_force, change, name, has_failed)
        };
        self.schedule.ended(check, has_failed, now_ms);
        let Some(name) = name else { return };
        if let Some(text) = text.filter(|text| self.schedule.is_news(check, text)) {
            check.group.log_check(&name, check.check.kind, &text);
        }
        if let Some(in_force) = in_force {
            check
                .group
                .log_agent(check.host.id, &name, &in_force, now_ms);
        }
        if let Some(change) = change {
            check
                .group
                .log_health_change(check.host.id, &name, &change, now_ms);
        }
    }
}

/// The same hosts, each with the port to probe and the source of its next connection.
fn targets(group: &Group, pool: &mut HostPool, hosts: Vec<(HostId, Address)>) -> Vec<Target> {
    let target = |(host, address)| {
        let address = group.check_address(&address)?;
        Some((host, address, pool.next_source(host)))
    };
    hosts.into_iter().filter_map(target).collect()
}

/// The checks of all hosts of a group.
fn checks_of(watched: &WatchedGroup) -> Vec<HostCheck> {
    let pool = watched.group.pool();
    if pool.checks().is_empty() {
        return Vec::new();
    }
    let hosts = pool.checked_hosts();
    let checks = pool.checks().iter();
    let of_hosts = |check: &Arc<Check>| {
        let (group, check) = (Arc::clone(&watched.group), Arc::clone(check));
        let hosts = hosts.iter();
        hosts
            .map(move |host| HostCheck {
                group: Arc::clone(&group),
                host: *host,
                check: Arc::clone(&check),
            })
            .collect::<Vec<_>>()
    };
    checks.flat_map(of_hosts).collect()
}

/// A job holds its group, so the group's address in memory is not reused.
fn probe_id(job: &ProbeJob, address: &Address) -> ProbeId {
    (
        group_address(&job.group),
        job.host,
        address.clone(),
        job.priority,
    )
}

fn group_address(group: &Arc<Group>) -> usize {
    Arc::as_ptr(group) as usize
}

/// Time of the last run of a periodic task.
#[derive(Debug, Default)]
struct IntervalTimer {
    last_ms: u64,
}

impl IntervalTimer {
    /// Whether it is due. Without a task, the interval is a second.
    fn is_due(&mut self, task: Option<PeriodicTask>, now_ms: u64) -> bool {
        let interval_ms = task.map_or(ALL_FAILED_INTERVAL_MS, |task| {
            u64::try_from(task.interval.as_millis()).unwrap_or(u64::MAX)
        });
        let due = now_ms.saturating_sub(self.last_ms) >= interval_ms;
        if due {
            self.last_ms = now_ms;
        }
        due && task.is_none_or(|task| task.enable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Failure, HostPool};

    #[test]
    fn a_heartbeat_that_waits_holds_up_no_check_of_the_only_host() {
        let text = "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
                    <host name='a' ip='10.0.0.1:80'/></group></service>\
                    <manager><heartbeat interval='1' enable='1'/></manager></config>";
        let config = crate::config::read(text.as_bytes()).unwrap().config;
        let pool = HostPool::new(&config.services[0].groups[0], 1, 0);
        let group = Arc::new(Group::new("s", "g", pool));
        let shared = Arc::<Mutex<Shared>>::default();
        lock(&shared).watched = Watched {
            groups: vec![WatchedGroup {
                group: Arc::clone(&group),
                serves: true,
                timeouts: TimeoutsMs::default(),
            }],
            manager: config.manager,
        };
        let mut recovery = RecoveryLoop::new(shared, Prober::new(1).unwrap(), Clock::start());
        let mut planned = |now_ms| {
            let probes = recovery.plan(now_ms).unwrap();
            for probe in &probes {
                let Job::Recovery(job) = &probe.key else {
                    continue;
                };
                let probe_id = probe_id(job, &probe.address);
                assert!(recovery.under_way.insert(probe_id), "twice at a time");
            }
            let urgencies = probes.iter().map(|probe| probe.priority);
            urgencies.collect::<Vec<_>>()
        };
        assert_eq!(planned(10_000), [ProbePriority::Routine]);
        assert_eq!(planned(11_000), []);
        let (host, address) = group.pool().heartbeat_targets().remove(0);
        let client = std::net::IpAddr::from([10, 0, 0, 9]);
        let mut pool = group.pool();
        pool.connect_failed(host, &address, client, Failure::Refused, 11_500);
        drop(pool);
        assert_eq!(planned(12_000), [ProbePriority::Urgent]);
        assert_eq!(planned(13_000), []);
    }

    #[test]
    fn a_chore_is_due_once_an_interval_and_not_when_it_is_off() {
        let task = |enable| {
            Some(PeriodicTask {
                interval: Duration::from_secs(10),
                enable,
            })
        };
        let mut timer = IntervalTimer::default();
        assert!(!timer.is_due(task(true), 9_999));
        assert!(timer.is_due(task(true), 10_000));
        assert!(!timer.is_due(task(true), 19_999));
        assert!(!timer.is_due(task(false), 20_000));
        assert!(!timer.is_due(task(true), 29_999));
        assert!(timer.is_due(None, 21_000 + ALL_FAILED_INTERVAL_MS));
    }
}
