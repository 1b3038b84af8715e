//! How the values of a check are spelled and parsed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::{Check, CheckKind};
use crate::config::error::Error;
use crate::config::value::{Value, seconds_text};

/// Bytes that are spelled as text: `\r \n \t \\ \0 \xHH` stand for one byte each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ByteString(Vec<u8>);

impl ByteString {
    /// The most bytes of one.
    pub const LONGEST: usize = 16 * 1024;

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The text is no [`ByteString`] or [`StatusRanges`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misspelt;

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("misspelt")
    }
}

impl std::error::Error for Misspelt {}

impl FromStr for ByteString {
    type Err = Misspelt;

    fn from_str(text: &str) -> Result<Self, Misspelt> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            let (byte, after) = match (first, after) {
                (b'\\', [b'r', after @ ..]) => (b'\r', after),
                (b'\\', [b'n', after @ ..]) => (b'\n', after),
                (b'\\', [b't', after @ ..]) => (b'\t', after),
                (b'\\', [b'0', after @ ..]) => (0, after),
                (b'\\', [b'\\', after @ ..]) => (b'\\', after),
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(Misspelt);
                    let number = digit(*high)? * 16 + digit(*low)?;
                    (u8::try_from(number).map_err(|_| Misspelt)?, after)
                }
                (b'\\', _) => return Err(Misspelt),
                (byte, after) => (*byte, after),
            };
            bytes.push(byte);
            rest = after;
        }
        match bytes.len() <= Self::LONGEST {
            true => Ok(ByteString(bytes)),
            false => Err(Misspelt),
        }
    }
}

impl fmt::Display for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write_byte(f, *byte))
    }
}

/// Writes a byte as [`ByteString`] spells it.
pub(crate) fn write_byte(f: &mut impl fmt::Write, byte: u8) -> fmt::Result {
    match byte {
        b'\r' => f.write_str("\\r"),
        b'\n' => f.write_str("\\n"),
        b'\t' => f.write_str("\\t"),
        b'\\' => f.write_str("\\\\"),
        0 => f.write_str("\\0"),
        b' '..=b'~' => f.write_char(char::from(byte)),
        other => write!(f, "\\x{other:02x}"),
    }
}

/// Status codes of HTTP that pass a check, such as `200-399 404`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatusRanges(Vec<(u16, u16)>);

impl StatusRanges {
    /// The most ranges.
    const MOST: usize = 32;

    /// Whether a status is in one of the ranges.
    pub fn contains(&self, status: u16) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl Default for StatusRanges {
    fn default() -> Self {
        StatusRanges(vec![(200, 399)])
    }
}

impl FromStr for StatusRanges {
    type Err = Misspelt;

    fn from_str(text: &str) -> Result<Self, Misspelt> {
        let status = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|number| digits && *number >= 100);
            number.ok_or(Misspelt)
        };
        let is_between = |character: char| character == ',' || character.is_ascii_whitespace();
        let words = text.split(is_between).filter(|word| !word.is_empty());
        let range = |word: &str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let (first, last) = (status(first)?, status(last)?);
            (first <= last).then_some((first, last)).ok_or(Misspelt)
        };
        let ranges: Vec<_> = words.map(range).collect::<Result<_, _>>()?;
        match (1..=Self::MOST).contains(&ranges.len()) {
            true => Ok(StatusRanges(ranges)),
            false => Err(Misspelt),
        }
    }
}

impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            match first == last {
                true => write!(f, "{space}{first}")?,
                false => write!(f, "{space}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// Kind of a value of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckValue {
    /// `tcp`, `send`, `http` or `agent`.
    Kind,
    /// A time in seconds, at least [`Check::LEAST_INTERVAL`].
    Time,
    /// The same, or empty.
    OptionalTime,
    /// A whole number from 1 to [`Check::MOST_IN_A_ROW`].
    Count,
    /// A port, or empty.
    Port,
    /// An IP address, or empty.
    Ip,
    /// A [`ByteString`].
    Bytes,
    /// The path of a request.
    Path,
    /// [`StatusRanges`].
    Status,
    /// A `Host` header, or empty.
    HostHeader,
    /// The number of a check in its group, from 1.
    Number,
}

impl CheckValue {
    /// The canonical spelling of a value.
    pub(in crate::config) fn canonical(self, value: &Value<'_>) -> Result<String, Error> {
        fn optional(text: Option<impl ToString>) -> String {
            text.map_or_else(String::new, |text| text.to_string())
        }
        Ok(match self {
            CheckValue::Kind => value.check_kind()?.as_str().to_owned(),
            CheckValue::Time => seconds_text(Some(value.check_time()?)),
            CheckValue::OptionalTime => optional(
                value
                    .or_empty(Value::check_time)?
                    .map(|time| seconds_text(Some(time))),
            ),
            CheckValue::Count => value.in_a_row()?.to_string(),
            CheckValue::Port => optional(value.or_empty(Value::check_port)?),
            CheckValue::Ip => optional(value.or_empty(Value::check_ip)?),
            CheckValue::Bytes => value.byte_string()?.to_string(),
            CheckValue::Path => value.url_path()?,
            CheckValue::Status => value.status_ranges()?.to_string(),
            CheckValue::HostHeader => value.host_header()?,
            CheckValue::Number => value.check_number()?.to_string(),
        })
    }
}

impl Value<'_> {
    /// The value, or none if it is empty.
    pub(in crate::config) fn or_empty<T>(
        &self,
        parse: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.text {
            "" => Ok(None),
            _ => parse(self).map(Some),
        }
    }

    /// What a check does.
    pub(in crate::config) fn check_kind(&self) -> Result<CheckKind, Error> {
        let known = CheckKind::ALL
            .into_iter()
            .find(|it| it.as_str() == self.text);
        known.ok_or_else(|| self.bad_value("tcp, send, http or agent"))
    }

    /// An interval or timeout of a check.
    pub(in crate::config) fn check_time(&self) -> Result<Duration, Error> {
        let time = self
            .seconds()?
            .filter(|time| *time >= Check::LEAST_INTERVAL);
        time.ok_or_else(|| self.bad_value("at least 0.01 seconds"))
    }

    /// How many results in a row.
    pub(in crate::config) fn in_a_row(&self) -> Result<u16, Error> {
        self.whole_number(1..=Check::MOST_IN_A_ROW, "a whole number from 1 to 1000")
    }

    /// A port to connect to.
    pub(in crate::config) fn check_port(&self) -> Result<u16, Error> {
        self.whole_number(1..=u16::MAX, "a port from 1 to 65535")
    }

    /// The number of a check in its group, from 1.
    pub(in crate::config) fn check_number(&self) -> Result<u16, Error> {
        let expected = "the number of a check in its group, from 1";
        self.whole_number(1..=u16::MAX, expected)
    }

    /// An IP address without a port, with or without brackets.
    pub(in crate::config) fn check_ip(&self) -> Result<IpAddr, Error> {
        let inner = self.text.strip_prefix('[');
        let inner = inner.and_then(|text| text.strip_suffix(']'));
        let ip = match inner {
            Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
            None => self.text.parse().ok(),
        };
        ip.ok_or_else(|| self.bad_value("an IP address without a port"))
    }

    /// Bytes that are spelled as text.
    pub(in crate::config) fn byte_string(&self) -> Result<ByteString, Error> {
        self.text.parse().map_err(|Misspelt| {
            self.bad_value("at most 16384 bytes, with the escapes \\r \\n \\t \\\\ \\0 \\xHH")
        })
    }

    /// Status codes of HTTP.
    pub(in crate::config) fn status_ranges(&self) -> Result<StatusRanges, Error> {
        self.text
            .parse()
            .map_err(|Misspelt| self.bad_value("status codes and ranges, such as 200-399 404"))
    }

    /// The path of a request, with its query.
    pub(in crate::config) fn url_path(&self) -> Result<String, Error> {
        match self.text.starts_with('/') && is_visible(self.text, 4096) {
            true => Ok(self.text.to_owned()),
            false => Err(self.bad_value("a path that begins with /, in ASCII without blanks")),
        }
    }

    /// A `Host` header; empty for none.
    pub(in crate::config) fn host_header(&self) -> Result<String, Error> {
        match is_visible(self.text, 255) {
            true => Ok(self.text.to_owned()),
            false => Err(self.bad_value("a host name, in ASCII without blanks")),
        }
    }
}

/// Whether it is ASCII that can stand in a request as it is.
fn is_visible(text: &str, longest: usize) -> bool {
    text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spelled_so_that_they_can_be_read_again() {
        let every: Vec<u8> = (0..=255).collect();
        let every = ByteString(every);
        assert_eq!(every.to_string().parse(), Ok(every));
        let bytes = |text: &str| text.parse().map(|ByteString(bytes)| bytes);
        assert_eq!(bytes("PING\\r\\n"), Ok(b"PING\r\n".to_vec()));
        assert_eq!(
            bytes("\\0\\x00\\xfF\\\\\\t"),
            Ok(vec![0, 0, 255, b'\\', b'\t'])
        );
        assert_eq!(bytes("ü"), Ok("ü".as_bytes().to_vec()));
        for wrong in ["\\", "\\q", "\\x", "\\x1", "\\xg0", "\\x+1", "a\\"] {
            assert_eq!(bytes(wrong), Err(Misspelt), "{wrong}");
        }
        assert!(bytes(&"\\x41".repeat(ByteString::LONGEST)).is_ok());
        assert!(bytes(&"a".repeat(ByteString::LONGEST + 1)).is_err());
    }

    #[test]
    fn status_codes_are_ranges_and_single_ones() {
        let ranges = |text: &str| text.parse::<StatusRanges>();
        let some = ranges(" 200-299,404  503 ").unwrap();
        assert_eq!(some.to_string(), "200-299 404 503");
        let inside = [200, 250, 299, 404, 503].map(|status| some.contains(status));
        assert_eq!(inside, [true; 5]);
        assert!(!some.contains(300) && !some.contains(199));
        for wrong in [
            "",
            " ",
            "20",
            "2000",
            "300-200",
            "099",
            "a",
            "200-",
            "+20",
            "200-299-300",
        ] {
            assert_eq!(ranges(wrong), Err(Misspelt), "{wrong}");
        }
        assert_eq!(ranges(&"200 ".repeat(33)), Err(Misspelt));
    }
}
