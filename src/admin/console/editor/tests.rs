//! Tests of the line editor: keys, the visible row, and the history.

use super::*;
use crate::admin::console::drawing::LineDrawing;
use crate::admin::console::keys::KeyDecoder;
use crate::admin::console::screen::Screen;
use crate::config::arbitrary::Random;
use crate::text::{columns, fitting};

/// An editor after these keys, and the results of keys that did more than edit.
fn pressed(keys: &str) -> (Editor, Vec<EditResult>) {
    let (mut editor, mut taker) = (Editor::default(), KeyDecoder::default());
    let mut results = Vec::new();
    for byte in keys.bytes() {
        for key in taker.decode(byte).into_iter().flatten() {
            let result = editor.press(key);
            if result != EditResult::Changed {
                results.push(result);
            }
        }
    }
    (editor, results)
}

/// The line, with a bar at the cursor.
fn written(keys: &str) -> String {
    let (editor, _) = pressed(keys);
    let (before, after) = editor.line.split_at(editor.cursor);
    format!("{before}|{after}")
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
            EditResult::Line("one".to_owned()),
            EditResult::Discarded,
            EditResult::Line("three".to_owned()),
            EditResult::End
        ]
    );
    assert_eq!(pressed("x\x04").1, []);
}

#[test]
fn a_line_that_is_too_long_is_never_taken_for_the_whole() {
    let keys = format!("{}\rx\r", "x".repeat(MAX_LINE + 1));
    assert_eq!(
        pressed(&keys).1,
        [EditResult::TooLong, EditResult::Line("x".to_owned())]
    );
    let keys = format!("{}\r", "x".repeat(MAX_LINE));
    assert!(matches!(&pressed(&keys).1[..], [EditResult::Line(line)] if line.len() == MAX_LINE));
    let keys = format!("{}\x15x\r", "x".repeat(MAX_LINE + 1));
    assert_eq!(pressed(&keys).1, [EditResult::Line("x".to_owned())]);
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

fn completed(line: &str, choices: &[&str]) -> String {
    let (mut editor, _) = pressed(line);
    let choices: Vec<_> = choices.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(editor.apply_completion(&choices), Completion::Applied);
    let bell = if editor.bell { " (bell)" } else { "" };
    let (before, after) = editor.line.split_at(editor.cursor);
    format!("{before}|{after}{bell}")
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
        assert_eq!(completed(line, choices), expected, "{line}");
    }
}

#[test]
fn only_the_second_tab_in_a_row_shows_the_choices() {
    let choices = ["aa".to_owned(), "ab".to_owned()];
    let (mut editor, _) = pressed("a");
    assert_eq!(editor.apply_completion(&choices), Completion::Applied);
    editor.press(Key::Tab);
    assert_eq!(editor.apply_completion(&choices), Completion::Show);
    editor.press(Key::Home);
    assert_eq!(editor.apply_completion(&choices), Completion::Applied);
    assert_eq!(editor.apply_completion(&[]), Completion::Applied);
}

/// Keys that a person may press, cats included.
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

/// After any keys, the row is a part of the line, and the cursor is at its place.
#[test]
fn what_is_seen_is_the_line() {
    let mut random = Random::new(29);
    for most in [10, 11, 17, 40, 80] {
        let (mut editor, mut keys) = (Editor::default(), KeyDecoder::default());
        let (mut drawing, mut screen) = (LineDrawing::default(), Screen::new(most, 3));
        let mut cut = 0;
        for _ in 0..3000 {
            for byte in any_keys(&mut random) {
                for key in keys.decode(byte).into_iter().flatten() {
                    if editor.press(key) == EditResult::Complete {
                        editor.apply_completion(&["service=\"a\\\"b\"".to_owned()]);
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

/// A text without combining marks, which remain when their letter is not visible.
fn letters(text: &str) -> String {
    text.chars().filter(|it| width(*it) > 0).collect()
}

/// Checks that the row shows the line. Returns whether only a part of it.
fn check_row(editor: &Editor, row: &str, column: usize, most: usize) -> bool {
    let (row, line) = (letters(row), letters(&editor.line));
    let before_cursor = letters(&editor.line[..editor.cursor]);
    let after_cursor = &line[before_cursor.len()..];
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
    // Blanks at the end are there, but cannot be seen.
    let part = part.to_owned() + &" ".repeat(most);
    let before = fitting(&part, column - prompt - usize::from(hides_start));
    assert!(before_cursor.ends_with(before), "{row:?}: {line:?}");
    let after = part[before.len()..].trim_end();
    let after = after.strip_suffix('>').unwrap_or(after);
    assert!(after_cursor.starts_with(after), "{row:?}: {line:?}");
    true
}

#[test]
fn one_goes_back_and_forth() {
    let mut history = History::default();
    assert_eq!(history.older("x"), None);
    for line in ["one", "two", "two", "  ", "three"] {
        history.push(line);
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
        history.push(line);
    }
    assert_eq!(history.older(""), None);
    history.push("setUser name=password");
    assert!(history.older("").is_some());
}

#[test]
fn it_has_limits() {
    let mut history = History::default();
    for number in 0..150 {
        history.push(&format!("line {number}"));
    }
    assert_eq!(history.lines.len(), MAX_LINES);
    assert_eq!(history.find("line", 100), Some((99, "line 149")));
    assert_eq!(history.find("line 5", 100), Some((9, "line 59")));
    assert_eq!(history.find("line 5", 9), Some((8, "line 58")));
    for _ in 0..8 {
        history.push(&"x".repeat(60_000));
        history.push(&"y".repeat(60_000));
    }
    assert!(history.bytes() <= MAX_BYTES && history.lines.len() == 4);
}
