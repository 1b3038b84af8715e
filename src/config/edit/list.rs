//! Elements of one kind in their order: which are added, removed, moved or stay.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use roxmltree::Node;

use super::text::{Edits, Page, Piece, Place, edit_attributes, set_attribute};
use crate::config::read::{NOTE, schema};
use crate::config::serialize::{Attribute, Form};

/// The elements of one kind in another, and what is wanted of them.
pub(super) struct List<'n, 'i> {
    pub(super) nodes: Vec<Node<'n, 'i>>,
    pub(super) matching: Matching,
}

/// Edits one that there was into one that is wanted, both given by their number.
type EditOne<'f> = &'f dyn Fn(Node<'_, '_>, usize, usize, &mut Edits);

impl List<'_, '_> {
    /// Puts them right; `new` makes what is wanted and not there. Returns what has
    /// no place, because there is none of its kind to go by.
    #[must_use]
    pub(super) fn edit(
        &self,
        page: &Page<'_>,
        new: &dyn Fn(usize) -> Form,
        edit: EditOne<'_>,
        edits: &mut Edits,
    ) -> Vec<Form> {
        let Some(mut place) = self.first_place() else {
            return (0..self.matching.wanted().count()).map(new).collect();
        };
        for gone in self.matching.gone() {
            page.remove(self.nodes[gone].range(), edits);
        }
        for (index, (had, stays)) in self.matching.wanted().enumerate() {
            match had.map(|had| (had, self.nodes[had])) {
                Some((had, node)) if stays => {
                    edit(node, had, index, edits);
                    place = Place::After(node);
                }
                Some((had, node)) => {
                    let mut inner = Edits::default();
                    edit(node, had, index, &mut inner);
                    let range = page.with_remarks(node);
                    page.remove(range.clone(), edits);
                    let moved = Piece::Moved(inner.applied(page.text(), range));
                    page.insert(place, vec![moved], edits);
                }
                None => page.insert(place, vec![Piece::New(new(index))], edits),
            }
        }
        Vec::new()
    }

    /// Where the first goes, unless it stays itself: before the first that does, else
    /// behind all that were there.
    fn first_place(&self) -> Option<Place<'_, '_>> {
        let mut stays = self.matching.wanted().filter(|(_, stays)| *stays);
        match stays.next() {
            Some((Some(had), _)) => Some(Place::Before(self.nodes[had])),
            _ => self.nodes.last().map(|last| Place::After(*last)),
        }
    }
}

/// The elements in `parent` that have one of these names.
pub(super) fn children<'n, 'i>(parent: Node<'n, 'i>, names: &[&str]) -> Vec<Node<'n, 'i>> {
    parent
        .children()
        .filter(|child| child.is_element() && names.contains(&child.tag_name().name()))
        .collect()
}

/// The one element in `parent` of this name.
pub(super) fn child<'n, 'i>(parent: Node<'n, 'i>, name: &str) -> Option<Node<'n, 'i>> {
    children(parent, &[name]).into_iter().next()
}

/// Edits an element of which there is at most one; returns it if it is new.
pub(super) fn at_most_one(
    page: &Page<'_>,
    node: Option<Node<'_, '_>>,
    have: Option<Form>,
    wanted: Option<Form>,
    edits: &mut Edits,
) -> Option<Form> {
    match (node, have, wanted) {
        (Some(node), Some(had), Some(now)) => {
            edit_attributes(page, node, &had.attributes, &now.attributes, edits);
            None
        }
        // One that says that there is none.
        (Some(node), None, Some(now)) => {
            let said = |it: &&Attribute| !it.is_default || node.has_attribute(it.name);
            for now in now.attributes.iter().filter(said) {
                set_attribute(page, node, now.name, now.value.as_deref(), edits);
            }
            None
        }
        (Some(node), Some(_), None) => {
            page.remove(node.range(), edits);
            None
        }
        (Some(_), None, None) => None,
        (None, _, now) => now,
    }
}

/// Puts elements into `parent` that are the first of their kinds, each where the
/// manual has it among the others.
pub(super) fn place(page: &Page<'_>, parent: Node<'_, '_>, forms: Vec<Form>, edits: &mut Edits) {
    let rank = |name: &str| {
        let known = schema()
            .iter()
            .find(|element| element.name == parent.tag_name().name());
        known.and_then(|known| known.children.iter().position(|child| child.name == name))
    };
    let mut inside = Vec::new();
    for form in forms {
        let form_rank = rank(form.name);
        let others = || {
            let elements = parent.children().filter(Node::is_element);
            elements.filter(|child| child.tag_name().name() != NOTE)
        };
        let is_earlier = |child: &Node<'_, '_>| rank(child.tag_name().name()) <= form_rank;
        let place = others()
            .rfind(is_earlier)
            .map(Place::After)
            .or_else(|| others().next().map(Place::Before));
        match place {
            Some(place) => page.insert(place, vec![Piece::New(form)], edits),
            None => inside.push(Piece::New(form)),
        }
    }
    if !inside.is_empty() {
        page.insert(Place::Inside(parent), inside, edits);
    }
}

/// What there is, against what is wanted: both in order, both known by their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matching {
    had: usize,
    /// For each that is wanted, the one that it is.
    of: Vec<Option<usize>>,
    /// For each that is wanted, whether that one stays where it is.
    stays: Vec<bool>,
}

impl Matching {
    /// By a key; of several that share one, the first is the first.
    pub(super) fn new<K: Hash + Eq>(have: &[K], wanted: &[K]) -> Matching {
        let of = paired(have, wanted);
        let mut stays = vec![false; wanted.len()];
        for index in longest_rise(&of) {
            stays[index] = true;
        }
        let had = have.len();
        Matching { had, of, stays }
    }

