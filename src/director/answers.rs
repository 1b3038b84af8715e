//! Passes on what the resolver found out: to the trackers, and to the log.
//!
//! How names are resolved is `names`' business.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::names::Answer;
use crate::balance::{Change, Failure, HostStatus};
use crate::config::Endpoint;
use crate::relay::{Clock, Group, announce};

/// Who wants to know, and what was said.
pub(super) struct Answers {
    clock: Clock,
    groups: Mutex<Vec<Arc<Group>>>,
    /// Names that do not resolve: each is complained of once.
    unresolved: Mutex<HashSet<String>>,
}

impl Answers {
    pub(super) fn new(clock: Clock) -> Answers {
        Answers {
            clock,
            groups: Mutex::default(),
            unresolved: Mutex::default(),
        }
    }

    /// These groups want to know of these names from now on. What is known
    /// already, as `known` has it, is passed on to hosts that have no address.
    pub(super) fn concern(
        &self,
        groups: impl Iterator<Item = Arc<Group>>,
        names: &BTreeSet<String>,
        known: impl Fn(&str) -> Option<Answer>,
    ) {
        let groups: Vec<_> = groups.collect();
        lock(&self.groups).clone_from(&groups);
        lock(&self.unresolved).retain(|name| names.contains(name));
        for group in groups {
            let homeless = homeless(&group);
            for (name, answer) in homeless
                .iter()
                .filter_map(|name| Some((name, known(name)?)))
            {
                self.pass_on(&group, name, answer.as_deref().map_err(String::as_str));
            }
        }
    }

    /// What resolving `name` gave just now.
    pub(super) fn tell(&self, name: &str, answer: Result<&[IpAddr], &str>) {
        let groups = lock(&self.groups).clone();
        for group in groups {
            self.pass_on(&group, name, answer);
        }
        self.log(name, answer);
    }

    fn pass_on(&self, group: &Group, name: &str, answer: Result<&[IpAddr], &str>) {
        let now_ms = self.clock.now_ms();
        let changes: Vec<_> = {
            let mut tracker = group.tracker();
            let changes = tracker.resolved(name, answer, now_ms);
            let named = |(id, change)| (id, tracker.host_name(id), change);
            changes.into_iter().map(named).collect()
        };
        for (id, host, change) in changes {
            // A name is complained of once, not for each of its hosts.
            if let Some(host) = host
                && !matches!(change, Change::Down(Failure::Unresolved(_)))
            {
                announce(group, id, &host, &change, now_ms);
            }
        }
    }

    fn log(&self, name: &str, answer: Result<&[IpAddr], &str>) {
        let mut unresolved = lock(&self.unresolved);
        let news = match answer {
            Ok(_) => unresolved.remove(name),
            Err(_) => unresolved.insert(name.to_owned()),
        };
        drop(unresolved);
        match answer {
            Ok(_) if news => log::info!("the name {name} resolves now"),
            Err(reason) if news => log::warn!(
                "the name {name} does not resolve: {}; hosts that had an address keep it, \
                 the others are down until it does",
                reason.escape_debug()
            ),
            _ => {}
        }
    }
}

/// The names of hosts that have no address yet.
fn homeless(group: &Group) -> BTreeSet<String> {
    let tracker = group.tracker();
    let without = tracker.hosts().filter(|host| host.address.is_none());
    let name = |host: HostStatus<'_>| match host.endpoint {
        Endpoint::Name { host, .. } => Some(host.clone()),
        Endpoint::Address(_) => None,
    };
    without.filter_map(name).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
