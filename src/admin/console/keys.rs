//! From the bytes that a terminal sends to the keys that were pressed.
//!
//! Bytes may be cut anywhere. What a key does is the editor's business; keys that
//! nobody here has a use for come to nothing.

/// Something that was pressed, or pasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A character that is no control character.
    Text(char),
    /// The end of a line.
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    /// Ctrl-K.
    CutToEnd,
    /// Ctrl-U.
    CutToStart,
    /// Ctrl-W and Alt-Backspace.
    CutWord,
    /// Alt-D.
    CutNextWord,
    /// Ctrl-Y.
    Paste,
    /// Ctrl-L.
    Redraw,
    /// Ctrl-R.
    Search,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-G.
    Cancel,
    /// Ctrl-D.
    EndOfInput,
    /// Anything else.
    Other,
}

/// What it is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    /// Behind an ESC.
    Escape,
    /// Behind `ESC O`.
    Single,
    /// Behind `ESC [`.
    Sequence,
    /// Behind `ESC [ [`, as a console of Linux says its function keys.
    Function,
}

/// Takes bytes apart.
#[derive(Debug, Default)]
pub(super) struct Keys {
    state: State,
    /// Between `ESC [` and the final byte.
    parameters: Vec<u8>,
    /// A character of which some bytes are still to come.
    half: Vec<u8>,
    /// Between the marks of what is pasted: no key does more there than it shows.
    pasting: bool,
    /// A line feed behind a carriage return is the same key.
    after_return: bool,
}

/// No sequence that means something here is longer.
const MOST_PARAMETERS: usize = 16;

const ESCAPE: u8 = 0x1b;

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;

impl Keys {
    /// Tells the keys that one more byte completes: none, one or, where it shows that
    /// what was before it is no character, two.
    pub(super) fn take(&mut self, byte: u8) -> [Option<Key>; 2] {
        let broken = match self.half.is_empty() || (0x80..0xc0).contains(&byte) {
            true => None,
            false => {
                self.half.clear();
                Some(Key::Text(char::REPLACEMENT_CHARACTER))
            }
        };
        [broken, self.take_whole(byte)]
    }

    /// Whether a key is begun and not complete.
    pub(super) fn is_half(&self) -> bool {
        self.state != State::Ground || !self.half.is_empty()
    }

    fn take_whole(&mut self, byte: u8) -> Option<Key> {
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte),
            State::Escape => self.behind_escape(byte),
            State::Single => Some(cursor_key(byte, false)),
            State::Sequence => self.sequence(byte),
            State::Function => Some(Key::Other),
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' if after_return => None,
            b'\r' | b'\n' => Some(Key::Enter),
            ESCAPE => {
                self.state = State::Escape;
                None
            }
            // A tab between pasted words is a blank.
            b'\t' if self.pasting => Some(Key::Text(' ')),
            // The mark of its end may be lost: there must be a way out.
            INTERRUPT => {
                self.pasting = false;
                Some(Key::Interrupt)
            }
            0..0x20 | 0x7f if self.pasting => None,
            0..0x20 | 0x7f => Some(control_key(byte)),
            0x20..0x7f => Some(Key::Text(char::from(byte))),
            _ => self.part_of_character(byte),
        }
    }

    fn part_of_character(&mut self, byte: u8) -> Option<Key> {
        self.half.push(byte);
        match std::str::from_utf8(&self.half) {
            Err(error) if error.error_len().is_none() => return None,
            Err(_) => {
                self.half.clear();
                return Some(Key::Text(char::REPLACEMENT_CHARACTER));
            }
            Ok(_) => {}
        }
        let whole = std::mem::take(&mut self.half);
        let text = std::str::from_utf8(&whole).ok()?;
        let character = text.chars().next()?;
        (!character.is_control()).then_some(Key::Text(character))
    }

    fn behind_escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => {
                self.parameters.clear();
                self.state = State::Sequence;
                return None;
            }
            b'O' => {
                self.state = State::Single;
                return None;
            }
            // The first one was pressed alone.
            ESCAPE => {
                self.state = State::Escape;
                return None;
            }
            _ if self.pasting => return None,
            _ => {}
        }
        Some(match byte {
            b'b' | b'B' => Key::WordLeft,
            b'f' | b'F' => Key::WordRight,
            b'd' | b'D' => Key::CutNextWord,
            0x7f | 0x08 => Key::CutWord,
            // What ends or interrupts does so behind an ESC as well.
            b'\r' | b'\n' | INTERRUPT | 0x04 => return self.ground(byte),
            _ => Key::Other,
        })
    }

    fn sequence(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' if self.parameters.is_empty() => {
                self.state = State::Function;
                None
            }
            0x20..0x40 => {
                // Of one that is too long, enough is kept for it to mean nothing.
                if self.parameters.len() < MOST_PARAMETERS {
                    self.parameters.push(byte);
                }
                self.state = State::Sequence;
                None
            }
            0x40..0x7f => self.end_sequence(byte),
            // It was broken off.
            _ => self.ground(byte),
        }
    }

    fn end_sequence(&mut self, last: u8) -> Option<Key> {
        let parameters = std::mem::take(&mut self.parameters);
        let key = match (&parameters[..], last) {
            (b"200", b'~') => {
                self.pasting = true;
                return None;
            }
            (b"201", b'~') => {
                self.pasting = false;
                return None;
            }
            _ if self.pasting => return None,
            (b"1" | b"7", b'~') => Key::Home,
            (b"4" | b"8", b'~') => Key::End,
            (b"3", b'~') => Key::Delete,
            (b"", _) => cursor_key(last, false),
            // With Ctrl or Alt.
            (b"1;5" | b"1;3" | b"5" | b"3", _) => cursor_key(last, true),
            (_, b'A'..=b'H') => cursor_key(last, false),
            _ => Key::Other,
        };
        Some(key)
    }
}

