//! The services, their groups and hosts.

use std::collections::HashMap;

use super::order::{Step, missing, named, steps, unless_last};
use super::{Draft, listens};
use crate::config::verb::{GroupKey, HostChoice, HostKey, InsertAt, Verb};
use crate::config::{Config, Group, Host, Service, Timeouts};

/// Makes the services those of `to`.
pub(super) fn diff(draft: &mut Draft, to: &Config) {
    for service in missing(&draft.now.services, &to.services) {
        draft.push(Verb::DelService { service });
    }
    listens::leave(draft, to);
    for (target, step) in to
        .services
        .iter()
        .zip(steps(&draft.now.services, &to.services))
    {
        match step {
            Step::Comes(place) => {
                let Some(listen) = target.listens.first() else {
                    continue;
                };
                draft.push(Verb::NewService {
                    service: target.name.clone(),
                    listen: listen.clone(),
                    place: unless_last(place),
                });
                set(draft, target, None);
            }
            step => set(draft, target, step.moves()),
        }
        listens::complete(draft, target);
        groups(draft, target);
    }
}

/// The timeouts and the place of a service.
fn set(draft: &mut Draft, target: &Service, place: Option<InsertAt>) {
    let Some(service) = named(&draft.now.services, &target.name) else {
        return;
    };
    let (now, to) = (service.timeouts, target.timeouts);
    if now == to && place.is_none() {
        return;
    }
    let differs = |pick: fn(Timeouts) -> _| Some(pick(to)).filter(|value| *value != pick(now));
    draft.push(Verb::SetService {
        service: target.name.clone(),
        connect: differs(|timeouts| timeouts.connect),
        idle: differs(|timeouts| timeouts.idle),
        half_closed: differs(|timeouts| timeouts.half_closed),
        place,
    });
}

/// The groups of a service: those that go do so last, so that one is enabled always.
fn groups(draft: &mut Draft, target: &Service) {
    let Some(service) = named(&draft.now.services, &target.name).cloned() else {
        return;
    };
    let key = |name: &str| GroupKey {
        service: target.name.clone(),
        group: name.to_owned(),
    };
    let steps = steps(&service.groups, &target.groups);
    for (group, step) in target.groups.iter().zip(steps) {
        let now = named(&service.groups, &group.name);
        set_group(draft, key(&group.name), group, step, now);
        let enabled = service.enabled == group.name;
        let hosts = now.map_or(&[][..], |group| &group.hosts);
        self::hosts(draft, &key(&group.name), hosts, &group.hosts, enabled);
    }
    if service.enabled != target.enabled {
        let group = key(&target.enabled);
        draft.push(Verb::EnableGroup { group });
    }
    for name in missing(&service.groups, &target.groups) {
        draft.push(Verb::DelGroup {
            group: key(&name),
            force: false,
        });
    }
}

/// A group's scheduler, with what goes with it, and place.
fn set_group(draft: &mut Draft, key: GroupKey, target: &Group, step: Step, now: Option<&Group>) {
    let scheduler = target.scheduler.clone();
    match step {
        Step::Comes(place) => draft.push(Verb::NewGroup {
            group: key,
            scheduler,
            sticky_prefix: target.sticky_prefix,
            place: unless_last(place),
        }),
        Step::Stays if now.is_some_and(|now| is_picked_alike(now, target)) => {}
        step => draft.push(Verb::ChangeScheduler {
            group: key,
            scheduler,
            sticky_prefix: Some(target.sticky_prefix)
                .filter(|prefix| now.is_none_or(|now| now.sticky_prefix != *prefix)),
            place: step.moves(),
        }),
    }
}

fn is_picked_alike(one: &Group, other: &Group) -> bool {
    (&one.scheduler, one.sticky_prefix) == (&other.scheduler, other.sticky_prefix)
}

/// The hosts of a group: those that go do so last, so that it is never empty in between.
fn hosts(draft: &mut Draft, key: &GroupKey, now: &[Host], to: &[Host], enabled: bool) {
    let known: HashMap<_, _> = now.iter().map(|host| (&host.name, host)).collect();
    for (host, step) in to.iter().zip(steps(now, to)) {
        match (step, known.get(&host.name)) {
            (Step::Comes(place), _) => draft.push(Verb::AddHost {
                group: key.clone(),
                host: host.clone(),
                place: unless_last(place),
            }),
            (step, Some(now)) => set_host(draft, key, now, host, step.moves()),
            _ => {}
        }
    }
    let gone = missing(now, to);
    if to.is_empty() && gone.len() > 1 {
        return draft.push(Verb::DelAllHosts {
            group: key.clone(),
            force: enabled,
        });
    }
    for name in gone {
        draft.push(Verb::DelHost {
            group: key.clone(),
            host: HostChoice::Name(name),
            force: enabled && to.is_empty(),
        });
    }
}

fn set_host(draft: &mut Draft, group: &GroupKey, now: &Host, to: &Host, place: Option<InsertAt>) {
    let host = HostKey {
        group: group.clone(),
        name: to.name.clone(),
    };
    let address = Some(&to.address).filter(|address| **address != now.address);
    let weight = Some(to.weight).filter(|weight| *weight != now.weight);
    match (address, weight, place) {
        (None, None, None) => {}
        (None, Some(weight), None) => draft.push(Verb::SetWeight {
            host: host.clone(),
            weight,
        }),
        (address, weight, place) => draft.push(Verb::SetHost {
            host: host.clone(),
            address: address.cloned(),
            weight,
            place,
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
