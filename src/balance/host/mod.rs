//! One host of a group: its addresses, health, counts and status.

mod checks;

use self::checks::CheckState;
use super::HostId;
use super::agent::Agent;
use super::stats::{Counters, RecentSessions};
use crate::config::{self, Endpoint, HostState};
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

/// A host at one endpoint: what a sticky client is tied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) host: HostId,
    /// A new number whenever the id goes to another host, or the host to another endpoint.
    pub(super) number: u64,
}

/// The name and counters of a host, which its sessions share with the pool. A new name
/// makes a new one, which shares the counters.
#[derive(Debug)]
pub struct Host {
    /// Its name, unique within its group. A session keeps the name from when its host was
    /// picked.
    pub name: String,
    /// Its bytes and connect times.
    pub counters: Counters,
}

/// A host of a group, as schedulers see it.
#[derive(Debug)]
pub struct Member {
    pub(super) id: HostId,
    pub(super) host: Arc<Host>,
    pub(super) endpoint: Endpoint,
    pub(super) address: Option<SocketAddr>,
    /// What its name resolved to. Empty for a host that is configured by address.
    addresses: Vec<IpAddr>,
    /// The number of addresses that have failed one after the other.
    consecutive_failures: usize,
    pub(super) weight: u32,
    pub(super) state: HostState,
    health: Health,
    since_ms: u64,
    missed_heartbeats: u8,
    /// How it stands in each check of its group; `None` for an agent.
    checks: Vec<Option<CheckState>>,
    agent: Option<Box<Agent>>,
    /// The address at which it is a listener of this process: a session would loop.
    circular_at: Option<SocketAddr>,
    last_failure: Option<(Failure, u64)>,
    pub(super) open: u32,
    pub(super) total: u64,
    pub(super) recent: RecentSessions,
    pub(super) failures: u64,
    pub(super) last_pick: u64,
    pub(super) position: Option<usize>,
    pub(super) candidate: Option<usize>,
    pub(super) placement: Placement,
}

/// A snapshot of a host for status and pages.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostStatus<'a> {
    /// Its id.
    pub id: HostId,
    /// Its name and counters.
    pub host: &'a Arc<Host>,
    /// Its endpoint, as configured.
    pub endpoint: &'a Endpoint,
    /// Its address; `None` while its name has never been resolved.
    pub address: Option<SocketAddr>,
    /// Its weight.
    pub weight: u32,
    /// What the operator wants of it.
    pub state: HostState,
    /// What was seen of it.
    pub health: &'a Health,
    /// When its health changed last, in milliseconds of the clock that `now_ms` is from.
    pub since_ms: u64,
    /// Open sessions, those still connecting included.
    pub open: u32,
    /// Sessions that were connected, the open ones included.
    pub total: u64,
    /// The connected sessions of the last hour, by minute.
    pub recent: &'a RecentSessions,
    /// Sessions that it failed.
    pub failures: u64,
    /// Why and when it failed last, whatever its health is now; the time as `since_ms`.
    pub last_failure: Option<&'a (Failure, u64)>,
    /// What its agent says; `None` if it has none, or that has said nothing.
    pub agent: Option<&'a Agent>,
}

impl HostStatus<'_> {
    /// Whether it could serve a session for what is seen of it: it has an address, and has not
    /// failed.
    pub(crate) fn may_serve(&self) -> bool {
        self.address.is_some() && !matches!(self.health, Health::Failed(_))
    }
}

/// A host fails at this number of missed heartbeats in a row.
const MAX_MISSED_HEARTBEATS: u8 = 2;

/// Addresses of a name that are used. A session tries no more hosts than this.
const MAX_ADDRESSES: usize = 16;

