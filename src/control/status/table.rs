//! Status, sessions, diff and help as lines of text. Tables have 78 columns by default: 80 with
//! the indentation of a response.

use super::{GroupStatus, HostStatus, Outcome, ServiceStatus, Sessions, Status, StoredStatus};
use crate::balance::Health;
use crate::calendar::UtcTime;
use crate::config::HostState;
use crate::config::ValueKind;
use crate::config::verb::{Batch, Command, Verb, options, table as commands};
use crate::non_printing::escape_non_printing;
use crate::relay::{Backend, Escaped, SessionStatus};
use crate::text::{
    address_ranges, age, bytes, columns as columns_of, count, cut, fill, plural, wrap,
};
use commands::CommandSchema;

/// Default width of tables.
pub(in crate::control) const COLUMNS: u16 = 78;
const WIDTH: usize = COLUMNS as usize;

/// The narrowest layout of tables.
const NARROWEST: usize = 20;

/// Widths of a table: the two columns that grow with the line are names and addresses.
#[derive(Clone, Copy)]
struct Layout {
    /// The whole line.
    columns: usize,
    first: usize,
    second: usize,
}

impl Layout {
    /// Columns of at least these widths. Spare width goes to the first and then to the second, up
    /// to their longest texts.
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
    texts.map(columns_of).max().unwrap_or(0)
}

/// The status.
pub(in crate::control) fn status(status: &Status, columns: usize) -> Vec<String> {
    let groups = status.services.iter().flat_map(|it| &it.groups);
    let hosts = || groups.clone().flat_map(|it| &it.hosts);
    let names = longest(hosts().map(|it| it.name.as_str()));
    let addresses = longest(hosts().map(|it| it.endpoint.as_str()));
    let layout = Layout::new(columns, [12, 21], [names, addresses]);
    let up_ms = status.wall_ms.saturating_sub(status.started_wall_ms);
    let name = match status.name.as_str() {
        "" => String::new(),
        name => format!(", named {name}"),
    };
    let about = format!(
        "txlb {}, process {}, up {}, {} workers, generation {}{name}",
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
    if status.resigned {
        lines.extend(layout.wrap("resigned: not ready, until 'resume'", "  "));
    }
    for process in &status.draining {
        lines.extend(layout.wrap(&format!("draining: {process}"), "  "));
    }
    lines.extend(stored(&status.stored, layout));
    for it in &status.services {
        lines.push(String::new());
        lines.extend(service(it, status.wall_ms, layout));
    }
    if status.only_problems && status.services.is_empty() {
        lines.push("no problems".to_owned());
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
        number => format!("unsaved: {}", plural(number, "change")),
    });
    let done = |what, outcome: &Option<Outcome>| {
        outcome.as_ref().map(|Outcome { wall_ms, result }| {
            let at = UtcTime::of(*wall_ms).iso();
            match result {
                Ok(()) => format!("config: last {what} at {at}"),
                Err(error) => format!("config: last {what} failed at {at}: {error}"),
            }
        })
    };
    for text in [
        done("reload", &stored.last_reload),
        done("save", &stored.last_save),
    ]
    .into_iter()
    .flatten()
    {
        lines.extend(layout.wrap(&text, "  "));
    }
    lines
}

/// Routes that are listed of a service.
const MOST_ROUTES: usize = 20;

fn service(service: &ServiceStatus, now_ms: u64, layout: Layout) -> Vec<String> {
    let addresses = address_ranges(&service.addresses);
    let head = format!(
        "service {} at {}: {} open, {} in all",
        service.name,
        addresses.join(", "),
        service.open,
        service.total
    );
    let mut lines = layout.wrap(&head, "  ");
    for (number, route) in (1..).zip(service.routes.iter().take(MOST_ROUTES)) {
        lines.extend(layout.wrap(&format!("route {number}: {}", route.words()), "  "));
    }
    if let Some(more) = service.routes.len().checked_sub(MOST_ROUTES + 1) {
        lines.push(format!("and {}", plural(more + 1, "more route")));
    }
    for it in &service.groups {
        let serves = match it.name == service.enabled {
            true => ", enabled",
            false if service.serves(&it.name) => ", by route",
            false => "",
        };
        lines.extend(group(it, serves, now_ms, layout));
    }
    lines
}

