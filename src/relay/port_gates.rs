//! Which hosts' addresses connect(2) has found no local port for, and when to try again.
//!
//! Where no port is left, connect(2) searches the whole range before it says so: some
//! milliseconds. So one session tries for all, and the others wait. Pure: time is an
//! argument.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::timer_wheel::TICK_MS;

/// How long nobody tries after a connect has found no port: twice as long each time.
const CLOSED_MS: u64 = 100;
const MOST_DOUBLINGS: u8 = 3;

/// Connects in a row that must find a port before anybody may try at any time.
const CALM: u8 = 16;

/// Addresses that are remembered.
const MOST: usize = 1024;

/// The addresses that there were no ports for of late. Usually there is none.
#[derive(Debug, Default)]
pub(crate) struct PortGates {
    gates: HashMap<SocketAddr, Gate>,
    /// Somebody has tried such an address in this turn of the worker.
    tried: bool,
}

#[derive(Debug, Default)]
struct Gate {
    closed_until_ms: u64,
    failures: u8,
    successes: u8,
}

impl PortGates {
    /// The worker's next turn begins. A try may be slow even if it finds a port, so there
    /// is one a turn.
    pub(crate) fn begin_turn(&mut self) {
        self.tried = false;
    }

    /// Whether a connect to `to` is worth its time now, and if not, when to ask again.
    /// Whoever may try does.
    pub(crate) fn may_try(&mut self, to: SocketAddr, now_ms: u64) -> Result<(), u64> {
        let Some(gate) = self.gates.get(&to) else {
            return Ok(());
        };
        if gate.closed_until_ms > now_ms {
            return Err(gate.closed_until_ms);
        }
        match std::mem::replace(&mut self.tried, true) {
            true => Err(now_ms + TICK_MS),
            false => Ok(()),
        }
    }

    /// There was no port for a connect to `to`. When to try again.
    pub(crate) fn close(&mut self, to: SocketAddr, now_ms: u64) -> u64 {
        self.tried = true;
        if self.gates.len() >= MOST {
            self.gates.retain(|_, gate| gate.closed_until_ms > now_ms);
        }
        if self.gates.len() >= MOST {
            return now_ms + CLOSED_MS;
        }
        let gate = self.gates.entry(to).or_default();
        gate.closed_until_ms = now_ms + (CLOSED_MS << gate.failures.min(MOST_DOUBLINGS));
        gate.failures = gate.failures.saturating_add(1);
        gate.successes = 0;
        gate.closed_until_ms
    }

    /// There was a port for a connect to `to`.
    pub(crate) fn open(&mut self, to: SocketAddr) {
        if let Some(gate) = self.gates.get_mut(&to) {
            gate.failures = 0;
            gate.successes += 1;
            if gate.successes >= CALM {
                self.gates.remove(&to);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn are_none(&self) -> bool {
        self.gates.is_empty()
    }

    /// Whether there was no port for `to` of late.
    #[cfg(test)]
    pub(crate) fn has(&self, to: SocketAddr) -> bool {
        self.gates.contains_key(&to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// How many of a crowd that asks every millisecond try `to(1)`, in so many
    /// milliseconds.
    fn tries(gates: &mut PortGates, from_ms: u64, ms: u64, finds: bool) -> usize {
        let mut tries = 0;
        for now_ms in from_ms..from_ms + ms {
            gates.begin_turn();
            for _ in 0..300 {
                if gates.may_try(to(1), now_ms).is_ok() {
                    tries += 1;
                    match finds {
                        true => gates.open(to(1)),
                        false => assert!(gates.close(to(1), now_ms) > now_ms),
                    }
                }
            }
        }
        tries
    }

    #[test]
    fn of_a_crowd_one_tries_now_and_then_and_other_hosts_are_not_concerned() {
        let mut gates = PortGates::default();
        assert_eq!(tries(&mut gates, 0, 1, false), 1);
        assert_eq!(gates.may_try(to(1), 10), Err(100));
        assert_eq!(gates.may_try(to(2), 10), Ok(()));
        // After 100, 200, 400, 800 and 800 ms.
        assert_eq!(tries(&mut gates, 1, 2_300, false), 5);
    }

    #[test]
    fn once_there_are_ports_again_one_tries_a_turn_until_that_is_sure() {
        let mut gates = PortGates::default();
        gates.close(to(1), 0);
        let calm = u64::from(CALM);
        assert_eq!(tries(&mut gates, CLOSED_MS, calm - 1, true), 15);
        assert_eq!(tries(&mut gates, CLOSED_MS + calm, 1, true), 300);
        assert!(!gates.has(to(1)));
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let mut gates = PortGates::default();
        for port in 1..=2000 {
            gates.close(to(port), u64::from(port));
        }
        assert!(gates.gates.len() <= MOST);
        assert!(gates.has(to(2000)), "the latest is");
    }
}
