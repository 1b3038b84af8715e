//! `<resolver>`: which name servers are asked for the members of names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::error::Error;
use super::value::Value;

/// `<resolver>`: how the members of names are found (`each`). Names of single hosts are left to
/// the system's resolver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolver {
    /// The name servers, asked in turn; none are those of `/etc/resolv.conf`.
    pub nameservers: Vec<SocketAddr>,
}

impl Resolver {
    /// The most name servers.
    pub const MOST_NAMESERVERS: usize = 3;

    /// The port of name servers.
    pub const PORT: u16 = 53;
}

/// Name servers as in a file, without the usual port.
pub(super) fn nameservers_text(servers: &[SocketAddr]) -> String {
    let text = |server: &SocketAddr| match server.port() {
        Resolver::PORT => server.ip().to_string(),
        _ => server.to_string(),
    };
    servers.iter().map(text).collect::<Vec<_>>().join(" ")
}

impl Value<'_> {
    /// Addresses of name servers, some with ports, with blanks or commas between them.
    pub(super) fn nameservers(&self) -> Result<Vec<SocketAddr>, Error> {
        let mut servers = Vec::new();
        for word in self.words() {
            match nameserver(word) {
                Some(server) if servers.len() < Resolver::MOST_NAMESERVERS => servers.push(server),
                _ => {
                    return Err(self.bad_value(
                        "at most 3 addresses of name servers, such as 10.0.0.53 or \
                         [2001:db8::53]:5353, blanks between them",
                    ));
                }
            }
        }
        Ok(servers)
    }
}

fn nameserver(word: &str) -> Option<SocketAddr> {
    let in_brackets =
        || -> Option<Ipv6Addr> { word.strip_prefix('[')?.strip_suffix(']')?.parse().ok() };
    let with_usual_port = |ip: IpAddr| SocketAddr::new(ip, Resolver::PORT);
    let server = match word.parse::<IpAddr>() {
        Ok(ip) => with_usual_port(ip),
        Err(_) => match in_brackets() {
            Some(ip) => with_usual_port(ip.into()),
            None => word.parse().ok()?,
        },
    };
    let ip = server.ip();
    (server.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()).then_some(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_said_in_one_spelling() {
        let servers = |text: &str| {
            let servers = Value::detached("nameservers", text).nameservers();
            servers.map(|servers| nameservers_text(&servers))
        };
        for (text, expected) in [
            ("", ""),
            ("10.0.0.53,10.0.0.54:53", "10.0.0.53 10.0.0.54"),
            (
                "127.0.0.1:8600 [::1] 2001:DB8::53",
                "127.0.0.1:8600 ::1 2001:db8::53",
            ),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(servers(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "ns.example.org",
            "10.0.0.53:0",
            "0.0.0.0",
            "224.0.0.251",
            "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4",
        ] {
            assert!(servers(text).is_err(), "{text}");
        }
    }
}
