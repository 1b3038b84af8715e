//! Routing loops: hosts that are listeners of this txlb, by which a session would come back to its
//! own service.
//!
//! Such a host counts as down: one client would make a chain of sessions that takes all there are.
//! A service may be another's host as long as that does not lead back.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::resolver::Resolution;
use super::wanted::places_of_resolved;
use crate::balance::HostId;
use crate::config::{self, Config, Endpoint};
use crate::os::address::Address;
use crate::os::addresses::LocalAddresses;
use crate::os::listen::{BindAddress, ListenPlace};
use crate::relay::{Group, HostName};

/// A service, as the search for routing loops needs it.
#[derive(Debug, Clone)]
pub(super) struct LocalService {
    /// Where it listens, with the ports that the system chose.
    pub(super) places: Vec<ListenPlace>,
    /// Whether clients may ask for any port: a header says for which.
    pub(super) asked_any_port: bool,
    /// Its groups that get new sessions, the enabled one first.
    pub(super) groups: Vec<Arc<Group>>,
}

/// Listeners by port or path, to find the service behind an address.
struct Ports<'a> {
    by_port: BTreeMap<u16, Vec<(usize, BindAddress)>>,
    by_path: BTreeMap<PathBuf, usize>,
    is_local: &'a dyn Fn(IpAddr) -> bool,
}

impl<'a> Ports<'a> {
    fn new(
        places: impl Iterator<Item = (usize, ListenPlace)>,
        is_local: &'a dyn Fn(IpAddr) -> bool,
    ) -> Ports<'a> {
        let mut by_port: BTreeMap<u16, Vec<(usize, BindAddress)>> = BTreeMap::new();
        let mut by_path = BTreeMap::new();
        for (service, place) in places {
            match place {
                ListenPlace::Ip(place) => by_port
                    .entry(place.port())
                    .or_default()
                    .push((service, place)),
                ListenPlace::Unix(path) => drop(by_path.insert(real_path(&path), service)),
            }
        }
        Ports {
            by_port,
            by_path,
            is_local,
        }
    }

    /// Whether there may be a listener at a host.
    fn may_have(&self, host: &Address) -> bool {
        match host {
            Address::Ip(host) => host.port() == 0 || self.by_port.contains_key(&host.port()),
            Address::Unix(path) => self.by_path.contains_key(&real_path(path)),
        }
    }

    /// The services that sessions of the service `from` reach at a host. One without a port is
    /// connected to at all ports where that service listens, or at any, if clients may ask for it.
    fn services_behind(&self, from: Origin, host: &Address) -> BTreeSet<usize> {
        let host = match host {
            Address::Ip(host) => *host,
            Address::Unix(path) => {
                let service = self.by_path.get(&real_path(path));
                return service.copied().into_iter().collect();
            }
        };
        // The system connects to the loopback where the address is unspecified.
        let ip = match host.ip().to_canonical() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        // System calls: once for all ports.
        let is_local = LazyCell::new(|| (self.is_local)(ip));
        let is_there = |place: BindAddress| match place {
            BindAddress::At(own) if own.ip().is_unspecified() => {
                own.is_ipv4() == ip.is_ipv4() && *is_local
            }
            BindAddress::At(own) => own.ip().to_canonical() == ip,
            BindAddress::Any { .. } => *is_local,
        };
        let ports = match host.port() {
            0 => 0..=u16::MAX,
            port => port..=port,
        };
        let reached = self.by_port.range(ports).filter(|(_, places)| {
            let listens = || places.iter().any(|(service, _)| *service == from.service);
            host.port() != 0 || from.asked_any_port || listens()
        });
        let at_each = reached.filter_map(|(_, places)| {
            let place = places.iter().find(|(_, place)| is_there(*place));
            place.map(|(service, _)| *service)
        });
        at_each.collect()
    }
}

