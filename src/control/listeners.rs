//! Listening sockets: which ones a configuration needs, and binding those that are new. All are
//! bound, or none.
//!
//! Sockets that this process inherited (`inheritance`) take the place of those at their addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use super::error::Error;
use super::inheritance::Inheritance;
use super::listen_places::{NAMES_TIMEOUT, listen_options, name, places_of_resolved};
use super::resolver::{Resolution, resolve_all, resolve_on_this_thread};
use crate::config::{Config, Listener, Network, Service};
use crate::os::listen::{BindAddress, ListenOptions, bind_all};
use crate::relay::ListenKey;

/// The bound listeners and their addresses.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    bound: BTreeMap<ListenKey, SocketAddr>,
    /// Inherited sockets, which need no binding.
    pub(super) inheritance: Inheritance,
}

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
}

impl WantedListener {
    /// Whether both are places of one name, for one service.
    fn shares_name(&self, other: &WantedListener) -> bool {
        self.service == other.service && self.name == other.name
    }
}

/// Sockets that are bound, but not served yet.
#[derive(Debug)]
pub(super) struct BoundListener {
    key: ListenKey,
    address: SocketAddr,
    /// One for each worker.
    sockets: Vec<TcpListener>,
}

impl BoundListener {
    /// Its sockets, one for each worker.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &TcpListener> {
        self.sockets.iter()
    }

    /// The address that it is bound to.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Where new listeners are bound.
pub(super) type BoundAddresses = Vec<(ListenKey, SocketAddr)>;

