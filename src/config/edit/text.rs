//! Changes an XML text in place: adds, removes and rewrites elements and attributes in the operator's style.
//!
//! Knows about indentation, line ends, quotes and comments; not which elements change, or why.

use std::ops::Range;

use roxmltree::{Attribute as Found, Node};

use crate::config::read::NOTE;
use crate::config::serialize::{Attribute, Escaped, Form, Style};

/// How much is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Nothing but what differs.
    InPlace,
    /// Each service or section that differs: for whatever nobody thought of. What is
    /// in force is saved then, at the cost of the comments in these.
    Whole,
}

pub(super) struct Editor<'a> {
    pub(super) page: Page<'a>,
    pub(super) manner: Manner,
}

const LINE_ENDS: [char; 2] = ['\n', '\r'];
const BLANKS: [char; 2] = [' ', '\t'];

/// A text whose elements have been parsed.
pub(super) struct Page<'a> {
    text: &'a str,
    root: Range<usize>,
    line_end: &'a str,
    unit: &'a str,
}

/// What precedes an element: the end of a line and an indentation, or no more than
/// the blanks behind something else on its line.
#[derive(Debug, Clone)]
struct Lead<'a> {
    start: usize,
    line_end: &'a str,
    blanks: &'a str,
}

/// Where something is put.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'n, 'i> {
    /// Behind an element, and the comments behind it on its line.
    After(Node<'n, 'i>),
    /// Before an element.
    Before(Node<'n, 'i>),
    /// At the end of an element that holds none.
    Inside(Node<'n, 'i>),
}

/// What is put there.
pub(super) enum Piece {
    /// Something new.
    New(Form),
    /// What stood elsewhere, as deep.
    Moved(String),
}

impl<'a> Page<'a> {
    pub(super) fn new(text: &'a str, root: Node<'_, '_>) -> Page<'a> {
        let first_end = text.find(LINE_ENDS).map(|at| &text[at..]);
        let mut page = Page {
            text,
            root: root.range(),
            line_end: first_end.map_or("\n", |rest| {
                if rest.starts_with("\r\n") {
                    "\r\n"
                } else {
                    &rest[..1]
                }
            }),
            unit: "  ",
        };
        let first = root.children().find(Node::is_element);
        if let Some(first) = first.map(|first| page.lead(first.range().start)) {
            let outer = page.lead(page.root.start).blanks;
            let unit = first.blanks.strip_prefix(outer).unwrap_or_default();
            if !first.line_end.is_empty() && !unit.is_empty() {
                page.unit = unit;
            }
        }
        page
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Where the name of an element ends.
    pub(super) fn name_end(&self, node: Node<'_, '_>) -> usize {
        let start = node.range().start + 1;
        let is_end = |byte: u8| byte.is_ascii_whitespace() || b"/>".contains(&byte);
        let name = self.text.as_bytes()[start..].iter();
        start + name.take_while(|byte| !is_end(**byte)).count()
    }

    /// An element with the comments and notes behind it on its line: they are most
    /// likely about it.
    pub(super) fn with_remarks(&self, node: Node<'_, '_>) -> Range<usize> {
        let Range { start, end } = node.range();
        let mut remarks_end = end;
        for sibling in node.next_siblings().skip(1).filter(|it| !it.is_text()) {
            let range = sibling.range();
            let between = &self.text[remarks_end..range.start];
            let is_remark = sibling.is_comment() || sibling.has_tag_name(NOTE);
            if !is_remark || !between.trim_start_matches(BLANKS).is_empty() {
                break;
            }
            remarks_end = range.end;
        }
        // With more on the same line it would be too bold to say so.
        let rest = self.text[remarks_end..].trim_start_matches(BLANKS);
        match rest.starts_with(LINE_ENDS) || rest.starts_with("</") {
            true => start..remarks_end,
            false => start..end,
        }
    }

    /// Takes something out, and the line if nothing else is on it.
    pub(super) fn remove(&self, range: Range<usize>, edits: &mut Edits) {
        let lead = self.lead(range.start);
        let rest = self.text[range.end..].trim_start_matches(BLANKS);
        let blanks_end = self.text.len() - rest.len();
        let begins_line = !lead.line_end.is_empty();
        let removed = match (begins_line, rest.starts_with(LINE_ENDS)) {
            (true, true) => lead.start..blanks_end,
            (false, _) if !lead.blanks.is_empty() => lead.start..range.end,
            _ => range.start..blanks_end,
        };
        // What a section of CDATA ends with may not come about in text.
        let instead = if self.text[..removed.start].ends_with(']') {
            " "
        } else {
            ""
        };
        edits.replace(removed, instead);
    }

    /// Writes an element anew where it stands.
    pub(super) fn rewrite(&self, node: Node<'_, '_>, form: &Form, edits: &mut Edits) {
        let lead = self.lead(node.range().start);
        edits.replace(node.range(), self.style(&lead).written(form, lead.blanks));
    }

    /// Puts pieces somewhere, in their order.
    pub(super) fn insert(&self, place: Place<'_, '_>, pieces: Vec<Piece>, edits: &mut Edits) {
        let (at, node) = match place {
            Place::Inside(parent) => return self.insert_inside(parent, pieces, edits),
            Place::After(node) => (self.with_remarks(node).end, node),
            Place::Before(node) => (self.lead(node.range().start).start, node),
        };
        let lead = self.lead(node.range().start);
        edits.replace(at..at, self.written(pieces, &lead));
    }

    fn insert_inside(&self, parent: Node<'_, '_>, pieces: Vec<Piece>, edits: &mut Edits) {
        let end = parent.range().end;
        let outer = self.lead_of_parent(parent);
        let style = self.style(&outer);
        let blanks = match style.line_end {
            "" => String::new(),
            _ => style.inside(outer.blanks),
        };
        let inner = Lead {
            blanks: &blanks,
            ..outer
        };
        let inserted = self.written(pieces, &inner);
        let close_lead = style.lead(outer.blanks);
        if let Some(open) = self.text[..end].strip_suffix("/>") {
            let start = open.trim_ascii_end().len();
            let name = &self.text[parent.range().start + 1..self.name_end(parent)];
            return edits.replace(start..end, format!(">{inserted}{close_lead}</{name}>"));
        }
        let close = self.text[..end].rfind("</").unwrap_or(end);
        let lead = self.lead(close);
        match lead.line_end {
            "" => edits.replace(close..close, inserted + &close_lead),
            _ => edits.replace(lead.start..lead.start, inserted),
        }
    }

    fn written(&self, pieces: Vec<Piece>, lead: &Lead<'_>) -> String {
        let mut text = String::new();
        for piece in pieces {
            text += lead.line_end;
            text += lead.blanks;
            text += &match piece {
                Piece::New(form) => self.style(lead).written(&form, lead.blanks),
                Piece::Moved(moved) => moved,
            };
        }
        text
    }

    /// How elements are written that have such a lead: with line ends, if it has one.
    fn style<'l>(&self, lead: &Lead<'l>) -> Style<'l>
    where
        'a: 'l,
    {
        Style {
            line_end: lead.line_end,
            unit: self.unit,
            defaults: false,
        }
    }

    fn lead(&self, start: usize) -> Lead<'a> {
        let before = &self.text[..start];
        let line = before.trim_end_matches(BLANKS);
        let line_end = match line {
            _ if line.ends_with("\r\n") => "\r\n",
            _ if line.ends_with('\n') => "\n",
            _ if line.ends_with('\r') => "\r",
            _ => "",
        };
        Lead {
            start: line.len() - line_end.len(),
            line_end,
            blanks: &before[line.len()..],
        }
    }

