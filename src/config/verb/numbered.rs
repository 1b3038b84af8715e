//! Lists of items without names, such as checks and routes: each is known by its number, from 1.

use super::Verb;
use super::table::CommandSchema;
use super::values::Values;
use crate::config::attributes::ElementTable;

/// Such a list as verbs know it.
pub(super) struct NumberedList<T: 'static> {
    /// The key that has an item's number.
    pub(super) key: &'static str,
    pub(super) table: &'static ElementTable<T>,
    pub(super) add: &'static CommandSchema,
    pub(super) set: &'static CommandSchema,
    pub(super) delete: &'static CommandSchema,
}

impl<T: PartialEq> NumberedList<T> {
    /// The verbs that change the list `from` into `to`. `owner` adds the keys of whose list it is.
    pub(super) fn diff(&self, owner: impl Fn(Values) -> Values, from: &[T], to: &[T]) -> Vec<Verb> {
        let verb = |schema| owner(Values::new(schema));
        let changes = numbered_changes(from, to).into_iter();
        let verbs = changes.map(|change| match change {
            NumberedChange::Set { number, from, to } => {
                let differences = self.table.differences(from, to);
                verb(self.set)
                    .with(self.key, number)
                    .with_pairs(differences)
            }
            NumberedChange::Delete { number } => verb(self.delete).with(self.key, number),
            NumberedChange::Add { before, item } => {
                let added = verb(self.add).with_attributes(self.table, item);
                added.maybe("before", before)
            }
        });
        verbs.map(Verb).collect()
    }
}

/// One change of such a list. Done one after the other, they lead from one list to another.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NumberedChange<'a, T> {
    /// The item of this number becomes another.
    Set {
        number: usize,
        from: &'a T,
        to: &'a T,
    },
    /// The item of this number goes.
    Delete { number: usize },
    /// An item comes, before that of a number or last.
    Add { before: Option<usize>, item: &'a T },
}

/// The changes that lead from a list to another. What is the same at both ends stays.
fn numbered_changes<'a, T: PartialEq>(from: &'a [T], to: &'a [T]) -> Vec<NumberedChange<'a, T>> {
    let same = |pairs: &mut dyn Iterator<Item = (&T, &T)>| {
        pairs.take_while(|(from, to)| from == to).count()
    };
    let first = same(&mut from.iter().zip(to));
    let (from, to) = (&from[first..], &to[first..]);
    let last = same(&mut from.iter().rev().zip(to.iter().rev()));
    let (from, to) = (&from[..from.len() - last], &to[..to.len() - last]);
    let numbers = first + 1..;
    let pairs = numbers
        .zip(from.iter().zip(to))
        .filter(|(_, (from, to))| from != to);
    let set = pairs.map(|(number, (from, to))| NumberedChange::Set { number, from, to });
    let deleted = (to.len()..from.len()).rev();
    let delete = deleted.map(|index| NumberedChange::Delete {
        number: first + index + 1,
    });
    let added = to.iter().enumerate().skip(from.len());
    let add = added.map(|(index, item)| NumberedChange::Add {
        before: (last > 0).then_some(first + index + 1),
        item,
    });
    set.chain(delete).chain(add).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::arbitrary::Random;

    fn changes(from: &str, to: &str) -> String {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        let shown = numbered_changes(from, to).into_iter().map(|it| match it {
            NumberedChange::Set { number, to, .. } => format!("{number}={}", char::from(*to)),
            NumberedChange::Delete { number } => format!("-{number}"),
            NumberedChange::Add { before, item } => {
                let before = before.map_or_else(String::new, |before| before.to_string());
                format!("+{}{before}", char::from(*item))
            }
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_the_same_at_both_ends_stays() {
        for (from, to, expected) in [
            ("abc", "abc", ""),
            ("abc", "axc", "2=x"),
            ("abc", "ac", "-2"),
            ("abcd", "ad", "-3 -2"),
            ("ac", "abc", "+b2"),
            ("a", "abc", "+b +c"),
            ("", "ab", "+a +b"),
            ("ab", "", "-2 -1"),
            ("abc", "xyzc", "1=x 2=y +z3"),
        ] {
            assert_eq!(changes(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn the_changes_lead_from_any_list_to_any_other() {
        let mut random = Random::new(9);
        for _ in 0..1000 {
            let mut list =
                || -> Vec<usize> { (0..random.below(6)).map(|_| random.below(3)).collect() };
            let (from, to) = (list(), list());
            let mut now = from.clone();
            for change in numbered_changes(&from, &to) {
                match change {
                    NumberedChange::Set { number, from, to } => {
                        assert_eq!(now[number - 1], *from);
                        now[number - 1] = *to;
                    }
                    NumberedChange::Delete { number } => drop(now.remove(number - 1)),
                    NumberedChange::Add { before, item } => {
                        let index = before.map_or(now.len(), |before| before - 1);
                        now.insert(index, *item);
                    }
                }
            }
            assert_eq!(now, to, "{from:?}");
        }
    }
}
