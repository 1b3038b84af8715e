//! What one txlb knows, as text for the next one: health, counts, stickiness, events, names.
//!
//! The first line is `txlb-history 1 LENGTH CHECKSUM`, about the lines that follow. Each of these is
//! a word and pairs `key=value`, quoted as verbs are (`config/verb/line`). A line `service` or
//! `group` says what the lines after it belong to. Words and keys that are not known are skipped,
//! and what is missing has its default, so that an older or newer txlb takes what it understands.
//! Times are of the clock of the first process, in milliseconds. Decision 0034 says why.

use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::str::FromStr;

use super::known_names::KnownNames;
use crate::balance::{Agent, ClientHistory, Failure, Health, HostHistory, Totals};
use crate::config::verb::{quote, words};
use crate::relay::{EndReason, Topic, crc32c};

/// The longest history, in bytes. Clients beyond it are left out.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What clients leave to the rest, in bytes.
const MAX_CLIENT_BYTES: usize = MAX_BYTES / 2;

/// The first word of the first line, and the version of the format.
const MAGIC: &str = "txlb-history 1";

/// What one txlb knows, for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct History {
    /// The age of the clock.
    pub(super) now_ms: u64,
    /// When it started, in milliseconds since 1970.
    pub(super) started_wall_ms: u64,
    /// The number of its configuration.
    pub(super) generation: u64,
    /// Whether it says that it is not ready, though it serves.
    pub(super) resigned: bool,
    /// Sessions by how they ended.
    pub(super) ended: Vec<(EndReason, u64)>,
    /// Recent events: when, their kind and text.
    pub(super) events: Vec<(u64, Topic, String)>,
    /// What names stood for.
    pub(super) names: KnownNames,
    /// The services by name.
    pub(super) services: HashMap<String, ServiceHistory>,
}

/// What is known of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ServiceHistory {
    /// Clients accepted.
    pub(super) total: u64,
    /// Its groups by name.
    pub(super) groups: HashMap<String, GroupHistory>,
}

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct GroupHistory {
    pub(super) hosts: Vec<HostHistory>,
    /// The one that is forgotten first comes first.
    pub(super) clients: Vec<ClientHistory>,
}

impl History {
    /// As text.
    pub(super) fn encode(&self) -> String {
        let mut lines = Line::new("process")
            .with("now", self.now_ms)
            .with("started", self.started_wall_ms)
            .with("generation", self.generation)
            .with("resigned", self.resigned)
            .end();
        for (reason, sessions) in &self.ended {
            let line = Line::new("ended").with("reason", reason.as_str());
            lines += &line.with("sessions", sessions).end();
        }
        for (at_ms, topic, text) in &self.events {
            let line = Line::new("event")
                .with("at", at_ms)
                .with("topic", topic.as_str());
            lines += &line.with("text", text).end();
        }
        lines += &self.names.encode();
        for (name, service) in &self.services {
            let line = Line::new("service").with("name", name);
            lines += &line.with("total", service.total).end();
            for (name, group) in &service.groups {
                group.encode(name, &mut lines);
            }
        }
        let checksum = crc32c(&[lines.as_bytes()]);
        format!("{MAGIC} {} {checksum:08x}\n{lines}", lines.len())
    }

    /// The reverse. Lines that make no sense are left out.
    ///
    /// # Errors
    /// It is no history, or not whole.
    pub(super) fn decode(text: &[u8]) -> Result<History, String> {
        let text = str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
        let (first, lines) = text.split_once('\n').ok_or("it has no lines")?;
        let sums = first.strip_prefix(MAGIC).ok_or("its format is another")?;
        let checksum = crc32c(&[lines.as_bytes()]);
        if sums != format!(" {} {checksum:08x}", lines.len()) {
            return Err("it is not whole".to_owned());
        }
        let mut history = History::default();
        let (mut service, mut group) = (String::new(), String::new());
        for line in lines.lines() {
            let Some(line) = ReadLine::parse(line) else {
                continue;
            };
            let known = history.services.get_mut(&service);
            match line.word.as_str() {
                "service" => {
                    (service, group) = (line.text("name"), String::new());
                    let total = line.number("total");
                    history.services.entry(service.clone()).or_default().total = total;
                }
                "group" => {
                    group = line.text("name");
                    if let Some(service) = known {
                        service.groups.entry(group.clone()).or_default();
                    }
                }
                "host" | "client" => {
                    if let Some(group) = known.and_then(|it| it.groups.get_mut(&group)) {
                        group.decode(&line);
                    }
                }
                _ => history.decode_line(&line),
            }
        }
        Ok(history)
    }

