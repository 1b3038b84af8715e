//! Which listeners a configuration wants: the places of each service, by address or by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::resolver::{Resolution, resolve_all, resolve_on_this_thread};
use crate::config::{Config, ListenAddress, ListenHost, Listener, Network, Service};
use crate::os::listen::{BindAddress, ListenOptions, ListenPlace};
use crate::relay::ListenKey;

/// The listeners that a configuration wants.
pub(super) type WantedListeners = BTreeMap<ListenKey, WantedListener>;

/// A listener that a configuration wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedListener {
    /// Name of the service behind it.
    pub(super) service: String,
    /// Whose connections must begin with a PROXY protocol header; if empty, everybody's. `None` is
    /// nobody's.
    pub(super) proxy_from: Option<Arc<[Network]>>,
    /// The name in its address, if it has one.
    pub(super) name: Option<String>,
    /// The permissions of a Unix socket.
    pub(super) mode: u32,
}

impl WantedListener {
    /// Whether both are places of one name, for one service.
    pub(super) fn shares_name(&self, other: &WantedListener) -> bool {
        self.service == other.service && self.name == other.name
    }
}

/// How long names of listeners may take to resolve.
const NAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// Which names of listeners are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResolveScope {
    /// New names. A change moves no listener that it does not touch, and waits for no name server
    /// that it does not need.
    New,
    /// All names, as at a reload.
    All,
}

/// The listeners that `config` wants. Names are resolved now; a name that does not resolve keeps
/// its addresses of `before`.
///
/// # Errors
/// A new name that does not resolve, or two services at one place.
pub(super) fn wanted(
    config: &Config,
    before: &WantedListeners,
    scope: ResolveScope,
) -> Result<WantedListeners, Error> {
    let (mut names, mut resolutions) = (config.listen_names(), BTreeMap::new());
    if scope == ResolveScope::New {
        let known = names.iter().filter_map(|name| {
            let addresses = addresses_of(name, before);
            (!addresses.is_empty()).then(|| ((*name).to_owned(), Ok(addresses)))
        });
        resolutions.extend(known);
        names.retain(|name| !resolutions.contains_key(*name));
    }
    if !names.is_empty() {
        let mut found = resolve_all(names, NAMES_TIMEOUT).map_err(Error::System)?;
        for (name, resolution) in &mut found {
            keep_addresses(name, resolution, before);
        }
        resolutions.append(&mut found);
    }
    wanted_of(config, &resolutions)
}

/// The listeners that `config` wants, before there is a thread that could resolve names.
///
/// # Errors
/// A name that does not resolve, or two services at one place.
pub(super) fn wanted_before_start(config: &Config) -> Result<WantedListeners, Error> {
    wanted_of(config, &resolve_on_this_thread(config.listen_names()))
}

fn wanted_of(
    config: &Config,
    resolutions: &BTreeMap<String, Resolution>,
) -> Result<WantedListeners, Error> {
    let mut wanted = WantedListeners::new();
    for service in &config.services {
        for listen in &service.listens {
            // Once for all ports of a range.
            let proxy_from = listen.expects_header_from().map(Arc::from);
            for place in places_of_resolved(&listen.address, resolutions)? {
                add_wanted(&mut wanted, place, (service, listen), proxy_from.as_ref())?;
            }
        }
    }
    Ok(wanted)
}

fn keep_addresses(name: &str, resolution: &mut Resolution, before: &WantedListeners) {
    let Err(reason) = resolution else { return };
    let addresses = addresses_of(name, before);
    if !addresses.is_empty() {
        log::warn!(
            "the name {name} does not resolve: {}; what listens there stays where it is",
            reason.escape_debug()
        );
        *resolution = Ok(addresses);
    }
}

/// The addresses that a name had, even those that this machine lacks.
fn addresses_of(name: &str, before: &WantedListeners) -> Vec<IpAddr> {
    let of_name = before
        .iter()
        .filter(|(_, listener)| listener.name.as_deref() == Some(name));
    let addresses: BTreeSet<IpAddr> = of_name
        .filter_map(|(key, _)| match key.place.bind_address()? {
            BindAddress::At(SocketAddr::V6(v6)) if name.starts_with('%') => {
                Some(Ipv6Addr::from(u128::from(v6.scope_id())).into())
            }
            BindAddress::At(address) => Some(address.ip()),
            BindAddress::Any { .. } => None,
        })
        .collect();
    addresses.into_iter().collect()
}