impl Member {
    /// An untried host.
    pub(super) fn new(id: HostId, host: &config::Host, shards: usize, now_ms: u64) -> Self {
        Member {
            id,
            host: Arc::new(Host {
                name: host.name.clone(),
                counters: Counters::new(shards),
            }),
            endpoint: host.address.clone(),
            address: literal_address(&host.address),
            addresses: Vec::new(),
            consecutive_failures: 0,
            weight: host.weight,
            state: host.state,
            health: Health::Untried,
            since_ms: now_ms,
            missed_heartbeats: 0,
            checks: Vec::new(),
            agent: None,
            circular_at: None,
            last_failure: None,
            open: 0,
            total: 0,
            recent: RecentSessions::default(),
            failures: 0,
            last_pick: 0,
            position: None,
            candidate: None,
            placement: Placement {
                host: id,
                number: 0,
            },
        }
    }

    /// Its id.
    pub fn id(&self) -> HostId {
        self.id
    }

    /// Its name, unique within the group.
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// Its weight in force, 0 to 1,000,000: the configured one, or the share of it that its agent
    /// wants.
    pub fn weight(&self) -> u32 {
        self.agent()
            .map_or(self.weight, |agent| agent.weigh(self.weight))
    }

    /// Its open sessions, those still connecting included.
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Its address; `None` while its name has never been resolved.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The number of the group's pick that picked it last, counted from 1; 0 if there was
    /// none. The host with the lowest has been without a new session for the longest time.
    pub fn last_pick(&self) -> u64 {
        self.last_pick
    }

    /// Its position in the file's order, from 0; `None` if it was removed and has open
    /// sessions.
    pub fn position(&self) -> Option<usize> {
        self.position
    }

    /// Whether the operator allows new sessions, and there is an address to connect to.
    pub(super) fn is_usable(&self) -> bool {
        self.state == HostState::Up
            && self.weight > 0
            && self.address.is_some()
            && !self.is_circular()
            && self
                .agent()
                .is_none_or(|agent| agent.takes_sessions() && !agent.is_full(self.open))
    }

    /// Whether its address is a listener of this process, so that a session would loop. Such
    /// a host is neither picked nor probed.
    pub(super) fn is_circular(&self) -> bool {
        self.circular_at.is_some() && self.circular_at == self.address
    }

    /// Marks it as a listener of this process, or no longer.
    pub(super) fn mark_circular(&mut self, circular: bool, now_ms: u64) -> Option<HealthChange> {
        match (self.is_circular(), circular) {
            (false, true) => {
                self.circular_at = self.address;
                self.connect_failed(Failure::Circular, now_ms)
            }
            (true, false) => {
                self.circular_at = None;
                self.reset_health(now_ms)
            }
            _ => None,
        }
    }

    /// Whether it is configured and the operator allows new sessions.
    pub(super) fn is_in_service(&self) -> bool {
        self.position.is_some() && self.state == HostState::Up && self.weight > 0
    }

