//! Masks passwords and hashes in text, and makes text fit for a message on a terminal.
//!
//! For text that no XML parser has taken apart: comments, notes, values in errors. To mask too much does no harm.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::non_printing::letters;

/// What stands for a password.
pub(super) const PASSWORD_MASK: &str = "***";

/// Text from the file, made fit for one line on a terminal.
pub(in crate::config) struct Shown<'a>(pub(in crate::config) &'a str);

impl Shown<'_> {
    /// How many characters are shown before `...`.
    const LONGEST: usize = 64;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Errors are shown to whoever may only read, too.
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

/// As `Shown`, in quotes.
pub(in crate::config) struct Quoted<'a>(pub(in crate::config) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Shown(self.0))
    }
}

/// A piece of text with hashes of the kinds that begin with `$` as `***`.
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

/// The text with `***` in place of each of these, of which any may overlap.
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

/// One character, as it is or as `&#36;` and the like stand for it.
#[derive(Debug, Clone)]
pub(super) struct DecodedChar {
    pub(super) character: char,
    /// Where it stands in the text.
    pub(super) range: Range<usize>,
}

/// The kinds of hashes that crypt(3) knows somewhere: what is between the first two `$`.
const HASH_KINDS: &[&str] = &[
    "0", "1", "2", "2a", "2b", "2x", "2y", "3", "5", "6", "7", "8", "9", "14", "y", "gy", "sm3",
    "md5", "apr1", "P", "H", "S", "C", "U", "NT",
];

/// Of these there are many with more behind them, such as `argon2id`, `pbkdf2-sha256` or `md5,rounds=5`.
const HASH_KIND_PREFIXES: &[&str] = &[
    "argon2", "pbkdf2", "scrypt", "bcrypt", "md5", "sha", "sunmd5", "gost",
];

/// No kind has a longer name.
const MAX_KIND_LENGTH: usize = 24;

/// What a password is called has one of these in it, in any case.
const SECRET_WORDS: &[&str] = &["pass", "pwd", "crypt", "hash", "secret"];

/// So many characters may follow such a word before it says what it is: `password_hash`.
const MAX_SUFFIX_LENGTH: usize = 24;

/// The characters of the oldest hashes, which begin with nothing that would tell.
pub(super) const DES_LENGTH: usize = 13;

/// A line may have been broken within a hash: so many of its characters go on with it.
const MIN_CONTINUATION: usize = 16;

/// Whether something of this name is hardly for all eyes.
pub(super) fn is_secret_word(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Adds what looks like a password or a hash within `range` to what is hidden.
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
        // What is in quotes may have been closed by another's: it is looked at again.
        at = if quoted {
            from.max(at + 1)
        } else {
            to.max(at + 1)
        };
    }
}

/// The characters of a piece of text, with references decoded.
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

/// What a reference stands for at the beginning of `text`, and how long it is.
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
        // Not XML's, but who writes a comment need not care.
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

/// Where the hash ends that begins here, if one does: `$`, a kind, `$`, and all up to a blank or a quote.
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

/// Where a hash ends that goes on behind a line's end.
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

/// Where the hash of the oldest kind ends that begins here, if it looks like one.
fn des_hash_end(chars: &[DecodedChar], at: usize) -> Option<usize> {
    let is_at = |at: usize| chars.get(at).is_some_and(|it| is_hash_char(it.character));
    if at > 0 && is_at(at - 1) || is_at(at + DES_LENGTH) {
        return None;
    }
    let end = run_end(chars.get(..at + DES_LENGTH)?, at, is_hash_char);
    (end == at + DES_LENGTH && is_mixed_case(&chars[at..end])).then_some(end)
}

/// Whether capitals stand among these as nobody writes them in a word.
fn is_mixed_case(chars: &[DecodedChar]) -> bool {
    let has = |test: fn(&char) -> bool| chars.iter().any(|it| test(&it.character));
    let capitals = chars
        .windows(2)
        .any(|pair| pair.iter().all(|it| it.character.is_ascii_uppercase()));
    has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && (capitals || has(|it| !it.is_ascii_alphabetic()))
}

/// What is behind a word for passwords that begins here: from where to where, and whether in quotes.
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

/// Whether hashes are written in this.
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
