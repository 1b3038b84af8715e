//! The line that is being written: what keys do to it.
//!
//! Pure: keys in, and a line out. How it is shown is `drawing`'s business, what is done
//! with it when it is complete the shell's.

use std::collections::VecDeque;

use super::keys::Key;
use crate::config::verb::last_word;
use crate::control::width::width;

/// Bytes that a line may have: as many as at the control socket.
pub(super) const MOST: usize = 64 * 1024;

/// A line, and what is needed to write it.
#[derive(Debug, Default)]
pub(super) struct Editor {
    pub(super) line: String,
    /// Where the next character goes, in bytes.
    pub(super) cursor: usize,
    pub(super) history: History,
    /// While a former line is looked for.
    pub(super) search: Option<Search>,
    /// What was cut out last.
    cut: String,
    /// Something was left out: it must not be taken for the whole.
    too_long: bool,
    /// The key before was a Tab that came to nothing.
    tabbed: bool,
    /// Something could not be done.
    pub(super) bell: bool,
}

/// A search for a former line.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) text: String,
    /// The number of the line that was found.
    at: usize,
    /// What was being written before.
    before: String,
}

/// What a searched text may have, in bytes.
const MOST_SEARCHED: usize = 128;

/// What a key has led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The line may be another.
    Written,
    /// It is complete.
    Line(String),
    /// It is complete, but parts of it were left out.
    TooLong,
    /// It is dropped.
    Dropped,
    /// The choices for its last word are wanted.
    Complete,
    /// The screen is to be cleared.
    Clear,
    /// No more lines will come.
    End,
}

/// What has become of choices.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// The line has gone on, or a bell says that it cannot.
    Taken,
    /// They were asked for twice: they are to be shown.
    Show,
}

impl Editor {
    /// One with this line, to be shown.
    pub(super) fn with(line: String, cursor: usize) -> Editor {
        Editor {
            line,
            cursor,
            ..Editor::default()
        }
    }

    /// Does what a key does.
    pub(super) fn press(&mut self, key: Key) -> Step {
        if self.search.is_some() && self.press_searching(key) {
            return Step::Written;
        }
        self.tabbed &= key == Key::Tab;
        match key {
            Key::Enter => return self.enter(),
            Key::Interrupt => {
                self.clear();
                return Step::Dropped;
            }
            Key::EndOfInput if self.line.is_empty() => return Step::End,
            Key::Tab => return Step::Complete,
            Key::Redraw => return Step::Clear,
            Key::Search => {
                self.search = Some(Search {
                    text: String::new(),
                    at: usize::MAX,
                    before: self.line.clone(),
                });
            }
            Key::Up => {
                let older = self.history.older(&self.line);
                self.show(older);
            }
            Key::Down => {
                let newer = self.history.newer();
                self.show(newer);
            }
            Key::Text(character) => self.insert(character.encode_utf8(&mut [0; 4])),
            key => self.press_editing(key),
        }
        Step::Written
    }

