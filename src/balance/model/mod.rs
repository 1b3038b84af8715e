//! The pool against a slow and plain model of it, with random events.

mod changes;
mod ends;

use super::fixture::all_schedulers;
use super::{Failure, Health, HostId, HostPool, PickContext, Picked, Random};
use crate::config::{Group, Host, Initial, Scheduler};
use crate::os::address::Address;
use ends::Ends;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const STEPS: u32 = 4_000;
const NAME: &str = "db.example";
const HALF_AN_HOUR_MS: u64 = 30 * 60 * 1000;
/// More than the time between two looks at what changes with time.
const STEP_MS: u64 = 100;

/// A host in the model.
#[derive(Debug, Clone)]
struct ModelHost {
    host: Host,
    address: Option<Address>,
    /// What its name resolved to, and the number of these that failed in a row.
    addresses: Vec<IpAddr>,
    failed_in_a_row: usize,
    failed: bool,
    /// It waits for its first check.
    pending: bool,
    /// Whether it could be picked after the last step, if it ever could or has failed.
    here: Option<bool>,
    /// When it came back, in slow start.
    slow_since_ms: Option<u64>,
    open: u32,
    busy: u32,
    ends: Ends,
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
    client: Option<IpAddr>,
    connected: bool,
    host_ended: bool,
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
    served_total: u64,
    placements: u64,
    /// For round robin: all names, from the next one on.
    upcoming: Vec<String>,
    anchor: Anchor,
    picks: u32,
    /// Picks in slow start, hosts that became suspect, and that failed by early ends.
    seen: [u32; 3],
}

#[test]
fn every_scheduler_agrees_with_a_plain_model() {
    let mut seen = [0; 3];
    for (seed, scheduler) in (0..).zip(all_schedulers()) {
        let mut model = Model::new(scheduler.parse().unwrap(), seed);
        for step in 0..STEPS {
            let did = model.step();
            model.compare(&format!("{scheduler}, step {step}: {did}"));
        }
        assert!(model.picks > 500, "{scheduler} has picked: {}", model.picks);
        seen = [0, 1, 2].map(|index| seen[index] + model.seen[index]);
    }
    assert!(seen.iter().all(|times| *times > 10), "{seen:?}");
}

impl Model {
    fn new(scheduler: Scheduler, seed: u64) -> Self {
        let group = Group {
            name: "main".to_owned(),
            scheduler,
            fail_after: [0, 2, 30][usize::try_from(seed % 3).unwrap()],
            slow_start: Some(Duration::from_secs(60)).filter(|_| seed.is_multiple_of(2)),
            fail_open: !seed.is_multiple_of(5),
            initial: [Initial::Up, Initial::Down][usize::from(seed % 7 == 6)],
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
            served_total: 0,
            placements: 0,
            upcoming: Vec::new(),
            anchor: Anchor::Start,
            picks: 0,
            seen: [0; 3],
        }
    }

