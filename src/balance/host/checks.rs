//! How a host stands in the checks of its group, and what its agent says.

use super::{Failure, Health, HealthChange, Member};
use crate::balance::agent::{Agent, AgentReport};
use crate::balance::check_result::{CheckHealth, CheckResult};
use crate::config::Check;
use std::sync::Arc;

/// How a host stands in one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::balance) struct CheckState {
    verdict: Verdict,
    /// Passes in a row.
    passes: u16,
    /// Failures in a row.
    failures: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Verdict {
    #[default]
    Open,
    Passed,
    Failed,
}

impl CheckState {
    /// One pass is enough unless it has failed.
    fn pass(&mut self, rise: u16) {
        self.failures = 0;
        self.passes = self.passes.saturating_add(1);
        if self.verdict != Verdict::Failed || self.passes >= rise {
            self.verdict = Verdict::Passed;
        }
    }

    fn fail(&mut self, fall: u16) {
        self.passes = 0;
        self.failures = self.failures.saturating_add(1);
        if self.failures >= fall {
            self.verdict = Verdict::Failed;
        }
    }

    fn health(&self, check: &Check) -> CheckHealth {
        let (rise, fall) = (check.rise, check.fall);
        let most = rise.saturating_add(fall).saturating_sub(1);
        let health = match self.verdict {
            Verdict::Failed => self.passes.min(rise.saturating_sub(1)),
            Verdict::Open | Verdict::Passed => most.saturating_sub(self.failures).max(rise),
        };
        CheckHealth { rise, fall, health }
    }
}

impl Member {
    /// Gives it the checks of its group, each with its former index if it was there before.
    pub(in crate::balance) fn set_checks(&mut self, former: &[(&Check, Option<usize>)]) {
        // A host that has failed comes back by `rise` passes of a new check, too.
        let verdict = match self.has_failed() {
            true => Verdict::Failed,
            false => Verdict::Open,
        };
        let new = CheckState {
            verdict,
            ..CheckState::default()
        };
        let known = |index: &Option<usize>| self.checks.get((*index)?).copied().flatten();
        let state = |(check, index): &(&Check, _)| {
            let state = known(index).unwrap_or(new);
            Some(state).filter(|_| check.decides())
        };
        self.checks = former.iter().map(state).collect();
    }

    /// It is no host of the group any more: nobody checks it, or tells it which checks there are.
    pub(in crate::balance) fn forget_checks(&mut self) {
        self.checks.clear();
    }

    /// A probe or check of it ended so.
    pub(in crate::balance) fn record_check(&mut self, result: CheckResult) {
        let counts = result.failure.is_some() && !self.has_failed();
        self.failed_checks = self.failed_checks.saturating_add(u64::from(counts));
        self.last_check = Some(result);
    }

    /// How it stands in the check of `checks` that is nearest to a failure; `None` without checks.
    pub(in crate::balance) fn check_health(&self, checks: &[Arc<Check>]) -> Option<CheckHealth> {
        let states = self.checks.iter().zip(checks);
        let states = states.filter_map(|(state, check)| Some(state.as_ref()?.health(check)));
        states.min_by_key(|it| (it.health >= it.rise, it.health))
    }

    /// Whether checks decide about its health: a session that it accepts proves nothing then.
    pub(in crate::balance) fn is_judged_by_checks(&self) -> bool {
        self.states().next().is_some() || self.is_down_by_agent()
    }

    /// A connect to it succeeded: of a session, a health check or a heartbeat.
    pub(in crate::balance) fn connect_succeeded(&mut self, now_ms: u64) -> Option<HealthChange> {
        match self.is_judged_by_checks() {
            true => None,
            false => self.heal(now_ms),
        }
    }

    /// A connect to it failed.
    pub(in crate::balance) fn connect_failed(
        &mut self,
        failure: Failure,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.fail_checks();
        self.fail(failure, now_ms)
    }

