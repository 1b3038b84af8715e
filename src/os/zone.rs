//! Which number an interface has, as it stands behind the % of an IPv6 address.

use std::io;

/// The number of an interface, by its name or by the number itself.
///
/// # Errors
/// There is no such interface, in words.
pub fn index(zone: &str) -> io::Result<u32> {
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    let missing = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no interface {zone} is there"),
        )
    };
    lookup(zone).ok_or_else(missing)
}

#[cfg(target_os = "linux")]
fn lookup(zone: &str) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    // Any socket will do.
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&socket, zone).ok()
}

/// Elsewhere the resolver knows.
#[cfg(not(target_os = "linux"))]
fn lookup(zone: &str) -> Option<u32> {
    use std::net::{SocketAddr, ToSocketAddrs};
    let mut found = (format!("fe80::1%{zone}").as_str(), 0)
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
    fn an_interface_has_a_number_and_one_that_is_not_there_is_named() {
        assert_eq!(index("7").unwrap(), 7);
        if cfg!(target_os = "linux") {
            assert_eq!(index("lo").unwrap(), 1);
        }
        let error = index("nowhere0").unwrap_err();
        assert_eq!(error.to_string(), "no interface nowhere0 is there");
    }
}
