//! How a host is, in a word for people and for the style sheet.
//!
//! Why it is so, and since when, is told beside the word.

use super::html::{Element, el};
use crate::config::HostState;
use crate::control::{GroupStatus, Health, HostStatus};

/// How a host is: what the operator wants of it comes first, then what is seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It gets new sessions, and its last connect succeeded.
    Up,
    /// It would get sessions, and nobody has tried it.
    Untried,
    /// It has failed, though it is wanted.
    Failed,
    /// Its weight is 0: no new sessions.
    Weightless,
    /// No new sessions, and some are left.
    Draining,
    /// No new sessions, and none is left.
    Drained,
    /// Switched off by the operator.
    Down,
}

impl State {
    pub(super) fn of(host: &HostStatus) -> State {
        match (host.state, &host.health) {
            (HostState::Down, _) => State::Down,
            (HostState::Drain, _) if host.open > 0 => State::Draining,
            (HostState::Drain, _) => State::Drained,
            (HostState::Up, _) if host.weight == 0 => State::Weightless,
            (HostState::Up, Health::Failed(_)) => State::Failed,
            (HostState::Up, Health::Healthy) => State::Up,
            (HostState::Up, Health::Untried) => State::Untried,
        }
    }

    /// Whether new sessions are given to it, and nothing speaks against it.
    pub(super) fn is_usable(self) -> bool {
        matches!(self, State::Up | State::Untried)
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Untried => "untried",
            State::Failed => "failed",
            State::Weightless => "weight 0",
            State::Draining => "draining",
            State::Drained => "drained",
            State::Down => "admin down",
        }
    }

    /// The word, in its colour.
    pub(super) fn element(self) -> Element {
        el("span").class(self.class()).text(self.words())
    }

    fn class(self) -> &'static str {
        match self {
            State::Up => "state up",
            State::Untried => "state untried",
            State::Failed => "state failed",
            State::Weightless | State::Draining | State::Drained => "state drain",
            State::Down => "state down",
        }
    }
}

/// The hosts of a group that new sessions could go to.
pub(super) fn usable(group: &GroupStatus) -> usize {
    let states = group.hosts.iter().map(State::of);
    states.filter(|state| state.is_usable()).count()
}

/// `1 host`, `2 hosts`.
pub(super) fn number_of(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

/// How everybody calls a host: `web:main/one`.
pub(super) fn place(service: &str, group: &str, host: &str) -> String {
    format!("{service}:{group}/{host}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;
    use crate::balance::Failure;

    #[test]
    fn what_is_wanted_comes_before_what_is_seen() {
        let of = |state, weight, open, health| {
            let mut host = scene::host("one");
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
