//! Draws what a console shows: the line being edited in one row, scrolled where it is longer,
//! completions in columns, and the live view.
//!
//! The row is always drawn as a whole from the left: so it is right whatever the terminal had
//! there.

use super::editor::Editor;
use super::keys::Key;
use super::shell::{Backend, Reply, Size};
use crate::non_printing::escape_non_printing;
use crate::text::{columns, fits, fitting};

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
        let start = index / down * (widest + GAP);
        let blanks = start.saturating_sub(columns(line));
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

/// Live view: `watch` shows the reply to a verb again at an interval, on the terminal's alternate
/// screen. Time is an argument, in milliseconds since an arbitrary start.
#[derive(Debug)]
pub(super) struct LiveView {
    question: String,
    interval_ms: u64,
    /// Lines above the first that is shown.
    skipped: usize,
    /// The most that may be skipped, by the last reply.
    max_skipped: usize,
    /// Lines that a page has.
    page: usize,
    /// When it is shown next; `None` before the first tick.
    due_ms: Option<u64>,
    /// It is to be shown at the next tick.
    needs_refresh: bool,
}

/// Alternate screen, cursor hidden.
const BEGIN_LIVE_VIEW: &[u8] = b"\x1b[?1049h\x1b[?25l";

/// Normal screen, cursor visible.
pub(super) const END_LIVE_VIEW: &[u8] = b"\x1b[?25h\x1b[?1049l";

impl LiveView {
    /// Switches to the alternate screen.
    pub(super) fn begin(question: String, interval_ms: u64, out: &mut Vec<u8>) -> LiveView {
        out.extend_from_slice(BEGIN_LIVE_VIEW);
        LiveView {
            question,
            interval_ms,
            skipped: 0,
            max_skipped: 0,
            page: 1,
            due_ms: None,
            needs_refresh: false,
        }
    }

    /// Scrolls by a key. Returns whether it is one that scrolls, and there is more to see.
    pub(super) fn scroll(&mut self, key: Key) -> bool {
        if self.max_skipped == 0 {
            return false;
        }
        let skipped = match key {
            Key::Up | Key::Text('k') => self.skipped.saturating_sub(1),
            Key::Down | Key::Text('j') => self.skipped + 1,
            Key::PageUp | Key::Text('b') => self.skipped.saturating_sub(self.page),
            Key::PageDown | Key::Text(' ') => self.skipped + self.page,
            Key::Home => 0,
            Key::End => self.max_skipped,
            _ => return false,
        };
        self.skipped = skipped.min(self.max_skipped);
        self.needs_refresh = true;
        true
    }

    /// Has the next tick show it again, such as after a change of size.
    pub(super) fn refresh(&mut self) {
        self.needs_refresh = true;
    }

    /// Whether it is to be shown now. If so, it is due again after the interval.
    pub(super) fn is_due(&mut self, now_ms: u64) -> bool {
        let is_due = self.needs_refresh || self.due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        let next_ms = now_ms.saturating_add(self.interval_ms);
        match self.due_ms {
            // If the clock was set back, the next time is computed anew.
            Some(due_ms) if !is_due && due_ms <= next_ms => {}
            _ => self.due_ms = Some(next_ms),
        }
        is_due
    }

    /// Milliseconds until it is due.
    pub(super) fn remaining_ms(&self, now_ms: u64) -> u64 {
        let due_ms = self.due_ms.unwrap_or(now_ms);
        due_ms.saturating_sub(now_ms)
    }

    /// Asks the backend, and fills the screen with its reply.
    pub(super) fn show(
        &mut self,
        size: Size,
        colours: bool,
        backend: &mut impl Backend,
        out: &mut Vec<u8>,
    ) {
        self.needs_refresh = false;
        // The last column stays empty: see `LineDrawing::draw`.
        let width = size.width() - 1;
        let columns = size.columns.saturating_sub(1);
        let reply = backend.ask(&self.question, columns).unwrap_or(Reply {
            last: "error: txlb does not answer any more".to_owned(),
            ..Reply::default()
        });
        let interval = std::time::Duration::from_millis(self.interval_ms).as_secs_f64();
        let rows = usize::from(size.rows) - 1;
        let lines = self.visible_lines(&reply, rows);
        let scrolls = if self.max_skipped > 0 {
            ", arrows scroll"
        } else {
            ""
        };
        let head = format!(
            "{} every {interval} s: any key goes back{scrolls}",
            self.question
        );
        let (strong, plain) = match colours {
            true => ("\x1b[7m", "\x1b[0m"),
            false => ("", ""),
        };
        let head = fitting(&head, width);
        let mut screen = format!("\x1b[H{strong}{head}{plain}\x1b[K");
        for line in lines {
            let clean = escape_non_printing(&line);
            screen += &format!("\r\n{}\x1b[K", fitting(&clean, width));
        }
        screen += "\x1b[J";
        out.extend_from_slice(screen.as_bytes());
    }

    /// As many lines as there are rows, from where it was scrolled to. If some are left out below,
    /// the last one says how many.
    fn visible_lines(&mut self, reply: &Reply, rows: usize) -> Vec<String> {
        let mut lines = reply.lines.clone();
        if !reply.ok || lines.is_empty() {
            lines.push(reply.last.clone());
        }
        // The last row is for the line that says how many are left.
        self.page = rows.saturating_sub(1).max(1);
        self.max_skipped = lines.len().saturating_sub(rows);
        self.skipped = self.skipped.min(self.max_skipped);
        lines.drain(..self.skipped);
        if lines.len() > rows {
            let most = rows.saturating_sub(1);
            let left = lines.len() - most;
            lines.truncate(most);
            lines.push(format!("({left} more lines)"));
            lines.truncate(rows);
        }
        lines
    }
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
