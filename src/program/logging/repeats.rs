//! Rate limit for repeated warnings and errors: the first is logged, the others are counted.
//!
//! Every 10 s the count is logged. Lines are equal if level and text are: another host, port or
//! line number makes another line. Time is an argument.

use std::collections::VecDeque;

use log::Level;

/// Milliseconds for which repetitions are counted: spares a disk, and still shows that they go
/// on.
const WINDOW_MS: u64 = 10_000;

/// Lines that are remembered. One more pushes the oldest out.
const MAX_LINES: usize = 64;

/// Lines that were logged lately.
#[derive(Debug, Default)]
pub(super) struct RepeatLimiter {
    /// In the order in which their windows end.
    recent: VecDeque<RecentLine>,
}

#[derive(Debug)]
struct RecentLine {
    level: Level,
    text: String,
    until_ms: u64,
    /// Repetitions that are not yet logged.
    more: u64,
}

impl RepeatLimiter {
    /// Whether to log the line now; if not, it is counted. Take all summaries that are due first.
    pub(super) fn admit(&mut self, level: Level, text: &str, now_ms: u64) -> bool {
        let mut lately = self.recent.iter_mut();
        if let Some(recent) = lately.find(|recent| recent.level == level && recent.text == text) {
            recent.more += 1;
            return false;
        }
        self.recent.push_back(RecentLine {
            level,
            text: text.to_owned(),
            until_ms: now_ms + WINDOW_MS,
            more: 0,
        });
        true
    }

    /// The next summary that is due. Counting begins again.
    pub(super) fn due_summary(&mut self, now_ms: u64) -> Option<(Level, String)> {
        loop {
            let is_full = self.recent.len() > MAX_LINES;
            let oldest = self.recent.front()?;
            if oldest.until_ms > now_ms && !is_full {
                return None;
            }
            let mut recent = self.recent.pop_front()?;
            let summary = recent.summary();
            if summary.is_some() {
                if !is_full {
                    recent.until_ms = now_ms + WINDOW_MS;
                    recent.more = 0;
                    self.recent.push_back(recent);
                }
                return summary;
            }
        }
    }

    /// The next summary, due or not. Its line is forgotten.
    pub(super) fn take_summary(&mut self) -> Option<(Level, String)> {
        std::iter::from_fn(|| self.recent.pop_front()).find_map(|recent| recent.summary())
    }

    /// When the next summary is due, in milliseconds.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let counted = self.recent.iter().find(|recent| recent.more > 0);
        counted.map(|recent| recent.until_ms)
    }
}

impl RecentLine {
    fn summary(&self) -> Option<(Level, String)> {
        let RecentLine { level, text, .. } = self;
        match self.more {
            0 => None,
            1 => Some((*level, format!("said once more: {text}"))),
            more => Some((*level, format!("said {more} more times: {text}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is logged of these lines, and in which second.
    fn written(complaints: impl IntoIterator<Item = (u64, &'static str)>) -> Vec<(u64, String)> {
        let (mut repeats, mut written) = (RepeatLimiter::default(), Vec::new());
        let mut complaints = complaints.into_iter().peekable();
        for second in 0..=100 {
            let now_ms = second * 1000;
            while let Some((_, text)) = repeats.due_summary(now_ms) {
                written.push((second, text));
            }
            while let Some((_, text)) = complaints.next_if(|(at, _)| *at == second) {
                if repeats.admit(Level::Error, text, now_ms) {
                    written.push((second, text.to_owned()));
                }
            }
        }
        assert!(repeats.recent.is_empty() && complaints.next().is_none());
        written
    }

    fn lines(written: &[(u64, String)]) -> Vec<(u64, &str)> {
        written
            .iter()
            .map(|(at, text)| (*at, text.as_str()))
            .collect()
    }

    #[test]
    fn repetitions_are_logged_once_and_counted() {
        let complaints = (0..25).chain([60]).map(|second| (second, "no room"));
        assert_eq!(
            lines(&written(complaints)),
            [
                (0, "no room"),
                (10, "said 9 more times: no room"),
                (20, "said 10 more times: no room"),
                (30, "said 5 more times: no room"),
                (60, "no room"),
            ]
        );
    }

    #[test]
    fn a_new_line_is_logged_at_once_between_repetitions() {
        let complaints = [
            (1, "no room"),
            (1, "no room"),
            (2, "no port 80"),
            (2, "no port 81"),
            (3, "no room"),
            (5, "no port 80"),
        ];
        assert_eq!(
            lines(&written(complaints)),
            [
                (1, "no room"),
                (2, "no port 80"),
                (2, "no port 81"),
                (11, "said 2 more times: no room"),
                (12, "said once more: no port 80"),
            ]
        );
    }

    #[test]
    fn a_line_that_comes_rarely_is_logged_each_time() {
        let seldom = [(0, "no room"), (10, "no room"), (25, "no room")];
        assert_eq!(lines(&written(seldom)), seldom);
    }

    #[test]
    fn another_level_is_another_complaint() {
        let mut repeats = RepeatLimiter::default();
        assert!(repeats.admit(Level::Error, "x", 0));
        assert!(repeats.admit(Level::Warn, "x", 0));
        assert!(!repeats.admit(Level::Warn, "x", 1));
        assert_eq!(repeats.due_ms(), Some(WINDOW_MS));
        assert_eq!(
            repeats.take_summary(),
            Some((Level::Warn, "said once more: x".to_owned()))
        );
        assert_eq!((repeats.take_summary(), repeats.due_ms()), (None, None));
    }

    #[test]
    fn a_summary_is_due_only_after_a_repetition() {
        let mut repeats = RepeatLimiter::default();
        assert!(repeats.admit(Level::Error, "x", 5));
        assert_eq!(repeats.due_ms(), None);
        assert!(!repeats.admit(Level::Error, "x", 7));
        assert_eq!(repeats.due_ms(), Some(5 + WINDOW_MS));
        assert_eq!(repeats.due_summary(4 + WINDOW_MS), None);
        assert!(repeats.due_summary(5 + WINDOW_MS).is_some());
        assert_eq!(repeats.due_ms(), None);
    }

    #[test]
    fn many_different_lines_are_all_logged_and_few_remembered() {
        let mut repeats = RepeatLimiter::default();
        assert!(repeats.admit(Level::Error, "first", 0));
        assert!(!repeats.admit(Level::Error, "first", 0));
        let mut summaries = Vec::new();
        for number in 0..1000 {
            assert!(repeats.admit(Level::Error, &number.to_string(), 1));
            summaries.extend(repeats.due_summary(1));
            assert!(repeats.recent.len() <= MAX_LINES);
        }
        // The line that was pushed out keeps its count.
        let first = (Level::Error, "said once more: first".to_owned());
        assert_eq!(summaries, [first]);
    }
}
