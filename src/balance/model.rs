//! The pool against a slow and plain model of it, with random events.

use super::fixture::all_schedulers;
use super::{Failure, Health, HostId, HostPool, PickContext, Picked, Random};
use crate::config::{Endpoint, Group, Host, HostState, Scheduler};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

const STEPS: u32 = 4_000;
const NAME: &str = "db.example";
const HALF_AN_HOUR_MS: u64 = 30 * 60 * 1000;

/// A host in the model.
#[derive(Debug, Clone)]
struct ModelHost {
    host: Host,
    address: Option<SocketAddr>,
    /// What its name resolved to, and the number of these that failed in a row.
    addresses: Vec<IpAddr>,
    failed_in_a_row: usize,
    failed: bool,
    open: u32,
    total: u64,
    failures: u64,
    last_pick: u64,
    /// A new number when stickiness starts again.
    placement: u64,
}

/// A client in the model: its placement, its open sessions, and when the last one ended.
#[derive(Debug, Clone, Copy)]
struct Client {
    placement: u64,
    open: u32,
    ended_ms: u64,
}

#[derive(Debug)]
struct Session {
    picked: Picked,
    client: IpAddr,
    connected: bool,
}

/// What the position in the order depends on: nothing, the host that was picked last (the
/// last upcoming one), or the host that followed a removed one.
#[derive(Clone, Copy, PartialEq)]
enum Anchor {
    Start,
    Last,
    Next,
}

struct Model {
    random: Random,
    now_ms: u64,
    pool: HostPool,
    group: Group,
    hosts: HashMap<String, ModelHost>,
    sessions: Vec<Session>,
    clients: HashMap<IpAddr, Client>,
    picked_total: u64,
    placements: u64,
    /// For round robin: all names, from the next one on.
    upcoming: Vec<String>,
    anchor: Anchor,
    picks: u32,
}

#[test]
fn every_scheduler_agrees_with_a_plain_model() {
    for (seed, scheduler) in (0..).zip(all_schedulers()) {
        let mut model = Model::new(scheduler.parse().unwrap(), seed);
        for step in 0..STEPS {
            let did = model.step();
            model.compare(&format!("{scheduler}, step {step}: {did}"));
        }
        assert!(model.picks > 500, "{scheduler} has picked: {}", model.picks);
    }
}

impl Model {
    fn new(scheduler: Scheduler, seed: u64) -> Self {
        let group = Group {
            name: "main".to_owned(),
            scheduler,
            ..Group::default()
        };
        Model {
            random: Random::new(seed),
            now_ms: 0,
            pool: HostPool::new(&group, 1, 0),
            group,
            hosts: HashMap::new(),
            sessions: Vec::new(),
            clients: HashMap::new(),
            picked_total: 0,
            placements: 0,
            upcoming: Vec::new(),
            anchor: Anchor::Start,
            picks: 0,
        }
    }

