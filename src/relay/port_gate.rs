//! Limits connects to addresses for which no local port was left, by the address that they come from,
//! and to Unix sockets with a full accept backlog.
//!
//! Without a free port connect(2) first searches the whole range: 12 ms with 28,000 ports. So one
//! session tries for all that want the same addresses. Pure: time is an argument.

// Tests: of_a_crowd_one_tries_now_and_then_and_other_hosts_are_not_concerned,
// those_who_wait_for_a_port_hold_up_nobody_else_and_are_served_in_the_end.

use std::collections::HashMap;
use std::net::IpAddr;

use super::timer_wheel::TICK_MS;
use crate::os::address::Address;
use crate::os::outgoing::SourceAddress;

/// How long an address is not tried after a connect found no port. Doubles with each failure.
const CLOSED_MS: u64 = 100;
const MAX_DOUBLINGS: u8 = 3;

/// Successful connects in a row after which an address may be tried at any time again.
const SUCCESSES_TO_FORGET: u8 = 16;

/// How many addresses are remembered.
const MAX_GATES: usize = 1024;

/// What a gate is for: the source address, `None` for the system's choice, and the host's address.
type Way = (Option<IpAddr>, Address);

/// The ways for which no port was left recently. Usually there are none.
#[derive(Debug, Default)]
pub(crate) struct PortGates {
    gates: HashMap<Way, Gate>,
    /// Such an address was tried in this iteration of the event loop.
    tried: bool,
}

#[derive(Debug, Default)]
struct Gate {
    closed_until_ms: u64,
    failures: u8,
    successes: u8,
}

impl PortGates {
    /// Begins an iteration of the event loop, in which one such address may be tried: the search
    /// for a port may be slow even if it finds one.
    pub(crate) fn begin_iteration(&mut self) {
        self.tried = false;
    }

    /// Whether to connect from `from` to `to` now. The caller must do so then.
    ///
    /// # Errors
    /// When to ask again, in milliseconds.
    pub(crate) fn may_try(
        &mut self,
        from: Option<SourceAddress>,
        to: &Address,
        now_ms: u64,
    ) -> Result<(), u64> {
        if self.gates.is_empty() || !searches(from) {
            return Ok(());
        }
        let Some(gate) = self.gates.get(&way(from, to)) else {
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

    /// A connect from `from` to `to` found no port. Returns when to try again, in milliseconds.
    pub(crate) fn close(&mut self, from: Option<SourceAddress>, to: &Address, now_ms: u64) -> u64 {
        if !searches(from) {
            return now_ms + CLOSED_MS;
        }
        self.tried = true;
        if self.gates.len() >= MAX_GATES {
            self.gates.retain(|_, gate| gate.closed_until_ms > now_ms);
        }
        if self.gates.len() >= MAX_GATES {
            return now_ms + CLOSED_MS;
        }
        let gate = self.gates.entry(way(from, to)).or_default();
        gate.closed_until_ms = now_ms + (CLOSED_MS << gate.failures.min(MAX_DOUBLINGS));
        gate.failures = gate.failures.saturating_add(1);
        gate.successes = 0;
        gate.closed_until_ms
    }

    /// A connect from `from` to `to` found a port.
    pub(crate) fn open(&mut self, from: Option<SourceAddress>, to: &Address) {
        if self.gates.is_empty() || !searches(from) {
            return;
        }
        let way = way(from, to);
        if let Some(gate) = self.gates.get_mut(&way) {
            gate.failures = 0;
            gate.successes += 1;
            if gate.successes >= SUCCESSES_TO_FORGET {
                self.gates.remove(&way);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.gates.is_empty()
    }

    /// For how many sources of connections to `to` no port was left recently.
    #[cfg(test)]
    pub(crate) fn count(&self, to: &Address) -> usize {
        self.gates.keys().filter(|(_, it)| it == to).count()
    }

    /// Whether no port was left for `to` recently, from any address.
    #[cfg(test)]
    pub(crate) fn contains(&self, to: &Address) -> bool {
        self.gates.keys().any(|(_, it)| it == to)
    }
}

/// Whether the system searches for a port.
fn searches(from: Option<SourceAddress>) -> bool {
    from.is_none_or(|from| from.address.port() == 0)
}

fn way(from: Option<SourceAddress>, to: &Address) -> Way {
    (from.map(|from| from.address.ip()), to.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn to(port: u16) -> Address {
        SocketAddr::from(([10, 0, 0, 1], port)).into()
    }

    /// How many of a crowd that asks every millisecond try `to(1)`, in so many
    /// milliseconds.
    fn tries(gates: &mut PortGates, from_ms: u64, ms: u64, finds: bool) -> usize {
        let mut tries = 0;
        for now_ms in from_ms..from_ms + ms {
            gates.begin_iteration();
            for _ in 0..300 {
                if gates.may_try(None, &to(1), now_ms).is_ok() {
                    tries += 1;
                    match finds {
                        true => gates.open(None, &to(1)),
                        false => assert!(gates.close(None, &to(1), now_ms) > now_ms),
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
        assert_eq!(gates.may_try(None, &to(1), 10), Err(100));
        assert_eq!(gates.may_try(None, &to(2), 10), Ok(()));
        // After 100, 200, 400, 800 and 800 ms.
        assert_eq!(tries(&mut gates, 1, 2_300, false), 5);
    }

    #[test]
    fn once_there_are_ports_again_one_tries_a_turn_until_that_is_sure() {
        let mut gates = PortGates::default();
        gates.close(None, &to(1), 0);
        let calm = u64::from(SUCCESSES_TO_FORGET);
        assert_eq!(tries(&mut gates, CLOSED_MS, calm - 1, true), 15);
        assert_eq!(tries(&mut gates, CLOSED_MS + calm, 1, true), 300);
        assert!(!gates.contains(&to(1)));
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let mut gates = PortGates::default();
        for port in 1..=2000 {
            gates.close(None, &to(port), u64::from(port));
        }
        assert!(gates.gates.len() <= MAX_GATES);
        assert!(gates.contains(&to(2000)), "the latest is");
    }

    #[test]
    fn a_source_address_without_a_port_keeps_no_other_from_being_tried() {
        let from = |last| Some(SourceAddress::of_this_machine([10, 0, 0, last].into()));
        let mut gates = PortGates::default();
        gates.close(from(8), &to(1), 0);
        gates.begin_iteration();
        assert_eq!(gates.may_try(from(8), &to(1), 10), Err(100));
        assert_eq!(gates.may_try(from(9), &to(1), 10), Ok(()));
        assert_eq!(gates.may_try(None, &to(1), 10), Ok(()));
        // A client's own port is not searched for.
        let clients = SourceAddress {
            address: SocketAddr::from(([10, 0, 0, 8], 999)),
            is_transparent: true,
        };
        gates.close(Some(clients), &to(2), 0);
        assert!(!gates.contains(&to(2)));
        assert_eq!(gates.may_try(Some(clients), &to(1), 10), Ok(()));
    }
}
