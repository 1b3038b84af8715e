//! `<listen>`: where a service listens, and whether a PROXY protocol header is expected there.

use super::address::is_interface;
use super::error::Error;
use super::value::Value;
use super::{ListenAddress, Network, Service};

/// A listener of a service. It is known by its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Where it listens.
    pub address: ListenAddress,
    /// Whether connections begin with a PROXY protocol header (`proxy="require"`).
    pub proxy: bool,
    /// Whose connections begin with one (`proxyFrom`); if empty, everybody's.
    pub proxy_from: Vec<Network>,
    /// Whether clients may use MPTCP.
    pub mptcp: bool,
    /// The interface over which clients come; `None` is any.
    pub interface: Option<String>,
    /// The permissions of a Unix socket.
    pub mode: u32,
}

impl Listener {
    /// The most networks of `proxyFrom`.
    pub const MOST_NETWORKS: usize = 1024;

    /// The permissions of a Unix socket if none are configured: txlb's user and group may connect.
    pub const MODE: u32 = 0o660;

    /// A listener at `address`, otherwise with defaults.
    pub fn at(address: ListenAddress) -> Listener {
        Listener {
            address,
            proxy: false,
            proxy_from: Vec::new(),
            mptcp: false,
            interface: None,
            mode: Listener::MODE,
        }
    }

    /// Whose connections must begin with a PROXY protocol header: those of these networks, or
    /// everybody's if there are none. `None` is nobody's. Clients of a Unix socket are in no
    /// network: there it is everybody's.
    pub(crate) fn expects_header_from(&self) -> Option<&[Network]> {
        let networks = match self.address.unix_path() {
            None => self.proxy_from.as_slice(),
            Some(_) => &[],
        };
        self.proxy.then_some(networks)
    }

    /// The attributes that are set and mean nothing for its kind of address.
    pub(super) fn meaningless(&self) -> Vec<&'static str> {
        let of_tcp = [
            ("proxyFrom", !self.proxy_from.is_empty()),
            ("mptcp", self.mptcp),
            ("interface", self.interface.is_some()),
        ];
        let of_unix = [("mode", self.mode != Listener::MODE)];
        let others = match self.address.unix_path() {
            None => of_unix.as_slice(),
            Some(_) => &of_tcp,
        };
        let set = others.iter().filter(|(_, is_set)| *is_set);
        set.map(|(name, _)| *name).collect()
    }
}

impl Service {
    /// Whether one of its listeners has this address.
    pub(super) fn listens_at(&self, address: &ListenAddress) -> bool {
        self.listens.iter().any(|it| it.address == *address)
    }
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Bytes, with a checksum.
    V2,
}

impl ProxyVersion {
    /// Every version.
    pub const ALL: [ProxyVersion; 2] = [ProxyVersion::V1, ProxyVersion::V2];

    /// The word for it in files and verbs.
    pub fn as_str(self) -> &'static str {
        match self {
            ProxyVersion::V1 => "v1",
            ProxyVersion::V2 => "v2",
        }
    }
}

/// The word for no PROXY protocol.
pub(super) const OFF: &str = "off";

/// The word for a header that must be there.
pub(super) const REQUIRE: &str = "require";

pub(super) fn proxy_text(proxy: bool) -> String {
    if proxy { REQUIRE } else { OFF }.to_owned()
}

pub(super) fn send_proxy_text(version: Option<ProxyVersion>) -> String {
    version.map_or(OFF, ProxyVersion::as_str).to_owned()
}

pub(super) fn networks_text(networks: &[Network]) -> String {
    let networks: Vec<_> = networks.iter().map(Network::to_string).collect();
    networks.join(" ")
}

impl Value<'_> {
    /// Whether a header is expected.
    pub(super) fn proxy(&self) -> Result<bool, Error> {
        match self.text {
            REQUIRE => Ok(true),
            OFF => Ok(false),
            _ => Err(self.bad_value("off or require")),
        }
    }

    /// The header that hosts get.
    pub(super) fn send_proxy(&self) -> Result<Option<ProxyVersion>, Error> {
        let version = ProxyVersion::ALL
            .into_iter()
            .find(|version| version.as_str() == self.text);
        match version {
            None if self.text != OFF => Err(self.bad_value("off, v1 or v2")),
            version => Ok(version),
        }
    }

    /// The address of an admin interface, which has one port.
    pub(super) fn address_of_one_port(&self) -> Result<ListenAddress, Error> {
        let address: ListenAddress = self.address()?;
        match address.is_range() || address.unix_path().is_some() {
            true => Err(self.bad_value("an address with one port")),
            false => Ok(address),
        }
    }

    /// The name of an interface.
    pub(super) fn interface(&self) -> Result<String, Error> {
        match is_interface(self.text) {
            true => Ok(self.text.to_owned()),
            false => Err(self.bad_value("the name of an interface, such as eth0")),
        }
    }

    /// Addresses and networks, blanks or commas between them.
    pub(super) fn networks(&self) -> Result<Vec<Network>, Error> {
        let networks: Result<Vec<_>, ()> = self.words().map(str::parse).collect();
        networks
            .ok()
            .filter(|networks| networks.len() <= Listener::MOST_NETWORKS)
            .ok_or_else(|| {
                self.bad_value(
                    "addresses or networks such as 10.0.0.0/8, blanks between them, at most 1024",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_said_in_one_spelling() {
        let networks = |text: &str| {
            let networks = Value::detached("proxyFrom", text).networks();
            networks.map(|networks| networks_text(&networks))
        };
        for (text, expected) in [
            ("", ""),
            ("10.1.2.3/8, ::1", "10.0.0.0/8 ::1"),
            (" 192.0.2.7\t2001:db8::/32,,", "192.0.2.7 2001:db8::/32"),
        ] {
            assert_eq!(networks(text).as_deref(), Ok(expected), "{text}");
        }
        let many = "10.0.0.1 ".repeat(Listener::MOST_NETWORKS);
        assert!(networks(&many).is_ok());
        for text in ["10.0.0.0/33", "all", "10.0.0.1;10.0.0.2", &(many + "::1")] {
            assert!(networks(text).is_err(), "{text}");
        }
    }
}
