//! Compares two configurations: the verbs that lead from the first to the second.
//!
//! Services, groups, hosts and users are known by name: another name is another item.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::list::{ListChange, find_by_name, list_changes, not_last, removed_names};
use super::{
    Batch, Command, GroupKey, HostChoice, HostKey, InsertAt, ListenChoice, Secret, Verb, options,
};
use crate::config::{Config, Group, Host, ListenAddress, ListenHost, Service, Timeouts, User};

/// The verbs that change `from` into `to`, one after the other; none if they are equal.
///
/// They change items rather than remove and add them, so that counters live on. Both must be
/// configurations that a file can express; then [`apply_all`](super::apply_all) of the verbs to
/// `from` is `to`.
pub fn diff(from: &Config, to: &Config) -> Vec<Verb> {
    let mut draft = Draft {
        now: from.clone(),
        verbs: Vec::new(),
    };
    diff_services(&mut draft, to);
    remove_elements(&mut draft, to);
    set_attributes(&mut draft, to);
    diff_users(&mut draft, to);
    add_elements(&mut draft, to);
    draft.verbs
}

/// The verbs as lines, between `begin` and `commit` if there are several, so that a console makes
/// them one change. It shows passwords.
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

/// The verbs so far, and the configuration after them.
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

/// Removes elements with all that is in them.
fn remove_elements(draft: &mut Draft, to: &Config) {
    for option in options().iter().filter(|option| option.is_element()) {
        if option.value(to).is_none() && option.value(&draft.now).is_some() {
            draft.set_option(&option.path, None);
        }
    }
}

/// Sets attributes, first those with a value: an interface is disabled before it loses its address,
/// and gets an address before it is enabled.
fn set_attributes(draft: &mut Draft, to: &Config) {
    for has_value in [true, false] {
        for option in options().iter().filter(|option| !option.is_element()) {
            let value = option.value(to);
            if value.is_some() == has_value && value != option.value(&draft.now) {
                draft.set_option(&option.path, value);
            }
        }
    }
}

/// Adds elements that no attribute in them has added yet.
fn add_elements(draft: &mut Draft, to: &Config) {
    for option in options().iter().filter(|option| option.is_element()) {
        let value = option.value(to);
        if value != option.value(&draft.now) {
            draft.set_option(&option.path, value);
        }
    }
}

/// Changes the services into those of `to`.
fn diff_services(draft: &mut Draft, to: &Config) {
    for service in removed_names(&draft.now.services, &to.services) {
        draft.push(Verb::DelService { service });
    }
    release_listeners(draft, to);
    for (target, change) in to
        .services
        .iter()
        .zip(list_changes(&draft.now.services, &to.services))
    {
        match change {
            ListChange::Add(insert_at) => {
                let Some(listen) = target.listens.first() else {
                    continue;
                };
                draft.push(Verb::NewService {
                    service: target.name.clone(),
                    listen: listen.clone(),
                    insert_at: not_last(insert_at),
                });
                set_service(draft, target, None);
            }
            change => set_service(draft, target, change.moved_to()),
        }
        complete_listeners(draft, target);
        diff_groups(draft, target);
    }
}

/// Sets the timeouts and position of a service.
fn set_service(draft: &mut Draft, target: &Service, insert_at: Option<InsertAt>) {
    let Some(service) = find_by_name(&draft.now.services, &target.name) else {
        return;
    };
    let (now, to) = (service.timeouts, target.timeouts);
    if now == to && insert_at.is_none() {
        return;
    }
    let differs = |pick: fn(Timeouts) -> _| Some(pick(to)).filter(|value| *value != pick(now));
    draft.push(Verb::SetService {
        service: target.name.clone(),
        connect: differs(|timeouts| timeouts.connect),
        idle: differs(|timeouts| timeouts.idle),
        half_closed: differs(|timeouts| timeouts.half_closed),
        insert_at,
    });
}

/// Changes the groups of a service. Removes come last, so that one is always enabled.
fn diff_groups(draft: &mut Draft, target: &Service) {
    let Some(service) = find_by_name(&draft.now.services, &target.name).cloned() else {
        return;
    };
    let key = |name: &str| GroupKey {
        service: target.name.clone(),
        group: name.to_owned(),
    };
    let list_changes = list_changes(&service.groups, &target.groups);
    for (group, change) in target.groups.iter().zip(list_changes) {
        let now = find_by_name(&service.groups, &group.name);
        set_group(draft, key(&group.name), group, change, now);
        let enabled = service.enabled == group.name;
        let hosts = now.map_or(&[][..], |group| &group.hosts);
        diff_hosts(draft, &key(&group.name), hosts, &group.hosts, enabled);
    }
    if service.enabled != target.enabled {
        let group = key(&target.enabled);
        draft.push(Verb::EnableGroup { group });
    }
    for name in removed_names(&service.groups, &target.groups) {
        draft.push(Verb::DelGroup {
            group: key(&name),
            force: false,
        });
    }
}

