//! Changing the attributes of an element where they stand.

use roxmltree::{Attribute as Found, Node};

use super::edits::Edits;
use super::page::Page;
use crate::config::print::Escaped;
use crate::config::serialize::Attribute;

/// Changes those of `node` whose meaning is another in `wanted` than in `have`:
/// the same attributes in the same order.
pub(super) fn edit(
    page: &Page<'_>,
    node: Node<'_, '_>,
    have: &[Attribute],
    wanted: &[Attribute],
    edits: &mut Edits,
) {
    for (had, now) in have.iter().zip(wanted) {
        if had.value != now.value {
            set(page, node, now.name, now.value.as_deref(), edits);
        }
    }
}

/// Gives an attribute a value, or takes it away.
pub(super) fn set(
    page: &Page<'_>,
    node: Node<'_, '_>,
    name: &str,
    value: Option<&str>,
    edits: &mut Edits,
) {
    match (node.attribute_node(name), value) {
        (Some(found), Some(value)) => {
            let (start, quote) = opening(page, &found);
            let range = start..found.range().end - 1;
            edits.replace(range, Escaped(value, quote).to_string());
        }
        (Some(found), None) => {
            let range = found.range();
            edits.replace(
                range.start - space_before(page, &found).len()..range.end,
                "",
            );
        }
        (None, Some(value)) => append(page, node, name, value, edits),
        (None, None) => {}
    }
}

/// Adds an attribute behind the last, in its fashion: on a line of its own or not,
/// and in the same quotes.
fn append(page: &Page<'_>, node: Node<'_, '_>, name: &str, value: &str, edits: &mut Edits) {
    let last = node.attributes().next_back();
    let end = last.map_or_else(|| page.name_end(node), |last| last.range().end);
    let quote = last.map_or('"', |last| opening(page, &last).1);
    let space = last.map_or("", |last| space_before(page, &last));
    let space = if space.contains(['\n', '\r']) {
        space
    } else {
        " "
    };
    let value = Escaped(value, quote);
    edits.replace(end..end, format!("{space}{name}={quote}{value}{quote}"));
}

/// Where the value begins, and its quote. The parser knows too, but not when the
/// `=` has more than 255 blanks around it.
fn opening(page: &Page<'_>, attribute: &Found<'_, '_>) -> (usize, char) {
    let range = attribute.range();
    let text = &page.text()[range.clone()];
    let offset = text.find(['"', '\'']).unwrap_or_default();
    let quote = if text[offset..].starts_with('\'') {
        '\''
    } else {
        '"'
    };
    (range.start + offset + 1, quote)
}

fn space_before<'a>(page: &Page<'a>, attribute: &Found<'_, '_>) -> &'a str {
    let before = &page.text()[..attribute.range().start];
    &before[before.trim_ascii_end().len()..]
}
