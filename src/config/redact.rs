//! Masks passwords and hashes in text, and makes text fit for a message on a terminal.
//!
//! For text that no XML parser has taken apart: comments, notes, values in errors. To mask too much does no harm.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::non_printing::letters;

/// What stands for a password.
pub(super) const HIDDEN: &str = "***";

/// Text from the file, made fit for one line on a terminal.
pub(in crate::config) struct Shown<'a>(pub(in crate::config) &'a str);

impl Shown<'_> {
    /// How many characters are shown before `...`.
    const LONGEST: usize = 64;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Errors are shown to whoever may only read, too.
        let text = hide_hashes(self.0);
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
pub(super) fn hide_hashes(text: &str) -> Cow<'_, str> {
    if !text.contains('$') {
        return Cow::Borrowed(text);
    }
    let letters = decoded(text, 0..text.len());
    let mut hidden = Vec::new();
    for at in 0..letters.len() {
        if let Some(end) = ends_hash(&letters, at) {
            hidden.push(letters[at].range.start..letters[end - 1].range.end);
        }
    }
    Cow::Owned(without(text, hidden))
}

/// The text with `***` in place of each of these, of which any may overlap.
pub(super) fn without(text: &str, mut hidden: Vec<Range<usize>>) -> String {
    hidden.retain(|range| !range.is_empty());
    hidden.sort_by_key(|range| (range.start, range.end));
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for range in hidden {
        if range.start >= at {
            shown.push_str(&text[at..range.start]);
            shown.push_str(HIDDEN);
        }
        at = at.max(range.end);
    }
    shown + &text[at..]
}

/// One character, as it is or as `&#36;` and the like stand for it.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) character: char,
    /// Where it stands in the text.
    pub(super) range: Range<usize>,
}

/// The kinds of hashes that crypt(3) knows somewhere: what is between the first two `$`.
const KINDS: &[&str] = &[
    "0", "1", "2", "2a", "2b", "2x", "2y", "3", "5", "6", "7", "8", "9", "14", "y", "gy", "sm3",
    "md5", "apr1", "P", "H", "S", "C", "U", "NT",
];

/// Of these there are many with more behind them, such as `argon2id`, `pbkdf2-sha256` or `md5,rounds=5`.
const KIND_STARTS: &[&str] = &[
    "argon2", "pbkdf2", "scrypt", "bcrypt", "md5", "sha", "sunmd5", "gost",
];

/// No kind has a longer name.
const LONGEST_KIND: usize = 24;

/// What a password is called has one of these in it, in any case.
const SECRET_WORDS: &[&str] = &["pass", "pwd", "crypt", "hash", "secret"];

/// So many characters may follow such a word before it says what it is: `password_hash`.
const LONGEST_END: usize = 24;

/// The characters of the oldest hashes, which begin with nothing that would tell.
pub(super) const DES: usize = 13;

/// A line may have been broken within a hash: so many of its characters go on with it.
const CONTINUED: usize = 16;

