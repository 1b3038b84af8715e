//! Says in the log and the journal that a host went down or came back, not without limit:
//! a host that flaps does not drown everything else.
//!
//! Only the words and their number; who found out is somebody else's business.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use log::Level;

use super::event_bus::{Event, HostName};
use super::plan::Group;
use super::recent_events::Topic;
use crate::balance::{Failure, HealthChange, HostId};
use crate::log_targets;

/// Lines about one host that may come at once.
const BURST: u32 = 6;

/// After the burst, a line about a host comes only this often.
const EVERY_MS: u64 = 30_000;

/// What was said of a group's hosts lately.
#[derive(Debug, Default)]
pub(crate) struct HealthLog {
    hosts: Mutex<HashMap<HostId, Allowance>>,
    /// The same of those whose names have other addresses.
    moves: Mutex<HashMap<HostId, Allowance>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowance {
    lines: u32,
    renewed_ms: u64,
    unsaid: u64,
}

impl HealthLog {
    /// How many lines were left unsaid before this one, if it may be said.
    pub(super) fn may_say(&self, host: HostId, now_ms: u64) -> Option<u64> {
        take_one(&self.hosts, host, now_ms)
    }

    /// Whether the same was said here and there.
    #[cfg(test)]
    pub(super) fn agrees_with(&self, other: &HealthLog) -> bool {
        *self.hosts.lock().unwrap() == *other.hosts.lock().unwrap()
    }
}

fn take_one(hosts: &Mutex<HashMap<HostId, Allowance>>, host: HostId, now_ms: u64) -> Option<u64> {
    let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
    let allowance = hosts.entry(host).or_insert(Allowance {
        lines: BURST,
        renewed_ms: now_ms,
        unsaid: 0,
    });
    allowance.renew(now_ms);
    if allowance.lines == 0 {
        allowance.unsaid += 1;
        return None;
    }
    allowance.lines -= 1;
    Some(std::mem::take(&mut allowance.unsaid))
}

impl Allowance {
    fn renew(&mut self, now_ms: u64) {
        let renewals = now_ms.saturating_sub(self.renewed_ms) / EVERY_MS;
        self.renewed_ms += renewals * EVERY_MS;
        self.lines = self
            .lines
            .saturating_add(u32::try_from(renewals).unwrap_or(BURST))
            .min(BURST);
    }
}

/// Tells, logs and notes what has become of a host of `group`.
pub(crate) fn log_health_change(
    group: &Group,
    id: HostId,
    host: &str,
    change: &HealthChange,
    now_ms: u64,
) {
    let place = format!("{}:{}/{}", group.service, group.name, host)
        .escape_debug()
        .to_string();
    let down = match change {
        HealthChange::Up => None,
        HealthChange::Down(failure) => Some(failure),
        // Neither up nor down: nothing for the journal.
        HealthChange::Moved { failure, from, to } => {
            if let Some(unsaid) = take_one(&group.announcer().moves, id, now_ms) {
                let (why, more) = (failure.to_string(), unsaid_of(unsaid));
                let why = why.escape_debug();
                log::warn!(
                    target: log_targets::HEALTH,
                    "host {place} is at {to} now: {from} failed: {why}{more}"
                );
            }
            return;
        }
    };
    tell(group, host, down);
    let Some(unsaid) = group.announcer().may_say(id, now_ms) else {
        return;
    };
    let more = unsaid_of(unsaid);
    let (level, topic, text) = match down {
        None => (
            Level::Info,
            Topic::HostUp,
            format!("host {place} is up{more}"),
        ),
        Some(failure) => {
            let why = failure.to_string();
            let why = why.escape_debug();
            let text = format!("host {place} is down: {why}{more}");
            (Level::Warn, Topic::HostDown, text)
        }
    };
    log::log!(target: log_targets::HEALTH, level, "{text}");
    if let Some(journal) = group.journal() {
        journal.note(topic, text);
    }
}

fn unsaid_of(unsaid: u64) -> String {
    match unsaid {
        0 => String::new(),
        unsaid => format!(" ({unsaid} such changes of this host were not logged)"),
    }
}

/// Tells whoever listens: of all of it.
fn tell(group: &Group, host: &str, down: Option<&Failure>) {
    let Some(journal) = group.journal() else {
        return;
    };
    journal.news().tell(|| {
        let host = HostName {
            service: group.service.clone(),
            group: group.name.clone(),
            host: host.to_owned(),
        };
        match down {
            None => Event::HostUp { host },
            Some(failure) => Event::HostDown {
                host,
                reason: failure.to_string(),
            },
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_host_is_announced_in_a_burst_and_then_now_and_again() {
        let announcer = HealthLog::default();
        let host = HostId(1);
        let flap = |now_ms| announcer.may_say(host, now_ms);
        let said = (0..1000)
            .filter(|second| flap(second * 1000).is_some())
            .count();
        assert_eq!(said, BURST as usize + 1000 / 30);
        assert_eq!(flap(1_100_000), Some(9));
    }

    #[test]
    fn one_host_does_not_use_up_the_lines_of_another() {
        let announcer = HealthLog::default();
        while announcer.may_say(HostId(1), 0).is_some() {}
        assert_eq!(announcer.may_say(HostId(2), 0), Some(0));
    }
}
