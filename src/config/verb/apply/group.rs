//! The verbs about groups.

use super::{service_of, service_words};
use crate::config::verb::named::{find, insert, move_to};
use crate::config::verb::{CommandError, GroupKey, Verb};
use crate::config::{Config, Group, Service};

/// Changes a service's groups.
pub(super) fn change(verb: &Verb, key: &GroupKey, config: &mut Config) -> Result<(), CommandError> {
    let service = service_of(config, &key.service)?;
    let owner = service_words(&key.service);
    if let Verb::NewGroup {
        scheduler,
        sticky_prefix,
        place,
        ..
    } = verb
    {
        let group = Group {
            name: key.group.clone(),
            scheduler: scheduler.clone(),
            sticky_prefix: *sticky_prefix,
            hosts: Vec::new(),
        };
        return insert(&mut service.groups, group, place.as_ref(), &owner);
    }
    let index = find(&service.groups, &key.group, &owner)?;
    match verb {
        Verb::DelGroup { force, .. } => remove(service, index, *force, key),
        Verb::EnableGroup { .. } => {
            service.enabled.clone_from(&key.group);
            Ok(())
        }
        Verb::ChangeScheduler {
            scheduler,
            sticky_prefix,
            place,
            ..
        } => {
            let group = &mut service.groups[index];
            group.scheduler = scheduler.clone();
            group.sticky_prefix = sticky_prefix.unwrap_or(group.sticky_prefix);
            move_to(&mut service.groups, index, place.as_ref(), &owner).map(drop)
        }
        _ => Ok(()),
    }
}

/// Exactly one group is enabled, always: without this one, the first of the others.
fn remove(
    service: &mut Service,
    index: usize,
    force: bool,
    key: &GroupKey,
) -> Result<(), CommandError> {
    if service.groups.len() == 1 {
        return Err(CommandError::LastGroup { group: key.clone() });
    }
    let was_enabled = service.enabled == key.group;
    if was_enabled && !force {
        return Err(CommandError::EnabledGroup { group: key.clone() });
    }
    service.groups.remove(index);
    if was_enabled && let Some(first) = service.groups.first() {
        service.enabled.clone_from(&first.name);
    }
    Ok(())
}