fn add_wanted(
    wanted: &mut WantedListeners,
    place: ListenPlace,
    (service, listen): (&Service, &Listener),
    proxy_from: Option<&Arc<[Network]>>,
) -> Result<(), Error> {
    let only_its_own = place.is_chosen_by_system();
    let key = ListenKey {
        place: place.clone(),
        service: only_its_own.then(|| service.name.clone()),
        options: listen_options(listen),
    };
    let listener = WantedListener {
        service: service.name.clone(),
        proxy_from: proxy_from.cloned(),
        name: name(&listen.address).map(str::to_owned),
        mode: listen.mode,
    };
    // Default options come first, so this is the first one at the place.
    let first = ListenKey {
        options: ListenOptions::default(),
        ..key.clone()
    };
    let is_same = |it: &ListenKey| (&it.place, &it.service) == (&key.place, &key.service);
    let there = wanted.range(first..).next().filter(|(it, _)| is_same(it));
    match there {
        Some((_, other)) if other.service != service.name => Err(Error::ListenTwice {
            place,
            services: [other.service.clone(), service.name.clone()],
        }),
        // A name may lead to the address of another listener.
        Some((it, other)) if (it, &other.proxy_from) != (&key, &listener.proxy_from) => {
            Err(Error::ListenDiffers {
                place,
                service: service.name.clone(),
            })
        }
        Some(_) => Ok(()),
        None => {
            wanted.insert(key, listener);
            Ok(())
        }
    }
}

/// What is special about the sockets of a listener: nothing about a Unix socket.
pub fn listen_options(listen: &Listener) -> ListenOptions {
    match listen.address.unix_path() {
        Some(_) => ListenOptions::default(),
        None => ListenOptions {
            mptcp: listen.mptcp,
            interface: listen.interface.clone(),
        },
    }
}

/// Places of an admin interface's address, which is no Unix socket. A name is resolved now.
///
/// # Errors
/// A name that does not resolve.
pub fn resolve_places(listen: &ListenAddress) -> Result<Vec<BindAddress>, Error> {
    let resolutions = resolve_all(name(listen), NAMES_TIMEOUT).map_err(Error::System)?;
    let places = places_of_resolved(listen, &resolutions)?;
    let addresses = places.iter().filter_map(ListenPlace::bind_address);
    Ok(addresses.collect())
}

fn name(listen: &ListenAddress) -> Option<&str> {
    match &listen.host {
        ListenHost::Name(name) | ListenHost::Zoned { zone: name, .. } => Some(name),
        ListenHost::Any | ListenHost::Ip(_) | ListenHost::Unix(_) => None,
    }
}

