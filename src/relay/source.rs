//! How a connect to a host may be made: by the source addresses that it tries, one after the other.

use std::net::SocketAddr;

use crate::balance::SourceTurn;
use crate::config::Source;
use crate::os::address::Address;
use crate::os::outgoing::{ConnectOptions, SourceAddress};

/// The ways to connect to `host`, in the order in which they are to be tried. Without a `turn`
/// nothing is special about the only one, nor to a Unix socket. `client` is whose connection it is:
/// a probe has none, nor has a client of a Unix socket.
pub(crate) fn sources(
    turn: Option<&SourceTurn>,
    client: Option<SocketAddr>,
    host: &Address,
) -> impl Iterator<Item = ConnectOptions> {
    let of_tcp = host.socket_address().map(|host| {
        let mptcp = turn.is_some_and(|turn| turn.mptcp);
        addresses(turn, client, host).map(move |source| ConnectOptions { source, mptcp })
    });
    let of_unix = of_tcp.is_none().then(ConnectOptions::default);
    of_tcp.into_iter().flatten().chain(of_unix)
}

/// `None` is the system's choice.
fn addresses(
    turn: Option<&SourceTurn>,
    client: Option<SocketAddr>,
    host: SocketAddr,
) -> impl Iterator<Item = Option<SourceAddress>> {
    let source = turn.map_or(&Source::Any, SourceTurn::source);
    let (count, number) = match source {
        Source::Addresses(_) => (
            of_family(source, host).count(),
            turn.map_or(0, |it| it.number),
        ),
        // The client's own port, then any port of its address.
        Source::Client if client.is_some_and(|it| is_same_family(it, host)) => (2, 0),
        Source::Any | Source::Client => (0, 0),
    };
    (0..count.max(1)).map(move |index| match source {
        Source::Addresses(_) if count > 0 => {
            let place = (number as usize + index) % count;
            of_family(source, host).nth(place)
        }
        Source::Client if count > 0 => client.map(|client| {
            let mut address = SocketAddr::new(client.ip().to_canonical(), client.port());
            if index > 0 {
                address.set_port(0);
            }
            SourceAddress {
                address,
                is_transparent: true,
            }
        }),
        _ => None,
    })
}

/// The addresses of a source that are of the host's family.
fn of_family(source: &Source, host: SocketAddr) -> impl Iterator<Item = SourceAddress> {
    let addresses = match source {
        Source::Addresses(addresses) => addresses.as_slice(),
        Source::Any | Source::Client => &[],
    };
    let same = addresses
        .iter()
        .filter(move |ip| ip.is_ipv4() == host.is_ipv4());
    same.map(|ip| SourceAddress::of_this_machine(*ip))
}

fn is_same_family(client: SocketAddr, host: SocketAddr) -> bool {
    client.ip().to_canonical().is_ipv4() == host.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// The sources for a connect to `host`, as text; `*` is the system's choice.
    fn tried(source: &str, number: u32, client: Option<&str>, host: &str) -> Vec<String> {
        let source = Arc::new(source.parse().unwrap());
        let turn = SourceTurn {
            source,
            mptcp: true,
            number,
        };
        let client = client.map(|client| client.parse().unwrap());
        let text = |options: ConnectOptions| {
            assert!(options.mptcp);
            options.source.map_or("*".to_owned(), |it| {
                let foreign = if it.is_transparent { "~" } else { "" };
                format!("{foreign}{}", it.address)
            })
        };
        sources(Some(&turn), client, &Address::Ip(host.parse().unwrap()))
            .map(text)
            .collect()
    }

    #[test]
    fn each_connect_begins_with_the_next_address_of_the_hosts_family() {
        let source = "10.0.0.1 2001:db8::1 10.0.0.2 10.0.0.3";
        let v4 = |number| tried(source, number, None, "10.9.9.9:80");
        assert_eq!(v4(0), ["10.0.0.1:0", "10.0.0.2:0", "10.0.0.3:0"]);
        assert_eq!(v4(1), ["10.0.0.2:0", "10.0.0.3:0", "10.0.0.1:0"]);
        assert_eq!(v4(5), ["10.0.0.3:0", "10.0.0.1:0", "10.0.0.2:0"]);
        assert_eq!(v4(u32::MAX).len(), 3);
        let v6 = tried(source, 3, None, "[2001:db8::9]:80");
        assert_eq!(v6, ["[2001:db8::1]:0"]);
        let without = tried("10.0.0.1", 3, None, "[2001:db8::9]:80");
        assert_eq!(without, ["*"]);
    }

    #[test]
    fn a_clients_own_port_is_tried_before_another_of_its_address() {
        let with = |client| tried("client", 0, client, "10.9.9.9:80");
        assert_eq!(
            with(Some("192.0.2.7:999")),
            ["~192.0.2.7:999", "~192.0.2.7:0"]
        );
        assert_eq!(
            with(Some("[::ffff:192.0.2.7]:999")),
            ["~192.0.2.7:999", "~192.0.2.7:0"]
        );
        assert_eq!(with(Some("[2001:db8::9]:999")), ["*"]);
        assert_eq!(with(None), ["*"], "a probe is nobody's");
    }

    #[test]
    fn without_a_source_the_system_chooses() {
        let host = Address::Ip("10.9.9.9:80".parse().unwrap());
        let mut chosen = sources(None, None, &host);
        let only = Some(ConnectOptions::default());
        assert_eq!((chosen.next(), chosen.next()), (only, None));
    }

    #[test]
    fn nothing_is_special_about_a_connect_to_a_unix_socket() {
        let host = Address::Unix(std::path::Path::new("/run/a").into());
        for source in ["", "client", "10.0.0.1 10.0.0.2"] {
            let turn = SourceTurn {
                source: Arc::new(source.parse().unwrap()),
                mptcp: true,
                number: 1,
            };
            let client = "192.0.2.7:999".parse().ok();
            let chosen: Vec<_> = sources(Some(&turn), client, &host).collect();
            assert_eq!(chosen, [ConnectOptions::default()], "{source}");
        }
    }
}
