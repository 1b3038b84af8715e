//! Encodes a [`Command`] as a line: its name, then each key that has a value. Masks passwords in lines for people.

use std::fmt::{self, Display};

use super::line::Quoted;
use super::table::{self, Takes};
use super::{
    Action, Batch, Command, GroupKey, HostChoice, HostKey, InsertAt, ListenChoice, Question, Verb,
    View,
};
use crate::config::redact::HIDDEN;
use crate::config::serialize::seconds;
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

    /// As a line that is understood as the same command. It shows passwords: for
    /// what people see there is [`Display`].
    pub fn line(&self) -> String {
        self.written().in_full().to_string()
    }

    fn written(&self) -> Written {
        match self {
            Command::Change(verb) => verb.written(),
            Command::Action(action) => action.written(),
            Command::Question(question) => question.written(),
            Command::Batch(batch) => Written::new(batch.name()),
        }
    }
}

/// As a line with each password as `***`, for logs and answers.
impl Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written().fmt(f)
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

    /// As a line that is understood as the same verb. It shows passwords: for
    /// what people see there is [`Display`].
    pub fn line(&self) -> String {
        self.written().in_full().to_string()
    }

    fn written(&self) -> Written {
        let out = Written::new(self.name());
        match self {
            Verb::AddHost { .. }
            | Verb::DelHost { .. }
            | Verb::DelAllHosts { .. }
            | Verb::SetHost { .. }
            | Verb::SetWeight { .. }
            | Verb::SetState { .. } => self.written_of_host(out),
            Verb::AddUser { .. } | Verb::SetUser { .. } | Verb::DelUser { .. } => {
                self.written_of_user(out)
            }
            _ => self.written_of_service(out),
        }
    }

    fn written_of_host(&self, out: Written) -> Written {
        match self {
            Verb::AddHost { group, host, place } => out
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
                .place(place.as_ref()),
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
                place,
                rename,
            } => out
                .host(host)
                .maybe("ip", address.as_ref())
                .maybe("weight", *weight)
                .place(place.as_ref())
                .maybe("rename", rename.as_ref()),
            Verb::SetWeight { host, weight } => out.host(host).with("weight", weight),
            Verb::SetState { host, .. } => out.host(host),
            _ => out,
        }
    }

    fn written_of_service(&self, out: Written) -> Written {
        match self {
            Verb::NewGroup {
                group,
                scheduler,
                sticky_prefix,
                place,
            } => {
                let prefix = Some(*sticky_prefix).filter(|it| *it != Group::WHOLE_ADDRESS);
                out.group(group)
                    .with("scheduler", scheduler)
                    .maybe("stickyPrefix", prefix)
                    .place(place.as_ref())
            }
            Verb::ChangeScheduler {
                group,
                scheduler,
                sticky_prefix,
                place,
            } => out
                .group(group)
                .with("scheduler", scheduler)
                .maybe("stickyPrefix", *sticky_prefix)
                .place(place.as_ref()),
            Verb::DelGroup { group, force } => out.group(group).force(*force),
            Verb::EnableGroup { group } => out.group(group),
            Verb::NewService {
                service,
                listen,
                place,
            } => out
                .with("service", service)
                .with("listen", listen)
                .place(place.as_ref()),
            Verb::DelService { service } => out.with("service", service),
            Verb::SetService {
                service,
                connect,
                idle,
                half_closed,
                place,
            } => out
                .with("service", service)
                .maybe("connectTimeout", connect.map(seconds))
                .maybe("idleTimeout", idle.map(seconds))
                .maybe("halfClosedTimeout", half_closed.map(seconds))
                .place(place.as_ref()),
            Verb::AddListen {
                service,
                address,
                place,
            } => out
                .with("service", service)
                .with("ip", address)
                .place(place.as_ref()),
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

    fn written_of_user(&self, out: Written) -> Written {
        match self {
            Verb::AddUser { user, place } => {
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
                    .place(place.as_ref())
            }
            Verb::SetUser {
                name,
                password,
                access,
                keys,
                place,
            } => {
                // No keys at all is said by an empty one.
                let none = keys.as_ref().filter(|keys| keys.is_empty()).map(|_| "");
                out.with("name", name)
                    .maybe("password", password.as_ref().map(|secret| &secret.0))
                    .maybe("access", access.map(Access::as_str))
                    .all("key", keys.as_deref().unwrap_or_default())
                    .maybe("key", none)
                    .place(place.as_ref())
            }
            Verb::DelUser { name } => out.with("name", name),
            _ => out,
        }
    }
}

/// As a line with each password as `***`, for logs and answers.
impl Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written().fmt(f)
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

    fn written(&self) -> Written {
        let out = Written::new(self.name());
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

    fn written(&self) -> Written {
        let out = Written::new(self.name());
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

/// A command's name, and its keys with their values.
struct Written {
    name: &'static str,
    pairs: Vec<(&'static str, String)>,
    shows_secrets: bool,
}

impl Written {
    fn new(name: &'static str) -> Self {
        Written {
            name,
            pairs: Vec::new(),
            shows_secrets: false,
        }
    }

    /// With passwords, which are `***` otherwise.
    fn in_full(self) -> Self {
        Written {
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

    fn place(self, place: Option<&InsertAt<impl Display>>) -> Self {
        self.maybe(
            "before",
            place.map(|place| match place {
                InsertAt::Before(other) => other.to_string(),
                InsertAt::Last => String::new(),
            }),
        )
    }

    fn is_secret(&self, key: &str) -> bool {
        table::command(self.name)
            .and_then(|command| command.key(key))
            .is_none_or(|key| key.takes == Takes::Secret)
    }
}

impl Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.pairs.iter().try_for_each(|(key, value)| {
            // An empty one takes the password away, which is no secret.
            let hidden = !self.shows_secrets && !value.is_empty() && self.is_secret(key);
            let value = if hidden { HIDDEN } else { value };
            write!(f, " {key}={}", Quoted(value))
        })
    }
}
