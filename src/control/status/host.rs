//! A host in the snapshot: its figures, and what follows from them.

use super::Now;
use crate::balance::{self, Agent, CheckHealth, CheckResult, Failure, Health, Totals, Wanted};
use crate::config::HostState;
use crate::non_printing::escape_non_printing;
use crate::os::address::Address;

/// One host.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Its address, as configured.
    pub endpoint: String,
    /// Its resolved address; `None` while its name has none.
    pub address: Option<Address>,
    /// Its weight.
    pub weight: u32,
    /// What the operator wants of it.
    pub state: HostState,
    /// Whether it gets sessions only while no other host of the group can.
    pub backup: bool,
    /// Whether it gets none before it has passed a check.
    pub pending: bool,
    /// Whether it ends sessions quickly, before its first byte, while others serve.
    pub suspect: bool,
    /// The percentage of its share that it has in slow start; `None` without one.
    pub slow_start_percent: Option<u32>,
    /// What is seen of it: healthy, failed or untried.
    pub health: Health,
    /// When its health changed last, in milliseconds since 1970.
    pub since_wall_ms: u64,
    /// How often it has failed.
    pub times_failed: u32,
    /// For how long it has failed so far, in milliseconds, the present failure included.
    pub down_ms: u64,
    /// How its last probe or check ended; `None` before the first, and after a reset.
    pub last_check: Option<CheckResult>,
    /// Probes and checks that failed while it had not failed.
    pub failed_checks: u64,
    /// How it stands in the check that is nearest to a failure; `None` without checks.
    pub check_health: Option<CheckHealth>,
    /// Sessions open now.
    pub open: u32,
    /// The most sessions that were open at the same time.
    pub peak_open: u32,
    /// Those of them that count for schedulers: the host has not ended its side.
    pub busy: u32,
    /// Sessions it has served so far.
    pub total: u64,
    /// Sessions in each of the last 60 minutes, the oldest first. The last minute is not over.
    pub recent: Vec<u32>,
    /// Of these minutes, how many there were since the host was configured: the last ones.
    pub known_minutes: usize,
    /// Sessions in ten seconds, at the rate of the last five seconds.
    pub per_ten_seconds: u32,
    /// The most sessions of a second.
    pub peak_per_second: u32,
    /// Connects that failed so far.
    pub failures: u64,
    /// The last failure, and when, in milliseconds since 1970. It stays when the host is healthy
    /// again.
    pub last_failure: Option<(String, u64)>,
    /// What its agent says; `None` if it has none, or that has said nothing.
    pub agent: Option<Agent>,
    /// When its last session ended since it was drained or set down, in milliseconds since 1970.
    pub emptied_wall_ms: Option<u64>,
    /// The host of the file that stands for it, if it is a member of a name.
    pub member_of: Option<String>,
    /// Its bytes and connects.
    pub totals: Totals,
}

pub(super) fn host(now: &Now, status: &balance::HostStatus<'_>) -> HostStatus {
    HostStatus {
        name: status.host.name.clone(),
        endpoint: status.endpoint.to_string(),
        address: status.address.cloned(),
        weight: status.weight,
        state: status.state,
        backup: status.backup,
        pending: status.pending,
        suspect: status.suspect,
        slow_start_percent: status
            .slow_start
            .map(|it| it.percent(now.now_ms))
            .filter(|percent| *percent < 100),
        health: status.health.clone(),
        since_wall_ms: now.wall_ms(status.since_ms),
        times_failed: status.times_failed,
        down_ms: status.down_ms(now.now_ms),
        last_check: status.last_check.cloned(),
        failed_checks: status.failed_checks,
        check_health: status.check_health,
        open: status.open,
        peak_open: status.peak_open,
        busy: status.busy,
        total: status.total,
        recent: status.recent.by_minute(now.now_ms).to_vec(),
        known_minutes: status.recent.known_minutes(now.now_ms),
        per_ten_seconds: status.recent.per_ten_seconds(now.now_ms),
        peak_per_second: status.recent.peak_per_second(),
        failures: status.failures,
        last_failure: status
            .last_failure
            .map(|(failure, at_ms)| (failure.to_string(), now.wall_ms(*at_ms))),
        agent: status.agent.cloned(),
        emptied_wall_ms: status.emptied_ms.map(|at_ms| now.wall_ms(at_ms)),
        member_of: None,
        totals: status.host.counters.sum(),
    }
}

