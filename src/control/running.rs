//! What lives on from one configuration to the next: groups and tallies.
//!
//! Groups are known by service and name, services by name; a plan for the
//! workers is made of them. Nothing here talks to a worker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::listeners::Wanted;
use super::recovery::WatchedGroup;
use crate::config::{self, Config, Control};
use crate::relay::{Group, Plan, Service, ServiceStats};

/// A service's name and a group's.
type GroupKey = (String, String);

/// The groups and tallies behind what is served.
#[derive(Debug, Default)]
pub(super) struct Running {
    groups: BTreeMap<GroupKey, Arc<Group>>,
    tallies: BTreeMap<String, Arc<ServiceStats>>,
}

impl Running {
    /// What there will be under `config`: what is known is kept, and only groups that
    /// are new are made, by `new_group`. Nothing has changed yet for those that are kept.
    pub(super) fn next(
        &self,
        config: &Config,
        new_group: impl Fn(&config::Service, &config::Group) -> Group,
    ) -> Running {
        let mut next = Running::default();
        for service in &config.services {
            let tally = self.tallies.get(&service.name).cloned().unwrap_or_default();
            next.tallies.insert(service.name.clone(), tally);
            for group in &service.groups {
                let key = (service.name.clone(), group.name.clone());
                let kept = self
                    .groups
                    .get(&key)
                    .cloned()
                    .unwrap_or_else(|| Arc::new(new_group(service, group)));
                next.groups.insert(key, kept);
            }
        }
        next
    }

    /// The groups, and what `config` says of them: of those that are `enabled` there, or
    /// of the others.
    pub(super) fn described<'a>(
        &'a self,
        config: &'a Config,
        enabled: bool,
    ) -> impl Iterator<Item = (&'a Group, &'a config::Group)> {
        all_groups(config)
            .filter(move |(service, group)| (service.enabled == group.name) == enabled)
            .filter_map(|(service, group)| {
                let running = self.group(&service.name, &group.name)?;
                Some((running.as_ref(), group))
            })
    }

    /// What the workers are to serve.
    pub(super) fn plan(&self, config: &Config, wanted: &Wanted) -> Plan {
        let services: HashMap<&str, Arc<Service>> = config
            .services
            .iter()
            .filter_map(|service| Some((service.name.as_str(), Arc::new(self.service(service)?))))
            .collect();
        let doors = wanted
            .iter()
            .filter_map(|(key, door)| {
                Some((
                    key.clone(),
                    Arc::clone(services.get(door.service.as_str())?),
                ))
            })
            .collect();
        Plan {
            routes: doors,
            services: config.services.len(),
            log_sessions: config.logging.connections,
            has_client_lookup: config.control.as_ref().is_some_and(Control::answers_amp),
        }
    }

    fn service(&self, service: &config::Service) -> Option<Service> {
        Some(Service {
            name: service.name.clone(),
            timeouts: service.timeouts.into(),
            group: Arc::clone(self.group(&service.name, &service.enabled)?),
            stats: Arc::clone(self.tallies.get(&service.name)?),
        })
    }

    /// All groups, as recovery wants them.
    pub(super) fn watched(&self, config: &Config) -> Vec<WatchedGroup> {
        all_groups(config)
            .filter_map(|(service, group)| {
                Some(WatchedGroup {
                    group: Arc::clone(self.group(&service.name, &group.name)?),
                    enabled: service.enabled == group.name,
                    timeouts: service.timeouts.into(),
                })
            })
            .collect()
    }

    /// The group `name` of `service`.
    pub(super) fn group(&self, service: &str, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(&(service.to_owned(), name.to_owned()))
    }

    /// Every group.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// What `service` has seen.
    pub(super) fn tally(&self, service: &str) -> Option<&ServiceStats> {
        self.tallies.get(service).map(AsRef::as_ref)
    }
}

fn all_groups(config: &Config) -> impl Iterator<Item = (&config::Service, &config::Group)> {
    config
        .services
        .iter()
        .flat_map(|service| service.groups.iter().map(move |group| (service, group)))
}
