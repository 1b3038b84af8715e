//! The hosts of a simulated group: how each behaves, and which may be picked.
//!
//! Configuration changes, probes, checks, agents and resolved names reach the real host pool.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;

use super::super::ending::{EndCause, HostCauses};
use super::super::failure::{ConnectError, Shortage, classify_connect_error};
use super::super::plan::Group;
use super::any_hosts::{
    add_host, any_behaviour, any_checks, any_endpoint, any_records, any_report, any_result,
    any_scheduler, any_slow_start, any_source, any_state, any_version, any_weight, expand,
    source_addresses, template,
};
use super::socket::Connect;
use super::transport::ASKED;
use super::world::WORKERS;
use crate::balance::{
    AgentReport, CheckedHost, Health, HostId, HostPool, HostStatus, Picked, Random,
};
use crate::config::{self, Check, Host, Initial, Record, Source};
use crate::os::outgoing::SourceAddress;

/// After how long Linux gives up a connect.
const SYSTEM_GIVES_UP_MS: u64 = 130_000;

/// Hosts differ by port.
pub(super) const FIRST_PORT: u16 = 1000;
pub(super) const PORTS: u16 = 10;

/// How long a sticky client is remembered after its last session.
const REMEMBERED_MS: u64 = 30 * 60 * 1000;

/// How a host answers a connect.
#[derive(Debug, Clone, Copy)]
pub(super) enum Behaviour {
    Accepts,
    Refuses,
    Silent,
}

#[derive(Debug)]
pub(super) struct HostFarm {
    pub(super) group: Arc<Group>,
    /// The group as it is configured, with a template in some runs.
    config: config::Group,
    /// What the template's name has.
    records: Vec<Record>,
    /// The hosts that this makes, members included.
    hosts: Vec<Host>,
    behaviours: Vec<Behaviour>,
    /// Where hosts without a port are checked.
    checked_port: u16,
    /// What this machine lacks.
    shortage: Option<Errno>,
    /// Source addresses that this machine does not have, or that reach no host.
    absent: Vec<IpAddr>,
    /// It has lacked local ports, so a worker may spare an address of any client.
    lacked_ports: bool,
    /// Draws what concerns checks: runs without any are as they would be without it.
    check_random: Random,
    /// Draws what concerns sources.
    source_random: Random,
    /// Draws what concerns members of a name.
    member_random: Random,
    /// Checks on their way: results may come after their host has gone or moved.
    checks: Vec<(CheckedHost, SocketAddr, Arc<Check>)>,
    /// The host of the session that begins, which is counted already.
    picking: Cell<Option<HostId>>,
    /// The last host of each client, and when it was picked, since the last change.
    visits: RefCell<BTreeMap<IpAddr, (HostId, u64)>>,
}

impl HostFarm {
    pub(super) fn new(random: &mut Random) -> HostFarm {
        let mut check_random = Random::new(!random.clone().next_u64());
        let mut source_random = Random::new(random.clone().next_u64() ^ 1);
        let mut member_random = Random::new(random.clone().next_u64() ^ 2);
        let mut group = config::Group {
            source: any_source(&mut source_random),
            checks: any_checks(&mut check_random),
            name: "main".to_owned(),
            scheduler: any_scheduler(random),
            slow_start: any_slow_start(random),
            initial: [Initial::Up, Initial::Down][usize::from(random.below(16) == 0)],
            fail_open: random.below(8) > 0,
            send_proxy: any_version(random),
            replay: [0, 0, 40, 1000][random.index(4)],
            ..config::Group::default()
        };
        let hosts = match random.below(32) {
            0 => 20,
            1 => 0,
            _ => 1 + random.below(5),
        };
        for _ in 0..hosts {
            add_host(&mut group, random);
        }
        let all_alike = random.below(8) == 0;
        let behaviour = any_behaviour(random);
        let behaviours = (0..PORTS).map(|_| match all_alike {
            true => behaviour,
            false => any_behaviour(random),
        });
        let behaviours = behaviours.collect();
        if member_random.below(4) == 0 {
            group.hosts.push(template());
        }
        let records = any_records(&mut member_random);
        let expanded = expand(&group, &records);
        let pool = HostPool::new(&expanded, WORKERS, 0);
        let group_of_pool = Group::new("web", "main", pool);
        let checked_port = [ASKED.port(), FIRST_PORT][source_random.index(2)];
        group_of_pool.set_check_port(checked_port);
        HostFarm {
            behaviours,
            group: Arc::new(group_of_pool),
            checked_port,
            config: group,
            records,
            hosts: expanded.hosts,
            shortage: None,
            absent: Vec::new(),
            lacked_ports: false,
            check_random,
            source_random,
            member_random,
            checks: Vec::new(),
            picking: Cell::new(None),
            visits: RefCell::default(),
        }
    }

