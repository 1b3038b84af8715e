//! Commands of operators: changes, actions and questions, the same on every admin interface.
//!
//! A [`Command`] is parsed from a line, arguments or a web form, and encoded as a line; the
//! [`table`] lists all. A [`Verb`] is one change: a pure function from a configuration to the next.

mod actions;
mod apply;
mod checks;
mod complete;
mod diff;
mod error;
mod groups;
mod guard;
mod line;
mod list;
mod numbered;
mod option;
mod place;
mod routes;
mod services;
pub mod table;
#[cfg(test)]
mod tests;
mod users;
mod values;

pub(super) use actions::PROBLEMS;
pub use actions::{Action, Batch, Question, SessionSelection, StatusFilter, View};
pub use apply::apply_all;
pub(crate) use apply::{apply_all_seen, count_elements};
pub use complete::{complete, last_word};
pub use diff::{diff, script};
pub use error::{CommandError, ParseError};
pub(crate) use line::quote;
pub use line::words;
pub(crate) use list::check_names;
pub(super) use list::longest_rising_sequence;
pub use option::{OptionSchema, options};

use std::fmt::{self, Display};
use std::time::Duration;

use self::values::Values;
use super::value::Value;
use super::{Config, Group, ListenAddress};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// A change of the configuration.
    Change(Verb),
    /// An action that does not change the configuration.
    Action(Action),
    /// A question.
    Question(Question),
    /// Brackets around several changes that become one.
    Batch(Batch),
}

impl Command {
    /// The change, if it is one.
    ///
    /// # Errors
    /// It is no change; the text is for the operator.
    pub fn into_change(self) -> Result<Verb, String> {
        match self {
            Command::Change(verb) => Ok(verb),
            other => Err(format!(
                "{} is no change of the configuration",
                other.name()
            )),
        }
    }
}

impl Command {
    /// Its name in the table.
    pub fn name(&self) -> &'static str {
        self.values().schema.name
    }

    /// Encodes a line that parses as the same command. It shows passwords; [`Display`] masks them.
    pub fn line(&self) -> String {
        self.values().line()
    }

    fn values(&self) -> Values {
        match self {
            Command::Change(verb) => verb.0.clone(),
            Command::Action(action) => action.values(),
            Command::Question(question) => question.values(),
            Command::Batch(batch) => batch.values(),
        }
    }
}

/// A line with masked passwords, for logs and answers.
impl Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.values(), f)
    }
}

/// One change of a configuration: a verb of the [`table`] with its values.
#[derive(Clone, PartialEq, Eq)]
pub struct Verb(Values);

impl Verb {
    /// Its name in the table.
    pub fn name(&self) -> &'static str {
        self.0.schema.name
    }

    /// The host that it drains, and how long to wait until that is empty, if it is to be waited for.
    pub fn drain_wait(&self) -> Option<(HostKey, Duration)> {
        let text = self.0.text("wait")?;
        let wait = Value::detached("wait", text).seconds().ok()?;
        Some((self.0.host(), wait.unwrap_or_default()))
    }

    /// Encodes a line that parses as the same verb. It shows passwords; [`Display`] masks them.
    pub fn line(&self) -> String {
        self.0.line()
    }

    /// The same verb, which insists or does not, if it can (`force`).
    pub(crate) fn with_force(self, force: bool) -> Verb {
        let values = self.0.without("force");
        match values.schema.key("force") {
            Some(_) => Verb(values.with("force", force)),
            None => Verb(values),
        }
    }
}

/// A line with masked passwords, for logs and answers.
impl Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// Identifies a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// Its service's name.
    pub service: String,
    /// Its name.
    pub group: String,
}

impl GroupKey {
    /// The group in `config`, if there is one.
    pub(crate) fn find<'a>(&self, config: &'a Config) -> Option<&'a Group> {
        let mut services = config.services.iter();
        let service = services.find(|service| service.name == self.service)?;
        service.groups.iter().find(|group| group.name == self.group)
    }
}

/// Identifies a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostKey {
    /// Its group.
    pub group: GroupKey,
    /// Its name.
    pub name: String,
}

/// Identifies a listener of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenChoice {
    /// By the port alone, whatever the address.
    Port(u16),
    /// In full.
    Address(ListenAddress),
}

impl Display for ListenChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenChoice::Port(port) => port.fmt(f),
            ListenChoice::Address(address) => address.fmt(f),
        }
    }
}

/// Position of an item in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertAt<T = String> {
    /// Directly before this one.
    Before(T),
    /// After all others.
    Last,
}
