//! The line that is being written: what keys do to it.
//!
//! Pure: keys in, and a line out. How it is shown is `drawing`'s business, what is done
//! with it when it is complete the shell's.

use super::history::History;
use super::keys::Key;
use crate::config::verb::last_word;
use crate::control::text::width;

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

#[cfg(test)]
mod tests {
    //! What keys do to a line, and that what is seen is the line.

    use super::super::drawing::Drawing;
    use super::super::keys::Keys;
    use super::super::screen::Screen;
    use super::*;
    use crate::config::random::Random;
    use crate::control::text::{columns, fitting};

    /// An editor with all its keys pressed; what it did with the last line.
    fn pressed(keys: &str) -> (Editor, Vec<Step>) {
        let (mut editor, mut taker) = (Editor::default(), Keys::default());
        let mut steps = Vec::new();
        for byte in keys.bytes() {
            for key in taker.take(byte).into_iter().flatten() {
                let step = editor.press(key);
                if step != Step::Written {
                    steps.push(step);
                }
            }
        }
        (editor, steps)
    }

    /// The line with a bar where the cursor is.
    fn written(keys: &str) -> String {
        let (editor, _) = pressed(keys);
        let (before, behind) = editor.line.split_at(editor.cursor);
        format!("{before}|{behind}")
    }

    const LEFT: &str = "\x1b[D";
    const UP: &str = "\x1b[A";