fn group(group: &GroupStatus, serves: &str, now_ms: u64, layout: Layout) -> Vec<String> {
    let head = format!(
        "group {} ({}){serves}: {} open",
        group.name, group.scheduler, group.open
    );
    let mut lines = layout.wrap(&head, "  ");
    for it in &group.each {
        lines.extend(layout.wrap(&it.words(), "  "));
    }
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
    let state = match host.wanted_state() {
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
    let notes = host.notes();
    if !notes.is_empty() {
        lines.extend(layout.wrap(&format!("    {}", notes.join("; ")), "      "));
    }
    if let Some(emptied_ms) = host.emptied_wall_ms {
        let ago = age(now_ms.saturating_sub(emptied_ms));
        lines.push(cut(&format!("    empty for {ago}"), layout.columns));
    }
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

/// A row of the table of hosts, numbers to the right.
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

/// The open sessions, a line each. Where that is too wide, the host has a line of its own.
pub(in crate::control) fn sessions(sessions: &Sessions, columns: usize) -> Vec<String> {
    if sessions.list.is_empty() && sessions.more == 0 {
        let text = match sessions.is_part {
            true => "no session matches",
            false => "no session is open",
        };
        return vec![text.to_owned()];
    }
    let columns = columns.max(NARROWEST);
    let mut rows = vec![SESSION_HEADS.map(str::to_owned)];
    rows.extend(sessions.list.iter().map(session));
    let widths: [usize; 8] =
        std::array::from_fn(|index| longest(rows.iter().map(|row| row[index].as_str())));
    let is_wide = widths.iter().sum::<usize>() + widths.len() - 1 <= columns;
    let (heads, rows) = rows.split_at(1);
    let mut lines = Vec::new();
    let heads = heads.iter().filter(|_| !rows.is_empty());
    lines.extend(heads.map(|heads| session_row(heads, widths, is_wide)));
    for (row, session) in rows.iter().zip(&sessions.list) {
        lines.push(session_row(row, widths, is_wide));
        let host = (!is_wide).then(|| format!("on {}", row[HOST_COLUMN]));
        let told: Vec<_> = host.into_iter().chain(first_bytes(session)).collect();
        if !told.is_empty() {
            lines.extend(wrap(&format!("  {}", told.join("; ")), columns, "    "));
        }
    }
    if sessions.more > 0 {
        lines.push(format!("and {} more", sessions.more));
    }
    lines
        .iter()
        .map(|line| cut(line.trim_end(), columns))
        .collect()
}

const SESSION_HEADS: [&str; 8] = [
    "id", "client", "host", "age", "idle", "to host", "to cl.", "doing",
];

/// The column that a narrow table leaves out.
const HOST_COLUMN: usize = 2;

fn session(session: &SessionStatus) -> [String; 8] {
    let host = session.host.as_deref().unwrap_or("-");
    let group = Backend(&session.service, &session.group);
    [
        format!("{:x}", session.id),
        session.client.to_string(),
        escape_non_printing(&format!("{group}/{}", Escaped(host))),
        age(session.age_ms),
        age(session.idle_ms),
        bytes(session.bytes_to_host),
        bytes(session.bytes_to_client),
        session.phase.as_str().to_owned(),
    ]
}

/// What the first bytes of a session's client have told.
fn first_bytes(session: &SessionStatus) -> impl Iterator<Item = String> {
    let via = session.via.as_ref().map(|via| format!("via {via}"));
    let name = session.server_name.as_ref();
    let name = name.map(|name| format!("asks for {name}"));
    via.into_iter().chain(name)
}

/// A row of the table of sessions, figures to the right.
fn session_row(cells: &[String; 8], widths: [usize; 8], is_wide: bool) -> String {
    let cells = cells.iter().zip(widths).enumerate();
    let shown = cells.filter(|(index, _)| is_wide || *index != HOST_COLUMN);
    let shown = shown.map(|(index, (cell, width))| match index {
        3..=6 => format!("{cell:>width$}"),
        _ => fill(cell, width),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Verbs as a script. Passwords are hidden.
pub(in crate::control) fn script(verbs: &[Verb]) -> Vec<String> {
    let around = |batch| (verbs.len() > 1).then(|| Command::Batch(batch).to_string());
    let lines = verbs.iter().map(Verb::to_string);
    around(Batch::Begin)
        .into_iter()
        .chain(lines)
        .chain(around(Batch::Commit))
        .collect()
}

/// All commands, or the keys of one.
pub(in crate::control) fn help(command: Option<&CommandSchema>) -> Vec<String> {
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
            if it
                .keys()
                .iter()
                .any(|key| key.value_kind == ValueKind::OptionName)
            {
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
mod tests {
    //! Tables with long contents.

    use super::*;
    use crate::config::HostState;
    use crate::os::address::Address;
    use crate::relay::Phase;

    fn host_status(name: &str, health: Health) -> HostStatus {
        HostStatus {
            address: None,
            health,
            since_wall_ms: 1_000,
            open: 3,
            busy: 3,
            total: 1234,
            failures: 2,
            ..HostStatus::example(name)
        }
    }

    fn scene(service: &str, hosts: Vec<HostStatus>) -> Status {
        let group = GroupStatus {
            open: 3,
            ..GroupStatus::example("main", hosts)
        };
        Status {
            wall_ms: 3_601_000,
            started_wall_ms: 1_000,
            process: 77,
            version: "2.0.0",
            workers: 2,
            generation: 5,
            open: 3,
            capacity: 9_400,
            services: vec![ServiceStatus {
                addresses: vec![Address::Ip("127.0.0.1:8080".parse().unwrap())],
                open: 3,
                total: 1234,
                ..ServiceStatus::example(service, vec![group])
            }],
            ..Status::default()
        }
    }

    #[test]
    fn the_status_says_how_each_host_is() {
        let mut healthy = host_status("one", Health::Healthy);
        healthy.totals.bytes_to_client = 3 << 20;
        healthy.last_failure = Some(("no route to it".to_owned(), 1_000));
        let mut failed = host_status("two", Health::Failed(crate::balance::Failure::Refused));
        failed.since_wall_ms = 3_000_000;
        failed.last_failure = Some(("connection refused".to_owned(), 3_600_000));
        let mut drained = host_status("three", Health::Untried);
        drained.state = HostState::Drain;
        let mut scene = scene("web", vec![healthy, failed, drained]);
        scene.stored = StoredStatus {
            file: Some("/etc/txlb/config.xml".into()),
            unsaved: 2,
            last_reload: Some(Outcome {
                wall_ms: 0,
                result: Err("/etc/txlb/config.xml:1:1: the file is empty".to_owned()),
            }),
            last_save: None,
        };
        let text = status(&scene, WIDTH).join("\n");
        assert_eq!(
            text,
            "\
txlb 2.0.0, process 77, up 1 h, 2 workers, generation 5
sessions: 3 open, room for 9400
config: /etc/txlb/config.xml
unsaved: 2 changes
config: last reload failed at 1970-01-01T00:00:00.000Z:
  /etc/txlb/config.xml:1:1: the file is empty

service web at 127.0.0.1:8080: 3 open, 1234 in all
group main (leastc), enabled: 3 open
  host         address                 wt state           open   total   bytes
  one          10.0.0.1:80              1 healthy            3    1234 3.0 MiB
    last failed 1 h ago: no route to it; 2 failed connects
  two          10.0.0.1:80              1 FAILED             3    1234     0 B
    failed for 10 min: connection refused; 2 failed connects
  three        10.0.0.1:80              1 drain/untried      3    1234     0 B"
        );
    }

    fn session_status(client: &str, service: &str) -> SessionStatus {
        let mut session = SessionStatus::example();
        session.client = Address::Ip(client.parse().unwrap());
        session.service = service.to_owned();
        session
    }

    #[test]
    fn sessions_are_a_line_each() {
        let text = Sessions {
            list: vec![session_status("10.0.0.9:33333", "web")],
            more: 7,
            is_part: true,
        };
        assert_eq!(
            sessions(&text, WIDTH).join("\n"),
            "\
id            client         host           age idle to host  to cl. doing
1000000000002 10.0.0.9:33333 web:main/one 2 min  5 s   512 B 1.0 MiB relaying
and 7 more"
        );
        // Nothing is cut for lack of width but what comes last.
        assert_eq!(
            sessions(&text, 70).join("\n"),
            "\
id            client           age idle to host  to cl. doing
1000000000002 10.0.0.9:33333 2 min  5 s   512 B 1.0 MiB relaying
  on web:main/one
and 7 more"
        );
    }

    #[test]
    fn it_is_said_that_there_is_no_session() {
        let mut none = Sessions::default();
        assert_eq!(sessions(&none, WIDTH), ["no session is open"]);
        none.is_part = true;
        assert_eq!(sessions(&none, WIDTH), ["no session matches"]);
    }

    #[test]
    fn help_for_options_lists_them() {
        let lines = help(commands::command("setOption"));
        for path in ["manager.hostCheck.interval", "control.socket"] {
            assert!(lines.iter().any(|line| line.trim() == path), "{lines:?}");
        }
    }

    #[test]
    fn nothing_is_wider_than_the_screen() {
        for letter in ["ä", "東", "e\u{301}"] {
            check_widths(&letter.repeat(85));
        }
        let helped = commands::commands().iter().flat_map(|it| help(Some(it)));
        for line in help(None).into_iter().chain(helped) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    fn check_widths(long: &str) {
        let mut host = host_status(long, Health::Healthy);
        host.endpoint = format!("{long}:80");
        host.state = HostState::Down;
        host.weight = 1000;
        host.open = u32::MAX;
        host.total = u64::MAX;
        host.totals.bytes_to_host = u64::MAX;
        host.last_failure = Some((long.to_owned(), 0));
        let mut scene = scene(long, vec![host]);
        scene.stored.file = Some(long.into());
        let mut session = session_status("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", long);
        session.phase = Phase::HalfClosed;
        session.age_ms = 9_999 * 86_400_000;
        session.idle_ms = session.age_ms;
        session.bytes_to_host = u64::MAX;
        session.bytes_to_client = 1_048_575;
        let text = Sessions {
            list: vec![session],
            more: usize::MAX,
            is_part: false,
        };
        for columns in [20, 40, WIDTH, 100, 400] {
            let lines = status(&scene, columns).into_iter();
            for line in lines.chain(sessions(&text, columns)) {
                assert!(columns_of(&line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn letters_of_two_columns_keep_the_table_straight() {
        let hosts = ["東京", "ab"].map(|name| host_status(name, Health::Healthy));
        let lines = status(&scene("web", hosts.into()), WIDTH);
        let rows = lines.iter().filter(|line| line.contains(" healthy "));
        let places: Vec<_> = rows
            .map(|row| columns_of(&row[..row.find(" healthy ").unwrap()]))
            .collect();
        assert!(
            matches!(places[..], [one, other] if one == other),
            "{lines:?}"
        );
    }

    #[test]
    fn a_wide_screen_shows_names_and_addresses_uncut() {
        let name = "a name of more than twelve letters";
        let endpoint = "a-host-somewhere-else.example.org:8080";
        let mut host = host_status(name, Health::Healthy);
        host.endpoint = endpoint.to_owned();
        let scene = scene("web", vec![host, host_status("one", Health::Healthy)]);
        let lines = status(&scene, 160);
        let row = lines.iter().find(|line| line.contains(name)).unwrap();
        assert!(row.contains(&format!("{name} {endpoint} ")), "{row}");
        // All rows have the same columns, no wider than needed.
        let other = lines.iter().find(|line| line.contains(" one ")).unwrap();
        assert_eq!(row.len(), other.len());
        assert!(row.len() < 160);

        let client = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";
        let text = Sessions {
            list: vec![session_status(client, "a long name of a service")],
            more: 0,
            is_part: false,
        };
        let lines = sessions(&text, 160).join("\n");
        assert!(lines.contains(client), "{lines}");
        let host = "a%20long%20name%20of%20a%20service:main/one";
        assert!(lines.contains(&format!(" {host} ")), "{lines}");
        // However narrow, the id is whole.
        let narrow = sessions(&text, 0);
        assert_eq!(narrow[0].chars().count(), 20);
        assert!(narrow[1].starts_with("1000000000002 "), "{narrow:?}");
    }
}
