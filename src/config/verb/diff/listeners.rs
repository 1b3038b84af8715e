//! The verbs that lead from the listeners of services to those of others. A listener is known by its
//! address.

use super::Draft;
use crate::config::attributes::LISTENER;
use crate::config::verb::InsertAt;
use crate::config::verb::list::find_by_name;
use crate::config::verb::services::{ADD_LISTEN, DEL_LISTEN, SET_LISTEN, SWITCH_PORT};
use crate::config::verb::values::Values;
use crate::config::{Config, ListenAddress, ListenHost, Listener, Service};

/// A temporary address for a listener whose new address is still in use. The system chooses the
/// port, so it is always free.
const TEMPORARY_ADDRESS: ListenAddress = ListenAddress::new(ListenHost::Any, 0);

/// Releases all addresses that a service no longer wants, so that each wanted address is free or at
/// its service.
pub(super) fn release_listeners(draft: &mut Draft, to: &Config) {
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
        switch_listener(draft, &service, &address, &TEMPORARY_ADDRESS);
    }
}

/// Moves an unwanted listener of the service to a free wanted address, or removes one if none is
/// wanted, or if it is in the way of a wanted range. `false` if nothing of that is possible.
fn release_listener(draft: &mut Draft, target: &Service) -> bool {
    let Some(service) = find_by_name(&draft.now.services, &target.name) else {
        return false;
    };
    let missing = |of: &Service, from: &Service| -> Vec<ListenAddress> {
        let missing = addresses(of).filter(|it| !from.listens_at(it));
        missing.cloned().collect()
    };
    let (leaving, wanted) = (missing(service, target), missing(target, service));
    let mut pairs = leaving
        .iter()
        .flat_map(|from| wanted.iter().map(move |to| (from, to)));
    let moves = pairs.find(|(from, to)| is_free(&draft.now, to, (&target.name, from)));
    // Several listeners may be in the way of a range of the same service.
    let is_only_one = service.listens.len() == 1;
    let mut in_the_way = leaving
        .iter()
        .filter(|it| !is_only_one && wanted.iter().any(|wanted| wanted.overlaps(it)));
    let unneeded = leaving.first().filter(|_| wanted.is_empty());
    match (moves, unneeded.or_else(|| in_the_way.next())) {
        (Some((from, to)), _) => switch_listener(draft, &target.name, from, to),
        (None, Some(gone)) => del_listener(draft, &target.name, gone),
        (None, None) => return false,
    }
    true
}

fn addresses(service: &Service) -> impl Iterator<Item = &ListenAddress> + Clone {
    service.listens.iter().map(|it| &it.address)
}

/// An address that one service has and another wants.
fn find_blocking_listener(now: &Config, to: &Config) -> Option<(String, ListenAddress)> {
    let wanted = |address: &ListenAddress, name: &str| {
        let mut others = to.services.iter().filter(|service| service.name != name);
        others.any(|service| addresses(service).any(|it| it.overlaps(address)))
    };
    now.services.iter().find_map(|service| {
        let mut listens = addresses(service).filter(|it| !it.is_chosen_by_system());
        let address = listens.find(|it| wanted(it, &service.name))?;
        Some((service.name.clone(), address.clone()))
    })
}

/// Adds the missing listeners of a service, in order, and sets the attributes of the others. Those
/// that it has are all wanted.
pub(super) fn complete_listeners(draft: &mut Draft, target: &Service) {
    let wanted = &target.listens;
    let Some(service) = find_by_name(&draft.now.services, &target.name) else {
        return;
    };
    let pairs = service.listens.iter().zip(wanted);
    let right = pairs.take_while(|(now, wanted)| may_become(now, wanted, target));
    let right = right.count();
    let wrong: Vec<_> = addresses(service).skip(right.max(1)).cloned().collect();
    for address in wrong.into_iter().rev() {
        del_listener(draft, &target.name, &address);
    }
    // No address is there twice now, unless nothing of it changes.
    let mut missing = &wanted[right..];
    if right == 0 {
        missing = add_before_first(draft, target);
    }
    for listener in &wanted[..right] {
        set_listener(draft, target, listener);
    }
    for listener in missing {
        add_listener(draft, &target.name, listener, None);
    }
}

/// Whether a listener is the wanted one but for attributes. With port 0 there may be several of one
/// address, which verbs cannot tell apart: these must be the same as a whole.
fn may_become(now: &Listener, wanted: &Listener, target: &Service) -> bool {
    let mut same = addresses(target).filter(|it| **it == wanted.address);
    let is_only_one = same.nth(1).is_none();
    now == wanted || now.address == wanted.address && is_only_one
}

/// Adds the listeners before the existing one, and sets its attributes; returns those after it.
fn add_before_first<'a>(draft: &mut Draft, target: &'a Service) -> &'a [Listener] {
    let first = find_by_name(&draft.now.services, &target.name)
        .and_then(|service| Some(service.listens.first()?.address.clone()));
    let index = addresses(target).position(|address| Some(address) == first.as_ref());
    let (before, rest) = target
        .listens
        .split_at(index.unwrap_or(target.listens.len()));
    let Some((same, after)) = rest.split_first() else {
        return rest;
    };
    set_listener(draft, target, same);
    for listener in before {
        let insert_at = first.clone().map(InsertAt::Before);
        add_listener(draft, &target.name, listener, insert_at);
    }
    after
}

/// Whether nobody listens at an address, apart from the listener of a service that moves there.
fn is_free(config: &Config, address: &ListenAddress, moving: (&str, &ListenAddress)) -> bool {
    let mut services = config.services.iter();
    !services.any(|service| {
        let moves = |it| moving == (service.name.as_str(), it);
        addresses(service).any(|it| it.overlaps(address) && !moves(it))
    })
}

fn switch_listener(draft: &mut Draft, service: &str, from: &ListenAddress, to: &ListenAddress) {
    let verb = Values::new(&SWITCH_PORT).with("service", service);
    draft.push(verb.with("from", from).with("to", to));
}

fn del_listener(draft: &mut Draft, service: &str, address: &ListenAddress) {
    let verb = Values::new(&DEL_LISTEN).with("service", service);
    draft.push(verb.with("ip", address));
}

/// Sets the attributes of the listener at the address of `wanted`.
fn set_listener(draft: &mut Draft, target: &Service, wanted: &Listener) {
    let Some(service) = find_by_name(&draft.now.services, &target.name) else {
        return;
    };
    let mut now = service.listens.iter();
    let now = now.rfind(|it| it.address == wanted.address);
    let differences = now.map_or_else(Vec::new, |now| LISTENER.differences(now, wanted));
    if !differences.is_empty() {
        let verb = Values::new(&SET_LISTEN).with("service", &target.name);
        draft.push(verb.with("ip", &wanted.address).with_pairs(differences));
    }
}

fn add_listener(
    draft: &mut Draft,
    service: &str,
    listener: &Listener,
    insert_at: Option<InsertAt<ListenAddress>>,
) {
    let verb = Values::new(&ADD_LISTEN).with("service", service);
    let verb = verb.with_attributes(&LISTENER, listener);
    draft.push(verb.with_place(insert_at));
}
