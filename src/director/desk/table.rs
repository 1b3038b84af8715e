//! What is told to people: tables of at most 78 columns, so that there are 80 with the
//! indentation of an answer, or of as many as are wanted.
//!
//! How numbers and times are said is `words`' business.

use crate::balance::Health;
use crate::calendar::Moment;
use crate::config::HostState;
use crate::config::verb::{Batch, Command, Verb, options, table as commands};
use crate::director::status::{
    GroupStatus, HostStatus, Outcome, ServiceStatus, Sessions, Status, StoredStatus,
};
use crate::director::width;
use crate::director::words::{age, bytes, count, cut, fill, wrap};
use crate::relay::SessionStatus;
use commands::{CommandSchema, Takes};

/// No line of a table is longer, unless more is wanted.
const WIDTH: usize = super::Form::COLUMNS as usize;

/// What nobody has a narrower screen than: tables may be wider than that one.
const NARROWEST: usize = 20;

/// How wide the columns are that may be wider than in 78: names and addresses.
#[derive(Clone, Copy)]
struct Layout {
    /// The whole line.
    columns: usize,
    first: usize,
    second: usize,
}

impl Layout {
    /// Columns of at least these two widths: what there is to spare goes to the first
    /// and then to the second, as long as their longest texts need it.
    fn new(columns: usize, least: [usize; 2], longest: [usize; 2]) -> Layout {
        let spare = columns.saturating_sub(WIDTH);
        let first = longest[0].saturating_sub(least[0]).min(spare);
        let second = longest[1].saturating_sub(least[1]).min(spare - first);
        Layout {
            columns: columns.max(NARROWEST),
            first: least[0] + first,
            second: least[1] + second,
        }
    }

    fn wrap(&self, text: &str, indent: &str) -> Vec<String> {
        wrap(text, self.columns, indent)
    }
}

fn longest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(width::columns).max().unwrap_or(0)
}

/// How everything is.
pub(super) fn status(status: &Status, columns: usize) -> Vec<String> {
    let groups = status.services.iter().flat_map(|it| &it.groups);
    let hosts = || groups.clone().flat_map(|it| &it.hosts);
    let names = longest(hosts().map(|it| it.name.as_str()));
    let addresses = longest(hosts().map(|it| it.endpoint.as_str()));
    let layout = Layout::new(columns, [12, 21], [names, addresses]);
    let up_ms = status.wall_ms.saturating_sub(status.started_wall_ms);
    let about = format!(
        "txlb {}, process {}, up {}, {} workers, generation {}",
        status.version,
        status.process,
        age(up_ms),
        status.workers,
        status.generation
    );
    let sessions = format!(
        "sessions: {} open, room for {}",
        status.open, status.capacity
    );
    let mut lines = layout.wrap(&about, "  ");
    lines.extend(layout.wrap(&sessions, "  "));
    lines.extend(stored(&status.stored, layout));
    for it in &status.services {
        lines.push(String::new());
        lines.extend(service(it, status.wall_ms, layout));
    }
    lines
}

fn stored(stored: &StoredStatus, layout: Layout) -> Vec<String> {
    let Some(file) = &stored.file else {
        return vec!["config: no file".to_owned()];
    };
    let mut lines = layout.wrap(&format!("config: {}", file.display()), "  ");
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
        lines.extend(layout.wrap(&told, "  "));
    }
    lines
}

fn service(service: &ServiceStatus, now_ms: u64, layout: Layout) -> Vec<String> {
    let addresses: Vec<_> = service.addresses.iter().map(ToString::to_string).collect();
    let head = format!(
        "service {} at {}: {} open, {} in all",
        service.name,
        addresses.join(", "),
        service.open,
        service.total
    );
    let mut lines = layout.wrap(&head, "  ");
    for it in &service.groups {
        lines.extend(group(it, it.name == service.enabled, now_ms, layout));
    }
    lines
}

fn group(group: &GroupStatus, enabled: bool, now_ms: u64, layout: Layout) -> Vec<String> {
    let enabled = if enabled { ", enabled" } else { "" };
    let head = format!(
        "group {} ({}){enabled}: {} open",
        group.name, group.scheduler, group.open
    );
    let mut lines = layout.wrap(&head, "  ");
    if !group.hosts.is_empty() {
        let heads = ["host", "address", "wt", "state", "open", "total", "bytes"];
        lines.push(row(heads, layout));
    }
    for it in &group.hosts {
        lines.extend(host(it, now_ms, layout));
    }
    lines
}

fn host(host: &HostStatus, now_ms: u64, layout: Layout) -> Vec<String> {
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
    let cells = [
        &host.name,
        &host.endpoint,
        &host.weight.to_string(),
        &state,
        &count(u64::from(host.open)),
        &count(host.total),
        &bytes(totals.bytes_to_host.saturating_add(totals.bytes_to_client)),
    ];
    let mut lines = vec![row(cells.map(String::as_str), layout)];
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
        lines.extend(layout.wrap(&what, "      "));
    }
    lines
}

/// A row of the hosts' table: numbers to the right.
fn row(cells: [&str; 7], layout: Layout) -> String {
    let [name, address, weight, state, open, total, bytes] = cells;
    let row = format!(
        "  {} {} {weight:>4} {} {open:>6} {total:>7} {bytes:>7}",
        fill(name, layout.first),
        fill(address, layout.second),
        fill(state, 13)
    );
    cut(&row, layout.columns)
}

/// The open sessions.
pub(super) fn sessions(sessions: &Sessions, columns: usize) -> Vec<String> {
    let rows: Vec<_> = sessions.list.iter().map(session).collect();
    let column = |index: usize| longest(rows.iter().map(|row| row[index].as_str()));
    let layout = Layout::new(columns, [21, 14], [column(0), column(1)]);
    let mut lines = Vec::new();
    if !rows.is_empty() {
        let heads = [
            "client",
            "service/host",
            "age",
            "idle",
            "to host",
            "to cl.",
            "doing",
        ];
        lines.push(session_row(heads, layout));
    }
    lines.extend(rows.iter().map(|row| {
        let cells = row.each_ref().map(String::as_str);
        session_row(cells, layout)
    }));
    if sessions.more > 0 {
        lines.extend(layout.wrap(&format!("and {} more", sessions.more), ""));
    }
    lines
}

fn session(session: &SessionStatus) -> [String; 7] {
    let host = session.host.as_deref().unwrap_or("-");
    [
        session.client.to_string(),
        format!("{}/{host}", session.service),
        age(session.age_ms),
        age(session.idle_ms),
        bytes(session.bytes_to_host),
        bytes(session.bytes_to_client),
        session.phase.as_str().to_owned(),
    ]
}

fn session_row(cells: [&str; 7], layout: Layout) -> String {
    let [client, place, age, idle, to_host, to_client, phase] = cells;
    let row = format!(
        "{} {} {age:>6} {idle:>6} {to_host:>7} {to_client:>7} {}",
        fill(client, layout.first),
        fill(place, layout.second),
        cut(phase, 11)
    );
    cut(&row, layout.columns)
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
