//! The questions to name servers: which members a name has.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::resolver::{Found, answer_all};
use crate::config::{Config, Each, Endpoint, Host, Record};

/// Whether this txlb can ask for members.
pub(super) const CAN_ASK: bool = cfg!(feature = "dns");

/// What name servers are asked: the members of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Question {
    /// The name, as written.
    pub(super) name: String,
    /// What kind of records tells of them.
    pub(super) each: Each,
}

impl Question {
    /// What is asked for a template.
    pub(super) fn of(template: &Host) -> Option<Question> {
        match &template.address {
            Endpoint::Name { host, .. } if template.is_template() => Some(Question {
                name: host.clone(),
                each: template.each,
            }),
            _ => None,
        }
    }
}

/// The questions of a configuration.
pub(super) fn questions(config: &Config) -> BTreeSet<Question> {
    let names = config.member_names().into_iter();
    names
        .map(|(name, each)| Question {
            name: name.to_owned(),
            each,
        })
        .collect()
}

/// What is to be said of a name with so many members; `None` if all are used.
pub(super) fn too_many(name: &str, count: usize) -> Option<String> {
    let most = Host::MOST_MEMBERS;
    (count > most).then(|| format!("{name} has {count} members: the first {most} are used"))
}

/// The answer, and what is to be said of members that are not known.
pub(super) type Answer = (Found<Record>, Option<String>);

#[cfg(feature = "dns")]
pub(super) fn look_up(
    question: &Question,
    nameservers: &[SocketAddr],
    former: &[Record],
) -> io::Result<Answer> {
    super::dns::look_up(question, nameservers, former)
}

#[cfg(not(feature = "dns"))]
pub(super) fn look_up(_: &Question, _: &[SocketAddr], _: &[Record]) -> io::Result<Answer> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What is to be said of the names of `config` whose members cannot be found within `timeout`.
///
/// # Errors
/// The system has no thread for it.
pub fn member_warnings(config: &Config, timeout: Duration) -> io::Result<Vec<String>> {
    let nameservers = config.resolver.nameservers.clone();
    let lookup = Box::new(move |question: &Question| {
        look_up(question, &nameservers, &[]).map(|(found, _)| found)
    });
    let answers = answer_all(questions(config).into_iter().collect(), lookup, timeout)?;
    let warning = |(question, answer): (Question, Result<Vec<Record>, String>)| match answer {
        Err(reason) => Some(format!(
            "the members of {} are not known: {reason}",
            question.name
        )),
        Ok(records) => too_many(&question.name, records.len()),
    };
    Ok(answers.into_iter().filter_map(warning).collect())
}
