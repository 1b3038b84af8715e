//! Seeded random numbers, and random valid configurations, for tests of what holds for every one.
//!
//! Names have characters in them that XML, a line or a terminal could trip over.

mod verbs;

pub(super) use verbs::verb;

use std::time::Duration;

use super::{
    Access, Admin, Config, Control, Group, Host, HostState, ListenAddress, Logging, Manager,
    PeriodicTask, Scheduler, Service, Ssh, Timeouts, User, Web,
};

/// A generator seeded by the test (xorshift64*, Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Any odd multiplier spreads small seeds; the state must not be 0.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Any number less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// `Some` half of the time.
    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }
}

/// Characters of names, with those that XML, a line or a terminal could trip over.
const NAME_CHARACTERS: &[char] = &[
    'a',
    'Z',
    '0',
    ' ',
    '&',
    '<',
    '>',
    '"',
    '\'',
    ';',
    '#',
    '/',
    '\\',
    '=',
    '-',
    ']',
    '[',
    '!',
    '?',
    'ü',
    'ß',
    '\u{a0}',
    '\u{200b}',
    '\u{202e}',
    '\u{2028}',
    '\u{fdd0}',
    '\u{fffd}',
    '語',
    '💾',
    '\u{10ffff}',
];

pub(super) fn name(random: &mut Random) -> String {
    let length = 1 + random.below(12);
    (0..length).map(|_| *random.pick(NAME_CHARACTERS)).collect()
}

/// Distinct names: each begins with its number.
fn names(random: &mut Random, count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("{index}{}", name(random)))
        .collect()
}

pub(super) fn duration(random: &mut Random) -> Duration {
    let nanoseconds = *random.pick(&[0, 1, 500_000_000, 999_999_999]);
    Duration::new(1 + random.next() % 300_000_000, nanoseconds)
}

pub(super) fn address(random: &mut Random) -> String {
    let hosts = [
        "10.0.0.1",
        "[::1]",
        "[fe80::1]",
        "lorien",
        "a-b.example.org",
    ];
    format!("{}:{}", random.pick(&hosts), 1 + random.below(65535))
}

pub(super) fn listen(random: &mut Random, port: usize) -> ListenAddress {
    let hosts = ["*", "0.0.0.0", "[::]", "127.0.0.1", "localhost"];
    format!("{}:{port}", random.pick(&hosts)).parse().unwrap()
}

fn path_of(random: &mut Random) -> std::path::PathBuf {
    format!("/{}\t\n\r.", name(random)).into()
}

pub(super) fn group(random: &mut Random, name: String) -> Group {
    let spellings: Vec<_> = Scheduler::spellings().collect();
    let sticky = *random.pick(&["", ",sticky"]);
    let count = random.below(4);
    let hosts = names(random, count).into_iter().map(|name| Host {
        name,
        address: address(random).parse().unwrap(),
        weight: u32::try_from(random.below(1_000_001)).unwrap(),
        state: *random.pick(&[HostState::Up, HostState::Drain, HostState::Down]),
    });
    let hosts = hosts.collect();
    let scheduler = format!("{}{sticky}", random.pick(&spellings))
        .parse()
        .unwrap();
    Group {
        name,
        scheduler,
        sticky_prefix: *random.pick(&[1, 64, 128]),
        hosts,
    }
}

pub(super) fn service(random: &mut Random, name: String, first_port: usize) -> Service {
    let group_count = 1 + random.below(3);
    let groups: Vec<_> = names(random, group_count)
        .into_iter()
        .map(|name| group(random, name))
        .collect();
    let listen_count = 1 + random.below(3);
    Service {
        name,
        timeouts: Timeouts {
            connect: random.maybe(duration),
            idle: random.maybe(duration),
            half_closed: random.maybe(duration),
        },
        listens: (0..listen_count)
            .map(|index| listen(random, first_port + index))
            .collect(),
        enabled: random.pick(&groups).name.clone(),
        groups,
    }
}

