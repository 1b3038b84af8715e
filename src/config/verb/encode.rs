//! Encodes a [`Command`] as a line: its name, then each key that has a value. Masks passwords in
//! lines for people.

use std::fmt::{self, Display};

use super::line::QuotedWord;
use super::table;
use super::{
    Action, Batch, Command, GroupKey, HostChoice, HostKey, InsertAt, ListenChoice, Question, Verb,
    View,
};
use crate::config::ValueKind;
use crate::config::redact::PASSWORD_MASK;
use crate::config::value::seconds_text as seconds;
use crate::config::{Access, Group, HostState, User};

impl Command {
    /// Its name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Change(verb) => verb.name(),
            Command::Action(action) => action.name(),
            Command::Question(question) => question.name(),
            Command::Batch(batch) => batch.name(),
        }
    }

    /// Encodes a line that parses as the same command. It shows passwords; [`Display`] masks them.
    pub fn line(&self) -> String {
        self.encode().with_secrets().to_string()
    }

    fn encode(&self) -> LineEncoder {
        match self {
            Command::Change(verb) => verb.encode(),
            Command::Action(action) => action.encode(),
            Command::Question(question) => question.encode(),
            Command::Batch(batch) => LineEncoder::new(batch.name()),
        }
    }
}

/// A line with masked passwords, for logs and answers.
impl Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encode().fmt(f)
    }
}

impl Verb {
    /// Its name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Verb::AddHost { .. } => "addHost",
            Verb::DelHost { .. } => "delHost",
            Verb::DelAllHosts { .. } => "delAllHosts",
            Verb::SetHost { .. } => "setHost",
            Verb::SetWeight { .. } => "setWeight",
            Verb::SetState { state, .. } => match state {
                HostState::Up => "hostAdminUp",
                HostState::Drain => "drainHost",
                HostState::Down => "hostAdminDown",
            },
            Verb::NewGroup { .. } => "newGroup",
            Verb::DelGroup { .. } => "delGroup",
            Verb::EnableGroup { .. } => "enableGroup",
            Verb::ChangeScheduler { .. } => "changeScheduler",
            Verb::NewService { .. } => "newService",
            Verb::DelService { .. } => "delService",
            Verb::SetService { .. } => "setService",
            Verb::AddListen { .. } => "addListen",
            Verb::DelListen { .. } => "delListen",
            Verb::SwitchPort { .. } => "switchPort",
            Verb::AddUser { .. } => "addUser",
            Verb::SetUser { .. } => "setUser",
            Verb::DelUser { .. } => "delUser",
            Verb::SetOption { .. } => "setOption",
        }
    }

    /// Encodes a line that parses as the same verb. It shows passwords; [`Display`] masks them.
    pub fn line(&self) -> String {
        self.encode().with_secrets().to_string()
    }

    fn encode(&self) -> LineEncoder {
        let out = LineEncoder::new(self.name());
        match self {
            Verb::AddHost { .. }
            | Verb::DelHost { .. }
            | Verb::DelAllHosts { .. }
            | Verb::SetHost { .. }
            | Verb::SetWeight { .. }
            | Verb::SetState { .. } => self.encode_host_verb(out),
            Verb::AddUser { .. } | Verb::SetUser { .. } | Verb::DelUser { .. } => {
                self.encode_user_verb(out)
            }
            _ => self.encode_service_verb(out),
        }
    }

    fn encode_host_verb(&self, out: LineEncoder) -> LineEncoder {
        match self {
            Verb::AddHost {
                group,
                host,
                insert_at,
            } => out
                .group(group)
                .with("name", &host.name)
                .with("ip", &host.address)
                .maybe("weight", Some(host.weight).filter(|weight| *weight != 1))
                .maybe(
                    "state",
                    Some(host.state)
                        .filter(|state| *state != HostState::Up)
                        .map(HostState::as_str),
                )
                .insert_at(insert_at.as_ref()),
            Verb::DelHost { group, host, force } => match host {
                HostChoice::Name(name) => out.group(group).with("name", name),
                HostChoice::Address(address) => out.group(group).with("ip", address),
            }
            .force(*force),
            Verb::DelAllHosts { group, force } => out.group(group).force(*force),
            Verb::SetHost {
                host,
                address,
                weight,
                insert_at,
                rename,
            } => out
                .host(host)
                .maybe("ip", address.as_ref())
                .maybe("weight", *weight)
                .insert_at(insert_at.as_ref())
                .maybe("rename", rename.as_ref()),
            Verb::SetWeight { host, weight } => out.host(host).with("weight", weight),
            Verb::SetState { host, .. } => out.host(host),
            _ => out,
        }
    }

    fn encode_service_verb(&self, out: LineEncoder) -> LineEncoder {
        match self {
            Verb::NewGroup {
                group,
                scheduler,
                sticky_prefix,
                insert_at,
            } => {
                let prefix = Some(*sticky_prefix).filter(|it| *it != Group::WHOLE_ADDRESS);
                out.group(group)
                    .with("scheduler", scheduler)
                    .maybe("stickyPrefix", prefix)
                    .insert_at(insert_at.as_ref())
            }
            Verb::ChangeScheduler {
                group,
                scheduler,
                sticky_prefix,
                insert_at,
            } => out
                .group(group)
                .with("scheduler", scheduler)
                .maybe("stickyPrefix", *sticky_prefix)
                .insert_at(insert_at.as_ref()),
            Verb::DelGroup { group, force } => out.group(group).force(*force),
            Verb::EnableGroup { group } => out.group(group),
            Verb::NewService {
                service,
                listen,
                insert_at,
            } => out
                .with("service", service)
                .with("listen", listen)
                .insert_at(insert_at.as_ref()),
            Verb::DelService { service } => out.with("service", service),
            Verb::SetService {
                service,
                connect,
                idle,
                half_closed,
                insert_at,
            } => out
                .with("service", service)
                .maybe("connectTimeout", connect.map(seconds))
                .maybe("idleTimeout", idle.map(seconds))
                .maybe("halfClosedTimeout", half_closed.map(seconds))
                .insert_at(insert_at.as_ref()),
            Verb::AddListen {
                service,
                address,
                insert_at,
            } => out
                .with("service", service)
                .with("ip", address)
                .insert_at(insert_at.as_ref()),
            Verb::DelListen { service, address } => {
                out.with("service", service).with("ip", address)
            }
            Verb::SwitchPort { service, from, to } => out
                .with("service", service)
                .with("from", from)
                .with("to", to),
            Verb::SetOption { name, value } => out.with("name", name).with("value", value),
            _ => out,
        }
    }

    fn encode_user_verb(&self, out: LineEncoder) -> LineEncoder {
        match self {
            Verb::AddUser { user, insert_at } => {
                let User {
                    name,
                    password,
                    access,
                    keys,
                } = user;
                out.with("name", name)
                    .maybe("password", password.as_ref())
                    .with("access", access.as_str())
                    .all("key", keys)
                    .insert_at(insert_at.as_ref())
            }
            Verb::SetUser {
                name,
                password,
                access,
                keys,
                insert_at,
            } => {
                // An empty key removes all keys.
                let none = keys.as_ref().filter(|keys| keys.is_empty()).map(|_| "");
                out.with("name", name)
                    .maybe("password", password.as_ref().map(|secret| &secret.0))
                    .maybe("access", access.map(Access::as_str))
                    .all("key", keys.as_deref().unwrap_or_default())
                    .maybe("key", none)
                    .insert_at(insert_at.as_ref())
            }
            Verb::DelUser { name } => out.with("name", name),
            _ => out,
        }
    }
}