    /// A random change of the hosts, of this machine, or by an operator.
    pub(super) fn change(&mut self, random: &mut Random, now_ms: u64) {
        self.visits.take();
        self.change_checks(now_ms);
        self.change_sources(now_ms);
        self.change_members(now_ms);
        match random.below(8) {
            0..=2 => self.reconfigure(random, now_ms),
            3 => {
                let port = random.index(self.behaviours.len());
                self.behaviours[port] = any_behaviour(random);
            }
            4 => {
                self.shortage =
                    [None, None, Some(Errno::MFILE), Some(Errno::ADDRNOTAVAIL)][random.index(4)];
                self.lacked_ports |= self.shortage == Some(Errno::ADDRNOTAVAIL);
            }
            5 => self.check_hosts(random, now_ms),
            6 => self.send_heartbeats(random, now_ms),
            _ => self.resolve(random, now_ms),
        }
    }

    fn reconfigure(&mut self, random: &mut Random, now_ms: u64) {
        match random.below(16) {
            0..=3 => add_host(&mut self.config, random),
            4 => self.config.scheduler = any_scheduler(random),
            5 => self.config.slow_start = any_slow_start(random),
            7 => self.config.send_proxy = any_version(random),
            8 => self.config.replay ^= 40,
            6 => self.config.hosts.retain(|_| random.below(4) == 0),
            _ => self.change_a_host(random),
        }
        self.configure(now_ms);
    }

    fn configure(&mut self, now_ms: u64) {
        let expanded = expand(&self.config, &self.records);
        self.group.pool().configure(&expanded, now_ms);
        self.hosts = expanded.hosts;
    }

    /// Members come and go, as name servers tell of them: most stay.
    fn change_members(&mut self, now_ms: u64) {
        if !self.config.has_templates() || self.member_random.below(4) > 0 {
            return;
        }
        self.records = any_records(&mut self.member_random);
        self.configure(now_ms);
    }

    fn change_a_host(&mut self, random: &mut Random) {
        let hosts = &mut self.config.hosts;
        if hosts.is_empty() {
            return;
        }
        let (one, other) = (random.index(hosts.len()), random.index(hosts.len()));
        match random.below(6) {
            0 => drop(hosts.remove(one)),
            5 => hosts[one].backup ^= true,
            1 => hosts.swap(one, other),
            2 => hosts[one].weight = any_weight(random),
            3 => hosts[one].state = any_state(random),
            // The name of a template stays.
            _ if hosts[one].is_template() => {}
            _ => hosts[one].address = any_endpoint(random),
        }
    }

    fn check_hosts(&mut self, random: &mut Random, now_ms: u64) {
        let mut pool = self.group.pool();
        for (id, address) in pool.health_check_targets() {
            let _ = pool.health_checked(id, address, any_result(random), now_ms);
        }
    }

    fn send_heartbeats(&mut self, random: &mut Random, now_ms: u64) {
        let mut pool = self.group.pool();
        for (id, address) in pool.heartbeat_targets() {
            let _ = pool.heartbeat_checked(id, address, any_result(random), now_ms);
        }
    }

    /// Changes the checks of the group, or runs those that there are.
    fn change_checks(&mut self, now_ms: u64) {
        let random = &mut self.check_random;
        match random.below(16) {
            0 => {
                self.config.checks = any_checks(random);
                self.configure(now_ms);
            }
            1..=6 => self.run_checks(now_ms),
            _ => {}
        }
    }

