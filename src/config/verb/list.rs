//! Lists of named items (services, groups, hosts, users): find, insert and move one, and the moves
//! from one order to another.

use std::collections::{HashMap, HashSet};

use super::apply::service_label;
use super::{CommandError, GroupKey, InsertAt};
use crate::config::error::nearest;
use crate::config::redact::Quoted;
use crate::config::{Config, Group, Host, Service, User};

/// An item with a name that is unique in its list.
pub(super) trait NamedItem {
    /// The operator's word for the kind.
    const KIND: &'static str;

    /// Its name.
    fn name(&self) -> &str;
}

impl NamedItem for Service {
    const KIND: &'static str = "service";

    fn name(&self) -> &str {
        &self.name
    }
}

impl NamedItem for Group {
    const KIND: &'static str = "group";

    fn name(&self) -> &str {
        &self.name
    }
}

impl NamedItem for Host {
    const KIND: &'static str = "host";

    fn name(&self) -> &str {
        &self.name
    }
}

impl NamedItem for User {
    const KIND: &'static str = "user";

    fn name(&self) -> &str {
        &self.name
    }
}

/// Index of `name` in the list of `owner`, which is empty for the configuration itself.
pub(super) fn find_index<T: NamedItem>(
    list: &[T],
    name: &str,
    owner: &str,
) -> Result<usize, CommandError> {
    let found = list.iter().position(|item| item.name() == name);
    found.ok_or_else(|| missing(list.iter(), name, owner))
}

/// The items of `name`, of several lists.
fn find_all<'a, T: NamedItem>(
    items: Vec<&'a T>,
    name: Option<&str>,
    owner: &str,
) -> Result<Vec<&'a T>, CommandError> {
    let Some(name) = name else { return Ok(items) };
    let is_meant = |item: &&&T| item.name() == name;
    let found: Vec<_> = items.iter().filter(is_meant).copied().collect();
    match found.is_empty() {
        true => Err(missing(items.into_iter(), name, owner)),
        false => Ok(found),
    }
}

/// The error for a name that none of the items has.
fn missing<'a, T: NamedItem + 'a>(
    items: impl Iterator<Item = &'a T>,
    name: &str,
    owner: &str,
) -> CommandError {
    CommandError::Missing {
        what: T::KIND,
        name: name.to_owned(),
        owner: owner.to_owned(),
        nearest: nearest(name, items.map(NamedItem::name)).map(str::to_owned),
    }
}

/// Checks that there is such a service, group and host, of those that are given: the group in that
/// service or in any, the host in one of these groups.
///
/// # Errors
/// Which one there is not, and what may have been meant.
pub(crate) fn check_names(
    config: &Config,
    service: Option<&str>,
    group: Option<&str>,
    host: Option<&str>,
) -> Result<(), CommandError> {
    let services = find_all(config.services.iter().collect(), service, "")?;
    let of_service = service.map(service_label).unwrap_or_default();
    let groups = services.into_iter().flat_map(|it| &it.groups).collect();
    let groups = find_all(groups, group, &of_service)?;
    let of_group = match (group, service) {
        (None, _) => of_service,
        (Some(group), None) => format!("group {}", Quoted(group)),
        (Some(group), Some(service)) => GroupKey {
            service: service.to_owned(),
            group: group.to_owned(),
        }
        .to_string(),
    };
    let hosts: Vec<&Host> = groups.into_iter().flat_map(|it| &it.hosts).collect();
    find_all(hosts, host, &of_group).map(drop)
}

/// Checks that no item has this name.
pub(super) fn check_name_free<T: NamedItem>(
    list: &[T],
    name: &str,
    owner: &str,
) -> Result<(), CommandError> {
    match list.iter().any(|item| item.name() == name) {
        false => Ok(()),
        true => Err(CommandError::Taken {
            what: T::KIND,
            name: name.to_owned(),
            owner: owner.to_owned(),
        }),
    }
}

/// Inserts a new item, last if `insert_at` is `None`.
pub(super) fn insert_item<T: NamedItem>(
    list: &mut Vec<T>,
    item: T,
    insert_at: Option<&InsertAt>,
    owner: &str,
) -> Result<(), CommandError> {
    check_name_free(list, item.name(), owner)?;
    let index = match insert_at {
        Some(InsertAt::Before(next)) => find_index(list, next, owner)?,
        Some(InsertAt::Last) | None => list.len(),
    };
    list.insert(index, item);
    Ok(())
}

