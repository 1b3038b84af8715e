//! Splits a line into words, and quotes words.
//!
//! Blanks separate words. Double quotes may contain blanks, and the escapes `\"`, `\\` and
//! `\u{HEX}`. Outside of quotes a backslash is a plain character.

use std::fmt::{self, Write as _};

use super::ParseError;
use crate::non_printing::{is_non_printing, letters};

/// The longest escape: `\\u{10ffff}` and some zeros.
const MAX_ESCAPE_LENGTH: usize = 16;

/// Splits a line, without its line end, into words.
///
/// # Errors
/// A control character, an open quote or an unknown escape.
pub fn words(line: &str) -> Result<Vec<String>, ParseError> {
    if let Some(found) = line.chars().find(|character| character.is_control()) {
        return Err(ParseError::ControlCharacter(found));
    }
    let mut words = Vec::new();
    let mut rest = line.trim_start_matches(' ');
    while !rest.is_empty() {
        let (word, behind) = split_first_word(rest)?;
        words.push(word);
        rest = behind.trim_start_matches(' ');
    }
    Ok(words)
}

/// A line that is still being typed.
pub(super) struct PartialLine {
    /// The words before the last.
    pub(super) words: Vec<String>,
    /// Start of the last word, in bytes.
    pub(super) start: usize,
    /// Its text so far.
    pub(super) text: String,
    /// Whether a quote is open.
    pub(super) in_quotes: bool,
}

/// Splits a line into whole words and a last, partial one, which is empty after a blank. What
/// cannot be split belongs to it.
pub(super) fn parse_partial_line(line: &str) -> PartialLine {
    let mut words = Vec::new();
    let mut rest = line.trim_start_matches(' ');
    loop {
        let start = line.len() - rest.len();
        let (text, in_quotes) = match split_first_word(rest) {
            Ok((word, behind)) if !behind.is_empty() => {
                words.push(word);
                rest = behind.trim_start_matches(' ');
                continue;
            }
            Ok((word, _)) => (word, false),
            Err(_) => (decode_open_word(rest), true),
        };
        return PartialLine {
            words,
            start,
            text,
            in_quotes,
        };
    }
}

/// Decodes a word with an open quote; a partial escape is dropped.
fn decode_open_word(text: &str) -> String {
    let closed = |end: usize| {
        let closed = format!("{}\"", &text[..end]);
        let (word, behind) = split_first_word(&closed).ok()?;
        behind.is_empty().then_some(word)
    };
    let shorter = text.char_indices().rev().map(|(index, _)| index);
    let mut ends = std::iter::once(text.len())
        .chain(shorter)
        .take(MAX_ESCAPE_LENGTH);
    ends.find_map(closed).unwrap_or_default()
}

/// Splits off the first word of `text`.
fn split_first_word(text: &str) -> Result<(String, &str), ParseError> {
    let mut word = String::new();
    let mut rest = text;
    loop {
        let end = rest.find([' ', '"']).unwrap_or(rest.len());
        word.push_str(&rest[..end]);
        match rest[end..].strip_prefix('"') {
            Some(quoted) => rest = unquote(quoted, &mut word)?,
            None => return Ok((word, &rest[end..])),
        }
    }
}

/// Adds the text up to the closing quote to `word`; returns the rest.
fn unquote<'a>(quoted: &'a str, word: &mut String) -> Result<&'a str, ParseError> {
    let mut rest = quoted;
    loop {
        let end = rest.find(['"', '\\']).ok_or(ParseError::UnclosedQuote)?;
        word.push_str(&rest[..end]);
        match rest[end..].strip_prefix('\\') {
            Some(escape) => rest = unescape(escape, word)?,
            None => return Ok(&rest[end + 1..]),
        }
    }
}

