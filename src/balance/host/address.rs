//! Where a host is: its address, and the others of its name.
//!
//! A host without a port has port 0 here: it is connected to at the port that the client asked for.

use super::{MAX_ADDRESSES, Member};
use crate::balance::{Failure, HealthChange};
use crate::config::Endpoint;
use crate::os::address::Address;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

impl Member {
    /// Whether a connection to `address` was one to it, at its present address.
    pub(in crate::balance) fn is_at(&self, address: &Address) -> bool {
        self.address
            .as_ref()
            .is_some_and(|own| match own.lacks_port() {
                true => address.with_port(0) == *own,
                false => address == own,
            })
    }

    /// Its address, for another port of the same name: that needs no resolving.
    pub(super) fn address_at_port_of(&self, endpoint: &Endpoint) -> Option<Address> {
        match (&self.endpoint, endpoint) {
            (Endpoint::Name { host: old, .. }, Endpoint::Name { host: new, port })
                if old == new =>
            {
                self.address
                    .as_ref()
                    .map(|address| address.with_port(*port))
            }
            _ => None,
        }
    }

    /// After a failed address, uses the next one of its name.
    pub(super) fn use_next_address(&mut self) {
        let Some(Address::Ip(address)) = &mut self.address else {
            return;
        };
        let at = self.addresses.iter().position(|it| *it == address.ip());
        let next = at.map_or(0, |at| (at + 1) % self.addresses.len());
        if let Some(next) = self.addresses.get(next) {
            address.set_ip(*next);
        }
    }

    /// Its name, or that of its interface, resolves to these addresses; the port is its own.
    ///
    /// It keeps its address if that is among them. Otherwise it gets the first one, if
    /// possible of the same family, and its health is reset.
    pub(in crate::balance) fn set_addresses(
        &mut self,
        addresses: &[IpAddr],
        now_ms: u64,
    ) -> Option<HealthChange> {
        let port = match &self.endpoint {
            Endpoint::Name { port, .. } => port,
            Endpoint::Zoned { ip, port, .. } => {
                let interface = interface_index(addresses.first()?)?;
                let address = SocketAddrV6::new(*ip, *port, 0, interface);
                let address = Some(Address::Ip(address.into()));
                let moved = self.address != address;
                self.address = address;
                return moved.then(|| self.reset_health(now_ms)).flatten();
            }
            Endpoint::Address(_) | Endpoint::Unix(_) => return None,
        };
        let most = &addresses[..addresses.len().min(MAX_ADDRESSES)];
        if self.addresses != most {
            self.addresses = most.to_vec();
        }
        let old = self.address.as_ref().and_then(Address::ip);
        if old.is_some_and(|old| addresses.contains(&old)) {
            return None;
        }
        let same_family = |new: &&IpAddr| old.is_none_or(|old| old.is_ipv4() == new.is_ipv4());
        let new = addresses.iter().find(same_family).or(addresses.first())?;
        self.address = Some(SocketAddr::new(*new, *port).into());
        self.reset_health(now_ms)
    }

    /// Its name could not be resolved. It keeps its address; without one it has failed.
    pub(in crate::balance) fn resolution_failed(
        &mut self,
        reason: &str,
        now_ms: u64,
    ) -> Option<HealthChange> {
        match self.address {
            Some(_) => None,
            None => self.connect_failed(Failure::Unresolved(reason.to_owned()), now_ms),
        }
    }
}

/// The address of an endpoint that needs no resolving.
pub(super) fn literal_address(endpoint: &Endpoint) -> Option<Address> {
    match endpoint {
        Endpoint::Address(address) => Some(Address::Ip(*address)),
        Endpoint::Unix(path) => Some(Address::Unix(Arc::clone(path))),
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
