//! Compares two configurations: the verbs that lead from the first to the second.
//!
//! Services, groups, hosts and users are known by name: another name is another item.

mod listeners;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use self::listeners::{complete_listeners, release_listeners};
use super::checks::diff_checks;
use super::groups::{
    ADD_HOST, CHANGE_SCHEDULER, DEL_ALL_HOSTS, DEL_GROUP, DEL_HOST, DRAIN_HOST, ENABLE_GROUP,
    HOST_ADMIN_DOWN, HOST_ADMIN_UP, NEW_GROUP, SET_GROUP, SET_HOST, SET_WEIGHT,
};
use super::guard;
use super::list::{ListChange, find_by_name, list_changes, not_last, removed_names};
use super::routes::diff_routes;
use super::services::{DEL_SERVICE, NEW_SERVICE, SET_SERVICE};
use super::users::{ADD_USER, DEL_USER, SET_OPTION, SET_USER};
use super::values::Values;
use super::{Batch, Command, GroupKey, HostKey, InsertAt, Verb, options};
use crate::config::attributes::{GROUP, HOST, SERVICE, USER};
use crate::config::{Config, Group, Host, HostState, Service, User};

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
    force_faults(&mut draft, from);
    draft.verbs
}

/// Insists on what leaves a group with new sessions without a usable host.
fn force_faults(draft: &mut Draft, from: &Config) {
    for fault in guard::faults(from, &draft.now, &|_| HashSet::new()) {
        let last = draft.verbs.iter_mut().rfind(|verb| fault.may_be_of(verb));
        if let Some(Verb(values)) = last {
            *values = values.clone().with("force", true);
        }
    }
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
    fn push(&mut self, values: Values) {
        let verb = Verb(values);
        let done = verb.change(&mut self.now);
        debug_assert!(done.is_ok(), "{verb}: {done:?}");
        self.verbs.push(verb);
    }

    fn set_option(&mut self, path: &str, value: Option<String>) {
        let value = value.unwrap_or_default();
        self.push(
            Values::new(&SET_OPTION)
                .with("name", path)
                .with("value", value),
        );
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
        draft.push(Values::new(&DEL_SERVICE).with("service", service));
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
                let verb = Values::new(&NEW_SERVICE).with("service", &target.name);
                let verb = verb.with("listen", &listen.address);
                draft.push(verb.with_place(not_last(insert_at)));
                set_service(draft, target, None);
            }
            change => set_service(draft, target, change.moved_to()),
        }
        complete_listeners(draft, target);
        diff_groups(draft, target);
    }
}

/// Sets the attributes and position of a service.
fn set_service(draft: &mut Draft, target: &Service, insert_at: Option<InsertAt>) {
    let Some(service) = find_by_name(&draft.now.services, &target.name) else {
        return;
    };
    let differences = SERVICE.differences(service, target);
    if differences.is_empty() && insert_at.is_none() {
        return;
    }
    let verb = Values::new(&SET_SERVICE).with("service", &target.name);
    draft.push(verb.with_pairs(differences).with_place(insert_at));
}

/// Changes the groups and routes of a service. Removes come last, so that one is always enabled and
/// no route leads nowhere.
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
        set_group(draft, &key(&group.name), group, change, now);
        let checks = now.map_or(&[][..], |group| &group.checks);
        for verb in diff_checks(&key(&group.name), checks, &group.checks) {
            draft.push(verb.0);
        }
        let hosts = now.map_or(&[][..], |group| &group.hosts);
        diff_hosts(draft, &key(&group.name), hosts, &group.hosts);
    }
    if service.enabled != target.enabled {
        draft.push(Values::new(&ENABLE_GROUP).with_group(&key(&target.enabled)));
    }
    for verb in diff_routes(&target.name, &service.routes, &target.routes) {
        draft.push(verb.0);
    }
    for name in removed_names(&service.groups, &target.groups) {
        draft.push(Values::new(&DEL_GROUP).with_group(&key(&name)));
    }
}

