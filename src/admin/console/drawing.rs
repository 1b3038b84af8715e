//! How the line that is being written is shown: in one row, of which a part is seen
//! where the line is longer.
//!
//! It is always drawn as a whole, from the left: whatever the terminal made of what was
//! there before, it is right afterwards.

use super::editor::Editor;
use crate::control::text::{columns, fits, fitting};

/// Where the row is, and how it is to look.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// Where the part of the line begins that is seen, in bytes.
    from: usize,
}

/// Columns that are left for the line at least: where the prompt leaves less, it is
/// shorter.
const LEAST_ROOM: usize = 8;

const SHORT_PROMPT: &str = "> ";

impl Drawing {
    /// Draws the row in so many columns, of which the last stays empty: some terminals
    /// go on to the next row when it is not.
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
        let prompt = match columns(prompt) + LEAST_ROOM < most {
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

    /// What is seen of the line. `<` and `>` say that there is more.
    fn shown(&self, line: &str, room: usize) -> String {
        let before = if self.from > 0 { "<" } else { "" };
        let rest = &line[self.from..];
        let left = room - before.len();
        match fits(rest, left) {
            true => format!("{before}{rest}"),
            false => format!("{before}{}>", fitting(rest, left - 1)),
        }
    }

    /// Sees to it that the cursor is in the part that is seen.
    fn follow(&mut self, editor: &Editor, room: usize) {
        let (line, cursor) = (&editor.line, editor.cursor);
        if fits(line, room) {
            self.from = 0;
            return;
        }
        let is_seen = line.is_char_boundary(self.from)
            && self.from <= cursor
            // Next to it there is room for the marks, and for a wide character.
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
