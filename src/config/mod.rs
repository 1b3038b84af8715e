//! The configuration model: services, groups, hosts, users and settings.
//!
//! Plain data without sockets, threads or a clock. `read` makes it from a file, `edit` writes it
//! back into one, `verb` changes it. The controller puts it in force.

mod address;
#[cfg(test)]
pub(crate) mod arbitrary;
mod attributes;
mod check;
mod codec;
pub(crate) mod credentials;
mod each;
mod edit;
mod error;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod internals;
mod limit;
mod listener;
mod log_format;
mod mask;
mod nameservers;
mod network;
mod read;
mod redact;
mod route;
mod scheduler;
mod schema;
mod seconds;
mod serialize;
mod settings;
mod source;
mod value;
pub mod verb;

#[cfg(feature = "dns")]
pub(crate) use address::is_host_name;
pub use address::{AddressError, Endpoint, HostAddress, ListenAddress, ListenHost};
pub(crate) use check::write_byte;
pub use check::{ByteString, Check, CheckError, CheckKind, CheckValue, Misspelt, StatusRanges};
pub use credentials::public_key_bytes;
pub use each::{Each, EachError, Record, SrvRecord};
pub use edit::{EditError, edit};
pub use error::{Error, ErrorKind, Errors, Position};
pub use limit::Limit;
pub use listener::{Listener, ProxyVersion};
pub use log_format::{LogFormat, LogFormatError, SessionField, Template, TemplatePart};
pub(crate) use mask::has_hashes;
pub use mask::{hide_passwords, leave_out_masked};
pub use nameservers::Resolver;
pub use network::Network;
pub use read::{Reading, Warning, read, read_with};
pub use route::{Route, RouteTable};
pub use scheduler::{Algorithm, CustomNames, Scheduler, is_custom_name};
pub use schema::{AttributeSchema, ChildSchema, ElementSchema, Occurs, schema};
pub(crate) use serialize::encode;
pub use serialize::print;
pub use settings::{
    Access, Admin, Control, General, Logging, Manager, PeriodicTask, Ssh, User, Web,
};
pub use source::Source;
pub use value::ValueKind;

use std::collections::BTreeSet;
use std::time::Duration;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// What holds for all of txlb.
    pub general: General,
    /// The services, in the file's order.
    pub services: Vec<Service>,
    /// The admin interfaces and users; `None` without an `<admin>` element.
    pub admin: Option<Admin>,
    /// The periodic tasks.
    pub manager: Manager,
    /// The control socket; `None` without a `<control>` element.
    pub control: Option<Control>,
    /// Where messages go, and whether sessions are logged.
    pub logging: Logging,
    /// Which name servers tell of the members of names.
    pub resolver: Resolver,
}

impl Config {
    /// The users of the admin interfaces.
    pub fn users(&self) -> &[User] {
        self.admin.as_ref().map_or(&[], |admin| &admin.users)
    }

    /// Names that single hosts have instead of addresses, and names of interfaces (`%eth0`), each
    /// once.
    pub fn host_names(&self) -> BTreeSet<&str> {
        let hosts = self.hosts().filter(|host| !host.is_template());
        hosts
            .filter_map(|host| match &host.address {
                Endpoint::Name { host, .. } => Some(host.as_str()),
                Endpoint::Zoned { zone, .. } => Some(zone.as_str()),
                Endpoint::Address(_) | Endpoint::Unix(_) => None,
            })
            .collect()
    }

    /// Names of which each member is a host, and what tells of them, each once.
    pub fn member_names(&self) -> BTreeSet<(&str, Each)> {
        let templates = self.hosts().filter(|host| host.is_template());
        templates
            .filter_map(|template| match &template.address {
                Endpoint::Name { host, .. } => Some((host.as_str(), template.each)),
                _ => None,
            })
            .collect()
    }

    /// The hosts of all groups.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        let groups = self.services.iter().flat_map(|service| &service.groups);
        groups.flat_map(|group| &group.hosts)
    }

    /// Whether a group connects to its hosts from addresses of clients, which takes a capability.
    pub fn uses_client_addresses(&self) -> bool {
        let mut groups = self.services.iter().flat_map(|service| &service.groups);
        groups.any(|group| group.source == Source::Client)
    }

    /// Listeners of all services, each port of a range for itself.
    pub fn count_listeners(&self) -> usize {
        let listens = self.services.iter().flat_map(|service| &service.listens);
        listens.map(|it| it.address.ports().count()).sum()
    }

    /// Names that listeners have instead of addresses, and names of interfaces, each once.
    pub fn listen_names(&self) -> BTreeSet<&str> {
        let listens = self.services.iter().flat_map(|service| &service.listens);
        listens
            .filter_map(|listen| match &listen.address.host {
                ListenHost::Name(name) => Some(name.as_str()),
                ListenHost::Zoned { zone, .. } => Some(zone.as_str()),
                _ => None,
            })
            .collect()
    }
}

