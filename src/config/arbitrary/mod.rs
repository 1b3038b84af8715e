//! Seeded random numbers, and random valid configurations and verbs, for tests of what holds for
//! every one.
//!
//! Names have characters in them that XML, a line or a terminal could trip over.

mod verbs;

pub(super) use self::verbs::verb;

use std::time::Duration;

use super::attributes::{
    CHECK, CONFIG, CONFIG_CHECK, CONTROL, ElementTable, GROUP, HEARTBEAT, HOST, HOST_CHECK,
    LISTENER, LOGGING, ROUTE, SERVICE, SSH, USER, WEB,
};
use super::value::{Value, seconds_text};
use super::verb::options;
use super::verb::table::commands;
use super::{
    Access, Admin, Check, CheckKind, CheckValue, Config, Control, CustomNames, General, Group,
    Host, ListenAddress, Listener, Logging, Manager, Route, Scheduler, Service, Ssh, User,
    ValueKind, Web,
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
    let host = random.pick(&hosts);
    match random.below(8) {
        0 => (*host).to_owned(),
        _ => format!("{host}:{}", 1 + random.below(65535)),
    }
}

pub(super) fn listen(random: &mut Random, port: usize) -> ListenAddress {
    let hosts = ["*", "0.0.0.0", "[::]", "127.0.0.1", "localhost"];
    let host = random.pick(&hosts);
    // Ranges of different numbers share no port.
    let ports = match port * 1000 {
        first @ 1000..=60_000 if random.below(4) == 0 => {
            format!("{first}-{}", first + 1 + random.below(3))
        }
        _ => port.to_string(),
    };
    format!("{host}:{ports}").parse().unwrap()
}

/// A listener with other attributes than the default ones, now and then.
pub(super) fn listener(random: &mut Random, address: ListenAddress) -> Listener {
    let listener = Listener::at(address.clone());
    match random.below(3) {
        0 => Listener {
            address,
            ..vary(random, &LISTENER, listener)
        },
        _ => listener,
    }
}

/// A route to one of these groups.
pub(super) fn route(random: &mut Random, groups: &[Group]) -> Route {
    let mut route = vary(random, &ROUTE, Route::default());
    if !route.is_for_some() {
        route.alpn = vec!["h2".to_owned()];
    }
    let group = random.pick(groups).name.clone();
    Route { group, ..route }
}

/// Routes of which some are taken away, changed, added and moved. All lead to groups that exist.
fn change_routes(random: &mut Random, routes: &mut Vec<Route>, groups: &[Group]) {
    let exists = |route: &Route| groups.iter().any(|group| group.name == route.group);
    routes.retain(|route| exists(route) && random.below(4) > 0);
    if let 0..2 = random.below(4) {
        routes.insert(random.below(routes.len() + 1), route(random, groups));
    }
    if random.below(3) == 0 && !routes.is_empty() {
        let index = random.below(routes.len());
        routes[index] = route(random, groups);
    }
    if random.below(3) == 0 {
        shuffle(random, routes);
    }
}

fn path(random: &mut Random) -> String {
    format!("/{}\t\n\r.", name(random))
}

/// A public key, as long as one of its type.
fn public_key(random: &mut Random) -> String {
    let number = random.below(9);
    format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA{number:A<42} <a&b> \"c\"")
}

