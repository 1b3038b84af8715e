//! Applies verbs to a configuration: a pure function from one [`Config`] to the next.
//!
//! Whether ports are free and files can be read is found out when the next one is put in force.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use super::groups::find_host;
use super::guard::{self, Unusable};
use super::line::QuotedWord;
use super::list::find_index;
use super::table::Effect;
use super::users::SET_OPTION;
use super::{CommandError, GroupKey, HostKey, ParseError, Verb};
use crate::config::redact::Quoted;
use crate::config::{Config, Group, Host, Limit, Service};

impl Verb {
    /// Applies the verb to `config`.
    ///
    /// # Errors
    /// The verb does not fit the configuration. Ports and files are not checked.
    pub fn apply(&self, config: &Config) -> Result<Config, CommandError> {
        apply_all(std::slice::from_ref(self), config).map_err(|(_, error)| error)
    }

    /// Changes `config` in place, without the guard of groups; after an error it must be
    /// dropped.
    pub(crate) fn change(&self, config: &mut Config) -> Result<(), CommandError> {
        match self.0.schema.effect {
            Effect::Change { apply, .. } => apply(&self.0, config),
            // No verb is made of these.
            Effect::Action(_) | Effect::Question(_) | Effect::Batch(_) => {
                let error = ParseError::unknown_verb(self.name());
                Err(CommandError::Option(error))
            }
        }
    }

    /// The values in `config` that this verb replaces, as `key=value` separated by blanks, for the
    /// log. `None` if it only adds, or they are secret.
    pub fn previous_values(&self, config: &Config) -> Option<String> {
        let Effect::Change { previous, .. } = self.0.schema.effect else {
            return None;
        };
        let pairs = previous(&self.0, config)?;
        let pair = |(key, value): &(&str, String)| format!("{key}={}", QuotedWord(value));
        let pairs: Vec<String> = pairs.iter().map(pair).collect();
        (!pairs.is_empty()).then(|| pairs.join(" "))
    }
}

/// Applies `verbs` to `config`, one after the other.
///
/// # Errors
/// The index of the first verb that fails, and why; nothing has changed then. A result in which
/// a group with new sessions has lost its last usable host wants a verb with `force=true`.
pub fn apply_all(verbs: &[Verb], config: &Config) -> Result<Config, (usize, CommandError)> {
    apply_all_seen(verbs, config, &|_| HashSet::new())
}

/// As [`apply_all`], where hosts at the `unusable` addresses get no sessions.
///
/// # Errors
/// Those of [`apply_all`].
pub(crate) fn apply_all_seen(
    verbs: &[Verb],
    config: &Config,
    unusable: Unusable<'_>,
) -> Result<Config, (usize, CommandError)> {
    let mut next = config.clone();
    for (index, verb) in verbs.iter().enumerate() {
        verb.change(&mut next).map_err(|error| (index, error))?;
    }
    check_pairs(verbs, &next)?;
    guard::check(verbs, config, &next, unusable)?;
    check_limits(config, &next).map_err(|error| (verbs.len().saturating_sub(1), error))?;
    Ok(next)
}

/// Checks the limits of the whole file. They were kept before, or are exceeded no further.
fn check_limits(now: &Config, next: &Config) -> Result<(), CommandError> {
    type Count = fn(&Config) -> usize;
    let counts: [(Count, Limit); 2] = [
        (count_elements, Limit::Nodes),
        (Config::count_listeners, Limit::Listeners),
    ];
    for (count, limit) in counts {
        if count(next) > count(now) && count(next) > limit.max() {
            return Err(CommandError::TooMuch(limit));
        }
    }
    Ok(())
}

/// A certificate needs its key. Verbs set one option each, so this is checked after the last.
fn check_pairs(verbs: &[Verb], next: &Config) -> Result<(), (usize, CommandError)> {
    let [cert, key] = ["admin.web.cert", "admin.web.key"];
    let web = next.admin.as_ref().and_then(|admin| admin.web.as_ref());
    let (option, other) = match web.map(|web| (web.cert.is_some(), web.key.is_some())) {
        Some((true, false)) => (cert, key),
        Some((false, true)) => (key, cert),
        _ => return Ok(()),
    };
    let sets = |verb: &Verb| {
        let name = verb.0.text("name");
        *verb.0.schema == SET_OPTION && [Some(cert), Some(key)].contains(&name)
    };
    // An incomplete pair from before is not these verbs' error.
    match verbs.iter().rposition(sets) {
        Some(index) => Err((index, CommandError::IncompletePair { option, other })),
        None => Ok(()),
    }
}

/// Number of elements of the file, without those that occur once.
pub(crate) fn count_elements(config: &Config) -> usize {
    let of_group = |group: &Group| 1 + group.checks.len() + group.hosts.len();
    let of_service = |service: &Service| {
        let groups = service.groups.iter().map(of_group).sum::<usize>();
        1 + service.listens.len() + service.routes.len() + groups
    };
    let users = config.users().iter();
    config.services.iter().map(of_service).sum::<usize>()
        + users.map(|user| 1 + user.keys.len()).sum::<usize>()
}

/// A service in messages.
pub(super) fn service_label(name: &str) -> String {
    format!("service {}", Quoted(name))
}

pub(super) fn service_mut<'a>(
    config: &'a mut Config,
    name: &str,
) -> Result<&'a mut Service, CommandError> {
    let index = find_index(&config.services, name, "")?;
    Ok(&mut config.services[index])
}

pub(super) fn group_mut<'a>(
    config: &'a mut Config,
    key: &GroupKey,
) -> Result<&'a mut Group, CommandError> {
    let service = service_mut(config, &key.service)?;
    let index = find_index(&service.groups, &key.group, &service_label(&key.service))?;
    Ok(&mut service.groups[index])
}

impl HostKey {
    /// Checks that the host exists.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn check(&self, config: &Config) -> Result<(), CommandError> {
        let services = &config.services;
        let service = &services[find_index(services, &self.group.service, "")?];
        let owner = service_label(&service.name);
        let group = &service.groups[find_index(&service.groups, &self.group.group, &owner)?];
        find_host(group, self).map(drop)
    }
}

pub(super) fn service<'a>(config: &'a Config, name: &str) -> Option<&'a Service> {
    config.services.iter().find(|it| it.name == name)
}

pub(super) fn host<'a>(config: &'a Config, key: &HostKey) -> Option<&'a Host> {
    let mut hosts = key.group.find(config)?.hosts.iter();
    hosts.find(|host| host.name == key.name)
}
