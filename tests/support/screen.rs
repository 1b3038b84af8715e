//! A terminal emulator: what a person would see of txlb's output.
//!
//! It knows the sequences that txlb sends. Others are errors.

/// The visible screen.
#[derive(Debug)]
pub(crate) struct Screen {
    rows: Vec<Vec<String>>,
    columns: usize,
    row: usize,
    column: usize,
    /// The screen to restore when the alternate one is left, with its cursor.
    other: Option<(Vec<Vec<String>>, usize, usize)>,
    pub(crate) bells: usize,
    pub(crate) takes_pastes: bool,
    pub(crate) has_cursor: bool,
    /// Bytes of an incomplete sequence.
    rest: Vec<u8>,
}

impl Screen {
    pub(crate) fn new(columns: usize, rows: usize) -> Screen {
        Screen {
            rows: vec![vec![" ".to_owned(); columns]; rows],
            columns,
            row: 0,
            column: 0,
            other: None,
            bells: 0,
            takes_pastes: false,
            has_cursor: true,
            rest: Vec::new(),
        }
    }

    /// Changes the size, and keeps the content that fits.
    pub(crate) fn resize(&mut self, columns: usize, rows: usize) {
        for row in &mut self.rows {
            row.resize(columns, " ".to_owned());
        }
        while self.rows.len() > rows {
            self.rows.remove(0);
            self.row = self.row.saturating_sub(1);
        }
        self.rows.resize(rows, vec![" ".to_owned(); columns]);
        self.columns = columns;
        self.column = self.column.min(columns - 1);
    }

    /// Shows these bytes, which may be any piece of the output.
    pub(crate) fn show(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.take(rest) {
                Some(length) => rest = &rest[length..],
                None => break,
            }
        }
        self.rest = rest.to_vec();
    }

    /// Shows the first sequence or character; returns its length if it is complete.
    fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        match bytes[0] {
            b'\r' => self.column = 0,
            b'\n' => self.feed(),
            7 => self.bells += 1,
            0x1b => return self.take_sequence(bytes),
            first => {
                let length = match first {
                    0x20..0x7f => 1,
                    0xc2..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    0xf0..0xf5 => 4,
                    other => panic!("a byte of {other} is sent"),
                };
                let text = std::str::from_utf8(bytes.get(..length)?).unwrap();
                self.put(text.chars().next().unwrap());
                return Some(length);
            }
        }
        Some(1)
    }

    fn take_sequence(&mut self, bytes: &[u8]) -> Option<usize> {
        assert!(matches!(bytes.get(1), None | Some(b'[')), "{bytes:?}");
        let body = bytes.get(2..)?;
        let end = body.iter().position(|byte| (0x40..0x7f).contains(byte))?;
        let text = std::str::from_utf8(&body[..=end]).unwrap();
        match text {
            "K" => self.rows[self.row][self.column..].fill(" ".to_owned()),
            "J" => {
                self.rows[self.row][self.column..].fill(" ".to_owned());
                let blank = vec![" ".to_owned(); self.columns];
                self.rows[self.row + 1..].fill(blank);
            }
            "2J" => self.rows.fill(vec![" ".to_owned(); self.columns]),
            "H" => (self.row, self.column) = (0, 0),
            "?1049h" => {
                let blank = vec![vec![" ".to_owned(); self.columns]; self.rows.len()];
                let left = std::mem::replace(&mut self.rows, blank);
                let before = self.other.replace((left, self.row, self.column));
                assert!(before.is_none(), "it is there already");
            }
            "?1049l" => {
                let back = self.other.take().expect("it was never left");
                (self.rows, self.row, self.column) = back;
            }
            "?25h" => self.has_cursor = true,
            "?25l" => self.has_cursor = false,
            "?2004h" => self.takes_pastes = true,
            "?2004l" => self.takes_pastes = false,
            _ => match text.split_at(text.len() - 1) {
                (number, "C") => {
                    let number: usize = number.parse().unwrap();
                    assert!(number > 0, "terminals take that for 1");
                    self.column = (self.column + number).min(self.columns - 1);
                }
                (_, "m") => {}
                _ => panic!("a terminal is sent {text:?}"),
            },
        }
        Some(2 + end + 1)
    }

    fn put(&mut self, character: char) {
        let width = match u32::from(character) {
            0x300..0x370 => 0,
            0x4e00..0xa000 | 0x1f300..0x1f650 => 2,
            _ => 1,
        };
        if width == 0 {
            let at = self.column.saturating_sub(1);
            self.rows[self.row][at].push(character);
            return;
        }
        if self.column + width > self.columns {
            self.column = 0;
            self.feed();
        }
        self.rows[self.row][self.column] = character.to_string();
        if width == 2 {
            self.rows[self.row][self.column + 1] = String::new();
        }
        self.column += width;
    }

    fn feed(&mut self) {
        if self.row + 1 == self.rows.len() {
            self.rows.remove(0);
            self.rows.push(vec![" ".to_owned(); self.columns]);
        } else {
            self.row += 1;
        }
    }

    /// The lines up to the last that is not blank, without trailing blanks.
    pub(crate) fn lines(&self) -> Vec<String> {
        let rows = self.rows.iter();
        let mut lines: Vec<_> = rows.map(|row| row.concat().trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// All lines.
    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The cursor's row, and its column.
    pub(crate) fn row(&self) -> (String, usize) {
        let text = self.rows[self.row].concat();
        (text.trim_end().to_owned(), self.column)
    }

    /// Whether the alternate screen is shown.
    pub(crate) fn is_other(&self) -> bool {
        self.other.is_some()
    }
}
