//! Log entries, and the lines made of them: for a file, for the journal and for syslog.
//!
//! An entry is not formatted before it is written: the output may change while it waits. The
//! message is the same in all formats. Non-printing characters are spelled out, and long lines are
//! cut.

use std::fmt::{self, Write};
use std::io;

use log::{Level, Record};
use txlb::calendar::UtcTime;
use txlb::config::{LogFormat, SessionField, TemplatePart};
use txlb::json::{Json, Object};
use txlb::log_targets::{CONTROL, HEALTH, LOGINS, SESSIONS};
use txlb::non_printing::push_escaped;

/// Maximum bytes of a text. Only texts that repeat input from outside are longer.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// Initial capacity in bytes, enough for almost all lines.
const USUAL_BYTES: usize = 192;

/// Appended to text that was cut off.
const CUT: &str = "...";

/// Log targets that `RepeatLimiter` does not limit.
const NEVER_LIMITED: [&str; 3] = [LOGINS, HEALTH, CONTROL];

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
    /// The end of a session; in JSON the text is an object.
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

/// Keeps the first `MAX_TEXT_BYTES` bytes that are written to it.
struct BoundedText(String);

impl Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT_BYTES - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..boundary(text, room)]);
        Err(fmt::Error)
    }
}

/// Maximum bytes of a line in a file, with its newline. Only escaping makes lines longer.
const FILE_LINE: usize = 16 * 1024;

/// Maximum bytes of a syslog message, by RFC 3164.
const SYSLOG_LINE: usize = 1024;

/// The syslog facility "daemon".
const FACILITY_DAEMON: u8 = 3;

/// How the configuration has messages written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Layout {
    /// As text.
    #[default]
    Text,
    /// The same; the texts of sessions have a date of their own.
    DatedSessions,
    /// Each as an object, which has the date.
    Json,
}

impl Layout {
    /// That of `<logging format>`.
    pub(super) fn of(format: &LogFormat) -> Layout {
        let is_date = |part: &TemplatePart| *part == TemplatePart::Field(SessionField::Accepted);
        match format {
            LogFormat::Json => Layout::Json,
            LogFormat::Template(template) if !template.parts().iter().any(is_date) => Layout::Text,
            LogFormat::Tcplog | LogFormat::Template(_) => Layout::DatedSessions,
        }
    }

    /// Whether an entry has its date in itself: each line has one.
    // Test: each_line_has_one_date.
    fn is_dated(self, kind: EntryKind) -> bool {
        match self {
            Layout::Text => false,
            Layout::DatedSessions => kind == EntryKind::Session,
            Layout::Json => true,
        }
    }
}

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// The date in UTC, unless the message has one, then the message.
    File,
    /// The priority as in sd-daemon(3), then the message. No date: the journal has its own, in
    /// microseconds.
    Journal,
    /// The priority and the program as in RFC 3164. No date: it would have to be in the daemon's
    /// time zone, which a static binary in a chroot does not know. Daemons add their own.
    Syslog,
}

impl LineFormat {
    /// Appends the line for `entry` to `out`. The only newline is at its end, and syslog messages
    /// have none.
    pub(super) fn put(self, layout: Layout, entry: &Entry, process: u32, out: &mut String) {
        let start = out.len();
        let severity = severity(entry.level);
        // Writing to a String cannot fail.
        let _ = match self {
            LineFormat::File if layout.is_dated(entry.kind) => Ok(()),
            LineFormat::File => write!(out, "{} ", UtcTime::of(entry.wall_ms).iso()),
            LineFormat::Journal => write!(out, "<{severity}>"),
            LineFormat::Syslog => {
                let priority = FACILITY_DAEMON * 8 + severity;
                write!(out, "<{priority}>txlb[{process}]: ")
            }
        };
        if layout == Layout::Json {
            out.push_str(&json_object(entry));
        } else {
            let _ = write!(out, "{:5} ", entry.level);
            // Senders escape what they quote; this is a second check. It leaves backslashes alone.
            push_escaped(&entry.text, out);
        }
        match self {
            LineFormat::Syslog => cut(out, start, SYSLOG_LINE),
            LineFormat::File | LineFormat::Journal => {
                cut(out, start, FILE_LINE - 1);
                out.push('\n');
            }
        }
    }
}

/// Maximum bytes of a message in JSON: escapes make it six times as long at most.
const JSON_MESSAGE: usize = 2 * 1024;

/// The entry as a JSON object: time, level, and the message or the fields of a session. The message
/// is cut rather than the object.
fn json_object(entry: &Entry) -> String {
    let object = Object::new()
        .with("time", UtcTime::of(entry.wall_ms).iso())
        .with("level", entry.level.as_str());
    let fields = entry.text.strip_prefix('{').filter(|it| it.ends_with('}'));
    match fields.filter(|_| entry.kind == EntryKind::Session) {
        Some(fields) => format!("{},{fields}", object.into_open_text()),
        None => {
            let mut message = entry.text.clone();
            cut(&mut message, 0, JSON_MESSAGE);
            Json::from(object.with("message", message)).into_text()
        }
    }
}

/// Formatted lines that are written together.
#[derive(Default)]
pub(super) struct Lines {
    text: String,
    /// The end of each line, as an offset into `text`.
    ends: Vec<usize>,
}

