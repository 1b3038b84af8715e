//! Connects that are more than connect(2) of TCP: from a chosen source address, of this machine or a
//! client's own (transparent, on Linux alone), by MPTCP, and to Unix sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, socket, sockopt};

use super::mptcp;

/// Where a connect comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceAddress {
    /// The address; with port 0 the system chooses the port.
    pub address: SocketAddr,
    /// Whether the address may be another machine's. Needs a capability.
    pub is_transparent: bool,
}

impl SourceAddress {
    /// An address of this machine, with a port that the system chooses.
    pub fn of_this_machine(ip: IpAddr) -> SourceAddress {
        SourceAddress {
            address: SocketAddr::new(ip, 0),
            is_transparent: false,
        }
    }
}

/// What is special about a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectOptions {
    /// Where it comes from; `None` is the system's choice.
    pub source: Option<SourceAddress>,
    /// Whether it is one of MPTCP, if this system has that.
    pub mptcp: bool,
}

/// Why no connect was started.
#[derive(Debug)]
pub enum ConnectFromError {
    /// The address is none of this machine's.
    NotOurs,
    /// This process may not use addresses of other machines.
    NotPermitted,
    /// No local port is left, or the chosen one is in use.
    NoPort,
    /// Any other error of socket(2), bind(2) or connect(2).
    System(io::Error),
}

impl From<Errno> for ConnectFromError {
    fn from(error: Errno) -> ConnectFromError {
        ConnectFromError::System(error.into())
    }
}

/// Starts a non-blocking connect to `to`. A source must be of the same family.
///
/// # Errors
/// Why it was not started. The caller may try another source.
pub fn connect_with(
    options: ConnectOptions,
    to: SocketAddr,
) -> Result<TcpStream, ConnectFromError> {
    let descriptor = stream_socket(to, options.mptcp)?;
    if let Some(source) = options.source {
        bind_source(&descriptor, source, to)?;
    }
    match connect(&descriptor, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(descriptor)),
        Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE | Errno::AGAIN) => Err(ConnectFromError::NoPort),
        Err(error) => Err(error.into()),
    }
}

/// Starts a non-blocking connect to a Unix socket. Mostly it has succeeded when this returns.
///
/// # Errors
/// Those of connect(2). On Linux `EAGAIN` says that the accept backlog is full; other systems refuse
/// the connection then.
pub fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let descriptor = system::new_socket(AddressFamily::UNIX)?;
    match connect(&descriptor, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(UnixStream::from(descriptor)),
        Err(error) => Err(error.into()),
    }
}

fn bind_source(
    descriptor: &OwnedFd,
    source: SourceAddress,
    to: SocketAddr,
) -> Result<(), ConnectFromError> {
    if source.is_transparent {
        system::allow_foreign_address(descriptor.as_fd(), to.is_ipv6())
            .map_err(|_| ConnectFromError::NotPermitted)?;
        // The port is one that the client chose. A connection of it to another host may use it.
        sockopt::set_socket_reuseaddr(descriptor, true)?;
    }
    if source.address.port() == 0 {
        // A port is chosen by connect(2), for the whole of both addresses. Without it each source
        // address would have as many connections as it has ports, to all hosts together.
        system::choose_port_at_connect(descriptor.as_fd());
    }
    bind(descriptor, &with_scope_of(to, source.address)).map_err(bind_error)
}

/// Whether this process may connect from addresses of other machines.
pub fn may_be_transparent() -> bool {
    let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None);
    descriptor.is_ok_and(|it| system::allow_foreign_address(it.as_fd(), false).is_ok())
}

fn stream_socket(to: SocketAddr, mptcp: bool) -> Result<OwnedFd, Errno> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    if !mptcp {
        return system::new_socket(family);
    }
    let descriptor = mptcp::stream_socket(family, mptcp)?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&descriptor, true)?;
    Ok(descriptor)
}

/// A link-local source address is one at the interface of the host.
fn with_scope_of(to: SocketAddr, source: SocketAddr) -> SocketAddr {
    match (to, source) {
        (SocketAddr::V6(to), SocketAddr::V6(from)) if from.ip().is_unicast_link_local() => {
            SocketAddrV6::new(*from.ip(), from.port(), 0, to.scope_id()).into()
        }
        _ => source,
    }
}

