//! One log entry in the queue: time, level, kind and text, not yet formatted.
//!
//! The format depends on the output, which may change while the entry waits.

use std::fmt::{self, Write};

use log::{Level, Record};
use txlb::log_targets::{ANSWERS, HEALTH, LOGINS, SESSIONS};

/// Maximum bytes of a text. Only texts that repeat input from outside are longer.
pub(super) const MAX_BYTES: usize = 8 * 1024;

/// Initial capacity in bytes, enough for almost all lines.
const USUAL_BYTES: usize = 192;

/// Appended to text that was cut off.
pub(super) const CUT: &str = "...";

/// Log targets that `RepeatLimiter` does not limit.
const NEVER_LIMITED: [&str; 3] = [LOGINS, HEALTH, ANSWERS];

/// One log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Milliseconds since 1970.
    pub(super) wall_ms: u64,
    pub(super) level: Level,
    pub(super) kind: EntryKind,
    /// The message, not escaped.
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// The end of a session, which has a layout of its own.
    Session,
    /// Written each time.
    Event,
    /// Warnings and errors that are limited when they repeat.
    Repeatable,
}

impl Entry {
    pub(super) fn of(record: &Record<'_>, wall_ms: u64) -> Entry {
        let (level, mut text) = (
            record.level(),
            BoundedText(String::with_capacity(USUAL_BYTES)),
        );
        if write!(text, "{}", record.args()).is_err() {
            text.0.push_str(CUT);
        }
        Entry {
            wall_ms,
            level,
            kind: EntryKind::of(level, record.target()),
            text: text.0,
        }
    }

    /// An entry of the log itself.
    pub(super) fn own(level: Level, text: String, wall_ms: u64) -> Entry {
        Entry {
            wall_ms,
            level,
            kind: EntryKind::Event,
            text,
        }
    }
}

impl EntryKind {
    fn of(level: Level, target: &str) -> EntryKind {
        match level {
            _ if target == SESSIONS => EntryKind::Session,
            _ if NEVER_LIMITED.contains(&target) => EntryKind::Event,
            Level::Error | Level::Warn => EntryKind::Repeatable,
            _ => EntryKind::Event,
        }
    }
}

/// Keeps the first `MAX_BYTES` bytes that are written to it.
struct BoundedText(String);

impl Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_BYTES - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..boundary(text, room)]);
        Err(fmt::Error)
    }
}

/// The last character boundary of `text` within the first `most` bytes.
pub(super) fn boundary(text: &str, max_bytes: usize) -> usize {
    let places = (0..=max_bytes.min(text.len())).rev();
    let mut between = places.filter(|place| text.is_char_boundary(*place));
    between.next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(level: Level, target: &str) -> EntryKind {
        EntryKind::of(level, target)
    }

    #[test]
    fn complaints_of_the_machine_alone_are_held_back() {
        let complaint = kind(Level::Error, "txlb::relay::engine::accept");
        assert_eq!(complaint, EntryKind::Repeatable);
        assert_eq!(kind(Level::Warn, "txlb::serve"), EntryKind::Repeatable);
        for (level, target) in [
            (Level::Info, "txlb::relay::engine::accept"),
            (Level::Debug, "txlb::admin::web"),
            (Level::Warn, LOGINS),
            (Level::Warn, HEALTH),
            (Level::Error, ANSWERS),
        ] {
            assert_eq!(kind(level, target), EntryKind::Event, "{level} {target}");
        }
        // Targets must match exactly, not by prefix.
        for target in ["txlb::login::users", "txlb::logins", "txlb::admin::auth"] {
            assert_eq!(kind(Level::Warn, target), EntryKind::Repeatable, "{target}");
        }
        assert_eq!(kind(Level::Info, SESSIONS), EntryKind::Session);
    }

    #[test]
    fn a_text_without_end_is_cut_between_two_letters() {
        for (before, letter) in [("", "x"), ("x", "ä"), ("xx", "\u{1f600}")] {
            let long = letter.repeat(MAX_BYTES);
            let record = |args: fmt::Arguments<'_>| {
                let record = Record::builder().args(args).build();
                Entry::of(&record, 0).text
            };
            let text = record(format_args!("{before}{long}{long}behind"));
            let text = text.strip_suffix(CUT).unwrap();
            assert!(text.len() <= MAX_BYTES && text.len() > MAX_BYTES - letter.len());
            assert_eq!(text.replace(letter, ""), before.replace(letter, ""));
        }
    }
}
