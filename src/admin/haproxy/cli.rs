//! Commands of HAProxy's own command line, for hatop and monitoring agents: they only read. One that
//! would change something is refused, with the verb that does it.
//!
//! Source: "Unix Socket commands" in HAProxy's management guide. As there, a line may have several
//! commands behind semicolons, each answer ends with an empty line, and the connection ends after
//! the line unless `prompt` has been said.

use std::fmt::Write as _;

use super::csv::{self, Selection};
use super::{ServerStatus, advice, check_status, proxies};
use crate::balance::Health;
use crate::config::HostState;
use crate::control::{Handle, HostStatus, Status};
use crate::os::address::Address;

/// The state of a conversation.
#[derive(Debug, Default)]
pub(in crate::admin) struct HaproxyCli {
    /// Answers are followed by a prompt, and the connection goes on.
    is_prompting: bool,
}

/// What follows from a line.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::admin) struct CliAnswer {
    pub(in crate::admin) text: String,
    /// The connection ends.
    pub(in crate::admin) ends: bool,
}

/// A command.
#[derive(Debug, PartialEq, Eq)]
enum CliCommand {
    Stat(Selection),
    Info,
    /// `None` is of all groups.
    ServersState(Option<String>),
    Prompt,
    /// Of no meaning here.
    SetTimeout,
    Quit,
    /// It would change something: the verb that does.
    Refused(String),
    Unknown(String),
}

/// Version of the layout of `show servers state`.
const STATE_VERSION: &str = "1";

const STATE_COLUMNS: &str = "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
    srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
    srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port \
    srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port";

impl HaproxyCli {
    /// The answer to a line; `None` if the line is none of HAProxy's.
    pub(in crate::admin) fn answer(&mut self, line: &str, handle: &Handle) -> Option<CliAnswer> {
        self.answer_with(line, || handle.status())
    }

    fn answer_with(&mut self, line: &str, status: impl Fn() -> Status) -> Option<CliAnswer> {
        let line = line.trim_matches(['\r', ' ']);
        if !self.is_prompting && !is_of_haproxy(line) {
            return None;
        }
        let mut answer = CliAnswer {
            text: String::new(),
            ends: false,
        };
        for command in line.split(';').map(str::trim).filter(|it| !it.is_empty()) {
            match CliCommand::parse(command) {
                CliCommand::Stat(which) => push_csv(&status(), &which, &mut answer.text),
                CliCommand::Info => push_info(&status(), &mut answer.text),
                CliCommand::ServersState(group) => {
                    push_states(&status(), group.as_deref(), &mut answer.text);
                }
                CliCommand::Prompt => self.is_prompting = !self.is_prompting,
                CliCommand::SetTimeout => {}
                CliCommand::Quit => answer.ends = true,
                CliCommand::Refused(verb) => {
                    let _ = writeln!(
                        answer.text,
                        "Not done: HAProxy's commands only read here. Say it as txlb does: {verb}"
                    );
                }
                CliCommand::Unknown(command) => push_unknown(&command, &mut answer.text),
            }
            answer.text.push('\n');
        }
        match self.is_prompting {
            true => answer.text.push_str("> "),
            false => answer.ends = true,
        }
        Some(answer)
    }
}

/// Whether a line begins with a command of HAProxy's. No verb of txlb does.
fn is_of_haproxy(line: &str) -> bool {
    let words: Vec<_> = line.split([' ', ';']).filter(|it| !it.is_empty()).collect();
    let reads = matches!(words[..], ["prompt" | "show", ..] | ["set", "timeout", ..]);
    reads || advice::is_command(&words)
}