    /// Changes the sources of the group, or which of them this machine has.
    fn change_sources(&mut self, now_ms: u64) {
        let random = &mut self.source_random;
        match random.below(16) {
            0 => {
                self.config.source = any_source(random);
                self.configure(now_ms);
            }
            1 => self.absent.clear(),
            2 | 3 => {
                self.absent.extend(source_addresses(2 + random.index(4)));
                self.lacked_ports = true;
            }
            _ => {}
        }
    }

    /// The configured sources.
    pub(super) fn source(&self) -> &Source {
        &self.config.source
    }

    /// Ends most of the checks on their way, and starts others.
    fn run_checks(&mut self, now_ms: u64) {
        let random = &mut self.check_random;
        let mut pool = self.group.pool();
        for (host, address, check) in std::mem::take(&mut self.checks) {
            if random.below(8) == 0 {
                self.checks.push((host, address, check));
            } else if check.decides() {
                let result = any_result(random);
                let _ = pool.check_ended((host, address), &check, result, now_ms);
            } else {
                let report = AgentReport::parse(any_report(random).as_bytes());
                let _ = pool.agent_said((host, address), &check, &report, now_ms);
            }
        }
        for host in pool.checked_hosts() {
            let address = pool.check_target(host).and_then(|target| target.address);
            for check in pool.checks() {
                self.checks
                    .extend(address.map(|address| (host, address, Arc::clone(check))));
            }
        }
    }

    /// Notes the host of the session that begins; `None` once it has been looked at.
    pub(super) fn set_picking(&self, host: Option<HostId>) {
        self.picking.set(host);
    }

    fn resolve(&mut self, random: &mut Random, now_ms: u64) {
        let first = u8::try_from(random.below(3)).unwrap();
        let addresses = [0, 1, 2].map(|more| IpAddr::from([10, 0, 1, (first + more) % 3]));
        let answer: Result<&[IpAddr], &str> = match random.below(3) {
            0 => Err("no such name"),
            _ => Ok(&addresses[..=random.index(addresses.len())]),
        };
        self.group.pool().name_resolved("pool", answer, now_ms);
    }

    /// The hosts whose sessions may be ended, and why; `with_groups` as if the group were disabled.
    pub(super) fn end_causes(&self, with_groups: bool) -> HostCauses {
        let mut causes = HostCauses::default();
        let pool = self.group.pool();
        for host in pool.open_hosts() {
            let cause = match host.out_since_ms {
                _ if with_groups => EndCause::GroupOut,
                Some(_) => EndCause::HostOut,
                None if host.has_failed => EndCause::HostFailed,
                None if pool.excess().iter().any(|(id, _)| *id == host.id) => EndCause::Rebalance,
                None => continue,
            };
            causes.insert(&self.group, host.id, cause);
        }
        causes
    }

    /// The hosts that may be picked: candidates, and backups that have not failed, for clients that
    /// have tried all candidates.
    pub(super) fn eligible(&self) -> Vec<(HostId, SocketAddr)> {
        let [others, backups, failed, failed_backups] = self.by_kind();
        match (others.is_empty(), backups.is_empty()) {
            (false, _) => [others, backups].concat(),
            (true, false) => backups,
            (true, true) => [failed, failed_backups].concat(),
        }
    }

    /// The first kind of hosts of which there are any.
    pub(super) fn candidates(&self) -> Vec<(HostId, SocketAddr)> {
        let mut kinds = self.by_kind().into_iter();
        kinds.find(|hosts| !hosts.is_empty()).unwrap_or_default()
    }

