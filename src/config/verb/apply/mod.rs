//! Applies verbs to a configuration: a pure function from one [`Config`] to the next.
//!
//! Whether ports are free and files can be read is found out when the next one is put in force.

#[cfg(test)]
mod tests;

use super::list::{check_name_free, find_index, insert_item, move_item};
use super::{CommandError, GroupKey, HostChoice, HostKey, InsertAt, ListenChoice, Verb, option};
use crate::config::redact::Quoted;
use crate::config::{
    Algorithm, Config, Endpoint, Group, Host, Limit, ListenAddress, Service, Timeouts, User,
};

impl Verb {
    /// Applies the verb to `config`.
    ///
    /// Values are not checked: a parsed verb has only valid ones.
    ///
    /// # Errors
    /// The verb does not fit the configuration. Ports and files are not checked.
    pub fn apply(&self, config: &Config) -> Result<Config, CommandError> {
        apply_all(std::slice::from_ref(self), config).map_err(|(_, error)| error)
    }

    /// Changes `config` in place; after an error it must be dropped.
    pub(super) fn change(&self, config: &mut Config) -> Result<(), CommandError> {
        match self {
            Verb::AddHost { group, .. }
            | Verb::DelHost { group, .. }
            | Verb::DelAllHosts { group, .. } => change_hosts(self, group, config),
            Verb::SetHost { host, .. }
            | Verb::SetWeight { host, .. }
            | Verb::SetState { host, .. } => change_host(self, host, config),
            Verb::NewGroup { group, .. }
            | Verb::DelGroup { group, .. }
            | Verb::EnableGroup { group }
            | Verb::ChangeScheduler { group, .. } => change_group(self, group, config),
            Verb::AddUser { .. } | Verb::SetUser { .. } | Verb::DelUser { .. } => {
                change_user(self, config)
            }
            Verb::SetOption { name, value } => option::set(config, name, value),
            _ => change_service(self, config),
        }
    }
}

/// Applies `verbs` to `config`, one after the other.
///
/// # Errors
/// The index of the first verb that fails, and why; nothing has changed then.
pub fn apply_all(verbs: &[Verb], config: &Config) -> Result<Config, (usize, CommandError)> {
    let mut next = config.clone();
    for (index, verb) in verbs.iter().enumerate() {
        verb.change(&mut next).map_err(|error| (index, error))?;
    }
    check_pairs(verbs, &next)?;
    let grown = count_elements(&next) > count_elements(config);
    if grown && count_elements(&next) > Limit::Nodes.max() {
        return Err((
            verbs.len().saturating_sub(1),
            CommandError::TooMuch(Limit::Nodes),
        ));
    }
    Ok(next)
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
    let sets =
        |verb: &Verb| matches!(verb, Verb::SetOption { name, .. } if name == cert || name == key);
    // An incomplete pair from before is not these verbs' error.
    match verbs.iter().rposition(sets) {
        Some(index) => Err((index, CommandError::IncompletePair { option, other })),
        None => Ok(()),
    }
}

/// Number of elements of the file, without those that occur once.
fn count_elements(config: &Config) -> usize {
    let of_group = |group: &Group| 1 + group.hosts.len();
    let of_service = |service: &Service| {
        1 + service.listens.len() + service.groups.iter().map(of_group).sum::<usize>()
    };
    let users = config.admin.iter().flat_map(|admin| &admin.users);
    config.services.iter().map(of_service).sum::<usize>()
        + users.map(|user| 1 + user.keys.len()).sum::<usize>()
}

/// A service in messages.
fn service_label(name: &str) -> String {
    format!("service {}", Quoted(name))
}

fn service_mut<'a>(config: &'a mut Config, name: &str) -> Result<&'a mut Service, CommandError> {
    let index = find_index(&config.services, name, "")?;
    Ok(&mut config.services[index])
}

/// A group, and whether it is enabled.
fn group_mut<'a>(
    config: &'a mut Config,
    key: &GroupKey,
) -> Result<(&'a mut Group, bool), CommandError> {
    let service = service_mut(config, &key.service)?;
    let index = find_index(&service.groups, &key.group, &service_label(&key.service))?;
    let enabled = service.enabled == key.group;
    Ok((&mut service.groups[index], enabled))
}

/// Name of the group of a new service.
const FIRST_GROUP: &str = "main";

/// Adds, removes or changes a service.
fn change_service(verb: &Verb, config: &mut Config) -> Result<(), CommandError> {
    match verb {
        Verb::NewService {
            service,
            listen,
            insert_at,
        } => {
            check_listen_free(config, listen)?;
            let service = new_service(service, listen);
            insert_item(&mut config.services, service, insert_at.as_ref(), "")
        }
        Verb::DelService { service } => {
            let index = find_index(&config.services, service, "")?;
            config.services.remove(index);
            Ok(())
        }
        Verb::SetService {
            service,
            connect,
            idle,
            half_closed,
            insert_at,
        } => {
            let index = find_index(&config.services, service, "")?;
            let timeouts = &mut config.services[index].timeouts;
            timeouts.connect = connect.unwrap_or(timeouts.connect);
            timeouts.idle = idle.unwrap_or(timeouts.idle);
            timeouts.half_closed = half_closed.unwrap_or(timeouts.half_closed);
            move_item(&mut config.services, index, insert_at.as_ref(), "").map(drop)
        }
        Verb::AddListen {
            service,
            address,
            insert_at,
        } => add_listen(config, service, address, insert_at.as_ref()),
        Verb::DelListen { service, address } => del_listen(config, service, address),
        Verb::SwitchPort { service, from, to } => switch_port(config, service, from, to),
        _ => Ok(()),
    }
}

