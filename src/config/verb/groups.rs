//! Verbs that change groups and hosts.

use super::apply::{group_mut, host, service, service_label, service_mut};
use super::error::refuse_mistake;
use super::list::{check_name_free, find_index, insert_item, move_item};
use super::table::{
    CommandSchema, KeySchema, PreviousValues, adds, before, force, group_keys, host_keys, optional,
    replaces, required, service_key,
};
use super::values::Values;
use super::{CommandError, GroupKey, HostKey, Verb};
use crate::config::attributes::{Attribute, GROUP, HOST};
use crate::config::value::Value;
use crate::config::{Config, Endpoint, Group, Host, HostState, Service, ValueKind};

pub(super) static ADD_HOST: CommandSchema = adds(
    "addHost",
    || {
        let name = KeySchema {
            old: Some("host"),
            ..required("name", ValueKind::NewName)
        };
        [
            group_keys(),
            vec![name],
            HOST.keys_to_add(),
            vec![before(ValueKind::Host)],
        ]
        .concat()
    },
    "add a host to a group",
    |values, config| {
        let key = values.group();
        let group = group_mut(config, &key)?;
        let mut host = Host {
            name: values.name("name"),
            ..Host::default()
        };
        values.set(&HOST, &mut host)?;
        refuse_mistake(host.mistake())?;
        let place = values.place();
        insert_item(&mut group.hosts, host, place.as_ref(), &key.to_string())
    },
);

pub(super) static DEL_HOST: CommandSchema = replaces(
    "delHost",
    || {
        // The host's address instead of its name, as in the ancestors.
        let address = KeySchema {
            instead_of: Some("name"),
            ..optional("ip", ValueKind::HostAddress)
        };
        [host_keys(), vec![address, force()]].concat()
    },
    "remove a host from its group; its sessions live on",
    |values, config| {
        let key = values.group();
        let group = group_mut(config, &key)?;
        let index = match values.text("ip") {
            Some(_) => find_host_at(&group.hosts, &values.get("ip", Value::address)?, &key)?,
            None => find_host(group, &values.host())?,
        };
        group.hosts.remove(index);
        Ok(())
    },
    |values, config| {
        let address = values.text("ip");
        let chosen = |it: &&Host| match address {
            Some(address) => it.address.to_string() == address,
            None => Some(it.name.as_str()) == values.text("name"),
        };
        let host = values.group().find(config)?.hosts.iter().find(chosen)?;
        let known = if address.is_some() { "ip" } else { "name" };
        let others = HOST.attributes.iter().filter(|it| it.name != known);
        Some(others.map(|it| previous_value(it, host)).collect())
    },
);

fn previous_value<T>(attribute: &Attribute<T>, it: &T) -> (&'static str, String) {
    (attribute.name, (attribute.get)(it).unwrap_or_default())
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

pub(super) static DEL_ALL_HOSTS: CommandSchema = adds(
    "delAllHosts",
    || [group_keys(), vec![force()]].concat(),
    "remove all hosts from a group; their sessions live on",
    |values, config| {
        group_mut(config, &values.group())?.hosts.clear();
        Ok(())
    },
);

pub(super) static SET_HOST: CommandSchema = replaces(
    "setHost",
    || {
        [
            host_keys(),
            HOST.keys_to_set(),
            vec![
                before(ValueKind::Host),
                optional("rename", ValueKind::NewName),
                force(),
            ],
        ]
        .concat()
    },
    "change a host's address, weight, place or name",
    |values, config| {
        let key = values.host();
        let owner = key.group.to_string();
        let group = group_mut(config, &key.group)?;
        let index = find_host(group, &key)?;
        let hosts = &mut group.hosts;
        let new_name = values.text("rename").unwrap_or(&key.name);
        if new_name != key.name {
            check_name_free(hosts, new_name, &owner)?;
        }
        values.set(&HOST, &mut hosts[index])?;
        refuse_mistake(hosts[index].mistake())?;
        // Rename last: `before=` refers to old names.
        let moved = move_item(hosts, index, values.place().as_ref(), &owner)?;
        hosts[moved].name = new_name.to_owned();
        Ok(())
    },
    |values, config| Some(values.previous(&HOST, host(config, &values.host())?)),
);

/// The index of a host. A member of a name has none: its template has.
pub(super) fn find_host(group: &Group, key: &HostKey) -> Result<usize, CommandError> {
    find_index(&group.hosts, &key.name, &key.group.to_string()).map_err(|missing| {
        match group.template_of(&key.name) {
            None => missing,
            Some(template) => CommandError::Member {
                name: key.name.clone(),
                template: template.name.clone(),
            },
        }
    })
}

impl Verb {
    /// The host whose wanted state the verb sets, and nothing else; whether that is insisted on.
    pub(crate) fn host_state(&self) -> Option<(HostKey, HostState, bool)> {
        let Verb(values) = self;
        let state = match values.schema {
            it if *it == DRAIN_HOST => HostState::Drain,
            it if *it == HOST_ADMIN_DOWN => HostState::Down,
            it if *it == HOST_ADMIN_UP => HostState::Up,
            _ => return None,
        };
        Some((values.host(), state, values.is_forced()))
    }

    /// The host that the verb renames, and its new name.
    pub(crate) fn renamed_host(&self) -> Option<(HostKey, &str)> {
        let Verb(values) = self;
        let new_name = values.text("rename")?;
        Some((values.host(), new_name)).filter(|(host, new_name)| *new_name != host.name)
    }
}

/// Sets attributes of a host, and nothing else.
fn set_attributes(values: &Values, config: &mut Config) -> Result<(), CommandError> {
    Ok(values.set(&HOST, host_mut(config, &values.host())?)?)
}

fn previous_attributes(values: &Values, config: &Config) -> PreviousValues {
    Some(values.previous(&HOST, host(config, &values.host())?))
}

fn host_mut<'a>(config: &'a mut Config, key: &HostKey) -> Result<&'a mut Host, CommandError> {
    let group = group_mut(config, &key.group)?;
    let index = find_host(group, key)?;
    Ok(&mut group.hosts[index])
}