    /// The hosts that are up, have an address, and have passed their first check if they must: not
    /// failed, and of these the backups; and both that have failed, where the group fails open.
    fn by_kind(&self) -> [Vec<(HostId, SocketAddr)>; 4] {
        let pool = self.group.pool();
        let config = |status: &HostStatus<'_>| {
            let mut hosts = self.hosts.iter();
            hosts.find(|host| host.name == status.host.name)
        };
        let mut kinds = <[Vec<_>; 4]>::default();
        for status in pool.hosts().filter(|status| !status.pending) {
            let failed = matches!(status.health, Health::Failed(_));
            if let (Some(host), Some(address)) = (config(&status), status.address)
                && host.in_service()
                && self.agent_allows(&status)
                && (!failed || self.config.fail_open)
            {
                let kind = 2 * usize::from(failed) + usize::from(host.backup);
                kinds[kind].push((status.id, address));
            }
        }
        kinds
    }

    fn agent_allows(&self, status: &HostStatus<'_>) -> bool {
        let open = status.open - u32::from(self.picking.get() == Some(status.id));
        let agent = status.agent;
        agent.is_none_or(|agent| agent.takes_sessions() && !agent.is_full(open))
    }

    /// Checks the pick of a sticky group: a client returns to its last host, unless it `was_tried`
    /// just now or may not be picked.
    pub(super) fn visit(
        &self,
        client: IpAddr,
        to: &Picked,
        was_tried: impl Fn(HostId) -> bool,
        now_ms: u64,
    ) {
        let before = self.visits.borrow_mut().insert(client, (to.id, now_ms));
        if let Some((id, at_ms)) = before
            && self.config.scheduler.sticky
            && now_ms < at_ms + REMEMBERED_MS
            && !was_tried(id)
            && self.candidates().iter().any(|(it, _)| *it == id)
        {
            assert_eq!(to.id, id, "a client does not go where it went before");
        }
    }

    /// A host's behaviour depends on its port and on the last byte of its address.
    fn behaviour(&self, address: SocketAddr) -> Behaviour {
        let port = usize::from(address.port() - FIRST_PORT);
        let last = match address.ip() {
            IpAddr::V4(ip) => usize::from(ip.octets()[3]),
            IpAddr::V6(_) => 0,
        };
        self.behaviours[(port + last) % self.behaviours.len()]
    }

    /// Whether a host has no port, and is picked for a port at which it is not checked.
    pub(super) fn is_unchecked(&self, picked: &Picked) -> bool {
        let pool = self.group.pool();
        let mut hosts = pool.hosts();
        let own = hosts.find(|it| it.id == picked.id);
        let port = own.and_then(|it| it.address).map(|it| it.port());
        port == Some(0) && picked.address.port() != self.checked_port
    }

    /// Whether this machine has no file descriptor left.
    pub(super) fn lacks_descriptors(&self) -> bool {
        self.shortage == Some(Errno::MFILE)
    }

    /// Whether this machine has lacked local ports in this run.
    pub(super) fn lacked_ports(&self) -> bool {
        self.lacked_ports
    }

    /// Starts a connect.
    pub(super) fn connect(
        &self,
        address: SocketAddr,
        from: Option<SourceAddress>,
        random: &mut Random,
        now_ms: u64,
    ) -> Result<Connect, ConnectError> {
        let source = from.map(|from| from.address.ip());
        if let Some(ip) = source.filter(|ip| self.absent.contains(ip)) {
            return Err(ConnectError::Local(match ip {
                IpAddr::V4(v4) if v4.octets()[3] % 2 == 0 => Shortage::Route(ip),
                _ => Shortage::Source(ip),
            }));
        }
        self.connect_of_any(address, random, now_ms)
            .map_err(|error| classify_connect_error(&error.into()))
    }

    fn connect_of_any(
        &self,
        address: SocketAddr,
        random: &mut Random,
        now_ms: u64,
    ) -> Result<Connect, Errno> {
        if let Some(error) = self.shortage
            && (error == Errno::MFILE || random.below(4) > 0)
        {
            return Err(error);
        }
        let soon_ms = now_ms + [0, random.below(50), random.below(7000)][random.index(3)];
        let (until_ms, answer) = match self.behaviour(address) {
            Behaviour::Accepts => (soon_ms, Ok(())),
            Behaviour::Refuses if random.below(2) == 0 => return Err(Errno::CONNREFUSED),
            Behaviour::Refuses => (soon_ms, Err(Errno::CONNREFUSED)),
            Behaviour::Silent => (now_ms + SYSTEM_GIVES_UP_MS, Err(Errno::TIMEDOUT)),
        };
        Ok(Connect::Pending { until_ms, answer })
    }
}

impl fmt::Display for HostFarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, short of {:?}:",
            self.config.scheduler, self.shortage
        )?;
        for host in self.group.pool().hosts() {
            let (name, state) = (&host.host.name, host.state.as_str());
            let (weight, health) = (host.weight, host.health);
            write!(
                f,
                " {name} weight {weight} {state} {health:?} at {:?},",
                host.address
            )?;
        }
        Ok(())
    }
}
