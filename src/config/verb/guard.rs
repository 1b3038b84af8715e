//! Guard of the groups that get new sessions, the enabled ones and those of routes: a change that
//! leaves one without a usable host wants `force=true`.
//!
//! It compares the configuration after all verbs with the one before. So it holds for every verb
//! alike, and of a batch the result counts, not the steps. A file may say anything: `-t` warns.

use std::collections::{HashMap, HashSet};

use super::groups::DEL_GROUP;
use super::{CommandError, GroupKey, Verb};
use crate::config::{Config, Endpoint, Group, Host, Initial, Service};

/// Addresses of hosts of a group that get no sessions for what is seen of them: they have failed,
/// or their name has no address yet. A configuration alone does not tell.
pub(crate) type Unusable<'a> = &'a dyn Fn(&GroupKey) -> HashSet<Endpoint>;

/// A group that a change leaves without a usable host.
pub(super) struct Fault {
    group: GroupKey,
    /// Whether it is the enabled one of its service; if not, it has a route.
    is_enabled: bool,
    error: CommandError,
}

impl Fault {
    /// Whether the verb may have led to it: it takes `force`.
    pub(super) fn may_be_of(&self, verb: &Verb) -> bool {
        let Verb(values) = verb;
        let is_there = values.text("group") == Some(&self.group.group);
        // Of an enabled group that is removed, another one takes the place.
        let removes = self.is_enabled && *values.schema == DEL_GROUP;
        values.schema.key("force").is_some()
            && values.text("service") == Some(&self.group.service)
            && (is_there || removes)
    }
}

/// Refuses `next` if a verb of `verbs` must be forced and none is.
///
/// # Errors
/// The index of the last such verb, and what would happen.
pub(super) fn check(
    verbs: &[Verb],
    before: &Config,
    next: &Config,
    unusable: Unusable<'_>,
) -> Result<(), (usize, CommandError)> {
    for fault in faults(before, next, unusable) {
        let of_fault = |verb: &&Verb| fault.may_be_of(verb);
        let is_forced = verbs.iter().filter(of_fault).any(|it| it.0.is_forced());
        // Without such a verb, the service was removed and added again.
        let last = verbs.iter().rposition(|verb| fault.may_be_of(verb));
        if let (Some(index), false) = (last, is_forced) {
            return Err((index, fault.error));
        }
    }
    Ok(())
}

/// The groups with new sessions that `next` leaves without a usable host. A group that had none is
/// none of them, unless it is enabled or gets its first route now. A new service is built up by
/// several changes.
pub(super) fn faults(before: &Config, next: &Config, unusable: Unusable<'_>) -> Vec<Fault> {
    let former = before.services.iter().map(|it| (it.name.as_str(), it));
    let former: HashMap<&str, &Service> = former.collect();
    let changed = next.services.iter().filter_map(|service| {
        let former = former.get(service.name.as_str())?;
        (*former != service).then_some((*former, service))
    });
    changed
        .flat_map(|(former, service)| service_faults(former, service, unusable))
        .collect()
}

fn service_faults(former: &Service, service: &Service, unusable: Unusable<'_>) -> Vec<Fault> {
    let (served, serving) = (former.serving_groups(), service.serving_groups());
    let former_groups = former.groups.iter().map(|it| (it.name.as_str(), it));
    let former_groups: HashMap<&str, &Group> = former_groups.collect();
    let groups = service.groups.iter();
    let groups = groups.filter(|group| serving.contains(group.name.as_str()));
    let faults = groups.filter_map(|group| {
        let name = group.name.as_str();
        let was = former_groups.get(name).copied();
        let is_enabled = service.enabled == name;
        let is_new = !served.contains(name) || (is_enabled && former.enabled != name);
        let group = Serving {
            key: GroupKey {
                service: service.name.clone(),
                group: name.to_owned(),
            },
            was,
            is: group,
            is_enabled,
        };
        group.fault(is_new, unusable)
    });
    faults.collect()
}