pub(super) static SET_WEIGHT: CommandSchema = replaces(
    "setWeight",
    || {
        let weight = required("weight", ValueKind::Weight);
        [host_keys(), vec![weight, force()]].concat()
    },
    "change a host's weight",
    set_attributes,
    previous_attributes,
);

pub(super) static DRAIN_HOST: CommandSchema = replaces(
    "drainHost",
    || {
        let wait = optional("wait", ValueKind::Grace);
        [host_keys(), vec![wait, force()]].concat()
    },
    "set a host to drain: no new sessions; wait so many seconds until it is empty",
    |values, config| set_state(values, config, HostState::Drain),
    previous_state,
);

pub(super) static HOST_ADMIN_DOWN: CommandSchema = replaces(
    "hostAdminDown",
    || [host_keys(), vec![force()]].concat(),
    "set a host to down: no new sessions",
    |values, config| set_state(values, config, HostState::Down),
    previous_state,
);

pub(super) static HOST_ADMIN_UP: CommandSchema = replaces(
    "hostAdminUp",
    host_keys,
    "set a host to up: it gets new sessions",
    |values, config| set_state(values, config, HostState::Up),
    previous_state,
);

fn set_state(values: &Values, config: &mut Config, state: HostState) -> Result<(), CommandError> {
    host_mut(config, &values.host())?.state = state;
    Ok(())
}

fn previous_state(values: &Values, config: &Config) -> PreviousValues {
    let state = host(config, &values.host())?.state;
    Some(vec![("state", state.as_str().to_owned())])
}

pub(super) static NEW_GROUP: CommandSchema = adds(
    "newGroup",
    || {
        [
            vec![service_key(), required("group", ValueKind::NewName)],
            GROUP.keys_to_add(),
            vec![before(ValueKind::Group)],
        ]
        .concat()
    },
    "add an empty group, not enabled, to a service",
    |values, config| {
        let GroupKey { service, group } = values.group();
        let groups = &mut service_mut(config, &service)?.groups;
        let mut new = Group {
            name: group,
            ..Group::default()
        };
        values.set(&GROUP, &mut new)?;
        let owner = service_label(&service);
        insert_item(groups, new, values.place().as_ref(), &owner)
    },
);

pub(super) static DEL_GROUP: CommandSchema = adds(
    "delGroup",
    || [group_keys(), vec![force()]].concat(),
    "remove a group with its hosts; forced on the enabled one, the next is enabled",
    |values, config| {
        let key = values.group();
        let service = service_mut(config, &key.service)?;
        let owner = service_label(&key.service);
        let index = find_index(&service.groups, &key.group, &owner)?;
        remove_group(service, index, values.is_forced(), key)
    },
);

/// Exactly one group is always enabled: if this one was, then the first of the others. A group that
/// a route names stays.
fn remove_group(
    service: &mut Service,
    index: usize,
    force: bool,
    key: GroupKey,
) -> Result<(), CommandError> {
    if service.groups.len() == 1 {
        return Err(CommandError::LastGroup { group: key });
    }
    let mut routes = service.routes.iter();
    if let Some(index) = routes.position(|route| route.group == key.group) {
        let number = index + 1;
        return Err(CommandError::RoutedGroup { group: key, number });
    }
    let was_enabled = service.enabled == key.group;
    if was_enabled && !force {
        return Err(CommandError::EnabledGroup { group: key });
    }
    service.groups.remove(index);
    if was_enabled && let Some(first) = service.groups.first() {
        service.enabled.clone_from(&first.name);
    }
    Ok(())
}

pub(super) static ENABLE_GROUP: CommandSchema = replaces(
    "enableGroup",
    || [group_keys(), vec![force()]].concat(),
    "give new sessions to this group",
    |values, config| {
        let GroupKey { service, group } = values.group();
        let owner = service_label(&service);
        let service = service_mut(config, &service)?;
        find_index(&service.groups, &group, &owner)?;
        service.enabled = group;
        Ok(())
    },
    |values, config| {
        let service = service(config, values.text("service")?)?;
        Some(vec![("group", service.enabled.clone())])
    },
);

pub(super) static SET_GROUP: CommandSchema = replaces(
    "setGroup",
    || {
        [
            group_keys(),
            GROUP.keys_to_set(),
            vec![before(ValueKind::Group)],
        ]
        .concat()
    },
    "change a group's attributes or place",
    change_group,
    previous_group,
);

pub(super) static CHANGE_SCHEDULER: CommandSchema = replaces(
    "changeScheduler",
    || {
        [
            group_keys(),
            vec![
                required("scheduler", ValueKind::Scheduler),
                optional("stickyPrefix", ValueKind::Prefix),
                before(ValueKind::Group),
            ],
        ]
        .concat()
    },
    "change how a group picks hosts, and where it stands",
    change_group,
    previous_group,
);

/// Sets attributes and the place of a group.
fn change_group(values: &Values, config: &mut Config) -> Result<(), CommandError> {
    let GroupKey { service, group } = values.group();
    let owner = service_label(&service);
    let groups = &mut service_mut(config, &service)?.groups;
    let index = find_index(groups, &group, &owner)?;
    values.set(&GROUP, &mut groups[index])?;
    move_item(groups, index, values.place().as_ref(), &owner).map(drop)
}

fn previous_group(values: &Values, config: &Config) -> PreviousValues {
    Some(values.previous(&GROUP, values.group().find(config)?))
}