/// Moves the item at `index`; returns its new index. Before itself is no move.
pub(super) fn move_item<T: NamedItem>(
    list: &mut [T],
    index: usize,
    insert_at: Option<&InsertAt>,
    owner: &str,
) -> Result<usize, CommandError> {
    let target = match insert_at {
        None => return Ok(index),
        Some(InsertAt::Before(next)) => find_index(list, next, owner)?,
        Some(InsertAt::Last) => list.len(),
    };
    if target <= index {
        list[target..=index].rotate_right(1);
        return Ok(target);
    }
    list[index..target].rotate_left(1);
    Ok(target - 1)
}

/// What to do with an item of the new list. Done one after the other, they give its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListChange {
    /// It stays in place.
    Keep,
    /// It moves.
    Move(InsertAt),
    /// It is new.
    Add(InsertAt),
}

impl ListChange {
    /// Its new position, if it moves.
    pub(super) fn moved_to(self) -> Option<InsertAt> {
        match self {
            ListChange::Move(insert_at) => Some(insert_at),
            ListChange::Keep | ListChange::Add(_) => None,
        }
    }
}

/// A change for each item of `new`. Items of `old` alone are ignored.
///
/// As many as possible stay: the longest sequence in both. Each other goes directly before the next
/// that stays.
pub(super) fn list_changes<T: NamedItem>(old: &[T], new: &[T]) -> Vec<ListChange> {
    let old = old.iter().map(NamedItem::name).enumerate();
    let places: HashMap<_, _> = old.map(|(index, name)| (name, index)).collect();
    let of_new: Vec<_> = new
        .iter()
        .map(|item| places.get(item.name()).copied())
        .collect();
    let stays = longest_rising_sequence(&of_new);
    let mut next = InsertAt::Last;
    let mut list_changes = Vec::with_capacity(new.len());
    for ((item, old_index), stays) in new.iter().zip(of_new).zip(stays).rev() {
        list_changes.push(match old_index {
            _ if stays => ListChange::Keep,
            Some(_) => ListChange::Move(next.clone()),
            None => ListChange::Add(next.clone()),
        });
        if stays {
            next = InsertAt::Before(item.name().to_owned());
        }
    }
    list_changes.reverse();
    list_changes
}

/// Names in `old` that are not in `new`.
pub(super) fn removed_names<T: NamedItem>(old: &[T], new: &[T]) -> Vec<String> {
    let kept: HashSet<_> = new.iter().map(NamedItem::name).collect();
    let names = old.iter().map(NamedItem::name);
    let removed = names.filter(|name| !kept.contains(name));
    removed.map(str::to_owned).collect()
}

/// The item of this name.
pub(super) fn find_by_name<'a, T: NamedItem>(list: &'a [T], name: &str) -> Option<&'a T> {
    list.iter().find(|item| item.name() == name)
}

/// `None` for the last position, which is the default of a new item.
pub(super) fn not_last(insert_at: InsertAt) -> Option<InsertAt> {
    Some(insert_at).filter(|insert_at| *insert_at != InsertAt::Last)
}

