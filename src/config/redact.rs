//! Masks passwords and hashes in text, and makes text fit for a message on a terminal.
//!
//! For text that no XML parser has taken apart: comments, notes, values in errors. To mask too much
//! does no harm.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::non_printing::letters;

/// Shown instead of a password or hash.
pub(super) const PASSWORD_MASK: &str = "***";

/// Text from the file, escaped, masked and cut for one line on a terminal.
pub(in crate::config) struct Shown<'a>(pub(in crate::config) &'a str);

impl Shown<'_> {
    /// Characters shown before `...`.
    const LONGEST: usize = 64;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Read-only users see errors, too.
        let text = mask_hashes(self.0);
        for (index, (character, hidden)) in letters(&text).enumerate() {
            if index == Self::LONGEST {
                return f.write_str("...");
            }
            match hidden {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// `Shown` in quotes.
pub(in crate::config) struct Quoted<'a>(pub(in crate::config) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Shown(self.0))
    }
}

/// Masks hashes that begin with `$`.
pub(super) fn mask_hashes(text: &str) -> Cow<'_, str> {
    if !text.contains('$') {
        return Cow::Borrowed(text);
    }
    let chars = decode_references(text, 0..text.len());
    let mut hidden = Vec::new();
    for at in 0..chars.len() {
        if let Some(end) = hash_end(&chars, at) {
            hidden.push(chars[at].range.start..chars[end - 1].range.end);
        }
    }
    Cow::Owned(mask_ranges(text, hidden))
}

/// Replaces each range by `***`; ranges may overlap.
pub(super) fn mask_ranges(text: &str, mut hidden: Vec<Range<usize>>) -> String {
    hidden.retain(|range| !range.is_empty());
    hidden.sort_by_key(|range| (range.start, range.end));
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for range in hidden {
        if range.start >= at {
            shown.push_str(&text[at..range.start]);
            shown.push_str(PASSWORD_MASK);
        }
        at = at.max(range.end);
    }
    shown + &text[at..]
}

/// A character, plain or from a reference such as `&#36;`.
#[derive(Debug, Clone)]
pub(super) struct DecodedChar {
    pub(super) character: char,
    /// Its range in the text.
    pub(super) range: Range<usize>,
}

/// Kinds of crypt(3) hashes on any system: the text between the first two `$`.
const HASH_KINDS: &[&str] = &[
    "0", "1", "2", "2a", "2b", "2x", "2y", "3", "5", "6", "7", "8", "9", "14", "y", "gy", "sm3",
    "md5", "apr1", "P", "H", "S", "C", "U", "NT",
];

/// Prefixes of further kinds, such as `argon2id`, `pbkdf2-sha256` or `md5,rounds=5`.
const HASH_KIND_PREFIXES: &[&str] = &[
    "argon2", "pbkdf2", "scrypt", "bcrypt", "md5", "sha", "sunmd5", "gost",
];

/// The longest name of a kind, in characters.
const MAX_KIND_LENGTH: usize = 24;

/// Names of secrets contain one of these, in any case.
const SECRET_WORDS: &[&str] = &["pass", "pwd", "crypt", "hash", "secret"];

/// Characters that may follow such a word in a name (`password_hash`).
const MAX_SUFFIX_LENGTH: usize = 24;

/// Length of DES hashes, which have no prefix.
pub(super) const DES_LENGTH: usize = 13;

/// A hash may be broken over lines: this many hash characters on the next line continue it.
const MIN_CONTINUATION: usize = 16;