impl CliCommand {
    fn parse(command: &str) -> CliCommand {
        let words: Vec<_> = command.split_whitespace().collect();
        let unknown = || CliCommand::Unknown(command.to_owned());
        match words[..] {
            ["show", "stat", ref which @ ..] => {
                Selection::parse(which).map_or_else(unknown, CliCommand::Stat)
            }
            ["show", "info"] => CliCommand::Info,
            ["show", "servers", "state"] => CliCommand::ServersState(None),
            ["show", "servers", "state", group] => CliCommand::ServersState(Some(group.to_owned())),
            ["prompt", ..] => CliCommand::Prompt,
            ["set", "timeout", "cli", _] => CliCommand::SetTimeout,
            ["quit" | "exit"] => CliCommand::Quit,
            ref words if advice::is_command(words) => CliCommand::Refused(advice::verb(words)),
            _ => unknown(),
        }
    }
}

fn push_unknown(command: &str, text: &mut String) {
    let _ = writeln!(
        text,
        "Unknown command: '{}', but maybe one of the following ones is a better match:\n  \
         show stat [<iid> <type> <sid>]  : report counters for each proxy and server\n  \
         show info                       : report information about the running process\n  \
         show servers state [<backend>]  : report the state of servers\n  \
         prompt                          : toggle interactive mode with prompt\n  \
         quit                            : disconnect\n\
         This is txlb: what changes something is said in its own words, see txlbctl(8).",
        command.escape_debug()
    );
}

fn push_csv(status: &Status, which: &Selection, text: &mut String) {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = csv::write_selected(status, which, &mut bytes);
    text.push_str(&String::from_utf8_lossy(&bytes));
}

/// The lines that agents look for. What txlb has none of is left out.
fn push_info(status: &Status, text: &mut String) {
    let up_s = status.wall_ms.saturating_sub(status.started_wall_ms) / 1000;
    let (days, hours) = (up_s / 86_400, up_s / 3600 % 24);
    let (minutes, seconds) = (up_s / 60 % 60, up_s % 60);
    let total: u64 = status.services.iter().map(|service| service.total).sum();
    let lines: [(&str, String); 19] = [
        ("Name", "txlb".to_owned()),
        ("Version", status.version.to_owned()),
        ("Release_date", "-".to_owned()),
        ("Nbproc", "1".to_owned()),
        ("Nbthread", status.workers.to_string()),
        ("Process_num", "1".to_owned()),
        ("Pid", status.process.to_string()),
        (
            "Uptime",
            format!("{days}d {hours}h{minutes:02}m{seconds:02}s"),
        ),
        ("Uptime_sec", up_s.to_string()),
        ("Maxconn", status.capacity.to_string()),
        ("Hard_maxconn", status.capacity.to_string()),
        ("CurrConns", status.open.to_string()),
        ("CumConns", total.to_string()),
        ("Maxpipes", "0".to_owned()),
        ("PipesUsed", "0".to_owned()),
        ("Tasks", status.open.to_string()),
        ("Run_queue", "0".to_owned()),
        ("Stopping", u8::from(status.stopping).to_string()),
        // In HAProxy, too, this one begins small.
        ("node", word(&status.name)),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "{name}: {value}");
    }
}

/// A name as one word that is there.
fn word(name: &str) -> String {
    match name {
        "" => "-".to_owned(),
        name => crate::control::Escaped(name).to_string(),
    }
}

/// A line for each host of all groups, or of one.
fn push_states(status: &Status, group: Option<&str>, text: &mut String) {
    let proxies = proxies(status);
    let is_asked = |name: &str| group.is_none_or(|group| group == name);
    if !proxies.iter().any(|(_, it)| is_asked(&it.name)) && group.is_some() {
        text.push_str("Can't find backend.\n");
        return;
    }
    let _ = writeln!(text, "{STATE_VERSION}\n# {STATE_COLUMNS}");
    for (id, proxy) in proxies.iter().filter(|(_, it)| is_asked(&it.name)) {
        for (host, number) in proxy.group.hosts.iter().zip(1..) {
            let changed_s = status.wall_ms.saturating_sub(host.since_wall_ms) / 1000;
            let address = host.address.as_ref();
            let ip = address
                .and_then(Address::ip)
                .map_or_else(|| "-".to_owned(), |it| it.to_string());
            let port = address.and_then(Address::port).unwrap_or(0);
            let _ = writeln!(
                text,
                "{id} {} {number} {} {ip} {} {} {} {} {changed_s} {} {} {} 6 0 0 0 - {port} - 0 0 - - 0",
                proxy.name,
                word(&host.name),
                op_state(host),
                admin_state(host),
                host.weight_in_force(),
                host.weight,
                check_number(host),
                check_result(host),
                host.check_health.map_or(0, |it| it.health),
            );
        }
    }
}