pub(super) fn admin(random: &mut Random) -> Admin {
    let count = random.below(3);
    let hash = name(random);
    let users = names(random, count).into_iter().map(|name| User {
        name,
        password: Some(hash.clone()),
        access: *random.pick(&[Access::Full, Access::ReadOnly]),
        keys: (0..random.below(3))
            .map(|_| {
                // As long as a key of this type.
                let number = random.below(9);
                format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA{number:A<42} <a&b> \"c\"")
            })
            .collect(),
    });
    let users = users.collect();
    let enable = random.below(2) == 0;
    let listen_address = |random: &mut Random| match enable {
        true => Some(listen(random, 7000)),
        false => random.maybe(|random| listen(random, 7000)),
    };
    Admin {
        web: random.maybe(|random| {
            let pair = random.maybe(|random| (path_of(random), path_of(random)));
            let (cert, key) = pair.unzip();
            Web {
                listen: listen_address(random),
                enable,
                secure: random.below(2) == 0,
                refresh: random.maybe(duration),
                cert,
                key,
                names: random
                    .maybe(|_| vec!["a.b".into(), "::1".into()])
                    .unwrap_or_default(),
            }
        }),
        ssh: random.maybe(|random| Ssh {
            listen: listen_address(random),
            enable,
        }),
        users,
    }
}

/// A random valid configuration.
pub(super) fn config(random: &mut Random) -> Config {
    let count = random.below(4);
    let service_names = names(random, count).into_iter().enumerate();
    let services = service_names.map(|(index, name)| service(random, name, 1 + 10 * index));
    let services = services.collect();
    let mut task = || PeriodicTask {
        interval: duration(random),
        enable: random.below(2) == 0,
    };
    let manager = Manager {
        host_check: task(),
        config_check: task(),
        heartbeat: task(),
    };
    Config {
        services,
        manager,
        admin: random.maybe(admin),
        control: random.maybe(|random| Control {
            socket: path_of(random),
            amp: random.below(2) == 0,
            amp_socket: random.maybe(|random| path_of(random).join("amp")),
            amp_mode: *random.pick(&[0o660, 0o666, 0o600, 0]),
        }),
        logging: Logging {
            file: random.maybe(path_of),
            connections: random.below(2) == 0,
        },
    }
}

/// A random configuration that shares much with `from`: items changed, added, removed and
/// reordered.
pub(super) fn related_config(random: &mut Random, from: &Config) -> Config {
    let other = config(random);
    let mut services = mix(
        random,
        &from.services,
        other.services,
        name_of_service,
        change_service,
    );
    deal_listens(random, from, &mut services);
    let users = |admin: &Option<Admin>| admin.iter().flat_map(|it| it.users.clone()).collect();
    let (old, new): (Vec<_>, Vec<_>) = (users(&from.admin), users(&other.admin));
    let users = mix(random, &old, new, |user| &user.name, change_user);
    let admin_elements = random.maybe(admin);
    let admin_elements = if random.below(3) > 0 {
        from.admin.clone()
    } else {
        admin_elements
    };
    Config {
        services,
        admin: admin_elements.map(|admin| Admin { users, ..admin }),
        manager: *random.pick(&[from.manager, other.manager]),
        control: random.pick(&[from.control.clone(), other.control]).clone(),
        logging: random.pick(&[from.logging.clone(), other.logging]).clone(),
    }
}

fn name_of_service(service: &Service) -> &str {
    &service.name
}

/// Most of `old`, changed, mixed with some of `new`.
fn mix<T: Clone>(
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

fn change_service(random: &mut Random, target: &mut Service) {
    let other = service(random, String::new(), 1);
    if random.below(3) == 0 {
        target.timeouts = other.timeouts;
    }
    let groups = mix(
        random,
        &target.groups,
        other.groups,
        |group| &group.name,
        change_group,
    );
    if !groups.is_empty() {
        target.groups = groups;
    }
    target.enabled.clone_from(&random.pick(&target.groups).name);
}

fn change_group(random: &mut Random, target: &mut Group) {
    let other = group(random, String::new());
    if random.below(3) == 0 {
        target.scheduler = other.scheduler;
    }
    target.hosts = mix(
        random,
        &target.hosts,
        other.hosts,
        |host| &host.name,
        change_host,
    );
}

fn change_host(random: &mut Random, host: &mut Host) {
    match random.below(4) {
        0 => host.weight = u32::try_from(random.below(1_000_001)).unwrap(),
        1 => host.state = *random.pick(&[HostState::Up, HostState::Drain, HostState::Down]),
        2 => host.address = address(random).parse().unwrap(),
        _ => {}
    }
}

fn change_user(random: &mut Random, user: &mut User) {
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

/// Deals out the addresses of both, so that services exchange them.
fn deal_listens(random: &mut Random, from: &Config, services: &mut [Service]) {
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