/// One path of all that lead to a socket, whether it is there yet or not.
fn real_path(path: &Path) -> PathBuf {
    let in_folder = || {
        let folder = path.parent()?.canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    let found = path.canonicalize().ok().or_else(in_folder);
    found.unwrap_or_else(|| path.to_owned())
}

/// Where sessions come from.
#[derive(Debug, Clone, Copy)]
struct Origin {
    service: usize,
    /// Whether its clients may ask for any port.
    asked_any_port: bool,
}

/// The hosts that close a loop, by group: those of the groups of `services`.
pub(super) fn find_routing_loops(
    services: &[LocalService],
) -> HashMap<*const Group, BTreeSet<HostId>> {
    let places = services.iter().enumerate().flat_map(|(number, service)| {
        service
            .places
            .iter()
            .map(move |place| (number, place.clone()))
    });
    let local = LocalAddresses::default();
    let is_local = |ip| local.contains(ip);
    let ports = Ports::new(places, &is_local);
    let (mut hops, mut hosts): (Vec<Hop>, Vec<_>) = (Vec::new(), Vec::new());
    let groups = services.iter().enumerate();
    let groups = groups.flat_map(|(from, it)| it.groups.iter().map(move |group| (from, group)));
    for (from, group) in groups {
        // No system call under the pool's lock.
        let addresses: Vec<(HostId, Address)> = {
            let pool = group.pool();
            let known = pool.hosts().filter_map(|it| Some((it.id, it.address?)));
            let may_be_ours = known.filter(|(_, address)| ports.may_have(address));
            may_be_ours
                .map(|(id, address)| (id, address.clone()))
                .collect()
        };
        for (host, address) in addresses {
            let origin = Origin {
                service: from,
                asked_any_port: services[from].asked_any_port,
            };
            hops.push((from, ports.services_behind(origin, &address)));
            hosts.push((Arc::as_ptr(group), host));
        }
    }
    let mut closing: HashMap<*const Group, BTreeSet<HostId>> = HashMap::new();
    for (hop, _) in find_closing_hops(&hops) {
        let (group, host) = hosts[hop];
        closing.entry(group).or_default().insert(host);
    }
    closing
}

/// Warnings about hosts of `config` that close a loop, by the names in `resolutions`. Groups
/// that get no sessions count too.
pub fn routing_loop_warnings(
    config: &Config,
    resolutions: &BTreeMap<String, Resolution>,
) -> Vec<String> {
    let local = LocalAddresses::default();
    warnings_where(config, resolutions, &|ip| local.contains(ip))
}

fn warnings_where(
    config: &Config,
    resolutions: &BTreeMap<String, Resolution>,
    is_local: &dyn Fn(IpAddr) -> bool,
) -> Vec<String> {
    let places = config.services.iter().enumerate().flat_map(|(number, it)| {
        let listens = it.listens.iter();
        listens.flat_map(move |listen| {
            let places = places_of_resolved(&listen.address, resolutions).unwrap_or_default();
            places.into_iter().map(move |place| (number, place))
        })
    });
    let ports = Ports::new(
        places.filter(|(_, place)| !place.is_chosen_by_system()),
        is_local,
    );
    let (mut hops, mut hosts) = (Vec::new(), Vec::new());
    for serves in [true, false] {
        for (from, service) in config.services.iter().enumerate() {
            let (serving, groups) = (service.serving_groups(), service.groups.iter());
            let origin = Origin {
                service: from,
                asked_any_port: service.listens.iter().any(|it| it.proxy),
            };
            for group in groups.filter(|it| serving.contains(it.name.as_str()) == serves) {
                for host in &group.hosts {
                    let found = host_addresses(host, resolutions);
                    let mut behind = found.iter().map(|it| ports.services_behind(origin, it));
                    if let Some(to) = behind.find(|to| !to.is_empty()) {
                        hops.push((from, to));
                        hosts.push((service, group, host));
                    }
                }
            }
        }
    }
    let warning = |(hop, to): (usize, usize)| {
        let (service, group, host) = hosts[hop];
        let what = match &config.services[to].name {
            name if *name == service.name => "a listener of txlb itself".to_owned(),
            name => format!("a listener of txlb itself, of the service {name}, which leads back"),
        };
        let host = HostName {
            service: service.name.clone(),
            group: group.name.clone(),
            host: host.name.clone(),
        };
        format!("the host {host} is {what}: sessions would go in circles")
    };
    find_closing_hops(&hops).into_iter().map(warning).collect()
}

fn addresses<'a>(name: &str, resolutions: &'a BTreeMap<String, Resolution>) -> &'a [IpAddr] {
    match resolutions.get(name) {
        Some(Ok(addresses)) => addresses,
        _ => &[],
    }
}

fn host_addresses(host: &config::Host, resolutions: &BTreeMap<String, Resolution>) -> Vec<Address> {
    match &host.address {
        Endpoint::Address(address) => vec![Address::Ip(*address)],
        Endpoint::Unix(path) => vec![Address::Unix(Arc::clone(path))],
        Endpoint::Zoned { ip, port, .. } => vec![SocketAddr::new((*ip).into(), *port).into()],
        Endpoint::Name { host, port } => {
            let found = addresses(host, resolutions).iter();
            found.map(|ip| SocketAddr::new(*ip, *port).into()).collect()
        }
    }
}

/// A host that is a listener of services: from which service sessions come, and to which they go,
/// by the ports that clients ask for. Services are numbers here.
type Hop = (usize, BTreeSet<usize>);

