//! Decodes the bytes of a terminal into keys: UTF-8, control characters, escape sequences,
//! bracketed paste.
//! Bytes may be cut anywhere.

/// A key, or a pasted character.
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
    PageUp,
    PageDown,
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

/// State of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After `ESC O`.
    Ss3,
    /// After `ESC [`.
    Csi,
    /// After `ESC [ [`, for function keys of the Linux console.
    Function,
}

/// Decodes bytes into keys.
#[derive(Debug, Default)]
pub(super) struct KeyDecoder {
    state: State,
    /// Between `ESC [` and the final byte.
    parameters: Vec<u8>,
    /// The first bytes of a UTF-8 character.
    partial_char: Vec<u8>,
    /// Inside a bracketed paste, where keys are only text.
    pasting: bool,
    /// A line feed after a carriage return is the same key.
    after_return: bool,
}

/// Longer sequences have no meaning here.
const MAX_PARAMETERS: usize = 16;

const ESCAPE: u8 = 0x1b;

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;

impl KeyDecoder {
    /// The keys that this byte completes: none, one, or two if it shows that the bytes before it
    /// were no character.
    pub(super) fn decode(&mut self, byte: u8) -> [Option<Key>; 2] {
        let broken = match self.partial_char.is_empty() || (0x80..0xc0).contains(&byte) {
            true => None,
            false => {
                self.partial_char.clear();
                Some(Key::Text(char::REPLACEMENT_CHARACTER))
            }
        };
        [broken, self.decode_byte(byte)]
    }

    /// Whether a key has begun and is not complete.
    pub(super) fn is_incomplete(&self) -> bool {
        self.state != State::Ground || !self.partial_char.is_empty()
    }

    fn decode_byte(&mut self, byte: u8) -> Option<Key> {
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte),
            State::Escape => self.after_escape(byte),
            State::Ss3 => Some(cursor_key(byte, false)),
            State::Csi => self.csi(byte),
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
            // The end mark of a paste may be lost: Ctrl-C ends it too.
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
        self.partial_char.push(byte);
        match std::str::from_utf8(&self.partial_char) {
            Err(error) if error.error_len().is_none() => return None,
            Err(_) => {
                self.partial_char.clear();
                return Some(Key::Text(char::REPLACEMENT_CHARACTER));
            }
            Ok(_) => {}
        }
        let whole = std::mem::take(&mut self.partial_char);
        let text = std::str::from_utf8(&whole).ok()?;
        let character = text.chars().next()?;
        (!character.is_control()).then_some(Key::Text(character))
    }

    fn after_escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => {
                self.parameters.clear();
                self.state = State::Csi;
                return None;
            }
            b'O' => {
                self.state = State::Ss3;
                return None;
            }
            // The first ESC was a key of its own.
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
            // Keys that end or interrupt do so after an ESC too.
            b'\r' | b'\n' | INTERRUPT | 0x04 => return self.ground(byte),
            _ => Key::Other,
        })
    }

    fn csi(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' if self.parameters.is_empty() => {
                self.state = State::Function;
                None
            }
            0x20..0x40 => {
                // Of a sequence that is too long, enough is kept for it to mean nothing.
                if self.parameters.len() < MAX_PARAMETERS {
                    self.parameters.push(byte);
                }
                self.state = State::Csi;
                None
            }
            0x40..0x7f => self.finish_csi(byte),
            // The sequence was broken off.
            _ => self.ground(byte),
        }
    }

    fn finish_csi(&mut self, last: u8) -> Option<Key> {
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
            (b"5", b'~') => Key::PageUp,
            (b"6", b'~') => Key::PageDown,
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
        let mut keys = KeyDecoder::default();
        bytes
            .iter()
            .flat_map(|byte| keys.decode(*byte))
            .flatten()
            .collect()
    }

    #[test]
    fn keys_are_recognised_however_the_terminal_sends_them() {
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
        // A control character beyond ASCII cannot be typed.
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
    fn a_sequence_without_an_end_takes_no_memory() {
        let mut long = KeyDecoder::default();
        for byte in b"\x1b[".iter().chain([b'1'; 100_000].iter()) {
            assert_eq!(long.decode(*byte), [None, None]);
        }
        assert!(long.parameters.len() <= MAX_PARAMETERS && long.is_incomplete());
        assert_eq!(long.decode(b'~'), [None, Some(Key::Other)]);
        assert!(!long.is_incomplete());
    }
}
