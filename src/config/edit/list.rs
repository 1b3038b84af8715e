//! Elements of one kind in their order: which come, go, move or stay.

use roxmltree::Node;

use super::attributes;
use super::edits::Edits;
use super::matching::Matching;
use super::page::{Page, Piece, Place};
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
            attributes::edit(page, node, &had.attributes, &now.attributes, edits);
            None
        }
        // One that says that there is none.
        (Some(node), None, Some(now)) => {
            let said = |it: &&Attribute| !it.is_default || node.has_attribute(it.name);
            for now in now.attributes.iter().filter(said) {
                attributes::set(page, node, now.name, now.value.as_deref(), edits);
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
