//! A part of the status: of a service, of groups or hosts of a name, or what is wrong.

use super::{GroupStatus, HostStatus, ServiceStatus, Status};
use crate::config::verb::StatusFilter;

impl Status {
    /// The part that a filter selects: nothing if there is nothing of such a name.
    #[must_use]
    pub fn selected(mut self, filter: &StatusFilter) -> Status {
        let is_named = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == name)
        };
        self.services
            .retain(|it| is_named(&filter.service, &it.name));
        for service in &mut self.services {
            service
                .groups
                .retain(|it| is_named(&filter.group, &it.name));
            for group in &mut service.groups {
                // The host that stands for members means all of them.
                group.hosts.retain(|it| {
                    let template = it.member_of.as_ref().unwrap_or(&it.name);
                    [template, &it.name]
                        .into_iter()
                        .any(|name| is_named(&filter.host, name))
                });
                group.each.retain(|it| is_named(&filter.host, &it.name));
            }
        }
        if filter.host.is_some() {
            self.drop_empty(|group| group.hosts.is_empty() && group.each.is_empty());
        } else if filter.group.is_some() {
            self.drop_empty(|_| false);
        }
        if filter.problems {
            self.keep_problems();
        }
        self
    }

    /// Drops such groups, and services without groups.
    fn drop_empty(&mut self, is_empty: impl Fn(&GroupStatus) -> bool) {
        for service in &mut self.services {
            service.groups.retain(|group| !is_empty(group));
        }
        self.services.retain(|service| !service.groups.is_empty());
    }

    /// Keeps what is wrong.
    fn keep_problems(&mut self) {
        for service in &mut self.services {
            let mut groups = std::mem::take(&mut service.groups);
            groups.retain_mut(|group| {
                let is_unserved = is_unserved(service, group);
                group.hosts.retain(HostStatus::has_problem);
                is_unserved || !group.hosts.is_empty()
            });
            service.groups = groups;
        }
        self.services.retain(|service| !service.groups.is_empty());
        self.only_problems = true;
    }
}

/// Whether a group is to get sessions, and has no host for them.
fn is_unserved(service: &ServiceStatus, group: &GroupStatus) -> bool {
    service.serves(&group.name) && !group.hosts.iter().any(HostStatus::is_usable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostState;

    fn named(name: &str, state: HostState) -> HostStatus {
        HostStatus {
            health: crate::balance::Health::Healthy,
            state,
            ..HostStatus::example(name)
        }
    }

    fn status() -> Status {
        let (up, drain) = (HostState::Up, HostState::Drain);
        let suspect = HostStatus {
            suspect: true,
            ..named("s", up)
        };
        let member = HostStatus {
            member_of: Some("name".to_owned()),
            ..named("name@10.0.0.9", up)
        };
        Status {
            services: vec![
                ServiceStatus::example(
                    "web",
                    vec![
                        GroupStatus::example(
                            "main",
                            vec![named("a", up), named("b", drain), suspect],
                        ),
                        GroupStatus::example("spare", vec![named("a", up), member]),
                        GroupStatus::example("empty", Vec::new()),
                    ],
                ),
                ServiceStatus::example("mail", vec![GroupStatus::example("mx", Vec::new())]),
                ServiceStatus::example(
                    "fine",
                    vec![GroupStatus::example("main", vec![named("c", up)])],
                ),
            ],
            ..Status::default()
        }
    }

    /// What is selected, as a line.
    fn selected(line: &str) -> String {
        use crate::config::verb::{Command, Question};
        let Ok(Command::Question(Question::Status(filter))) = line.parse() else {
            panic!("{line}");
        };
        let status = status().selected(&filter);
        let groups = status.services.iter().flat_map(|service| {
            let of = |group: &GroupStatus| {
                let hosts = group.hosts.iter().map(|host| host.name.as_str());
                let hosts = hosts.collect::<Vec<_>>().join(",");
                format!("{}:{}/{hosts}", service.name, group.name)
            };
            service.groups.iter().map(of).collect::<Vec<_>>()
        });
        groups.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_part_is_selected_by_names() {
        for (line, shown) in [
            ("status fine", "fine:main/c"),
            ("status web:main", "web:main/a,b,s"),
            ("status web:main/b", "web:main/b"),
            ("status group=main", "web:main/a,b,s fine:main/c"),
            ("status host=a", "web:main/a web:spare/a"),
            ("status host=name", "web:spare/name@10.0.0.9"),
            ("status none", ""),
            ("status web:main/none", ""),
        ] {
            assert_eq!(selected(line), shown, "{line}");
        }
    }

    #[test]
    fn problems_are_hosts_that_nobody_took_out_and_groups_without_hosts() {
        assert_eq!(selected("status problems"), "web:main/s mail:mx/");
        assert_eq!(selected("status problems fine"), "");
    }
}