/// Places of an address, by the names in `resolutions`.
///
/// # Errors
/// A name or network interface that is missing there, or has no address.
pub fn places_of_resolved(
    listen: &ListenAddress,
    resolutions: &BTreeMap<String, Resolution>,
) -> Result<Vec<ListenPlace>, Error> {
    let at_ports = |ip: IpAddr| listen.ports().map(move |port| SocketAddr::new(ip, port));
    let at = |ip: &IpAddr| at_ports(*ip).map(|it| BindAddress::At(it).into());
    let resolution = |name: &str, shown: String| {
        let silence = || Err(String::new());
        let resolution = resolutions.get(name).cloned().unwrap_or_else(silence);
        resolution.map_err(|reason| Error::ListenName {
            name: shown,
            reason,
        })
    };
    match &listen.host {
        ListenHost::Any => {
            let any = listen.ports().map(|port| BindAddress::Any { port }.into());
            Ok(any.collect())
        }
        ListenHost::Ip(ip) => Ok(at(ip).collect()),
        ListenHost::Unix(path) => Ok(vec![ListenPlace::Unix(Arc::clone(path))]),
        ListenHost::Name(name) => {
            let found = resolution(name, name.clone())?;
            Ok(found.iter().flat_map(at).collect())
        }
        ListenHost::Zoned { ip, zone } => {
            let numbers = resolution(zone, format!("[{ip}{zone}]"))?;
            let number = |number: &IpAddr| match number {
                IpAddr::V6(number) => u32::try_from(u128::from(*number)).ok(),
                IpAddr::V4(_) => None,
            };
            let at = |scope| {
                let at_port = move |port| SocketAddrV6::new(*ip, port, 0, scope);
                listen
                    .ports()
                    .map(move |port| BindAddress::At(at_port(port).into()).into())
            };
            Ok(numbers.iter().filter_map(number).flat_map(at).collect())
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::control) fn config(services: &[(&str, &[&str])]) -> Config {
        let mut text = String::from("<config>");
        for (name, listens) in services {
            text += &format!("<service name='{name}'>");
            for listen in *listens {
                text += &format!("<listen ip='{listen}'/>");
            }
            text += "<group name='g' enable='true'><host ip='127.0.0.1:1'/></group></service>";
        }
        text += "</config>";
        crate::config::read(text.as_bytes()).unwrap().config
    }

    #[test]
    fn a_name_that_leads_to_another_services_place_is_refused() {
        let config = config(&[("a", &["127.0.0.1:4711"]), ("b", &["localhost:4711"])]);
        assert!(matches!(
            wanted(&config, &WantedListeners::new(), ResolveScope::New),
            Err(Error::ListenTwice { .. })
        ));
    }

    #[test]
    fn one_place_is_listened_at_in_one_way() {
        let with = |attribute: &str| {
            let mut config = config(&[("a", &["127.0.0.1:4711", "localhost:4711"])]);
            let other = &mut config.services[0].listens[1];
            other.proxy = attribute == "proxy";
            other.mptcp = attribute == "mptcp";
            wanted(&config, &WantedListeners::new(), ResolveScope::New)
        };
        assert!(with("").is_ok());
        for attribute in ["proxy", "mptcp"] {
            let refused = with(attribute);
            assert!(
                matches!(refused, Err(Error::ListenDiffers { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn all_ports_of_a_range_share_one_list_of_networks() {
        let mut config = config(&[("a", &["127.0.0.1:4711-4720"])]);
        config.services[0].listens[0].proxy = true;
        config.services[0].listens[0].proxy_from = vec!["10.0.0.0/8".parse().unwrap()];
        let wanted = wanted(&config, &WantedListeners::new(), ResolveScope::New).unwrap();
        assert_eq!(wanted.len(), 10);
        let lists: BTreeSet<_> = wanted
            .values()
            .map(|it| it.proxy_from.as_ref().map(|list| list.as_ptr()))
            .collect();
        assert_eq!(lists.len(), 1);
        assert!(!lists.contains(&None));
    }

    #[test]
    fn a_name_that_does_not_resolve_any_more_is_listened_at_where_it_was() {
        // A name that never resolves.
        let config = config(&[("a", &["gone.invalid:4711"])]);
        let new = wanted(&config, &WantedListeners::new(), ResolveScope::New);
        assert!(matches!(new, Err(Error::ListenName { .. })), "{new:?}");
        let key = ListenKey::at(BindAddress::At(([127, 0, 0, 1], 4711).into()));
        let listener = WantedListener {
            service: "a".to_owned(),
            proxy_from: None,
            name: Some("gone.invalid".to_owned()),
            mode: Listener::MODE,
        };
        let before = WantedListeners::from([(key, listener)]);
        assert_eq!(wanted(&config, &before, ResolveScope::All).unwrap(), before);
        // A change does not ask a name server.
        assert_eq!(wanted(&config, &before, ResolveScope::New).unwrap(), before);
    }

    #[test]
    fn a_change_keeps_a_name_where_it_was_and_a_reload_follows_it() {
        let config = config(&[("a", &["localhost:4711"])]);
        let resolved = wanted(&config, &WantedListeners::new(), ResolveScope::New).unwrap();
        let moved: WantedListeners = resolved
            .iter()
            .take(1)
            .map(|(_, listener)| {
                let place = BindAddress::At(([127, 0, 0, 77], 4711).into());
                (ListenKey::at(place), listener.clone())
            })
            .collect();
        assert_eq!(wanted(&config, &moved, ResolveScope::New).unwrap(), moved);
        assert_eq!(
            wanted(&config, &moved, ResolveScope::All).unwrap(),
            resolved
        );
    }
}