fn bind_error(error: Errno) -> ConnectFromError {
    match error {
        // EINVAL: a link-local address, and a host that is at no interface.
        Errno::ADDRNOTAVAIL | Errno::INVAL => ConnectFromError::NotOurs,
        // EACCES: the client's port is below 1024, and this process may use none of those.
        Errno::ADDRINUSE | Errno::ACCESS => ConnectFromError::NoPort,
        error => error.into(),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::os::fd::{BorrowedFd, OwnedFd};

    use nix::sys::socket::setsockopt;
    use nix::{libc, setsockopt_impl, sockopt_impl};
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

    sockopt_impl!(
        /// The port is chosen by connect(2).
        BindAddressNoPort,
        SetOnly,
        libc::IPPROTO_IP,
        libc::IP_BIND_ADDRESS_NO_PORT,
        bool
    );
    sockopt_impl!(
        /// Addresses of other machines can be bound.
        Ipv4Transparent,
        SetOnly,
        libc::IPPROTO_IP,
        libc::IP_TRANSPARENT,
        bool
    );
    sockopt_impl!(
        /// The same for IPv6.
        Ipv6Transparent,
        SetOnly,
        libc::IPPROTO_IPV6,
        libc::IPV6_TRANSPARENT,
        bool
    );

    pub(super) fn new_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(family, SocketType::STREAM, flags, None)
    }

    pub(super) fn choose_port_at_connect(socket: BorrowedFd<'_>) {
        // Without it there are only fewer ports. It counts for IPv6, too.
        let _ = setsockopt(&socket, BindAddressNoPort, &true);
    }

    pub(super) fn allow_foreign_address(socket: BorrowedFd<'_>, is_ipv6: bool) -> nix::Result<()> {
        match is_ipv6 {
            true => setsockopt(&socket, Ipv6Transparent, &true),
            false => setsockopt(&socket, Ipv4Transparent, &true),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::os::fd::{BorrowedFd, OwnedFd};

    use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
    use rustix::net::{AddressFamily, SocketType, socket};

    pub(super) fn new_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
        let descriptor = socket(family, SocketType::STREAM, None)?;
        fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
        ioctl_fionbio(&descriptor, true)?;
        Ok(descriptor)
    }

    pub(super) fn choose_port_at_connect(_socket: BorrowedFd<'_>) {}

    pub(super) fn allow_foreign_address(
        _socket: BorrowedFd<'_>,
        _is_ipv6: bool,
    ) -> nix::Result<()> {
        Err(nix::errno::Errno::EOPNOTSUPP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// The addresses that systems other than Linux have on the loopback are fewer.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_connect_comes_from_the_address_that_was_chosen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        for source in ["127.0.0.9", "127.0.0.10"] {
            let ip: IpAddr = source.parse().unwrap();
            let source = Some(SourceAddress::of_this_machine(ip));
            let mptcp = false;
            let _stream = connect_with(ConnectOptions { source, mptcp }, to).unwrap();
            assert_eq!(listener.accept().unwrap().1.ip(), ip);
        }
    }

    #[test]
    fn an_address_of_another_machine_is_told_from_a_want_of_ports() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let connect = |address: &str| {
            let address = address.parse().unwrap();
            let is_transparent = false;
            let source = Some(SourceAddress {
                address,
                is_transparent,
            });
            let mptcp = false;
            connect_with(ConnectOptions { source, mptcp }, to)
        };
        let foreign = connect("203.0.113.9:0");
        assert!(
            matches!(foreign, Err(ConnectFromError::NotOurs)),
            "{foreign:?}"
        );
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = connect(&taken.local_addr().unwrap().to_string());
        assert!(matches!(taken, Err(ConnectFromError::NoPort)), "{taken:?}");
    }

    #[test]
    fn a_host_is_reached_by_mptcp_whether_this_system_has_it_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let options = ConnectOptions {
            source: None,
            mptcp: true,
        };
        let stream = connect_with(options, to).unwrap();
        let (accepted, from) = listener.accept().unwrap();
        assert_eq!(stream.local_addr().unwrap(), from);
        drop(accepted);
    }
}
