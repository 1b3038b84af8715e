//! Listening sockets: binds those that are new. All are bound, or none.
//!
//! Sockets that this process inherited (`inheritance`) take the place of those at their addresses.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use super::error::Error;
use super::inheritance::Inheritance;
use super::upgrade::listener_name;
use super::wanted::{WantedListener, WantedListeners};
use crate::os::address::Address;
use crate::os::handed_over::take_listeners;
use crate::os::listen::{
    BindAddress, ListenOptions, ListenPlace, StreamListener, bind_all, bind_path,
};
use crate::os::socket_file::SocketFile;
use crate::relay::ListenKey;

/// The bound listeners and their addresses.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    bound: BTreeMap<ListenKey, BoundPlace>,
    /// Inherited sockets, which need no binding.
    pub(super) inheritance: Inheritance,
}

/// Where a listener is bound.
#[derive(Debug)]
pub(super) struct BoundPlace {
    /// With the port that the system chose.
    address: Address,
    /// The file of a Unix socket that this process made. It goes with this.
    file: Option<SocketFile>,
}

/// Sockets that are bound, but not served yet.
#[derive(Debug)]
pub(super) struct BoundListener {
    key: ListenKey,
    place: BoundPlace,
    /// One for each worker.
    sockets: Vec<StreamListener>,
}

impl BoundListener {
    /// Its sockets, one for each worker.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &StreamListener> {
        self.sockets.iter()
    }

    /// The file of a Unix socket.
    pub(super) fn file(&self) -> Option<&SocketFile> {
        self.place.file.as_ref()
    }

    /// The address that it is bound to.
    #[cfg(test)]
    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.place.address.socket_address().unwrap()
    }
}

/// Where new listeners are bound.
pub(super) type BoundAddresses = Vec<(ListenKey, BoundPlace)>;

