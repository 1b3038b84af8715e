//! How a line looks where it goes: the date or the priority in front of it, nothing in
//! it that could break it or lie about it, and an end in time.
//!
//! What the line says is the same everywhere, so that what searches logs need not know
//! where they come from. Pure: it is told the time and the number of the process.

use std::fmt::Write;
use std::io;

use log::Level;
use txlb::calendar::UtcTime;
use txlb::non_printing::push_spelled_out;

use super::entry::{CUT, Entry, EntryKind, boundary};

/// Bytes of a line of a file, its end included. What is longer has been escaped.
const FILE_LINE: usize = 16 * 1024;

/// Bytes of a message to a syslog daemon: the most that RFC 3164 lets it take.
const SYSLOG_LINE: usize = 1024;

/// Who runs without a terminal, as syslog numbers it.
const FACILITY_DAEMON: u8 = 3;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// The date, and the line.
    File,
    /// The priority as sd-daemon(3) has it, and the line. The journal knows the time
    /// when it came, to the microsecond, and would show another one beside that.
    Journal,
    /// The priority and who speaks, as in RFC 3164; no date. That would have to be in
    /// the daemon's own time zone, which a static binary in a chroot does not know. All
    /// daemons put their own where there is none.
    Syslog,
}

impl LineFormat {
    /// Adds the line for `entry` to `out`. It contains no line end but the one at its
    /// end, which messages to syslog lack.
    pub(super) fn put(self, entry: &Entry, process: u32, out: &mut String) {
        let start = out.len();
        let severity = severity(entry.level);
        // A string takes everything.
        let _ = match self {
            LineFormat::File => write!(out, "{} ", UtcTime::of(entry.wall_ms).iso()),
            LineFormat::Journal => write!(out, "<{severity}>"),
            LineFormat::Syslog => {
                let priority = FACILITY_DAEMON * 8 + severity;
                write!(out, "<{priority}>txlb[{process}]: ")
            }
        };
        if entry.kind != EntryKind::Session {
            let _ = write!(out, "{:5} ", entry.level);
        }
        // The last net below those of who logs: backslashes are left as they are.
        push_spelled_out(&entry.text, out);
        match self {
            LineFormat::Syslog => cut(out, start, SYSLOG_LINE),
            LineFormat::File | LineFormat::Journal => {
                cut(out, start, FILE_LINE - 1);
                out.push('\n');
            }
        }
    }
}