    #[test]
    fn keys_write_and_move() {
        let cases = [
            ("abc".to_owned(), "abc|"),
            (format!("abc{LEFT}{LEFT}x"), "ax|bc"),
            (format!("abc{LEFT}\x7f"), "a|c"),
            (format!("abc{LEFT}\x1b[3~"), "ab|"),
            (format!("abc{LEFT}\x04"), "ab|"),
            ("abc\x01x\x05y".to_owned(), "xabcy|"),
            ("one two\x17".to_owned(), "one |"),
            ("one two\x1bb\x0b".to_owned(), "one |"),
            ("one two\x1bb\x15".to_owned(), "|two"),
            ("one two\x1bb\x1bb\x1bf".to_owned(), "one| two"),
            ("one two\x01\x1bd".to_owned(), "| two"),
            ("one two\x17\x01\x19 ".to_owned(), "two |one "),
            ("service=web\x17".to_owned(), "service=|"),
            (format!("e\u{301}x{LEFT}\x7f"), "|x"),
            (format!("ae\u{301}{LEFT}"), "a|e\u{301}"),
            (format!("東京{LEFT}\x7f"), "|京"),
            ("\u{301}\x7f\x7f".to_owned(), "|"),
            (format!("{LEFT}\x7f\x1b[3~\x1bb\x1bf\x0b\x17\x19"), "|"),
            ("a\x1b[Zb\x0f".to_owned(), "ab|"),
        ];
        for (keys, expected) in cases {
            assert_eq!(written(&keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn lines_end_and_are_dropped() {
        assert_eq!(
            pressed("one\rtwo\x03three\r\x04").1,
            [
                Step::Line("one".to_owned()),
                Step::Dropped,
                Step::Line("three".to_owned()),
                Step::End
            ]
        );
        assert_eq!(pressed("x\x04").1, []);
    }

    #[test]
    fn a_line_that_is_too_long_is_never_taken_for_the_whole() {
        let keys = format!("{}\rx\r", "x".repeat(MOST + 1));
        assert_eq!(
            pressed(&keys).1,
            [Step::TooLong, Step::Line("x".to_owned())]
        );
        let keys = format!("{}\r", "x".repeat(MOST));
        assert!(matches!(&pressed(&keys).1[..], [Step::Line(line)] if line.len() == MOST));
        let keys = format!("{}\x15x\r", "x".repeat(MOST + 1));
        assert_eq!(pressed(&keys).1, [Step::Line("x".to_owned())]);
    }

    #[test]
    fn former_lines_come_back() {
        assert_eq!(written(&format!("one\rtwo\rthr{UP}")), "two|");
        assert_eq!(written(&format!("one\rtwo\rthr{UP}{UP}{UP}")), "one|");
        assert_eq!(written(&format!("one\rtwo\rthr{UP}\x0e")), "thr|");
        assert_eq!(written("one\rtwo\r\x12o"), "two|");
        assert_eq!(written("one\rtwo\r\x12on"), "one|");
        assert_eq!(written("one\rtwo\r\x12o\x12"), "one|");
        assert_eq!(written("one\rtwo\rx\x12one\x07"), "x|");
        assert_eq!(written("one\rtwo\r\x12one\x1b[Dx"), "onx|e");
        assert_eq!(pressed("one\r\x12on\r").1.len(), 2);
    }

    fn offered(line: &str, choices: &[&str]) -> String {
        let (mut editor, _) = pressed(line);
        let choices: Vec<_> = choices.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(editor.offer(&choices), Offered::Taken);
        let bell = if editor.bell { " (bell)" } else { "" };
        let (before, behind) = editor.line.split_at(editor.cursor);
        format!("{before}|{behind}{bell}")
    }

    #[test]
    fn a_word_goes_on_as_far_as_its_choices_agree() {
        for (line, choices, expected) in [
            ("dr", &["drainHost"][..], "drainHost |"),
            ("ho", &["hostAdminDown", "hostAdminUp"], "hostAdmin|"),
            ("HOSTADMIN", &["hostAdminDown", "hostAdminUp"], "hostAdmin|"),
            (
                "hostAdmin",
                &["hostAdminDown", "hostAdminUp"],
                "hostAdmin| (bell)",
            ),
            ("x", &[], "x| (bell)"),
            ("a ser", &["service="], "a service=|"),
            ("a b=m", &["b=\"m y\""], "a b=\"m y\" |"),
            ("a b=m", &["b=mx", "b=\"m y\""], "a b=m| (bell)"),
            ("a b=m", &["b=\"m y\"", "b=\"m x\""], "a b=\"m |"),
            (
                "a b=\"m",
                &["b=\"m\\\\a\"", "b=\"m\\\"a\""],
                "a b=\"m| (bell)",
            ),
            ("dr x\x1bb\x1bb\x1bf", &["drainHost"], "drainHost |x"),
        ] {
            assert_eq!(offered(line, choices), expected, "{line}");
        }
    }

    #[test]
    fn only_the_second_tab_in_a_row_shows_the_choices() {
        let choices = ["aa".to_owned(), "ab".to_owned()];
        let (mut editor, _) = pressed("a");
        assert_eq!(editor.offer(&choices), Offered::Taken);
        editor.press(Key::Tab);
        assert_eq!(editor.offer(&choices), Offered::Show);
        editor.press(Key::Home);
        assert_eq!(editor.offer(&choices), Offered::Taken);
        assert_eq!(editor.offer(&[]), Offered::Taken);
    }

    /// What keys a person may press, cats included.
    fn any_keys(random: &mut Random) -> Vec<u8> {
        let words = [
            "a",
            "service=",
            " ",
            "\"",
            "\\",
            "ü",
            "e\u{301}",
            "東",
            "💾",
            "\u{301}",
            "x y z",
            "a long word of many letters ",
        ];
        let keys: [&[u8]; 26] = [
            b"\x1b[D",
            b"\x1b[D",
            b"\x1b[C",
            b"\x1b[A",
            b"\x1b[B",
            b"\x1b[H",
            b"\x1b[F",
            b"\x1bb",
            b"\x1bf",
            b"\x1bd",
            b"\x7f",
            b"\x7f",
            b"\x1b[3~",
            b"\x0b",
            b"\x15",
            b"\x17",
            b"\x19",
            b"\r",
            b"\x03",
            b"\x12",
            b"\x07",
            b"\t",
            b"\x1b",
            b"\xff\x80",
            b"\x1b[200~",
            b"\x1b[201~",
        ];
        match random.below(3) {
            0 => random.pick(&keys).to_vec(),
            1 => vec![u8::try_from(random.below(256)).unwrap()],
            _ => random.pick(&words).as_bytes().to_vec(),
        }
    }

    /// Whatever is pressed, what is seen is a part of the line, and the cursor is at its
    /// place in it.
    #[test]
    fn what_is_seen_is_the_line() {
        let mut random = Random::new(29);
        for most in [10, 11, 17, 40, 80] {
            let (mut editor, mut keys) = (Editor::default(), Keys::default());
            let (mut drawing, mut screen) = (Drawing::default(), Screen::new(most, 3));
            let mut cut = 0;
            for _ in 0..3000 {
                for byte in any_keys(&mut random) {
                    for key in keys.take(byte).into_iter().flatten() {
                        if editor.press(key) == Step::Complete {
                            editor.offer(&["service=\"a\\\"b\"".to_owned()]);
                        }
                    }
                }
                assert!(editor.line.is_char_boundary(editor.cursor));
                let mut out = Vec::new();
                drawing.draw(&editor, "txlb> ", (most, true), &mut out);
                screen.show(&out);
                let (row, column) = screen.row();
                cut += usize::from(check_row(&editor, &row, column, most));
            }
            assert!(most == 80 || cut > 50, "{most}: {cut}");
        }
    }

    /// A text without its marks: a letter that is not seen leaves its own behind.
    fn letters(text: &str) -> String {
        text.chars().filter(|it| width(*it) > 0).collect()
    }

    /// Whether the row, which must show the line, shows but a part of it.
    fn check_row(editor: &Editor, row: &str, column: usize, most: usize) -> bool {
        let (row, line) = (letters(row), letters(&editor.line));
        let before_cursor = letters(&editor.line[..editor.cursor]);
        let behind_cursor = &line[before_cursor.len()..];
        assert!(columns(&row) < most, "{row}");
        let (prompt, shown) = match (row.strip_prefix("txlb>"), row.strip_prefix('>')) {
            (Some(rest), _) => (6, rest),
            (None, Some(rest)) => (2, rest),
            _ if editor.search.is_some() => return false,
            _ => panic!("{row}"),
        };
        let shown = shown.strip_prefix(' ').unwrap_or(shown);
        if columns(&line) < most - prompt {
            assert_eq!(shown.trim_end(), line.trim_end());
            assert_eq!(column, prompt + columns(&before_cursor));
            return false;
        }
        let hides_start = shown.starts_with('<');
        let part = shown.strip_prefix('<').unwrap_or(shown);
        // Blanks at the end are there, but cannot be told.
        let part = part.to_owned() + &" ".repeat(most);
        let before = fitting(&part, column - prompt - usize::from(hides_start));
        assert!(before_cursor.ends_with(before), "{row:?}: {line:?}");
        let behind = part[before.len()..].trim_end();
        let behind = behind.strip_suffix('>').unwrap_or(behind);
        assert!(behind_cursor.starts_with(behind), "{row:?}: {line:?}");
        true
    }
}
