//! Addresses of hosts and listeners: parsing and printing.
//!
//! Names stay names; the controller resolves them.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::redact::Shown;
use crate::os::address::{Address, UnixPath};

/// Address of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Endpoint {
    /// An address and a port; port 0 stands for the one that the client asked for.
    Address(SocketAddr),
    /// An IPv6 address at an interface that is known by its name.
    Zoned {
        /// The address.
        ip: Ipv6Addr,
        /// The interface, as written: `%eth0`.
        zone: String,
        /// The port, or 0.
        port: u16,
    },
    /// A name that is resolved while running, and a port.
    Name {
        /// The name, as written.
        host: String,
        /// The port, or 0.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(Arc<Path>),
}

/// Where clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddress {
    /// Which of this machine's addresses.
    pub host: ListenHost,
    /// Which port, or the first of a range; 0 lets the system choose. A Unix socket has 0.
    pub port: u16,
    /// The last port of a range; else the same.
    pub last_port: u16,
}

impl ListenAddress {
    /// The address of one port.
    pub const fn new(host: ListenHost, port: u16) -> ListenAddress {
        ListenAddress {
            host,
            port,
            last_port: port,
        }
    }

    /// Its ports.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.port..=self.last_port
    }

    /// Whether it is a range of ports.
    pub fn is_range(&self) -> bool {
        self.port != self.last_port
    }

    /// The path of a Unix socket.
    pub fn unix_path(&self) -> Option<&Arc<Path>> {
        match &self.host {
            ListenHost::Unix(path) => Some(path),
            _ => None,
        }
    }

    /// Whether the system chooses where it is: a port, never the same twice.
    pub fn is_chosen_by_system(&self) -> bool {
        self.port == 0 && self.unix_path().is_none()
    }

    /// Whether both have a port of the same host, as written, or the same path.
    pub fn overlaps(&self, other: &ListenAddress) -> bool {
        self.host == other.host
            && !self.is_chosen_by_system()
            && self.port <= other.last_port
            && other.port <= self.last_port
    }

    /// Writes what stands before the ports.
    fn write_host(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ListenHost::Any => f.write_str("*"),
            ListenHost::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            ListenHost::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            ListenHost::Zoned { ip, zone } => write!(f, "[{ip}{zone}]"),
            ListenHost::Name(name) => f.write_str(name),
            ListenHost::Unix(path) => UnixPath(path).fmt(f),
        }
    }

    /// Writes the ports.
    fn write_ports(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.is_range()) {
            (ListenHost::Unix(_), _) => Ok(()),
            (_, true) => write!(f, ":{}-{}", self.port, self.last_port),
            (_, false) => write!(f, ":{}", self.port),
        }
    }
}

/// Which of this machine's addresses a listener is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenHost {
    /// All of IPv6 and IPv4 (`*:80`, `:80`, `80`).
    Any,
    /// One address, or all of one family (`0.0.0.0`, `[::]`).
    Ip(IpAddr),
    /// One IPv6 address at one interface.
    Zoned {
        /// The address.
        ip: Ipv6Addr,
        /// The interface, as written: `%eth0` or `%2`.
        zone: String,
    },
    /// All the addresses of a name.
    Name(String),
    /// The path of a Unix socket.
    Unix(Arc<Path>),
}

/// Why an address cannot be parsed, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is empty.
    Empty,
    /// A host without a port; has the host.
    PortMissing(String),
    /// A port out of range; has the least port allowed here.
    PortOutOfRange(u16),
    /// A range of ports with the last one first; has it the right way round.
    RangeBackwards(u16, u16),
    /// A port without a host; has the port.
    HostMissing(String),
    /// An IPv6 address without brackets.
    Ipv6WithoutBrackets,
    /// Text in brackets that is no IPv6 address.
    BadIpv6(String),
    /// Text after the % of an IPv6 address that is no interface.
    BadZone(String),
    /// Numbers that are no IPv4 address.
    BadIpv4(String),
    /// An invalid host name.
    BadName(String),
    /// What follows `unix:` is no absolute path.
    PathNotAbsolute(String),
    /// A Unix socket in Linux's abstract namespace, without a path.
    AbstractSocket,
    /// A path that no Unix socket can have; has its number of bytes.
    PathTooLong(usize),
    /// A path with control characters, which would spoil logs and tables.
    ControlInPath,
}