    fn decode_line(&mut self, line: &ReadLine) {
        match line.word.as_str() {
            "process" => {
                self.now_ms = line.number("now");
                self.started_wall_ms = line.number("started");
                self.generation = line.number("generation");
                self.resigned = line.parsed("resigned").unwrap_or_default();
            }
            "ended" => {
                let reason = line.text("reason");
                let reason = EndReason::ALL.into_iter().find(|it| it.as_str() == reason);
                self.ended
                    .extend(reason.map(|reason| (reason, line.number("sessions"))));
            }
            "event" => {
                let topic = line.text("topic");
                let topic = Topic::ALL.into_iter().find(|it| it.as_str() == topic);
                let event = topic.map(|topic| (line.number("at"), topic, line.text("text")));
                self.events.extend(event);
            }
            _ => self.names.decode(line),
        }
    }
}

impl GroupHistory {
    fn encode(&self, name: &str, lines: &mut String) {
        *lines += &Line::new("group").with("name", name).end();
        for host in &self.hosts {
            *lines += &encode_host(host);
        }
        // Those that are forgotten first are left out first.
        let mut clients: Vec<String> = Vec::new();
        let mut left = MAX_CLIENT_BYTES.saturating_sub(lines.len());
        for client in self.clients.iter().rev() {
            let line = Line::new("client")
                .with("key", format_args!("{:x}", client.key))
                .with("host", &client.host)
                .with("ended", client.ended_ms)
                .end();
            match left.checked_sub(line.len()) {
                Some(less) => left = less,
                None => break,
            }
            clients.push(line);
        }
        lines.extend(clients.into_iter().rev());
    }

    fn decode(&mut self, line: &ReadLine) {
        if line.word == "host" {
            return self.hosts.push(decode_host(line));
        }
        if let Ok(key) = u128::from_str_radix(&line.text("key"), 16) {
            self.clients.push(ClientHistory {
                key,
                host: line.text("host"),
                ended_ms: line.number("ended"),
            });
        }
    }
}

fn encode_host(host: &HostHistory) -> String {
    let Totals {
        bytes_to_host,
        bytes_to_client,
        connects: _,
        connect_ms,
        histogram,
    } = &host.totals;
    let health = match &host.health {
        Health::Untried => "untried",
        Health::Healthy => "healthy",
        Health::Failed(_) => "failed",
    };
    let mut line = Line::new("host")
        .with("name", &host.name)
        .maybe("address", host.address.as_ref())
        .with("health", health)
        .with("since", host.since_ms)
        .with("pending", host.pending)
        .with("total", host.total)
        .with("failures", host.failures)
        .with("recent", comma_separated(&host.recent))
        .with("toHost", bytes_to_host)
        .with("toClient", bytes_to_client)
        .with("connectMs", connect_ms)
        .with("connects", comma_separated(histogram))
        .maybe("outSince", host.out_since_ms)
        .maybe("emptied", host.emptied_ms);
    if let Health::Failed(failure) = &host.health {
        line = with_failure(line, ["reason", "detail"], failure);
    }
    if let Some((failure, at_ms)) = &host.last_failure {
        line = with_failure(line, ["lastReason", "lastDetail"], failure).with("lastAt", at_ms);
    }
    if let Some(agent) = &host.agent {
        let (down, rest) = agent.lines();
        line = line.with("agent", rest).maybe("agentDown", down);
    }
    line.end()
}

fn decode_host(line: &ReadLine) -> HostHistory {
    let mut totals = Totals {
        bytes_to_host: line.number("toHost"),
        bytes_to_client: line.number("toClient"),
        connect_ms: line.number("connectMs"),
        ..Totals::default()
    };
    let connects = line.numbers("connects");
    for (bucket, connects) in totals.histogram.iter_mut().zip(connects) {
        *bucket = connects;
    }
    totals.connects = totals.histogram.iter().sum();
    let recent = line.numbers("recent");
    let last_failure = failure(line, ["lastReason", "lastDetail"]);
    let agent = line.get("agent");
    HostHistory {
        name: line.text("name"),
        address: line.parsed("address"),
        health: match (
            line.text("health").as_str(),
            failure(line, ["reason", "detail"]),
        ) {
            ("healthy", _) => Health::Healthy,
            ("failed", Some(failure)) => Health::Failed(failure),
            _ => Health::Untried,
        },
        since_ms: line.number("since"),
        pending: line.parsed("pending").unwrap_or_default(),
        last_failure: last_failure.map(|failure| (failure, line.number("lastAt"))),
        total: line.number("total"),
        failures: line.number("failures"),
        recent: recent
            .map(|it| u32::try_from(it).unwrap_or(u32::MAX))
            .collect(),
        totals,
        agent: agent.map(|rest| Agent::from_lines(line.get("agentDown"), rest)),
        out_since_ms: line.parsed("outSince"),
        emptied_ms: line.parsed("emptied"),
    }
}

