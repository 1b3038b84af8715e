//! What the model expects: of a pick, of a new configuration, and of the tracker.

use super::super::Health;
use super::{Anchor, HALF_AN_HOUR_MS, Model, Seen, Visits};
use crate::config::{Endpoint, Host};
use std::net::IpAddr;

impl Model {
    pub(super) fn remembered(&self, client: IpAddr, left: &[Seen]) -> Option<u64> {
        let visits = self
            .clients
            .get(&client)
            .filter(|_| self.group.scheduler.sticky)?;
        let lives = visits.open > 0 || self.now_ms - visits.ended_ms < HALF_AN_HOUR_MS;
        let usable = left.iter().any(|seen| seen.place == visits.place);
        (lives && usable).then_some(visits.place)
    }

    /// The scheduler has picked this one of those that are left: rightly so?
    pub(super) fn scheduled(&mut self, name: &str, left: &[Seen]) {
        let upcoming = |seen: &&Seen| {
            self.upcoming
                .iter()
                .position(|name| *name == seen.host.name)
        };
        let least = left.iter().map(|seen| seen.open).min();
        // Exact: every weight in here divides 27,720.
        let load = |seen: &&Seen| u64::from(seen.open) * 27_720 / u64::from(seen.host.weight);
        let expected = match self.group.scheduler.algorithm.as_str() {
            "roundr" => left.iter().min_by_key(upcoming),
            "leastc" => left.iter().min_by_key(|seen| (seen.open, seen.turn)),
            "leastcrr" => left
                .iter()
                .filter(|seen| Some(seen.open) == least)
                .min_by_key(upcoming),
            "weightlc" => left.iter().min_by_key(|seen| (load(seen), seen.turn)),
            _ => return,
        };
        assert_eq!(expected.map(|seen| seen.host.name.as_str()), Some(name));
        if let Some(at) = self.upcoming.iter().position(|upcoming| *upcoming == name) {
            self.upcoming.rotate_left(at + 1);
            self.anchor = Anchor::Last;
        }
    }

    pub(super) fn count(&mut self, name: &str, client: IpAddr) {
        self.picks += 1;
        self.turns += 1;
        let seen = self.hosts.get_mut(name).unwrap();
        seen.open += 1;
        seen.turn = self.turns;
        if self.group.scheduler.sticky {
            let visits = self.clients.entry(client).or_insert(Visits {
                place: 0,
                open: 0,
                ended_ms: 0,
            });
            visits.place = seen.place;
            visits.open += 1;
        }
    }

    pub(super) fn candidates(&self) -> Vec<Seen> {
        let all = self
            .group
            .hosts
            .iter()
            .map(|host| self.hosts[&host.name].clone());
        let (failed, good): (Vec<Seen>, Vec<Seen>) = all
            .filter(|seen| seen.host.in_service() && seen.address.is_some())
            .partition(|seen| seen.failed);
        if good.is_empty() { failed } else { good }
    }

    pub(super) fn take_over(&mut self, hosts: &[Host]) {
        let was = |name: &str| self.upcoming.iter().any(|known| known == name);
        for host in hosts {
            self.places += 1;
            let new = Seen {
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
                turn: 0,
                place: self.places,
            };
            match self.hosts.get_mut(&host.name) {
                None => drop(self.hosts.insert(host.name.clone(), new)),
                Some(seen) if seen.host.address != host.address => {
                    let Seen {
                        open,
                        total,
                        failures,
                        turn,
                        ..
                    } = *seen;
                    *seen = Seen {
                        open,
                        total,
                        failures,
                        turn,
                        ..new
                    };
                }
                Some(seen) if !was(&host.name) => {
                    (seen.host, seen.failed, seen.place) = (new.host, false, new.place);
                    seen.failed_in_a_row = 0;
                }
                Some(seen) => seen.host = new.host,
            }
        }
        self.hosts
            .retain(|name, seen| seen.open > 0 || hosts.iter().any(|host| host.name == *name));
    }

    /// Where the new order goes on.
    pub(super) fn turn_to_the_new_order(&mut self) {
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

    /// Whether the tracker says what the model says.
    pub(super) fn compare(&self, when: &str) {
        assert_eq!(self.tracker.open(), self.sessions.len(), "{when}");
        let status: Vec<_> = self.tracker.hosts().collect();
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
        assert_eq!(self.tracker.all_failed(), all_failed, "{when}");
    }
}
