//! From two configurations to the verbs that make the second one of the first.
//!
//! Services, groups, hosts and users are known by name: what is called otherwise
//! is something else. What is the same in both is left alone.

mod listens;
mod order;
mod services;
mod users;

use super::{Batch, Command, Verb, options};
use crate::config::Config;

/// The verbs that, one after the other, make `to` of `from`: none if they are equal.
///
/// They change things rather than remove and add them, so that counters live on.
/// Both must be such as a file could be read to; then
/// [`apply_all`](super::apply_all) of the verbs to `from` is `to`.
pub fn diff(from: &Config, to: &Config) -> Vec<Verb> {
    let mut draft = Draft {
        now: from.clone(),
        verbs: Vec::new(),
    };
    services::diff(&mut draft, to);
    remove_elements(&mut draft, to);
    set_attributes(&mut draft, to);
    users::diff(&mut draft, to);
    add_elements(&mut draft, to);
    draft.verbs
}

/// The verbs as lines, between `begin` and `commit` if there is more than one: fed
/// to a console, they are one change. It shows passwords.
pub fn script(verbs: &[Verb]) -> String {
    let lines = verbs.iter().map(Verb::line);
    let around = |batch| (verbs.len() > 1).then(|| Command::Batch(batch).line());
    around(Batch::Begin)
        .into_iter()
        .chain(lines)
        .chain(around(Batch::Commit))
        .map(|line| line + "\n")
        .collect()
}

/// The verbs so far, and what they have made of the first configuration.
struct Draft {
    now: Config,
    verbs: Vec<Verb>,
}

impl Draft {
    fn push(&mut self, verb: Verb) {
        let done = verb.change(&mut self.now);
        debug_assert!(done.is_ok(), "{verb}: {done:?}");
        self.verbs.push(verb);
    }

    fn set_option(&mut self, path: &str, value: Option<String>) {
        self.push(Verb::SetOption {
            name: path.to_owned(),
            value: value.unwrap_or_default(),
        });
    }
}

/// The elements that go, with all that is in them.
fn remove_elements(draft: &mut Draft, to: &Config) {
    for option in options().iter().filter(|option| option.is_element()) {
        if option.value(to).is_none() && option.value(&draft.now).is_some() {
            draft.set_option(option.path, None);
        }
    }
}

/// The attributes: first those that have a value, for an open door is closed before
/// it loses its place to listen, and gets a place before it is opened.
fn set_attributes(draft: &mut Draft, to: &Config) {
    for has_value in [true, false] {
        for option in options().iter().filter(|option| !option.is_element()) {
            let value = option.value(to);
            if value.is_some() == has_value && value != option.value(&draft.now) {
                draft.set_option(option.path, value);
            }
        }
    }
}

/// The elements that did not come with something in them.
fn add_elements(draft: &mut Draft, to: &Config) {
    for option in options().iter().filter(|option| option.is_element()) {
        let value = option.value(to);
        if value != option.value(&draft.now) {
            draft.set_option(option.path, value);
        }
    }
}

#[cfg(test)]
mod tests;
