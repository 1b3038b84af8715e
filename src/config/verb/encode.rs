//! A command's name with its keys and their values, and how that is one line.
//!
//! Which keys there are is `print`'s business.

use std::fmt::{self, Display};

use super::line::Quoted;
use super::table::{self, Takes};
use super::{GroupKey, HostKey, InsertAt};
use crate::config::print::HIDDEN;

/// A command's name, and its keys with their values.
pub(super) struct Written {
    name: &'static str,
    pairs: Vec<(&'static str, String)>,
    shows_secrets: bool,
}

impl Written {
    pub(super) fn new(name: &'static str) -> Self {
        Written {
            name,
            pairs: Vec::new(),
            shows_secrets: false,
        }
    }

    /// With passwords, which are `***` otherwise.
    pub(super) fn in_full(self) -> Self {
        Written {
            shows_secrets: true,
            ..self
        }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.pairs.push((key, value.to_string()));
        self
    }

    pub(super) fn maybe(self, key: &'static str, value: Option<impl Display>) -> Self {
        self.all(key, value)
    }

    pub(super) fn all(
        self,
        key: &'static str,
        values: impl IntoIterator<Item = impl Display>,
    ) -> Self {
        values
            .into_iter()
            .fold(self, |out, value| out.with(key, value))
    }

    pub(super) fn group(self, group: &GroupKey) -> Self {
        self.with("service", &group.service)
            .with("group", &group.group)
    }

    pub(super) fn host(self, host: &HostKey) -> Self {
        self.group(&host.group).with("name", &host.name)
    }

    pub(super) fn force(self, force: bool) -> Self {
        self.maybe("force", force.then_some(true))
    }

    pub(super) fn place(self, place: Option<&InsertAt<impl Display>>) -> Self {
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