/// The addresses of new listeners, and each worker's sockets.
pub(super) fn per_worker(
    opened: Vec<BoundListener>,
    workers: usize,
) -> (BoundAddresses, Vec<Vec<(ListenKey, TcpListener)>>) {
    let mut addresses = Vec::new();
    let mut per_worker: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
    for listener in opened {
        for (sockets, socket) in per_worker.iter_mut().zip(listener.sockets) {
            sockets.push((listener.key.clone(), socket));
        }
        addresses.push((listener.key, listener.address));
    }
    (addresses, per_worker)
}

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
            for place in places_of_resolved(&listen.address, resolutions)? {
                add_wanted(&mut wanted, place, service, listen)?;
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
        .filter_map(|(key, _)| match key.place {
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
    place: BindAddress,
    service: &Service,
    listen: &Listener,
) -> Result<(), Error> {
    let only_its_own = place.port() == 0;
    let key = ListenKey {
        place,
        service: only_its_own.then(|| service.name.clone()),
        options: listen_options(listen),
    };
    let listener = WantedListener {
        service: service.name.clone(),
        proxy_from: listen.expects_header_from().map(Arc::from),
        name: name(&listen.address).map(str::to_owned),
    };
    // Default options come first, so this is the first one at the place.
    let first = ListenKey {
        options: ListenOptions::default(),
        ..key.clone()
    };
    let is_same = |it: &ListenKey| (it.place, &it.service) == (key.place, &key.service);
    let there = wanted.range(first..).next().filter(|(it, _)| is_same(it));
    match there {
        Some((_, other)) if other.service != service.name => Err(Error::ListenTwice {
            place,
            services: [other.service.clone(), service.name.clone()],
        }),
        Some(_) => Ok(()),
        None => {
            wanted.insert(key, listener);
            Ok(())
        }
    }
}

impl Listeners {
    /// No listeners yet, and these inherited sockets.
    pub(super) fn with(inheritance: Inheritance) -> Listeners {
        Listeners {
            bound: BTreeMap::new(),
            inheritance,
        }
    }

    /// Binds the new listeners of `wanted` that are not bound, `workers` sockets each.
    ///
    /// # Errors
    /// The first place that cannot be bound. None of the others is kept then.
    pub(super) fn bind_new(
        &self,
        wanted: &WantedListeners,
        workers: usize,
        is_new: impl Fn(&ListenKey) -> bool,
    ) -> Result<Vec<BoundListener>, Error> {
        let mut opened: Vec<BoundListener> = Vec::new();
        let mut absent = Vec::new();
        // Only places with the same port overlap. There may be thousands of others.
        let mut ours: HashMap<u16, Vec<BindAddress>> = HashMap::new();
        for own in self.bound.keys() {
            ours.entry(own.place.port()).or_default().push(own.place);
        }
        for (key, listener) in wanted
            .iter()
            .filter(|(key, _)| !self.bound.contains_key(key) && is_new(key))
        {
            let with_port = ours.entry(key.place.port()).or_default();
            let overlaps_own = with_port.iter().any(|own| own.overlaps(key.place));
            let given = self.inheritance.sockets(key.place, workers);
            match given.unwrap_or_else(|| bind_all(key.place, &key.options, workers, overlaps_own))
            {
                Ok(sockets) => {
                    let address = sockets[0].local_addr();
                    let address = address.map_err(|error| refused(key, error))?;
                    with_port.push(key.place);
                    opened.push(BoundListener {
                        key: key.clone(),
                        address,
                        sockets,
                    });
                }
                Err(error) if is_absent(&error) && listener.name.is_some() => {
                    absent.push((key, listener, error));
                }
                Err(error) => return Err(refused(key, error)),
            }
        }
        // A name may have addresses of a family that this machine lacks. One address that works is
        // enough.
        let new: HashSet<&ListenKey> = opened.iter().map(|opened| &opened.key).collect();
        let has = |key: &ListenKey| self.bound.contains_key(key) || new.contains(key);
        for (key, listener, error) in absent {
            if !wanted
                .iter()
                .any(|(other, its)| its.shares_name(listener) && has(other))
            {
                return Err(refused(key, error));
            }
            log::warn!("cannot listen at {}: {error}", key.place);
        }
        Ok(opened)
    }

    /// Replaces the bound listeners by `wanted`, of which the new ones are at `addresses`.
    pub(super) fn commit(&mut self, wanted: &WantedListeners, addresses: BoundAddresses) {
        self.bound.retain(|key, _| wanted.contains_key(key));
        self.bound.extend(addresses);
        self.inheritance.release_unshared();
    }

    /// Addresses of the listeners of `wanted` that belong to `service`.
    pub(super) fn addresses<'a>(
        &'a self,
        wanted: &'a WantedListeners,
        service: &'a str,
    ) -> impl Iterator<Item = SocketAddr> + 'a {
        let keys = wanted
            .iter()
            .filter(move |(_, listener)| listener.service == service);
        keys.filter_map(|(key, _)| self.bound.get(key).copied())
    }

    /// The same for all services that listen, in one pass: there may be thousands of both.
    pub(super) fn addresses_by_service<'a>(
        &self,
        wanted: &'a WantedListeners,
    ) -> HashMap<&'a str, Vec<SocketAddr>> {
        let mut addresses: HashMap<&str, Vec<SocketAddr>> = HashMap::new();
        for (key, listener) in wanted {
            let of_service = addresses.entry(listener.service.as_str()).or_default();
            of_service.extend(self.bound.get(key).copied());
        }
        addresses
    }

    /// Places of each service, with the ports that the system chose.
    pub(super) fn places(&self, wanted: &WantedListeners) -> BTreeMap<String, Vec<BindAddress>> {
        let mut places: BTreeMap<String, Vec<BindAddress>> = BTreeMap::new();
        for (key, listener) in wanted {
            if let Some(address) = self.bound.get(key) {
                let place = match key.place {
                    BindAddress::Any { .. } => BindAddress::Any {
                        port: address.port(),
                    },
                    BindAddress::At(_) => BindAddress::At(*address),
                };
                places
                    .entry(listener.service.clone())
                    .or_default()
                    .push(place);
            }
        }
        places
    }

    /// Number of bound listeners.
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

fn refused(key: &ListenKey, error: io::Error) -> Error {
    Error::Listen {
        place: key.place,
        error,
    }
}

#[cfg(test)]
mod tests {
    //! Which listeners are wanted, and which of them can be bound.

    use super::*;

