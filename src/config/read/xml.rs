//! What the XML parser complains of, said to an operator.

use roxmltree::{Error as XmlError, TextPos};

use crate::config::error::{Error, ErrorKind, Position, Shown};
use crate::config::scan::Scanned;

/// Turns the parser's error into one of ours.
pub(super) fn explain(error: &XmlError, scanned: &Scanned<'_>) -> Error {
    let end = scanned.original.len();
    let (offset, kind) = match (offset_of(&scanned.text, error), scanned.unfinished) {
        // Where something begins that does not end says more than where the end is.
        (offset, Some(start)) if offset == end => (start, ErrorKind::Unfinished),
        (offset, _) => (offset, ErrorKind::Xml(sentence(error))),
    };
    Error {
        position: Position::at(scanned.original, offset),
        kind,
    }
}

/// The byte that the parser complains of, in the text it was given.
fn offset_of(text: &str, error: &XmlError) -> usize {
    match error {
        // It has no place for what it misses at the end.
        XmlError::NoRootNode | XmlError::UnclosedRootNode | XmlError::UnexpectedEndOfStream => {
            text.len()
        }
        _ => offset_at(text, error.pos()),
    }
}

/// The byte at a line and a column, both from 1.
fn offset_at(text: &str, position: TextPos) -> usize {
    let from_one = |number: u32| number.saturating_sub(1) as usize;
    let line: &str = match from_one(position.row) {
        0 => text,
        row => text
            .match_indices('\n')
            .nth(row - 1)
            .map_or("", |(end, _)| &text[end + 1..]),
    };
    let before = line.char_indices().nth(from_one(position.col));
    text.len() - line.len() + before.map_or(line.len(), |(offset, _)| offset)
}

fn sentence(error: &XmlError) -> String {
    match error {
        XmlError::NoRootNode => "the file has no element: <config> is missing".into(),
        XmlError::UnexpectedCloseTag(expected, actual, _) => {
            format!(
                "</{}> where </{}> should be",
                Shown(actual),
                Shown(expected)
            )
        }
        XmlError::UnknownEntityReference(name, _) => {
            format!(
                "there is no entity &{};: an & itself is written &amp;",
                Shown(name)
            )
        }
        XmlError::MalformedEntityReference(_) => "an & itself is written &amp;".into(),
        XmlError::InvalidChar(b'"' | b'\'', b'<', _) | XmlError::InvalidAttributeValue(_) => {
            "a value has no closing quote, or a < that should be written &lt;".into()
        }
        XmlError::InvalidChar2("a quote", ..) => "the value should be in quotes".into(),
        XmlError::DuplicatedAttribute(name, _) => {
            format!("the attribute {} is there twice", Shown(name))
        }
        XmlError::NonXmlChar(character, _) => {
            format!("XML forbids the character U+{:04X}", u32::from(*character))
        }
        XmlError::InvalidComment(_) => "a comment may not have -- in it".into(),
        XmlError::UnexpectedDeclaration(_) => {
            "an XML declaration may only stand at the very beginning".into()
        }
        XmlError::DtdDetected | XmlError::UnknownToken(_) => {
            "nothing of the kind may stand here".into()
        }
        _ => {
            let text = error
                .to_string()
                .replace(&format!(" at {}", error.pos()), "");
            format!("not well-formed XML: {}", Shown(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parsers_columns_are_characters() {
        let text = "ä<\n\nöü>";
        for (row, col, offset) in [(1, 1, 0), (1, 2, 2), (3, 1, 5), (3, 3, 9), (3, 9, 10)] {
            assert_eq!(
                offset_at(text, TextPos::new(row, col)),
                offset,
                "{row}:{col}"
            );
        }
        assert_eq!(offset_at(text, TextPos::new(9, 1)), text.len());
    }
}