    fn press_editing(&mut self, key: Key) {
        let (left, right) = (self.left_of(self.cursor), self.right_of(self.cursor));
        match key {
            Key::Left => self.cursor = left,
            Key::Right => self.cursor = right,
            Key::WordLeft => self.cursor = self.word_left(),
            Key::WordRight => self.cursor = self.word_right(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Backspace => drop(self.remove(left, self.cursor)),
            Key::Delete | Key::EndOfInput => drop(self.remove(self.cursor, right)),
            Key::CutToEnd => self.cut = self.remove(self.cursor, self.line.len()),
            Key::CutToStart => self.cut = self.remove(0, self.cursor),
            Key::CutWord => self.cut = self.remove(self.word_left(), self.cursor),
            Key::CutNextWord => self.cut = self.remove(self.cursor, self.word_right()),
            Key::Paste => self.insert(&self.cut.clone()),
            _ => {}
        }
    }

    fn enter(&mut self) -> Step {
        if self.too_long {
            self.clear();
            return Step::TooLong;
        }
        let line = std::mem::take(&mut self.line);
        self.clear();
        self.history.keep(&line);
        Step::Line(line)
    }

    fn clear(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.too_long = false;
    }

    /// Puts another line in place of this one.
    fn show(&mut self, line: Option<String>) {
        match line {
            Some(line) => {
                self.cursor = line.len();
                self.line = line;
            }
            None => self.bell = true,
        }
    }

    /// Puts a text where the cursor is; no control character gets in.
    fn insert(&mut self, text: &str) {
        let text: String = text.chars().filter(|it| !it.is_control()).collect();
        if self.line.len() + text.len() > MOST {
            // Of all that is too much, the first is told.
            self.bell |= !self.too_long;
            self.too_long = true;
            return;
        }
        self.line.insert_str(self.cursor, &text);
        self.cursor += text.len();
    }

    fn remove(&mut self, from: usize, to: usize) -> String {
        self.cursor = from;
        let removed = self.line.drain(from..to).collect();
        self.too_long &= !self.line.is_empty();
        removed
    }

    /// Where the character before that place begins; marks belong to their letter.
    pub(super) fn left_of(&self, place: usize) -> usize {
        let before = self.line[..place].char_indices().rev();
        let mut letters = before.filter(|(_, character)| width(*character) > 0);
        letters.next().map_or(0, |(index, _)| index)
    }

    fn right_of(&self, place: usize) -> usize {
        let behind = self.line[place..].char_indices().skip(1);
        let mut letters = behind.filter(|(_, character)| width(*character) > 0);
        letters
            .next()
            .map_or(self.line.len(), |(index, _)| place + index)
    }

    fn word_left(&self) -> usize {
        let before = &self.line[..self.cursor];
        let word = before.trim_end_matches(|it: char| !it.is_alphanumeric());
        word.trim_end_matches(|it: char| it.is_alphanumeric() || width(it) == 0)
            .len()
    }

    fn word_right(&self) -> usize {
        let behind = &self.line[self.cursor..];
        let word = behind.trim_start_matches(|it: char| !it.is_alphanumeric());
        let rest = word.trim_start_matches(|it: char| it.is_alphanumeric() || width(it) == 0);
        self.line.len() - rest.len()
    }

    /// Does what a key does to the search; whether that is all that it does.
    fn press_searching(&mut self, key: Key) -> bool {
        let Some(search) = &mut self.search else {
            return false;
        };
        let before = match key {
            Key::Text(character) if search.text.len() < MOST_SEARCHED => {
                search.text.push(character);
                search.at.saturating_add(1)
            }
            Key::Search => search.at,
            Key::Backspace => {
                search.text.pop();
                usize::MAX
            }
            Key::Cancel | Key::Interrupt => {
                let before = std::mem::take(&mut search.before);
                self.search = None;
                self.show(Some(before));
                return true;
            }
            _ => {
                self.search = None;
                return false;
            }
        };
        match self.history.find(&search.text, before) {
            Some((at, line)) => {
                search.at = at;
                let line = Some(line.to_owned());
                self.show(line);
            }
            None => self.bell = true,
        }
        true
    }

    /// The line up to the cursor, whose last word choices are for.
    pub(super) fn begun(&self) -> &str {
        &self.line[..self.cursor]
    }

    /// Lets the last word go on as far as the choices for it agree.
    pub(super) fn offer(&mut self, choices: &[String]) -> Offered {
        let start = last_word(self.begun());
        let typed = &self.line[start..self.cursor];
        let common = common_beginning(choices);
        let is_more =
            common.len() > typed.len() || (common.eq_ignore_ascii_case(typed) && common != typed);
        if let [only] = choices {
            let room = MOST - self.line.len() + typed.len();
            if only.len() < room {
                self.replace(start, &only.clone());
                self.go_behind_blank(only);
            }
        } else if is_more && self.line.len() + common.len() <= MOST {
            self.replace(start, common);
        } else if self.tabbed && !choices.is_empty() {
            return Offered::Show;
        } else {
            (self.bell, self.tabbed) = (true, true);
        }
        Offered::Taken
    }

    fn replace(&mut self, start: usize, text: &str) {
        self.remove(start, self.cursor);
        self.insert(text);
    }

    /// A word that is complete has a blank behind it; a key wants its value.
    fn go_behind_blank(&mut self, word: &str) {
        if word.ends_with('=') {
            return;
        }
        match self.line[self.cursor..].starts_with(' ') {
            true => self.cursor += 1,
            false => self.insert(" "),
        }
    }
}

/// What all texts begin with. It does not end in the middle of an escape.
fn common_beginning(texts: &[String]) -> &str {
    let Some((first, others)) = texts.split_first() else {
        return "";
    };
    let mut common = first.as_str();
    for other in others {
        let same = common.char_indices().zip(other.chars());
        let mut different = same.filter(|((_, one), other)| one != other);
        let end = different
            .next()
            .map_or(other.len(), |((index, _), _)| index);
        common = &common[..end.min(common.len())];
    }
    let backslashes = common.len() - common.trim_end_matches('\\').len();
    &common[..common.len() - backslashes % 2]
}

/// Lines that are kept at most.
const MOST_LINES: usize = 100;

/// What they may have together, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// Lines that were entered.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The oldest first.
    lines: VecDeque<String>,
    /// Which of them is looked at; none is the line that is being written.
    at: Option<usize>,
    /// What was being written when the first one was looked at.
    draft: String,
}