    fn step(&mut self) -> &'static str {
        self.now_ms += self.random.below(20_000);
        match self.random.below(100) {
            0..45 => self.pick(),
            45..60 => self.settle(),
            60..85 => self.release(),
            85..92 => self.probe(),
            92..95 => self.resolve(),
            95..99 => self.configure(),
            _ => {
                self.now_ms += HALF_AN_HOUR_MS;
                "nothing, for long"
            }
        }
    }

    /// A pick for a client that some hosts have failed.
    fn pick(&mut self) -> &'static str {
        let n = u16::try_from(self.random.below(30)).unwrap();
        let client = IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, 1]);
        let ids: Vec<HostId> = self.pool.hosts().map(|host| host.id).collect();
        let tries = self.random.below(6) / 3 * self.random.below(5);
        let tried: Vec<HostId> = (0..tries)
            .filter_map(|_| ids.get(self.random.index(ids.len())).copied())
            .collect();
        let tried_names: Vec<String> = self
            .pool
            .hosts()
            .filter(|host| tried.contains(&host.id))
            .map(|host| host.host.name.clone())
            .collect();
        let left: Vec<ModelHost> = self
            .candidates()
            .into_iter()
            .filter(|seen| !tried_names.contains(&seen.host.name))
            .collect();
        let now_ms = self.now_ms;
        let mut context = PickContext {
            client,
            tried: &tried,
            now_ms,
            random: &mut self.random,
        };
        let picked = self.pool.pick(&mut context);
        let name = picked.as_ref().map(|picked| picked.host.name.clone());
        let Some(name) = name else {
            assert!(left.is_empty(), "nobody is picked, but there is {left:?}");
            return "a pick of nobody";
        };
        let seen = left.iter().find(|seen| seen.host.name == name);
        let seen = seen.expect("a candidate that is not in tried").clone();
        match self.sticky_placement(client, &left) {
            Some(placement) => assert_eq!(seen.placement, placement, "a sticky client moved"),
            None => self.check_scheduled(&name, &left),
        }
        self.count(&name, client);
        let picked = picked.unwrap();
        assert_eq!(Some(picked.address), seen.address);
        self.sessions.push(Session {
            picked,
            client,
            connected: false,
        });
        "a pick"
    }

    /// A connecting session is connected, fails or is abandoned.
    fn settle(&mut self) -> &'static str {
        let connecting: Vec<usize> = (0..self.sessions.len())
            .filter(|at| !self.sessions[*at].connected)
            .collect();
        let Some(&at) = connecting.get(self.random.index(connecting.len())) else {
            return "nothing";
        };
        let Session { picked, client, .. } = &self.sessions[at];
        let (id, address, client) = (picked.id, picked.address, *client);
        let name = picked.host.name.clone();
        match self.random.below(4) {
            0 => {
                self.pool
                    .connect_failed(id, address, client, Failure::Refused, self.now_ms);
                self.hosts.get_mut(&name).unwrap().failures += 1;
                self.apply_result(&name, address, false);
                self.end(at);
                "a failed connect"
            }
            1 => {
                self.pool.release(id, client, self.now_ms);
                self.end(at);
                "an abandoned connect"
            }
            _ => {
                self.pool.connected(id, address, self.now_ms);
                self.sessions[at].connected = true;
                self.hosts.get_mut(&name).unwrap().total += 1;
                self.apply_result(&name, address, true);
                "a connect"
            }
        }
    }

    /// Takes over the result of a connect or check at an address, unless the host moved.
    fn apply_result(&mut self, name: &str, address: SocketAddr, good: bool) {
        let configured = self.group.hosts.iter().any(|host| host.name == name);
        let seen = self.hosts.get_mut(name).unwrap();
        if !configured || seen.address != Some(address) {
            return;
        }
        if good {
            (seen.failed, seen.failed_in_a_row) = (false, 0);
            return;
        }
        seen.failed_in_a_row += 1;
        if let Some(at) = seen.addresses.iter().position(|it| *it == address.ip()) {
            let next = seen.addresses[(at + 1) % seen.addresses.len()];
            seen.address = Some(SocketAddr::new(next, address.port()));
        }
        if seen.failed || seen.failed_in_a_row >= seen.addresses.len() {
            (seen.failed, seen.failed_in_a_row) = (true, 0);
        }
    }

    fn release(&mut self) -> &'static str {
        if self.sessions.is_empty() {
            return "nothing";
        }
        let at = self.random.index(self.sessions.len());
        let Session { picked, client, .. } = &self.sessions[at];
        self.pool.release(picked.id, *client, self.now_ms);
        self.end(at);
        "the end of a session"
    }

    fn end(&mut self, at: usize) {
        let Session { picked, client, .. } = self.sessions.swap_remove(at);
        let name = &picked.host.name;
        let seen = self.hosts.get_mut(name).unwrap();
        seen.open -= 1;
        if seen.open == 0 && !self.group.hosts.iter().any(|host| host.name == *name) {
            self.hosts.remove(name);
        }
        if let Some(known) = self.clients.get_mut(&client).filter(|known| known.open > 0) {
            known.open -= 1;
            known.ended_ms = self.now_ms;
        }
    }

    /// A check of a failed host, with a random result.
    fn probe(&mut self) -> &'static str {
        let good = self.random.below(2) == 0;
        let targets = self.pool.health_check_targets();
        let Some(&(id, address)) = targets.get(self.random.index(targets.len())) else {
            return "nothing";
        };
        let name = self
            .pool
            .hosts()
            .find(|host| host.id == id)
            .unwrap()
            .host
            .name
            .clone();
        let result = if good { Ok(()) } else { Err(Failure::TimedOut) };
        self.pool.health_checked(id, address, result, self.now_ms);
        self.apply_result(&name, address, good);
        "a check"
    }

    fn resolve(&mut self) -> &'static str {
        let first = u8::try_from(self.random.below(3)).unwrap();
        let good = first > 0;
        let addresses = [0, 1, 2].map(|more| IpAddr::from([10, 0, 1, first + more]));
        let addresses = &addresses[..=self.random.index(3)];
        let answer = if good {
            Ok(addresses)
        } else {
            Err("no such name")
        };
        self.pool.name_resolved(NAME, answer, self.now_ms);
        for host in &self.group.hosts {
            let Endpoint::Name { port, .. } = &host.address else {
                continue;
            };
            let seen = self.hosts.get_mut(&host.name).unwrap();
            if good {
                seen.addresses = addresses.to_vec();
            }
            let stays = seen.address.is_some_and(|it| addresses.contains(&it.ip()));
            if good && !stays {
                seen.address = Some(SocketAddr::new(addresses[0], *port));
                (seen.failed, seen.failed_in_a_row) = (false, 0);
            } else if !good && seen.address.is_none() {
                seen.failed = true;
            }
        }
        "an answer"
    }

    /// Hosts are changed, removed and added, and the order changes.
    fn configure(&mut self) -> &'static str {
        let mut hosts = std::mem::take(&mut self.group.hosts);
        hosts.retain(|_| self.random.below(6) > 0);
        for n in 0..self.random.below(4) {
            let name = format!("h{}", self.random.below(24) + n);
            if !hosts.iter().any(|host| host.name == name) {
                let host = self.any_host(&name);
                hosts.insert(self.random.index(hosts.len() + 1), host);
            }
        }
        for host in &mut hosts {
            if self.random.below(5) == 0 {
                let name = host.name.clone();
                *host = self.any_host(&name);
            }
        }
        if hosts.len() > 1 && self.random.below(2) == 0 {
            let (one, other) = (
                self.random.index(hosts.len()),
                self.random.index(hosts.len()),
            );
            hosts.swap(one, other);
        }
        self.take_over(&hosts);
        self.group.hosts = hosts;
        self.pool.configure(&self.group, self.now_ms);
        self.follow_order();
        "a new configuration"
    }

    fn any_host(&mut self, name: &str) -> Host {
        let port = 80 + u16::try_from(self.random.below(2)).unwrap();
        let address = match self.random.below(4) {
            0 => Endpoint::Name {
                host: NAME.to_owned(),
                port: 80,
            },
            _ => Endpoint::Address(SocketAddr::from(([10, 0, 0, 1], port))),
        };
        let states = [
            HostState::Up,
            HostState::Up,
            HostState::Drain,
            HostState::Down,
        ];
        let weights = [0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        Host {
            name: name.to_owned(),
            address,
            weight: weights[self.random.index(weights.len())],
            state: states[self.random.index(states.len())],
        }
    }
}

