//! Which sockets a configuration needs, and the binding of those that are new.
//!
//! All or nothing: what cannot be bound leaves everything as it was. What
//! comes in through them is the relay's business.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};

use super::error::Error;
use super::names::look_up;
use crate::config::{Config, ListenAddress, ListenHost};
use crate::os::listen::{Place, bind_all};
use crate::relay::ListenKey;

/// The listeners there are, and where each is reached.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    bound: BTreeMap<ListenKey, SocketAddr>,
}

/// What a configuration asks for: each listener, and the service behind it.
pub(super) type Wanted = BTreeMap<ListenKey, String>;

/// Sockets that are bound, but that nobody serves yet.
#[derive(Debug)]
pub(super) struct Opened {
    key: ListenKey,
    address: SocketAddr,
    /// One for each worker.
    sockets: Vec<TcpListener>,
}

/// Where `config` listens. Names are resolved here and now.
///
/// # Errors
/// A name that does not resolve, or two services at one place.
pub(super) fn wanted(config: &Config) -> Result<Wanted, Error> {
    let mut wanted = Wanted::new();
    for service in &config.services {
        for listen in &service.listens {
            for place in places(listen)? {
                let only_its_own = place.port() == 0;
                let key = ListenKey {
                    place,
                    service: only_its_own.then(|| service.name.clone()),
                };
                if let Some(other) = wanted.insert(key, service.name.clone())
                    && other != service.name
                {
                    let services = [other, service.name.clone()];
                    return Err(Error::ListenTwice { place, services });
                }
            }
        }
    }
    Ok(wanted)
}

fn places(listen: &ListenAddress) -> Result<Vec<Place>, Error> {
    let port = listen.port;
    match &listen.host {
        ListenHost::Any => Ok(vec![Place::Any { port }]),
        ListenHost::Ip(ip) => Ok(vec![Place::At(SocketAddr::new(*ip, port))]),
        ListenHost::Name(name) => {
            let unresolved = |error| Error::ListenName {
                name: name.clone(),
                error,
            };
            let addresses = look_up(name).map_err(unresolved)?;
            Ok(addresses
                .into_iter()
                .map(|ip| Place::At(SocketAddr::new(ip, port)))
                .collect())
        }
    }
}

impl Listeners {
    /// Binds what is wanted and not there, `workers` sockets each.
    ///
    /// # Errors
    /// The first place that cannot be had; none of the others is kept then.
    pub(super) fn open(&self, wanted: &Wanted, workers: usize) -> Result<Vec<Opened>, Error> {
        let mut opened: Vec<Opened> = Vec::new();
        for key in wanted.keys().filter(|key| !self.bound.contains_key(key)) {
            let ours = self
                .bound
                .keys()
                .chain(opened.iter().map(|opened| &opened.key));
            let overlaps_own = ours.into_iter().any(|own| own.place.overlaps(key.place));
            let failed = |error| Error::Listen {
                place: key.place,
                error,
            };
            match bind_all(key.place, workers, overlaps_own) {
                // A name may have addresses of a family that this machine has
                // not: the others will do, if there are any.
                Err(error) if is_absent(&error) && has_twin(key, wanted) => {
                    log::warn!("cannot listen at {}: {error}", key.place);
                }
                result => {
                    let sockets = result.map_err(failed)?;
                    let address = sockets[0].local_addr().map_err(failed)?;
                    opened.push(Opened {
                        key: key.clone(),
                        address,
                        sockets,
                    });
                }
            }
        }
        Ok(opened)
    }

    /// Takes note of what is served from now on. Returns each worker's sockets.
    pub(super) fn replace(
        &mut self,
        wanted: &Wanted,
        opened: Vec<Opened>,
        workers: usize,
    ) -> Vec<Vec<(ListenKey, TcpListener)>> {
        self.bound.retain(|key, _| wanted.contains_key(key));
        let mut shares: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
        for Opened {
            key,
            address,
            sockets,
        } in opened
        {
            for (share, socket) in shares.iter_mut().zip(sockets) {
                share.push((key.clone(), socket));
            }
            self.bound.insert(key, address);
        }
        shares
    }

    /// Where the listeners of `wanted` that belong to `service` are reached.
    pub(super) fn addresses<'a>(
        &'a self,
        wanted: &'a Wanted,
        service: &'a str,
    ) -> impl Iterator<Item = SocketAddr> + 'a {
        let keys = wanted.iter().filter(move |(_, name)| *name == service);
        keys.filter_map(|(key, _)| self.bound.get(key).copied())
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Whether the service has another listener at the same port.
fn has_twin(key: &ListenKey, wanted: &Wanted) -> bool {
    let service = wanted.get(key);
    wanted.iter().any(|(other, name)| {
        other != key && other.place.port() == key.place.port() && Some(name) == service
    })
}

#[cfg(test)]
mod tests {
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
        let wanted = wanted(&config).unwrap();
        let mut listeners = Listeners::default();
        let opened = listeners.open(&wanted, 2).unwrap();
        let shares = listeners.replace(&wanted, opened, 2);
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        let port = |service| listeners.addresses(&wanted, service).next().unwrap().port();
        assert_ne!(port("a"), port("b"));
    }

    #[test]
    fn a_name_that_leads_to_another_services_place_is_refused() {
        let config = config(&[("a", &["127.0.0.1:4711"]), ("b", &["localhost:4711"])]);
        assert!(matches!(wanted(&config), Err(Error::ListenTwice { .. })));
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
        let wanted = wanted(&config(&[("a", &places)])).unwrap();
        let error = Listeners::default().open(&wanted, 2).unwrap_err();
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
        let wanted = wanted(&config(&[("a", &[&places[0], &places[1]])])).unwrap();
        assert_eq!(Listeners::default().open(&wanted, 2).unwrap().len(), 2);
    }
}
