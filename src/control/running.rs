//! Groups and counters that live on from one configuration to the next, and renamed hosts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::recovery::WatchedGroup;
use super::wanted::WantedListeners;
use crate::config::verb::{GroupKey, Verb};
use crate::config::{self, Config, Control, RouteTable};
use crate::relay::{Group, ListenerPlan, Plan, Routes, Service, ServiceStats, SessionLog};

/// Names of a service and a group.
type ServiceGroup = (String, String);

/// Groups and service counters of the configuration in force.
#[derive(Debug, Default)]
pub(super) struct Running {
    groups: BTreeMap<ServiceGroup, Arc<Group>>,
    service_stats: BTreeMap<String, Arc<ServiceStats>>,
}

impl Running {
    /// The groups under `config`: known ones are kept unchanged, new ones are made by `new_group`.
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

    /// Groups with their part of `config`: those that get new sessions there, or the others.
    pub(super) fn with_config<'a>(
        &'a self,
        config: &'a Config,
        serving: bool,
    ) -> impl Iterator<Item = (&'a Arc<Group>, &'a config::Group)> {
        all_groups(config)
            .filter(move |(_, _, serves)| *serves == serving)
            .filter_map(|(service, group, _)| {
                let running = self.group(&service.name, &group.name)?;
                Some((running, group))
            })
    }

    /// The plan for the workers of a txlb that is called `name`.
    pub(super) fn plan(&self, config: &Config, wanted: &WantedListeners, name: &str) -> Plan {
        let services: HashMap<&str, Arc<Service>> = config
            .services
            .iter()
            .filter_map(|service| Some((service.name.as_str(), Arc::new(self.service(service)?))))
            .collect();
        let listeners = wanted.iter().filter_map(|(key, listener)| {
            let service = services.get(listener.service.as_str())?;
            let plan = ListenerPlan {
                service: Arc::clone(service),
                proxy_from: listener.proxy_from.clone(),
            };
            Some((key.clone(), plan))
        });
        Plan {
            listeners: listeners.collect(),
            services: config.services.len(),
            session_log: config.logging.connections.then(|| SessionLog {
                format: config.logging.format.clone(),
                instance: name.to_owned(),
            }),
            has_client_lookup: config.control.as_ref().is_some_and(Control::answers_amp),
        }
    }

    fn service(&self, service: &config::Service) -> Option<Service> {
        Some(Service {
            name: service.name.clone(),
            timeouts: service.timeouts.into(),
            first_bytes_ms: u64::try_from(service.first_bytes_timeout.as_millis())
                .unwrap_or(u64::MAX),
            log: service.log,
            routes: self.routes(service),
            group: Arc::clone(self.group(&service.name, &service.enabled)?),
            stats: Arc::clone(self.service_stats.get(&service.name)?),
        })
    }

    /// Tells the groups at which port hosts without one are checked: that of their service's first
    /// listener of TCP. `bound` finds the port that the system chose.
    pub(super) fn set_check_ports(&self, config: &Config, bound: impl Fn(&str) -> Option<u16>) {
        for service in &config.services {
            let mut of_tcp = service
                .listens
                .iter()
                .filter(|it| it.address.unix_path().is_none());
            let first = of_tcp.next().map(|it| it.address.port);
            let port = first.filter(|port| *port != 0);
            let port = port.or_else(|| bound(&service.name)).unwrap_or(0);
            for group in &service.groups {
                if let Some(group) = self.group(&service.name, &group.name) {
                    group.set_check_port(port);
                }
            }
        }
    }

    /// The groups of the service's routes; `None` if it has none.
    fn routes(&self, service: &config::Service) -> Option<Routes> {
        let routes = &service.routes;
        let groups = routes
            .iter()
            .filter_map(|route| self.group(&service.name, &route.group));
        let groups: Vec<_> = groups.cloned().collect();
        // Reading and verbs have seen to it that each group exists.
        let has_all = !routes.is_empty() && groups.len() == routes.len();
        has_all.then(|| Routes {
            table: RouteTable::new(routes),
            groups,
        })
    }

    /// All groups, as recovery needs them.
    pub(super) fn watched_groups(&self, config: &Config) -> Vec<WatchedGroup> {
        all_groups(config)
            .filter_map(|(service, group, serves)| {
                Some(WatchedGroup {
                    group: Arc::clone(self.group(&service.name, &group.name)?),
                    serves,
                    timeouts: service.timeouts.into(),
                })
            })
            .collect()
    }

    /// The group `name` of `service`.
    pub(super) fn group(&self, service: &str, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(&(service.to_owned(), name.to_owned()))
    }

    /// All groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// Counters of a service.
    pub(super) fn stats(&self, service: &str) -> Option<&ServiceStats> {
        self.service_stats.get(service).map(AsRef::as_ref)
    }
}

