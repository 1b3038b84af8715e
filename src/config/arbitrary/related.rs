//! Configurations that have much in common with another one.

use super::{admin, config, listen};
use crate::config::random::Random;
use crate::config::{Access, Admin, Config, Group, Host, HostState, ListenAddress, Service, User};

/// A configuration with some of what `from` has, changed here and there, and other
/// things, in another order.
pub(in crate::config) fn related(random: &mut Random, from: &Config) -> Config {
    let other = config(random);
    let mut services = mixed(
        random,
        &from.services,
        other.services,
        name_of_service,
        service,
    );
    listens(random, from, &mut services);
    let users = |admin: &Option<Admin>| admin.iter().flat_map(|it| it.users.clone()).collect();
    let (old, new): (Vec<_>, Vec<_>) = (users(&from.admin), users(&other.admin));
    let users = mixed(random, &old, new, |user| &user.name, user);
    let doors = random.maybe(admin);
    let doors = if random.below(3) > 0 {
        from.admin.clone()
    } else {
        doors
    };
    Config {
        services,
        admin: doors.map(|admin| Admin { users, ..admin }),
        manager: *random.pick(&[from.manager, other.manager]),
        control: random.pick(&[from.control.clone(), other.control]).clone(),
        logging: random.pick(&[from.logging.clone(), other.logging]).clone(),
    }
}

fn name_of_service(service: &Service) -> &str {
    &service.name
}

/// Most of `old`, changed, and some of `new`.
fn mixed<T: Clone>(
    random: &mut Random,
    old: &[T],
    new: Vec<T>,
    name: fn(&T) -> &str,
    change: fn(&mut Random, &mut T),
) -> Vec<T> {
    let mut list = old.to_vec();
    list.retain(|_| random.below(4) > 0);
    for item in &mut list {
        change(random, item);
    }
    for item in new {
        if random.below(2) == 0 && !list.iter().any(|other| name(other) == name(&item)) {
            let index = random.below(list.len() + 1);
            list.insert(index, item);
        }
    }
    if random.below(2) == 0 {
        shuffle(random, &mut list);
    }
    list
}

fn shuffle<T>(random: &mut Random, list: &mut [T]) {
    for index in 1..list.len() {
        list.swap(index, random.below(index + 1));
    }
}

fn service(random: &mut Random, service: &mut Service) {
    let other = super::service(random, String::new(), 1);
    if random.below(3) == 0 {
        service.timeouts = other.timeouts;
    }
    let groups = mixed(
        random,
        &service.groups,
        other.groups,
        |group| &group.name,
        group,
    );
    if !groups.is_empty() {
        service.groups = groups;
    }
    service
        .enabled
        .clone_from(&random.pick(&service.groups).name);
}

fn group(random: &mut Random, group: &mut Group) {
    let other = super::group(random, String::new());
    if random.below(3) == 0 {
        group.scheduler = other.scheduler;
    }
    group.hosts = mixed(random, &group.hosts, other.hosts, |host| &host.name, host);
}

fn host(random: &mut Random, host: &mut Host) {
    match random.below(4) {
        0 => host.weight = u32::try_from(random.below(1_000_001)).unwrap(),
        1 => host.state = *random.pick(&[HostState::Up, HostState::Drain, HostState::Down]),
        2 => host.address = super::address(random).parse().unwrap(),
        _ => {}
    }
}

fn user(random: &mut Random, user: &mut User) {
    match random.below(4) {
        0 => user.access = *random.pick(&[Access::Full, Access::ReadOnly]),
        1 => user.password = Some("$6$a\"\\ b".to_owned()),
        2 => {
            user.password = None;
            user.keys = vec![
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC"
                    .to_owned(),
            ];
        }
        _ => {}
    }
}

/// Deals out the addresses of both, so that services take them from one another.
fn listens(random: &mut Random, from: &Config, services: &mut [Service]) {
    let all = from
        .services
        .iter()
        .chain(&*services)
        .flat_map(|service| &service.listens);
    let mut addresses: Vec<ListenAddress> = Vec::new();
    for address in all {
        if !addresses.contains(address) && (random.below(5) > 0) {
            addresses.push(address.clone());
        }
    }
    // Only with port 0 there may be several of the same.
    for _ in 0..random.below(7) {
        addresses.push(listen(random, 0));
    }
    if random.below(2) == 0 {
        shuffle(random, &mut addresses);
    }
    for service in &mut *services {
        let first = addresses.pop().unwrap_or_else(|| listen(random, 0));
        service.listens = vec![first];
    }
    if services.is_empty() {
        return;
    }
    for address in addresses {
        let index = random.below(services.len());
        services[index].listens.push(address);
    }
}
