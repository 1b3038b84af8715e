//! Verbs about single members of names: what is wanted of one is no part of the configuration, and
//! is forgotten when it goes.

use std::collections::{BTreeMap, BTreeSet};

use super::data_plane::DataPlane;
use crate::config::verb::{CommandError, GroupKey, HostKey, Verb};
use crate::config::{Config, Host, HostState};

/// What verbs want of members.
#[derive(Debug, Default)]
pub(super) struct MemberStates {
    states: Vec<(HostKey, HostState)>,
    /// Groups in which a verb insists.
    forced: BTreeSet<GroupKey>,
}

/// Verbs that change the configuration, with their indices among all.
type OtherVerbs = Vec<(usize, Verb)>;

/// Sorts out the verbs that set the state of members that `data_plane` has. The others, which
/// change the configuration, are returned with their indices.
///
/// # Errors
/// The index of the first verb about a member that is not there, and what there is.
pub(super) fn sort_out(
    verbs: &[Verb],
    data_plane: &DataPlane,
) -> Result<(MemberStates, OtherVerbs), (usize, CommandError)> {
    let mut members = MemberStates::default();
    let mut others = Vec::new();
    for (index, verb) in verbs.iter().enumerate() {
        let of_member = verb.host_state().and_then(|(key, state, force)| {
            let group = key.group.find(data_plane.config())?;
            let template = group.template_of(&key.name)?;
            Some((key, state, force, template))
        });
        let Some((key, state, force, template)) = of_member else {
            others.push((index, verb.clone()));
            continue;
        };
        if !data_plane.members.has(&key) {
            let error = CommandError::NoMember {
                name: key.name,
                template: template.name.clone(),
            };
            return Err((index, error));
        }
        if force {
            members.forced.insert(key.group.clone());
        }
        members.states.push((key, state));
    }
    Ok((members, others))
}

impl MemberStates {
    /// Refuses to take the last usable host away from a group that gets new sessions in `next`,
    /// unless a verb insists.
    ///
    /// # Errors
    /// Such a group, and what would happen.
    pub(super) fn check(&self, data_plane: &DataPlane, next: &Config) -> Result<(), CommandError> {
        let mut last: BTreeMap<&GroupKey, BTreeMap<&str, HostState>> = BTreeMap::new();
        for (key, state) in &self.states {
            last.entry(&key.group)
                .or_default()
                .insert(&key.name, *state);
        }
        for (key, states) in last {
            let service = next.services.iter().find(|it| it.name == key.service);
            let Some(service) = service else { continue };
            let serves = service.serving_groups().contains(key.group.as_str());
            let group = service.groups.iter().find(|it| it.name == key.group);
            if let Some(group) = group
                && serves
                && !self.forced.contains(key)
                && loses_last(data_plane, key, &states, &group.hosts)
            {
                let group = key.clone();
                return Err(match service.enabled == key.group {
                    true => CommandError::LastUsableHost { group },
                    false => CommandError::UnusableRoute { group },
                });
            }
        }
        Ok(())
    }

    /// Puts them in force. Returns whether anything is another than before.
    pub(super) fn commit(&self, data_plane: &DataPlane) -> bool {
        data_plane.members.set_states(&self.states)
    }
}

/// Whether a group has a usable host, but none is left after `states`. `hosts` are those of the
/// configuration then: a new one counts.
fn loses_last(
    data_plane: &DataPlane,
    key: &GroupKey,
    states: &BTreeMap<&str, HostState>,
    hosts: &[Host],
) -> bool {
    let Some(running) = data_plane.group(&key.service, &key.group) else {
        return false;
    };
    let pool = running.pool();
    let (mut had, mut known) = (false, BTreeSet::new());
    for host in pool.hosts() {
        let name = host.host.name.as_str();
        known.insert(name);
        let can = host.may_serve() && host.weight > 0;
        had |= can && host.state == HostState::Up;
        let wanted = states.get(name).copied().unwrap_or(host.state);
        // What the same batch says of a plain host counts, not what it was.
        let own = hosts.iter().find(|it| it.name == name);
        let stays = own.map_or(wanted == HostState::Up, Host::in_service);
        let is_there = own.is_some() || hosts.iter().any(|it| it.has_member(name));
        if can && stays && is_there {
            return false;
        }
    }
    let is_new = |host: &&Host| !host.is_template() && !known.contains(host.name.as_str());
    had && !hosts.iter().filter(is_new).any(Host::in_service)
}
