//! Lists of things that have a name: finding, adding and moving one.
//!
//! The things are services, groups, hosts and users; what is special to one of
//! them is not known here.

use super::{CommandError, InsertAt};
use crate::config::nearest::nearest;
use crate::config::{Group, Host, Service, User};

/// Something with a name that is unique in its list.
pub(super) trait Named {
    /// What an operator calls such a thing.
    const WHAT: &'static str;

    /// Its name.
    fn name(&self) -> &str;
}

impl Named for Service {
    const WHAT: &'static str = "service";

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Group {
    const WHAT: &'static str = "group";

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Host {
    const WHAT: &'static str = "host";

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for User {
    const WHAT: &'static str = "user";

    fn name(&self) -> &str {
        &self.name
    }
}

/// Where `name` is in the list of `owner`, which is empty for the configuration itself.
pub(super) fn find<T: Named>(list: &[T], name: &str, owner: &str) -> Result<usize, CommandError> {
    let found = list.iter().position(|item| item.name() == name);
    found.ok_or_else(|| CommandError::Missing {
        what: T::WHAT,
        name: name.to_owned(),
        owner: owner.to_owned(),
        nearest: nearest(name, list.iter().map(Named::name)).map(str::to_owned),
    })
}

/// That nothing in the list is called so.
pub(super) fn check_free<T: Named>(
    list: &[T],
    name: &str,
    owner: &str,
) -> Result<(), CommandError> {
    match list.iter().any(|item| item.name() == name) {
        false => Ok(()),
        true => Err(CommandError::Taken {
            what: T::WHAT,
            name: name.to_owned(),
            owner: owner.to_owned(),
        }),
    }
}

/// Adds something new, behind all others unless `place` says where.
pub(super) fn insert<T: Named>(
    list: &mut Vec<T>,
    item: T,
    place: Option<&InsertAt>,
    owner: &str,
) -> Result<(), CommandError> {
    check_free(list, item.name(), owner)?;
    let index = match place {
        Some(InsertAt::Before(next)) => find(list, next, owner)?,
        Some(InsertAt::Last) | None => list.len(),
    };
    list.insert(index, item);
    Ok(())
}

/// Moves what is at `index`, if `place` says where, and says where it is then.
/// Before itself is where it is.
pub(super) fn move_to<T: Named>(
    list: &mut [T],
    index: usize,
    place: Option<&InsertAt>,
    owner: &str,
) -> Result<usize, CommandError> {
    let target = match place {
        None => return Ok(index),
        Some(InsertAt::Before(next)) => find(list, next, owner)?,
        Some(InsertAt::Last) => list.len(),
    };
    if target <= index {
        list[target..=index].rotate_right(1);
        return Ok(target);
    }
    list[index..target].rotate_left(1);
    Ok(target - 1)
}
