//! Changes of the model's group: its hosts, their order, and what their name resolves to.

use super::ends::Ends;
use super::{Anchor, Model, ModelHost, NAME};
use crate::config::{Endpoint, Host, HostState, Initial};
use crate::os::address::Address;
use std::net::{IpAddr, SocketAddr};

impl Model {
    pub(super) fn resolve(&mut self) -> &'static str {
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
            let stays = seen.address.as_ref().and_then(Address::ip);
            let stays = stays.is_some_and(|ip| addresses.contains(&ip));
            if good && !stays {
                seen.address = Some(SocketAddr::new(addresses[0], *port).into());
                (seen.failed, seen.failed_in_a_row) = (false, 0);
                seen.ends.serve();
                seen.ends.failed = false;
            } else if !good && seen.address.is_none() {
                seen.failed = true;
            }
        }
        "an answer"
    }

    /// Hosts are changed, removed and added, and the order changes.
    pub(super) fn configure(&mut self) -> &'static str {
        let mut hosts = std::mem::take(&mut self.group.hosts);
        hosts.retain(|_| self.random.below(16) > 0);
        for n in 0..self.random.below(3) {
            let name = format!("h{}", self.random.below(24) + n);
            if !hosts.iter().any(|host| host.name == name) {
                let host = self.any_host(&name);
                hosts.insert(self.random.index(hosts.len() + 1), host);
            }
        }
        for host in &mut hosts {
            if self.random.below(16) == 0 {
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

    pub(super) fn any_host(&mut self, name: &str) -> Host {
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
            backup: self.random.below(4) == 0,
            ..Host::default()
        }
    }

    pub(super) fn take_over(&mut self, hosts: &[Host]) {
        let was = |name: &str| self.upcoming.iter().any(|known| known == name);
        for host in hosts {
            self.placements += 1;
            let new = ModelHost {
                host: host.clone(),
                address: match &host.address {
                    Endpoint::Address(address) => Some(Address::Ip(*address)),
                    _ => None,
                },
                addresses: Vec::new(),
                failed_in_a_row: 0,
                failed: false,
                pending: self.group.initial == Initial::Down,
                here: Some(false),
                slow_since_ms: None,
                open: 0,
                busy: 0,
                ends: Ends::default(),
                total: 0,
                failures: 0,
                last_pick: 0,
                placement: self.placements,
            };
            match self.hosts.get_mut(&host.name) {
                None => drop(self.hosts.insert(host.name.clone(), new)),
                Some(seen) if seen.host.address != host.address => {
                    let Ends {
                        lingering_ms,
                        has_sent,
                        ..
                    } = std::mem::take(&mut seen.ends);
                    *seen = ModelHost {
                        open: seen.open,
                        busy: seen.busy,
                        total: seen.total,
                        failures: seen.failures,
                        last_pick: seen.last_pick,
                        ends: Ends {
                            lingering_ms,
                            has_sent,
                            ..Ends::default()
                        },
                        ..new
                    };
                }
                Some(seen) if !was(&host.name) => {
                    (seen.host, seen.failed, seen.placement) = (new.host, false, new.placement);
                    seen.failed_in_a_row = 0;
                    (seen.here, seen.pending) = (Some(false), new.pending);
                    seen.slow_since_ms = None;
                    seen.ends.serve();
                    seen.ends.failed = false;
                }
                Some(seen) => seen.host = new.host,
            }
        }
        self.hosts
            .retain(|name, seen| seen.open > 0 || hosts.iter().any(|host| host.name == *name));
    }

    /// Continues in the new order.
    pub(super) fn follow_order(&mut self) {
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
}