/// `srv_check_status`: that of the last check; before the first, what sessions have seen as one by
/// connecting, 6 passed and 8 failed, and 1 for not checked.
fn check_number(host: &HostStatus) -> u8 {
    match (&host.last_check, &host.health) {
        (Some(check), _) => check_status(check).1,
        (None, Health::Healthy) => 6,
        (None, Health::Untried) => 1,
        (None, Health::Failed(_)) => 8,
    }
}

/// `srv_check_result`: 1 none, 2 failed, 3 passed.
fn check_result(host: &HostStatus) -> u8 {
    match (&host.last_check, &host.health) {
        (Some(check), _) if check.failure.is_some() => 2,
        (None, Health::Failed(_)) => 2,
        (Some(_), _) | (None, Health::Healthy) => 3,
        (None, Health::Untried) => 1,
    }
}

/// `srv_op_state`: 0 stopped, 1 starting, 2 running, 3 stopping.
fn op_state(host: &HostStatus) -> u8 {
    match ServerStatus::of(host) {
        ServerStatus::Down | ServerStatus::Maint => 0,
        ServerStatus::Up if host.slow_start_percent.is_some() => 1,
        ServerStatus::Up | ServerStatus::Nolb => 2,
        ServerStatus::Drain => 3,
    }
}

/// `srv_admin_state`: 1 is maintenance by an operator, 8 a drain.
fn admin_state(host: &HostStatus) -> u8 {
    match host.wanted_state() {
        HostState::Up => 0,
        HostState::Drain => 8,
        HostState::Down => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::haproxy::samples::{nasty, small};

    fn ask(cli: &mut HaproxyCli, line: &str) -> Option<(String, bool)> {
        let answer = cli.answer_with(line, small)?;
        Some((answer.text, answer.ends))
    }

    #[test]
    fn what_is_no_command_of_haproxy_is_left_to_txlb() {
        for line in [
            "status",
            "setOption name=a value=b",
            "set",
            "",
            "showing",
            "quit",
        ] {
            assert_eq!(ask(&mut HaproxyCli::default(), line), None, "{line}");
        }
    }

    #[test]
    fn without_a_prompt_a_line_is_answered_and_the_connection_ends() {
        let (text, ends) = ask(&mut HaproxyCli::default(), "show info;show stat\r").unwrap();
        assert!(ends);
        let (info, stat) = text.split_once("\n\n").unwrap();
        for line in [
            "Name: txlb",
            "Version: 2.0.0",
            "Pid: 42",
            "Uptime: 0d 0h01m00s",
            "Uptime_sec: 60",
            "CurrConns: 2",
            "node: lb1",
        ] {
            assert!(info.lines().any(|it| it == line), "{line}: {info}");
        }
        assert!(stat.starts_with("# pxname,svname,"), "{stat}");
        assert!(stat.ends_with(",\n\n"), "{stat}");
        assert_eq!(stat.lines().count(), 1 + 4 + 1);
        let (text, ends) = ask(&mut HaproxyCli::default(), "set weight web:main/one 5").unwrap();
        assert!(
            ends && text.ends_with(": setWeight web:main/one weight=5\n\n"),
            "{text}"
        );
    }

    #[test]
    fn after_prompt_the_connection_goes_on() {
        let mut cli = HaproxyCli::default();
        assert_eq!(ask(&mut cli, "prompt"), Some(("\n> ".to_owned(), false)));
        let timeout = ask(&mut cli, "set timeout cli 86400");
        assert_eq!(timeout, Some(("\n> ".to_owned(), false)));
        let (text, ends) = ask(&mut cli, "show stat").unwrap();
        assert!(text.ends_with(",\n\n> ") && !ends);
        let (text, ends) = ask(&mut cli, "disable server web:main/one").unwrap();
        assert!(
            text.ends_with(" Say it as txlb does: hostAdminDown web:main/one\n\n> "),
            "{text}"
        );
        assert!(!ends);
        assert_eq!(ask(&mut cli, "").unwrap(), ("> ".to_owned(), false));
        assert!(ask(&mut cli, "quit").unwrap().1);
    }

    #[test]
    fn stat_may_be_of_one_proxy_of_some_types_or_of_one_server() {
        let names = |line: &str| -> Vec<String> {
            let (text, _) = ask(&mut HaproxyCli::default(), line).unwrap();
            let rows = text.lines().skip(1).filter(|line| !line.is_empty());
            let cells = |row: &str| row.split(',').take(2).collect::<Vec<_>>().join("/");
            rows.map(cells).collect()
        };
        assert_eq!(names("show stat").len(), 4);
        assert_eq!(names("show stat -1 4 -1"), ["web:main/one", "web:main/two"]);
        assert_eq!(names("show stat -1 1 -1"), ["web/FRONTEND"]);
        assert_eq!(names("show stat web:main 2 -1"), ["web:main/BACKEND"]);
        assert_eq!(names("show stat 2 4 2"), ["web:main/two"]);
        let (text, _) = ask(&mut HaproxyCli::default(), "show stat typed").unwrap();
        assert!(text.starts_with("Unknown command"), "{text}");
    }

    #[test]
    fn the_state_of_a_server_is_a_line_of_25_words() {
        let mut cli = HaproxyCli::default();
        let (text, _) = ask(&mut cli, "show servers state").unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "1");
        assert_eq!(
            lines[2],
            "2 web:main 1 one 10.0.0.1 2 0 5 5 59 6 3 0 6 0 0 0 - 80 - 0 0 - - 0"
        );
        assert_eq!(
            lines[3],
            "2 web:main 2 two - 0 0 1 1 59 13 2 1 6 0 0 0 - 0 - 0 0 - - 0"
        );
        let nasty = cli.answer_with("show servers state", nasty).unwrap().text;
        for line in nasty.lines().skip(2).filter(|line| !line.is_empty()) {
            assert_eq!(line.split(' ').count(), 25, "{line}");
        }
        let (text, _) = ask(&mut cli, "show servers state web:main").unwrap();
        assert_eq!(text.lines().count(), 2 + 2 + 1);
        let (text, _) = ask(&mut cli, "show servers state none").unwrap();
        assert_eq!(text, "Can't find backend.\n\n");
    }

    /// As telegraf and Datadog's agent read it: the header's names, a row a line, numbers where
    /// there are some.
    #[test]
    fn agents_find_their_columns() {
        let (text, _) = ask(&mut HaproxyCli::default(), "show stat").unwrap();
        let mut lines = text.lines();
        let header: Vec<_> = lines
            .next()
            .unwrap()
            .trim_start_matches("# ")
            .split(',')
            .collect();
        let column = |name: &str| header.iter().position(|it| *it == name).unwrap();
        let mut rows = 0;
        for line in lines.filter(|line| !line.is_empty()) {
            // No cell before these has a comma.
            let cells: Vec<_> = line.split(',').collect();
            for name in ["scur", "stot", "bin", "bout", "iid", "sid", "type"] {
                let cell = cells[column(name)];
                assert!(cell.parse::<u64>().is_ok(), "{name}: {cell:?}");
            }
            assert!(!cells[column("status")].is_empty());
            rows += 1;
        }
        assert_eq!(rows, 4);
    }
}