impl Model {
    fn sticky_placement(&self, client: IpAddr, left: &[ModelHost]) -> Option<u64> {
        let known = self
            .clients
            .get(&client)
            .filter(|_| self.group.scheduler.sticky)?;
        let lives = known.open > 0 || self.now_ms - known.ended_ms < HALF_AN_HOUR_MS;
        let usable = left.iter().any(|seen| seen.placement == known.placement);
        (lives && usable).then_some(known.placement)
    }

    /// Checks the host that the scheduler has picked of the remaining candidates.
    fn check_scheduled(&mut self, name: &str, left: &[ModelHost]) {
        let upcoming = |seen: &&ModelHost| {
            self.upcoming
                .iter()
                .position(|name| *name == seen.host.name)
        };
        let least = left.iter().map(|seen| seen.open).min();
        // Exact: every weight of this model divides 27,720.
        let load = |seen: &&ModelHost| u64::from(seen.open) * 27_720 / u64::from(seen.host.weight);
        let expected = match self.group.scheduler.algorithm.as_str() {
            "roundr" => left.iter().min_by_key(upcoming),
            "leastc" => left.iter().min_by_key(|seen| (seen.open, seen.last_pick)),
            "leastcrr" => left
                .iter()
                .filter(|seen| Some(seen.open) == least)
                .min_by_key(upcoming),
            "weightlc" => left.iter().min_by_key(|seen| (load(seen), seen.last_pick)),
            _ => return,
        };
        assert_eq!(expected.map(|seen| seen.host.name.as_str()), Some(name));
        if let Some(at) = self.upcoming.iter().position(|upcoming| *upcoming == name) {
            self.upcoming.rotate_left(at + 1);
            self.anchor = Anchor::Last;
        }
    }