/// The addresses of new listeners, and each worker's sockets.
pub(super) fn per_worker(
    opened: Vec<BoundListener>,
    workers: usize,
) -> (BoundAddresses, Vec<Vec<(ListenKey, StreamListener)>>) {
    let mut addresses = Vec::new();
    let mut per_worker: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
    for listener in opened {
        for (sockets, socket) in per_worker.iter_mut().zip(listener.sockets) {
            sockets.push((listener.key.clone(), socket));
        }
        addresses.push((listener.key, listener.place));
    }
    (addresses, per_worker)
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
    /// The first place that cannot be bound, or whose inherited socket is not as it is wanted. None
    /// of the others is kept then.
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
        for own in self.bound.keys().filter_map(|key| key.place.bind_address()) {
            ours.entry(own.port()).or_default().push(own);
        }
        for (key, listener) in wanted
            .iter()
            .filter(|(key, _)| !self.bound.contains_key(key) && is_new(key))
        {
            let given = self.inheritance.sockets(&key.place, workers);
            if given.is_some() && key.options != ListenOptions::default() {
                let place = key.place.clone();
                return Err(Error::ListenInherited { place });
            }
            let bound = match given.or_else(|| handed_over(key, workers)) {
                Some(sockets) => sockets.map(|sockets| (sockets, None)),
                None => bind(key, listener, workers, &ours),
            };
            match bound {
                Ok((sockets, file)) => {
                    let address = sockets[0].address();
                    let address = address.map_err(|error| refused(key, error))?;
                    if let Some(own) = key.place.bind_address() {
                        ours.entry(own.port()).or_default().push(own);
                    }
                    opened.push(BoundListener {
                        key: key.clone(),
                        place: BoundPlace { address, file },
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
        for (key, listener) in wanted {
            let bound = self.bound.get_mut(key);
            if let Some(file) = bound.and_then(|bound| bound.file.as_mut()) {
                file.set_mode(listener.mode);
            }
        }
        self.inheritance.release_unshared();
    }

    /// Removes the files of Unix sockets, so that no new client finds them. A successor may have its
    /// own there already, which stay.
    pub(super) fn remove_files(&mut self) {
        self.bound.values_mut().for_each(|bound| bound.file = None);
    }

    /// Whether it is a Unix socket whose file is gone, or is another's by now.
    pub(super) fn has_lost_file(&self, key: &ListenKey) -> bool {
        let file = self.bound.get(key).and_then(|bound| bound.file.as_ref());
        file.is_some_and(|file| !file.is_at(file.path()))
    }

    /// Leaves the files of Unix sockets to another process, but for those that it does not want.
    pub(super) fn disown_files(&mut self, unwanted: &[String]) {
        let files = self.bound.values_mut().filter_map(|it| it.file.as_mut());
        files.for_each(|file| file.disown(unwanted));
    }

    /// Addresses of the listeners of `wanted` that belong to `service`.
    pub(super) fn addresses<'a>(
        &'a self,
        wanted: &'a WantedListeners,
        service: &'a str,
    ) -> impl Iterator<Item = Address> + 'a {
        let keys = wanted
            .iter()
            .filter(move |(_, listener)| listener.service == service);
        keys.filter_map(|(key, _)| Some(self.bound.get(key)?.address.clone()))
    }

    /// The same for all services that listen, in one pass: there may be thousands of both.
    pub(super) fn addresses_by_service<'a>(
        &self,
        wanted: &'a WantedListeners,
    ) -> HashMap<&'a str, Vec<Address>> {
        let mut addresses: HashMap<&str, Vec<Address>> = HashMap::new();
        for (key, listener) in wanted {
            let of_service = addresses.entry(listener.service.as_str()).or_default();
            of_service.extend(self.bound.get(key).map(|bound| bound.address.clone()));
        }
        addresses
    }

    /// Places of each service, with the ports that the system chose.
    pub(super) fn places(&self, wanted: &WantedListeners) -> BTreeMap<String, Vec<ListenPlace>> {
        let mut places: BTreeMap<String, Vec<ListenPlace>> = BTreeMap::new();
        for (key, listener) in wanted {
            if let Some(BoundPlace { address, .. }) = self.bound.get(key) {
                let place = match (key.place.bind_address(), address) {
                    (Some(BindAddress::Any { .. }), Address::Ip(address)) => {
                        let port = address.port();
                        BindAddress::Any { port }.into()
                    }
                    (_, Address::Ip(address)) => BindAddress::At(*address).into(),
                    (_, Address::Unix(path)) => ListenPlace::Unix(path.clone()),
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

/// The TCP sockets of a predecessor for this listener, at least one for each worker.
fn handed_over(key: &ListenKey, workers: usize) -> Option<io::Result<Vec<StreamListener>>> {
    // `SocketFile` takes its own.
    key.place.bind_address()?;
    let sockets = take_listeners(&listener_name(key)).into_iter();
    let mut sockets: Vec<_> = sockets.map(StreamListener::Tcp).collect();
    if sockets.is_empty() {
        return None;
    }
    for shared in 0..workers.saturating_sub(sockets.len()) {
        match sockets[shared].try_clone() {
            Ok(socket) => sockets.push(socket),
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(sockets))
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Binds a new listener beside `ours`, by port.
fn bind(
    key: &ListenKey,
    listener: &WantedListener,
    workers: usize,
    ours: &HashMap<u16, Vec<BindAddress>>,
) -> io::Result<(Vec<StreamListener>, Option<SocketFile>)> {
    match &key.place {
        ListenPlace::Ip(address) => {
            let with_port = ours.get(&address.port());
            let overlaps_own =
                with_port.is_some_and(|it| it.iter().any(|own| own.overlaps(*address)));
            let sockets = bind_all(*address, &key.options, workers, overlaps_own)?;
            Ok((sockets.into_iter().map(StreamListener::Tcp).collect(), None))
        }
        ListenPlace::Unix(path) => {
            let (sockets, file) = bind_path(path, listener.mode, workers)?;
            Ok((sockets, Some(file)))
        }
    }
}

fn refused(key: &ListenKey, error: io::Error) -> Error {
    Error::Listen {
        place: key.place.clone(),
        error,
    }
}

#[cfg(test)]
mod tests {
    //! Which listeners are wanted, and which of them can be bound.

    use super::super::wanted::tests::config;
    use super::super::wanted::{ResolveScope, wanted};
    use super::*;
    use crate::config::Network;
    use std::net::TcpListener;

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
