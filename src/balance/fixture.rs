//! Test fixture: a pool, its clients and a clock, driven by one-line scripts.

use super::{Failure, HealthChange, HostEnd, HostId, HostPool, PickContext, Picked, Random};
use crate::config::{Endpoint, Group, Host, HostState, Scheduler};
use crate::os::address::Address;
use std::net::IpAddr;

/// The spelling of every algorithm, without and with `,sticky`.
pub(super) fn all_schedulers() -> Vec<String> {
    let algorithms = Scheduler::spellings().map(|spelling| spelling.parse::<Scheduler>().unwrap());
    let mut names: Vec<String> = algorithms
        .flat_map(|plain| {
            let sticky = plain.algorithm.clone().sticky();
            [plain, sticky]
        })
        .map(|scheduler| scheduler.to_string())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 18);
    names
}

/// A group from one line: `a*5 b@down c@drain d=db.example` are four hosts, one with a
/// weight, two with a state, one with a name to resolve. `e@backup` is a backup.
pub(super) fn group(scheduler: &str, hosts: &str) -> Group {
    Group {
        name: "main".to_owned(),
        scheduler: scheduler.parse().unwrap(),
        hosts: hosts.split_whitespace().map(host).collect(),
        ..Group::default()
    }
}

fn host(text: &str) -> Host {
    let (text, endpoint) = match text.split_once('=') {
        Some((text, name)) => (text, Some(name)),
        None => (text, None),
    };
    let (text, state) = text.split_once('@').unwrap_or((text, "up"));
    let (name, weight) = text.split_once('*').unwrap_or((text, "1"));
    let states = [HostState::Up, HostState::Drain, HostState::Down];
    Host {
        name: name.to_owned(),
        address: match endpoint.map(str::parse) {
            None => Endpoint::Address("10.0.0.1:80".parse().unwrap()),
            Some(Ok(address)) => Endpoint::Address(address),
            Some(Err(_)) => Endpoint::Name {
                host: endpoint.unwrap().to_owned(),
                port: 80,
            },
        },
        weight: weight.parse().unwrap(),
        state: states
            .into_iter()
            .find(|known| known.as_str() == state)
            .unwrap_or_default(),
        backup: state == "backup",
        ..Host::default()
    }
}

/// A pool, and the context of its picks.
pub(super) struct PoolFixture {
    pub(super) pool: HostPool,
    pub(super) random: Random,
    pub(super) client: IpAddr,
    pub(super) now_ms: u64,
}

/// An IP address with its port.
pub(super) fn at(text: &str) -> Address {
    Address::Ip(text.parse().unwrap())
}

impl PoolFixture {
    pub(super) fn new(scheduler: &str, hosts: &str) -> Self {
        PoolFixture {
            pool: HostPool::new(&group(scheduler, hosts), 2, 0),
            random: Random::new(7),
            client: "192.0.2.1".parse().unwrap(),
            now_ms: 0,
        }
    }

    pub(super) fn configure(&mut self, scheduler: &str, hosts: &str) {
        self.pool.configure(&group(scheduler, hosts), self.now_ms);
    }

    pub(super) fn pick(&mut self, tried: &[HostId]) -> Option<Picked> {
        let PoolFixture { client, now_ms, .. } = *self;
        self.pool.pick(&mut PickContext {
            client: Some(client),
            tried,
            now_ms,
            random: &mut self.random,
        })
    }

    /// The host of a client that connects from `client`; the session stays open.
    pub(super) fn pick_from(&mut self, client: &str) -> String {
        self.client = client.parse().unwrap();
        self.pick(&[])
            .map_or("-".to_owned(), |picked| picked.host.name.clone())
    }

    /// The id of a host.
    pub(super) fn id(&self, name: &str) -> HostId {
        self.pool
            .hosts()
            .find(|host| host.host.name == name)
            .unwrap()
            .id
    }

    pub(super) fn address(&self, name: &str) -> Address {
        self.pool
            .hosts()
            .find(|host| host.host.name == name)
            .unwrap()
            .address
            .cloned()
            .unwrap()
    }

    /// Runs a script: `+` is a client whose session stays open, `.` a client whose session
    /// ends at once, `-a` the end of a session on a, `~a` the end of a's side of one, `!a` two missed heartbeats of a, `?a` a
    /// successful check of a. Returns the host of each client, or `-` for none.
    pub(super) fn run(&mut self, script: &str) -> String {
        let mut picked = Vec::new();
        for word in script.split_whitespace() {
            let (what, name) = word.split_at(1);
            match what {
                "+" => picked.push(self.pick(&[])),
                "." => {
                    let pick = self.pick(&[]);
                    pick.iter().for_each(|pick| self.release(pick.id));
                    picked.push(pick);
                }
                "-" => self.release(self.id(name)),
                "~" => drop(self.host_ends(name, HostEnd::Served)),
                "!" => drop(self.fail(name)),
                "?" => drop(self.recover(name)),
                _ => panic!("{word}"),
            }
        }
        let name =
            |pick: &Option<Picked>| pick.as_ref().map_or("-".into(), |p| p.host.name.clone());
        picked.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn release(&mut self, id: HostId) {
        self.pool.release(id, self.client, self.now_ms);
    }

    pub(super) fn host_ends(&mut self, name: &str, end: HostEnd) -> Option<HealthChange> {
        let (id, address) = (self.id(name), self.address(name));
        let news = (end == HostEnd::Served, Some(end));
        let changes = self.pool.host_reported(id, &address, news, self.now_ms);
        changes.into_iter().flatten().next()
    }

    pub(super) fn fail(&mut self, name: &str) -> Option<HealthChange> {
        let (id, address) = (self.id(name), self.address(name));
        let mut check = || {
            self.pool
                .heartbeat_checked(id, &address, Err(Failure::Refused), self.now_ms)
        };
        check();
        check()
    }

    pub(super) fn recover(&mut self, name: &str) -> Option<HealthChange> {
        let (id, address) = (self.id(name), self.address(name));
        self.pool.health_checked(id, &address, Ok(()), self.now_ms)
    }

    /// The picks of each host, in `times` sessions that end at once, from as many clients.
    pub(super) fn count_picks(&mut self, times: u32) -> Vec<(String, u32)> {
        let mut counts: Vec<(String, u32)> = self
            .pool
            .hosts()
            .map(|host| (host.host.name.clone(), 0))
            .collect();
        for client in 0..times {
            self.client = IpAddr::V4((0x0a00_0000 + client).into());
            let picked = self.pick(&[]).unwrap();
            counts
                .iter_mut()
                .find(|(name, _)| *name == picked.host.name)
                .unwrap()
                .1 += 1;
            self.release(picked.id);
        }
        counts
    }
}
