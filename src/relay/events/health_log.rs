//! Logs, records and publishes that a host failed or came back. Log lines have a rate limit for
//! each host, so that one that flaps does not flood the log.

use std::collections::HashMap;
use std::sync::Mutex;

use log::Level;

use super::RecentEvents;
use super::{Event, HostName, Topic};
use crate::balance::{HealthChange, HostId};
use crate::config::{CheckKind, HostAddress};
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
    /// The same for lines about hosts whose name has moved to another address, or that are suspect.
    others: Mutex<HashMap<HostId, Allowance>>,
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
        self.publish(host, change);
        let allowances = match change {
            HealthChange::Up | HealthChange::Down(_) => &self.hosts,
            HealthChange::Moved { .. } | HealthChange::Suspect | HealthChange::Cleared => {
                &self.others
            }
        };
        let Some(suppressed) = take_line(allowances, id, now_ms) else {
            return;
        };
        let more = suppressed_text(suppressed);
        let (level, topic, text) = describe(&name, change);
        let text = text + &more;
        log::log!(target: log_targets::HEALTH, level, "{text}");
        if let (Some(recent_events), Some(topic)) = (&self.recent_events, topic) {
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

    /// Logs and records that the last session of a host out of service has ended. It has no limit:
    /// the host gets no new ones.
    pub(crate) fn log_emptied(&self, host: &HostName) {
        let text = format!("host {} is empty", host.to_string().escape_debug());
        log::info!(target: log_targets::HEALTH, "{text}");
        if let Some(recent_events) = &self.recent_events {
            recent_events.record(Topic::HostEmpty, text);
        }
    }

    /// Publishes each change, without a limit.
    fn publish(&self, host: HostName, change: &HealthChange) {
        let Some(recent_events) = &self.recent_events else {
            return;
        };
        let bus = recent_events.event_bus();
        match change {
            HealthChange::Up => bus.publish(|| Event::HostUp { host }),
            HealthChange::Down(failure) => bus.publish(|| Event::HostDown {
                host,
                reason: failure.to_string(),
            }),
            HealthChange::Suspect => bus.publish(|| Event::HostSuspect { host }),
            HealthChange::Cleared => bus.publish(|| Event::HostCleared { host }),
            // Neither up nor down.
            HealthChange::Moved { .. } => {}
        }
    }

    /// Takes a line about the host, for tests: as [`take_line`].
    #[cfg(test)]
    pub(crate) fn allow_line(&self, host: HostId, now_ms: u64) -> Option<u64> {
        take_line(&self.hosts, host, now_ms)
    }

    /// Whether both logged the same number of lines.
    #[cfg(test)]
    pub(crate) fn agrees_with(&self, other: &HealthLog) -> bool {
        *self.hosts.lock().unwrap() == *other.hosts.lock().unwrap()
    }
}

/// The line about a change of the host `name`, and the topic under which it is recorded.
fn describe(name: &str, change: &HealthChange) -> (Level, Option<Topic>, String) {
    match change {
        HealthChange::Up => {
            let text = format!("host {name} is up");
            (Level::Info, Some(Topic::HostUp), text)
        }
        HealthChange::Down(failure) => {
            // Quotes stay: a check says what was expected in quotes.
            let why = escape_non_printing(&failure.to_string());
            let text = format!("host {name} is down: {why}");
            (Level::Warn, Some(Topic::HostDown), text)
        }
        HealthChange::Moved { failure, from, to } => {
            let why = escape_non_printing(&failure.to_string());
            let (from, to) = (HostAddress(from), HostAddress(to));
            let text = format!("host {name} is at {to} now: {from} failed: {why}");
            (Level::Warn, None, text)
        }
        HealthChange::Suspect => {
            let text = format!(
                "host {name} is suspect: it has ended 20 sessions in a row before its first byte, \
                 while others serve"
            );
            (Level::Warn, Some(Topic::HostSuspect), text)
        }
        HealthChange::Cleared => {
            let text = format!("host {name} is no longer suspect: it serves again");
            (Level::Info, Some(Topic::HostCleared), text)
        }
    }
}

/// Logs the result of a check.
pub(crate) fn log_check(host: &HostName, kind: CheckKind, result: &str) {
    let (name, kind) = (host.to_string(), kind.as_str());
    let (name, result) = (name.escape_debug(), escape_non_printing(result));
    log::info!(target: log_targets::HEALTH, "check {kind} of host {name}: {result}");
}

/// How many lines about the host were suppressed before this one; `None` if this one is, too.
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