    /// Takes something that has gone for something that has come between the same
    /// neighbours, if they share this other key: then it has only been renamed.
    pub(super) fn or_else<K: Hash + Eq>(mut self, have: &[K], wanted: &[K]) -> Matching {
        let mut gone: Vec<Option<&K>> = have.iter().map(Some).collect();
        for had in self.of.iter().flatten() {
            gone[*had] = None;
        }
        let come: Vec<Option<&K>> = wanted
            .iter()
            .zip(&self.of)
            .map(|(key, of)| of.is_none().then_some(key))
            .collect();
        let ceilings = self.ceilings();
        let mut floor = 0;
        for (index, had) in paired(&gone, &come).into_iter().enumerate() {
            let is_free = gone_at(&gone, had) && self.of[index].is_none();
            if let Some(had) = had.filter(|had| is_free && (floor..ceilings[index]).contains(had)) {
                (self.of[index], self.stays[index]) = (Some(had), true);
            }
            if let (true, Some(had)) = (self.stays[index], self.of[index]) {
                floor = had + 1;
            }
        }
        self
    }

    /// For each that is wanted, the first one behind it that stays.
    fn ceilings(&self) -> Vec<usize> {
        let mut ceiling = self.had;
        let mut ceilings = vec![ceiling; self.of.len()];
        for index in (0..self.of.len()).rev() {
            ceilings[index] = ceiling;
            if let (true, Some(had)) = (self.stays[index], self.of[index]) {
                ceiling = had;
            }
        }
        ceilings
    }

    /// For each that is wanted: which it is, and whether that stays in place.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (Option<usize>, bool)> {
        self.of.iter().copied().zip(self.stays.iter().copied())
    }

    /// Those that are no longer wanted.
    pub(super) fn gone(&self) -> Vec<usize> {
        let mut wanted = vec![false; self.had];
        for had in self.of.iter().flatten() {
            wanted[*had] = true;
        }
        (0..self.had).filter(|had| !wanted[*had]).collect()
    }
}

fn gone_at<K>(gone: &[Option<K>], had: Option<usize>) -> bool {
    had.is_some_and(|had| gone[had].is_some())
}

fn paired<K: Hash + Eq>(have: &[K], wanted: &[K]) -> Vec<Option<usize>> {
    let mut places: HashMap<&K, VecDeque<usize>> = HashMap::new();
    for (place, key) in have.iter().enumerate() {
        places.entry(key).or_default().push_back(place);
    }
    let place_of = |key| places.get_mut(key).and_then(VecDeque::pop_front);
    wanted.iter().map(place_of).collect()
}

/// The indices of a longest run of rising places: patience sorting, which takes
/// n log n steps where comparing all would take minutes for a large file.
fn longest_rise(places: &[Option<usize>]) -> Vec<usize> {
    // For each length, the run of that length that ends lowest.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; places.len()];
    for (index, place) in places.iter().enumerate() {
        if place.is_none() {
            continue;
        }
        let length = ends.partition_point(|end| places[*end] < *place);
        before[index] = length.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut run = Vec::from_iter(ends.last().copied());
    while let Some(previous) = run.last().and_then(|index| before[*index]) {
        run.push(previous);
    }
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wanted, letter by letter: where it was, with `!` if it has to move.
    fn shown(matching: &Matching) -> String {
        let one = |(of, stays): (Option<usize>, bool)| match (of, stays) {
            (Some(had), true) => format!("{had}"),
            (Some(had), false) => format!("{had}!"),
            (None, _) => "+".to_owned(),
        };
        matching.wanted().map(one).collect::<Vec<_>>().join(" ")
    }

    fn matched(have: &str, wanted: &str) -> Matching {
        Matching::new(have.as_bytes(), wanted.as_bytes())
    }

    #[test]
    fn as_many_as_possible_stay() {
        assert_eq!(shown(&matched("abcd", "abcd")), "0 1 2 3");
        assert_eq!(shown(&matched("abcd", "bcda")), "1 2 3 0!");
        assert_eq!(shown(&matched("abcd", "dabc")), "3! 0 1 2");
        assert_eq!(shown(&matched("abcd", "axdyb")), "0 + 3! + 1");
        assert_eq!(shown(&matched("", "ab")), "+ +");
        assert_eq!(matched("abcd", "db").gone(), [0, 2]);
    }

    #[test]
    fn of_several_alike_the_first_is_the_first() {
        assert_eq!(shown(&matched("aab", "aaab")), "0 1 + 2");
    }

    #[test]
    fn what_is_renamed_stays_if_its_neighbours_are_the_same() {
        let renamed = |have: &str, wanted: &str, had: &str, now: &str| {
            let matching = matched(have, wanted).or_else(had.as_bytes(), now.as_bytes());
            (shown(&matching), matching.gone())
        };
        assert_eq!(
            renamed("abc", "axc", "123", "123"),
            ("0 1 2".into(), vec![])
        );
        assert_eq!(
            renamed("abc", "axc", "123", "193"),
            ("0 + 2".into(), vec![1])
        );
        assert_eq!(
            renamed("abc", "acx", "123", "132"),
            ("0 2 +".into(), vec![1])
        );
        assert_eq!(renamed("ab", "xy", "12", "21"), ("1 +".into(), vec![0]));
        assert_eq!(renamed("ab", "ba", "11", "11"), ("1! 0".into(), vec![]));
    }

    #[test]
    fn a_longest_rise_is_as_long_as_any_other_way_finds_it() {
        let mut random = crate::config::arbitrary::Random::new(7);
        for _ in 0..2000 {
            let count = random.below(9);
            let mut places: Vec<_> = (0..count).map(Some).collect();
            for index in 0..count {
                places.swap(index, random.below(count));
            }
            let run = longest_rise(&places);
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