fn cursor_key(last: u8, by_word: bool) -> Key {
    match (last, by_word) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', false) => Key::Right,
        (b'C', true) | (b'c', _) => Key::WordRight,
        (b'D', false) => Key::Left,
        (b'D', true) | (b'd', _) => Key::WordLeft,
        (b'H', _) => Key::Home,
        (b'F', _) => Key::End,
        (b'M', false) => Key::Enter,
        _ => Key::Other,
    }
}

fn control_key(byte: u8) -> Key {
    match byte {
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x07 => Key::Cancel,
        0x08 | 0x7f => Key::Backspace,
        b'\t' => Key::Tab,
        0x0b => Key::CutToEnd,
        0x0c => Key::Redraw,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x12 => Key::Search,
        0x15 => Key::CutToStart,
        0x17 => Key::CutWord,
        0x19 => Key::Paste,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes
            .iter()
            .flat_map(|byte| keys.take(*byte))
            .flatten()
            .collect()
    }

    #[test]
    fn keys_are_told_however_the_terminal_says_them() {
        let cases: &[(&[u8], &[Key])] = &[
            (b"a", &[Key::Text('a')]),
            (
                "äe\u{301}💾".as_bytes(),
                &[
                    Key::Text('ä'),
                    Key::Text('e'),
                    Key::Text('\u{301}'),
                    Key::Text('💾'),
                ],
            ),
            (b"\r", &[Key::Enter]),
            (b"\n", &[Key::Enter]),
            (b"\r\n\n", &[Key::Enter, Key::Enter]),
            (b"\x1b[A\x1bOA\x10", &[Key::Up; 3]),
            (b"\x1b[D\x1bOD\x02", &[Key::Left; 3]),
            (b"\x1b[H\x1bOH\x1b[1~\x1b[7~\x01", &[Key::Home; 5]),
            (b"\x1b[F\x1bOF\x1b[4~\x1b[8~\x05", &[Key::End; 5]),
            (b"\x1bb\x1b[1;5D\x1b[1;3D\x1b[5D\x1bOd", &[Key::WordLeft; 5]),
            (b"\x1bf\x1b[1;5C\x1b[1;3C", &[Key::WordRight; 3]),
            (b"\x1b[3~", &[Key::Delete]),
            (b"\x7f\x08", &[Key::Backspace; 2]),
            (b"\x1b\x7f\x17", &[Key::CutWord; 2]),
            (
                b"\x1b[[A\x1b[15~\x1b[200;1~x",
                &[Key::Other, Key::Other, Key::Other, Key::Text('x')],
            ),
            (b"\x1b\x1b[C", &[Key::Right]),
            (b"\x1b[12\x03", &[Key::Interrupt]),
            (b"\x1b\x04", &[Key::EndOfInput]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(keys(bytes), *expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_character_is_shown_as_such() {
        let broken = Key::Text(char::REPLACEMENT_CHARACTER);
        assert_eq!(keys(b"\xe9x"), [broken, Key::Text('x')]);
        assert_eq!(keys(b"\xff\xc3\x03"), [broken, broken, Key::Interrupt]);
        assert_eq!(keys(b"\xed\xa0\x80"), [broken; 2]);
        // A control character beyond ASCII is nothing that could be typed.
        assert_eq!(keys("\u{9b}".as_bytes()), []);
    }

    #[test]
    fn what_is_pasted_does_no_more_than_it_shows() {
        assert_eq!(
            keys(b"\x1b[200~a\tb\x02\x1b[A\x1bb\r\nc\x04\x1b[201~\t"),
            [
                Key::Text('a'),
                Key::Text(' '),
                Key::Text('b'),
                Key::Enter,
                Key::Text('c'),
                Key::Tab
            ]
        );
        assert_eq!(keys(b"\x1b[200~\x03\t"), [Key::Interrupt, Key::Tab]);
    }

    #[test]
    fn a_sequence_without_an_end_takes_no_room() {
        let mut long = Keys::default();
        for byte in b"\x1b[".iter().chain([b'1'; 100_000].iter()) {
            assert_eq!(long.take(*byte), [None, None]);
        }
        assert!(long.parameters.len() <= MOST_PARAMETERS && long.is_half());
        assert_eq!(long.take(b'~'), [None, Some(Key::Other)]);
        assert!(!long.is_half());
    }
}