/// Adds a group, or sets its scheduler, sticky prefix and position.
fn set_group(
    draft: &mut Draft,
    key: GroupKey,
    target: &Group,
    change: ListChange,
    now: Option<&Group>,
) {
    let scheduler = target.scheduler.clone();
    match change {
        ListChange::Add(insert_at) => draft.push(Verb::NewGroup {
            group: key,
            scheduler,
            sticky_prefix: target.sticky_prefix,
            insert_at: not_last(insert_at),
        }),
        ListChange::Keep if now.is_some_and(|now| has_same_scheduling(now, target)) => {}
        change => draft.push(Verb::ChangeScheduler {
            group: key,
            scheduler,
            sticky_prefix: Some(target.sticky_prefix)
                .filter(|prefix| now.is_none_or(|now| now.sticky_prefix != *prefix)),
            insert_at: change.moved_to(),
        }),
    }
}

fn has_same_scheduling(one: &Group, other: &Group) -> bool {
    (&one.scheduler, one.sticky_prefix) == (&other.scheduler, other.sticky_prefix)
}

/// Changes the hosts of a group. Removes come last, so that it is never empty in between.
fn diff_hosts(draft: &mut Draft, key: &GroupKey, now: &[Host], to: &[Host], enabled: bool) {
    let known: HashMap<_, _> = now.iter().map(|host| (&host.name, host)).collect();
    for (host, change) in to.iter().zip(list_changes(now, to)) {
        match (change, known.get(&host.name)) {
            (ListChange::Add(insert_at), _) => draft.push(Verb::AddHost {
                group: key.clone(),
                host: host.clone(),
                insert_at: not_last(insert_at),
            }),
            (change, Some(now)) => set_host(draft, key, now, host, change.moved_to()),
            _ => {}
        }
    }
    let removed = removed_names(now, to);
    if to.is_empty() && removed.len() > 1 {
        return draft.push(Verb::DelAllHosts {
            group: key.clone(),
            force: enabled,
        });
    }
    for name in removed {
        draft.push(Verb::DelHost {
            group: key.clone(),
            host: HostChoice::Name(name),
            force: enabled && to.is_empty(),
        });
    }
}

fn set_host(
    draft: &mut Draft,
    group: &GroupKey,
    now: &Host,
    to: &Host,
    insert_at: Option<InsertAt>,
) {
    let host = HostKey {
        group: group.clone(),
        name: to.name.clone(),
    };
    let address = Some(&to.address).filter(|address| **address != now.address);
    let weight = Some(to.weight).filter(|weight| *weight != now.weight);
    match (address, weight, insert_at) {
        (None, None, None) => {}
        (None, Some(weight), None) => draft.push(Verb::SetWeight {
            host: host.clone(),
            weight,
        }),
        (address, weight, insert_at) => draft.push(Verb::SetHost {
            host: host.clone(),
            address: address.cloned(),
            weight,
            insert_at,
            rename: None,
        }),
    }
    if now.state != to.state {
        draft.push(Verb::SetState {
            host,
            state: to.state,
        });
    }
}

/// A temporary address for a listener whose new address is still in use. The system chooses the
/// port, so it is always free.
const TEMPORARY_ADDRESS: ListenAddress = ListenAddress {
    host: ListenHost::Any,
    port: 0,
};

/// Releases all addresses that a service no longer wants, so that each wanted address is free or at
/// its service.
fn release_listeners(draft: &mut Draft, to: &Config) {
    loop {
        let mut moved = false;
        for target in &to.services {
            while release_listener(draft, target) {
                moved = true;
            }
        }
        if moved {
            continue;
        }
        // The rest wait for each other in a cycle: move one to a temporary address.
        let Some((service, address)) = find_blocking_listener(&draft.now, to) else {
            return;
        };
        let to = ListenChoice::Address(TEMPORARY_ADDRESS);
        switch_listener(draft, &service, &address, to);
    }
}

