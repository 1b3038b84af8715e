//! Random verbs, most of which can be applied to a configuration.

use super::{Random, address, duration, listen, name};
use crate::config::verb::{
    GroupKey, HostChoice, HostKey, InsertAt, ListenChoice, Secret, Verb, options,
};
use crate::config::{Access, Config, Host, HostState, Scheduler, User};

/// A random verb, mostly about items of `config`.
pub(in crate::config) fn verb(random: &mut Random, config: &Config) -> Verb {
    match random.below(4) {
        0 => service_verb(random, config),
        1 => group_verb(random, config),
        2 => host_verb(random, config),
        _ => other_verb(random, config),
    }
}

/// Mostly one of the names, sometimes a new one.
fn existing_or_new(random: &mut Random, names: &[&str]) -> String {
    match names.is_empty() || random.below(8) == 0 {
        true => name(random),
        false => (*random.pick(names)).to_owned(),
    }
}

fn insert_at(random: &mut Random, names: &[&str]) -> Option<InsertAt> {
    match random.below(3) {
        0 => None,
        1 => Some(InsertAt::Last),
        _ => Some(InsertAt::Before(existing_or_new(random, names))),
    }
}

fn boolean(random: &mut Random) -> bool {
    random.below(2) == 0
}

fn services(config: &Config) -> Vec<&str> {
    config
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect()
}

fn groups<'a>(config: &'a Config, service: &str) -> Vec<&'a str> {
    let services = config.services.iter().filter(|it| it.name == service);
    services
        .flat_map(|service| &service.groups)
        .map(|group| group.name.as_str())
        .collect()
}

fn hosts<'a>(config: &'a Config, key: &GroupKey) -> Vec<&'a Host> {
    let services = config.services.iter().filter(|it| it.name == key.service);
    let groups = services.flat_map(|service| &service.groups);
    groups
        .filter(|group| group.name == key.group)
        .flat_map(|group| &group.hosts)
        .collect()
}

fn group_key(random: &mut Random, config: &Config) -> GroupKey {
    let service = existing_or_new(random, &services(config));
    let group = existing_or_new(random, &groups(config, &service));
    GroupKey { service, group }
}

fn scheduler(random: &mut Random) -> Scheduler {
    let spellings: Vec<_> = Scheduler::spellings().collect();
    Scheduler {
        sticky: boolean(random),
        ..random.pick(&spellings).parse().unwrap()
    }
}

fn weight(random: &mut Random) -> u32 {
    u32::try_from(random.below(1_000_001)).unwrap()
}

fn state(random: &mut Random) -> HostState {
    *random.pick(&[HostState::Up, HostState::Drain, HostState::Down])
}

fn service_verb(random: &mut Random, config: &Config) -> Verb {
    let service = existing_or_new(random, &services(config));
    let port = random.below(40);
    let listens = config.services.iter().filter(|it| it.name == service);
    let listens: Vec<_> = listens
        .flat_map(|service| service.listens.clone())
        .collect();
    let there = match listens.is_empty() || random.below(8) == 0 {
        true => listen(random, port),
        false => random.pick(&listens).clone(),
    };
    match random.below(6) {
        0 => Verb::NewService {
            service: name(random),
            listen: listen(random, port),
            insert_at: insert_at(random, &services(config)),
        },
        1 => Verb::DelService { service },
        2 => Verb::SetService {
            service,
            connect: random.maybe(|random| random.maybe(duration)),
            idle: random.maybe(|random| random.maybe(duration)),
            half_closed: random.maybe(|random| random.maybe(duration)),
            insert_at: insert_at(random, &services(config)),
        },
        3 => Verb::AddListen {
            service,
            address: listen(random, port),
            insert_at: random.maybe(|_| InsertAt::Before(there)),
        },
        4 => Verb::DelListen {
            service,
            address: there,
        },
        _ => Verb::SwitchPort {
            service,
            from: match boolean(random) {
                true => ListenChoice::Port(there.port),
                false => ListenChoice::Address(there),
            },
            to: match boolean(random) {
                true => ListenChoice::Port(u16::try_from(port).unwrap()),
                false => ListenChoice::Address(listen(random, port)),
            },
        },
    }
}

fn group_verb(random: &mut Random, config: &Config) -> Verb {
    let group = group_key(random, config);
    let insert_at = insert_at(random, &groups(config, &group.service));
    match random.below(5) {
        0 => Verb::NewGroup {
            group: GroupKey {
                group: name(random),
                ..group
            },
            scheduler: scheduler(random),
            sticky_prefix: *random.pick(&[1, 64, 128]),
            insert_at,
        },
        1 => Verb::DelGroup {
            group,
            force: boolean(random),
        },
        2 => Verb::EnableGroup { group },
        3 => Verb::DelAllHosts {
            group,
            force: boolean(random),
        },
        _ => Verb::ChangeScheduler {
            group,
            scheduler: scheduler(random),
            sticky_prefix: *random.pick(&[None, Some(64), Some(128)]),
            insert_at,
        },
    }
}

fn host_verb(random: &mut Random, config: &Config) -> Verb {
    let group = group_key(random, config);
    let there = hosts(config, &group);
    let names: Vec<_> = there.iter().map(|host| host.name.as_str()).collect();
    let key = HostKey {
        group: group.clone(),
        name: existing_or_new(random, &names),
    };
    match random.below(5) {
        0 => Verb::AddHost {
            group,
            host: Host {
                name: name(random),
                address: address(random).parse().unwrap(),
                weight: weight(random),
                state: state(random),
            },
            insert_at: insert_at(random, &names),
        },
        1 => Verb::DelHost {
            group,
            host: match there.is_empty() || boolean(random) {
                true => HostChoice::Name(key.name),
                false => HostChoice::Address(random.pick(&there).address.clone()),
            },
            force: boolean(random),
        },
        2 => Verb::SetHost {
            host: key,
            address: random.maybe(|random| address(random).parse().unwrap()),
            weight: random.maybe(weight),
            insert_at: insert_at(random, &names),
            rename: random.maybe(name),
        },
        3 => Verb::SetWeight {
            host: key,
            weight: weight(random),
        },
        _ => Verb::SetState {
            host: key,
            state: state(random),
        },
    }
}

fn other_verb(random: &mut Random, config: &Config) -> Verb {
    let users = config.admin.iter().flat_map(|admin| &admin.users);
    let users: Vec<_> = users.map(|user| user.name.as_str()).collect();
    let user = existing_or_new(random, &users);
    let key = || {
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB \"c\" \\"
            .to_owned()
    };
    match random.below(6) {
        0 => Verb::AddUser {
            user: User {
                name: name(random),
                password: random.maybe(name),
                access: *random.pick(&[Access::Full, Access::ReadOnly]),
                keys: (0..random.below(3)).map(|_| key()).collect(),
            },
            insert_at: insert_at(random, &users),
        },
        1 => Verb::SetUser {
            name: user,
            password: random.maybe(|random| Secret(random.maybe(name).unwrap_or_default())),
            access: random.maybe(|random| *random.pick(&[Access::Full, Access::ReadOnly])),
            keys: random.maybe(|random| (0..random.below(3)).map(|_| key()).collect()),
            insert_at: insert_at(random, &users),
        },
        2 => Verb::DelUser { name: user },
        _ => {
            let option = random.pick(options());
            let other = super::config(random);
            Verb::SetOption {
                name: option.path.clone(),
                value: option.value(&other).unwrap_or_default(),
            }
        }
    }
}
