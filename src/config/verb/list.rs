//! Lists of named items (services, groups, hosts, users): find, insert and move one, and the moves from one order
//! to another.

use std::collections::{HashMap, HashSet};

use super::{CommandError, InsertAt};
use crate::config::error::nearest;
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

/// What is to be done with an item of the new list, so that all are in order when
/// it has been done with one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It is in the old list, and stays where it is.
    Stays,
    /// It is in the old list, and moves.
    Moves(InsertAt),
    /// It is not in the old list.
    Comes(InsertAt),
}

impl Step {
    /// Where it moves to, if it does.
    pub(super) fn moves(self) -> Option<InsertAt> {
        match self {
            Step::Moves(place) => Some(place),
            Step::Stays | Step::Comes(_) => None,
        }
    }
}

/// A step for each of `new`. What is in `old` alone may be anywhere.
///
/// Those that stay are as many as possible, the longest sequence that is in both;
/// every other one goes right before the next that stays.
pub(super) fn steps<T: Named>(old: &[T], new: &[T]) -> Vec<Step> {
    let old = old.iter().map(Named::name).enumerate();
    let places: HashMap<_, _> = old.map(|(index, name)| (name, index)).collect();
    let of_new: Vec<_> = new.iter().map(|item| places.get(item.name())).collect();
    let stays = longest_rising(&of_new);
    let mut next = InsertAt::Last;
    let mut steps = Vec::with_capacity(new.len());
    for ((item, place), stays) in new.iter().zip(of_new).zip(stays).rev() {
        steps.push(match place {
            _ if stays => Step::Stays,
            Some(_) => Step::Moves(next.clone()),
            None => Step::Comes(next.clone()),
        });
        if stays {
            next = InsertAt::Before(item.name().to_owned());
        }
    }
    steps.reverse();
    steps
}

/// The names of those of `old` that are not in `new`.
pub(super) fn missing<T: Named>(old: &[T], new: &[T]) -> Vec<String> {
    let kept: HashSet<_> = new.iter().map(Named::name).collect();
    let names = old.iter().map(Named::name);
    let gone = names.filter(|name| !kept.contains(name));
    gone.map(str::to_owned).collect()
}

/// The one that is called so.
pub(super) fn named<'a, T: Named>(list: &'a [T], name: &str) -> Option<&'a T> {
    list.iter().find(|item| item.name() == name)
}

/// Where something new goes: last, unless something else is said.
pub(super) fn unless_last(place: InsertAt) -> Option<InsertAt> {
    Some(place).filter(|place| *place != InsertAt::Last)
}

/// Which numbers are part of the longest rising sequence of them.
///
/// Fredman's algorithm: for each length the sequence that ends lowest is known by
/// its end, and each number by the one before it.
fn longest_rising(numbers: &[Option<&usize>]) -> Vec<bool> {
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut before = vec![None; numbers.len()];
    for (index, number) in numbers.iter().enumerate() {
        let Some(&number) = *number else { continue };
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

    impl Named for String {
        const WHAT: &'static str = "word";

        fn name(&self) -> &str {
            self
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn steps_of(old: &str, new: &str) -> Vec<Step> {
        steps(&words(old), &words(new))
    }

    /// What becomes of `old`, and how many items were moved.
    fn carried_out(old: &[String], new: &[String]) -> (Vec<String>, usize) {
        let mut list = old.to_vec();
        let mut moves = 0;
        for (name, step) in new.iter().zip(steps(old, new)) {
            let place = match step {
                Step::Stays => continue,
                Step::Moves(place) => {
                    moves += 1;
                    list.retain(|other| other != name);
                    place
                }
                Step::Comes(place) => place,
            };
            let index = match place {
                InsertAt::Before(next) => list.iter().position(|other| *other == next).unwrap(),
                InsertAt::Last => list.len(),
            };
            list.insert(index, name.clone());
        }
        list.retain(|name| new.contains(name));
        (list, moves)
    }

    #[test]
    fn as_little_as_possible_is_moved() {
        let before = |name: &str| InsertAt::Before(name.to_owned());
        assert_eq!(
            steps_of("a b c", "a b c"),
            [Step::Stays, Step::Stays, Step::Stays]
        );
        assert_eq!(
            steps_of("a b c", "c a b"),
            [Step::Moves(before("a")), Step::Stays, Step::Stays]
        );
        assert_eq!(
            steps_of("a b c", "b c a"),
            [Step::Stays, Step::Stays, Step::Moves(InsertAt::Last)]
        );
        assert_eq!(
            steps_of("a x b", "n a m b o"),
            [
                Step::Comes(before("a")),
                Step::Stays,
                Step::Comes(before("b")),
                Step::Stays,
                Step::Comes(InsertAt::Last),
            ]
        );
        assert_eq!(steps_of("a", ""), []);
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
            let (list, moves) = carried_out(&old, &new);
            assert_eq!(list, new, "{old:?}");
            let common = new.iter().filter(|name| old.contains(name)).count();
            assert!(moves < common.max(1), "{old:?} {new:?}");
        }
    }
}
