//! Prometheus' text format: families, series and values.
//!
//! Source: "Exposition formats" in Prometheus' documentation.

use std::fmt::{self, Display, Write as _};
use std::io;

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values up to each bound.
    Histogram,
    /// Sum and count of values.
    Summary,
}

/// A metric family: the series of one name.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// One line without a backslash.
    pub(super) help: &'static str,
}

/// Milliseconds, written as seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / 1000)?;
        match self.0 % 1000 {
            0 => Ok(()),
            ms if ms % 100 == 0 => write!(f, ".{}", ms / 100),
            ms if ms % 10 == 0 => write!(f, ".{:02}", ms / 10),
            ms => write!(f, ".{ms:03}"),
        }
    }
}

/// Bytes that are collected before they are written.
const CHUNK_BYTES: usize = 32 * 1024;

/// Writes the text format in chunks.
pub(super) struct Text<'a> {
    out: &'a mut dyn io::Write,
    text: String,
    /// The first error. After it nothing more is written.
    result: io::Result<()>,
    /// The name of the current family.
    name: &'static str,
}

impl<'a> Text<'a> {
    pub(super) fn new(out: &'a mut dyn io::Write) -> Text<'a> {
        Text {
            out,
            text: String::new(),
            result: Ok(()),
            name: "",
        }
    }

    /// Starts a family: its HELP and TYPE lines.
    pub(super) fn family(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        self.name = name;
        self.text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Writes a series of the current family. A histogram's names have a `suffix`.
    pub(super) fn sample(
        &mut self,
        suffix: &str,
        labels: &[(&'static str, &str)],
        value: impl Display,
    ) {
        if self.text.len() >= CHUNK_BYTES {
            self.flush();
        }
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (number, (label, text)) in labels.iter().enumerate() {
            self.text.push(if number == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            self.escaped(text);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, " {value}");
    }

    fn escaped(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                other => self.text.push(other),
            }
        }
    }

    fn flush(&mut self) {
        if self.result.is_ok() {
            self.result = self.out.write_all(self.text.as_bytes());
        }
        self.text.clear();
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// The first error of `out`.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush();
        self.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact_and_short() {
        let cases = [
            (0, "0"),
            (1, "0.001"),
            (10, "0.01"),
            (250, "0.25"),
            (2500, "2.5"),
            (1000, "1"),
            (1_795_366_978_443, "1795366978.443"),
            (u64::MAX, "18446744073709551.615"),
        ];
        for (ms, text) in cases {
            assert_eq!(Seconds(ms).to_string(), text);
        }
    }

    #[test]
    fn a_long_text_is_written_in_pieces_until_nobody_takes_them() {
        struct Pieces(Vec<usize>);
        impl io::Write for Pieces {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.len());
                match self.0.len() {
                    1..4 => Ok(bytes.len()),
                    _ => Err(io::ErrorKind::TimedOut.into()),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Pieces(Vec::new());
        let mut text = Text::new(&mut out);
        for value in 0..100_000 {
            text.sample("name", &[], value);
        }
        assert_eq!(text.finish().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(out.0.len(), 4);
        assert!(
            out.0
                .iter()
                .all(|piece| (CHUNK_BYTES..CHUNK_BYTES + 100).contains(piece))
        );
    }

    #[test]
    fn what_ends_a_label_is_escaped() {
        let mut out = Vec::new();
        let mut text = Text::new(&mut out);
        let family = Family {
            name: "n",
            kind: Kind::Gauge,
            help: "What it is.",
        };
        text.family(&family);
        text.sample("", &[("a", "\"\\\nü,{}"), ("b", "")], 1);
        text.sample("_x", &[], 2);
        let expected =
            "# HELP n What it is.\n# TYPE n gauge\nn{a=\"\\\"\\\\\\nü,{}\",b=\"\"} 1\nn_x 2\n";
        text.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