/// Lines that are to be written at once.
#[derive(Default)]
pub(super) struct Lines {
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Lines {
    pub(super) fn put(&mut self, format: LineFormat, entry: &Entry) {
        format.put(entry, std::process::id(), &mut self.text);
        self.ends.push(self.text.len());
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = starts.zip(&self.ends);
        ends.map(|(start, end)| &self.text[start..*end])
    }

    /// The failure of whoever has written so many bytes of it.
    pub(super) fn unwritten(&self, from: usize, error: io::Error) -> WriteError {
        let left = self.ends.iter().filter(|end| **end > from).count();
        WriteError { lines: left, error }
    }

    /// Whether a line lacks its end where only so many bytes of all are written.
    pub(super) fn is_torn_at(&self, written: usize) -> bool {
        written > 0 && !self.ends.contains(&written)
    }
}

/// Lines that were not taken, the last ones of those that there were.
#[derive(Debug)]
pub(super) struct WriteError {
    pub(super) lines: usize,
    pub(super) error: io::Error,
}

/// What lines are written to.
pub(super) trait LineWriter: Send {
    /// Writes them in order, until one is not taken.
    fn write(&mut self, lines: &Lines) -> Result<(), WriteError>;
}

/// How bad, as syslog counts it.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Cuts what begins at `start` to so many bytes, between two characters.
fn cut(out: &mut String, start: usize, most: usize) {
    if out.len() - start > most {
        let end = boundary(out, start + most - CUT.len());
        out.truncate(end);
        out.push_str(CUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [LineFormat; 3] = [LineFormat::File, LineFormat::Journal, LineFormat::Syslog];

    fn entry(level: Level, kind: EntryKind, text: &str) -> Entry {
        Entry {
            wall_ms: 1_763_830_978_123,
            level,
            kind,
            text: text.to_owned(),
        }
    }

    fn put(format: LineFormat, entry: &Entry) -> String {
        let mut out = "before\n".to_owned();
        format.put(entry, 17, &mut out);
        out.strip_prefix("before\n").unwrap().to_owned()
    }

    #[test]
    fn the_same_is_said_everywhere_behind_what_belongs_there() {
        let lines =
            |level, kind| FORMATS.map(|format| put(format, &entry(level, kind, "it is so")));
        assert_eq!(
            lines(Level::Warn, EntryKind::Event),
            [
                "2025-11-22T17:02:58.123Z WARN  it is so\n",
                "<4>WARN  it is so\n",
                "<28>txlb[17]: WARN  it is so",
            ]
        );
        assert_eq!(
            lines(Level::Info, EntryKind::Session),
            [
                "2025-11-22T17:02:58.123Z it is so\n",
                "<6>it is so\n",
                "<30>txlb[17]: it is so",
            ]
        );
    }

    #[test]
    fn every_level_has_a_severity() {
        let begins = |level| put(LineFormat::Syslog, &entry(level, EntryKind::Event, ""));
        for (level, priority) in [
            (Level::Error, "<27>"),
            (Level::Warn, "<28>"),
            (Level::Info, "<30>"),
            (Level::Debug, "<31>"),
            (Level::Trace, "<31>"),
        ] {
            assert!(begins(level).starts_with(priority), "{}", begins(level));
        }
    }

    #[test]
    fn a_line_stays_one_line_whatever_is_in_it() {
        let bad = "a\nb\r\u{0}\u{1b}[31m\u{7f}\u{85}\u{9b}2J\u{2028}\u{202e}\u{feff}\u{e0041}z \\n";
        let shown = "a\\nb\\r\\u{0}\\u{1b}[31m\\u{7f}\\u{85}\\u{9b}2J\\u{2028}\\u{202e}\
                     \\u{feff}\\u{e0041}z \\n";
        for (format, kind) in FORMATS
            .map(|format| [(format, EntryKind::Event), (format, EntryKind::Session)])
            .concat()
        {
            let line = put(format, &entry(Level::Error, kind, bad));
            assert!(line.trim_end_matches('\n').ends_with(shown), "{line}");
            assert_eq!(line.find('\n').unwrap_or(line.len() - 1), line.len() - 1);
        }
    }

    #[test]
    fn letters_of_all_scripts_are_left_as_they_are() {
        let text = "grüße \u{645}\u{6cc}\u{200c}\u{62e} \u{1f468}\u{200d}\u{1f373} 日本";
        for format in FORMATS {
            let line = put(format, &entry(Level::Info, EntryKind::Event, text));
            assert!(line.trim_end().ends_with(text), "{line}");
        }
    }

    #[test]
    fn long_lines_are_cut_between_two_characters() {
        for (format, most) in FORMATS.into_iter().zip([FILE_LINE, FILE_LINE, SYSLOG_LINE]) {
            for letter in ["x", "ä", "日", "\u{1f600}", "\u{9b}"] {
                let long = entry(Level::Info, EntryKind::Event, &letter.repeat(most));
                let line = put(format, &long);
                assert!(
                    line.len() <= most && line.len() + 4 > most,
                    "{}",
                    line.len()
                );
                assert!(
                    line.trim_end_matches('\n').ends_with(CUT),
                    "{format:?} {letter}"
                );
            }
            let short = put(
                format,
                &entry(Level::Info, EntryKind::Event, &"x".repeat(900)),
            );
            assert!(short.trim_end_matches('\n').ends_with("xxx"));
        }
    }
}
