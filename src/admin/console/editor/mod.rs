//! Line editor with history and search. Keys go in, and a complete line comes out; `drawing`
//! shows it.

use std::collections::VecDeque;

use super::keys::Key;
use crate::config::verb::last_word;
use crate::text::width;

/// Longest line in bytes, as on the control socket.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// A line being edited.
#[derive(Debug, Default)]
pub(super) struct Editor {
    pub(super) line: String,
    /// Where the next character goes, in bytes.
    pub(super) cursor: usize,
    pub(super) history: History,
    /// Set while a former line is searched for (Ctrl-R).
    pub(super) search: Option<Search>,
    /// The text that was cut last.
    cut: String,
    /// Something was dropped for lack of room. Such a line must not be run: it is refused whole,
    /// and so is the batch that it belongs to.
    /// Tests: `a_line_that_is_too_long_is_never_taken_for_the_whole`,
    /// `a_line_that_is_too_long_is_refused`.
    too_long: bool,
    /// The key before was a Tab without effect.
    tabbed: bool,
    /// A key had no effect: sound the bell.
    pub(super) bell: bool,
}

/// A search for a former line.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) text: String,
    /// The number of the line that was found.
    at: usize,
    /// The line before the search.
    before: String,
}

/// Longest searched text, in bytes.
const MAX_SEARCH: usize = 128;

/// The result of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EditResult {
    /// The line may have changed.
    Changed,
    /// The line is complete.
    Line(String),
    /// The line is complete, but parts of it were dropped.
    TooLong,
    /// The line is discarded.
    Discarded,
    /// Completions of the last word are wanted.
    Complete,
    /// The screen is to be cleared.
    Clear,
    /// The input has ended.
    End,
}

/// What became of completions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Completion {
    /// The word was extended, or the bell says that it cannot be.
    Applied,
    /// A second Tab: they are to be shown.
    Show,
}

impl Editor {
    /// An editor with this line, to draw it.
    pub(super) fn with(line: String, cursor: usize) -> Editor {
        Editor {
            line,
            cursor,
            ..Editor::default()
        }
    }

