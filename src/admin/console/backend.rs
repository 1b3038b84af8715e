//! What a console is connected to.

/// Who answers.
pub trait Partner {
    /// What is said to a line, in tables of at most so many columns. `None`: there is
    /// nobody to answer any more.
    fn ask(&mut self, line: &str, columns: u16) -> Option<Told>;

    /// What the last word of a line may become.
    fn complete(&mut self, line: &str) -> Vec<String>;

    /// Whether there was a `begin`, and its end is yet to come.
    fn is_in_batch(&self) -> bool;

    /// A line could not be heard: nothing is done of the batch that it belongs to.
    fn refuse(&mut self, why: &str);
}

/// What was said to a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether it was done.
    pub ok: bool,
    /// The data.
    pub lines: Vec<String>,
    /// `ok ...` or `error: ...`; empty for a line of blanks.
    pub last: String,
}

/// Whether it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// More keys may come.
    Continue,
    /// They have ended it. What has been written for the terminal is still to be shown.
    End,
}

/// How large a terminal is, in characters. Where it is not known, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters side by side.
    pub columns: u16,
    /// Characters one below the other.
    pub rows: u16,
}

impl Size {
    /// One that can be drawn in.
    pub(super) fn sane(self) -> Size {
        let sane = |number, usual| match number {
            0 => usual,
            number => number,
        };
        Size {
            columns: sane(self.columns, 80).clamp(10, 1000),
            rows: sane(self.rows, 24).clamp(2, 1000),
        }
    }

    pub(super) fn width(self) -> usize {
        usize::from(self.columns)
    }
}
