//! RUNNING

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::health::WatchedGroup;
use super::listeners::WantedListeners;
use crate::config::verb::{GroupKey, Verb};
use crate::config::{self, Config, Control};
use crate::relay::{Group, Plan, Service, ServiceStats};

/// A service's name and a group's.
type ServiceGroup = (String, String);

/// The groups and tallies behind what is served.
#[derive(Debug, Default)]
pub(super) struct Running {
    groups: BTreeMap<ServiceGroup, Arc<Group>>,
    service_stats: BTreeMap<String, Arc<ServiceStats>>,
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
            let stats = self
                .service_stats
                .get(&service.name)
                .cloned()
                .unwrap_or_default();
            next.service_stats.insert(service.name.clone(), stats);
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
    pub(super) fn with_config<'a>(
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
    pub(super) fn plan(&self, config: &Config, wanted: &WantedListeners) -> Plan {
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
            doors,
            services: config.services.len(),
            log_sessions: config.logging.connections,
            notes_origins: config.control.as_ref().is_some_and(Control::answers_amp),
        }
    }

    fn service(&self, service: &config::Service) -> Option<Service> {
        Some(Service {
            name: service.name.clone(),
            timeouts: service.timeouts.into(),
            group: Arc::clone(self.group(&service.name, &service.enabled)?),
            tally: Arc::clone(self.service_stats.get(&service.name)?),
        })
    }

    /// All groups, as recovery wants them.
    pub(super) fn watched_groups(&self, config: &Config) -> Vec<WatchedGroup> {
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
    pub(super) fn stats(&self, service: &str) -> Option<&ServiceStats> {
        self.service_stats.get(service).map(AsRef::as_ref)
    }
}

fn all_groups(config: &Config) -> impl Iterator<Item = (&config::Service, &config::Group)> {
    config
        .services
        .iter()
        .flat_map(|service| service.groups.iter().map(move |group| (service, group)))
}

/// The former names of hosts by their new ones, for each group that has any.
#[derive(Debug, Default)]
pub(crate) struct Renames {
    groups: BTreeMap<GroupKey, BTreeMap<String, String>>,
    none: BTreeMap<String, String>,
}

impl Renames {
    /// What `verbs`, one after the other, rename of `config`.
    pub(super) fn new(verbs: &[Verb], config: &Config) -> Renames {
        let mut renames = Renames::default();
        for verb in verbs {
            if let Verb::SetHost {
                host,
                rename: Some(new),
                ..
            } = verb
                && *new != host.name
            {
                let known = knows(config, &host.group, &host.name);
                renames.add(&host.group, &host.name, new, known);
            }
        }
        renames
    }

    /// Those of one group.
    pub(super) fn of(&self, service: &str, group: &str) -> &BTreeMap<String, String> {
        let key = GroupKey {
            service: service.to_owned(),
            group: group.to_owned(),
        };
        self.groups.get(&key).unwrap_or(&self.none)
    }

    /// `name` becomes `new`; `known` says whether there is a host of that name to
    /// begin with.
    fn add(&mut self, group: &GroupKey, name: &str, new: &str, known: bool) {
        let names = self.groups.entry(group.clone()).or_default();
        let former = names.remove(name).or_else(|| {
            // If the one of that name is called otherwise by now, this is a new one.
            let is_new = !known || names.values().any(|former| former == name);
            (!is_new).then(|| name.to_owned())
        });
        if let Some(former) = former {
            names.insert(new.to_owned(), former);
        }
        names.retain(|new, former| new != former);
    }
}

fn knows(config: &Config, key: &GroupKey, name: &str) -> bool {
    let mut services = config.services.iter();
    let service = services.find(|service| service.name == key.service);
    let group = service.and_then(|it| it.groups.iter().find(|group| group.name == key.group));
    group.is_some_and(|group| group.hosts.iter().any(|host| host.name == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use crate::config::verb::Command;

    /// What is renamed in the group of the hosts a, b and c, as `new<former`.
    fn renamed(lines: &[&str]) -> Vec<String> {
        let text = "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
                    <host name='a' ip='a:1'/><host name='b' ip='b:1'/><host name='c' ip='c:1'/>\
                    </group></service></config>";
        let config = read(text.as_bytes()).unwrap().config;
        let verb = |line: &&str| match line.parse() {
            Ok(Command::Change(verb)) => verb,
            other => panic!("{line}: {other:?}"),
        };
        let verbs: Vec<Verb> = lines.iter().map(verb).collect();
        let renames = Renames::new(&verbs, &config);
        let of_group = renames.of("s", "g").iter();
        of_group
            .map(|(new, former)| format!("{new}<{former}"))
            .collect()
    }

    fn rename(from: &str, to: &str) -> String {
        format!("setHost service=s group=g name={from} rename={to}")
    }

    #[test]
    fn names_are_followed_from_the_first_to_the_last() {
        let chain = [rename("a", "x"), rename("x", "y")];
        assert_eq!(renamed(&chain.each_ref().map(String::as_str)), ["y<a"]);
        let swap = [rename("a", "x"), rename("b", "a"), rename("x", "b")];
        assert_eq!(
            renamed(&swap.each_ref().map(String::as_str)),
            ["a<b", "b<a"]
        );
        let there_and_back = [rename("a", "x"), rename("x", "a")];
        assert_eq!(
            renamed(&there_and_back.each_ref().map(String::as_str)),
            [""; 0]
        );
    }

    #[test]
    fn a_new_host_by_an_old_name_is_nobody_renamed() {
        let lines = [
            rename("a", "x"),
            "addHost service=s group=g name=a ip=n:1".to_owned(),
            rename("a", "y"),
        ];
        assert_eq!(renamed(&lines.each_ref().map(String::as_str)), ["x<a"]);
    }

    #[test]
    fn what_is_said_of_a_host_besides_renames_nobody() {
        assert_eq!(renamed(&[&rename("a", "a")]), [""; 0]);
        assert_eq!(
            renamed(&["setWeight service=s group=g name=a weight=2"]),
            [""; 0]
        );
    }
}
