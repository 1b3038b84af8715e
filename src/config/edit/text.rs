//! Changes an XML text in place: adds, removes and rewrites elements and attributes in the
//! operator's style.
//!
//! Knows about indentation, line ends, quotes and comments; not which elements change, or why.

use std::ops::Range;

use roxmltree::{Attribute, Node};

use crate::config::schema::NOTE;
use crate::config::serialize::{Escaped, Layout, XmlElement};

/// How much of the text is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EditMode {
    /// Only what differs.
    InPlace,
    /// Each service or section that differs, as a whole. The fallback: it saves the configuration
    /// at the cost of comments.
    Whole,
}

pub(super) struct Editor<'a> {
    pub(super) source: SourceText<'a>,
    pub(super) mode: EditMode,
}

const LINE_ENDS: [char; 2] = ['\n', '\r'];
const BLANKS: [char; 2] = [' ', '\t'];

/// The text of a file, with its line end and indentation.
pub(super) struct SourceText<'a> {
    text: &'a str,
    root: Range<usize>,
    line_end: &'a str,
    indent_unit: &'a str,
}

/// What precedes an element: a line end and indentation, or only blanks after something else on its
/// line.
#[derive(Debug, Clone)]
struct LinePrefix<'a> {
    start: usize,
    line_end: &'a str,
    blanks: &'a str,
}

/// Where to insert.
#[derive(Debug, Clone, Copy)]
pub(super) enum InsertPoint<'n, 'i> {
    /// After an element and the comments behind it on its line.
    After(Node<'n, 'i>),
    /// Before an element.
    Before(Node<'n, 'i>),
    /// At the end of an element without children.
    Inside(Node<'n, 'i>),
}

/// What to insert.
pub(super) enum Insertion {
    /// A new element.
    Element(XmlElement),
    /// Text moved from elsewhere, at the same depth.
    Moved(String),
}