fn new_service(name: &str, listen: &ListenAddress) -> Service {
    Service {
        name: name.to_owned(),
        timeouts: Timeouts::default(),
        listens: vec![listen.clone()],
        groups: vec![Group {
            name: FIRST_GROUP.to_owned(),
            scheduler: Algorithm::LeastConns.into(),
            sticky_prefix: Group::WHOLE_ADDRESS,
            hosts: Vec::new(),
        }],
        enabled: FIRST_GROUP.to_owned(),
    }
}

/// Checks that no service listens there. With port 0 the system chooses a port, never the same
/// twice.
fn check_listen_free(config: &Config, address: &ListenAddress) -> Result<(), CommandError> {
    let mut services = config.services.iter();
    let taken = services.find(|service| service.listens.contains(address));
    match taken.filter(|_| address.port != 0) {
        None => Ok(()),
        Some(service) => Err(CommandError::ListenTaken {
            address: address.clone(),
            service: service.name.clone(),
        }),
    }
}

fn add_listen(
    config: &mut Config,
    name: &str,
    address: &ListenAddress,
    insert_at: Option<&InsertAt<ListenAddress>>,
) -> Result<(), CommandError> {
    let service = service_mut(config, name)?;
    let index = match insert_at {
        Some(InsertAt::Before(next)) => {
            listen_index(service, &ListenChoice::Address(next.clone()))?
        }
        Some(InsertAt::Last) | None => service.listens.len(),
    };
    check_listen_free(config, address)?;
    let listens = &mut service_mut(config, name)?.listens;
    listens.insert(index, address.clone());
    Ok(())
}

fn del_listen(
    config: &mut Config,
    name: &str,
    address: &ListenAddress,
) -> Result<(), CommandError> {
    let service = service_mut(config, name)?;
    let index = listen_index(service, &ListenChoice::Address(address.clone()))?;
    if service.listens.len() == 1 {
        return Err(CommandError::LastListen {
            service: name.to_owned(),
        });
    }
    service.listens.remove(index);
    Ok(())
}

fn switch_port(
    config: &mut Config,
    name: &str,
    from: &ListenChoice,
    to: &ListenChoice,
) -> Result<(), CommandError> {
    let service = service_mut(config, name)?;
    let index = listen_index(service, from)?;
    let before = &service.listens[index];
    let after = match to {
        ListenChoice::Address(address) => address.clone(),
        ListenChoice::Port(port) => ListenAddress {
            host: before.host.clone(),
            port: *port,
        },
    };
    if after != *before {
        check_listen_free(config, &after)?;
        service_mut(config, name)?.listens[index] = after;
    }
    Ok(())
}

/// Index of a listener. Only those with port 0 can be equal: then the last.
fn listen_index(service: &Service, choice: &ListenChoice) -> Result<usize, CommandError> {
    let listens = &service.listens;
    let found = match choice {
        ListenChoice::Address(address) => listens.iter().rposition(|listen| listen == address),
        ListenChoice::Port(port) => {
            let mut there = listens
                .iter()
                .enumerate()
                .filter(|(_, it)| it.port == *port);
            let first = there.next().map(|(index, _)| index);
            first.filter(|_| there.next().is_none())
        }
    };
    found.ok_or_else(|| CommandError::NoListen {
        service: service.name.clone(),
        listen: choice.clone(),
        listens: listens.clone(),
    })
}

/// Changes a service's groups.
fn change_group(verb: &Verb, key: &GroupKey, config: &mut Config) -> Result<(), CommandError> {
    let service = service_mut(config, &key.service)?;
    let owner = service_label(&key.service);
    if let Verb::NewGroup {
        scheduler,
        sticky_prefix,
        insert_at,
        ..
    } = verb
    {
        let group = Group {
            name: key.group.clone(),
            scheduler: scheduler.clone(),
            sticky_prefix: *sticky_prefix,
            hosts: Vec::new(),
        };
        return insert_item(&mut service.groups, group, insert_at.as_ref(), &owner);
    }
    let index = find_index(&service.groups, &key.group, &owner)?;
    match verb {
        Verb::DelGroup { force, .. } => remove_group(service, index, *force, key),
        Verb::EnableGroup { .. } => {
            service.enabled.clone_from(&key.group);
            Ok(())
        }
        Verb::ChangeScheduler {
            scheduler,
            sticky_prefix,
            insert_at,
            ..
        } => {
            let group = &mut service.groups[index];
            group.scheduler = scheduler.clone();
            group.sticky_prefix = sticky_prefix.unwrap_or(group.sticky_prefix);
            move_item(&mut service.groups, index, insert_at.as_ref(), &owner).map(drop)
        }
        _ => Ok(()),
    }
}