    fn config(services: &[(&str, &[&str])]) -> Config {
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
    fn port_0_gives_each_service_a_port_of_its_own() {
        let config = config(&[("a", &["127.0.0.1:0"]), ("b", &["127.0.0.1:0"])]);
        let wanted = wanted(&config, &WantedListeners::new(), ResolveScope::New).unwrap();
        let mut listeners = Listeners::default();
        let opened = listeners.bind_new(&wanted, 2, |_| true).unwrap();
        let (addresses, per_worker) = per_worker(opened, 2);
        listeners.commit(&wanted, addresses);
        assert_eq!(per_worker.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        let port = |service| listeners.addresses(&wanted, service).next().unwrap().port();
        assert_ne!(port("a"), port("b"));
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

    #[test]
    fn whether_a_header_is_expected_makes_no_other_listener() {
        let config = |attributes: &str| {
            let text = format!(
                "<config><service name='s'><listen ip='127.0.0.1:0'{attributes}/>\
                 <group name='g' enable='1'/></service></config>"
            );
            crate::config::read(text.as_bytes()).unwrap().config
        };
        let of = |attributes: &str| {
            wanted(
                &config(attributes),
                &WantedListeners::new(),
                ResolveScope::New,
            )
            .unwrap()
        };
        let plain = of("");
        let mut listeners = Listeners::default();
        let opened = listeners.bind_new(&plain, 1, |_| true).unwrap();
        listeners.commit(&plain, per_worker(opened, 1).0);
        for (attributes, from) in [
            ("", None),
            (" proxy='require'", Some("")),
            (
                " proxy='require' proxyFrom='::1 10.0.0.0/8'",
                Some("::1 10.0.0.0/8"),
            ),
            (" proxyFrom='::1'", None),
        ] {
            let next = of(attributes);
            assert!(listeners.bind_new(&next, 1, |_| true).unwrap().is_empty());
            let expected = next.values().next().unwrap().proxy_from.as_ref();
            let expected = expected.map(|networks| {
                let networks: Vec<_> = networks.iter().map(Network::to_string).collect();
                networks.join(" ")
            });
            assert_eq!(expected.as_deref(), from, "{attributes}");
        }
    }

    #[test]
    fn what_cannot_be_bound_binds_nothing() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let places = [free.as_str(), &taken.local_addr().unwrap().to_string()];
        let wanted = wanted(
            &config(&[("a", &places)]),
            &WantedListeners::new(),
            ResolveScope::New,
        )
        .unwrap();
        let error = Listeners::default()
            .bind_new(&wanted, 2, |_| true)
            .unwrap_err();
        assert!(matches!(error, Error::Listen { .. }));
        TcpListener::bind(&free).unwrap();
    }

    #[test]
    fn overlapping_places_of_one_configuration_are_bound() {
        let any = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let places = [format!("127.0.0.1:{any}"), format!("*:{any}")];
        let wanted = wanted(
            &config(&[("a", &[&places[0], &places[1]])]),
            &WantedListeners::new(),
            ResolveScope::New,
        )
        .unwrap();
        assert_eq!(
            Listeners::default()
                .bind_new(&wanted, 2, |_| true)
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn an_address_that_is_not_this_machines_is_excused_for_a_name_only() {
        // An address for documentation, which no machine has.
        let wanted = wanted(
            &config(&[("a", &["203.0.113.5:0", "127.0.0.1:0"])]),
            &WantedListeners::new(),
            ResolveScope::New,
        )
        .unwrap();
        assert!(Listeners::default().bind_new(&wanted, 1, |_| true).is_err());
        let named = |name: &str| Some(name.to_owned());
        let mut excused = wanted.clone();
        excused
            .values_mut()
            .for_each(|listener| listener.name = named("both"));
        assert_eq!(
            Listeners::default()
                .bind_new(&excused, 1, |_| true)
                .unwrap()
                .len(),
            1
        );
        // A change does not look again for addresses that were missing.
        let open = |is_new: bool| Listeners::default().bind_new(&excused, 1, |_| is_new);
        assert_eq!(open(false).unwrap().len(), 0);
        let mut apart = excused.clone();
        for (key, listener) in &mut apart {
            listener.name = named(&key.place.to_string());
        }
        assert!(Listeners::default().bind_new(&apart, 1, |_| true).is_err());
    }
}
