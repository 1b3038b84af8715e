//! Elements of one kind in their order: which are added, removed, moved or stay.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use roxmltree::Node;

use super::text::{Edits, InsertPoint, Insertion, SourceText, edit_attributes, set_attribute};
use crate::config::schema::{NOTE, element_schema};
use crate::config::serialize::{XmlAttribute, XmlElement};
use crate::config::verb::longest_rising_sequence;

/// The child elements of one kind, matched with the wanted items.
pub(super) struct List<'n, 'i> {
    pub(super) nodes: Vec<Node<'n, 'i>>,
    pub(super) matching: Matching,
}

/// Edits an existing element into a wanted one, given by their indices.
type EditOne<'f> = &'f dyn Fn(Node<'_, '_>, usize, usize, &mut Edits);

impl List<'_, '_> {
    /// Adds, removes, moves and edits the elements; `new` makes missing ones. Returns new elements
    /// for which there is no sibling of their kind.
    #[must_use]
    pub(super) fn edit(
        &self,
        source: &SourceText<'_>,
        new: &dyn Fn(usize) -> XmlElement,
        edit: EditOne<'_>,
        edits: &mut Edits,
    ) -> Vec<XmlElement> {
        let Some(mut point) = self.first_insert_point() else {
            return (0..self.matching.wanted().count()).map(new).collect();
        };
        for removed in self.matching.removed() {
            source.remove(self.nodes[removed].range(), edits);
        }
        for (index, (had, stays)) in self.matching.wanted().enumerate() {
            match had.map(|had| (had, self.nodes[had])) {
                Some((had, node)) if stays => {
                    edit(node, had, index, edits);
                    point = InsertPoint::After(node);
                }
                Some((had, node)) => {
                    let mut inner = Edits::default();
                    edit(node, had, index, &mut inner);
                    let range = source.range_with_comments(node);
                    source.remove(range.clone(), edits);
                    let moved = Insertion::Moved(inner.apply(source.text(), range));
                    source.insert(point, vec![moved], edits);
                }
                None => source.insert(point, vec![Insertion::Element(new(index))], edits),
            }
        }
        Vec::new()
    }

    /// Where the first item goes unless it stays: before the first that stays, else after all.
    fn first_insert_point(&self) -> Option<InsertPoint<'_, '_>> {
        let mut stays = self.matching.wanted().filter(|(_, stays)| *stays);
        match stays.next() {
            Some((Some(had), _)) => Some(InsertPoint::Before(self.nodes[had])),
            _ => self.nodes.last().map(|last| InsertPoint::After(*last)),
        }
    }
}

/// The children of `parent` with one of these names.
pub(super) fn children<'n, 'i>(parent: Node<'n, 'i>, names: &[&str]) -> Vec<Node<'n, 'i>> {
    parent
        .children()
        .filter(|child| child.is_element() && names.contains(&child.tag_name().name()))
        .collect()
}

/// The first child of `parent` with this name.
pub(super) fn child<'n, 'i>(parent: Node<'n, 'i>, name: &str) -> Option<Node<'n, 'i>> {
    children(parent, &[name]).into_iter().next()
}

/// Edits an element that occurs at most once; returns it if it is new.
pub(super) fn edit_optional(
    source: &SourceText<'_>,
    node: Option<Node<'_, '_>>,
    have: Option<XmlElement>,
    wanted: Option<XmlElement>,
    edits: &mut Edits,
) -> Option<XmlElement> {
    match (node, have, wanted) {
        (Some(node), Some(had), Some(now)) => {
            edit_attributes(source, node, &had, &now, edits);
            None
        }
        // An element that means "none", such as socket="None".
        (Some(node), None, Some(now)) => {
            let is_written = |it: &&XmlAttribute| !it.is_default || node.has_attribute(it.name);
            for now in now.attributes.iter().filter(is_written) {
                set_attribute(source, node, now.name, now.value.as_deref(), edits);
            }
            None
        }
        (Some(node), Some(_), None) => {
            source.remove(node.range(), edits);
            None
        }
        (Some(_), None, None) => None,
        (None, _, now) => now,
    }
}