impl Lines {
    pub(super) fn put(&mut self, format: LineFormat, layout: Layout, entry: &Entry) {
        format.put(layout, entry, std::process::id(), &mut self.text);
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

    /// The error of a writer that has written the first `from` bytes.
    pub(super) fn unwritten(&self, from: usize, error: io::Error) -> WriteError {
        let left = self.ends.iter().filter(|end| **end > from).count();
        WriteError { lines: left, error }
    }

    /// Whether the last line is incomplete after `written` bytes.
    pub(super) fn is_torn_at(&self, written: usize) -> bool {
        written > 0 && !self.ends.contains(&written)
    }
}

/// How many of the last lines were not written, and why.
#[derive(Debug)]
pub(super) struct WriteError {
    pub(super) lines: usize,
    pub(super) error: io::Error,
}

/// Writes formatted lines to a file, a stream or syslog.
pub(super) trait LineWriter: Send {
    /// Writes the lines in order, up to the first that fails.
    fn write(&mut self, lines: &Lines) -> Result<(), WriteError>;
}

/// The level as a syslog severity.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Cuts the text from `start` on to `most` bytes, at a character boundary.
fn cut(out: &mut String, start: usize, max_bytes: usize) {
    if out.len() - start > max_bytes {
        let end = boundary(out, start + max_bytes - CUT.len());
        out.truncate(end);
        out.push_str(CUT);
    }
}

/// The last character boundary of `text` within the first `most` bytes.
fn boundary(text: &str, max_bytes: usize) -> usize {
    let ends = (0..=max_bytes.min(text.len())).rev();
    let mut between = ends.filter(|end| text.is_char_boundary(*end));
    between.next().unwrap_or(0)
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
        format.put(Layout::Text, entry, 17, &mut out);
        out.strip_prefix("before\n").unwrap().to_owned()
    }

    #[test]
    fn each_format_has_its_prefix_before_the_same_text() {
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
                "2025-11-22T17:02:58.123Z INFO  it is so\n",
                "<6>INFO  it is so\n",
                "<30>txlb[17]: INFO  it is so",
            ]
        );
    }

    #[test]
    fn each_line_has_one_date() {
        use txlb::config::read;
        let line = |format: &str, kind| {
            let text = format!("<config><logging format='{format}'/></config>");
            let config = read(text.as_bytes()).unwrap().config;
            let layout = Layout::of(&config.logging.format);
            let mut out = String::new();
            LineFormat::File.put(layout, &entry(Level::Info, kind, "it is so"), 17, &mut out);
            out
        };
        let date = "2025-11-22T17:02:58.123Z";
        for (format, has_own) in [
            ("tcplog", true),
            ("at %{accepted} of %{client}", true),
            ("%{client}", false),
        ] {
            let dated = format!("{date} INFO  it is so\n");
            assert_eq!(line(format, EntryKind::Event), dated, "{format}");
            let expected = if has_own { "INFO  it is so\n" } else { &dated };
            assert_eq!(line(format, EntryKind::Session), expected, "{format}");
        }
        let object = line("json", EntryKind::Session);
        assert_eq!(object.matches(date).count(), 1, "{object}");
    }

    #[test]
    fn in_json_each_line_is_an_object() {
        let put = |format: LineFormat, kind, text: &str| {
            let mut out = String::new();
            let entry = entry(Level::Info, kind, text);
            format.put(Layout::Json, &entry, 17, &mut out);
            out
        };
        let head = r#"{"time":"2025-11-22T17:02:58.123Z","level":"INFO","#;
        assert_eq!(
            put(LineFormat::File, EntryKind::Event, "\"a\"\n"),
            format!("{head}\"message\":\"\\\"a\\\"\\n\"}}\n")
        );
        assert_eq!(
            put(LineFormat::Syslog, EntryKind::Session, r#"{"id":"2a"}"#),
            format!("<30>txlb[17]: {head}\"id\":\"2a\"}}")
        );
        // A session that was cut, or written before the format changed, is a message.
        for text in [r#"{"id":"2"#, "10.0.0.1:1 [22/Nov/2025] web"] {
            let line = put(LineFormat::File, EntryKind::Session, text);
            assert!(line.starts_with(&format!("{head}\"message\":\"")), "{line}");
        }
        let longest = put(LineFormat::File, EntryKind::Event, &"\u{9b}".repeat(8000));
        assert!(
            longest.ends_with("...\"}\n") && longest.len() < FILE_LINE,
            "{longest}"
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
        for (format, max_bytes) in FORMATS.into_iter().zip([FILE_LINE, FILE_LINE, SYSLOG_LINE]) {
            for letter in ["x", "ä", "日", "\u{1f600}", "\u{9b}"] {
                let long = entry(Level::Info, EntryKind::Event, &letter.repeat(max_bytes));
                let line = put(format, &long);
                assert!(
                    line.len() <= max_bytes && line.len() + 4 > max_bytes,
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
            (Level::Error, CONTROL),
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
            let long = letter.repeat(MAX_TEXT_BYTES);
            let record = |args: fmt::Arguments<'_>| {
                let record = Record::builder().args(args).build();
                Entry::of(&record, 0).text
            };
            let text = record(format_args!("{before}{long}{long}behind"));
            let text = text.strip_suffix(CUT).unwrap();
            assert!(text.len() <= MAX_TEXT_BYTES && text.len() > MAX_TEXT_BYTES - letter.len());
            assert_eq!(text.replace(letter, ""), before.replace(letter, ""));
        }
    }
}