/// Adds a failure: a word for it, and what words cannot say.
fn with_failure(line: Line, [reason, detail]: [&str; 2], failure: &Failure) -> Line {
    let (word, more) = match failure {
        Failure::Refused => ("refused", None),
        Failure::TimedOut => ("timeout", None),
        Failure::Unreachable => ("unreachable", None),
        Failure::Unresolved(why) => ("unresolved", Some(why.clone())),
        Failure::Circular => ("circular", None),
        Failure::EndedEarly(row) => ("early", Some(row.to_string())),
        Failure::Check(why) => ("check", Some(why.clone())),
        Failure::Other(why) => ("other", Some(why.clone())),
    };
    line.with(reason, word).maybe(detail, more)
}

fn failure(line: &ReadLine, [reason, detail]: [&str; 2]) -> Option<Failure> {
    let more = line.text(detail);
    Some(match line.get(reason)? {
        "refused" => Failure::Refused,
        "timeout" => Failure::TimedOut,
        "unreachable" => Failure::Unreachable,
        "unresolved" => Failure::Unresolved(more),
        "circular" => Failure::Circular,
        "early" => Failure::EndedEarly(more.parse().ok()?),
        "check" => Failure::Check(more),
        // Of a newer txlb, too.
        word if more.is_empty() => Failure::Other(word.to_owned()),
        _ => Failure::Other(more),
    })
}

/// Values of one pair.
pub(super) fn comma_separated<T: Display>(values: &[T]) -> String {
    let mut text = String::new();
    for value in values {
        let comma = if text.is_empty() { "" } else { "," };
        // To write to a string never fails.
        let _ = write!(text, "{comma}{value}");
    }
    text
}

/// A line that is being written.
pub(super) struct Line(String);

impl Line {
    pub(super) fn new(word: &str) -> Line {
        Line(word.to_owned())
    }

    pub(super) fn with(mut self, key: &str, value: impl Display) -> Line {
        // To write to a string never fails.
        let _ = write!(self.0, " {key}={}", quote(&value.to_string()));
        self
    }

    fn maybe(self, key: &str, value: Option<impl Display>) -> Line {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Without its end.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    pub(super) fn end(self) -> String {
        self.0 + "\n"
    }
}

/// A line that was read. What is missing in it has its default.
pub(super) struct ReadLine {
    pub(super) word: String,
    pairs: HashMap<String, String>,
}

impl ReadLine {
    /// `None` if it cannot be split.
    pub(super) fn parse(line: &str) -> Option<ReadLine> {
        let mut words = words(line).ok()?.into_iter();
        let word = words.next()?;
        let pair = |word: String| {
            let (key, value) = word.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        };
        let pairs = words.filter_map(pair).collect();
        Some(ReadLine { word, pairs })
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.get(key).unwrap_or_default().to_owned()
    }

    pub(super) fn parsed<T: FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.parsed(key).unwrap_or_default()
    }