/// All groups with their services, and whether they get new sessions.
fn all_groups(config: &Config) -> impl Iterator<Item = (&config::Service, &config::Group, bool)> {
    config.services.iter().flat_map(|service| {
        let serving = service.serving_groups();
        let groups = service.groups.iter();
        groups.map(move |group| (service, group, serving.contains(group.name.as_str())))
    })
}

/// Former names of hosts by their new names, for each group with renamed hosts. Only verbs know
/// this: two configurations do not.
#[derive(Debug, Default)]
pub(crate) struct Renames {
    groups: BTreeMap<GroupKey, BTreeMap<String, String>>,
    none: BTreeMap<String, String>,
}

impl Renames {
    /// The hosts of `config` that `verbs` rename, in order.
    pub(super) fn new(verbs: &[Verb], config: &Config) -> Renames {
        let mut renames = Renames::default();
        for verb in verbs {
            if let Some((host, new)) = verb.renamed_host() {
                let group = host.group.find(config);
                let known = group.is_some_and(|it| it.hosts.iter().any(|it| it.name == host.name));
                renames.add(&host.group, &host.name, new, known);
            }
        }
        renames
    }

    /// Renamed hosts of one group.
    pub(super) fn of(&self, service: &str, group: &str) -> &BTreeMap<String, String> {
        let key = GroupKey {
            service: service.to_owned(),
            group: group.to_owned(),
        };
        self.groups.get(&key).unwrap_or(&self.none)
    }

    /// Renames `name` to `new`. `known` says whether `config` has a host `name`.
    fn add(&mut self, group: &GroupKey, name: &str, new: &str, known: bool) {
        let names = self.groups.entry(group.clone()).or_default();
        let former = names.remove(name).or_else(|| {
            // Its host has another name by now: this one is new.
            let is_new = !known || names.values().any(|former| former == name);
            (!is_new).then(|| name.to_owned())
        });
        if let Some(former) = former {
            names.insert(new.to_owned(), former);
        }
        names.retain(|new, former| new != former);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::HostPool;
    use crate::config::read;
    use crate::config::verb::Command;

    /// The renames in a group with hosts a, b and c, as `new<former`.
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

    #[test]
    fn groups_with_a_route_get_sessions_as_the_enabled_one_does() {
        let text = "<config><service name='s'><listen ip='1'/><route alpn='h2' group='routed'/>\
                    <group name='off'/><group name='on' enable='1'/><group name='routed'/>\
                    </service></config>";
        let config = read(text.as_bytes()).unwrap().config;
        let running = Running::default().next(&config, |service, group| {
            Group::new(&service.name, &group.name, HostPool::new(group, 1, 0))
        });
        let names = |serving| -> Vec<_> {
            let groups = running.with_config(&config, serving);
            groups.map(|(group, _)| group.name.as_str()).collect()
        };
        assert_eq!(names(true), ["on", "routed"]);
        assert_eq!(names(false), ["off"]);
        let watched = running.watched_groups(&config);
        let serves: Vec<_> = watched.iter().map(|it| it.serves).collect();
        assert_eq!(serves, [false, true, true]);
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