/// A valid value of this kind.
pub(super) fn value(random: &mut Random, kind: ValueKind) -> String {
    let pick = |random: &mut Random, words: &[&str]| (*random.pick(words)).to_owned();
    match kind {
        ValueKind::Service
        | ValueKind::Group
        | ValueKind::Host
        | ValueKind::User
        | ValueKind::NewName
        | ValueKind::Secret
        | ValueKind::Line => name(random),
        ValueKind::HostAddress => address(random),
        ValueKind::ListenAddress => {
            let port = random.below(40);
            listen(random, port).to_string()
        }
        ValueKind::ListenAddressOrPort => match random.below(2) {
            0 => random.below(40).to_string(),
            _ => value(random, ValueKind::ListenAddress),
        },
        ValueKind::Scheduler => {
            let spellings: Vec<_> = Scheduler::spellings().collect();
            format!(
                "{}{}",
                random.pick(&spellings),
                random.pick(&["", ",sticky"])
            )
        }
        ValueKind::Weight => random.below(1_000_001).to_string(),
        ValueKind::Prefix => pick(random, &["1", "64", "128"]),
        ValueKind::State => pick(random, &["up", "drain", "down"]),
        ValueKind::Initial => pick(random, &["up", "down"]),
        ValueKind::WhenFailed => pick(random, &["keep", "end"]),
        ValueKind::Interface => pick(random, &["", "eth0", "br-lan.100"]),
        ValueKind::Source => pick(random, &["", "client", "10.0.0.9", "10.0.0.9 2001:db8::9"]),
        ValueKind::Rate => pick(random, &["1", "100", "100000"]),
        ValueKind::Replay => pick(random, &["0", "16384", "1048576"]),
        ValueKind::Proxy => pick(random, &["off", "require"]),
        ValueKind::SendProxy => pick(random, &["off", "v1", "v2"]),
        ValueKind::ServerNames => pick(random, &["", "a.test", "*.test b.test", "10.0.0.1"]),
        ValueKind::Protocols => pick(random, &["", "h2", "http/1.1 <&\"'>"]),
        ValueKind::RouteNumber => pick(random, &["1", "2", "3"]),
        ValueKind::Networks => pick(random, &["", "10.0.0.0/8 ::1", "192.0.2.7"]),
        ValueKind::Timeout => seconds_text(Some(duration(random))),
        ValueKind::SessionId => format!("{:x}", random.below(1 << 20)),
        ValueKind::Network => pick(random, &["10.0.0.0/8", "10.0.0.7", "2001:db8::/32"]),
        ValueKind::Access => pick(random, &["full", "readonly"]),
        ValueKind::View => pick(random, &["effect", "running", "stored"]),
        ValueKind::Flag | ValueKind::LooseFlag => pick(random, &["true", "false"]),
        ValueKind::Seconds | ValueKind::Refresh | ValueKind::Grace => {
            seconds_text(random.maybe(duration))
        }
        ValueKind::PublicKey => public_key(random),
        ValueKind::Path | ValueKind::SocketPath => path(random),
        ValueKind::Mode => pick(random, &["0660", "0666", "0600", "0000"]),
        ValueKind::HostNames => pick(random, &["a.b ::1", "localhost"]),
        ValueKind::Check(of) => value_of_check(random, of),
        ValueKind::OptionName => random.pick(options()).path.clone(),
        ValueKind::OptionValue => String::new(),
        ValueKind::Command => random.pick(commands()).name.to_owned(),
    }
}

fn value_of_check(random: &mut Random, kind: CheckValue) -> String {
    let words: &[&str] = match kind {
        CheckValue::Kind => &["tcp", "send", "http", "agent"],
        CheckValue::Time => &["0.01", "1", "2.5", "86400"],
        CheckValue::OptionalTime => &["", "0.5", "10"],
        CheckValue::Count => &["1", "2", "1000"],
        CheckValue::Port => &["", "1", "8008", "65535"],
        CheckValue::Ip => &["", "10.0.0.9", "::1"],
        CheckValue::Bytes => &["", "PING\\r\\n", "\\x00<&>\"'\\\\", " a  b "],
        CheckValue::Path => &["/", "/a?b=<c>&d='e'", "/%20"],
        CheckValue::Status => &["200", "200-399", "100-199 503"],
        CheckValue::HostHeader => &["", "a.example", "[::1]:80"],
        CheckValue::Number => &["1", "2", "3"],
    };
    (*random.pick(words)).to_owned()
}

/// `it` with other values of some attributes; its name stays.
pub(super) fn vary<T>(random: &mut Random, table: &ElementTable<T>, mut it: T) -> T {
    for attribute in table.attributes.iter().filter(|it| it.name != "name") {
        if random.below(3) > 0 {
            let text = value(random, attribute.kind);
            let value = Value::detached(attribute.name, &text);
            // Refused is only a second socket at the place of the first.
            drop((attribute.set)(&mut it, &value, &CustomNames::None));
        }
    }
    it
}

/// A random check that makes sense.
fn check(random: &mut Random) -> Check {
    loop {
        let mut check = vary(random, &CHECK, Check::default());
        // What its type does not have is a mistake.
        let new = Check::default();
        if !matches!(check.kind, CheckKind::Send | CheckKind::Agent) {
            check.send = new.send;
        }
        if check.kind != CheckKind::Send {
            check.expect = new.expect;
        }
        if check.kind != CheckKind::Http {
            (check.path, check.status, check.hostname) = (new.path, new.status, new.hostname);
        }
        if check.mistake().is_none() {
            return check;
        }
    }
}

/// Some checks, often alike.
fn checks(random: &mut Random) -> Vec<Check> {
    match random.below(3) {
        0 => (0..random.below(4)).map(|_| check(random)).collect(),
        1 => vec![Check::default(); random.below(3)],
        _ => Vec::new(),
    }
}

fn change_checks(random: &mut Random, checks: &mut Vec<Check>) {
    checks.retain(|_| random.below(4) > 0);
    if random.below(3) == 0 {
        checks.insert(random.below(checks.len() + 1), check(random));
    }
    if random.below(3) == 0 {
        shuffle(random, checks);
    }
    checks.truncate(Check::MOST_OF_A_GROUP);
}