/// Whether something of this name is hardly for all eyes.
pub(super) fn is_secret_word(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Adds what looks like a password or a hash within `range` to what is hidden.
pub(super) fn hide_in(text: &str, range: Range<usize>, hidden: &mut Vec<Range<usize>>) {
    let letters = decoded(text, range);
    let mut hide = |from: usize, to: usize| {
        if from < to {
            hidden.push(letters[from].range.start..letters[to - 1].range.end);
        }
    };
    let mut at = 0;
    while at < letters.len() {
        if let Some(end) = ends_hash(&letters, at) {
            hide(at, end);
            at = end;
            continue;
        }
        if let Some(end) = ends_des(&letters, at) {
            hide(at, end);
        }
        at += 1;
    }
    let mut at = 0;
    while at < letters.len() {
        let Some((from, to, quoted)) = value_of_word(&letters, at) else {
            at += 1;
            continue;
        };
        hide(from, to);
        if to == letters.len() {
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
pub(super) fn decoded(text: &str, range: Range<usize>) -> Vec<Letter> {
    let mut letters = Vec::new();
    let mut at = range.start;
    while let Some(first) = text.get(at..range.end).and_then(|rest| rest.chars().next()) {
        let reference = (first == '&')
            .then(|| reference(&text[at..range.end]))
            .flatten();
        let (character, length) = reference.unwrap_or((first, first.len_utf8()));
        letters.push(Letter {
            character,
            range: at..at + length,
        });
        at += length;
    }
    letters
}

/// What a reference stands for at the beginning of `text`, and how long it is.
fn reference(text: &str) -> Option<(char, usize)> {
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
pub(super) fn ends_hash(letters: &[Letter], at: usize) -> Option<usize> {
    if letters.get(at)?.character != '$' {
        return None;
    }
    let rest = &letters[at + 1..];
    let length = rest
        .iter()
        .take(LONGEST_KIND + 1)
        .position(|letter| letter.character == '$')?;
    let kind: String = rest[..length]
        .iter()
        .map(|letter| letter.character)
        .collect();
    let is_kind =
        KINDS.contains(&&*kind) || KIND_STARTS.iter().any(|start| kind.starts_with(start));
    if !is_kind {
        return None;
    }
    let begin = at + length + 2;
    let end = run_end(letters, begin, |it| !ends_word(it));
    if end == begin {
        return None;
    }
    Some(continued(letters, end))
}

/// Where a hash ends that goes on behind a line's end.
fn continued(letters: &[Letter], mut end: usize) -> usize {
    loop {
        let begin = run_end(letters, end, |it| it.is_whitespace() || it == '*');
        let next = run_end(letters, begin, |it| is_coded(it) || "$=,".contains(it));
        let is_rest = next - begin >= CONTINUED && is_mixed(&letters[begin..next]);
        if begin == end || !is_rest {
            return end;
        }
        end = next;
    }
}

/// Where the hash of the oldest kind ends that begins here, if it looks like one.
fn ends_des(letters: &[Letter], at: usize) -> Option<usize> {
    let is_at = |at: usize| letters.get(at).is_some_and(|it| is_coded(it.character));
    if at > 0 && is_at(at - 1) || is_at(at + DES) {
        return None;
    }
    let end = run_end(letters.get(..at + DES)?, at, is_coded);
    (end == at + DES && is_mixed(&letters[at..end])).then_some(end)
}

/// Whether capitals stand among these as nobody writes them in a word.
fn is_mixed(letters: &[Letter]) -> bool {
    let has = |test: fn(&char) -> bool| letters.iter().any(|letter| test(&letter.character));
    let capitals = letters.windows(2).any(|pair| {
        pair.iter()
            .all(|letter| letter.character.is_ascii_uppercase())
    });
    has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && (capitals || has(|it| !it.is_ascii_alphabetic()))
}

/// What is behind a word for passwords that begins here: from where to where, and whether in quotes.
fn value_of_word(letters: &[Letter], at: usize) -> Option<(usize, usize, bool)> {
    let is_here = |word: &&&str| {
        let letters = letters
            .iter()
            .skip(at)
            .map(|letter| letter.character.to_ascii_lowercase());
        letters.take(word.len()).eq(word.chars())
    };
    let word = SECRET_WORDS.iter().find(is_here)?;
    let blank = |it: char| it.is_whitespace() || it == '\\';
    let named = at + word.len();
    let most = letters.len().min(named + LONGEST_END);
    let named = run_end(&letters[..most], named, |it| {
        it.is_alphanumeric() || "_-.".contains(it)
    });
    let sign = run_end(letters, named, |it| blank(it) || is_quote(it));
    let sign_end = run_end(letters, sign, |it| "=:>".contains(it));
    if sign == sign_end {
        return None;
    }
    let from = run_end(letters, sign_end, blank);
    let Some(open) = letters
        .get(from)
        .map(|letter| letter.character)
        .filter(|it| is_quote(*it))
    else {
        return Some((from, run_end(letters, from, |it| !ends_word(it)), false));
    };
    let close = match open {
        '\u{201c}' | '\u{201e}' => '\u{201d}',
        '\u{2018}' | '\u{201a}' => '\u{2019}',
        other => other,
    };
    let from = from + 1;
    Some((from, run_end(letters, from, |it| it != close), true))
}

fn run_end(letters: &[Letter], from: usize, goes_on: impl Fn(char) -> bool) -> usize {
    let mut end = from;
    while letters
        .get(end)
        .is_some_and(|letter| goes_on(letter.character))
    {
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
fn is_coded(character: char) -> bool {
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