/// A service: its listeners, and the groups of hosts that may serve its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unique among the services.
    pub name: String,
    /// How long it waits for hosts and for data.
    pub timeouts: Timeouts,
    /// How long sessions may stay on a host that is drained, down, removed or in a disabled group
    /// (`drainTimeout`); `None` is as long as they like.
    pub drain_timeout: Option<Duration>,
    /// How many of its sessions `drainTimeout` and `whenFailed` end in a second, at most: 1 to
    /// [`Service::MAX_END_RATE`] (`endRate`).
    pub end_rate: u32,
    /// How long a client may take to send what must be seen before its host is picked; more than 0
    /// (`firstBytesTimeout`).
    pub first_bytes_timeout: Duration,
    /// Whether its sessions are logged, if any are.
    pub log: bool,
    /// Where it listens, in the file's order; at least one.
    pub listens: Vec<Listener>,
    /// Which TLS clients go to a group of their own, in the file's order; may be empty.
    pub routes: Vec<Route>,
    /// The groups of hosts, in the file's order; at least one.
    pub groups: Vec<Group>,
    /// The name of the one group that gets the new sessions for which there is no route: one of
    /// `groups`.
    pub enabled: String,
}

/// A service without a name, listeners and groups.
impl Default for Service {
    fn default() -> Self {
        Service {
            name: String::new(),
            timeouts: Timeouts::default(),
            drain_timeout: None,
            end_rate: 100,
            first_bytes_timeout: Duration::from_secs(5),
            log: true,
            listens: Vec::new(),
            routes: Vec::new(),
            groups: Vec::new(),
            enabled: String::new(),
        }
    }
}

impl Service {
    /// The greatest rate at which sessions are ended, in sessions a second.
    pub const MAX_END_RATE: u32 = 100_000;

    /// The group that gets the new sessions for which there is no route.
    pub fn enabled_group(&self) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == self.enabled)
    }
}

/// The timeouts of a service; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a host to accept a connection (`connectTimeout`, default 5 s).
    pub connect: Option<Duration>,
    /// For a byte in either direction (`idleTimeout`, default none).
    pub idle: Option<Duration>,
    /// The same once one direction has ended (`halfClosedTimeout`, default 300 s).
    pub half_closed: Option<Duration>,
    /// For a silent peer until TCP probes it (`keepAlive`, default 60 s).
    pub keep_alive: Option<Duration>,
    /// For a peer to acknowledge data (`unackedTimeout`, default none).
    pub unacked: Option<Duration>,
    /// For a whole session (`maxDuration`, default none).
    pub max_duration: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Some(Duration::from_secs(5)),
            idle: None,
            half_closed: Some(Duration::from_secs(300)),
            keep_alive: Some(Duration::from_secs(60)),
            unacked: None,
            max_duration: None,
        }
    }
}

/// A group of interchangeable hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Unique within its service.
    pub name: String,
    /// How a host is picked.
    pub scheduler: Scheduler,
    /// Bits of an IPv6 address that identify a client, for `,sticky`: 1 to
    /// [`Group::WHOLE_ADDRESS`]. IPv4 addresses always count whole.
    pub sticky_prefix: u8,
    /// Sessions in a row that a host may end before its first byte until it has failed; 0: any
    /// number.
    pub fail_after: u32,
    /// How long a host that comes back takes to get its whole share; `None` is no time.
    pub slow_start: Option<Duration>,
    /// Whether a new host gets sessions before it has passed a check.
    pub initial: Initial,
    /// Whether the failed hosts are picked while all have failed.
    pub fail_open: bool,
    /// What becomes of the sessions of a host that has failed.
    pub when_failed: WhenFailed,
    /// Which PROXY protocol header its hosts get before the client's bytes (`sendProxy`).
    pub send_proxy: Option<ProxyVersion>,
    /// How many of the client's bytes are kept for another host until its host has sent its first;
    /// 0 to [`Group::MAX_REPLAY`], 0 is off.
    pub replay: u32,
    /// Where connections to its hosts come from.
    pub source: Source,
    /// Whether connections to its hosts use MPTCP.
    pub mptcp: bool,
    /// How its hosts are checked, in the file's order: all must hold. May be empty.
    pub checks: Vec<Check>,
    /// In the file's order; may be empty.
    pub hosts: Vec<Host>,
}

