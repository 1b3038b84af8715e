//! Binds listening sockets so that several threads share the clients.
//!
//! Where the system spreads clients over sockets of one port (Linux,
//! `SO_REUSEPORT`) each thread gets a socket of its own; elsewhere, and when
//! built with `--cfg txlb_shared_listener`, all get the same one. What they do
//! with it is the relay's business.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

/// Where a socket listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// All addresses of both families.
    Any {
        /// The port.
        port: u16,
    },
    /// One address, or all of its family if it is the unspecified one.
    At(SocketAddr),
}

impl Place {
    /// The port.
    pub fn port(self) -> u16 {
        match self {
            Place::Any { port } => port,
            Place::At(address) => address.port(),
        }
    }

    /// Whether a client of one could as well be the other's: the system then
    /// refuses to have both, unless they are siblings.
    pub fn overlaps(self, other: Place) -> bool {
        if self.port() != other.port() || self.port() == 0 {
            return false;
        }
        match (self, other) {
            (Place::At(one), Place::At(two)) => {
                one.ip() == two.ip()
                    || (one.is_ipv4() == two.is_ipv4()
                        && (one.ip().is_unspecified() || two.ip().is_unspecified()))
            }
            _ => true,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Any { port } => write!(f, "*:{port}"),
            Place::At(address) => address.fmt(f),
        }
    }
}

/// Whether each thread gets a socket of its own.
pub const SPREADS: bool = cfg!(all(target_os = "linux", not(txlb_shared_listener)));

/// Whether an accepted socket has the options of the one that accepted it.
pub const INHERITS: bool = cfg!(target_os = "linux");

/// Clients that may wait to be accepted; the system has a limit of its own
/// (`net.core.somaxconn`), which is as a rule lower.
const BACKLOG: i32 = 65_535;

/// Binds `count` sockets at `place` that share its clients.
///
/// The first is bound without `SO_REUSEPORT`: with it, two processes of one
/// user would share a port without a word, and a second instance would not be
/// noticed. `overlaps_own` says that this process listens at an overlapping
/// place already, which only siblings may.
///
/// # Errors
/// The system's: `AddrInUse`, `PermissionDenied`, `AddrNotAvailable`, ...
pub fn bind_all(place: Place, count: usize, overlaps_own: bool) -> io::Result<Vec<TcpListener>> {
    let first = match bind_one(place, false) {
        Err(error) if overlaps_own && error.kind() == io::ErrorKind::AddrInUse => {
            bind_one(place, true)?
        }
        first => first?,
    };
    // From now on there may be siblings: of this call, or at a place of ours
    // that overlaps.
    allow_siblings(&first)?;
    // With port 0 the system has chosen one, and the siblings go there.
    let place = match (place, first.local_addr()?.port()) {
        (Place::Any { .. }, port) => Place::Any { port },
        (Place::At(address), port) => Place::At(SocketAddr::new(address.ip(), port)),
    };
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(sibling(&sockets[0], place)?);
    }
    Ok(sockets)
}

/// Has the socket be another user's, who may have siblings of it then.
///
/// # Errors
/// The system's; without the right to do so, `PermissionDenied`.
#[cfg(target_os = "linux")]
pub fn give_to(socket: &TcpListener, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::fchown(socket, Some(uid), Some(gid))
}

/// Elsewhere sockets have no owner, nor siblings.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn give_to(_socket: &TcpListener, _uid: u32, _gid: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(target_os = "linux", not(txlb_shared_listener)))]
fn sibling(_first: &TcpListener, place: Place) -> io::Result<TcpListener> {
    bind_one(place, true)
}

#[cfg(not(all(target_os = "linux", not(txlb_shared_listener))))]
fn sibling(first: &TcpListener, _place: Place) -> io::Result<TcpListener> {
    first.try_clone()
}

fn bind_one(place: Place, join: bool) -> io::Result<TcpListener> {
    bind_by(place, |address, one_family| {
        bind_address(address, one_family, join)
    })
}

/// Binds a place by `bind`, which is told whether the socket is for one family alone.
fn bind_by<T>(place: Place, bind: impl Fn(SocketAddr, bool) -> io::Result<T>) -> io::Result<T> {
    match place {
        Place::At(address) => bind(address, true),
        Place::Any { port } => match bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), false) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), true)
            }
            result => result,
        },
    }
}

