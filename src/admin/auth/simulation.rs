//! Simulation of logins under attack, with a virtual clock and seeds. Attackers from a /48, from
//! many IPv4 networks and from an administrator's own /64 guess as fast as they can.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::credential::{CredentialTag, ProcessKey};
use super::limiter::Limiter;
use super::queue::QueueStatus;
use crate::admin::server::client_address::ClientAddress;

/// Time of one check: a hash of `txlb passwd`, on a slow machine.
const CHECK_MS: u64 = 30;

/// A right login must succeed within this time, with as many tries as that needs.
const MAX_LOGIN_MS: u64 = 5000;

/// Pause of an administrator between two tries.
const RETRY_MS: u64 = 500;

/// Longest wait for a check.
const TIMEOUT_MS: u64 = 10_000;

/// Addresses of administrators: one unknown, one known.
const FRESH: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
const KNOWN: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 1));

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u16) -> u16 {
        u16::try_from(self.next() % u64::from(limit)).unwrap()
    }

    /// The next attacker.
    fn attacker(&mut self) -> IpAddr {
        let low = self.below(u16::MAX);
        match self.next() % 3 {
            // Any /64 of one /48.
            0 => Ipv6Addr::new(0x2001, 0xdb8, 0xbad, low, 0, 0, 0, 1).into(),
            // Any address beside the administrator.
            1 => Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 1, low).into(),
            // Any of 200 networks of IPv4, at 20 providers.
            _ => {
                let [last, _] = low.to_be_bytes();
                let [provider, site] = [20, 10].map(|most| u8::try_from(self.below(most)).unwrap());
                Ipv4Addr::new(198, provider, site, last).into()
            }
        }
    }
}

struct Scene {
    limiter: Limiter,
    /// What is guessed; the administrators know the right one.
    tags: Vec<CredentialTag>,
    now_ms: u64,
    /// By ticket: address, and until when it waits.
    waiting: HashMap<u64, (IpAddr, u64)>,
    /// By ticket: address, and when the check ends.
    running: HashMap<u64, (IpAddr, u64)>,
    spent_on_unknown_ms: u64,
    /// Address and time of each success.
    logged_in: Vec<(IpAddr, u64)>,
}

impl Scene {
    fn new() -> Scene {
        let mut limiter = Limiter::default();
        limiter.record_success(ClientAddress::of(KNOWN), "ann", 0);
        Scene {
            limiter,
            tags: (0..97).map(tag).collect(),
            now_ms: 0,
            waiting: HashMap::new(),
            running: HashMap::new(),
            spent_on_unknown_ms: 0,
            logged_in: Vec::new(),
        }
    }

    /// Tries to log in. Returns whether it waits for a check now.
    fn try_it(&mut self, ip: IpAddr, guess: usize) -> bool {
        let (address, tag) = (ClientAddress::of(ip), self.tags[guess]);
        if self.limiter.may_try(address, "ann", self.now_ms).is_err() {
            return false;
        }
        match self.limiter.push(address, "ann", tag, self.now_ms) {
            Ok(ticket) => {
                let until_ms = self.now_ms + TIMEOUT_MS;
                self.waiting.insert(ticket, (ip, until_ms));
                true
            }
            Err(_) => false,
        }
    }

    /// Ends checks, and starts those that are next.
    fn work(&mut self) {
        let now_ms = self.now_ms;
        let over: Vec<_> = self
            .running
            .extract_if(|_, (_, until_ms)| *until_ms <= now_ms)
            .collect();
        for (ticket, (ip, _)) in over {
            let address = ClientAddress::of(ip);
            self.limiter
                .queue
                .finish(ticket, Duration::from_millis(CHECK_MS), now_ms);
            if ip == FRESH || ip == KNOWN {
                self.limiter.record_success(address, "ann", now_ms);
                self.logged_in.push((ip, now_ms));
            } else {
                self.limiter.record_failure(address, "ann", now_ms);
            }
        }
        let mut tickets: Vec<u64> = self.waiting.keys().copied().collect();
        tickets.sort_unstable();
        for ticket in tickets {
            let (ip, until_ms) = self.waiting[&ticket];
            let status = self.limiter.queue.try_start(ticket, now_ms);
            if until_ms <= now_ms && status != QueueStatus::Started {
                self.limiter.queue.remove(ticket);
                self.waiting.remove(&ticket);
                continue;
            }
            match status {
                QueueStatus::Later(_) => continue,
                QueueStatus::Evicted => {}
                QueueStatus::Started
                    if self
                        .limiter
                        .may_try(ClientAddress::of(ip), "ann", now_ms)
                        .is_ok() =>
                {
                    self.running.insert(ticket, (ip, now_ms + CHECK_MS));
                    if ip != KNOWN {
                        self.spent_on_unknown_ms += CHECK_MS;
                    }
                }
                QueueStatus::Started => self.limiter.queue.finish(ticket, Duration::ZERO, now_ms),
            }
            self.waiting.remove(&ticket);
        }
    }
}

fn tag(guess: u32) -> CredentialTag {
    ProcessKey::of(1).tag("ann", &guess.to_string())
}

/// Lets an administrator log in while attackers guess.
fn run(seed: u64, honest: IpAddr, at_ms: u64) -> Scene {
    let (mut scene, mut random) = (Scene::new(), Random(seed));
    let mut next_try_ms = at_ms;
    while scene.now_ms < at_ms + MAX_LOGIN_MS {
        for _ in 0..3 {
            let (ip, guess) = (random.attacker(), usize::from(random.below(97)));
            scene.try_it(ip, guess);
        }
        let is_there =
            |all: &HashMap<u64, (IpAddr, u64)>| all.values().any(|(ip, _)| *ip == honest);
        let waits = is_there(&scene.waiting) || is_there(&scene.running);
        if scene.now_ms >= next_try_ms && !waits && scene.logged_in.is_empty() {
            scene.try_it(honest, 0);
            next_try_ms = scene.now_ms + RETRY_MS;
        }
        scene.work();
        scene.now_ms += 5;
    }
    scene
}

#[test]
fn administrators_get_in_and_attackers_get_their_share_and_no_more() {
    for seed in 1..=6 {
        for honest in [FRESH, KNOWN] {
            let at_ms = 12_000 + 2_000 * seed;
            let scene = run(seed, honest, at_ms);
            let logged_in = scene.logged_in.first();
            let (ip, came_ms) = logged_in.unwrap_or_else(|| panic!("{honest} with seed {seed}"));
            assert_eq!(*ip, honest);
            assert!(came_ms - at_ms <= MAX_LOGIN_MS);
            // A fifth of a processor, and a second of it at once.
            let most_ms = scene.now_ms / 5 + 1000 + CHECK_MS;
            let spent_ms = scene.spent_on_unknown_ms;
            assert!(spent_ms <= most_ms, "{spent_ms} with seed {seed}");
        }
    }
}