impl<'a> SourceText<'a> {
    pub(super) fn new(text: &'a str, root: Node<'_, '_>) -> SourceText<'a> {
        let first_end = text.find(LINE_ENDS).map(|at| &text[at..]);
        let mut source = SourceText {
            text,
            root: root.range(),
            line_end: first_end.map_or("\n", |rest| {
                if rest.starts_with("\r\n") {
                    "\r\n"
                } else {
                    &rest[..1]
                }
            }),
            indent_unit: "  ",
        };
        let first = root.children().find(Node::is_element);
        if let Some(first) = first.map(|first| source.line_prefix(first.range().start)) {
            let outer = source.line_prefix(source.root.start).blanks;
            let indent_unit = first.blanks.strip_prefix(outer).unwrap_or_default();
            if !first.line_end.is_empty() && !indent_unit.is_empty() {
                source.indent_unit = indent_unit;
            }
        }
        source
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// End of an element's name.
    pub(super) fn name_end(&self, node: Node<'_, '_>) -> usize {
        let start = node.range().start + 1;
        let is_end = |byte: u8| byte.is_ascii_whitespace() || b"/>".contains(&byte);
        let name = self.text.as_bytes()[start..].iter();
        start + name.take_while(|byte| !is_end(**byte)).count()
    }

    /// Range of an element with the comments and notes behind it on its line, which most likely are
    /// about it.
    pub(super) fn range_with_comments(&self, node: Node<'_, '_>) -> Range<usize> {
        let Range { start, end } = node.range();
        let mut comments_end = end;
        for sibling in node.next_siblings().skip(1).filter(|it| !it.is_text()) {
            let range = sibling.range();
            let between = &self.text[comments_end..range.start];
            let is_comment_or_note = sibling.is_comment() || sibling.has_tag_name(NOTE);
            if !is_comment_or_note || !between.trim_start_matches(BLANKS).is_empty() {
                break;
            }
            comments_end = range.end;
        }
        // With more elements on the line, comments may belong to those.
        let rest = self.text[comments_end..].trim_start_matches(BLANKS);
        match rest.starts_with(LINE_ENDS) || rest.starts_with("</") {
            true => start..comments_end,
            false => start..end,
        }
    }

    /// Removes a range, and its line if nothing else is on it.
    pub(super) fn remove(&self, range: Range<usize>, edits: &mut Edits) {
        let line_prefix = self.line_prefix(range.start);
        let rest = self.text[range.end..].trim_start_matches(BLANKS);
        let blanks_end = self.text.len() - rest.len();
        let begins_line = !line_prefix.line_end.is_empty();
        let removed = match (begins_line, rest.starts_with(LINE_ENDS)) {
            (true, true) => line_prefix.start..blanks_end,
            (false, _) if !line_prefix.blanks.is_empty() => line_prefix.start..range.end,
            _ => range.start..blanks_end,
        };
        // Removing what follows `]]` could leave `]]>`, which XML forbids in text: put a blank
        // there. Test: taking_an_element_out_makes_no_end_of_cdata.
        let instead = if self.text[..removed.start].ends_with(']') {
            " "
        } else {
            ""
        };
        edits.replace(removed, instead);
    }

    /// Rewrites an element as a whole, in place.
    pub(super) fn rewrite(&self, node: Node<'_, '_>, element: &XmlElement, edits: &mut Edits) {
        let line_prefix = self.line_prefix(node.range().start);
        edits.replace(
            node.range(),
            self.layout(&line_prefix)
                .encode(element, line_prefix.blanks),
        );
    }

    /// Inserts at a point, in order.
    pub(super) fn insert(
        &self,
        point: InsertPoint<'_, '_>,
        insertions: Vec<Insertion>,
        edits: &mut Edits,
    ) {
        let (at, node) = match point {
            InsertPoint::Inside(parent) => return self.insert_inside(parent, insertions, edits),
            InsertPoint::After(node) => (self.range_with_comments(node).end, node),
            InsertPoint::Before(node) => (self.line_prefix(node.range().start).start, node),
        };
        let line_prefix = self.line_prefix(node.range().start);
        edits.replace(at..at, self.encode(insertions, &line_prefix));
    }

    fn insert_inside(&self, parent: Node<'_, '_>, insertions: Vec<Insertion>, edits: &mut Edits) {
        let end = parent.range().end;
        let outer = self.parent_line_prefix(parent);
        let layout = self.layout(&outer);
        let blanks = match layout.line_end {
            "" => String::new(),
            _ => layout.inner_indentation(outer.blanks),
        };
        let inner = LinePrefix {
            blanks: &blanks,
            ..outer
        };
        let inserted = self.encode(insertions, &inner);
        let close_prefix = layout.line_prefix(outer.blanks);
        if let Some(open) = self.text[..end].strip_suffix("/>") {
            let start = open.trim_ascii_end().len();
            let name = &self.text[parent.range().start + 1..self.name_end(parent)];
            return edits.replace(start..end, format!(">{inserted}{close_prefix}</{name}>"));
        }
        let close = self.text[..end].rfind("</").unwrap_or(end);
        let line_prefix = self.line_prefix(close);
        match line_prefix.line_end {
            "" => edits.replace(close..close, inserted + &close_prefix),
            _ => edits.replace(line_prefix.start..line_prefix.start, inserted),
        }
    }

    fn encode(&self, insertions: Vec<Insertion>, line_prefix: &LinePrefix<'_>) -> String {
        let mut text = String::new();
        for insertion in insertions {
            text += line_prefix.line_end;
            text += line_prefix.blanks;
            text += &match insertion {
                Insertion::Element(element) => self
                    .layout(line_prefix)
                    .encode(&element, line_prefix.blanks),
                Insertion::Moved(moved) => moved,
            };
        }
        text
    }

    /// The layout of elements with this prefix: with line ends, if it has one.
    fn layout<'l>(&self, line_prefix: &LinePrefix<'l>) -> Layout<'l>
    where
        'a: 'l,
    {
        Layout {
            line_end: line_prefix.line_end,
            indent_unit: self.indent_unit,
            defaults: false,
        }
    }

    fn line_prefix(&self, start: usize) -> LinePrefix<'a> {
        let before = &self.text[..start];
        let line = before.trim_end_matches(BLANKS);
        let line_end = match line {
            _ if line.ends_with("\r\n") => "\r\n",
            _ if line.ends_with('\n') => "\n",
            _ if line.ends_with('\r') => "\r",
            _ => "",
        };
        LinePrefix {
            start: line.len() - line_end.len(),
            line_end,
            blanks: &before[line.len()..],
        }
    }

    /// The prefix of a parent. The outermost element counts as on its own line, even behind an XML
    /// declaration or at the start.
    fn parent_line_prefix(&self, parent: Node<'_, '_>) -> LinePrefix<'a> {
        let line_prefix = self.line_prefix(parent.range().start);
        if parent.range() != self.root || !line_prefix.line_end.is_empty() {
            return line_prefix;
        }
        LinePrefix {
            line_end: self.line_end,
            blanks: "",
            ..line_prefix
        }
    }
}

