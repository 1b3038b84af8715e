//! Listening sockets that several threads share: one for each thread by `SO_REUSEPORT` on
//! Linux. Elsewhere, with `--cfg txlb_shared_listener`, and at a path, all threads get the same one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, bind, listen, sockopt};

use super::address::{Address, UnixPath};
use super::mptcp;
use super::socket_file::SocketFile;

/// The address and port that a listening socket is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BindAddress {
    /// All addresses of both families.
    Any {
        /// The port.
        port: u16,
    },
    /// One address, or all of its family if it is the unspecified one.
    At(SocketAddr),
}

/// Where a service listens: at an address and port, or at the path of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenPlace {
    /// An address and port.
    Ip(BindAddress),
    /// The path of a Unix socket.
    Unix(Arc<Path>),
}

impl ListenPlace {
    /// The address and port; `None` for a Unix socket.
    pub fn bind_address(&self) -> Option<BindAddress> {
        match self {
            ListenPlace::Ip(address) => Some(*address),
            ListenPlace::Unix(_) => None,
        }
    }

    /// Whether the system chooses the port.
    pub fn is_chosen_by_system(&self) -> bool {
        self.bind_address().is_some_and(|it| it.port() == 0)
    }
}

impl From<BindAddress> for ListenPlace {
    fn from(address: BindAddress) -> ListenPlace {
        ListenPlace::Ip(address)
    }
}

impl std::fmt::Display for ListenPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenPlace::Ip(address) => address.fmt(f),
            ListenPlace::Unix(path) => UnixPath(path).fmt(f),
        }
    }
}

/// A listening socket of TCP, or a Unix socket with its path.
#[derive(Debug)]
pub enum StreamListener {
    /// Of TCP.
    Tcp(TcpListener),
    /// At this path.
    Unix(UnixListener, Arc<Path>),
}

impl StreamListener {
    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<StreamListener> {
        Ok(match self {
            StreamListener::Tcp(listener) => StreamListener::Tcp(listener.try_clone()?),
            StreamListener::Unix(listener, path) => {
                StreamListener::Unix(listener.try_clone()?, Arc::clone(path))
            }
        })
    }

    /// Where it listens; for port 0, with the port that the system chose.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            StreamListener::Tcp(listener) => listener.local_addr().map(Address::Ip),
            StreamListener::Unix(_, path) => Ok(Address::Unix(Arc::clone(path))),
        }
    }
}

impl AsFd for StreamListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            StreamListener::Tcp(listener) => listener.as_fd(),
            StreamListener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// What is special about a listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ListenOptions {
    /// Whether clients may use MPTCP, if this system has that.
    pub mptcp: bool,
    /// The interface over which clients come; `None` is any.
    pub interface: Option<String>,
}

impl BindAddress {
    /// The port.
    pub fn port(self) -> u16 {
        match self {
            BindAddress::Any { port } => port,
            BindAddress::At(address) => address.port(),
        }
    }

    /// Whether both could get the same client. The system then refuses the second one,
    /// unless both have `SO_REUSEPORT`.
    pub fn overlaps(self, other: BindAddress) -> bool {
        if self.port() != other.port() || self.port() == 0 {
            return false;
        }
        match (self, other) {
            (BindAddress::At(one), BindAddress::At(two)) => {
                one.ip() == two.ip()
                    || (one.is_ipv4() == two.is_ipv4()
                        && (one.ip().is_unspecified() || two.ip().is_unspecified()))
            }
            _ => true,
        }
    }
}

impl std::fmt::Display for BindAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BindAddress::Any { port } => write!(f, "*:{port}"),
            BindAddress::At(address) => address.fmt(f),
        }
    }
}

/// Whether each thread gets a listening socket of its own.
pub const HAS_SOCKET_PER_THREAD: bool = cfg!(all(target_os = "linux", not(txlb_shared_listener)));

/// Whether an accepted socket inherits the options of its listening socket.
pub const ACCEPTED_INHERIT_OPTIONS: bool = cfg!(target_os = "linux");

/// The accept backlog. The system's own limit (`net.core.somaxconn`) is mostly lower.
const BACKLOG: i32 = 65_535;

/// Binds `count` sockets that share the clients of `address`.
///
/// `may_share` says that this process listens at an overlapping address already.
///
/// # Errors
/// The system's: `AddrInUse`, `PermissionDenied`, `AddrNotAvailable`, ...
pub fn bind_all(
    address: BindAddress,
    options: &ListenOptions,
    count: usize,
    may_share: bool,
) -> io::Result<Vec<TcpListener>> {
    // The first socket is bound without SO_REUSEPORT, and gets the option afterwards. With it,
    // a second instance of the same user would silently share the port and its clients.
    // Tests: a_second_instance_is_refused, a_second_instance_on_the_same_port_is_69.
    let first = match bind_one(address, options, false) {
        Err(error) if may_share && error.kind() == io::ErrorKind::AddrInUse => {
            bind_one(address, options, true)?
        }
        first => first?,
    };
    // From now on this process may bind more sockets: of this call, or at an overlapping
    // address.
    allow_sharing(&first)?;
    // With port 0 the system has chosen one, which the other sockets use, too.
    let address = match (address, first.local_addr()?.port()) {
        (BindAddress::Any { .. }, port) => BindAddress::Any { port },
        (BindAddress::At(address), port) => BindAddress::At(SocketAddr::new(address.ip(), port)),
    };
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(bind_another(&sockets[0], address, options)?);
    }
    Ok(sockets)
}

