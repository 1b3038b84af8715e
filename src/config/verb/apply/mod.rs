//! From a configuration to the next one, by a verb.
//!
//! Nothing is done about it here: whether ports are free and files can be read is
//! found out by whoever puts it in force.

mod group;
mod host;
mod service;
mod user;

use super::named::find;
use super::{GroupKey, Refusal, Verb, option};
use crate::config::error::Quoted;
use crate::config::{Config, Group, Limit, Service};

impl Verb {
    /// The configuration that this makes of `config`.
    ///
    /// Values are taken as they are: a verb that was parsed has none that a file
    /// could not have, one that was made by hand is its maker's business.
    ///
    /// # Errors
    /// What is in the way. Ports and files are not looked at.
    pub fn apply(&self, config: &Config) -> Result<Config, Refusal> {
        apply_all(std::slice::from_ref(self), config).map_err(|(_, refusal)| refusal)
    }

    /// Changes `config`, which is to be thrown away on an error.
    pub(super) fn change(&self, config: &mut Config) -> Result<(), Refusal> {
        match self {
            Verb::AddHost { group, .. }
            | Verb::DelHost { group, .. }
            | Verb::DelAllHosts { group, .. } => host::change_list(self, group, config),
            Verb::SetHost { host, .. }
            | Verb::SetWeight { host, .. }
            | Verb::SetState { host, .. } => host::change_one(self, host, config),
            Verb::NewGroup { group, .. }
            | Verb::DelGroup { group, .. }
            | Verb::EnableGroup { group }
            | Verb::ChangeScheduler { group, .. } => group::change(self, group, config),
            Verb::AddUser { .. } | Verb::SetUser { .. } | Verb::DelUser { .. } => {
                user::change(self, config)
            }
            Verb::SetOption { name, value } => option::set(config, name, value),
            _ => service::change(self, config),
        }
    }
}

/// The configuration that `verbs`, one after the other, make of `config`.
///
/// # Errors
/// The index of the first verb that is refused, and why; nothing has changed then.
pub fn apply_all(verbs: &[Verb], config: &Config) -> Result<Config, (usize, Refusal)> {
    let mut next = config.clone();
    for (index, verb) in verbs.iter().enumerate() {
        verb.change(&mut next).map_err(|refusal| (index, refusal))?;
    }
    half_a_pair(verbs, &next)?;
    let grown = elements(&next) > elements(config);
    if grown && elements(&next) > Limit::Nodes.most() {
        return Err((
            verbs.len().saturating_sub(1),
            Refusal::TooMuch(Limit::Nodes),
        ));
    }
    Ok(next)
}

/// Verbs set one option each, so what goes together is looked at behind the last.
fn half_a_pair(verbs: &[Verb], next: &Config) -> Result<(), (usize, Refusal)> {
    let [cert, key] = ["admin.web.cert", "admin.web.key"];
    let web = next.admin.as_ref().and_then(|admin| admin.web.as_ref());
    let (option, other) = match web.map(|web| (web.cert.is_some(), web.key.is_some())) {
        Some((true, false)) => (cert, key),
        Some((false, true)) => (key, cert),
        _ => return Ok(()),
    };
    let sets =
        |verb: &Verb| matches!(verb, Verb::SetOption { name, .. } if name == cert || name == key);
    // One that was so before is its maker's business.
    match verbs.iter().rposition(sets) {
        Some(index) => Err((index, Refusal::HalfAPair { option, other })),
        None => Ok(()),
    }
}

/// The elements of a file that says the same, but for the few there are once.
fn elements(config: &Config) -> usize {
    let of_group = |group: &Group| 1 + group.hosts.len();
    let of_service = |service: &Service| {
        1 + service.listens.len() + service.groups.iter().map(of_group).sum::<usize>()
    };
    let users = config.admin.iter().flat_map(|admin| &admin.users);
    config.services.iter().map(of_service).sum::<usize>()
        + users.map(|user| 1 + user.keys.len()).sum::<usize>()
}

/// What an operator calls a service.
fn service_words(name: &str) -> String {
    format!("service {}", Quoted(name))
}

fn service_of<'a>(config: &'a mut Config, name: &str) -> Result<&'a mut Service, Refusal> {
    let index = find(&config.services, name, "")?;
    Ok(&mut config.services[index])
}

/// A group, and whether it is enabled.
fn group_of<'a>(config: &'a mut Config, key: &GroupKey) -> Result<(&'a mut Group, bool), Refusal> {
    let service = service_of(config, &key.service)?;
    let index = find(&service.groups, &key.group, &service_words(&key.service))?;
    let enabled = service.enabled == key.group;
    Ok((&mut service.groups[index], enabled))
}

#[cfg(test)]
mod tests;
