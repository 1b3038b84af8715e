//! Where services listen: never two at one place, never one nowhere, in between
//! neither.

use super::Draft;
use crate::config::verb::{InsertAt, ListenChoice, Verb};
use crate::config::{Config, ListenAddress, ListenHost, Service};

/// Where a service may wait for a place that another one has: the system chooses,
/// and there are as many as are wanted.
const WAITING_ROOM: ListenAddress = ListenAddress {
    host: ListenHost::Any,
    port: 0,
};

/// Takes every service away from where it does not listen any more, so that all
/// places that are wanted are free, or with who wants them.
pub(super) fn leave(draft: &mut Draft, to: &Config) {
    loop {
        let mut moved = false;
        for target in &to.services {
            while leave_one(draft, target) {
                moved = true;
            }
        }
        if moved {
            continue;
        }
        // Those that are left wait for one another: one of them makes way.
        let Some((service, address)) = in_the_way(&draft.now, to) else {
            return;
        };
        let to = ListenChoice::Address(WAITING_ROOM);
        switch(draft, &service, &address, to);
    }
}

/// Switches a listener of the service that is not wanted to a place that is and is
/// free, or closes it where nothing more is wanted. `false` if nothing could be done.
fn leave_one(draft: &mut Draft, target: &Service) -> bool {
    let Some(service) = service(&draft.now, &target.name) else {
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
        Some(free) => switch(draft, &target.name, &address, ListenChoice::Address(free)),
        None if nothing_wanted => draft.push(Verb::DelListen {
            service: target.name.clone(),
            address,
        }),
        None => return false,
    }
    true
}

/// A place that a service has and another one wants.
fn in_the_way(now: &Config, to: &Config) -> Option<(String, ListenAddress)> {
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

/// Gives a service all its listeners, in order. Those that it has are wanted.
pub(super) fn complete(draft: &mut Draft, target: &Service) {
    let wanted = &target.listens;
    let Some(service) = service(&draft.now, &target.name) else {
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
        add(draft, &target.name, address, None);
    }
}

/// Adds what comes before the one listener there is; says what comes behind it.
fn add_before_first<'a>(draft: &mut Draft, target: &'a Service) -> &'a [ListenAddress] {
    let first = service(&draft.now, &target.name).and_then(|service| service.listens.first());
    let first = first.cloned();
    let mut split = target
        .listens
        .splitn(2, |address| Some(address) == first.as_ref());
    for address in split.next().unwrap_or_default() {
        let place = first.clone().map(InsertAt::Before);
        add(draft, &target.name, address, place);
    }
    split.next().unwrap_or_default()
}

fn service<'a>(config: &'a Config, name: &str) -> Option<&'a Service> {
    config.services.iter().find(|service| service.name == name)
}

fn is_free(config: &Config, address: &ListenAddress) -> bool {
    let mut services = config.services.iter();
    address.port == 0 || !services.any(|service| service.listens.contains(address))
}

fn switch(draft: &mut Draft, service: &str, from: &ListenAddress, to: ListenChoice) {
    draft.push(Verb::SwitchPort {
        service: service.to_owned(),
        from: ListenChoice::Address(from.clone()),
        to,
    });
}

fn add(
    draft: &mut Draft,
    service: &str,
    address: &ListenAddress,
    place: Option<InsertAt<ListenAddress>>,
) {
    draft.push(Verb::AddListen {
        service: service.to_owned(),
        address: address.clone(),
        place,
    });
}