    fn numbers(&self, key: &str) -> impl Iterator<Item = u64> {
        let text = self.get(key).unwrap_or_default().split(',');
        text.filter_map(|number| number.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::super::member_questions::Question;
    use super::*;
    use crate::config::verb::{GroupKey, HostKey};
    use crate::config::{Each, HostState, Record, SrvRecord};

    fn history() -> History {
        let host = |name: &str, health| HostHistory {
            name: name.to_owned(),
            address: Some("[::1]:80".parse().unwrap()),
            health,
            since_ms: 5,
            pending: true,
            last_failure: Some((Failure::Check("\"x\" = y\n".to_owned()), 4)),
            total: 3,
            failures: 2,
            recent: vec![0, 7],
            totals: Totals {
                bytes_to_host: 1,
                bytes_to_client: u64::MAX,
                connects: 3,
                connect_ms: 9,
                histogram: [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            },
            agent: Some(Agent::from_lines(
                Some("stopped: disk full"),
                "drain 75% maxconn:3",
            )),
            out_since_ms: Some(6),
            emptied_ms: None,
        };
        let failures = [
            Failure::Refused,
            Failure::TimedOut,
            Failure::Unreachable,
            Failure::Unresolved("no such name".to_owned()),
            Failure::EndedEarly(3),
            Failure::Check("got: 500".to_owned()),
            Failure::Other("what else".to_owned()),
        ];
        let failed = failures
            .into_iter()
            .map(|it| host("a b=", Health::Failed(it)));
        let others = [Health::Healthy, Health::Untried].map(|it| host("", it));
        let group = GroupHistory {
            hosts: failed.chain(others).collect(),
            clients: vec![ClientHistory {
                key: u128::MAX,
                host: "a b=".to_owned(),
                ended_ms: 9,
            }],
        };
        let groups = [("main \"1\"".to_owned(), group)];
        let key = HostKey {
            group: GroupKey {
                service: "web".to_owned(),
                group: "main \"1\"".to_owned(),
            },
            name: "a b@10.0.0.1".to_owned(),
        };
        let question = |each| Question {
            name: "_x._tcp.test".to_owned(),
            each,
        };
        let plain = Record::at("10.0.0.1".parse().unwrap());
        let srv = SrvRecord {
            priority: 1,
            target: "t.test".to_owned(),
            port: 80,
            weight: 0,
        };
        let of_srv = Record {
            srv: Some(srv),
            ..plain.clone()
        };
        let names = KnownNames {
            resolved: [("a.test".to_owned(), vec!["::1".parse().unwrap(), plain.ip])].into(),
            answers: [
                (question(Each::Address), vec![plain]),
                (question(Each::Srv), vec![of_srv]),
            ]
            .into(),
            wanted: [(key, HostState::Drain)].into(),
        };
        let service = ServiceHistory {
            total: 8,
            groups: groups.into(),
        };
        History {
            now_ms: 77,
            started_wall_ms: 1_000_000_000_000,
            generation: 4,
            resigned: true,
            ended: vec![(EndReason::Finished, 2)],
            events: Topic::ALL
                .map(|it| (1, it, "a\tb \u{202e}".to_owned()))
                .into(),
            names,
            services: [("web".to_owned(), service)].into(),
        }
    }

    fn with_sums(lines: &str) -> String {
        let checksum = crc32c(&[lines.as_bytes()]);
        format!("{MAGIC} {} {checksum:08x}\n{lines}", lines.len())
    }

    #[test]
    fn everything_arrives() {
        let history = history();
        assert_eq!(History::decode(history.encode().as_bytes()), Ok(history));
    }

    #[test]
    fn what_is_not_known_is_skipped_and_what_is_missing_has_its_default() {
        let text = "process now=5 later=1\nnews a=b\nhost name=lost\nservice name=web\ngroup name=g x=y\n\
                    host name=a health=odd\nhost name=b health=failed reason=hungry\n\
                    client key=zz host=a\nclient key=f host=a\nended reason=odd sessions=1\n\
                    event topic=odd\n\"open\nservice\n";
        let history = History::decode(with_sums(text).as_bytes()).unwrap();
        assert_eq!((history.now_ms, history.generation), (5, 0));
        assert!(history.ended.is_empty() && history.events.is_empty());
        let group = &history.services["web"].groups["g"];
        let health: Vec<_> = group.hosts.iter().map(|it| it.health.clone()).collect();
        let hungry = Failure::Other("hungry".to_owned());
        assert_eq!(health, [Health::Untried, Health::Failed(hungry)]);
        assert_eq!(group.clients.len(), 1);
    }

    #[test]
    fn what_is_not_whole_or_another_format_is_refused() {
        let whole = history().encode();
        for wrong in [
            String::new(),
            "\n".to_owned(),
            whole.replacen(" 1 ", " 2 ", 1),
            whole[..whole.len() - 1].to_owned(),
            whole.replacen("now=77", "now=78", 1),
        ] {
            assert!(History::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(History::decode(&[0xff; 9]).is_err());
    }

    #[test]
    fn clients_that_are_forgotten_first_are_left_out_first() {
        let client = |number: u64| ClientHistory {
            key: number.into(),
            host: "h".repeat(100_000),
            ended_ms: number,
        };
        let group = GroupHistory {
            hosts: Vec::new(),
            clients: (0..400).map(client).collect(),
        };
        let mut lines = String::new();
        group.encode("g", &mut lines);
        assert!((MAX_CLIENT_BYTES - 200_000..MAX_CLIENT_BYTES).contains(&lines.len()));
        assert!(lines.ends_with("ended=399\n"));
    }
}