pub(super) fn group(random: &mut Random, name: String) -> Group {
    let count = random.below(4);
    let hosts = names(random, count).into_iter().map(|name| Host {
        name,
        // Not the blank one.
        address: address(random).parse().unwrap(),
        ..vary(random, &HOST, Host::default())
    });
    let hosts = hosts.collect();
    Group {
        name,
        checks: checks(random),
        hosts,
        ..vary(random, &GROUP, Group::default())
    }
}

pub(super) fn service(random: &mut Random, name: String, first_port: usize) -> Service {
    let group_count = 1 + random.below(3);
    let groups: Vec<_> = names(random, group_count)
        .into_iter()
        .map(|name| group(random, name))
        .collect();
    let (listen_count, route_count) = (1 + random.below(3), random.below(4));
    let listens = (0..listen_count).map(|index| {
        let address = listen(random, first_port + index);
        listener(random, address)
    });
    Service {
        name,
        listens: listens.collect(),
        routes: (0..route_count).map(|_| route(random, &groups)).collect(),
        enabled: random.pick(&groups).name.clone(),
        groups,
        ..vary(random, &SERVICE, Service::default())
    }
}

pub(super) fn admin(random: &mut Random) -> Admin {
    let count = random.below(3);
    let hash = name(random);
    let users = names(random, count).into_iter().map(|name| User {
        name,
        password: Some(hash.clone()),
        keys: (0..random.below(3)).map(|_| public_key(random)).collect(),
        ..vary(random, &USER, (USER.new)())
    });
    let users = users.collect();
    Admin {
        web: random.maybe(|random| {
            let web = vary(random, &WEB, (WEB.new)());
            let (cert, key) = web.cert.zip(web.key).unzip();
            Web {
                enable: web.enable && web.listen.is_some(),
                cert,
                key,
                ..web
            }
        }),
        ssh: random.maybe(|random| {
            let ssh = vary(random, &SSH, (SSH.new)());
            let enable = ssh.enable && ssh.listen.is_some();
            Ssh { enable, ..ssh }
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
    let default = Manager::default();
    Config {
        general: vary(random, &CONFIG, General::default()),
        services,
        manager: Manager {
            host_check: vary(random, &HOST_CHECK, default.host_check),
            config_check: vary(random, &CONFIG_CHECK, default.config_check),
            heartbeat: vary(random, &HEARTBEAT, default.heartbeat),
        },
        admin: random.maybe(admin),
        control: random.maybe(|random| vary(random, &CONTROL, Control::default())),
        logging: vary(random, &LOGGING, Logging::default()),
    }
}

/// A random configuration that shares much with `from`: items changed, added, removed and
/// reordered.
pub(super) fn related_config(random: &mut Random, from: &Config) -> Config {
    let other = config(random);
    let new = other.users().to_vec();
    let mut services = mix(
        random,
        &from.services,
        other.services,
        name_of_service,
        change_service,
    );
    deal_listens(random, from, &mut services);
    let users = mix(random, from.users(), new, |user| &user.name, change_user);
    let admin_elements = random.maybe(admin);
    let admin_elements = if random.below(3) > 0 {
        from.admin.clone()
    } else {
        admin_elements
    };
    Config {
        general: random.pick(&[from.general.clone(), other.general]).clone(),
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
        *target = vary(random, &SERVICE, target.clone());
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
    change_routes(random, &mut target.routes, &target.groups);
}

fn change_group(random: &mut Random, target: &mut Group) {
    let other = group(random, String::new());
    if random.below(3) == 0 {
        *target = vary(random, &GROUP, target.clone());
    }
    change_checks(random, &mut target.checks);
    target.hosts = mix(
        random,
        &target.hosts,
        other.hosts,
        |host| &host.name,
        |random, host| {
            if random.below(2) == 0 {
                *host = vary(random, &HOST, host.clone());
            }
        },
    );
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
    let mut listeners: Vec<Listener> = Vec::new();
    for listener in all {
        let address = &listener.address;
        let is_there = listeners
            .iter()
            .any(|it| it.address == *address || it.address.overlaps(address));
        if !is_there && random.below(5) > 0 {
            listeners.push(listener.clone());
        }
    }
    // Only with port 0 there may be several of the same.
    for _ in 0..random.below(7) {
        let address = listen(random, 0);
        listeners.push(listener(random, address));
    }
    if random.below(2) == 0 {
        shuffle(random, &mut listeners);
    }
    for service in &mut *services {
        let address = listen(random, 0);
        let first = listeners.pop();
        service.listens = vec![first.unwrap_or_else(|| Listener::at(address))];
    }
    if services.is_empty() {
        return;
    }
    for listener in listeners {
        let index = random.below(services.len());
        services[index].listens.push(listener);
    }
}
