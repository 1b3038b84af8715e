//! The lines that were entered before, and going through them.
//!
//! A line with a password in it is never kept.

use std::collections::VecDeque;

/// Lines that are kept at most.
const MOST_LINES: usize = 100;

/// What they may have together, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// Lines that were entered.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The oldest first.
    lines: VecDeque<String>,
    /// Which of them is looked at; none is the line that is being written.
    at: Option<usize>,
    /// What was being written when the first one was looked at.
    draft: String,
}

impl History {
    /// Keeps a line, unless it is the one before again, has nothing in it or has a
    /// password in it.
    pub(super) fn keep(&mut self, line: &str) {
        self.at = None;
        self.draft.clear();
        let is_again = self.lines.back().is_some_and(|last| last == line);
        if is_again || line.trim().is_empty() || has_password(line) || line.len() > MOST_BYTES {
            return;
        }
        self.lines.push_back(line.to_owned());
        while self.lines.len() > MOST_LINES || self.bytes() > MOST_BYTES {
            self.lines.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(String::len).sum()
    }

    /// The line before the one that is looked at. `now` is what there is to come back to.
    pub(super) fn older(&mut self, now: &str) -> Option<String> {
        let at = match self.at {
            None => {
                now.clone_into(&mut self.draft);
                self.lines.len().checked_sub(1)?
            }
            Some(at) => at.checked_sub(1)?,
        };
        self.at = Some(at);
        self.lines.get(at).cloned()
    }

    /// The line behind the one that is looked at: at last the one that was being
    /// written.
    pub(super) fn newer(&mut self) -> Option<String> {
        let at = self.at? + 1;
        match self.lines.get(at) {
            Some(line) => {
                self.at = Some(at);
                Some(line.clone())
            }
            None => {
                self.at = None;
                Some(std::mem::take(&mut self.draft))
            }
        }
    }

    /// The newest line with `text` in it, and its number, of those older than `before`.
    pub(super) fn find(&self, text: &str, before: usize) -> Option<(usize, &str)> {
        let lines = self.lines.iter().enumerate().take(before);
        let mut found = lines.rev().filter(|(_, line)| line.contains(text));
        found.next().map(|(number, line)| (number, line.as_str()))
    }
}

/// Whether a key of it may be `password=`, however that is quoted.
fn has_password(line: &str) -> bool {
    let bare: String = line
        .chars()
        .filter(|it| !matches!(it, '"' | '\\'))
        .collect();
    let escaped = line.contains("\\u{");
    let bare = bare.to_ascii_lowercase();
    bare.contains("password=") || (escaped && bare.contains("user"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_back_and_forth() {
        let mut history = History::default();
        assert_eq!(history.older("x"), None);
        for line in ["one", "two", "two", "  ", "three"] {
            history.keep(line);
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
            history.keep(line);
        }
        assert_eq!(history.older(""), None);
        history.keep("setUser name=password");
        assert!(history.older("").is_some());
    }

    #[test]
    fn it_has_limits() {
        let mut history = History::default();
        for number in 0..150 {
            history.keep(&format!("line {number}"));
        }
        assert_eq!(history.lines.len(), MOST_LINES);
        assert_eq!(history.find("line", 100), Some((99, "line 149")));
        assert_eq!(history.find("line 5", 100), Some((9, "line 59")));
        assert_eq!(history.find("line 5", 9), Some((8, "line 58")));
        for _ in 0..8 {
            history.keep(&"x".repeat(60_000));
            history.keep(&"y".repeat(60_000));
        }
        assert!(history.bytes() <= MOST_BYTES && history.lines.len() == 4);
    }
}