    /// One of its checks had this result.
    pub(in crate::balance) fn check_ended(
        &mut self,
        (index, check): (usize, &Check),
        result: Result<(), Failure>,
        now_ms: u64,
    ) -> Option<HealthChange> {
        let state = self.checks.get_mut(index)?.as_mut()?;
        match result {
            Ok(()) => {
                state.pass(check.rise);
                self.judge_by_checks(now_ms)
            }
            Err(failure) => {
                state.fail(check.fall);
                (state.verdict == Verdict::Failed)
                    .then(|| self.fail(failure, now_ms))
                    .flatten()
            }
        }
    }

    fn states(&self) -> impl Iterator<Item = &CheckState> {
        self.checks.iter().flatten()
    }

    /// It is healthy if all checks hold.
    fn judge_by_checks(&mut self, now_ms: u64) -> Option<HealthChange> {
        let all_hold = self.states().all(|it| it.verdict == Verdict::Passed);
        (all_hold && !self.is_down_by_agent())
            .then(|| self.heal(now_ms))
            .flatten()
    }

    /// A session or the resolver found that it has failed: each check must pass again.
    pub(super) fn fail_checks(&mut self) {
        for state in self.checks.iter_mut().flatten() {
            (state.verdict, state.passes) = (Verdict::Failed, 0);
        }
    }

    /// It is looked at anew.
    pub(super) fn reset_checks(&mut self) {
        self.last_check = None;
        for state in self.checks.iter_mut().flatten() {
            *state = CheckState::default();
        }
        if let Some(agent) = &mut self.agent {
            agent.down = None;
        }
    }

    /// Its agent said something. Returns whether that changed what is in force, and its health.
    pub(in crate::balance) fn agent_said(
        &mut self,
        report: &AgentReport,
        now_ms: u64,
    ) -> (bool, Option<HealthChange>) {
        let agent = self.agent.get_or_insert_default();
        let was_down = agent.down.clone();
        let changed = agent.apply(report);
        let down = agent.down.clone();
        let health = match (was_down, down) {
            (_, Some(why)) => self.fail(agent_failure(&why), now_ms),
            (Some(why), None) => self.lift(&agent_failure(&why), now_ms),
            (None, None) => None,
        };
        (changed, health)
    }

    /// Its agent no longer says that it is down. Another failure stays.
    fn lift(&mut self, failure: &Failure, now_ms: u64) -> Option<HealthChange> {
        let has_other = self.states().any(|it| it.verdict == Verdict::Failed);
        match &self.health {
            Health::Failed(why) if why == failure && !has_other => {}
            _ => return None,
        }
        let has_checks = self.states().next().is_some();
        if has_checks && self.states().all(|it| it.verdict == Verdict::Passed) {
            return self.heal(now_ms);
        }
        self.set_health(Health::Untried, now_ms);
        Some(HealthChange::Up)
    }

    /// There is no agent any more: what it said is forgotten.
    pub(in crate::balance) fn forget_agent(&mut self, now_ms: u64) {
        if let Some(Agent {
            down: Some(why), ..
        }) = self.agent.take().as_deref()
        {
            self.lift(&agent_failure(why), now_ms);
        }
    }

    /// What its agent says, if it has said anything.
    pub(in crate::balance) fn agent(&self) -> Option<&Agent> {
        self.agent.as_deref()
    }

    /// Whether its agent, if there is one, lets it have new sessions.
    pub(in crate::balance) fn is_wanted_by_agent(&self) -> bool {
        self.agent().is_none_or(Agent::takes_sessions)
    }

    /// Whether it has as many sessions as its agent allows.
    pub(in crate::balance) fn is_full(&self) -> bool {
        self.agent().is_some_and(|agent| agent.is_full(self.open))
    }

    /// Whether its agent says that it is down.
    pub(in crate::balance) fn is_down_by_agent(&self) -> bool {
        self.agent().is_some_and(|agent| agent.down.is_some())
    }
}

fn agent_failure(why: &str) -> Failure {
    Failure::Check(format!("the agent says {why}"))
}
