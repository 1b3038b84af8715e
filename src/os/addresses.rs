//! Addresses, local ports and interfaces of this machine.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// Checks whether addresses belong to this machine. Sends nothing.
#[derive(Debug, Default)]
pub struct LocalAddresses {
    /// A socket of each family that could not be bound yet, for the next address: most
    /// addresses are not local.
    unbound: [RefCell<Option<OwnedFd>>; 2],
}

impl LocalAddresses {
    /// Whether a connection to this address ends at this machine.
    pub fn contains(&self, ip: IpAddr) -> bool {
        // Connections to the unspecified address go to the loopback.
        if ip.is_loopback() || ip.is_unspecified() {
            return true;
        }
        // Where ip_nonlocal_bind is set, any address can be bound, as failover of addresses
        // needs it. An address for documentation is local nowhere, and shows that.
        self.can_bind(ip)
            && (!self.can_bind(documentation_address(ip)) || source_address(ip) == Some(ip))
    }

    fn can_bind(&self, ip: IpAddr) -> bool {
        let unbound = &self.unbound[usize::from(ip.is_ipv6())];
        let family = family_of(ip);
        let Some(socket) = unbound
            .take()
            .or_else(|| socket(family, SocketType::DGRAM, None).ok())
        else {
            return false;
        };
        let is_bound = bind(&socket, &SocketAddr::new(ip, 0)).is_ok();
        if !is_bound {
            unbound.replace(Some(socket));
        }
        is_bound
    }
}

fn family_of(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}

fn documentation_address(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// The source address of packets to `ip`: `ip` itself, if it is local.
fn source_address(ip: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match ip {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((ip, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether this machine has a source address for connections to `address`.
pub fn has_source_address(address: SocketAddr) -> bool {
    // connect(2) of TCP answers EADDRNOTAVAIL for two things: no source address, or no local
    // port left. A datagram socket needs a source address too, but has ports of its own, so
    // it distinguishes the two.
    // Tests: the_loopback_can_be_reached, a_host_that_no_address_of_this_machine_reaches_is_down.
    !matches!(
        connect_datagram(address),
        Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::NETUNREACH)
    )
}

/// Whether this machine has a route to `address`, from whichever of its addresses.
pub fn has_route(address: SocketAddr) -> bool {
    connect_datagram(address).is_ok()
}

/// Sends nothing.
fn connect_datagram(address: SocketAddr) -> Result<(), Errno> {
    let socket = socket(family_of(address.ip()), SocketType::DGRAM, None)?;
    connect(socket, &address)
}

/// The local ports that connect(2) chooses from (ephemeral ports).
///
/// Read once. The first call must come at the start: a chroot or the sandbox may hide the
/// file later.
pub fn local_port_range() -> &'static RangeInclusive<u16> {
    /// Where the range is not known.
    const ANY: RangeInclusive<u16> = 1024..=u16::MAX;
    static RANGE: OnceLock<RangeInclusive<u16>> = OnceLock::new();
    RANGE.get_or_init(|| read_local_port_range().unwrap_or(ANY))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read_local_port_range() -> Option<RangeInclusive<u16>> {
    parse_range(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn read_local_port_range() -> Option<RangeInclusive<u16>> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android", test))]
fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

/// The index of an interface, by its name or by the index as text: the zone behind the
/// `%` of an IPv6 address.
///
/// # Errors
/// `NotFound` if there is no such interface.
pub fn interface_index(zone: &str) -> io::Result<u32> {
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    let missing = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no interface {zone} is there"),
        )
    };
    look_up_interface(zone).ok_or_else(missing)
}

#[cfg(target_os = "linux")]
fn look_up_interface(name: &str) -> Option<u32> {
    use rustix::net::netdevice;
    // A socket of any family will do for SIOCGIFINDEX.
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&socket, name).ok()
}

/// Elsewhere the resolver knows the index.
#[cfg(not(target_os = "linux"))]
fn look_up_interface(name: &str) -> Option<u32> {
    use std::net::ToSocketAddrs;
    let mut found = (format!("fe80::1%{name}").as_str(), 0)
        .to_socket_addrs()
        .ok()?;
    found.find_map(|address| match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_local_and_what_is_nobodys_is_not() {
        let addresses = LocalAddresses::default();
        for local in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::"] {
            assert!(addresses.contains(local.parse().unwrap()), "{local}");
        }
        for other in ["203.0.113.5", "2001:db8::5", "8.8.8.8"] {
            assert!(!addresses.contains(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn packets_to_an_address_of_ours_are_from_it() {
        let loopback = Ipv4Addr::LOCALHOST.into();
        assert_eq!(source_address(loopback), Some(loopback));
    }

    #[test]
    fn the_range_is_two_numbers() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        for wrong in ["", "1", "one two", "1 70000"] {
            assert_eq!(parse_range(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_loopback_can_be_reached() {
        assert!(has_source_address("127.0.0.1:9".parse().unwrap()));
    }

    #[test]
    fn an_interface_has_a_number_and_one_that_is_not_there_is_named() {
        assert_eq!(interface_index("7").unwrap(), 7);
        if cfg!(target_os = "linux") {
            assert_eq!(interface_index("lo").unwrap(), 1);
        }
        let error = interface_index("nowhere0").unwrap_err();
        assert_eq!(error.to_string(), "no interface nowhere0 is there");
    }
}
