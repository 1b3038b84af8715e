//! Small changes such as operators make, at random, for tests.

use crate::config::random::Random;
use crate::config::{Admin, Config, Group, Host, Service, arbitrary};

/// Changes one thing; the result is valid. Nothing changes places unless `moves`.
pub(super) fn change(config: &mut Config, random: &mut Random, moves: bool) {
    let other = arbitrary::config(random);
    match random.below(10) {
        0 => config.manager = other.manager,
        1 => config.control = other.control,
        2 => config.logging = other.logging,
        3 => admin(config, other.admin, random),
        4 => services(config, random, moves),
        _ => {
            let count = config.services.len();
            if count > 0 {
                let free = free_port(config, random);
                service(
                    &mut config.services[random_index(random, count)],
                    free,
                    random,
                    moves,
                );
            }
        }
    }
}

/// Gives some hosts the names they would have without one.
pub(super) fn number_hosts(config: &mut Config, random: &mut Random) {
    let services = config.services.iter_mut();
    for group in services.flat_map(|service| &mut service.groups) {
        for (index, host) in group.hosts.iter_mut().enumerate() {
            if random.below(2) == 0 {
                host.name = format!("host.{index}");
            }
        }
    }
}

fn random_index(random: &mut Random, count: usize) -> usize {
    random.below(count)
}

fn new_name(random: &mut Random) -> String {
    format!("{}{}", random.next(), arbitrary::name(random))
}

fn free_port(config: &Config, random: &mut Random) -> usize {
    let listens = || config.services.iter().flat_map(|service| &service.listens);
    loop {
        let port = 20_000 + random.below(40_000);
        if !listens().any(|listen| usize::from(listen.port) == port) {
            return port;
        }
    }
}

fn services(config: &mut Config, random: &mut Random, moves: bool) {
    let count = config.services.len();
    match random.below(3) {
        0 => {
            let port = free_port(config, random).min(59_000);
            let name = new_name(random);
            let service = arbitrary::service(random, name, port);
            config.services.insert(random.below(count + 1), service);
        }
        1 if count > 0 => drop(config.services.remove(random.below(count))),
        _ if moves && count > 0 => config.services.rotate_left(random.below(count)),
        _ => {}
    }
}

fn service(service: &mut Service, free_port: usize, random: &mut Random, moves: bool) {
    let (listens, groups) = (&mut service.listens, &mut service.groups);
    let at = random.below(groups.len());
    match random.below(12) {
        0 => service.timeouts.idle = random.maybe(arbitrary::duration),
        1 => service.timeouts.connect = random.maybe(arbitrary::duration),
        2 => listens.insert(
            random.below(listens.len() + 1),
            arbitrary::listen(random, free_port),
        ),
        3 if listens.len() > 1 => drop(listens.remove(random.below(listens.len()))),
        4 => *listens.last_mut().unwrap() = arbitrary::listen(random, free_port),
        5 => service.enabled = groups[at].name.clone(),
        6 => {
            let name = new_name(random);
            let new = arbitrary::group(random, name);
            groups.insert(at, new);
        }
        7 if groups[at].name != service.enabled => drop(groups.remove(at)),
        8 if moves => groups.rotate_left(at),
        9 => groups[at].scheduler = random.pick(&["rand,sticky", "leastc"]).parse().unwrap(),
        _ => group(&mut groups[at], random, moves),
    }
}

fn group(group: &mut Group, random: &mut Random, moves: bool) {
    let count = group.hosts.len();
    let new = Host {
        name: new_name(random),
        address: arbitrary::address(random).parse().unwrap(),
        weight: 1,
        state: Default::default(),
    };
    if count == 0 || random.below(4) == 0 {
        return group.hosts.insert(random.below(count + 1), new);
    }
    let at = random.below(count);
    match random.below(5) {
        0 => drop(group.hosts.remove(at)),
        1 => group.hosts[at].name = new.name,
        2 => group.hosts[at].address = new.address,
        3 if moves => group.hosts.rotate_left(at),
        _ => group.hosts[at].weight = u32::try_from(random.below(9)).unwrap(),
    }
}

fn admin(config: &mut Config, other: Option<Admin>, random: &mut Random) {
    match (&mut config.admin, other) {
        (Some(admin), Some(other)) if random.below(4) > 0 => match random.below(5) {
            0 => admin.web = other.web,
            1 => admin.ssh = other.ssh,
            2 => drop(admin.users.pop()),
            3 => {
                let users = other.users.into_iter().map(|mut user| {
                    user.name = new_name(random);
                    user
                });
                let users: Vec<_> = users.collect();
                admin.users.splice(0..0, users);
            }
            _ => {
                for (user, other) in admin.users.iter_mut().zip(other.users) {
                    (user.keys, user.access) = (other.keys, other.access);
                }
            }
        },
        (admin, other) => *admin = other,
    }
}