impl Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Empty => f.write_str("the address is empty: write HOST:PORT"),
            AddressError::PortMissing(host) => {
                write!(f, "the port is missing: write {}:PORT", Shown(host))
            }
            AddressError::PortOutOfRange(least) => {
                write!(f, "the port must be a number from {least} to 65535")
            }
            AddressError::RangeBackwards(first, last) => {
                write!(
                    f,
                    "the lower port of a range comes first: write {first}-{last}"
                )
            }
            AddressError::HostMissing(port) => {
                write!(f, "the host is missing: write HOST:{}", Shown(port))
            }
            AddressError::Ipv6WithoutBrackets => {
                f.write_str("an IPv6 address goes in brackets: write [ADDRESS]:PORT")
            }
            AddressError::BadIpv6(text) => {
                write!(
                    f,
                    "{} is not an IPv6 address: write one such as [::1]:PORT",
                    Shown(text)
                )
            }
            AddressError::BadZone(text) => write!(
                f,
                "{} is not an interface: write one such as [fe80::1%eth0]:PORT",
                Shown(text)
            ),
            AddressError::BadIpv4(text) => {
                write!(
                    f,
                    "{} is not an IPv4 address: four numbers from 0 to 255",
                    Shown(text)
                )
            }
            AddressError::BadName(text) => write!(
                f,
                "{} is not a host name: letters, digits, '-', '_' and single dots, \
                 at most 253 in all and 63 between dots",
                Shown(text)
            ),
            AddressError::PathNotAbsolute(text) => write!(
                f,
                "{} is no absolute path: write one such as unix:/run/app.sock",
                Shown(text)
            ),
            AddressError::AbstractSocket => f.write_str(
                "abstract Unix sockets (@NAME) are not supported: write a path such as \
                 unix:/run/app.sock",
            ),
            AddressError::PathTooLong(bytes) => write!(
                f,
                "the path of a Unix socket has at most {MAX_PATH_BYTES} bytes, and this one has \
                 {bytes}"
            ),
            AddressError::ControlInPath => {
                f.write_str("the path of a Unix socket has no control characters")
            }
        }
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix(UnixPath::PREFIX) {
            return parse_path(path).map(Endpoint::Unix);
        }
        // First, because it also parses `[fe80::1%2]:80`.
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(AddressError::PortOutOfRange(1)),
                _ => Ok(Endpoint::Address(address)),
            };
        }
        let (host, port) = match split(text) {
            Err(AddressError::PortMissing(_)) if is_whole_host(text) => (text, None),
            split => split.map(|(host, port)| (host, Some(port)))?,
        };
        if host.is_empty() || host == "*" {
            let port = port.unwrap_or("PORT").to_owned();
            return Err(AddressError::HostMissing(port));
        }
        let port = port.map_or(Ok(0), |port| parse_port(port, 1))?;
        Ok(match parse_host(host)? {
            Host::Ip(ip) => Endpoint::Address(SocketAddr::new(ip, port)),
            Host::Zoned(ip, zone) => Endpoint::Zoned { ip, zone, port },
            Host::Name(host) => Endpoint::Name { host, port },
        })
    }
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Address(address) => HostAddress(&Address::Ip(*address)).fmt(f),
            Endpoint::Zoned { ip, zone, port: 0 } => write!(f, "[{ip}{zone}]"),
            Endpoint::Zoned { ip, zone, port } => write!(f, "[{ip}{zone}]:{port}"),
            Endpoint::Name { host, port: 0 } => f.write_str(host),
            Endpoint::Name { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => UnixPath(path).fmt(f),
        }
    }
}

/// Shows the address of a host: without a port if that is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress<'a>(pub &'a Address);

impl Display for HostAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Ip(SocketAddr::V4(address)) if address.port() == 0 => address.ip().fmt(f),
            Address::Ip(SocketAddr::V6(address)) if address.port() == 0 => {
                write!(f, "[{}", address.ip())?;
                if address.scope_id() != 0 {
                    write!(f, "%{}", address.scope_id())?;
                }
                f.write_str("]")
            }
            address => address.fmt(f),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix(UnixPath::PREFIX) {
            return Ok(ListenAddress::new(ListenHost::Unix(parse_path(path)?), 0));
        }
        let (host, ports) = split(text)?;
        let (port, last_port) = parse_ports(ports)?;
        let host = match host {
            "" | "*" => ListenHost::Any,
            host => match parse_host(host)? {
                Host::Ip(ip) => ListenHost::Ip(ip),
                Host::Zoned(ip, zone) => ListenHost::Zoned { ip, zone },
                Host::Name(name) => ListenHost::Name(name),
            },
        };
        Ok(ListenAddress {
            host,
            port,
            last_port,
        })
    }
}

