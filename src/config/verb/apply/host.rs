//! The verbs about hosts.

use super::group_of;
use crate::config::verb::named::{check_free, find, insert, move_to};
use crate::config::verb::{CommandError, GroupKey, HostChoice, HostKey, Verb};
use crate::config::{Config, Endpoint, Host};

/// Adds or removes hosts.
pub(super) fn change_list(
    verb: &Verb,
    key: &GroupKey,
    config: &mut Config,
) -> Result<(), CommandError> {
    let (group, enabled) = group_of(config, key)?;
    let hosts = &mut group.hosts;
    match verb {
        Verb::AddHost { host, place, .. } => {
            insert(hosts, host.clone(), place.as_ref(), &key.to_string())
        }
        Verb::DelHost { host, force, .. } => {
            let index = chosen(hosts, host, key)?;
            if enabled && hosts.len() == 1 && !force {
                return Err(CommandError::LastHost { group: key.clone() });
            }
            hosts.remove(index);
            Ok(())
        }
        Verb::DelAllHosts { force, .. } => {
            if enabled && !hosts.is_empty() && !force {
                return Err(CommandError::LastHost { group: key.clone() });
            }
            hosts.clear();
            Ok(())
        }
        _ => Ok(()),
    }
}

fn chosen(hosts: &[Host], choice: &HostChoice, key: &GroupKey) -> Result<usize, CommandError> {
    match choice {
        HostChoice::Name(name) => find(hosts, name, &key.to_string()),
        HostChoice::Address(address) => only_one_at(hosts, address, key),
    }
}

fn only_one_at(hosts: &[Host], address: &Endpoint, key: &GroupKey) -> Result<usize, CommandError> {
    let there = |host: &&Host| host.address == *address;
    let names: Vec<_> = hosts.iter().filter(there).map(|host| &host.name).collect();
    match names[..] {
        [name] => find(hosts, name, &key.to_string()),
        _ => Err(CommandError::HostsAt {
            group: key.clone(),
            address: address.clone(),
            names: names.into_iter().cloned().collect(),
        }),
    }
}

/// Changes what is said of a host.
pub(super) fn change_one(
    verb: &Verb,
    key: &HostKey,
    config: &mut Config,
) -> Result<(), CommandError> {
    let (group, _) = group_of(config, &key.group)?;
    let owner = key.group.to_string();
    let index = find(&group.hosts, &key.name, &owner)?;
    let hosts = &mut group.hosts;
    match verb {
        Verb::SetHost {
            address,
            weight,
            place,
            rename,
            ..
        } => {
            if let Some(name) = rename.as_ref().filter(|name| **name != key.name) {
                check_free(hosts, name, &owner)?;
            }
            let host = &mut hosts[index];
            host.address = address.clone().unwrap_or_else(|| host.address.clone());
            host.weight = weight.unwrap_or(host.weight);
            // The new name comes last: `before=` speaks of the old ones.
            let name = rename.clone().unwrap_or_else(|| host.name.clone());
            let moved = move_to(hosts, index, place.as_ref(), &owner)?;
            hosts[moved].name = name;
        }
        Verb::SetWeight { weight, .. } => hosts[index].weight = *weight,
        Verb::SetState { state, .. } => hosts[index].state = *state,
        _ => {}
    }
    Ok(())
}
