//! Addresses of hosts and listeners: parsing and printing.
//!
//! Names stay names; the controller resolves them.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::redact::Shown;

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
}

/// Where clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddress {
    /// Which of this machine's addresses.
    pub host: ListenHost,
    /// Which port, or the first of a range; 0 lets the system choose.
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

    /// Whether both have a port of the same host, as written. With port 0 the system chooses a
    /// port, never the same twice.
    pub fn overlaps(&self, other: &ListenAddress) -> bool {
        self.host == other.host
            && self.port != 0
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
        }
    }

    /// Writes the ports.
    fn write_ports(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_range() {
            true => write!(f, ":{}-{}", self.port, self.last_port),
            false => write!(f, ":{}", self.port),
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
        }
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
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
            Endpoint::Address(address) => HostAddress(*address).fmt(f),
            Endpoint::Zoned { ip, zone, port: 0 } => write!(f, "[{ip}{zone}]"),
            Endpoint::Zoned { ip, zone, port } => write!(f, "[{ip}{zone}]:{port}"),
            Endpoint::Name { host, port: 0 } => f.write_str(host),
            Endpoint::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Shows the address of a host: without a port if that is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress(pub SocketAddr);

impl Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V4(address) if address.port() == 0 => address.ip().fmt(f),
            SocketAddr::V6(address) if address.port() == 0 => {
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
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_printed_as_it_is_understood() {
        let cases = [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("10.0.0.1:0080", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0::1]:65535", "[::1]:65535"),
            ("[fe80::1%2]:80", "[fe80::1%2]:80"),
            ("[fe80:0::1%eth0.100]:80", "[fe80::1%eth0.100]:80"),
            ("lorien:1901", "lorien:1901"),
            ("lb_1.example.org.:1", "lb_1.example.org.:1"),
            ("10.0.0.1", "10.0.0.1"),
            ("[0::1]", "[::1]"),
            ("[fe80:0::1%2]", "[fe80::1%2]"),
            ("[fe80::1%eth0]", "[fe80::1%eth0]"),
            ("web.example.org", "web.example.org"),
        ];
        for (text, printed) in cases {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Endpoint>().unwrap(), endpoint, "{text}");
        }
    }

    #[test]
    fn a_listen_address_is_printed_as_it_is_understood() {
        let cases = [
            ("*:8080", "*:8080"),
            (":8080", "*:8080"),
            ("8080", "*:8080"),
            ("*:0", "*:0"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("[::]:8080", "[::]:8080"),
            ("[::1]:0", "[::1]:0"),
            ("[fe80::1%2]:80", "[fe80::1%2]:80"),
            ("[fe80:0::1%br-lan]:80", "[fe80::1%br-lan]:80"),
            ("localhost:7001", "localhost:7001"),
            ("5000-5099", "*:5000-5099"),
            ("[0::1]:5000-05099", "[::1]:5000-5099"),
            ("10.0.0.1:5000-65535", "10.0.0.1:5000-65535"),
            ("localhost:5000-5000", "localhost:5000"),
        ];
        for (text, printed) in cases {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<ListenAddress>().unwrap(), address, "{text}");
        }
        let any: ListenAddress = "80".parse().unwrap();
        assert_eq!(any, ListenAddress::new(ListenHost::Any, 80));
    }

    #[test]
    fn ranges_of_one_host_overlap_where_they_share_a_port() {
        let overlaps = |one: &str, two: &str| {
            let [one, two] = [one, two].map(|it| it.parse::<ListenAddress>().unwrap());
            assert_eq!(one.overlaps(&two), two.overlaps(&one));
            one.overlaps(&two)
        };
        assert!(overlaps("*:80", "80"));
        assert!(overlaps("*:80-90", "*:90-99"));
        assert!(overlaps("*:80-90", "*:85"));
        assert!(overlaps("*:1-65535", "*:85-86"));
        assert!(!overlaps("*:80-90", "*:91-99"));
        assert!(!overlaps("*:80-90", "127.0.0.1:80-90"), "as ever");
        assert!(!overlaps("*:0", "*:0"));
    }

    #[test]
    fn the_error_for_a_wrong_endpoint_says_what_would_be_right() {
        let cases = [
            ("", "the address is empty: write HOST:PORT"),
            ("lorien:", "the port is missing: write lorien:PORT"),
            ("*", "the host is missing: write HOST:PORT"),
            (
                "10.0.1",
                "10.0.1 is not an IPv4 address: four numbers from 0 to 255",
            ),
            (
                "[::g]",
                "[::g] is not an IPv6 address: write one such as [::1]:PORT",
            ),
            (
                "::1",
                "an IPv6 address goes in brackets: write [ADDRESS]:PORT",
            ),
            ("[::1]80", "the port is missing: write [::1]80:PORT"),
            ("80", "the host is missing: write HOST:80"),
            (":80", "the host is missing: write HOST:80"),
            ("*:80", "the host is missing: write HOST:80"),
            ("lorien:0", "the port must be a number from 1 to 65535"),
            ("10.0.0.1:0", "the port must be a number from 1 to 65535"),
            ("lorien:65536", "the port must be a number from 1 to 65535"),
            ("lorien:+80", "the port must be a number from 1 to 65535"),
            ("[::1]:", "the port must be a number from 1 to 65535"),
            (
                "::1:80",
                "an IPv6 address goes in brackets: write [ADDRESS]:PORT",
            ),
            (
                "[::g]:80",
                "[::g] is not an IPv6 address: write one such as [::1]:PORT",
            ),
            (
                "[::1:80",
                "[::1:80 is not an IPv6 address: write one such as [::1]:PORT",
            ),
            (
                "10.0.0.256:80",
                "10.0.0.256 is not an IPv4 address: four numbers from 0 to 255",
            ),
            (
                "10.0.1:80",
                "10.0.1 is not an IPv4 address: four numbers from 0 to 255",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(
                text.parse::<Endpoint>().unwrap_err().to_string(),
                message,
                "{text}"
            );
        }
    }

    #[test]
    fn the_error_for_a_wrong_listen_address_says_what_would_be_right() {
        let cases = [
            ("None", "the port is missing: write None:PORT"),
            ("70000", "the port must be a number from 0 to 65535"),
            ("*:http", "the port must be a number from 0 to 65535"),
            ("*:0-9", "the port must be a number from 1 to 65535"),
            ("*:1-", "the port must be a number from 1 to 65535"),
            ("-", "the port must be a number from 1 to 65535"),
            (
                "*:99-90",
                "the lower port of a range comes first: write 90-99",
            ),
            (
                "[fe80::1%a b]:80",
                "%a b is not an interface: write one such as [fe80::1%eth0]:PORT",
            ),
            (
                "::1",
                "an IPv6 address goes in brackets: write [ADDRESS]:PORT",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(
                text.parse::<ListenAddress>().unwrap_err().to_string(),
                message,
                "{text}"
            );
        }
    }

    #[test]
    fn a_name_is_what_a_resolver_would_take() {
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(longest.len(), 253);
        for name in [
            "a",
            "a-b",
            "_srv.x",
            "example.org.",
            "xn--nxasmq6b",
            &longest,
        ] {
            assert!(is_host_name(name), "{name}");
        }
        let too_long = format!("{longest}b");
        let label_too_long = "a".repeat(64);
        for name in [
            "",
            ".",
            "a..b",
            "-a",
            "a b",
            "bücher",
            "a\n",
            &too_long,
            &label_too_long,
        ] {
            assert!(!is_host_name(name), "{name}");
        }
    }
}
