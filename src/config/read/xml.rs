//! What the XML parser complains of, said to an operator.

use roxmltree::{Error as XmlError, TextPos};

use crate::config::error::{Error, ErrorKind, Position, Shown};
use crate::config::scan::Scanned;

/// Turns the parser's error into one of ours.
pub(super) fn explain(error: &XmlError, scanned: &Scanned<'_>) -> Error {
    let at = |offset| Position::at(scanned.original, offset);
    // The parser has no place for what it misses at the end.
    let at_the_end = matches!(
        error,
        XmlError::NoRootNode | XmlError::UnclosedRootNode | XmlError::UnexpectedEndOfStream
    );
    if at_the_end {
        return match scanned.unfinished {
            Some(offset) => Error {
                position: at(offset),
                kind: ErrorKind::Unfinished,
            },
            None => Error {
                position: at(scanned.original.len()),
                kind: ErrorKind::Xml("the file has no element: <config> is missing".into()),
            },
        };
    }
    let offset = offset_of(&scanned.text, error.pos());
    Error {
        position: at(offset),
        kind: ErrorKind::Xml(sentence(error)),
    }
}

/// The byte where the parser's line and column are, in the text it was given.
fn offset_of(text: &str, position: TextPos) -> usize {
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
                offset_of(text, TextPos::new(row, col)),
                offset,
                "{row}:{col}"
            );
        }
        assert_eq!(offset_of(text, TextPos::new(9, 1)), text.len());
    }
}