/// Indices of the hops that close a loop with hops before them, and the service that leads back.
/// Without these there is no loop; chains of services stay.
fn find_closing_hops(hops: &[Hop]) -> Vec<(usize, usize)> {
    let mut chains: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut closing = Vec::new();
    for (index, (from, to)) in hops.iter().enumerate() {
        match to.iter().find(|to| is_reachable(&chains, **to, *from)) {
            Some(to) => closing.push((index, *to)),
            None => chains.entry(*from).or_default().extend(to),
        }
    }
    closing
}

fn is_reachable(chains: &BTreeMap<usize, BTreeSet<usize>>, from: usize, to: usize) -> bool {
    let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(service) = next.pop() {
        if service == to {
            return true;
        }
        let further = chains.get(&service).into_iter().flatten();
        next.extend(further.copied().filter(|it| seen.insert(*it)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::arbitrary::Random;

    fn config(services: &[(&str, &str, &str)]) -> Config {
        let mut text = String::from("<config>");
        for (name, listen, hosts) in services {
            text += &format!(
                "<service name='{name}'><listen ip='{listen}'/><group name='g' enable='1'>"
            );
            for (number, host) in hosts.split(' ').enumerate() {
                text += &format!("<host name='h{number}' ip='{host}'/>");
            }
            text += "</group></service>";
        }
        config::read((text + "</config>").as_bytes())
            .unwrap()
            .config
    }

    /// Hosts that are warned of; 10.0.0.1 is this machine's.
    fn warned(services: &[(&str, &str, &str)]) -> Vec<String> {
        let name = |name: &str, ip: [u8; 4]| (name.to_owned(), Ok(vec![IpAddr::from(ip)]));
        let resolutions = BTreeMap::from([name("lb", [10, 0, 0, 1]), name("other", [10, 0, 0, 2])]);
        let local = |ip: IpAddr| ip.is_loopback() || ip == IpAddr::from([10, 0, 0, 1]);
        let warnings = warnings_where(&config(services), &resolutions, &local);
        let host = |warning: String| warning.split(' ').nth(2).unwrap_or_default().to_owned();
        warnings.into_iter().map(host).collect()
    }

    #[test]
    fn a_host_that_is_its_own_listener_is_found_by_whatever_address() {
        for listen in ["*:80", "lb:80", "10.0.0.1:80", "0.0.0.0:80"] {
            for host in ["10.0.0.1:80", "lb:80", "[::ffff:10.0.0.1]:80"] {
                assert_eq!(
                    warned(&[("a", listen, host)]),
                    ["a:g/h0"],
                    "{listen} {host}"
                );
            }
            for host in ["10.0.0.2:80", "other:80", "10.0.0.1:81"] {
                assert!(warned(&[("a", listen, host)]).is_empty(), "{listen} {host}");
            }
        }
        for (listen, host) in [
            ("*:80", "127.9.9.9:80"),
            ("0.0.0.0:80", "127.0.0.2:80"),
            ("127.0.0.1:80", "0.0.0.0:80"),
            ("[::]:80", "[::1]:80"),
        ] {
            assert_eq!(
                warned(&[("a", listen, host)]),
                ["a:g/h0"],
                "{listen} {host}"
            );
        }
        for (listen, host) in [("127.0.0.1:80", "127.0.0.2:80"), ("0.0.0.0:80", "[::1]:80")] {
            assert!(warned(&[("a", listen, host)]).is_empty(), "{listen} {host}");
        }
    }

    #[test]
    fn a_host_at_a_path_may_be_a_listener_of_its_own_too() {
        assert_eq!(warned(&[("a", "unix:/run/a", "unix:/run/a")]), ["a:g/h0"]);
        assert!(warned(&[("a", "unix:/run/a", "unix:/run/b")]).is_empty());
        // Other ways to the same folder.
        assert_eq!(warned(&[("a", "unix:/a", "unix:/usr/../a")]), ["a:g/h0"]);
        let circle = [("a", "unix:/run/a", "lb:1"), ("b", "*:1", "unix:/run/a")];
        assert_eq!(warned(&circle), ["b:g/h0"]);
    }

    #[test]
    fn a_service_may_be_anothers_host_unless_that_leads_back() {
        let chain = [
            ("a", "*:1", "lb:2"),
            ("b", "*:2", "lb:3 other:9"),
            ("c", "*:3", "other:9"),
        ];
        assert!(warned(&chain).is_empty());
        let circle = [
            ("a", "*:1", "lb:2"),
            ("b", "*:2", "other:9 lb:3"),
            ("c", "*:3", "lb:1"),
        ];
        assert_eq!(warned(&circle), ["c:g/h0"]);
    }

    /// Warnings where the services have these listeners and hosts, and 127.0.0.0/8 is local.
    fn warned_of_listens(services: &[(&str, &str, &str)]) -> Vec<String> {
        let service = |(name, listens, host): &(&str, &str, &str)| {
            format!(
                "<service name='{name}'>{listens}<group name='g' enable='1'>\
                 <host name='h' ip='{host}'/></group></service>"
            )
        };
        let all: String = services.iter().map(service).collect();
        let config = config::read(format!("<config>{all}</config>").as_bytes());
        let local = |ip: IpAddr| ip.is_loopback();
        let warnings = warnings_where(&config.unwrap().config, &BTreeMap::new(), &local);
        let host = |warning: String| warning.split(' ').nth(2).unwrap_or_default().to_owned();
        warnings.into_iter().map(host).collect()
    }

    #[test]
    fn a_host_without_a_port_is_looked_for_at_all_ports_of_its_service() {
        // The first port leads nowhere back, the second one does.
        let services = |back: &'static str| {
            [
                ("a", "<listen ip='127.0.0.5:10-11'/>", "127.0.0.1"),
                ("b", "<listen ip='127.0.0.1:10'/>", "127.0.0.2:9"),
                ("c", "<listen ip='127.0.0.1:11'/>", back),
            ]
        };
        assert_eq!(warned_of_listens(&services("127.0.0.5:11")), ["c:g/h"]);
        assert!(warned_of_listens(&services("127.0.0.5:12")).is_empty());
    }

    #[test]
    fn where_a_header_says_the_port_a_host_without_one_is_looked_for_at_any() {
        let services = |listen: &'static str| {
            [
                ("a", listen, "127.0.0.6"),
                (
                    "b",
                    "<listen ip='127.0.0.6:13' proxy='require'/>",
                    "127.0.0.5:12",
                ),
            ]
        };
        let with_header = services("<listen ip='127.0.0.5:12' proxy='require'/>");
        assert_eq!(warned_of_listens(&with_header), ["b:g/h"]);
        let without = services("<listen ip='127.0.0.5:12'/>");
        assert!(warned_of_listens(&without).is_empty());
    }

    fn closing(hops: &[(usize, usize)]) -> Vec<usize> {
        let hops: Vec<Hop> = hops
            .iter()
            .map(|(from, to)| (*from, BTreeSet::from([*to])))
            .collect();
        let closing = find_closing_hops(&hops).into_iter();
        closing.map(|(index, _)| index).collect()
    }

    #[test]
    fn a_chain_is_no_loop_and_the_hop_that_closes_one_is_found() {
        assert!(closing(&[(0, 1), (1, 2), (0, 2)]).is_empty());
        assert_eq!(closing(&[(0, 0)]), [0]);
        assert_eq!(closing(&[(0, 1), (1, 0), (1, 2)]), [1]);
        assert_eq!(closing(&[(0, 1), (1, 2), (2, 0), (2, 1), (2, 3)]), [2, 3]);
        // Two hosts of a group that are the same listener.
        assert_eq!(closing(&[(0, 1), (0, 1), (1, 0), (1, 0)]), [2, 3]);
    }

    #[test]
    fn a_host_that_closes_a_loop_at_one_port_is_no_way_at_its_others() {
        let hop = |from, to: &[usize]| (from, to.iter().copied().collect());
        let hops = [hop(0, &[1]), hop(1, &[0, 2]), hop(2, &[1])];
        assert_eq!(find_closing_hops(&hops), [(1, 0)]);
    }

    /// Without the hops that are reported, services can be put in an order; with any of them
    /// they cannot.
    #[test]
    fn what_is_left_has_no_loop_and_no_hop_is_reported_in_vain() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (services, count) = (1 + random.below(6), random.below(12));
            let mut hop = || (random.below(services), random.below(services));
            let hops: Vec<(usize, usize)> = (0..count).map(|_| hop()).collect();
            let closing = closing(&hops);
            let kept = |index: &usize| !closing.contains(index);
            let left: Vec<_> = (0..count).filter(kept).map(|index| hops[index]).collect();
            assert!(has_order(&left, services), "seed {seed}: {hops:?}");
            for index in &closing {
                let mut more = left.clone();
                more.push(hops[*index]);
                assert!(!has_order(&more, services), "seed {seed}: {hops:?}");
            }
        }
    }

    /// Takes away services that lead nowhere, until none is left.
    fn has_order(hops: &[(usize, usize)], services: usize) -> bool {
        let mut left: BTreeSet<usize> = (0..services).collect();
        loop {
            let is_reachable =
                |it: &usize| hops.iter().any(|hop| hop.0 == *it && left.contains(&hop.1));
            let Some(last) = left.iter().copied().find(|it| !is_reachable(it)) else {
                return left.is_empty();
            };
            left.remove(&last);
        }
    }
}
