//! Whether an address is this machine's.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, bind, socket};

/// Tells whether addresses are this machine's. Sends nothing.
#[derive(Debug, Default)]
pub struct LocalAddresses {
    /// A socket that could not be bound yet, of each family: most addresses are others'.
    unbound: [RefCell<Option<OwnedFd>>; 2],
}

impl LocalAddresses {
    /// Whether a connection to this address ends at this machine.
    pub fn has(&self, ip: IpAddr) -> bool {
        // Connections to "all addresses" go to the loopback.
        if ip.is_loopback() || ip.is_unspecified() {
            return true;
        }
        // A machine may allow to bind addresses that are not its own (ip_nonlocal_bind), as
        // it should where another may take them over. One of these is nobody's.
        self.can_bind(ip) && (!self.can_bind(nobodys(ip)) || source(ip) == Some(ip))
    }

    fn can_bind(&self, ip: IpAddr) -> bool {
        let family = match ip {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let unbound = &self.unbound[usize::from(ip.is_ipv6())];
        let kept = unbound.take();
        let Some(socket) = kept.or_else(|| socket(family, SocketType::DGRAM, None).ok()) else {
            return false;
        };
        let is_bound = bind(&socket, &SocketAddr::new(ip, 0)).is_ok();
        if !is_bound {
            unbound.replace(Some(socket));
        }
        is_bound
    }
}

/// An address for documentation.
fn nobodys(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// From which address packets to this one would be: its own, where that is local.
fn source(ip: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match ip {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((ip, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_local_and_what_is_nobodys_is_not() {
        let addresses = LocalAddresses::default();
        for local in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::"] {
            assert!(addresses.has(local.parse().unwrap()), "{local}");
        }
        for other in ["203.0.113.5", "2001:db8::5", "8.8.8.8"] {
            assert!(!addresses.has(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn packets_to_an_address_of_ours_are_from_it() {
        let loopback = Ipv4Addr::LOCALHOST.into();
        assert_eq!(source(loopback), Some(loopback));
    }
}
