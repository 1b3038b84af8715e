//! What names stood for, and what operators wanted of single members: lines for the process that
//! takes over, which goes on with that until name servers have answered it.
//!
//! A name server that is away at that moment costs no host.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::data_plane::DataPlane;
use super::history::{Line, ReadLine, comma_separated};
use super::member_questions::Question;
use crate::config::verb::{GroupKey, HostKey};
use crate::config::{Each, Host, HostState, Record, SrvRecord};

/// The longest lines together, in bytes. What has no room there is asked for as at a start.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The most addresses or members of a name.
const MOST: usize = Host::MOST_MEMBERS;

/// What is known of names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KnownNames {
    /// The addresses of names of hosts.
    pub(super) resolved: BTreeMap<String, Vec<IpAddr>>,
    /// The members of names.
    pub(super) answers: BTreeMap<Question, Vec<Record>>,
    /// What operators want of single members.
    pub(super) wanted: BTreeMap<HostKey, HostState>,
}

impl KnownNames {
    /// As lines. What operators want comes first: no name server tells it again.
    pub(super) fn encode(&self) -> String {
        let wanted = self.wanted.iter().map(|(host, state)| {
            Line::new("wanted")
                .with("service", &host.group.service)
                .with("group", &host.group.group)
                .with("host", &host.name)
                .with("state", state.as_str())
                .end()
        });
        let resolved = self.resolved.iter().map(|(name, addresses)| {
            let addresses = &addresses[..addresses.len().min(MOST)];
            Line::new("resolved")
                .with("name", name)
                .with("addresses", comma_separated(addresses))
                .end()
        });
        let answers = self.answers.iter().map(|(question, records)| {
            let records = records.iter().take(MOST);
            records
                .map(|record| member_line(question, record))
                .collect::<String>()
        });
        let mut lines = String::new();
        for more in wanted.chain(resolved).chain(answers) {
            if lines.len() + more.len() <= MAX_BYTES {
                lines += &more;
            }
        }
        lines
    }

    /// Takes a line, if it is one of these and makes sense.
    pub(super) fn decode(&mut self, line: &ReadLine) {
        match line.word.as_str() {
            "wanted" => self.wanted.extend(wanted(line)),
            "resolved" => {
                let addresses = line.text("addresses");
                let addresses = addresses.split(',').filter_map(|it| it.parse().ok());
                let addresses: Vec<IpAddr> = addresses.take(MOST).collect();
                if !addresses.is_empty() {
                    self.resolved.insert(line.text("name"), addresses);
                }
            }
            "member" => {
                let Some((question, record)) = member(line) else {
                    return;
                };
                let records = self.answers.entry(question).or_default();
                if records.len() < MOST {
                    records.push(record);
                }
            }
            _ => {}
        }
    }
}

fn wanted(line: &ReadLine) -> Option<(HostKey, HostState)> {
    let state = line.get("state")?;
    let states = [HostState::Up, HostState::Drain, HostState::Down];
    let state = states.into_iter().find(|it| it.as_str() == state)?;
    let group = GroupKey {
        service: line.text("service"),
        group: line.text("group"),
    };
    let name = line.text("host");
    Some((HostKey { group, name }, state))
}

fn member_line(question: &Question, record: &Record) -> String {
    let line = Line::new("member")
        .with("name", &question.name)
        .with("each", question.each.as_str())
        .with("ip", record.ip);
    match &record.srv {
        None => line.end(),
        Some(srv) => line
            .with("target", &srv.target)
            .with("port", srv.port)
            .with("priority", srv.priority)
            .with("weight", srv.weight)
            .end(),
    }
}

fn member(line: &ReadLine) -> Option<(Question, Record)> {
    let each = line.get("each")?;
    let each = Each::ALL.into_iter().find(|it| it.as_str() == each)?;
    let name = line.text("name");
    let srv = match each {
        Each::No => return None,
        Each::Address => None,
        Each::Srv => Some(SrvRecord {
            priority: line.parsed("priority")?,
            target: line.text("target"),
            port: line.parsed("port")?,
            weight: line.parsed("weight")?,
        }),
    };
    let ip = line.parsed("ip")?;
    let record = Some(Record { ip, srv }).filter(Record::is_usable)?;
    Some((Question { name, each }, record))
}

impl DataPlane {
    /// What is known of names, for another process.
    pub(super) fn known_names(&self) -> KnownNames {
        let resolutions = self.resolver.resolutions().into_iter();
        let resolved = resolutions.filter_map(|(name, addresses)| Some((name, addresses.ok()?)));
        let mut names = KnownNames {
            resolved: resolved.collect(),
            ..KnownNames::default()
        };
        self.members.tell(&mut names);
        names
    }

    /// Goes on with what another process knew of names. Call it before the first configuration;
    /// after that, [`DataPlane::resolve_again`]: nothing of it is asked for before.
    pub(super) fn presume_names(&self, names: &KnownNames) {
        self.resolver.presume(names.resolved.clone());
        self.members.presume(names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> KnownNames {
        let mut names = KnownNames::default();
        let lines = text.lines().filter_map(ReadLine::parse);
        lines.for_each(|line| names.decode(&line));
        names
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let text = "wanted service=s group=g host=a@1 state=sleepy\nwanted service=s group=g host=a@2\n\
                    resolved name=x addresses=\nresolved name=y addresses=nowhere,::1\nresolved\n\
                    member name=m each=false ip=10.0.0.1\nmember name=m each=true ip=0.0.0.0\n\
                    member name=m each=srv ip=10.0.0.1 port=0 priority=1 weight=1 target=t\n\
                    member name=m each=srv ip=10.0.0.1 port=80\nmember name=m each=true ip=10.0.0.2\n\
                    news name=m\n";
        let names = decoded(text);
        assert!(names.wanted.is_empty(), "{names:?}");
        let resolved = [("y".to_owned(), vec!["::1".parse().unwrap()])];
        assert_eq!(names.resolved, BTreeMap::from(resolved));
        let answers: Vec<_> = names.answers.into_values().collect();
        assert_eq!(answers, [[Record::at("10.0.0.2".parse().unwrap())]]);
    }

    #[test]
    fn there_is_a_bound_on_each_and_on_all() {
        let ip = |number: u32| IpAddr::V4((0x0a00_0000 + number).into());
        let records: Vec<_> = (0..3000).map(ip).map(Record::at).collect();
        let question = |number: u32| Question {
            name: format!("{number}.{}", "x".repeat(240)),
            each: Each::Address,
        };
        let key = HostKey {
            group: GroupKey {
                service: "s".to_owned(),
                group: "g".to_owned(),
            },
            name: "a@10.0.0.1".to_owned(),
        };
        let names = KnownNames {
            resolved: [("x".to_owned(), (0..3000).map(ip).collect())].into(),
            answers: (0..40).map(|it| (question(it), records.clone())).collect(),
            wanted: [(key, HostState::Drain)].into(),
        };
        let text = names.encode();
        assert!(text.len() <= MAX_BYTES);
        let known = decoded(&text);
        assert_eq!(known.wanted, names.wanted);
        assert_eq!(known.resolved["x"].len(), MOST);
        // A name is there with all of its members, or not at all.
        assert!(
            (10..40).contains(&known.answers.len()),
            "{}",
            known.answers.len()
        );
        assert!(known.answers.values().all(|it| it.len() == MOST));
        // What is read is bounded, too.
        let more = (0..3000).map(|it| member_line(&question(0), &Record::at(ip(it))));
        assert_eq!(
            decoded(&more.collect::<String>()).answers[&question(0)].len(),
            MOST
        );
    }
}
