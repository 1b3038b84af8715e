//! Which hosts of the next configuration had other names in the present one: what
//! verbs know, and configurations do not.
//!
//! Pure. What lives on under the new names is the tracker's business.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::config::verb::{GroupKey, Verb};

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
