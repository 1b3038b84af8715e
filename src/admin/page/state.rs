//! The state of a host in one word.

use super::html::{Element, el};
use crate::config::HostState;
use crate::control::{Health, HostStatus};

/// The state of a host: what is wanted (up, drain, down) comes before what is seen
/// (healthy, failed, untried).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It gets new sessions, and its last connect succeeded.
    Up,
    /// It gets sessions, but ends them quickly before its first byte.
    Suspect,
    /// It would get sessions, and was not tried yet.
    Untried,
    /// It waits for its first check.
    Pending,
    /// It is wanted, and has failed.
    Failed,
    /// Its weight is 0: no new sessions.
    Weightless,
    /// Draining, with open sessions.
    Draining,
    /// Draining, without open sessions.
    Drained,
    /// Taken down by an operator.
    Down,
}

impl State {
    pub(super) fn of(host: &HostStatus) -> State {
        match (host.wanted_state(), &host.health) {
            (HostState::Down, _) => State::Down,
            (HostState::Drain, _) if host.open > 0 => State::Draining,
            (HostState::Drain, _) => State::Drained,
            (HostState::Up, _) if host.weight_in_force() == 0 => State::Weightless,
            (HostState::Up, Health::Failed(_)) => State::Failed,
            (HostState::Up, _) if host.pending => State::Pending,
            (HostState::Up, _) if host.suspect => State::Suspect,
            (HostState::Up, Health::Healthy) => State::Up,
            (HostState::Up, Health::Untried) => State::Untried,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            State::Up => "healthy",
            State::Suspect => "suspect",
            State::Untried => "untried",
            State::Pending => "not checked yet",
            State::Failed => "failed",
            State::Weightless => "weight 0",
            State::Draining => "draining",
            State::Drained => "drained",
            State::Down => "down",
        }
    }

    /// The state as a coloured word.
    pub(super) fn element(self) -> Element {
        el("span").class(self.class()).text(self.words())
    }

    fn class(self) -> &'static str {
        match self {
            State::Up => "state up",
            State::Untried | State::Pending => "state untried",
            State::Suspect => "state failed",
            State::Failed => "state failed",
            State::Weightless | State::Draining | State::Drained => "state drain",
            State::Down => "state down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use crate::balance::Failure;

    #[test]
    fn what_is_wanted_comes_before_what_is_seen() {
        let of = |state, weight, open, health| {
            let mut host = samples::host("one");
            (host.state, host.weight) = (state, weight);
            (host.open, host.health) = (open, health);
            State::of(&host)
        };
        let failed = || Health::Failed(Failure::Refused);
        assert_eq!(of(HostState::Up, 1, 0, failed()), State::Failed);
        assert_eq!(of(HostState::Up, 0, 0, failed()), State::Weightless);
        assert_eq!(of(HostState::Drain, 0, 1, failed()), State::Draining);
        assert_eq!(of(HostState::Drain, 1, 0, Health::Healthy), State::Drained);
        assert_eq!(of(HostState::Down, 1, 1, Health::Healthy), State::Down);
        assert_eq!(of(HostState::Up, 1, 0, Health::Untried), State::Untried);
    }
}
