//! How the address of a host and of a listener is spelled.
//!
//! Names are kept as names: who resolves them, and when, is the director's
//! business.

use std::net::{IpAddr, SocketAddr};

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Endpoint {
    /// An address and a port.
    Address(SocketAddr),
    /// A name that is resolved while running, and a port.
    Name {
        /// The name, as written.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Where clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddress {
    /// Which of this machine's addresses.
    pub host: ListenHost,
    /// Which port; 0 lets the system choose.
    pub port: u16,
}

/// Which of this machine's addresses a listener is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenHost {
    /// All of IPv6 and IPv4 (`*:80`, `:80`, `80`).
    Any,
    /// One address, or all of one family (`0.0.0.0`, `[::]`).
    Ip(IpAddr),
    /// All the addresses of a name.
    Name(String),
}
