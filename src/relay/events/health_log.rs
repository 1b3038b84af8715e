//! Logs, records and publishes that a host failed or came back. Log lines have a rate limit for
//! each host, so that one that flaps does not flood the log.

use std::collections::HashMap;
use std::sync::Mutex;

use log::Level;

use super::RecentEvents;
use super::{Event, HostName, Topic};
use crate::balance::{Failure, HealthChange, HostId};
use crate::config::CheckKind;
use crate::log_targets;
use crate::non_printing::escape_non_printing;
use crate::sync::lock;

/// Lines about one host that may come at once.
const BURST: u32 = 6;

/// After the burst, one line about a host in this time.
const EVERY_MS: u64 = 30_000;

/// The health changes of a group's hosts: where they are recorded, and how often they were logged.
#[derive(Debug, Default)]
pub(crate) struct HealthLog {
    recent_events: Option<RecentEvents>,
    hosts: Mutex<HashMap<HostId, Allowance>>,
    /// The same for lines about hosts whose name has moved to another address.
    moves: Mutex<HashMap<HostId, Allowance>>,
    /// The same for lines about what agents say.
    agents: Mutex<HashMap<HostId, Allowance>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowance {
    lines: u32,
    refilled_ms: u64,
    suppressed: u64,
}

impl HealthLog {
    /// Records changes among these recent events, too.
    pub(crate) fn new(recent_events: RecentEvents) -> HealthLog {
        HealthLog {
            recent_events: Some(recent_events),
            ..HealthLog::default()
        }
    }

    /// Publishes, logs and records a change of a host's health.
    pub(crate) fn log_change(
        &self,
        id: HostId,
        host: HostName,
        change: &HealthChange,
        now_ms: u64,
    ) {
        let name = host.to_string().escape_debug().to_string();
        let failure = match change {
            HealthChange::Up => None,
            HealthChange::Down(failure) => Some(failure),
            // Neither up nor down: not recorded.
            HealthChange::Moved { failure, from, to } => {
                if let Some(suppressed) = take_line(&self.moves, id, now_ms) {
                    let (why, more) = (failure.to_string(), suppressed_text(suppressed));
                    let why = escape_non_printing(&why);
                    log::warn!(
                        target: log_targets::HEALTH,
                        "host {name} is at {to} now: {from} failed: {why}{more}"
                    );
                }
                return;
            }
        };
        self.publish(host, failure);
        let Some(suppressed) = self.allow_line(id, now_ms) else {
            return;
        };
        let more = suppressed_text(suppressed);
        let (level, topic, text) = match failure {
            None => (
                Level::Info,
                Topic::HostUp,
                format!("host {name} is up{more}"),
            ),
            Some(failure) => {
                // Quotes stay: a check says what was expected in quotes.
                let why = escape_non_printing(&failure.to_string());
                let text = format!("host {name} is down: {why}{more}");
                (Level::Warn, Topic::HostDown, text)
            }
        };
        log::log!(target: log_targets::HEALTH, level, "{text}");
        if let Some(recent_events) = &self.recent_events {
            recent_events.record(topic, text);
        }
    }

    /// Logs and records what the agent of a host has in force.
    pub(crate) fn log_agent(&self, id: HostId, host: &HostName, in_force: &str, now_ms: u64) {
        let Some(suppressed) = take_line(&self.agents, id, now_ms) else {
            return;
        };
        let name = host.to_string().escape_debug().to_string();
        let (in_force, more) = (escape_non_printing(in_force), suppressed_text(suppressed));
        let text = format!("agent of host {name} says {in_force}{more}");
        log::info!(target: log_targets::HEALTH, "{text}");
        if let Some(recent_events) = &self.recent_events {
            recent_events.record(Topic::Agent, text);
        }
    }

    /// Publishes each change, without a limit.
    fn publish(&self, host: HostName, failure: Option<&Failure>) {
        let Some(recent_events) = &self.recent_events else {
            return;
        };
        recent_events.event_bus().publish(|| match failure {
            None => Event::HostUp { host },
            Some(failure) => Event::HostDown {
                host,
                reason: failure.to_string(),
            },
        });
    }

    /// How many lines about the host were suppressed before this one; `None` if this one is, too.
    pub(crate) fn allow_line(&self, host: HostId, now_ms: u64) -> Option<u64> {
        take_line(&self.hosts, host, now_ms)
    }

    /// Whether both logged the same number of lines.
    #[cfg(test)]
    pub(crate) fn agrees_with(&self, other: &HealthLog) -> bool {
        *self.hosts.lock().unwrap() == *other.hosts.lock().unwrap()
    }
}

/// Logs the result of a check.
pub(crate) fn log_check(host: &HostName, kind: CheckKind, result: &str) {
    let (name, kind) = (host.to_string(), kind.as_str());
    let (name, result) = (name.escape_debug(), escape_non_printing(result));
    log::info!(target: log_targets::HEALTH, "check {kind} of host {name}: {result}");
}

fn take_line(hosts: &Mutex<HashMap<HostId, Allowance>>, host: HostId, now_ms: u64) -> Option<u64> {
    let mut hosts = lock(hosts);
    let allowance = hosts.entry(host).or_insert(Allowance {
        lines: BURST,
        refilled_ms: now_ms,
        suppressed: 0,
    });
    allowance.refill(now_ms);
    if allowance.lines == 0 {
        allowance.suppressed += 1;
        return None;
    }
    allowance.lines -= 1;
    Some(std::mem::take(&mut allowance.suppressed))
}

impl Allowance {
    fn refill(&mut self, now_ms: u64) {
        let refills = now_ms.saturating_sub(self.refilled_ms) / EVERY_MS;
        self.refilled_ms += refills * EVERY_MS;
        self.lines = self
            .lines
            .saturating_add(u32::try_from(refills).unwrap_or(BURST))
            .min(BURST);
    }
}

fn suppressed_text(suppressed: u64) -> String {
    match suppressed {
        0 => String::new(),
        _ => format!(" ({suppressed} such changes of this host were not logged)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_host_is_announced_in_a_burst_and_then_now_and_again() {
        let health_log = HealthLog::default();
        let host = HostId(1);
        let flap = |now_ms| health_log.allow_line(host, now_ms);
        let said = (0..1000)
            .filter(|second| flap(second * 1000).is_some())
            .count();
        assert_eq!(said, BURST as usize + 1000 / 30);
        assert_eq!(flap(1_100_000), Some(9));
    }

    #[test]
    fn one_host_does_not_use_up_the_lines_of_another() {
        let health_log = HealthLog::default();
        while health_log.allow_line(HostId(1), 0).is_some() {}
        assert_eq!(health_log.allow_line(HostId(2), 0), Some(0));
    }
}
