//! Where a peer or a listener is: an IP address with a port, or the path of a Unix socket.

use std::fmt::{self, Display};
use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// An IP address with a port, or the path of a Unix socket. Cheap to clone.
///
/// A client of a Unix socket has no address of its own: it has the path that it connected to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Address {
    /// An IP address with a port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(Arc<Path>),
}

impl Address {
    /// The IP address with its port; `None` for a Unix socket.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// The IP address; `None` for a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_address().map(|address| address.ip())
    }

    /// The port; `None` for a Unix socket, which has none.
    pub fn port(&self) -> Option<u16> {
        self.socket_address().map(|address| address.port())
    }

    /// Whether this is an IP address with port 0, which stands for one that is not chosen yet.
    pub fn lacks_port(&self) -> bool {
        self.port() == Some(0)
    }

    /// The same with another port; a Unix socket as it is.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Address {
        match self {
            Address::Ip(address) => {
                let mut address = *address;
                address.set_port(port);
                Address::Ip(address)
            }
            Address::Unix(path) => Address::Unix(Arc::clone(path)),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl FromStr for Address {
    type Err = AddrParseError;

    /// Reads what [`Display`] writes.
    fn from_str(text: &str) -> Result<Address, AddrParseError> {
        match text.strip_prefix(UnixPath::PREFIX) {
            Some(path) => Ok(Address::Unix(Path::new(path).into())),
            None => text.parse().map(Address::Ip),
        }
    }
}

impl Display for Address {
    /// As in a configuration: `10.0.0.1:80`, `[::1]:80` or `unix:/run/app.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(path) => UnixPath(path).fmt(f),
        }
    }
}

/// Shows the path of a Unix socket as in a configuration.
#[derive(Debug, Clone, Copy)]
pub struct UnixPath<'a>(pub &'a Path);

impl UnixPath<'_> {
    /// What stands before the path.
    pub const PREFIX: &'static str = "unix:";
}

impl Display for UnixPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", UnixPath::PREFIX, self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_socket_has_a_path_and_nothing_of_an_ip_address() {
        let unix = Address::Unix(Path::new("/run/app.sock").into());
        assert_eq!(unix.to_string(), "unix:/run/app.sock");
        assert_eq!(unix.to_string().parse(), Ok(unix.clone()));
        assert_eq!((unix.ip(), unix.port()), (None, None));
        assert!(!unix.lacks_port() && unix.with_port(80) == unix);
        let ip = Address::from(SocketAddr::from(([10, 0, 0, 1], 0)));
        assert!(ip.lacks_port());
        assert_eq!(ip.with_port(80).to_string(), "10.0.0.1:80");
        assert_eq!(ip.to_string().parse(), Ok(ip));
    }
}