/// Listens at `path` with one Unix socket that `count` threads share, and with the permissions
/// `mode`. The file goes when the second value is dropped.
///
/// # Errors
/// As [`SocketFile::listen`].
pub fn bind_path(
    path: &Arc<Path>,
    mode: u32,
    count: usize,
) -> io::Result<(Vec<StreamListener>, SocketFile)> {
    let (listener, file) = SocketFile::listen(path, mode, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let first = StreamListener::Unix(listener, Arc::clone(path));
    let others = (1..count)
        .map(|_| first.try_clone())
        .collect::<io::Result<Vec<_>>>()?;
    Ok((std::iter::once(first).chain(others).collect(), file))
}

/// Changes the owner of a socket. The new owner may then bind an overlapping address.
///
/// # Errors
/// `PermissionDenied` without the right to do so, or the system's.
// All sockets with SO_REUSEPORT at overlapping addresses must have the same owner. Sockets
// that root bound would keep the user, after privileges are dropped, from adding one.
// Test: an_address_that_overlaps_what_root_has_bound_can_be_added.
#[cfg(target_os = "linux")]
pub fn change_owner(socket: &StreamListener, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::fchown(socket, Some(uid), Some(gid))
}

/// Elsewhere sockets have no owner, and no `SO_REUSEPORT` is used.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn change_owner(_socket: &StreamListener, _uid: u32, _gid: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(target_os = "linux", not(txlb_shared_listener)))]
fn bind_another(
    _first: &TcpListener,
    address: BindAddress,
    options: &ListenOptions,
) -> io::Result<TcpListener> {
    bind_one(address, options, true)
}

#[cfg(not(all(target_os = "linux", not(txlb_shared_listener))))]
fn bind_another(
    first: &TcpListener,
    _address: BindAddress,
    _options: &ListenOptions,
) -> io::Result<TcpListener> {
    first.try_clone()
}

fn bind_one(
    address: BindAddress,
    options: &ListenOptions,
    reuse_port: bool,
) -> io::Result<TcpListener> {
    bind_by_family(address, |address, one_family| {
        bind_address(address, options, one_family, reuse_port)
    })
}

/// Binds an address by `bind`, whose second argument says whether the socket is for one
/// family alone.
fn bind_by_family<T>(
    address: BindAddress,
    bind: impl Fn(SocketAddr, bool) -> io::Result<T>,
) -> io::Result<T> {
    match address {
        BindAddress::At(address) => bind(address, true),
        BindAddress::Any { port } => {
            match bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), false) {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), true)
                }
                result => result,
            }
        }
    }
}

/// The error of a bind: `AddrNotAvailable` also if the machine has no addresses of the
/// family.
fn bind_error(error: Errno) -> io::Error {
    let words = match error {
        Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL => "this machine has no such address",
        error => return error.into(),
    };
    io::Error::new(io::ErrorKind::AddrNotAvailable, words)
}

/// Tests whether an address can be bound. It does not listen, so no client can connect.
///
/// # Errors
/// As [`bind_all`].
pub fn try_bind(address: BindAddress, options: &ListenOptions) -> io::Result<()> {
    bind_by_family(address, |address, one_family| {
        bound_socket(address, options, one_family, false).map(drop)
    })
}

fn bind_address(
    address: SocketAddr,
    options: &ListenOptions,
    one_family: bool,
    reuse_port: bool,
) -> io::Result<TcpListener> {
    let descriptor = bound_socket(address, options, one_family, reuse_port)?;
    // Accepted sockets inherit this (ACCEPTED_INHERIT_OPTIONS), which saves system calls. Sockets of
    // MPTCP have it since Linux 5.17.
    let set = sockopt::set_tcp_nodelay(&descriptor, true);
    if !options.mptcp {
        set?;
    }
    listen(&descriptor, BACKLOG)?;
    let listener = TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bound_socket(
    address: SocketAddr,
    options: &ListenOptions,
    one_family: bool,
    reuse_port: bool,
) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let descriptor = mptcp::stream_socket(family, options.mptcp).map_err(bind_error)?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&descriptor, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&descriptor, one_family)?;
    }
    if reuse_port {
        allow_sharing(&descriptor)?;
    }
    if let Some(interface) = &options.interface {
        bind_to_interface(&descriptor, interface)?;
    }
    bind(&descriptor, &address).map_err(bind_error)?;
    Ok(descriptor)
}