    pub(super) fn has_timed_out(&self) -> bool {
        self.health == Health::Failed(Failure::TimedOut)
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.health, Health::Failed(_))
    }

    /// Takes over its configuration. Returns whether the endpoint is another one.
    pub(super) fn configure(&mut self, host: &config::Host, now_ms: u64) -> bool {
        self.weight = host.weight;
        self.state = host.state;
        let moved = self.endpoint != host.address;
        if moved {
            let same_name = self.address_at_port_of(&host.address);
            if same_name.is_none() {
                self.addresses = Vec::new();
            }
            self.address = literal_address(&host.address).or(same_name);
            self.endpoint = host.address.clone();
            self.forget_agent(now_ms);
            self.reset_health(now_ms);
        }
        moved
    }

    /// Gives it a new name; the counters continue.
    pub(super) fn rename(&mut self, name: &str) {
        self.host = Arc::new(Host {
            name: name.to_owned(),
            counters: self.host.counters.clone(),
        });
    }

    /// Its address, for another port of the same name: that needs no resolving.
    fn address_at_port_of(&self, endpoint: &Endpoint) -> Option<SocketAddr> {
        match (&self.endpoint, endpoint) {
            (Endpoint::Name { host: old, .. }, Endpoint::Name { host: new, port })
                if old == new =>
            {
                self.address
                    .map(|address| SocketAddr::new(address.ip(), *port))
            }
            _ => None,
        }
    }

    /// Counts a session that was connected.
    pub(super) fn count_session(&mut self, now_ms: u64) {
        self.total += 1;
        self.recent.count(now_ms);
    }

    /// A connect to it succeeded.
    pub(super) fn connect_succeeded(&mut self, now_ms: u64) -> Option<HealthChange> {
        match self.is_judged_by_checks() {
            true => None,
            false => self.heal(now_ms),
        }
    }

    /// It is healthy.
    fn heal(&mut self, now_ms: u64) -> Option<HealthChange> {
        self.missed_heartbeats = 0;
        self.consecutive_failures = 0;
        let failed = self.has_failed();
        if self.health != Health::Healthy {
            self.health = Health::Healthy;
            self.since_ms = now_ms;
        }
        failed.then_some(HealthChange::Up)
    }

    /// A connect to it failed.
    pub(super) fn connect_failed(&mut self, failure: Failure, now_ms: u64) -> Option<HealthChange> {
        self.fail_checks();
        self.fail(failure, now_ms)
    }

    /// It has failed at its address. Keeps the newest reason, and the time of the first failure.
    ///
    /// After a failed address, the next one of its name is used. The host has failed when
    /// all of them have, one after the other.
    fn fail(&mut self, failure: Failure, now_ms: u64) -> Option<HealthChange> {
        self.missed_heartbeats = 0;
        self.consecutive_failures += 1;
        let from = self.address;
        self.use_next_address();
        if !self.has_failed()
            && self.consecutive_failures < self.addresses.len()
            && let (Some(from), Some(to)) = (from, self.address)
        {
            self.last_failure = Some((failure.clone(), now_ms));
            self.health = Health::Untried;
            self.since_ms = now_ms;
            self.reset_checks();
            return Some(HealthChange::Moved { failure, from, to });
        }
        self.consecutive_failures = 0;
        let change = (!self.has_failed()).then(|| HealthChange::Down(failure.clone()));
        if change.is_some() {
            self.since_ms = now_ms;
        }
        self.last_failure = Some((failure.clone(), now_ms));
        self.health = Health::Failed(failure);
        change
    }

    fn use_next_address(&mut self) {
        let Some(address) = &mut self.address else {
            return;
        };
        let at = self.addresses.iter().position(|it| *it == address.ip());
        let next = at.map_or(0, |at| (at + 1) % self.addresses.len());
        if let Some(next) = self.addresses.get(next) {
            address.set_ip(*next);
        }
    }

    /// It missed a heartbeat. The second one in a row makes it failed.
    pub(super) fn heartbeat_missed(
        &mut self,
        failure: Failure,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.missed_heartbeats += 1;
        if self.missed_heartbeats < MAX_MISSED_HEARTBEATS {
            None
        } else {
            self.connect_failed(failure, now_ms)
        }
    }

    /// Sets its health to untried.
    pub(super) fn reset_health(&mut self, now_ms: u64) -> Option<HealthChange> {
        self.missed_heartbeats = 0;
        self.consecutive_failures = 0;
        self.reset_checks();
        self.since_ms = now_ms;
        let health = std::mem::take(&mut self.health);
        matches!(health, Health::Failed(_)).then_some(HealthChange::Up)
    }

    /// Its name, or that of its interface, resolves to these addresses; the port is its own.
    ///
    /// It keeps its address if that is among them. Otherwise it gets the first one, if
    /// possible of the same family, and its health is reset.
    pub(super) fn set_addresses(
        &mut self,
        addresses: &[IpAddr],
        now_ms: u64,
    ) -> Option<HealthChange> {
        let port = match &self.endpoint {
            Endpoint::Name { port, .. } => port,
            Endpoint::Zoned { ip, port, .. } => {
                let interface = interface_index(addresses.first()?)?;
                let address = SocketAddrV6::new(*ip, *port, 0, interface).into();
                let moved = self.address.replace(address) != Some(address);
                return moved.then(|| self.reset_health(now_ms)).flatten();
            }
            Endpoint::Address(_) => return None,
        };
        let most = &addresses[..addresses.len().min(MAX_ADDRESSES)];
        if self.addresses != most {
            self.addresses = most.to_vec();
        }
        let old = self.address.map(|address| address.ip());
        if old.is_some_and(|old| addresses.contains(&old)) {
            return None;
        }
        let same_family = |new: &&IpAddr| old.is_none_or(|old| old.is_ipv4() == new.is_ipv4());
        let new = addresses.iter().find(same_family).or(addresses.first())?;
        self.address = Some(SocketAddr::new(*new, *port));
        self.reset_health(now_ms)
    }

    /// Its name could not be resolved. It keeps its address; without one it has failed.
    pub(super) fn resolution_failed(&mut self, reason: &str, now_ms: u64) -> Option<HealthChange> {
        match self.address {
            Some(_) => None,
            None => self.connect_failed(Failure::Unresolved(reason.to_owned()), now_ms),
        }
    }

    pub(super) fn status(&self) -> HostStatus<'_> {
        HostStatus {
            id: self.id,
            host: &self.host,
            endpoint: &self.endpoint,
            address: self.address,
            weight: self.weight,
            state: self.state,
            health: &self.health,
            since_ms: self.since_ms,
            open: self.open,
            total: self.total,
            recent: &self.recent,
            failures: self.failures,
            last_failure: self.last_failure.as_ref(),
            agent: self.agent(),
        }
    }
}

