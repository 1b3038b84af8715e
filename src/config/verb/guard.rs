//! Guard of enabled groups: a change that leaves one without a usable host wants `force=true`.
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
    for (group, error) in faults(before, next, unusable) {
        let of_group = |verb: &&Verb| verb.empties(&group);
        let is_forced = verbs.iter().filter(of_group).any(|it| it.0.is_forced());
        // Without such a verb, the service was removed and added again.
        let last = verbs.iter().rposition(|verb| verb.empties(&group));
        if let (Some(index), false) = (last, is_forced) {
            return Err((index, error));
        }
    }
    Ok(())
}

/// The enabled groups that `next` leaves without a usable host. A group that had none is none of
/// them, unless it is enabled now. A new service is built up by several changes.
pub(super) fn faults(
    before: &Config,
    next: &Config,
    unusable: Unusable<'_>,
) -> Vec<(GroupKey, CommandError)> {
    let former = before.services.iter().map(|it| (it.name.as_str(), it));
    let former: HashMap<&str, &Service> = former.collect();
    let changed = next.services.iter().filter_map(|service| {
        let former = former.get(service.name.as_str())?;
        (*former != service).then_some((*former, service))
    });
    changed
        .filter_map(|(former, service)| fault(former, service, unusable))
        .collect()
}

fn fault(
    former: &Service,
    service: &Service,
    unusable: Unusable<'_>,
) -> Option<(GroupKey, CommandError)> {
    let (was, is) = (former.enabled_group()?, service.enabled_group()?);
    let enables = was.name != is.name;
    // `unusable` waits for the group's lock, and a worker may hold it for long.
    // Test: a_worker_that_hangs_refuses_changes.
    if !enables && was.hosts == is.hosts {
        return None;
    }
    let key = |group: &Group| GroupKey {
        service: service.name.clone(),
        group: group.name.clone(),
    };
    let has_usable = |group: &Group| {
        let unusable = unusable(&key(group));
        let mut hosts = group.hosts.iter();
        hosts.any(|host| {
            host.in_service() && !unusable.contains(&host.address) && !waits(former, group, host)
        })
    };
    if has_usable(is) {
        return None;
    }
    let group = key(is);
    let error = if enables {
        CommandError::UnusableGroup {
            group: group.clone(),
        }
    } else if is.hosts.is_empty() && !was.hosts.is_empty() {
        CommandError::LastHost {
            group: group.clone(),
        }
    } else if has_usable(was) {
        CommandError::LastUsableHost {
            group: group.clone(),
        }
    } else {
        return None;
    };
    Some((group, error))
}

/// Whether a host is new, or elsewhere, in a group whose new hosts wait for a first check.
fn waits(former: &Service, group: &Group, host: &Host) -> bool {
    let before = former.groups.iter().find(|it| it.name == group.name);
    let mut known = before.into_iter().flat_map(|group| &group.hosts);
    group.initial == Initial::Down && !known.any(|it| it.address == host.address)
}

impl Verb {
    /// Whether the verb may leave this group enabled and without a usable host: it takes `force`.
    pub(super) fn empties(&self, enabled: &GroupKey) -> bool {
        let Verb(values) = self;
        let is_there = values.text("group") == Some(&enabled.group);
        values.schema.key("force").is_some()
            && values.text("service") == Some(&enabled.service)
            // Of an enabled group that is removed, another one takes the place.
            && (is_there || *values.schema == DEL_GROUP)
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
}