/// Lets only clients through that come over this interface.
#[cfg(target_os = "linux")]
fn bind_to_interface(descriptor: &OwnedFd, interface: &str) -> io::Result<()> {
    use nix::errno::Errno as NixErrno;
    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::BindToDevice;
    let words = match setsockopt(descriptor, BindToDevice, &interface.into()) {
        Ok(()) => return Ok(()),
        Err(NixErrno::ENODEV) => format!("no interface {interface} is there"),
        Err(NixErrno::EPERM) => {
            format!("only root may listen at the interface {interface} alone before Linux 5.7")
        }
        Err(error) => return Err(error.into()),
    };
    Err(io::Error::other(words))
}

#[cfg(not(target_os = "linux"))]
fn bind_to_interface(_descriptor: &OwnedFd, _interface: &str) -> io::Result<()> {
    let why = "to listen at one interface alone takes Linux";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

#[cfg(target_os = "linux")]
fn allow_sharing(descriptor: &impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(descriptor, true)?)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
fn allow_sharing(_descriptor: &impl AsFd) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    const PLAIN: &ListenOptions = &ListenOptions {
        mptcp: false,
        interface: None,
    };

    fn loopback(port: u16) -> BindAddress {
        BindAddress::At(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    #[test]
    fn a_second_instance_is_refused() {
        let first = bind_all(loopback(0), PLAIN, 2, false).unwrap();
        let taken = loopback(first[0].local_addr().unwrap().port());
        let error = bind_all(taken, PLAIN, 2, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn siblings_share_a_port_and_its_clients() {
        let sockets = bind_all(loopback(0), PLAIN, 3, false).unwrap();
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
            // That sixty clients all miss one of three sockets is no chance.
            assert!(!HAS_SOCKET_PER_THREAD || accepted > before);
        }
        assert_eq!(accepted, clients.len());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_address_that_overlaps_our_own_is_allowed() {
        for count in [1, 2] {
            let any = bind_all(BindAddress::Any { port: 0 }, PLAIN, count, false).unwrap();
            let port = any[0].local_addr().unwrap().port();
            assert!(loopback(port).overlaps(BindAddress::Any { port }));
            assert!(bind_all(loopback(port), PLAIN, count, false).is_err());
            bind_all(loopback(port), PLAIN, count, true).unwrap();
        }
    }

    #[test]
    fn any_address_takes_clients_of_both_families() {
        let sockets = bind_all(BindAddress::Any { port: 0 }, PLAIN, 1, false).unwrap();
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
                SocketAddr::V6(_) => Err(bind_error(errno)),
            };
            let any = bind_by_family(BindAddress::Any { port: 80 }, without).unwrap();
            assert_eq!(any, ("0.0.0.0:80".parse().unwrap(), true));
            let error =
                bind_by_family(BindAddress::At("[::1]:80".parse().unwrap()), without).unwrap_err();
            assert_eq!(error.to_string(), "this machine has no such address");
        }
        let taken = bind_error(Errno::ADDRINUSE);
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn addresses_overlap_as_the_system_sees_it() {
        let at = |text: &str| BindAddress::At(text.parse().unwrap());
        assert!(at("0.0.0.0:80").overlaps(at("10.0.0.1:80")));
        assert!(!at("0.0.0.0:80").overlaps(at("[::1]:80")));
        assert!(!at("10.0.0.1:80").overlaps(at("10.0.0.2:80")));
        assert!(!at("10.0.0.1:80").overlaps(at("10.0.0.1:81")));
        assert!(BindAddress::Any { port: 80 }.overlaps(at("[::1]:80")));
        assert!(!BindAddress::Any { port: 0 }.overlaps(BindAddress::Any { port: 0 }));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listener_at_one_interface_takes_its_clients_alone() {
        let at = |interface: &str| ListenOptions {
            interface: Some(interface.to_owned()),
            ..ListenOptions::default()
        };
        let missing = bind_all(loopback(0), &at("nowhere0"), 1, false).unwrap_err();
        assert_eq!(missing.to_string(), "no interface nowhere0 is there");
        let sockets = bind_all(loopback(0), &at("lo"), 2, false).unwrap();
        TcpStream::connect(sockets[0].local_addr().unwrap()).unwrap();
    }

    #[test]
    fn a_listener_of_mptcp_takes_clients_of_tcp_whether_this_system_has_it_or_not() {
        let options = ListenOptions {
            mptcp: true,
            interface: None,
        };
        let sockets = bind_all(loopback(0), &options, 2, false).unwrap();
        let client = TcpStream::connect(sockets[0].local_addr().unwrap()).unwrap();
        let accepted = || sockets.iter().find_map(|it| it.accept().ok());
        let found = (0..1000).find_map(|_| {
            std::thread::yield_now();
            accepted()
        });
        assert_eq!(found.unwrap().1, client.local_addr().unwrap());
    }
}
