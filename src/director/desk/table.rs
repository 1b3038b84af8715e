//! What is told to people: tables of at most 78 columns, so that there are 80 with the
//! indentation of an answer.
//!
//! How numbers and times are said is `words`' business.

use crate::balance::Health;
use crate::calendar::Moment;
use crate::config::HostState;
use crate::config::verb::{Batch, Command, Verb, options, table as commands};
use crate::director::status::{
    GroupStatus, HostStatus, Outcome, ServiceStatus, Sessions, Status, StoredStatus,
};
use crate::director::words::{age, bytes, count, cut, wrap};
use crate::relay::SessionStatus;
use commands::{CommandSchema, Takes};

/// No line of a table is longer.
const WIDTH: usize = 78;

/// How everything is.
pub(super) fn status(status: &Status) -> Vec<String> {
    let up_ms = status.wall_ms.saturating_sub(status.started_wall_ms);
    let mut lines = vec![
        format!(
            "txlb {}, process {}, up {}, {} workers, generation {}",
            status.version,
            status.process,
            age(up_ms),
            status.workers,
            status.generation
        ),
        format!(
            "sessions: {} open, room for {}",
            status.open, status.capacity
        ),
    ];
    lines.extend(stored(&status.stored));
    for it in &status.services {
        lines.push(String::new());
        lines.extend(service(it, status.wall_ms));
    }
    lines
}

fn stored(stored: &StoredStatus) -> Vec<String> {
    let Some(file) = &stored.file else {
        return vec!["config: no file".to_owned()];
    };
    let mut lines = wrap(&format!("config: {}", file.display()), WIDTH, "  ");
    lines.push(match stored.unsaved {
        0 => "unsaved: nothing".to_owned(),
        number => format!("unsaved: {}", super::reload::number_of_changes(number)),
    });
    let done = |what, outcome: &Option<Outcome>| {
        outcome.as_ref().map(|Outcome { wall_ms, result }| {
            let at = Moment::of(*wall_ms).iso();
            match result {
                Ok(()) => format!("config: last {what} at {at}"),
                Err(error) => format!("config: last {what} failed at {at}: {error}"),
            }
        })
    };
    for told in [
        done("reload", &stored.last_reload),
        done("save", &stored.last_save),
    ]
    .into_iter()
    .flatten()
    {
        lines.extend(wrap(&told, WIDTH, "  "));
    }
    lines
}

fn service(service: &ServiceStatus, now_ms: u64) -> Vec<String> {
    let addresses: Vec<_> = service.addresses.iter().map(ToString::to_string).collect();
    let head = format!(
        "service {} at {}: {} open, {} in all",
        service.name,
        addresses.join(", "),
        service.open,
        service.total
    );
    let mut lines = wrap(&head, WIDTH, "  ");
    for it in &service.groups {
        lines.extend(group(it, it.name == service.enabled, now_ms));
    }
    lines
}

fn group(group: &GroupStatus, enabled: bool, now_ms: u64) -> Vec<String> {
    let enabled = if enabled { ", enabled" } else { "" };
    let head = format!(
        "group {} ({}){enabled}: {} open",
        group.name, group.scheduler, group.open
    );
    let mut lines = wrap(&head, WIDTH, "  ");
    if !group.hosts.is_empty() {
        lines.push(row([
            "host", "address", "wt", "state", "open", "total", "bytes",
        ]));
    }
    for it in &group.hosts {
        lines.extend(host(it, now_ms));
    }
    lines
}

fn host(host: &HostStatus, now_ms: u64) -> Vec<String> {
    let health = match &host.health {
        Health::Healthy => "healthy",
        Health::Untried => "untried",
        Health::Failed(_) => "FAILED",
    };
    let state = match host.state {
        HostState::Up => health.to_owned(),
        state => format!("{}/{health}", state.as_str()),
    };
    let totals = &host.totals;
    let mut lines = vec![row([
        &host.name,
        &host.endpoint,
        &host.weight.to_string(),
        &state,
        &count(u64::from(host.open)),
        &count(host.total),
        &bytes(totals.bytes_to_host.saturating_add(totals.bytes_to_client)),
    ])];
    if let Some((why, at_ms)) = &host.last_failure {
        let since = match host.health {
            Health::Failed(_) => host.since_wall_ms,
            _ => *at_ms,
        };
        let ago = age(now_ms.saturating_sub(since));
        let what = match host.health {
            Health::Failed(_) => format!("failed for {ago}: {why}"),
            _ => format!("last failed {ago} ago: {why}"),
        };
        let what = format!("    {what}; {} failed connects", host.failures);
        lines.extend(wrap(&what, WIDTH, "      "));
    }
    lines
}

/// A row of the hosts' table: numbers to the right.
fn row(cells: [&str; 7]) -> String {
    let [name, address, weight, state, open, total, bytes] = cells;
    format!(
        "  {:12} {:21} {weight:>4} {:13} {open:>6} {total:>7} {bytes:>7}",
        cut(name, 12),
        cut(address, 21),
        cut(state, 13)
    )
}

/// The open sessions.
pub(super) fn sessions(sessions: &Sessions) -> Vec<String> {
    let mut lines = Vec::new();
    if !sessions.list.is_empty() {
        lines.push(session_row([
            "client",
            "service/host",
            "age",
            "idle",
            "to host",
            "to cl.",
            "doing",
        ]));
    }
    lines.extend(sessions.list.iter().map(session));
    if sessions.more > 0 {
        lines.push(format!("and {} more", sessions.more));
    }
    lines
}

fn session(session: &SessionStatus) -> String {
    let host = session.host.as_deref().unwrap_or("-");
    session_row([
        &session.client.to_string(),
        &format!("{}/{host}", session.service),
        &age(session.age_ms),
        &age(session.idle_ms),
        &bytes(session.bytes_to_host),
        &bytes(session.bytes_to_client),
        session.phase.as_str(),
    ])
}

fn session_row(cells: [&str; 7]) -> String {
    let [client, place, age, idle, to_host, to_client, phase] = cells;
    format!(
        "{:21} {:14} {age:>6} {idle:>6} {to_host:>7} {to_client:>7} {}",
        cut(client, 21),
        cut(place, 14),
        cut(phase, 11)
    )
}

/// Verbs as a script, passwords hidden.
pub(super) fn script(verbs: &[Verb]) -> Vec<String> {
    let around = |batch| (verbs.len() > 1).then(|| Command::Batch(batch).to_string());
    let lines = verbs.iter().map(Verb::to_string);
    around(Batch::Begin)
        .into_iter()
        .chain(lines)
        .chain(around(Batch::Commit))
        .collect()
}

/// The commands, or what one of them takes.
pub(super) fn help(command: Option<&CommandSchema>) -> Vec<String> {
    match command {
        None => commands::commands()
            .iter()
            .flat_map(|it| {
                let line = format!("{:15} {}", it.name, it.summary);
                wrap(&line, WIDTH, &" ".repeat(16))
            })
            .collect(),
        Some(it) => {
            let usage = format!("{} {}", it.name, it.synopsis());
            let mut lines = wrap(usage.trim_end(), WIDTH, "    ");
            lines.extend(wrap(it.summary, WIDTH, ""));
            if it.keys.iter().any(|key| key.takes == Takes::OptionName) {
                lines.extend(
                    options()
                        .iter()
                        .map(|option| format!("    {}", option.path)),
                );
            }
            lines
        }
    }
}

#[cfg(test)]
mod tests;
