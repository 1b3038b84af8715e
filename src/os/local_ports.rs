//! Local ports and addresses that connect(2) chooses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, connect, socket};

/// Where the range is not known.
const ANY: RangeInclusive<u16> = 1024..=u16::MAX;

/// The local ports that the system chooses from. Read once: at the start, since a jail or
/// the sandbox may hide it later.
pub fn range() -> &'static RangeInclusive<u16> {
    static RANGE: OnceLock<RangeInclusive<u16>> = OnceLock::new();
    RANGE.get_or_init(|| read().unwrap_or(ANY))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read() -> Option<RangeInclusive<u16>> {
    parse(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn read() -> Option<RangeInclusive<u16>> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android", test))]
fn parse(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

/// Whether this machine has an address from which `to` can be reached. connect(2) says
/// `EADDRNOTAVAIL` if not, and also when all local ports are in use. A datagram socket
/// needs a source address as well, but has ports of its own.
pub fn has_source_address(to: SocketAddr) -> bool {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let tried = socket(family, SocketType::DGRAM, None).and_then(|socket| connect(socket, &to));
    !matches!(
        tried,
        Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::NETUNREACH)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_two_numbers() {
        assert_eq!(parse("32768\t60999\n"), Some(32_768..=60_999));
        for wrong in ["", "1", "one two", "1 70000"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_loopback_can_be_reached() {
        assert!(has_source_address("127.0.0.1:9".parse().unwrap()));
    }
}