/// Moves an unwanted listener of the service to a free wanted address, or removes it if none is
/// wanted. `false` if neither is possible.
fn release_listener(draft: &mut Draft, target: &Service) -> bool {
    let Some(service) = find_by_name(&draft.now.services, &target.name) else {
        return false;
    };
    let mut leaving = service.listens.iter();
    let Some(address) = leaving.find(|it| !target.listens.contains(it)).cloned() else {
        return false;
    };
    let mut wanted = target
        .listens
        .iter()
        .filter(|it| !service.listens.contains(it));
    let nothing_wanted = wanted.clone().next().is_none();
    match wanted.find(|it| is_free(&draft.now, it)).cloned() {
        Some(free) => switch_listener(draft, &target.name, &address, ListenChoice::Address(free)),
        None if nothing_wanted => draft.push(Verb::DelListen {
            service: target.name.clone(),
            address,
        }),
        None => return false,
    }
    true
}

/// An address that one service has and another wants.
fn find_blocking_listener(now: &Config, to: &Config) -> Option<(String, ListenAddress)> {
    let wanted = |address: &ListenAddress, name: &str| {
        let mut others = to.services.iter().filter(|service| service.name != name);
        others.any(|service| service.listens.contains(address))
    };
    now.services.iter().find_map(|service| {
        let mut listens = service.listens.iter().filter(|it| it.port != 0);
        let address = listens.find(|it| wanted(it, &service.name))?;
        Some((service.name.clone(), address.clone()))
    })
}

/// Adds the missing listeners of a service, in order. Those that it has are all wanted.
fn complete_listeners(draft: &mut Draft, target: &Service) {
    let wanted = &target.listens;
    let Some(service) = find_by_name(&draft.now.services, &target.name) else {
        return;
    };
    let right = service
        .listens
        .iter()
        .zip(wanted)
        .take_while(|(now, wanted)| now == wanted);
    let right = right.count();
    let wrong: Vec<_> = service.listens.iter().skip(right.max(1)).cloned().collect();
    for address in wrong.into_iter().rev() {
        draft.push(Verb::DelListen {
            service: target.name.clone(),
            address,
        });
    }
    let mut missing = &wanted[right..];
    if right == 0 {
        missing = add_before_first(draft, target);
    }
    for address in missing {
        add_listener(draft, &target.name, address, None);
    }
}

/// Adds the listeners before the existing one; returns those after it.
fn add_before_first<'a>(draft: &mut Draft, target: &'a Service) -> &'a [ListenAddress] {
    let first =
        find_by_name(&draft.now.services, &target.name).and_then(|service| service.listens.first());
    let first = first.cloned();
    let mut split = target
        .listens
        .splitn(2, |address| Some(address) == first.as_ref());
    for address in split.next().unwrap_or_default() {
        let insert_at = first.clone().map(InsertAt::Before);
        add_listener(draft, &target.name, address, insert_at);
    }
    split.next().unwrap_or_default()
}

fn is_free(config: &Config, address: &ListenAddress) -> bool {
    let mut services = config.services.iter();
    address.port == 0 || !services.any(|service| service.listens.contains(address))
}

fn switch_listener(draft: &mut Draft, service: &str, from: &ListenAddress, to: ListenChoice) {
    draft.push(Verb::SwitchPort {
        service: service.to_owned(),
        from: ListenChoice::Address(from.clone()),
        to,
    });
}

fn add_listener(
    draft: &mut Draft,
    service: &str,
    address: &ListenAddress,
    insert_at: Option<InsertAt<ListenAddress>>,
) {
    draft.push(Verb::AddListen {
        service: service.to_owned(),
        address: address.clone(),
        insert_at,
    });
}

/// Changes the users into those of `to`.
fn diff_users(draft: &mut Draft, to: &Config) {
    let (now, to) = (users(&draft.now).to_vec(), users(to));
    for name in removed_names(&now, to) {
        draft.push(Verb::DelUser { name });
    }
    for (user, change) in to.iter().zip(list_changes(&now, to)) {
        match (change, find_by_name(&now, &user.name)) {
            (ListChange::Add(insert_at), _) => draft.push(Verb::AddUser {
                user: user.clone(),
                insert_at: not_last(insert_at),
            }),
            (change, Some(now)) => set_user(draft, now, user, change.moved_to()),
            _ => {}
        }
    }
}

fn users(config: &Config) -> &[User] {
    config.admin.as_ref().map_or(&[], |admin| &admin.users)
}

fn set_user(draft: &mut Draft, now: &User, to: &User, insert_at: Option<InsertAt>) {
    if now == to && insert_at.is_none() {
        return;
    }
    let password = to.password.clone().unwrap_or_default();
    draft.push(Verb::SetUser {
        name: to.name.clone(),
        password: (now.password != to.password).then_some(Secret(password)),
        access: Some(to.access).filter(|access| *access != now.access),
        keys: (now.keys != to.keys).then(|| to.keys.clone()),
        insert_at,
    });
}