/// Decodes what follows a backslash into `word`; returns the rest.
fn unescape<'a>(escape: &'a str, word: &mut String) -> Result<&'a str, ParseError> {
    let Some(first) = escape.chars().next() else {
        return Err(ParseError::UnclosedQuote);
    };
    if let ('"' | '\\', rest) = (first, &escape[first.len_utf8()..]) {
        word.push(first);
        return Ok(rest);
    }
    let number = escape
        .strip_prefix("u{")
        .and_then(|rest| rest.split_once('}'));
    let character = number.and_then(|(digits, rest)| {
        let number = u32::from_str_radix(digits, 16).ok()?;
        Some((char::from_u32(number)?, rest))
    });
    let (character, rest) = character.ok_or(ParseError::UnknownEscape(first))?;
    word.push(character);
    Ok(rest)
}

/// A word for a line, quoted only where needed: [`words`] reads it.
pub(crate) fn quote(word: &str) -> String {
    QuotedWord(word).to_string()
}

/// Whether `name` begins with `text`, ignoring case.
pub(super) fn begins(name: &str, text: &str) -> bool {
    let head = name.get(..text.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(text))
}

/// Whether a word is written in quotes. Other blanks than those between words are quoted, too, so
/// that people see them.
pub(super) fn needs_quotes(word: &str) -> bool {
    let is_quoted = |character: char| {
        character == '"' || character.is_whitespace() || is_non_printing(character)
    };
    word.is_empty() || word.contains(is_quoted)
}

/// A word as in a line, quoted only where needed.
pub(super) struct QuotedWord<'a>(pub(super) &'a str);

impl QuotedWord<'_> {
    /// Quoted even where not needed.
    pub(super) fn always_quoted(&self) -> String {
        let written = self.to_string();
        match written.starts_with('"') {
            true => written,
            // Without quotes, backslashes were not escaped yet.
            false => format!("\"{}\"", written.replace('\\', "\\\\")),
        }
    }
}

impl fmt::Display for QuotedWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !needs_quotes(self.0) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        letters(self.0).try_for_each(|letter| match letter {
            ('"' | '\\', _) => write!(f, "\\{}", letter.0),
            (character, true) => write!(f, "{}", character.escape_unicode()),
            (character, false) => f.write_char(character),
        })?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_may_stand_anywhere_in_a_word() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("   ", &[]),
            ("a", &["a"]),
            ("  a  b ", &["a", "b"]),
            (r#"a=b "c d" e="f g"h"#, &["a=b", "c d", "e=f gh"]),
            (r#""" a="""#, &["", "a="]),
            (r#"a=" \"\\ " b"#, &["a= \"\\ ", "b"]),
            (r"a=C:\new", &[r"a=C:\new"]),
            (r#"a="\u{9}\u{1f4be}""#, &["a=\t💾"]),
            ("a=ü\u{a0}b", &["a=ü\u{a0}b"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), *expected, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_taken_apart_is_refused() {
        let cases = [
            ("a=\"b", ParseError::UnclosedQuote),
            ("\"", ParseError::UnclosedQuote),
            ("\"a\\", ParseError::UnclosedQuote),
            ("\"a\\\"", ParseError::UnclosedQuote),
            (r#""\n""#, ParseError::UnknownEscape('n')),
            (r#""\u{}""#, ParseError::UnknownEscape('u')),
            (r#""\u{d800}""#, ParseError::UnknownEscape('u')),
            (r#""\u{110000}""#, ParseError::UnknownEscape('u')),
            (r#""\u{9""#, ParseError::UnknownEscape('u')),
            (r#""\ü""#, ParseError::UnknownEscape('ü')),
            ("a\tb", ParseError::ControlCharacter('\t')),
            ("a\n", ParseError::ControlCharacter('\n')),
            ("a\u{85}", ParseError::ControlCharacter('\u{85}')),
        ];
        for (line, error) in cases {
            assert_eq!(words(line), Err(error), "{line:?}");
        }
    }

    #[test]
    fn quotes_are_written_only_where_they_are_needed() {
        let cases = [
            ("a", "a"),
            (r"C:\new", r"C:\new"),
            ("a=b", "a=b"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a\u{a0}b", "\"a\u{a0}b\""),
            ("a\"\\", r#""a\"\\""#),
            ("a\t\u{9b}", r#""a\u{9}\u{9b}""#),
        ];
        for (text, quoted) in cases {
            assert_eq!(QuotedWord(text).to_string(), quoted);
            assert_eq!(words(quoted).unwrap(), [text]);
        }
    }
}
