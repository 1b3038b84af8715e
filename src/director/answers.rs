//! Passes on what the resolver found out: to the trackers, and to the log.
//!
//! How names are resolved is `names`' business.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::balance::{Change, Failure};
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

    /// These groups want to know from now on.
    pub(super) fn concern(&self, groups: impl Iterator<Item = Arc<Group>>) {
        *lock(&self.groups) = groups.collect();
    }

    /// What resolving `name` gave.
    pub(super) fn tell(&self, name: &str, answer: Result<&[IpAddr], &str>) {
        let now_ms = self.clock.now_ms();
        let groups = lock(&self.groups).clone();
        for group in groups {
            let changes: Vec<_> = {
                let mut tracker = group.tracker();
                let changes = tracker.resolved(name, answer, now_ms);
                let named = changes
                    .into_iter()
                    .map(|(id, change)| (id, tracker.host_name(id), change));
                named.collect()
            };
            for (id, host, change) in changes {
                // A name is complained of once, not for each of its hosts.
                if let Some(host) = host
                    && !matches!(change, Change::Down(Failure::Unresolved(_)))
                {
                    announce(&group, id, &host, &change, now_ms);
                }
            }
        }
        self.log(name, answer);
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