    fn count(&mut self, name: &str, client: IpAddr) {
        self.picks += 1;
        self.picked_total += 1;
        let seen = self.hosts.get_mut(name).unwrap();
        seen.open += 1;
        seen.last_pick = self.picked_total;
        if self.group.scheduler.sticky {
            let known = self.clients.entry(client).or_insert(Client {
                placement: 0,
                open: 0,
                ended_ms: 0,
            });
            known.placement = seen.placement;
            known.open += 1;
        }
    }

    fn candidates(&self) -> Vec<ModelHost> {
        let all = self
            .group
            .hosts
            .iter()
            .map(|host| self.hosts[&host.name].clone());
        let (failed, good): (Vec<ModelHost>, Vec<ModelHost>) = all
            .filter(|seen| seen.host.in_service() && seen.address.is_some())
            .partition(|seen| seen.failed);
        if good.is_empty() { failed } else { good }
    }

    fn take_over(&mut self, hosts: &[Host]) {
        let was = |name: &str| self.upcoming.iter().any(|known| known == name);
        for host in hosts {
            self.placements += 1;
            let new = ModelHost {
                host: host.clone(),
                address: match &host.address {
                    Endpoint::Address(address) => Some(*address),
                    Endpoint::Name { .. } | Endpoint::Zoned { .. } => None,
                },
                addresses: Vec::new(),
                failed_in_a_row: 0,
                failed: false,
                open: 0,
                total: 0,
                failures: 0,
                last_pick: 0,
                placement: self.placements,
            };
            match self.hosts.get_mut(&host.name) {
                None => drop(self.hosts.insert(host.name.clone(), new)),
                Some(seen) if seen.host.address != host.address => {
                    let ModelHost {
                        open,
                        total,
                        failures,
                        last_pick,
                        ..
                    } = *seen;
                    *seen = ModelHost {
                        open,
                        total,
                        failures,
                        last_pick,
                        ..new
                    };
                }
                Some(seen) if !was(&host.name) => {
                    (seen.host, seen.failed, seen.placement) = (new.host, false, new.placement);
                    seen.failed_in_a_row = 0;
                }
                Some(seen) => seen.host = new.host,
            }
        }
        self.hosts
            .retain(|name, seen| seen.open > 0 || hosts.iter().any(|host| host.name == *name));
    }

    /// Continues in the new order.
    fn follow_order(&mut self) {
        let old = &self.upcoming;
        let mut order: Vec<String> = self
            .group
            .hosts
            .iter()
            .map(|host| host.name.clone())
            .collect();
        let at = |name: &String| self.group.hosts.iter().position(|host| host.name == *name);
        let last = old
            .last()
            .filter(|_| self.anchor == Anchor::Last)
            .and_then(at);
        let next = old
            .iter()
            .find_map(at)
            .filter(|_| self.anchor != Anchor::Start);
        match (last, next) {
            (Some(last), _) => order.rotate_left(last + 1),
            (None, Some(next)) => {
                self.anchor = Anchor::Next;
                order.rotate_left(next);
            }
            (None, None) => self.anchor = Anchor::Start,
        }
        self.upcoming = order;
    }

    /// Compares the pool with the model.
    fn compare(&self, when: &str) {
        assert_eq!(self.pool.open(), self.sessions.len(), "{when}");
        let status: Vec<_> = self.pool.hosts().collect();
        let names: Vec<&str> = status.iter().map(|host| host.host.name.as_str()).collect();
        let order: Vec<&str> = self
            .group
            .hosts
            .iter()
            .map(|host| host.name.as_str())
            .collect();
        assert_eq!(names, order, "{when}");
        for host in &status {
            let seen = &self.hosts[&host.host.name];
            let failed = matches!(host.health, Health::Failed(_));
            assert_eq!(
                (host.open, host.total, host.failures, failed, host.address),
                (
                    seen.open,
                    seen.total,
                    seen.failures,
                    seen.failed,
                    seen.address
                ),
                "{when}, {}",
                host.host.name
            );
        }
        let in_service = || {
            status
                .iter()
                .filter(|host| self.hosts[&host.host.name].host.in_service())
        };
        let failed = in_service()
            .filter(|host| self.hosts[&host.host.name].failed)
            .count();
        let all_failed = failed > 0 && failed == in_service().count();
        assert_eq!(self.pool.all_failed(), all_failed, "{when}");
    }
}