/// Exactly one group is always enabled: if this one was, then the first of the others.
fn remove_group(
    service: &mut Service,
    index: usize,
    force: bool,
    key: &GroupKey,
) -> Result<(), CommandError> {
    if service.groups.len() == 1 {
        return Err(CommandError::LastGroup { group: key.clone() });
    }
    let was_enabled = service.enabled == key.group;
    if was_enabled && !force {
        return Err(CommandError::EnabledGroup { group: key.clone() });
    }
    service.groups.remove(index);
    if was_enabled && let Some(first) = service.groups.first() {
        service.enabled.clone_from(&first.name);
    }
    Ok(())
}

/// Adds or removes hosts.
fn change_hosts(verb: &Verb, key: &GroupKey, config: &mut Config) -> Result<(), CommandError> {
    let (group, enabled) = group_mut(config, key)?;
    let hosts = &mut group.hosts;
    match verb {
        Verb::AddHost {
            host, insert_at, ..
        } => insert_item(hosts, host.clone(), insert_at.as_ref(), &key.to_string()),
        Verb::DelHost { host, force, .. } => {
            let index = find_host(hosts, host, key)?;
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

fn find_host(hosts: &[Host], choice: &HostChoice, key: &GroupKey) -> Result<usize, CommandError> {
    match choice {
        HostChoice::Name(name) => find_index(hosts, name, &key.to_string()),
        HostChoice::Address(address) => find_host_at(hosts, address, key),
    }
}

fn find_host_at(hosts: &[Host], address: &Endpoint, key: &GroupKey) -> Result<usize, CommandError> {
    let there = |host: &&Host| host.address == *address;
    let names: Vec<_> = hosts.iter().filter(there).map(|host| &host.name).collect();
    match names[..] {
        [name] => find_index(hosts, name, &key.to_string()),
        _ => Err(CommandError::HostsAt {
            group: key.clone(),
            address: address.clone(),
            names: names.into_iter().cloned().collect(),
        }),
    }
}

/// Changes a host.
fn change_host(verb: &Verb, key: &HostKey, config: &mut Config) -> Result<(), CommandError> {
    let (group, _) = group_mut(config, &key.group)?;
    let owner = key.group.to_string();
    let index = find_index(&group.hosts, &key.name, &owner)?;
    let hosts = &mut group.hosts;
    match verb {
        Verb::SetHost {
            address,
            weight,
            insert_at,
            rename,
            ..
        } => {
            if let Some(name) = rename.as_ref().filter(|name| **name != key.name) {
                check_name_free(hosts, name, &owner)?;
            }
            let host = &mut hosts[index];
            host.address = address.clone().unwrap_or_else(|| host.address.clone());
            host.weight = weight.unwrap_or(host.weight);
            // Rename last: `before=` refers to old names.
            let name = rename.clone().unwrap_or_else(|| host.name.clone());
            let moved = move_item(hosts, index, insert_at.as_ref(), &owner)?;
            hosts[moved].name = name;
        }
        Verb::SetWeight { weight, .. } => hosts[index].weight = *weight,
        Verb::SetState { state, .. } => hosts[index].state = *state,
        _ => {}
    }
    Ok(())
}

/// Adds, removes or changes a user.
fn change_user(verb: &Verb, config: &mut Config) -> Result<(), CommandError> {
    match verb {
        Verb::AddUser { user, insert_at } => {
            check_credentials(user)?;
            insert_item(users_mut(config), user.clone(), insert_at.as_ref(), "")
        }
        Verb::SetUser {
            name,
            password,
            access,
            keys,
            insert_at,
        } => {
            let users = users_mut(config);
            let index = find_index(users, name, "")?;
            let user = &mut users[index];
            if let Some(password) = password {
                user.password = Some(password.0.clone()).filter(|text| !text.is_empty());
            }
            user.access = access.unwrap_or(user.access);
            user.keys = keys.clone().unwrap_or_else(|| user.keys.clone());
            check_credentials(user)?;
            move_item(users, index, insert_at.as_ref(), "").map(drop)
        }
        Verb::DelUser { name } => {
            let users = users_mut(config);
            let index = find_index(users, name, "")?;
            users.remove(index);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Without an admin section the list is empty, so the verb fails.
fn users_mut(config: &mut Config) -> &mut Vec<User> {
    &mut config.admin.get_or_insert_default().users
}

/// Checks that the user can log in: with a password or a key.
fn check_credentials(user: &User) -> Result<(), CommandError> {
    match user.password.is_some() || !user.keys.is_empty() {
        true => Ok(()),
        false => Err(CommandError::NoCredentials {
            user: user.name.clone(),
        }),
    }
}