/// A server that sessions go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Unique within its group.
    pub name: String,
    /// Where it listens.
    pub address: Endpoint,
    /// Its share of sessions, 0 to [`Host::MAX_WEIGHT`]; 0 takes it out of service.
    pub weight: u32,
    /// Its wanted state.
    pub state: HostState,
    /// Whether it gets sessions only while no other host of the group can.
    pub backup: bool,
    /// Whether it stands for the members of its name.
    pub each: Each,
}

impl Group {
    /// Each IPv6 address is a client of its own: the default.
    pub const WHOLE_ADDRESS: u8 = 128;

    /// The greatest `replay`, in bytes.
    pub const MAX_REPLAY: u32 = 1 << 20;

    /// The algorithm that looks at weights, if there are weights and this group's does not.
    pub(crate) fn missed_weights(&self) -> Option<Algorithm> {
        let instead = self.scheduler.algorithm.weighted()?;
        self.hosts
            .iter()
            .any(|host| host.weight > 1)
            .then_some(instead)
    }
}

/// What a new host of a group is before its first check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Initial {
    /// It gets sessions.
    #[default]
    Up,
    /// It gets none until it has passed.
    Down,
}

impl Initial {
    /// The word for it in files and verbs.
    pub fn as_str(self) -> &'static str {
        match self {
            Initial::Up => "up",
            Initial::Down => "down",
        }
    }
}

/// A group without a name and hosts.
impl Default for Group {
    fn default() -> Self {
        Group {
            name: String::new(),
            scheduler: Algorithm::default().into(),
            sticky_prefix: Group::WHOLE_ADDRESS,
            fail_after: 0,
            slow_start: None,
            initial: Initial::Up,
            fail_open: true,
            when_failed: WhenFailed::Keep,
            send_proxy: None,
            replay: 0,
            source: Source::Any,
            mptcp: false,
            checks: Vec::new(),
            hosts: Vec::new(),
        }
    }
}

/// A host without a name and an address.
impl Default for Host {
    fn default() -> Self {
        Host {
            name: String::new(),
            address: Endpoint::Name {
                host: String::new(),
                port: 0,
            },
            weight: 1,
            state: HostState::Up,
            backup: false,
            each: Each::No,
        }
    }
}

impl Host {
    /// The greatest weight of a host.
    pub const MAX_WEIGHT: u32 = 1_000_000;

    /// The name of a host of the file that has none: `index` is its place in the group, from 0.
    pub(crate) fn numbered_name(index: usize) -> String {
        format!("host.{index}")
    }

    /// Whether it may have new sessions: its state is up and its weight is not 0.
    pub fn in_service(&self) -> bool {
        self.state == HostState::Up && self.weight > 0
    }
}

/// The wanted state of a host. What is seen of it is its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HostState {
    /// In service.
    #[default]
    Up,
    /// No new sessions; the open ones live on.
    Drain,
    /// As `Drain`, and shown as switched off.
    Down,
}

impl HostState {
    /// The word for it in files, verbs and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            HostState::Up => "up",
            HostState::Drain => "drain",
            HostState::Down => "down",
        }
    }
}

/// What becomes of the open sessions of a host that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFailed {
    /// They live on.
    #[default]
    Keep,
    /// They are ended.
    End,
}

impl WhenFailed {
    /// The word for it in files and verbs.
    pub fn as_str(self) -> &'static str {
        match self {
            WhenFailed::Keep => "keep",
            WhenFailed::End => "end",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_every_group_and_each_is_there_once() {
        let text = r#"<config>
          <service name="s">
            <listen ip="lb:1"/><listen ip="*:2"/><listen ip="127.0.0.1:3"/>
            <group name="on" enable="true">
              <host name="a" ip="db:1"/><host name="b" ip="10.0.0.1:2"/>
            </group>
            <group name="off"><host name="a" ip="app:1"/><host name="b" ip="db:2"/></group>
          </service>
          <service name="t"><listen ip="lb:4"/><group name="g" enable="true"/></service>
        </config>"#;
        let config = read(text.as_bytes()).unwrap().config;
        assert_eq!(Vec::from_iter(config.host_names()), ["app", "db"]);
        assert_eq!(Vec::from_iter(config.listen_names()), ["lb"]);
    }
}