/// Adds a group, or sets its attributes and position.
fn set_group(
    draft: &mut Draft,
    key: &GroupKey,
    target: &Group,
    change: ListChange,
    now: Option<&Group>,
) {
    if let ListChange::Add(insert_at) = change {
        let verb = Values::new(&NEW_GROUP).with_group(key);
        let verb = verb.with_attributes(&GROUP, target);
        return draft.push(verb.with_place(not_last(insert_at)));
    }
    let differences = now.map_or_else(Vec::new, |now| GROUP.differences(now, target));
    // Scripts know `changeScheduler` longer than `setGroup`.
    let (scheduling, others): (Vec<_>, Vec<_>) = differences
        .into_iter()
        .partition(|(name, _)| ["scheduler", "stickyPrefix"].contains(name));
    let insert_at = change.moved_to();
    if !scheduling.is_empty() || insert_at.is_some() {
        let prefix = scheduling
            .into_iter()
            .filter(|(name, _)| *name != "scheduler");
        let verb = Values::new(&CHANGE_SCHEDULER).with_group(key);
        let verb = verb.with("scheduler", &target.scheduler).with_pairs(prefix);
        draft.push(verb.with_place(insert_at));
    }
    if !others.is_empty() {
        draft.push(Values::new(&SET_GROUP).with_group(key).with_pairs(others));
    }
}

/// Changes the hosts of a group. Removes come last, so that it is never empty in between.
fn diff_hosts(draft: &mut Draft, key: &GroupKey, now: &[Host], to: &[Host]) {
    let known: HashMap<_, _> = now.iter().map(|host| (&host.name, host)).collect();
    for (host, change) in to.iter().zip(list_changes(now, to)) {
        match (change, known.get(&host.name)) {
            (ListChange::Add(insert_at), _) => {
                let verb = Values::new(&ADD_HOST)
                    .with_group(key)
                    .with("name", &host.name);
                let verb = verb.with_attributes(&HOST, host);
                draft.push(verb.with_place(not_last(insert_at)));
            }
            (change, Some(now)) => set_host(draft, key, now, host, change.moved_to()),
            _ => {}
        }
    }
    let removed = removed_names(now, to);
    if to.is_empty() && removed.len() > 1 {
        return draft.push(Values::new(&DEL_ALL_HOSTS).with_group(key));
    }
    for name in removed {
        draft.push(Values::new(&DEL_HOST).with_group(key).with("name", name));
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
    let differences = HOST.differences(now, to);
    let verb = match (&differences[..], &insert_at) {
        ([], None) => None,
        ([("weight", _)], None) => Some(&SET_WEIGHT),
        _ => Some(&SET_HOST),
    };
    if let Some(verb) = verb {
        let verb = Values::new(verb).with_host(&host).with_pairs(differences);
        draft.push(verb.with_place(insert_at));
    }
    if now.state != to.state {
        let verb = match to.state {
            HostState::Up => &HOST_ADMIN_UP,
            HostState::Drain => &DRAIN_HOST,
            HostState::Down => &HOST_ADMIN_DOWN,
        };
        draft.push(Values::new(verb).with_host(&host));
    }
}

/// Changes the users into those of `to`.
fn diff_users(draft: &mut Draft, to: &Config) {
    let (now, to) = (draft.now.users().to_vec(), to.users());
    for name in removed_names(&now, to) {
        draft.push(Values::new(&DEL_USER).with("name", name));
    }
    for (user, change) in to.iter().zip(list_changes(&now, to)) {
        match (change, find_by_name(&now, &user.name)) {
            (ListChange::Add(insert_at), _) => {
                let verb = Values::new(&ADD_USER).with("name", &user.name);
                let verb = verb.with_attributes(&USER, user).all("key", &user.keys);
                draft.push(verb.with_place(not_last(insert_at)));
            }
            (change, Some(now)) => set_user(draft, now, user, change.moved_to()),
            _ => {}
        }
    }
}

fn set_user(draft: &mut Draft, now: &User, to: &User, insert_at: Option<InsertAt>) {
    if now == to && insert_at.is_none() {
        return;
    }
    // An empty key removes all.
    let no_keys = to.keys.is_empty().then(String::new);
    let keys = to.keys.iter().chain(&no_keys);
    let keys = keys.filter(|_| now.keys != to.keys);
    let verb = Values::new(&SET_USER).with("name", &to.name);
    let verb = verb.with_pairs(USER.differences(now, to)).all("key", keys);
    draft.push(verb.with_place(insert_at));
}