/// A group that gets new sessions.
struct Serving<'a> {
    key: GroupKey,
    /// The group before the change.
    was: Option<&'a Group>,
    is: &'a Group,
    is_enabled: bool,
}

impl Serving<'_> {
    /// `is_new`: the change made it a group with new sessions.
    fn fault(self, is_new: bool, unusable: Unusable<'_>) -> Option<Fault> {
        // `unusable` waits for the group's lock, and a worker may hold it for long.
        // Test: a_worker_that_hangs_refuses_changes.
        if !is_new && self.was.is_some_and(|was| was.hosts == self.is.hosts) {
            return None;
        }
        let unusable = unusable(&self.key);
        if self.has_usable(self.is, &unusable) {
            return None;
        }
        let had_hosts = self.was.is_some_and(|was| !was.hosts.is_empty());
        let loses_all = !is_new && self.is.hosts.is_empty() && had_hosts;
        let had_usable = || self.was.is_some_and(|was| self.has_usable(was, &unusable));
        if !is_new && !loses_all && !had_usable() {
            return None;
        }
        let group = self.key.clone();
        let error = match self.is_enabled {
            false => CommandError::UnusableRoute { group },
            true if is_new => CommandError::UnusableGroup { group },
            true if loses_all => CommandError::LastHost { group },
            true => CommandError::LastUsableHost { group },
        };
        Some(Fault {
            group: self.key,
            is_enabled: self.is_enabled,
            error,
        })
    }

    /// Whether `group`, which is this one now or before, has a usable host.
    fn has_usable(&self, group: &Group, unusable: &HashSet<Endpoint>) -> bool {
        let mut hosts = group.hosts.iter();
        hosts.any(|host| {
            host.in_service() && !unusable.contains(&host.address) && !self.waits(group, host)
        })
    }

    /// Whether a host is new, or elsewhere, in a group whose new hosts wait for a first check.
    fn waits(&self, group: &Group, host: &Host) -> bool {
        let mut known = self.was.into_iter().flat_map(|group| &group.hosts);
        group.initial == Initial::Down && !known.any(|it| it.address == host.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use crate::config::verb::{Command, apply_all, apply_all_seen};

    const MAIN: &str = "group \"main\" of service \"web\"";

    /// Two groups: the enabled one has the hosts `a` and `b`, the other none.
    fn config() -> Config {
        let text = "<config><service name='web'><listen ip='1'/>\
                    <group name='main' enable='1'><host name='a' ip='a:1'/>\
                    <host name='b' ip='b:1'/></group><group name='spare'/></service></config>";
        read(text.as_bytes()).unwrap().config
    }

    fn verbs(lines: &[&str]) -> Vec<Verb> {
        let parsed = lines.iter().map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let group = match rest.contains("group=") {
                true => "",
                false => "group=main",
            };
            let line = format!("{name} service=web {group} {rest}");
            let command: Command = line
                .parse()
                .unwrap_or_else(|error| panic!("{line}: {error}"));
            command.into_change().unwrap()
        });
        parsed.collect()
    }

    /// Applies the lines to a configuration that `prepared` has led to.
    fn applied(prepared: &[&str], lines: &[&str]) -> Result<(), (usize, String)> {
        let config = apply_all(&verbs(prepared), &config()).unwrap();
        apply_all(&verbs(lines), &config)
            .map(drop)
            .map_err(|(index, error)| (index, error.to_string()))
    }

    #[test]
    fn the_last_usable_host_of_the_enabled_group_stays_unless_forced() {
        for line in [
            "delHost name=a",
            "delHost ip=a:1",
            "drainHost name=a",
            "hostAdminDown name=a",
            "setWeight name=a weight=0",
            "setHost name=a weight=0",
            "setHost name=a weight=0 rename=c",
        ] {
            let (index, error) = applied(&["drainHost name=b"], &[line]).unwrap_err();
            let expected = format!(
                "{MAIN} is enabled and would have no usable host, so new sessions would fail: \
                 bring another host up first, or insist with force=true"
            );
            assert_eq!((index, error), (0, expected), "{line}");
            let forced = format!("{line} force=true");
            applied(&["drainHost name=b"], &[&forced]).unwrap();
            applied(&[], &[line]).unwrap();
        }
        for line in ["delAllHosts", "delHost name=a"] {
            let prepared = ["delHost name=b"];
            let (_, error) = applied(&prepared, &[line]).unwrap_err();
            assert!(error.contains("would have no hosts: force=true"), "{error}");
            applied(&prepared, &[&format!("{line} force=true")]).unwrap();
        }
    }

    #[test]
    fn a_group_without_a_usable_host_is_enabled_by_force_only() {
        let enable = "enableGroup group=spare";
        let add = "addHost group=spare name=c ip=c:1";
        let drained = format!("{add} state=drain");
        for prepared in [&[][..], &[drained.as_str()], &["delAllHosts force=true"]] {
            let (_, error) = applied(prepared, &[enable]).unwrap_err();
            assert_eq!(
                error,
                "group \"spare\" of service \"web\" has no usable host, so new sessions would \
                 fail: bring a host up first, or insist with force=true"
            );
            applied(prepared, &["enableGroup group=spare force=true"]).unwrap();
        }
        applied(&[add], &[enable]).unwrap();
        applied(&[], &["delGroup force=true"]).unwrap();
    }

    #[test]
    fn of_a_batch_the_result_counts() {
        let add = "addHost name=c ip=c:1";
        for whole in [
            &["delAllHosts", add][..],
            &["delHost name=a", "delHost name=b", add],
            &["drainHost name=a", "drainHost name=b", "hostAdminUp name=a"],
            &[
                "enableGroup group=spare",
                "addHost group=spare name=c ip=c:1",
            ],
            &["delAllHosts", "enableGroup group=spare", "enableGroup", add],
            &["drainHost name=a force=true", "drainHost name=b"],
        ] {
            applied(&[], whole).unwrap();
        }
        for whole in [
            &[
                "drainHost name=a",
                "hostAdminDown name=b",
                add,
                "setWeight name=c weight=0",
            ][..],
            &["setWeight name=a weight=0", "delHost name=b"],
            &[add, "enableGroup group=spare"],
            // What is forced is another group.
            &[
                "delAllHosts group=spare force=true",
                "drainHost name=a",
                "drainHost name=b",
            ],
        ] {
            let (index, _) = applied(&[], whole).unwrap_err();
            assert_eq!(index, whole.len() - 1, "{whole:?}");
        }
    }

    #[test]
    fn only_what_had_a_usable_host_can_lose_the_last() {
        applied(
            &["delAllHosts force=true"],
            &["addHost name=c ip=c:1 weight=0"],
        )
        .unwrap();
        let drained = ["drainHost name=a force=true", "drainHost name=b"];
        applied(&drained, &["hostAdminDown name=a"]).unwrap();
        applied(&drained, &["delHost name=a"]).unwrap();
        applied(&[], &["delAllHosts group=spare"]).unwrap();
        let new: Command = "newService service=new listen=2".parse().unwrap();
        apply_all(&[new.into_change().unwrap()], &config()).unwrap();
    }

    #[test]
    fn a_host_that_waits_for_its_first_check_is_not_usable() {
        let down = "setGroup initial=down";
        for whole in [
            &["addHost name=c ip=c:1", "delHost name=a", "delHost name=b"][..],
            &["setHost name=a ip=c:1", "delHost name=b"],
            &[
                "addHost group=spare name=c ip=c:1",
                "enableGroup group=spare",
            ],
        ] {
            let waiting = &["setGroup initial=down group=spare", down];
            assert!(applied(waiting, whole).is_err(), "{whole:?}");
            applied(&[], whole).unwrap();
        }
        applied(&[down], &["setHost name=a rename=c", "delHost name=b"]).unwrap();
    }

    #[test]
    fn a_host_that_has_failed_is_not_usable() {
        let failed = |address: &'static str| {
            move |lines: &[&str]| {
                let unusable = |_: &GroupKey| HashSet::from([address.parse().unwrap()]);
                apply_all_seen(&verbs(lines), &config(), &unusable).is_ok()
            }
        };
        let b_failed = failed("b:1");
        assert!(!b_failed(&["drainHost name=a"]));
        assert!(!b_failed(&["drainHost name=a", "setHost name=b rename=c"]));
        assert!(b_failed(&["drainHost name=b"]));
        // At another address it is another host.
        assert!(b_failed(&["drainHost name=a", "setHost name=b ip=c:1"]));
        assert!(!failed("c:1")(&[
            "addHost group=spare name=c ip=c:1",
            "enableGroup group=spare"
        ]));
    }

    /// A group with a route, with the hosts `a` and `b`, beside an enabled one and one without
    /// hosts; the verbs name their groups.
    fn routed(lines: &[&str]) -> Result<(), (usize, String)> {
        let text = "<config><service name='web'><listen ip='1'/><route sni='a.test' group='x'/>\
                    <group name='main' enable='1'><host name='a' ip='a:1'/></group>\
                    <group name='x'><host name='a' ip='a:1'/><host name='b' ip='b:1'/></group>\
                    <group name='spare'/></service></config>";
        let config = read(text.as_bytes()).unwrap().config;
        let done = apply_all(&verbs(lines), &config);
        done.map(drop)
            .map_err(|(index, error)| (index, error.to_string()))
    }

    fn words_of_route(group: &str) -> String {
        format!(
            "group \"{group}\" of service \"web\" has a route and would have no usable host, so new \
             sessions would fail: bring a host up first, or insist with force=true"
        )
    }

    #[test]
    fn the_last_usable_host_of_a_group_with_a_route_stays_unless_forced() {
        let drain = "drainHost group=x name=a";
        for last in [
            "delHost group=x name=b",
            "drainHost group=x name=b",
            "setWeight group=x name=b weight=0",
            "delAllHosts group=x",
        ] {
            let (index, error) = routed(&[drain, last]).unwrap_err();
            assert_eq!((index, error), (1, words_of_route("x")), "{last}");
            routed(&[drain, &format!("{last} force=true")]).unwrap();
        }
        routed(&["delHost group=x name=b"]).unwrap();
        routed(&["delAllHosts group=x", "addHost group=x name=c ip=c:1"]).unwrap();
        // What is forced is another group.
        let other = ["delGroup group=spare force=true", "delAllHosts group=x"];
        assert_eq!(routed(&other).unwrap_err(), (1, words_of_route("x")));
        let other = ["delAllHosts group=x", "delGroup group=spare force=true"];
        assert_eq!(routed(&other).unwrap_err(), (0, words_of_route("x")));
        // Without its route, nobody comes to the group.
        routed(&["setRoute route=1 group=main", "delAllHosts group=x"]).unwrap();
    }

    #[test]
    fn a_route_to_a_group_without_a_usable_host_takes_force() {
        for line in [
            "addRoute group=spare sni=b.test",
            "setRoute route=1 group=spare",
        ] {
            assert_eq!(routed(&[line]).unwrap_err(), (0, words_of_route("spare")));
            routed(&[&format!("{line} force=true")]).unwrap();
            routed(&["addHost group=spare name=c ip=c:1", line]).unwrap();
            routed(&[line, "addHost group=spare name=c ip=c:1"]).unwrap();
        }
        let drained = "addHost group=spare name=c ip=c:1 state=drain";
        assert!(routed(&[drained, "addRoute group=spare sni=b.test"]).is_err());
        // One that has a route already may have another.
        let text = "<config><service name='web'><listen ip='1'/><route sni='a.test' group='x'/>\
                    <group name='main' enable='1'/><group name='x'/></service></config>";
        let config = read(text.as_bytes()).unwrap().config;
        apply_all(&verbs(&["addRoute group=x sni=b.test"]), &config).unwrap();
        let error = apply_all(&verbs(&["enableGroup group=x"]), &config);
        assert!(matches!(
            error,
            Err((0, CommandError::UnusableGroup { .. }))
        ));
    }
}