/// Whether something of this name is a secret.
pub(super) fn is_secret_word(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Adds ranges of what looks like a password or a hash within `range`.
pub(super) fn find_secrets(text: &str, range: Range<usize>, hidden: &mut Vec<Range<usize>>) {
    let chars = decode_references(text, range);
    let mut hide = |from: usize, to: usize| {
        if from < to {
            hidden.push(chars[from].range.start..chars[to - 1].range.end);
        }
    };
    let mut at = 0;
    while at < chars.len() {
        if let Some(end) = hash_end(&chars, at) {
            hide(at, end);
            at = end;
            continue;
        }
        if let Some(end) = des_hash_end(&chars, at) {
            hide(at, end);
        }
        at += 1;
    }
    let mut at = 0;
    while at < chars.len() {
        let Some((from, to, quoted)) = secret_value(&chars, at) else {
            at += 1;
            continue;
        };
        hide(from, to);
        if to == chars.len() {
            return;
        }
        // The closing quote may belong to another value: search inside again.
        at = if quoted {
            from.max(at + 1)
        } else {
            to.max(at + 1)
        };
    }
}

/// Decodes references in a range of the text.
pub(super) fn decode_references(text: &str, range: Range<usize>) -> Vec<DecodedChar> {
    let mut chars = Vec::new();
    let mut at = range.start;
    while let Some(first) = text.get(at..range.end).and_then(|rest| rest.chars().next()) {
        let decode_reference = (first == '&')
            .then(|| decode_reference(&text[at..range.end]))
            .flatten();
        let (character, length) = decode_reference.unwrap_or((first, first.len_utf8()));
        chars.push(DecodedChar {
            character,
            range: at..at + length,
        });
        at += length;
    }
    chars
}

/// Decodes the reference at the beginning of `text`; also its length in bytes.
fn decode_reference(text: &str) -> Option<(char, usize)> {
    const LONGEST: usize = 16;
    let end = text.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let character = match name {
        "quot" => '"',
        "apos" => '\'',
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        // Not XML, but a comment may have it.
        "dollar" => '$',
        _ => {
            let number = name.strip_prefix('#')?;
            let hex = number.strip_prefix(['x', 'X']);
            let number = match hex {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    };
    Some((character, end + 1))
}

/// End of the hash that begins here, if any: `$`, a kind, `$`, and all up to a blank or a quote.
pub(super) fn hash_end(chars: &[DecodedChar], at: usize) -> Option<usize> {
    if chars.get(at)?.character != '$' {
        return None;
    }
    let rest = &chars[at + 1..];
    let length = rest
        .iter()
        .take(MAX_KIND_LENGTH + 1)
        .position(|it| it.character == '$')?;
    let kind: String = rest[..length].iter().map(|it| it.character).collect();
    let is_kind = HASH_KINDS.contains(&&*kind)
        || HASH_KIND_PREFIXES
            .iter()
            .any(|start| kind.starts_with(start));
    if !is_kind {
        return None;
    }
    let begin = at + length + 2;
    let end = run_end(chars, begin, |it| !ends_word(it));
    if end == begin {
        return None;
    }
    Some(continuation_end(chars, end))
}

/// End of a hash that continues on the next line.
fn continuation_end(chars: &[DecodedChar], mut end: usize) -> usize {
    loop {
        let begin = run_end(chars, end, |it| it.is_whitespace() || it == '*');
        let next = run_end(chars, begin, |it| is_hash_char(it) || "$=,".contains(it));
        let is_rest = next - begin >= MIN_CONTINUATION && is_mixed_case(&chars[begin..next]);
        if begin == end || !is_rest {
            return end;
        }
        end = next;
    }
}

/// End of the DES hash that begins here, if it looks like one.
fn des_hash_end(chars: &[DecodedChar], at: usize) -> Option<usize> {
    let is_at = |at: usize| chars.get(at).is_some_and(|it| is_hash_char(it.character));
    if at > 0 && is_at(at - 1) || is_at(at + DES_LENGTH) {
        return None;
    }
    let end = run_end(chars.get(..at + DES_LENGTH)?, at, is_hash_char);
    (end == at + DES_LENGTH && is_mixed_case(&chars[at..end])).then_some(end)
}

/// Whether upper and lower case are mixed as in no word.
fn is_mixed_case(chars: &[DecodedChar]) -> bool {
    let has = |test: fn(&char) -> bool| chars.iter().any(|it| test(&it.character));
    let capitals = chars
        .windows(2)
        .any(|pair| pair.iter().all(|it| it.character.is_ascii_uppercase()));
    has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && (capitals || has(|it| !it.is_ascii_alphabetic()))
}

/// The value after a secret word that begins here: start, end, and whether it is in quotes.
fn secret_value(chars: &[DecodedChar], at: usize) -> Option<(usize, usize, bool)> {
    let is_here = |word: &&&str| {
        let chars = chars
            .iter()
            .skip(at)
            .map(|it| it.character.to_ascii_lowercase());
        chars.take(word.len()).eq(word.chars())
    };
    let word = SECRET_WORDS.iter().find(is_here)?;
    let blank = |it: char| it.is_whitespace() || it == '\\';
    let named = at + word.len();
    let most = chars.len().min(named + MAX_SUFFIX_LENGTH);
    let named = run_end(&chars[..most], named, |it| {
        it.is_alphanumeric() || "_-.".contains(it)
    });
    let sign = run_end(chars, named, |it| blank(it) || is_quote(it));
    let sign_end = run_end(chars, sign, |it| "=:>".contains(it));
    if sign == sign_end {
        return None;
    }
    let from = run_end(chars, sign_end, blank);
    let Some(open) = chars
        .get(from)
        .map(|it| it.character)
        .filter(|it| is_quote(*it))
    else {
        return Some((from, run_end(chars, from, |it| !ends_word(it)), false));
    };
    let close = match open {
        '\u{201c}' | '\u{201e}' => '\u{201d}',
        '\u{2018}' | '\u{201a}' => '\u{2019}',
        other => other,
    };
    let from = from + 1;
    Some((from, run_end(chars, from, |it| it != close), true))
}

fn run_end(chars: &[DecodedChar], from: usize, goes_on: impl Fn(char) -> bool) -> usize {
    let mut end = from;
    while chars.get(end).is_some_and(|it| goes_on(it.character)) {
        end += 1;
    }
    end
}

fn is_quote(character: char) -> bool {
    matches!(character, '"' | '\'' | '`' | '\u{2018}'..='\u{201f}')
}

fn ends_word(character: char) -> bool {
    character.is_whitespace() || is_quote(character) || matches!(character, '<' | '>')
}

/// Whether hashes consist of such characters.
fn is_hash_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_cannot_upset_the_terminal() {
        assert_eq!(
            Shown("a\u{1b}[2J\u{9b}b\n").to_string(),
            "a\\u{1b}[2J\\u{9b}b\\n"
        );
        assert_eq!(Shown("a\u{202e}b").to_string(), "a\\u{202e}b");
        let long = "ä".repeat(65);
        assert_eq!(Shown(&long).to_string(), format!("{}...", "ä".repeat(64)));
        assert_eq!(Quoted("x").to_string(), "\"x\"");
    }
}
