//! The backend of a console, which answers lines, and the types that callers of a console see.

/// Answers lines and completes words: the controller's handle, or a control socket.
pub trait Backend {
    /// Sends a line. Returns the reply, with tables of at most so many columns; `None` if the
    /// backend has gone.
    fn ask(&mut self, line: &str, columns: u16) -> Option<Reply>;

    /// Completions of the last word of a line.
    fn complete(&mut self, line: &str) -> Vec<String>;

    /// Whether a `begin` has no `commit` or `abort` yet.
    fn is_in_batch(&self) -> bool;

    /// Reports a line that was not sent: the batch that it belongs to is refused whole.
    fn reject_line(&mut self, why: &str);
}

/// The reply to a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Whether it succeeded.
    pub ok: bool,
    /// The data.
    pub lines: Vec<String>,
    /// `ok ...` or `error: ...`; empty for a blank line.
    pub last: String,
}

/// Whether the console goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// More keys may come.
    Continue,
    /// It has ended. Output that was written is still to be shown.
    End,
}

/// The size of a terminal in characters; 0 where it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters side by side.
    pub columns: u16,
    /// Characters one below the other.
    pub rows: u16,
}

impl Size {
    /// A size that can be drawn in.
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
