//! Draws the line being edited in one row, scrolled where it is longer, and lists of completions
//! in columns.
//!
//! The row is always drawn as a whole from the left: so it is right whatever the terminal had
//! there.

use super::editor::Editor;
use crate::control::text::{columns, fits, fitting};

/// The part of the line that is visible.
#[derive(Debug, Default)]
pub(super) struct LineDrawing {
    /// Where the visible part begins, in bytes.
    from: usize,
}

/// Columns that the line has at least: a longer prompt is replaced by a short one.
const MIN_ROOM: usize = 8;

const SHORT_PROMPT: &str = "> ";

impl LineDrawing {
    /// Draws the row in `most` columns. The last column stays empty: there some terminals have
    /// wrapped already, some have not.
    /// `ESC [ 0 C` moves the cursor by one column, not by none. So the prompt is never empty, and
    /// `cursor` never 0.
    /// Tests: `what_is_seen_is_the_line`, `another_size_is_drawn_in`.
    pub(super) fn draw(
        &mut self,
        editor: &Editor,
        prompt: &str,
        (most, colours): (usize, bool),
        out: &mut Vec<u8>,
    ) {
        let searching = editor
            .search
            .as_ref()
            .map(|search| format!("search \"{}\": ", search.text));
        let prompt = searching.as_deref().unwrap_or(prompt);
        let prompt = match columns(prompt) + MIN_ROOM < most {
            true => prompt,
            false => SHORT_PROMPT,
        };
        let room = most.saturating_sub(columns(prompt) + 1);
        self.follow(editor, room);
        let line = &editor.line;
        let shown = self.shown(line, room);
        let (bold, plain) = if colours {
            ("\x1b[1m", "\x1b[0m")
        } else {
            ("", "")
        };
        let left = columns(prompt) + usize::from(self.from > 0);
        let cursor = left + columns(&line[self.from..editor.cursor]);
        let row = format!("\r{bold}{prompt}{plain}{shown}\x1b[K\r\x1b[{cursor}C");
        out.extend_from_slice(row.as_bytes());
    }

    /// The visible part. `<` and `>` say that there is more.
    fn shown(&self, line: &str, room: usize) -> String {
        let before = if self.from > 0 { "<" } else { "" };
        let rest = &line[self.from..];
        let left = room - before.len();
        match fits(rest, left) {
            true => format!("{before}{rest}"),
            false => format!("{before}{}>", fitting(rest, left - 1)),
        }
    }

    /// Scrolls so that the cursor is visible.
    fn follow(&mut self, editor: &Editor, room: usize) {
        let (line, cursor) = (&editor.line, editor.cursor);
        if fits(line, room) {
            self.from = 0;
            return;
        }
        let is_seen = line.is_char_boundary(self.from)
            && self.from <= cursor
            // Room for the marks beside it, and for a wide character.
            && fits(&line[self.from..cursor], room.saturating_sub(4));
        if is_seen {
            return;
        }
        self.from = cursor;
        while self.from > 0 {
            let left = editor.left_of(self.from);
            if columns(&line[left..cursor]) > room / 2 {
                break;
            }
            self.from = left;
        }
    }
}

/// Completions that are shown at most.
const MAX_CHOICES: usize = 200;

/// Blanks between two columns.
const GAP: usize = 2;

/// Completions in lines of at most `most` columns, column by column. If all are values of one
/// key, only the values.
pub(super) fn choice_columns(choices: &[String], most: usize) -> Vec<String> {
    let shown = &choices[..choices.len().min(MAX_CHOICES)];
    let texts = without_key(shown);
    let widest = texts.iter().map(|text| columns(text)).max().unwrap_or(0);
    let across = ((most + GAP) / (widest + GAP)).max(1);
    let down = texts.len().div_ceil(across);
    let mut lines = vec![String::new(); down];
    for (index, text) in texts.iter().enumerate() {
        let line = &mut lines[index % down];
        let place = index / down * (widest + GAP);
        let blanks = place.saturating_sub(columns(line));
        line.extend(std::iter::repeat_n(' ', blanks));
        line.push_str(text);
    }
    if choices.len() > MAX_CHOICES {
        lines.push(format!("and {} more", choices.len() - MAX_CHOICES));
    }
    lines
}

fn without_key(choices: &[String]) -> Vec<&str> {
    let key = choices.first().and_then(|first| first.split_once('='));
    let values = key.map(|(key, _)| {
        let values = choices.iter().map(|choice| {
            let (own, value) = choice.split_once('=')?;
            (own == key && !value.is_empty()).then_some(value)
        });
        values.collect::<Option<Vec<_>>>()
    });
    values
        .flatten()
        .unwrap_or_else(|| choices.iter().map(String::as_str).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(choices: &[&str], most: usize) -> Vec<String> {
        let choices: Vec<_> = choices.iter().map(|it| (*it).to_owned()).collect();
        choice_columns(&choices, most)
    }

    #[test]
    fn choices_go_down_and_then_across() {
        let verbs = ["one", "two", "three", "four", "five"];
        assert_eq!(lines(&verbs, 12), ["one    four", "two    five", "three"]);
        assert_eq!(lines(&verbs, 11), verbs);
        assert_eq!(lines(&["東", "ab", "c"], 10), ["東  ab  c"]);
        assert_eq!(lines(&["a long one"], 3), ["a long one"]);
        assert_eq!(lines(&[], 3), [""; 0]);
    }

    #[test]
    fn values_are_shown_without_their_key() {
        assert_eq!(lines(&["name=a", "name=\"b c\""], 20), ["a      \"b c\""]);
        assert_eq!(lines(&["name=", "ip="], 20), ["name=  ip="]);
        assert_eq!(lines(&["name=a", "ip=b"], 20), ["name=a  ip=b"]);
    }

    #[test]
    fn of_very_many_some_are_shown() {
        let many: Vec<_> = (0..250)
            .map(|number| format!("name=host.{number}"))
            .collect();
        let lines = choice_columns(&many, 80);
        assert_eq!(lines.last().unwrap(), "and 50 more");
        assert!(lines.iter().all(|line| line.len() <= 80));
    }
}