    fn step(&mut self) -> &'static str {
        let most_ms = [20, 20_000][self.random.index(2)];
        self.now_ms += STEP_MS + self.random.below(most_ms);
        let done = match self.random.below(100) {
            0..45 => self.pick(),
            45..65 => (0..4).fold("", |_, _| {
                let done = self.settle();
                self.follow_presence();
                done
            }),
            65..75 => (0..3).fold("", |_, _| self.release()),
            75..85 => self.host_ends(),
            85..93 => self.probe(),
            93..96 => self.resolve(),
            96..99 => self.configure(),
            _ => {
                self.now_ms += HALF_AN_HOUR_MS;
                "nothing, for long"
            }
        };
        self.follow_presence();
        done
    }

    /// A host that may be picked again starts slowly.
    fn follow_presence(&mut self) {
        for host in &self.group.hosts {
            let seen = self.hosts.get_mut(&host.name).unwrap();
            let ready = seen.is_ready();
            if ready && seen.here == Some(false) && self.group.slow_start.is_some() {
                seen.slow_since_ms = Some(self.now_ms);
            }
            if !ready {
                seen.slow_since_ms = None;
            }
            if ready || seen.here.is_some() || seen.failed {
                seen.here = Some(ready);
            }
        }
    }

    /// A pick for a client that some hosts have failed.
    fn pick(&mut self) -> &'static str {
        let n = u16::try_from(self.random.below(30)).unwrap();
        // Some come to a Unix socket.
        let client = (n < 28).then(|| IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, 1]));
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
        let untried = |seen: &ModelHost| !tried_names.contains(&seen.host.name);
        let mut left = self.candidates();
        left.retain(untried);
        let spares = left.is_empty() && !tried.is_empty();
        if spares {
            left = self.ready();
            if left.is_empty() {
                left = self.open_to_failed();
            }
            left.retain(|seen| seen.host.backup && untried(seen));
        }
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
            Some(placement) if !spares => {
                assert_eq!(seen.placement, placement, "a sticky client moved");
            }
            _ if spares => {
                let key = |seen: &&ModelHost| (self.load(seen, true), seen.last_pick);
                let expected = left.iter().min_by_key(key).unwrap();
                assert_eq!(expected.host.name, name, "a spare backup");
            }
            _ => self.check_scheduled(&name, &left),
        }
        self.count(&name, client);
        let picked = picked.unwrap();
        assert_eq!(Some(&picked.address), seen.address.as_ref());
        self.sessions.push(Session {
            picked,
            client,
            connected: false,
            host_ended: false,
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
        let (id, address, client) = (picked.id, picked.address.clone(), *client);
        let name = picked.host.name.clone();
        match self.random.below(16) {
            0 => {
                self.pool
                    .connect_failed(id, &address, client, Failure::Refused, self.now_ms);
                let seen = self.hosts.get_mut(&name).unwrap();
                seen.failures += 1;
                seen.busy -= 1;
                self.apply_result(&name, &address, false);
                self.end(at);
                "a failed connect"
            }
            1 => {
                self.pool.release(id, client, self.now_ms);
                self.end_busy(&name, true);
                self.end(at);
                "an abandoned connect"
            }
            _ => {
                self.pool.connected(id, &address, self.now_ms);
                self.sessions[at].connected = true;
                if self.random.below(2) == 0 {
                    self.sessions[at].picked.host.counters.add_bytes(0, 0, 1);
                    self.hosts.get_mut(&name).unwrap().ends.has_sent = true;
                }
                let seen = self.hosts.get_mut(&name).unwrap();
                seen.total += 1;
                if !seen.ends.failed {
                    self.apply_result(&name, &address, true);
                }
                "a connect"
            }
        }
    }

    /// Takes over the result of a connect or check at an address, unless the host moved.
    fn apply_result(&mut self, name: &str, address: &Address, good: bool) {
        let configured = self.group.hosts.iter().any(|host| host.name == name);
        let seen = self.hosts.get_mut(name).unwrap();
        if !configured || seen.address.as_ref() != Some(address) {
            return;
        }
        if good {
            if seen.ends.failed && self.now_ms < seen.ends.until_ms {
                return;
            }
            (seen.failed, seen.failed_in_a_row) = (false, 0);
            (seen.pending, seen.ends.failed) = (false, false);
            return;
        }
        seen.ends.failed = false;
        seen.failed_in_a_row += 1;
        if let Some(at) = seen
            .addresses
            .iter()
            .position(|it| Some(*it) == address.ip())
        {
            let next = seen.addresses[(at + 1) % seen.addresses.len()];
            seen.address = Some(SocketAddr::new(next, address.port().unwrap()).into());
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
        let Session {
            picked,
            client,
            host_ended,
            ..
        } = &self.sessions[at];
        if *host_ended {
            self.pool.session_ended(picked.id, *client, self.now_ms);
        } else {
            self.pool.release(picked.id, *client, self.now_ms);
            let name = picked.host.name.clone();
            self.end_busy(&name, true);
        }
        self.end(at);
        "the end of a session"
    }

    /// The load that a scheduler sees, for the weight or not, in slow start.
    fn load(&self, seen: &ModelHost, weighed: bool) -> u128 {
        let counts = |at_ms: &&u64| self.now_ms / 100 - **at_ms / 100 < 11;
        let lingering = seen.ends.lingering_ms.iter().filter(counts).count();
        let load = u128::from(seen.busy) + lingering as u128;
        let weight = if weighed { seen.host.weight } else { 1 };
        // Fine enough for every weight and percentage of this model.
        (load << 64) / u128::from(weight * self.percent(seen))
    }

    fn percent(&self, seen: &ModelHost) -> u32 {
        let Some(since_ms) = seen.slow_since_ms else {
            return 100;
        };
        let passed_ms = u32::try_from(self.now_ms - since_ms).unwrap_or(60_000);
        10 + 90 * passed_ms.min(60_000) / 60_000
    }

    fn end(&mut self, at: usize) {
        let Session { picked, client, .. } = self.sessions.swap_remove(at);
        let name = &picked.host.name;
        let seen = self.hosts.get_mut(name).unwrap();
        seen.open -= 1;
        if seen.open == 0 && !self.group.hosts.iter().any(|host| host.name == *name) {
            self.hosts.remove(name);
        }
        let known = client.and_then(|client| self.clients.get_mut(&client));
        if let Some(known) = known.filter(|known| known.open > 0) {
            known.open -= 1;
            known.ended_ms = self.now_ms;
        }
    }

    /// A check of a failed host, with a random result.
    fn probe(&mut self) -> &'static str {
        let good = self.random.below(2) == 0;
        let targets = self.pool.health_check_targets();
        let Some((id, address)) = targets.get(self.random.index(targets.len())).cloned() else {
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
        self.pool.health_checked(id, &address, result, self.now_ms);
        self.apply_result(&name, &address, good);
        "a check"
    }
}

impl ModelHost {
    fn is_usable(&self) -> bool {
        self.host.in_service() && self.address.is_some()
    }

    fn is_ready(&self) -> bool {
        self.is_usable() && !self.failed && !self.pending
    }
}

impl Model {
    fn sticky_placement(&self, client: Option<IpAddr>, left: &[ModelHost]) -> Option<u64> {
        let known = self
            .clients
            .get(&client?)
            .filter(|_| self.group.scheduler.sticky)?;
        let lives = known.open > 0 || self.now_ms - known.ended_ms < HALF_AN_HOUR_MS;
        let usable = left.iter().any(|seen| seen.placement == known.placement);
        (lives && usable).then_some(known.placement)
    }

    /// Checks the host that the scheduler has picked of the remaining candidates.
    fn check_scheduled(&mut self, name: &str, left: &[ModelHost]) {
        let mut left: Vec<&ModelHost> = left.iter().collect();
        let mut order = self.upcoming.clone();
        // A host in slow start may be passed over.
        loop {
            let upcoming = |seen: &ModelHost| order.iter().position(|it| *it == seen.host.name);
            let least = left.iter().map(|seen| self.load(seen, false)).min();
            let expected = match self.group.scheduler.algorithm.as_str() {
                "roundr" => left.iter().min_by_key(|seen| upcoming(seen)),
                "leastc" => left
                    .iter()
                    .min_by_key(|seen| (self.load(seen, false), seen.last_pick)),
                "leastcrr" => left
                    .iter()
                    .filter(|seen| Some(self.load(seen, false)) == least)
                    .min_by_key(|seen| upcoming(seen)),
                "weightlc" => left
                    .iter()
                    .min_by_key(|seen| (self.load(seen, true), seen.last_pick)),
                _ => return,
            };
            let expected = *expected.expect("no host is expected");
            if expected.host.name == name {
                break;
            }
            assert!(self.percent(expected) < 100, "{name}, not {expected:?}");
            self.seen[0] += 1;
            let passed = upcoming(expected).unwrap();
            order.rotate_left(passed + 1);
            left.retain(|seen| seen.host.name != expected.host.name);
        }
        if let Some(at) = self.upcoming.iter().position(|upcoming| *upcoming == name) {
            self.upcoming.rotate_left(at + 1);
            self.anchor = Anchor::Last;
        }
    }

    fn count(&mut self, name: &str, client: Option<IpAddr>) {
        self.picks += 1;
        self.picked_total += 1;
        let seen = self.hosts.get_mut(name).unwrap();
        seen.open += 1;
        seen.busy += 1;
        seen.last_pick = self.picked_total;
        if let Some(client) = client.filter(|_| self.group.scheduler.sticky) {
            let known = self.clients.entry(client).or_insert(Client {
                placement: 0,
                open: 0,
                ended_ms: 0,
            });
            known.placement = seen.placement;
            known.open += 1;
        }
    }

    /// The failed hosts, if they may be picked while all have failed.
    fn open_to_failed(&self) -> Vec<ModelHost> {
        let all = self.group.hosts.iter().map(|host| &self.hosts[&host.name]);
        let fails_open = self.group.fail_open;
        all.filter(|seen| fails_open && seen.is_usable() && seen.failed && !seen.pending)
            .cloned()
            .collect()
    }

    fn candidates(&self) -> Vec<ModelHost> {
        let kinds = [self.ready(), self.open_to_failed()];
        let by_backup = kinds.into_iter().flat_map(|hosts| {
            let (backups, others): (Vec<_>, Vec<_>) =
                hosts.into_iter().partition(|seen| seen.host.backup);
            [others, backups]
        });
        by_backup
            .into_iter()
            .find(|hosts| !hosts.is_empty())
            .unwrap_or_default()
    }

    fn ready(&self) -> Vec<ModelHost> {
        let all = self.group.hosts.iter().map(|host| &self.hosts[&host.name]);
        all.filter(|seen| seen.is_ready()).cloned().collect()
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
                    seen.address.as_ref()
                ),
                "{when}, {}",
                host.host.name
            );
        }
        for host in &status {
            let seen = &self.hosts[&host.host.name];
            assert_eq!(
                (host.busy, host.suspect, host.pending),
                (seen.busy, seen.ends.suspect, seen.pending),
                "{when}, {}",
                host.host.name
            );
            let percent = host.slow_start.map_or(100, |it| it.percent(self.now_ms));
            assert_eq!(percent, self.percent(seen), "{when}, {}", host.host.name);
        }
        let busy = |session: &&Session| !session.host_ended;
        let live = self.sessions.iter().filter(busy).count();
        let busy: u32 = self.pool.known_busy();
        assert_eq!(
            busy as usize, live,
            "{when}: sessions whose host's side lives"
        );
        let in_service = || {
            status
                .iter()
                .filter(|host| self.hosts[&host.host.name].host.in_service())
        };
        let is_out = |seen: &ModelHost| seen.failed || seen.pending;
        let failed = in_service()
            .filter(|host| is_out(&self.hosts[&host.host.name]))
            .count();
        let all_failed = failed > 0 && failed == in_service().count();
        assert_eq!(self.pool.all_failed(), all_failed, "{when}");
    }
}