/// Changes the attributes of `node` that differ between two elements of its kind.
pub(super) fn edit_attributes(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &XmlElement,
    wanted: &XmlElement,
    edits: &mut Edits,
) {
    for (had, now) in have.attributes.iter().zip(&wanted.attributes) {
        if had.value != now.value {
            set_attribute(source, node, now.name, now.value.as_deref(), edits);
        }
    }
}

/// Sets or removes an attribute.
pub(super) fn set_attribute(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    name: &str,
    value: Option<&str>,
    edits: &mut Edits,
) {
    match (node.attribute_node(name), value) {
        (Some(found), Some(value)) => {
            let (start, quote) = value_start(source, &found);
            let range = start..found.range().end - 1;
            edits.replace(range, Escaped(value, quote).to_string());
        }
        (Some(found), None) => {
            let range = found.range();
            edits.replace(
                range.start - space_before(source, &found).len()..range.end,
                "",
            );
        }
        (None, Some(value)) => append_attribute(source, node, name, value, edits),
        (None, None) => {}
    }
}

/// Adds an attribute after the last, in its style: on its own line or not, in the same quotes.
fn append_attribute(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    name: &str,
    value: &str,
    edits: &mut Edits,
) {
    let last = node.attributes().next_back();
    let end = last.map_or_else(|| source.name_end(node), |last| last.range().end);
    let quote = last.map_or('"', |last| value_start(source, &last).1);
    let space = last.map_or("", |last| space_before(source, &last));
    let space = if space.contains(['\n', '\r']) {
        space
    } else {
        " "
    };
    let value = Escaped(value, quote);
    edits.replace(end..end, format!("{space}{name}={quote}{value}{quote}"));
}

/// Start of the value, and its quote. Not taken from the parser, which is wrong with more than 255
/// blanks around the `=`.
fn value_start(source: &SourceText<'_>, attribute: &Attribute<'_, '_>) -> (usize, char) {
    let range = attribute.range();
    let text = &source.text()[range.clone()];
    let offset = text.find(['"', '\'']).unwrap_or_default();
    let quote = if text[offset..].starts_with('\'') {
        '\''
    } else {
        '"'
    };
    (range.start + offset + 1, quote)
}

fn space_before<'a>(source: &SourceText<'a>, attribute: &Attribute<'_, '_>) -> &'a str {
    let before = &source.text()[..attribute.range().start];
    &before[before.trim_ascii_end().len()..]
}

/// Replacements in a text, in any order.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Replaces `range` by `text`; several at one offset keep their order.
    pub(super) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.0.push((range, text.into()));
    }

    /// Applies the edits to the part `within` of `text`.
    ///
    /// Removed ranges may overlap, as two neighbours that both include the blanks between them. An
    /// insertion inside a removed range takes its place.
    pub(super) fn apply(mut self, text: &str, within: Range<usize>) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut result = String::with_capacity(within.len());
        let mut at = within.start;
        for (range, new) in self.0 {
            if at < range.start {
                result.push_str(&text[at..range.start]);
            }
            result.push_str(&new);
            at = at.max(range.end);
        }
        result.push_str(&text[at..within.end]);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(edits: &[(Range<usize>, &str)]) -> String {
        let mut all = Edits::default();
        for (range, text) in edits {
            all.replace(range.clone(), *text);
        }
        all.apply("0123456789", 2..9)
    }

    #[test]
    fn only_the_part_is_taken_and_the_rest_of_it_stays() {
        assert_eq!(apply(&[]), "2345678");
        assert_eq!(apply(&[(5..6, "-"), (2..3, "")]), "34-678");
    }

    #[test]
    fn several_at_one_place_stay_in_order_and_precede_what_is_replaced_there() {
        assert_eq!(apply(&[(4..5, "x"), (4..4, "a"), (4..4, "b")]), "23abx5678");
    }

    #[test]
    fn what_is_removed_may_overlap_and_be_put_into() {
        assert_eq!(apply(&[(3..6, ""), (5..8, "")]), "28");
        assert_eq!(apply(&[(3..6, ""), (5..5, "new")]), "2new678");
        assert_eq!(apply(&[(3..6, ""), (6..6, "new")]), "2new678");
    }
}