    /// Handles a key.
    pub(super) fn press(&mut self, key: Key) -> EditResult {
        if self.search.is_some() && self.press_searching(key) {
            return EditResult::Changed;
        }
        self.tabbed &= key == Key::Tab;
        match key {
            Key::Enter => return self.enter(),
            Key::Interrupt => {
                self.clear();
                return EditResult::Discarded;
            }
            Key::EndOfInput if self.line.is_empty() => return EditResult::End,
            Key::Tab => return EditResult::Complete,
            Key::Redraw => return EditResult::Clear,
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
        EditResult::Changed
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

    fn enter(&mut self) -> EditResult {
        if self.too_long {
            self.clear();
            return EditResult::TooLong;
        }
        let line = std::mem::take(&mut self.line);
        self.clear();
        self.history.push(&line);
        EditResult::Line(line)
    }

    fn clear(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.too_long = false;
    }

    /// Replaces the line.
    fn show(&mut self, line: Option<String>) {
        match line {
            Some(line) => {
                self.cursor = line.len();
                self.line = line;
            }
            None => self.bell = true,
        }
    }

    /// Inserts text at the cursor, without control characters.
    fn insert(&mut self, text: &str) {
        let text: String = text.chars().filter(|it| !it.is_control()).collect();
        if self.line.len() + text.len() > MAX_LINE {
            // The bell sounds once for a line.
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

    /// Start of the character before `place`; combining marks belong to their letter.
    pub(super) fn left_of(&self, at: usize) -> usize {
        let before = self.line[..at].char_indices().rev();
        let mut letters = before.filter(|(_, character)| width(*character) > 0);
        letters.next().map_or(0, |(index, _)| index)
    }

    fn right_of(&self, at: usize) -> usize {
        let after = self.line[at..].char_indices().skip(1);
        let mut letters = after.filter(|(_, character)| width(*character) > 0);
        letters
            .next()
            .map_or(self.line.len(), |(index, _)| at + index)
    }

    fn word_left(&self) -> usize {
        let before = &self.line[..self.cursor];
        let word = before.trim_end_matches(|it: char| !it.is_alphanumeric());
        word.trim_end_matches(|it: char| it.is_alphanumeric() || width(it) == 0)
            .len()
    }

    fn word_right(&self) -> usize {
        let after = &self.line[self.cursor..];
        let word = after.trim_start_matches(|it: char| !it.is_alphanumeric());
        let rest = word.trim_start_matches(|it: char| it.is_alphanumeric() || width(it) == 0);
        self.line.len() - rest.len()
    }

    /// Handles a key during a search. Returns whether that was all.
    fn press_searching(&mut self, key: Key) -> bool {
        let Some(search) = &mut self.search else {
            return false;
        };
        let before = match key {
            Key::Text(character) if search.text.len() < MAX_SEARCH => {
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

    /// The line up to the cursor, whose last word is completed.
    pub(super) fn before_cursor(&self) -> &str {
        &self.line[..self.cursor]
    }

    /// Extends the last word as far as all completions agree. It never gets shorter: a quoted and
    /// an unquoted name have only `key=` in common.
    /// Test: `a_word_goes_on_as_far_as_its_choices_agree`.
    pub(super) fn apply_completion(&mut self, choices: &[String]) -> Completion {
        let start = last_word(self.before_cursor());
        let typed = &self.line[start..self.cursor];
        let common = common_prefix(choices);
        let is_more =
            common.len() > typed.len() || (common.eq_ignore_ascii_case(typed) && common != typed);
        if let [only] = choices {
            let room = MAX_LINE - self.line.len() + typed.len();
            if only.len() < room {
                self.replace(start, &only.clone());
                self.add_space(only);
            }
        } else if is_more && self.line.len() + common.len() <= MAX_LINE {
            self.replace(start, common);
        } else if self.tabbed && !choices.is_empty() {
            return Completion::Show;
        } else {
            (self.bell, self.tabbed) = (true, true);
        }
        Completion::Applied
    }

    fn replace(&mut self, start: usize, text: &str) {
        self.remove(start, self.cursor);
        self.insert(text);
    }

    /// Puts a blank after a complete word; a key wants its value.
    fn add_space(&mut self, word: &str) {
        if word.ends_with('=') {
            return;
        }
        match self.line[self.cursor..].starts_with(' ') {
            true => self.cursor += 1,
            false => self.insert(" "),
        }
    }
}

/// The common prefix. It does not end within an escape.
fn common_prefix(texts: &[String]) -> &str {
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

/// Lines that are kept.
const MAX_LINES: usize = 100;

/// Bytes that they may have together.
const MAX_BYTES: usize = 256 * 1024;

/// Lines that were entered.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The oldest first.
    lines: VecDeque<String>,
    /// The line that is shown; `None` for the one being edited.
    at: Option<usize>,
    /// The line being edited when the first one was shown.
    draft: String,
}

impl History {
    /// Keeps a line, unless it repeats the last one, is blank, or may have a password.
    pub(super) fn push(&mut self, line: &str) {
        self.at = None;
        self.draft.clear();
        let is_again = self.lines.back().is_some_and(|last| last == line);
        if is_again || line.trim().is_empty() || has_password(line) || line.len() > MAX_BYTES {
            return;
        }
        self.lines.push_back(line.to_owned());
        while self.lines.len() > MAX_LINES || self.bytes() > MAX_BYTES {
            self.lines.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(String::len).sum()
    }

    /// The line before the one that is shown. `now` is kept, to come back to it.
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

    /// The line after the one that is shown, at last the one being edited.
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

    /// The newest line older than `before` with `text` in it, and its number.
    pub(super) fn find(&self, text: &str, before: usize) -> Option<(usize, &str)> {
        let lines = self.lines.iter().enumerate().take(before);
        let mut found = lines.rev().filter(|(_, line)| line.contains(text));
        found.next().map(|(number, line)| (number, line.as_str()))
    }
}

/// Whether the line may have a `password=`, however it is quoted. An escape may hide the word, so
/// lines about users with an escape are not kept either.
/// Test: `passwords_are_not_kept`.
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