impl HostStatus {
    /// Whether new sessions may go to it: it is up, has a weight and an address, has not failed, and
    /// waits for no check, and its agent does not object.
    pub fn is_usable(&self) -> bool {
        let in_service = self.state == HostState::Up && self.weight_in_force() > 0 && !self.pending;
        let agent = self.agent.as_ref();
        in_service
            && self.address.is_some()
            && agent.is_none_or(Agent::takes_sessions)
            && !matches!(self.health, Health::Failed(_))
    }

    /// Whether something is wrong with it that no operator wanted: it has failed, is suspect, waits
    /// for its first check, has failed that, or has no address.
    pub fn has_problem(&self) -> bool {
        let is_wrong = match self.health {
            Health::Failed(_) => true,
            Health::Untried => self.check_failure().is_some(),
            Health::Healthy => false,
        };
        self.wanted_state() == HostState::Up
            && (is_wrong || self.suspect || self.pending || self.address.is_none())
    }

    /// Why its last probe or check failed; `None` if it passed, or there was none.
    pub fn check_failure(&self) -> Option<&Failure> {
        self.last_check.as_ref()?.failure.as_ref()
    }

    /// How long its last probe or check took, in milliseconds.
    pub fn check_ms(&self) -> Option<u32> {
        self.last_check.as_ref().map(|check| check.took_ms)
    }

    /// Its weight, or the share of it that its agent wants.
    pub fn weight_in_force(&self) -> u32 {
        let agent = self.agent.as_ref();
        agent.map_or(self.weight, |agent| agent.weigh(self.weight))
    }

    /// What is wanted of it, by the operator or else by its agent.
    pub fn wanted_state(&self) -> HostState {
        let by_agent = self.agent.as_ref().map(Agent::wanted);
        match (self.state, by_agent) {
            (HostState::Up, Some(Wanted::Drain)) => HostState::Drain,
            (HostState::Up, Some(Wanted::Maint)) => HostState::Down,
            (state, _) => state,
        }
    }
}

impl HostStatus {
    /// What is special about it, in words.
    pub(crate) fn notes(&self) -> Vec<String> {
        let suspect = "suspect: it ends sessions before its first byte, while others serve";
        // A host that has failed says why anyway.
        let is_failed = matches!(self.health, Health::Failed(_));
        let pending = match is_failed || self.check_failure().is_some() {
            true => "gets no sessions before a check passes",
            false => "waits for its first check",
        };
        let flags = [
            (self.suspect, suspect),
            (self.pending, pending),
            (self.backup, "backup"),
        ];
        let flags = flags.into_iter().filter(|(holds, _)| *holds);
        let flags = flags.map(|(_, words)| words.to_owned());
        let percent = self.slow_start_percent.iter();
        let slow_start = percent.map(|percent| format!("slow start: {percent} % of its share"));
        let busy = (self.busy < self.open).then(|| format!("{} busy", self.busy));
        let agent = self.agent.iter();
        let agent =
            agent.map(|agent| format!("agent: {}", escape_non_printing(&agent.to_string())));
        let check = self.check_failure().filter(|_| !is_failed).into_iter();
        let check = check.map(|why| {
            let why = why.to_string();
            format!("its last check failed: {}", escape_non_printing(&why))
        });
        let flags = flags.chain(check).chain(agent);
        flags.chain(slow_start).chain(busy).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CheckKind;

    #[test]
    fn an_untried_host_whose_check_failed_has_a_problem() {
        let with = |health: &Health, failure: Option<Failure>| HostStatus {
            health: health.clone(),
            last_check: Some(CheckResult::new(CheckKind::Http, 3, failure)),
            ..HostStatus::example("one")
        };
        let refused = Some(Failure::Refused);
        let untried = with(&Health::Untried, refused.clone());
        assert!(untried.has_problem() && untried.is_usable());
        assert_eq!(
            untried.notes(),
            ["its last check failed: connection refused"]
        );
        assert!(!with(&Health::Untried, None).has_problem());
        assert!(!HostStatus::example("one").has_problem());
        // One failure of a healthy host may be no more than that.
        assert!(!with(&Health::Healthy, refused.clone()).has_problem());
        let failed = with(&Health::Failed(Failure::Refused), refused);
        assert!(failed.has_problem());
        assert_eq!(failed.notes(), [""; 0]);
        let pending = HostStatus {
            pending: true,
            ..failed
        };
        assert_eq!(pending.notes(), ["gets no sessions before a check passes"]);
        let down = HostStatus {
            state: HostState::Down,
            ..untried
        };
        assert!(!down.has_problem());
    }
}