impl History {
    /// Keeps a line, unless it is the one before again, has nothing in it or has a
    /// password in it.
    pub(super) fn keep(&mut self, line: &str) {
        self.at = None;
        self.draft.clear();
        let is_again = self.lines.back().is_some_and(|last| last == line);
        if is_again || line.trim().is_empty() || has_password(line) || line.len() > MOST_BYTES {
            return;
        }
        self.lines.push_back(line.to_owned());
        while self.lines.len() > MOST_LINES || self.bytes() > MOST_BYTES {
            self.lines.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(String::len).sum()
    }

    /// The line before the one that is looked at. `now` is what there is to come back to.
    pub(super) fn older(&mut self, now: &str) -> Option<String> {
        let at = match self.at {
            None => {
                now.clone_into(&mut self.draft);
                self.lines.len().checked_sub(1)?
            }
            Some(at) => at.checked_sub(1)?,
        };
        self.at = Some(at);
        self.lines.get(at).cloned()
    }

    /// The line behind the one that is looked at: at last the one that was being
    /// written.
    pub(super) fn newer(&mut self) -> Option<String> {
        let at = self.at? + 1;
        match self.lines.get(at) {
            Some(line) => {
                self.at = Some(at);
                Some(line.clone())
            }
            None => {
                self.at = None;
                Some(std::mem::take(&mut self.draft))
            }
        }
    }

    /// The newest line with `text` in it, and its number, of those older than `before`.
    pub(super) fn find(&self, text: &str, before: usize) -> Option<(usize, &str)> {
        let lines = self.lines.iter().enumerate().take(before);
        let mut found = lines.rev().filter(|(_, line)| line.contains(text));
        found.next().map(|(number, line)| (number, line.as_str()))
    }
}

/// Whether a key of it may be `password=`, however that is quoted.
fn has_password(line: &str) -> bool {
    let bare: String = line
        .chars()
        .filter(|it| !matches!(it, '"' | '\\'))
        .collect();
    let escaped = line.contains("\\u{");
    let bare = bare.to_ascii_lowercase();
    bare.contains("password=") || (escaped && bare.contains("user"))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod history_tests {
    use super::*;

    #[test]
    fn one_goes_back_and_forth() {
        let mut history = History::default();
        assert_eq!(history.older("x"), None);
        for line in ["one", "two", "two", "  ", "three"] {
            history.keep(line);
        }
        let older: Vec<_> = (0..4).filter_map(|_| history.older("draft")).collect();
        assert_eq!(older, ["three", "two", "one"]);
        let newer: Vec<_> = (0..4).filter_map(|_| history.newer()).collect();
        assert_eq!(newer, ["two", "three", "draft"]);
        assert_eq!(history.newer(), None);
    }

    #[test]
    fn passwords_are_not_kept() {
        let mut history = History::default();
        for line in [
            "addUser name=x password=$6$a$b access=full",
            "setUser name=x \"password\"=secret",
            "setUser name=x pass\"word=s\"",
            "setUser name=x \"\\u{70}assword=s\"",
            "setUser name=x PASSWORD=s",
            "json setUser name=x password=\"s",
        ] {
            history.keep(line);
        }
        assert_eq!(history.older(""), None);
        history.keep("setUser name=password");
        assert!(history.older("").is_some());
    }

    #[test]
    fn it_has_limits() {
        let mut history = History::default();
        for number in 0..150 {
            history.keep(&format!("line {number}"));
        }
        assert_eq!(history.lines.len(), MOST_LINES);
        assert_eq!(history.find("line", 100), Some((99, "line 149")));
        assert_eq!(history.find("line 5", 100), Some((9, "line 59")));
        assert_eq!(history.find("line 5", 9), Some((8, "line 58")));
        for _ in 0..8 {
            history.keep(&"x".repeat(60_000));
            history.keep(&"y".repeat(60_000));
        }
        assert!(history.bytes() <= MOST_BYTES && history.lines.len() == 4);
    }
}