    /// The lead of an element that others are put into: the outermost one has lines
    /// of its own, even if it stands behind an XML declaration or first of all.
    fn lead_of_parent(&self, parent: Node<'_, '_>) -> Lead<'a> {
        let lead = self.lead(parent.range().start);
        if parent.range() != self.root || !lead.line_end.is_empty() {
            return lead;
        }
        Lead {
            line_end: self.line_end,
            blanks: "",
            ..lead
        }
    }
}

/// Changes those of `node` whose meaning is another in `wanted` than in `have`:
/// the same attributes in the same order.
pub(super) fn edit_attributes(
    page: &Page<'_>,
    node: Node<'_, '_>,
    have: &[Attribute],
    wanted: &[Attribute],
    edits: &mut Edits,
) {
    for (had, now) in have.iter().zip(wanted) {
        if had.value != now.value {
            set_attribute(page, node, now.name, now.value.as_deref(), edits);
        }
    }
}

/// Gives an attribute a value, or takes it away.
pub(super) fn set_attribute(
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
        (None, Some(value)) => append_attribute(page, node, name, value, edits),
        (None, None) => {}
    }
}

/// Adds an attribute behind the last, in its fashion: on a line of its own or not,
/// and in the same quotes.
fn append_attribute(
    page: &Page<'_>,
    node: Node<'_, '_>,
    name: &str,
    value: &str,
    edits: &mut Edits,
) {
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

/// Changes, in whatever order they were thought of.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts `text` where `range` is; several at one place stay in their order.
    pub(super) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.0.push((range, text.into()));
    }

    /// The part `within` of `text`, changed.
    ///
    /// What is removed may overlap, as two neighbours do that both take the blanks
    /// between them along; what is put inside of something removed comes in its stead.
    pub(super) fn applied(mut self, text: &str, within: Range<usize>) -> String {
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

    fn applied(edits: &[(Range<usize>, &str)]) -> String {
        let mut all = Edits::default();
        for (range, text) in edits {
            all.replace(range.clone(), *text);
        }
        all.applied("0123456789", 2..9)
    }

    #[test]
    fn only_the_part_is_taken_and_the_rest_of_it_stays() {
        assert_eq!(applied(&[]), "2345678");
        assert_eq!(applied(&[(5..6, "-"), (2..3, "")]), "34-678");
    }

    #[test]
    fn several_at_one_place_stay_in_order_and_precede_what_is_replaced_there() {
        assert_eq!(
            applied(&[(4..5, "x"), (4..4, "a"), (4..4, "b")]),
            "23abx5678"
        );
    }

    #[test]
    fn what_is_removed_may_overlap_and_be_put_into() {
        assert_eq!(applied(&[(3..6, ""), (5..8, "")]), "28");
        assert_eq!(applied(&[(3..6, ""), (5..5, "new")]), "2new678");
        assert_eq!(applied(&[(3..6, ""), (6..6, "new")]), "2new678");
    }
}
