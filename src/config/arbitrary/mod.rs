//! Configurations by the seed, for tests of what must hold for every one.
//!
//! Each is valid, and has names that a format could trip over.

mod related;
mod verbs;

pub(super) use related::related;
pub(super) use verbs::verb;

use std::time::Duration;

use super::random::Random;
use super::{
    Access, Admin, Config, Control, Group, Host, HostState, ListenAddress, Logging, Manager,
    PeriodicTask, Scheduler, Service, Ssh, Timeouts, User, Web,
};

/// What a name may have in it that XML or an eye could trip over.
const NASTY: &[char] = &[
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
    (0..length).map(|_| *random.pick(NASTY)).collect()
}

/// Names that differ: the first character is the number.
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
                // As many letters as a key of this kind has.
                let number = random.below(9);
                format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA{number:A<42} <a&b> \"c\"")
            })
            .collect(),
    });
    let users = users.collect();
    let enable = random.below(2) == 0;
    let door = |random: &mut Random| match enable {
        true => Some(listen(random, 7000)),
        false => random.maybe(|random| listen(random, 7000)),
    };
    Admin {
        web: random.maybe(|random| {
            let pair = random.maybe(|random| (path_of(random), path_of(random)));
            let (cert, key) = pair.unzip();
            Web {
                listen: door(random),
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
            listen: door(random),
            enable,
        }),
        users,
    }
}

/// A valid one.
pub(super) fn config(random: &mut Random) -> Config {
    let count = random.below(4);
    let service_names = names(random, count).into_iter().enumerate();
    let services = service_names.map(|(index, name)| service(random, name, 1 + 10 * index));
    let services = services.collect();
    let mut chore = || PeriodicTask {
        interval: duration(random),
        enable: random.below(2) == 0,
    };
    let manager = Manager {
        host_check: chore(),
        config_check: chore(),
        heartbeat: chore(),
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