/// The address of an endpoint that needs no resolving.
fn literal_address(endpoint: &Endpoint) -> Option<SocketAddr> {
    match endpoint {
        Endpoint::Address(address) => Some(*address),
        Endpoint::Name { .. } | Endpoint::Zoned { .. } => None,
    }
}

/// The index of an interface from the resolver's answer, the address `::index`.
fn interface_index(address: &IpAddr) -> Option<u32> {
    match address {
        IpAddr::V6(number) => u32::try_from(u128::from(*number)).ok(),
        IpAddr::V4(_) => None,
    }
}

/// What was seen of a host. Its state, in contrast, is what the operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Health {
    /// No connect has been tried yet.
    #[default]
    Untried,
    /// Its last connect succeeded.
    Healthy,
    /// A connect failed, and none has succeeded since then.
    Failed(Failure),
}

/// Why a host could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The connection was refused, by the host or a firewall.
    Refused,
    /// There was no answer within the connect timeout.
    TimedOut,
    /// There is no route to it.
    Unreachable,
    /// Its name has no address; the resolver's reason.
    Unresolved(String),
    /// Its address is a listener of the same process, so that sessions would loop.
    Circular,
    /// It did not pass a check: what was expected, and what came instead.
    Check(String),
    /// Another error; the system's text.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused => f.write_str("connection refused"),
            Failure::TimedOut => f.write_str("no answer within the connect timeout"),
            Failure::Unreachable => f.write_str("no route to it"),
            Failure::Unresolved(reason) => write!(f, "name not resolved: {reason}"),
            Failure::Circular => {
                f.write_str("it is a listener of txlb itself: sessions would go in circles")
            }
            Failure::Check(reason) | Failure::Other(reason) => f.write_str(reason),
        }
    }
}

/// A change of a host's health, for the log and for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthChange {
    /// A failed host may be used again.
    Up,
    /// A host that was healthy or untried has failed.
    Down(Failure),
    /// An address of its name has failed, and the next one, which is untried, is used.
    Moved {
        /// Why the former address failed.
        failure: Failure,
        /// The former address.
        from: SocketAddr,
        /// The new address.
        to: SocketAddr,
    },
}