impl Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_host(f)?;
        self.write_ports(f)
    }
}

/// The most bytes of a Unix socket's path on Linux (`sun_path`, which ends with a NUL).
const MAX_PATH_BYTES: usize = 107;

/// The path that stands after `unix:`.
fn parse_path(text: &str) -> Result<Arc<Path>, AddressError> {
    if text.starts_with('@') {
        return Err(AddressError::AbstractSocket);
    }
    // A folder is no socket.
    if !text.starts_with('/') || text.ends_with('/') {
        return Err(AddressError::PathNotAbsolute(text.to_owned()));
    }
    if text.len() > MAX_PATH_BYTES {
        return Err(AddressError::PathTooLong(text.len()));
    }
    match text.chars().any(char::is_control) {
        true => Err(AddressError::ControlInPath),
        false => Ok(Path::new(text).into()),
    }
}

/// The part before the port.
enum Host {
    Ip(IpAddr),
    Zoned(Ipv6Addr, String),
    Name(String),
}

/// Splits `host:port`; a number alone is a port, and two with `-` between them are a range.
fn split(text: &str) -> Result<(&str, &str), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        return Ok(("", text));
    }
    let port_missing = || AddressError::PortMissing(text.to_owned());
    if text.starts_with('[') {
        let end = text
            .find(']')
            .ok_or_else(|| AddressError::BadIpv6(text.to_owned()))?
            + 1;
        let (host, rest) = text.split_at(end);
        return Ok((host, rest.strip_prefix(':').ok_or_else(port_missing)?));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(port_missing)?;
    if host.contains(':') {
        return Err(AddressError::Ipv6WithoutBrackets);
    }
    match port {
        "" => Err(AddressError::PortMissing(host.to_owned())),
        _ => Ok((host, port)),
    }
}

/// Whether this can only be a host, all of it.
fn is_whole_host(text: &str) -> bool {
    match text.strip_prefix('[') {
        Some(rest) => rest.ends_with(']'),
        None => !text.contains(':'),
    }
}

fn parse_port(text: &str, least: u16) -> Result<u16, AddressError> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if all_digits && port >= least => Ok(port),
        _ => Err(AddressError::PortOutOfRange(least)),
    }
}

/// The first and the last port of a listener.
fn parse_ports(text: &str) -> Result<(u16, u16), AddressError> {
    let Some((first, last)) = text.split_once('-') else {
        return parse_port(text, 0).map(|port| (port, port));
    };
    let (first, last) = (parse_port(first, 1)?, parse_port(last, 1)?);
    match first <= last {
        true => Ok((first, last)),
        false => Err(AddressError::RangeBackwards(last, first)),
    }
}

fn parse_host(text: &str) -> Result<Host, AddressError> {
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let (ip, zone) = match inner.find('%') {
            Some(at) => inner.split_at(at),
            None => (inner, ""),
        };
        let ip: Ipv6Addr = ip
            .parse()
            .map_err(|_| AddressError::BadIpv6(text.to_owned()))?;
        return match zone.strip_prefix('%') {
            None => Ok(Host::Ip(ip.into())),
            Some(name) if is_interface(name) => Ok(Host::Zoned(ip, zone.to_owned())),
            Some(_) => Err(AddressError::BadZone(zone.to_owned())),
        };
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    // No top-level domain is a number: this is a wrong IPv4 address, not a name.
    let last = text.rsplit('.').next().unwrap_or_default();
    if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::BadIpv4(text.to_owned()));
    }
    match is_host_name(text) {
        true => Ok(Host::Name(text.to_owned())),
        false => Err(AddressError::BadName(text.to_owned())),
    }
}

/// Whether this is a valid name or number of an interface.
pub(super) fn is_interface(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    (1..=15).contains(&text.len()) && text.bytes().all(is_fine)
}

/// Whether this is a valid host name; `_` is allowed, since such names are in use.
pub(crate) fn is_host_name(text: &str) -> bool {
    let label_is_fine = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253
        && text
            .strip_suffix('.')
            .unwrap_or(text)
            .split('.')
            .all(label_is_fine)
}

#[cfg(test)]
mod tests;
