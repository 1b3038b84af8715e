//! Passes addresses that the resolver found to host pools, and logs names that do not resolve.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use super::resolver::Known;
use super::routing_loops::{LocalService, find_routing_loops};
use crate::balance::{Failure, HealthChange, HostId, HostPool, HostStatus};
use crate::config::Endpoint;
use crate::os::addresses::LocalAddresses;
use crate::relay::{Clock, Group};
use crate::sync::lock;

/// The groups that use names of hosts, and which names are unresolved.
pub(super) struct Resolutions {
    clock: Clock,
    groups: Mutex<Vec<Arc<Group>>>,
    /// Names that do not resolve. Each is logged once.
    unresolved: Mutex<HashSet<String>>,
    loops: Mutex<RoutingLoops>,
}

/// Services between which sessions may go in loops.
#[derive(Default)]
struct RoutingLoops {
    services: Vec<LocalService>,
    /// Whether any host closes a circle.
    found: bool,
}

impl Resolutions {
    pub(super) fn new(clock: Clock) -> Resolutions {
        Resolutions {
            clock,
            groups: Mutex::default(),
            unresolved: Mutex::default(),
            loops: Mutex::default(),
        }
    }

    /// Changes a group. Hosts without an address get theirs from `known` under the same lock.
    /// Otherwise a pick in between would find no host, if all are new and by name.
    pub(super) fn change_group(
        &self,
        group: &Group,
        known: &Known,
        change: impl FnOnce(&mut HostPool, u64),
    ) {
        self.update_pool(group, |pool, now_ms| {
            change(pool, now_ms);
            resolve_unresolved(pool, known, now_ms)
        });
    }

    /// Replaces the groups and the names that they use. Hosts without an address get theirs from
    /// `known`.
    pub(super) fn set_groups(
        &self,
        groups: impl Iterator<Item = Arc<Group>>,
        names: &BTreeSet<String>,
        known: impl FnOnce() -> Known,
    ) {
        let groups: Vec<_> = groups.collect();
        lock(&self.groups).clone_from(&groups);
        lock(&self.unresolved).retain(|name| names.contains(name));
        // Not before: until the groups are replaced, an answer goes to the old ones.
        let known = known();
        for group in groups {
            self.update_pool(&group, |pool, now_ms| {
                resolve_unresolved(pool, &known, now_ms)
            });
        }
    }

    /// Applies a fresh result for `name`.
    pub(super) fn apply_resolution(&self, name: &str, resolution: Result<&[IpAddr], &str>) {
        let groups = lock(&self.groups).clone();
        for group in groups {
            self.update_pool(&group, |pool, now_ms| {
                pool.name_resolved(name, resolution, now_ms)
            });
        }
        self.log(name, resolution);
        self.review_routing_loops(resolution.unwrap_or_default());
    }

    /// Looks for routing loops again, if hosts at these new addresses may have made or ended one.
    pub(super) fn review_routing_loops(&self, new: &[IpAddr]) {
        let local = LocalAddresses::default();
        let mut loops = lock(&self.loops);
        if loops.found || new.iter().any(|ip| local.contains(*ip)) {
            self.mark_routing_loops(&mut loops);
        }
    }

    /// Replaces the services between which sessions go.
    pub(super) fn set_services(&self, services: Vec<LocalService>) {
        let mut loops = lock(&self.loops);
        loops.services = services;
        self.mark_routing_loops(&mut loops);
    }

    /// Marks the hosts that lead in loops. One caller at a time, so that the last one knows the
    /// latest addresses.
    fn mark_routing_loops(&self, loops: &mut RoutingLoops) {
        let mut found = find_routing_loops(&loops.services);
        loops.found = !found.is_empty();
        for group in lock(&self.groups).clone() {
            let key = Arc::as_ptr(&group);
            let hosts = found.remove(&key).unwrap_or_default();
            self.update_pool(&group, |pool, now_ms| pool.mark_circular(&hosts, now_ms));
        }
    }

    /// Updates a group's pool under one lock, then logs the changes of health.
    fn update_pool(
        &self,
        group: &Group,
        apply_resolution: impl FnOnce(&mut HostPool, u64) -> Vec<(HostId, HealthChange)>,
    ) {
        let now_ms = self.clock.now_ms();
        let changes: Vec<_> = {
            let mut pool = group.pool();
            let changes = apply_resolution(&mut pool, now_ms);
            let named = |(id, change)| (id, pool.host_name(id), change);
            changes.into_iter().map(named).collect()
        };
        for (id, host, change) in changes {
            // A name is logged once, not for each of its hosts.
            if let Some(host) = host
                && !matches!(change, HealthChange::Down(Failure::Unresolved(_)))
            {
                group.log_health_change(id, &host, &change, now_ms);
            }
        }
    }

    fn log(&self, name: &str, resolution: Result<&[IpAddr], &str>) {
        let mut unresolved = lock(&self.unresolved);
        let is_new = match resolution {
            Ok(_) => unresolved.remove(name),
            Err(_) => unresolved.insert(name.to_owned()),
        };
        drop(unresolved);
        match resolution {
            Ok(_) if is_new => log::info!("the name {name} resolves now"),
            Err(reason) if is_new => log::warn!(
                "the name {name} does not resolve: {}; hosts that had an address keep it, \
                 the others count as failed until it does",
                reason.escape_debug()
            ),
            _ => {}
        }
    }
}

fn resolve_unresolved(
    pool: &mut HostPool,
    known: &Known,
    now_ms: u64,
) -> Vec<(HostId, HealthChange)> {
    let mut changes = Vec::new();
    for name in unresolved_names(pool) {
        if let Some(resolution) = known.get(&name) {
            let resolution = resolution.as_deref().map_err(String::as_str);
            changes.extend(pool.name_resolved(&name, resolution, now_ms));
        }
    }
    changes
}

/// Names of hosts that have no address yet.
fn unresolved_names(pool: &HostPool) -> BTreeSet<String> {
    let without = pool.hosts().filter(|host| host.address.is_none());
    let name = |host: HostStatus<'_>| match host.endpoint {
        Endpoint::Name { host, .. } => Some(host.clone()),
        Endpoint::Zoned { zone, .. } => Some(zone.clone()),
        Endpoint::Address(_) | Endpoint::Unix(_) => None,
    };
    without.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;

    /// A group with this one host.
    fn group(host: &str) -> crate::config::Group {
        let text = format!(
            "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
             <host name='a' ip='{host}'/></group></service></config>"
        );
        let mut config = read(text.as_bytes()).unwrap().config;
        config.services.remove(0).groups.remove(0)
    }

    #[test]
    fn a_host_that_is_by_name_now_is_never_seen_without_an_address_that_is_known() {
        let answers = Resolutions::new(Clock::start());
        let running = Group::new("s", "g", HostPool::new(&group("10.0.0.1:80"), 1, 0));
        let known = Known::from([("name".to_owned(), Ok(vec![IpAddr::from([10, 0, 0, 2])]))]);
        answers.change_group(&running, &known, |pool, now_ms| {
            pool.configure(&group("name:80"), now_ms);
        });
        let pool = running.pool();
        let addresses: Vec<_> = pool
            .hosts()
            .map(|it| it.address?.socket_address())
            .collect();
        assert_eq!(addresses, [Some(([10, 0, 0, 2], 80).into())]);
    }
}