/// A line with masked passwords, for logs and answers.
impl Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encode().fmt(f)
    }
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Action::RetryHost { .. } => "retryHost",
            Action::SaveConfig { .. } => "saveConfig",
            Action::Reload { .. } => "reload",
            Action::ReopenLog => "reopenLog",
            Action::Shutdown { .. } => "shutdown",
        }
    }

    fn encode(&self) -> LineEncoder {
        let out = LineEncoder::new(self.name());
        match self {
            Action::RetryHost { host } => out.host(host),
            Action::SaveConfig { force } | Action::Reload { force } => out.force(*force),
            Action::ReopenLog => out,
            Action::Shutdown { grace } => {
                out.maybe("grace", grace.map(|grace| seconds(Some(grace))))
            }
        }
    }
}

impl Question {
    fn name(&self) -> &'static str {
        match self {
            Question::Status => "status",
            Question::Sessions => "sessions",
            Question::Config { .. } => "config",
            Question::Diff => "diff",
            Question::Complete { .. } => "complete",
            Question::Help { .. } => "help",
        }
    }

    fn encode(&self) -> LineEncoder {
        let out = LineEncoder::new(self.name());
        match self {
            Question::Config { view } if *view != View::default() => {
                out.with("view", view.as_str())
            }
            Question::Complete { line } => out.with("line", line),
            Question::Help { verb } => out.maybe("verb", verb.map(|verb| verb.name)),
            _ => out,
        }
    }
}

impl Batch {
    fn name(self) -> &'static str {
        match self {
            Batch::Begin => "begin",
            Batch::Commit => "commit",
            Batch::Abort => "abort",
        }
    }
}

impl Display for ListenChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenChoice::Port(port) => port.fmt(f),
            ListenChoice::Address(address) => address.fmt(f),
        }
    }
}

/// A command's name, and its keys with their values, to encode as a line.
struct LineEncoder {
    name: &'static str,
    pairs: Vec<(&'static str, String)>,
    shows_secrets: bool,
}

impl LineEncoder {
    fn new(name: &'static str) -> Self {
        LineEncoder {
            name,
            pairs: Vec::new(),
            shows_secrets: false,
        }
    }

    /// Shows passwords, which are masked otherwise.
    fn with_secrets(self) -> Self {
        LineEncoder {
            shows_secrets: true,
            ..self
        }
    }

    fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.pairs.push((key, value.to_string()));
        self
    }

    fn maybe(self, key: &'static str, value: Option<impl Display>) -> Self {
        self.all(key, value)
    }

    fn all(self, key: &'static str, values: impl IntoIterator<Item = impl Display>) -> Self {
        values
            .into_iter()
            .fold(self, |out, value| out.with(key, value))
    }

    fn group(self, group: &GroupKey) -> Self {
        self.with("service", &group.service)
            .with("group", &group.group)
    }

    fn host(self, host: &HostKey) -> Self {
        self.group(&host.group).with("name", &host.name)
    }

    fn force(self, force: bool) -> Self {
        self.maybe("force", force.then_some(true))
    }

    fn insert_at(self, insert_at: Option<&InsertAt<impl Display>>) -> Self {
        self.maybe(
            "before",
            insert_at.map(|insert_at| match insert_at {
                InsertAt::Before(other) => other.to_string(),
                InsertAt::Last => String::new(),
            }),
        )
    }

    fn is_secret(&self, key: &str) -> bool {
        table::command(self.name)
            .and_then(|command| command.key(key))
            .is_none_or(|key| key.value_kind == ValueKind::Secret)
    }
}

impl Display for LineEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.pairs.iter().try_for_each(|(key, value)| {
            // An empty one removes the password, which is no secret.
            let hidden = !self.shows_secrets && !value.is_empty() && self.is_secret(key);
            let value = if hidden { PASSWORD_MASK } else { value };
            write!(f, " {key}={}", QuotedWord(value))
        })
    }
}