/// Inserts elements that are the first of their kinds into `parent`, in the order of the schema.
pub(super) fn insert_elements(
    source: &SourceText<'_>,
    parent: Node<'_, '_>,
    elements: Vec<XmlElement>,
    edits: &mut Edits,
) {
    let rank = |name: &str| {
        let known = element_schema(parent.tag_name().name())?;
        known.children.iter().position(|child| child.name == name)
    };
    let mut inside = Vec::new();
    for element in elements {
        let element_rank = rank(element.name);
        let others = || {
            let elements = parent.children().filter(Node::is_element);
            elements.filter(|child| child.tag_name().name() != NOTE)
        };
        let is_earlier = |child: &Node<'_, '_>| rank(child.tag_name().name()) <= element_rank;
        let point = others()
            .rfind(is_earlier)
            .map(InsertPoint::After)
            .or_else(|| others().next().map(InsertPoint::Before));
        match point {
            Some(point) => source.insert(point, vec![Insertion::Element(element)], edits),
            None => inside.push(Insertion::Element(element)),
        }
    }
    if !inside.is_empty() {
        source.insert(InsertPoint::Inside(parent), inside, edits);
    }
}

/// Existing items matched with wanted ones, both by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matching {
    old_count: usize,
    /// For each wanted item, the existing one.
    matched: Vec<Option<usize>>,
    /// For each wanted item, whether the existing one stays in place.
    stays: Vec<bool>,
}

impl Matching {
    /// Matches by a key; equal keys match in order.
    pub(super) fn new<K: Hash + Eq>(have: &[K], wanted: &[K]) -> Matching {
        let matched = pair_by_key(have, wanted);
        Matching {
            old_count: have.len(),
            stays: longest_rising_sequence(&matched),
            matched,
        }
    }

    /// Matches a removed with an added item between the same neighbours by another key: it was only
    /// renamed.
    pub(super) fn or_else<K: Hash + Eq>(mut self, have: &[K], wanted: &[K]) -> Matching {
        let mut removed: Vec<Option<&K>> = have.iter().map(Some).collect();
        for had in self.matched.iter().flatten() {
            removed[*had] = None;
        }
        let added: Vec<Option<&K>> = wanted
            .iter()
            .zip(&self.matched)
            .map(|(key, matched)| matched.is_none().then_some(key))
            .collect();
        let ceilings = self.ceilings();
        let mut floor = 0;
        for (index, had) in pair_by_key(&removed, &added).into_iter().enumerate() {
            let is_free = is_removed(&removed, had) && self.matched[index].is_none();
            if let Some(had) = had.filter(|had| is_free && (floor..ceilings[index]).contains(had)) {
                (self.matched[index], self.stays[index]) = (Some(had), true);
            }
            if let (true, Some(had)) = (self.stays[index], self.matched[index]) {
                floor = had + 1;
            }
        }
        self
    }

    /// For each wanted item, the existing index of the next one that stays.
    fn ceilings(&self) -> Vec<usize> {
        let mut ceiling = self.old_count;
        let mut ceilings = vec![ceiling; self.matched.len()];
        for index in (0..self.matched.len()).rev() {
            ceilings[index] = ceiling;
            if let (true, Some(had)) = (self.stays[index], self.matched[index]) {
                ceiling = had;
            }
        }
        ceilings
    }

    /// For each wanted item: the existing one, and whether it stays in place.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (Option<usize>, bool)> {
        self.matched.iter().copied().zip(self.stays.iter().copied())
    }

    /// Existing items that are not wanted.
    pub(super) fn removed(&self) -> Vec<usize> {
        let mut wanted = vec![false; self.old_count];
        for had in self.matched.iter().flatten() {
            wanted[*had] = true;
        }
        (0..self.old_count).filter(|had| !wanted[*had]).collect()
    }
}

fn is_removed<K>(removed: &[Option<K>], had: Option<usize>) -> bool {
    had.is_some_and(|had| removed[had].is_some())
}

fn pair_by_key<K: Hash + Eq>(have: &[K], wanted: &[K]) -> Vec<Option<usize>> {
    let mut places: HashMap<&K, VecDeque<usize>> = HashMap::new();
    for (point, key) in have.iter().enumerate() {
        places.entry(key).or_default().push_back(point);
    }
    let place_of = |key| places.get_mut(key).and_then(VecDeque::pop_front);
    wanted.iter().map(place_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wanted, letter by letter: where it was, with `!` if it has to move.
    fn shown(matching: &Matching) -> String {
        let one = |(matched, stays): (Option<usize>, bool)| match (matched, stays) {
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
        assert_eq!(matched("abcd", "db").removed(), [0, 2]);
    }

    #[test]
    fn of_several_alike_the_first_is_the_first() {
        assert_eq!(shown(&matched("aab", "aaab")), "0 1 + 2");
    }

    #[test]
    fn what_is_renamed_stays_if_its_neighbours_are_the_same() {
        let renamed = |have: &str, wanted: &str, had: &str, now: &str| {
            let matching = matched(have, wanted).or_else(had.as_bytes(), now.as_bytes());
            (shown(&matching), matching.removed())
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
}