/// An error of binding: `AddrNotAvailable` also where the machine has no addresses of the
/// family at all.
fn in_words(error: Errno) -> io::Error {
    let words = match error {
        Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL => "this machine has no such address",
        error => return error.into(),
    };
    io::Error::new(io::ErrorKind::AddrNotAvailable, words)
}

/// Whether a place could be bound just now. Nobody can connect to it meanwhile.
///
/// # Errors
/// As of [`bind_all`].
pub fn try_bind(place: Place) -> io::Result<()> {
    bind_by(place, |address, one_family| {
        bound(address, one_family, false).map(drop)
    })
}

fn bind_address(address: SocketAddr, one_family: bool, join: bool) -> io::Result<TcpListener> {
    let descriptor = bound(address, one_family, join)?;
    // Set here, these are the accepted sockets' too, where the system INHERITS.
    sockopt::set_tcp_nodelay(&descriptor, true)?;
    sockopt::set_socket_keepalive(&descriptor, true)?;
    listen(&descriptor, BACKLOG)?;
    let listener = TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bound(address: SocketAddr, one_family: bool, join: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let descriptor: OwnedFd = socket(family, SocketType::STREAM, None).map_err(in_words)?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&descriptor, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&descriptor, one_family)?;
    }
    if join {
        allow_siblings(&descriptor)?;
    }
    bind(&descriptor, &address).map_err(in_words)?;
    Ok(descriptor)
}

#[cfg(target_os = "linux")]
fn allow_siblings(descriptor: &impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(descriptor, true)?)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
fn allow_siblings(_descriptor: &impl AsFd) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn loopback(port: u16) -> Place {
        Place::At(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    #[test]
    fn a_second_instance_is_refused() {
        let first = bind_all(loopback(0), 2, false).unwrap();
        let taken = loopback(first[0].local_addr().unwrap().port());
        let error = bind_all(taken, 2, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn siblings_share_a_port_and_its_clients() {
        let sockets = bind_all(loopback(0), 3, false).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert!(
            sockets
                .iter()
                .all(|socket| socket.local_addr().unwrap() == address)
        );
        let clients: Vec<_> = (0..60)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let mut accepted = 0;
        for socket in &sockets {
            let before = accepted;
            while socket.accept().is_ok() {
                accepted += 1;
            }
            // Sixty clients that all miss one of three sockets are a fault.
            assert!(!SPREADS || accepted > before);
        }
        assert_eq!(accepted, clients.len());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_place_that_overlaps_our_own_is_allowed() {
        for count in [1, 2] {
            let any = bind_all(Place::Any { port: 0 }, count, false).unwrap();
            let port = any[0].local_addr().unwrap().port();
            assert!(loopback(port).overlaps(Place::Any { port }));
            assert!(bind_all(loopback(port), count, false).is_err());
            bind_all(loopback(port), count, true).unwrap();
        }
    }

    #[test]
    fn any_address_takes_clients_of_both_families() {
        let sockets = bind_all(Place::Any { port: 0 }, 1, false).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        if sockets[0].local_addr().unwrap().is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn a_machine_without_ipv6_listens_at_what_it_has() {
        for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let without = |address: SocketAddr, one_family| match address {
                SocketAddr::V4(_) => Ok((address, one_family)),
                SocketAddr::V6(_) => Err(in_words(errno)),
            };
            let any = bind_by(Place::Any { port: 80 }, without).unwrap();
            assert_eq!(any, ("0.0.0.0:80".parse().unwrap(), true));
            let error = bind_by(Place::At("[::1]:80".parse().unwrap()), without).unwrap_err();
            assert_eq!(error.to_string(), "this machine has no such address");
        }
        let taken = in_words(Errno::ADDRINUSE);
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn places_overlap_as_the_system_sees_it() {
        let at = |text: &str| Place::At(text.parse().unwrap());
        assert!(at("0.0.0.0:80").overlaps(at("10.0.0.1:80")));
        assert!(!at("0.0.0.0:80").overlaps(at("[::1]:80")));
        assert!(!at("10.0.0.1:80").overlaps(at("10.0.0.2:80")));
        assert!(!at("10.0.0.1:80").overlaps(at("10.0.0.1:81")));
        assert!(Place::Any { port: 80 }.overlaps(at("[::1]:80")));
        assert!(!Place::Any { port: 0 }.overlaps(Place::Any { port: 0 }));
    }
}