/// Marks the longest rising sequence, in n log n steps: comparing all pairs would take minutes for
/// a large file.
///
/// Fredman's algorithm: it keeps the lowest end for each length, and the predecessor of each
/// number.
pub(in crate::config) fn longest_rising_sequence(numbers: &[Option<usize>]) -> Vec<bool> {
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut before = vec![None; numbers.len()];
    for (index, number) in numbers.iter().enumerate() {
        let Some(number) = *number else { continue };
        let length = ends.partition_point(|(end, _)| *end < number);
        before[index] = length.checked_sub(1).map(|shorter| ends[shorter].1);
        match ends.get_mut(length) {
            Some(end) => *end = (number, index),
            None => ends.push((number, index)),
        }
    }
    let mut part = vec![false; numbers.len()];
    let mut last = ends.last().map(|(_, index)| *index);
    while let Some(index) = last {
        part[index] = true;
        last = before[index];
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::arbitrary::Random;

    impl NamedItem for String {
        const KIND: &'static str = "word";

        fn name(&self) -> &str {
            self
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn steps_of(old: &str, new: &str) -> Vec<ListChange> {
        list_changes(&words(old), &words(new))
    }

    /// What becomes of `old`, and how many items were moved.
    fn carried_out(old: &[String], new: &[String]) -> (Vec<String>, usize) {
        let mut list = old.to_vec();
        let mut moved_to = 0;
        for (name, step) in new.iter().zip(list_changes(old, new)) {
            let insert_at = match step {
                ListChange::Keep => continue,
                ListChange::Move(insert_at) => {
                    moved_to += 1;
                    list.retain(|other| other != name);
                    insert_at
                }
                ListChange::Add(insert_at) => insert_at,
            };
            let index = match insert_at {
                InsertAt::Before(next) => list.iter().position(|other| *other == next).unwrap(),
                InsertAt::Last => list.len(),
            };
            list.insert(index, name.clone());
        }
        list.retain(|name| new.contains(name));
        (list, moved_to)
    }

    #[test]
    fn as_little_as_possible_is_moved() {
        let before = |name: &str| InsertAt::Before(name.to_owned());
        assert_eq!(
            steps_of("a b c", "a b c"),
            [ListChange::Keep, ListChange::Keep, ListChange::Keep]
        );
        assert_eq!(
            steps_of("a b c", "c a b"),
            [
                ListChange::Move(before("a")),
                ListChange::Keep,
                ListChange::Keep
            ]
        );
        assert_eq!(
            steps_of("a b c", "b c a"),
            [
                ListChange::Keep,
                ListChange::Keep,
                ListChange::Move(InsertAt::Last)
            ]
        );
        assert_eq!(
            steps_of("a x b", "n a m b o"),
            [
                ListChange::Add(before("a")),
                ListChange::Keep,
                ListChange::Add(before("b")),
                ListChange::Keep,
                ListChange::Add(InsertAt::Last),
            ]
        );
        assert_eq!(steps_of("a", ""), []);
    }

    #[test]
    fn a_name_is_looked_for_where_it_may_be() {
        let text = r#"<config>
  <service name="web"><listen ip="127.0.0.1:80"/>
    <group name="main" enable="true"><host name="one" ip="10.0.0.1:80"/></group>
    <group name="spare"><host name="two" ip="10.0.0.2:80"/></group></service>
  <service name="mail"><listen ip="127.0.0.1:25"/><group name="mx" enable="true"/></service>
</config>"#;
        let config = crate::config::read(text.as_bytes()).unwrap().config;
        let check = |[service, group, host]: [&str; 3]| {
            let given = |name| Some(name).filter(|name: &&str| !name.is_empty());
            check_names(&config, given(service), given(group), given(host))
        };
        for names in [
            ["", "", ""],
            ["web", "", "two"],
            ["", "spare", "two"],
            ["", "", "one"],
            ["mail", "mx", ""],
        ] {
            assert_eq!(check(names), Ok(()), "{names:?}");
        }
        for (names, expected) in [
            (
                ["wbe", "", ""],
                "there is no service \"wbe\": is \"web\" meant?",
            ),
            (
                ["mail", "main", ""],
                "service \"mail\" has no group \"main\"",
            ),
            (
                ["", "", "tow"],
                "there is no host \"tow\": is \"two\" meant?",
            ),
            (["mail", "", "one"], "service \"mail\" has no host \"one\""),
            (["", "main", "two"], "group \"main\" has no host \"two\""),
            (
                ["web", "main", "two"],
                "group \"main\" of service \"web\" has no host \"two\"",
            ),
        ] {
            assert_eq!(check(names).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_steps_lead_from_any_order_to_any_other() {
        let mut random = Random::new(5);
        for _ in 0..2000 {
            let mut list = || {
                let mut names = words("0 1 2 3 4 5 6 7");
                for index in 0..names.len() {
                    let other = random.below(names.len());
                    names.swap(index, other);
                }
                names.truncate(random.below(9));
                names
            };
            let (old, new) = (list(), list());
            let (list, moved_to) = carried_out(&old, &new);
            assert_eq!(list, new, "{old:?}");
            let common = new.iter().filter(|name| old.contains(name)).count();
            assert!(moved_to < common.max(1), "{old:?} {new:?}");
        }
    }

    #[test]
    fn a_longest_rise_is_as_long_as_any_other_way_finds_it() {
        let mut random = Random::new(7);
        for _ in 0..2000 {
            let count = random.below(9);
            let mut places: Vec<_> = (0..count).map(Some).collect();
            for index in 0..count {
                places.swap(index, random.below(count));
            }
            let marks = longest_rising_sequence(&places);
            let run: Vec<_> = (0..count).filter(|index| marks[*index]).collect();
            assert!(run.is_sorted_by(|a, b| a < b && places[*a] < places[*b]));
            let mut lengths = vec![1; count];
            for end in 0..count {
                for start in 0..end {
                    if places[start] < places[end] {
                        lengths[end] = lengths[end].max(lengths[start] + 1);
                    }
                }
            }
            assert_eq!(run.len(), lengths.into_iter().max().unwrap_or(0));
        }
    }
}
