//! Where a listener is to be bound: the addresses and ports behind what the file says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use super::error::Error;
use super::resolver::{Resolution, resolve_all};
use crate::config::{ListenAddress, ListenHost, Listener};
use crate::os::listen::{BindAddress, ListenOptions};

/// How long names of listeners may take to resolve.
pub(super) const NAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// What is special about the sockets of a listener.
pub fn listen_options(listen: &Listener) -> ListenOptions {
    ListenOptions {
        mptcp: listen.mptcp,
        interface: listen.interface.clone(),
    }
}

/// Places of an admin interface's address. A name is resolved now.
///
/// # Errors
/// A name that does not resolve.
pub fn resolve_places(listen: &ListenAddress) -> Result<Vec<BindAddress>, Error> {
    let resolutions = resolve_all(name(listen), NAMES_TIMEOUT).map_err(Error::System)?;
    places_of_resolved(listen, &resolutions)
}

/// The name in an address, or that of its interface.
pub(super) fn name(listen: &ListenAddress) -> Option<&str> {
    match &listen.host {
        ListenHost::Name(name) | ListenHost::Zoned { zone: name, .. } => Some(name),
        ListenHost::Any | ListenHost::Ip(_) => None,
    }
}

/// Places of an address, by the names in `resolutions`.
///
/// # Errors
/// A name or network interface that is missing there, or has no address.
pub fn places_of_resolved(
    listen: &ListenAddress,
    resolutions: &BTreeMap<String, Resolution>,
) -> Result<Vec<BindAddress>, Error> {
    let at_ports = |ip: IpAddr| listen.ports().map(move |port| SocketAddr::new(ip, port));
    let at = |ip: &IpAddr| at_ports(*ip).map(BindAddress::At);
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
            let any = listen.ports().map(|port| BindAddress::Any { port });
            Ok(any.collect())
        }
        ListenHost::Ip(ip) => Ok(at(ip).collect()),
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
                    .map(move |port| BindAddress::At(at_port(port).into()))
            };
            Ok(numbers.iter().filter_map(number).flat_map(at).collect())
        }
    }
}
