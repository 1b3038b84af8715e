//! Errors in a configuration: the place in the file, what is wrong there, and what would be right.
//!
//! The caller writes the file's name before the error.

use std::fmt;

use super::redact::{Quoted, Shown};
use super::{AddressError, CheckError, EachError, Limit, LogFormat, LogFormatError};

/// The byte order mark that some editors put in front of UTF-8.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A position in the file, as editors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters (a byte order mark is none).
    pub column: u32,
}

impl Position {
    /// The file's first character.
    pub const START: Position = Position { line: 1, column: 1 };

    /// The position of a byte offset in `text`.
    pub(super) fn at(text: &str, offset: usize) -> Position {
        let before = text.get(..offset).unwrap_or(text);
        Position::START.advanced(before.trim_start_matches(BYTE_ORDER_MARK))
    }

    /// The position after `passed`, which begins here.
    pub(super) fn advanced(self, passed: &str) -> Position {
        let characters = |text: &str| saturating_u32(text.chars().count());
        match passed.rfind('\n') {
            None => Position {
                column: self.column.saturating_add(characters(passed)),
                ..self
            },
            Some(last) => Position {
                line: self
                    .line
                    .saturating_add(saturating_u32(passed.matches('\n').count())),
                column: characters(&passed[last..]),
            },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a configuration is rejected; displayed as `LINE:COLUMN: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where the error is.
    pub position: Position,
    /// What it is.
    pub kind: ErrorKind,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::BadAddress { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Why a file is rejected: all its errors, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// At least one.
    errors: Vec<Error>,
    has_more: bool,
}

impl Errors {
    /// So many are kept.
    pub const MOST: usize = 20;

    /// The errors in order; `None` if there are none.
    pub(super) fn new(mut errors: Vec<Error>) -> Option<Errors> {
        errors.sort_by_key(|error| error.position);
        let has_more = errors.len() > Self::MOST;
        errors.truncate(Self::MOST);
        (!errors.is_empty()).then_some(Errors { errors, has_more })
    }

    /// Each error, from the first on.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.errors.iter()
    }

    /// A line for each error, with this text before it, and one if there are more.
    pub fn lines(&self, before: &str) -> Vec<String> {
        let lines = self.errors.iter().map(|error| format!("{before}{error}"));
        let more = self.has_more.then(|| match before.ends_with(':') {
            true => format!("{before} and more"),
            false => "and more".to_owned(),
        });
        lines.chain(more).collect()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Errors {
            errors: vec![error],
            has_more: false,
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines("").join("\n"))
    }
}

impl std::error::Error for Errors {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.errors.first()?.source()
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bytes that are not UTF-8.
    NotUtf8 {
        /// What the file says it is, or seems to be: a name for `iconv -f`.
        encoding: String,
    },
    /// A limit is exceeded.
    TooMuch(Limit),
    /// A DOCTYPE with declarations of its own.
    InternalSubset,
    /// Not well-formed XML; the text says why.
    Xml(String),
    /// The file ends inside what begins here.
    Unfinished,
    /// The outermost element is another than `<config>`.
    WrongRoot(String),
    /// An element that is not allowed there.
    UnknownElement {
        /// As written.
        found: String,
        /// The element it is in.
        parent: &'static str,
        /// What may have been meant.
        nearest: Option<&'static str>,
        /// What may stand there.
        allowed: Vec<&'static str>,
    },
    /// An attribute that its element does not have.
    UnknownAttribute {
        /// As written.
        found: String,
        /// The element it is on.
        element: &'static str,
        /// What may have been meant.
        nearest: Option<&'static str>,
        /// What the element has.
        allowed: Vec<&'static str>,
    },
    /// A scheduler that does not exist.
    UnknownScheduler {
        /// As written.
        found: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// An element without an attribute that it needs.
    MissingAttribute {
        /// The element.
        element: &'static str,
        /// The attribute.
        attribute: &'static str,
    },
    /// An element without a child that it needs.
    MissingElement {
        /// The element.
        parent: &'static str,
        /// The child.
        element: &'static str,
    },
    /// A second element where only one is allowed.
    DuplicateElement {
        /// The element.
        element: &'static str,
        /// The element it is in.
        parent: &'static str,
    },
    /// The old form of an element beside the element itself.
    OldFormToo {
        /// The old form.
        old: &'static str,
        /// The element.
        element: &'static str,
    },
    /// A name that is in use by another of its kind.
    DuplicateName {
        /// What kind.
        element: &'static str,
        /// The name.
        name: String,
    },
    /// An address that is listened on already.
    DuplicateListen {
        /// In its canonical spelling, and what it is for.
        address: String,
        /// Where it is first.
        first: Position,
    },
    /// A service without an enabled group.
    NoGroupEnabled {
        /// The service.
        service: String,
    },
    /// A second group that is enabled.
    TwoGroupsEnabled {
        /// The one enabled before.
        first: String,
        /// The one at this place.
        second: String,
    },
    /// An `<enable>` of an unknown group.
    NoSuchGroup {
        /// As written.
        group: String,
        /// The service.
        service: String,
        /// What may have been meant.
        nearest: Option<String>,
        /// The groups that there are.
        allowed: Vec<String>,
    },
    /// An address that cannot be parsed.
    BadAddress {
        /// The attribute it is in.
        attribute: &'static str,
        /// As written.
        found: String,
        /// Why.
        error: AddressError,
    },
    /// An invalid value of an attribute or element.
    BadValue {
        /// The attribute or element.
        of: &'static str,
        /// As written.
        found: String,
        /// What is taken.
        expected: &'static str,
    },
    /// A format of the connection log that cannot be used.
    LogFormat {
        /// The attribute.
        of: &'static str,
        /// As written.
        found: String,
        /// Why.
        error: LogFormatError,
    },
    /// One of two attributes that must be set together.
    IncompletePair {
        /// The one that is there.
        attribute: &'static str,
        /// The one that is not.
        other: &'static str,
    },
    /// A user with neither password nor key.
    NoCredentials {
        /// The user.
        user: String,
    },
    /// A check that makes no sense as a whole.
    Check(CheckError),
    /// A host that cannot stand for members.
    Each(EachError),
    /// A route that does not say which clients it is for.
    RouteForNobody,
}

impl fmt::Display for ErrorKind {
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm a kind, and none can be forgotten"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::NotUtf8 { encoding } => write!(
                f,
                "the file is not UTF-8: convert it with 'iconv -f {encoding} -t UTF-8 FILE > NEW'"
            ),
            ErrorKind::TooMuch(limit) => limit.fmt(f),
            ErrorKind::Check(error) => error.fmt(f),
            ErrorKind::Each(error) => error.fmt(f),
            ErrorKind::RouteForNobody => {
                f.write_str("a route needs sni or alpn: which clients it is for")
            }
            ErrorKind::InternalSubset => f.write_str(
                "a DOCTYPE with declarations of its own is not read: remove its [...] part",
            ),
            ErrorKind::Xml(text) => f.write_str(text),
            ErrorKind::Unfinished => f.write_str("the file ends inside what begins here"),
            ErrorKind::WrongRoot(found) => {
                write!(
                    f,
                    "the outermost element is <{}> but must be <config>",
                    Shown(found)
                )
            }
            ErrorKind::UnknownElement {
                found,
                parent,
                nearest,
                allowed,
            } => {
                write!(f, "<{}> is unknown in <{parent}>", Shown(found))?;
                suggest(f, *nearest, allowed, ["<", ">"])
            }
            ErrorKind::UnknownAttribute {
                found,
                element,
                nearest,
                allowed,
            } => {
                write!(f, "<{element}> has no attribute {}", Shown(found))?;
                suggest(f, *nearest, allowed, ["", ""])
            }
            ErrorKind::UnknownScheduler { found, nearest } => {
                write!(f, "there is no scheduler {}", Quoted(found))?;
                suggest(f, nearest.as_deref(), &[], ["", ""])
            }
            ErrorKind::MissingAttribute { element, attribute } => {
                write!(f, "<{element}> needs the attribute {attribute}")
            }
            ErrorKind::MissingElement { parent, element } => {
                write!(f, "<{parent}> needs at least one <{element}>")
            }
            ErrorKind::DuplicateElement { element, parent } => {
                write!(
                    f,
                    "a second <{element}> in <{parent}>: only one may be there"
                )
            }
            ErrorKind::OldFormToo { old, element } => {
                write!(
                    f,
                    "{old} is an old form of <{element}>, which is there too: remove it"
                )
            }
            ErrorKind::DuplicateName { element, name } => {
                write!(
                    f,
                    "a second {element} named {}: names must differ",
                    Quoted(name)
                )
            }
            ErrorKind::DuplicateListen { address, first } => {
                write!(f, "{address} is listened on already, at {first}")
            }
            ErrorKind::NoGroupEnabled { service } => write!(
                f,
                "no group of service {} is enabled: write enable=\"true\" on one",
                Quoted(service)
            ),
            ErrorKind::TwoGroupsEnabled { first, second } => write!(
                f,
                "group {} is enabled although {} is: only one may be",
                Quoted(second),
                Quoted(first)
            ),
            ErrorKind::NoSuchGroup {
                group,
                service,
                nearest,
                allowed,
            } => {
                let (service, group) = (Quoted(service), Quoted(group));
                write!(f, "service {service} has no group {group}")?;
                let quoted = |name| Quoted(name).to_string();
                let nearest = nearest.as_deref().map(quoted);
                let allowed: Vec<_> = allowed.iter().map(|it| quoted(it)).collect();
                let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
                suggest(f, nearest.as_deref(), &allowed, ["", ""])
            }
            ErrorKind::BadAddress {
                attribute,
                found,
                error,
            } => {
                write!(f, "{attribute} is {}: {error}", Quoted(found))
            }
            ErrorKind::BadValue {
                of,
                found,
                expected,
            } => {
                write!(f, "{of} is {} but must be {expected}", Quoted(found))
            }
            ErrorKind::LogFormat { of, found, error } => {
                write!(f, "{of} is {} but {error}", Quoted(found))
            }
            ErrorKind::IncompletePair { attribute, other } => {
                write!(
                    f,
                    "{attribute} is there without {other}: give both or neither"
                )
            }
            ErrorKind::NoCredentials { user } => write!(
                f,
                "user {} can never log in: give a password attribute or a <key>",
                Quoted(user)
            ),
        }
    }
}

/// Why a text is no log format, after "but".
impl fmt::Display for LogFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogFormatError::Unknown => {
                f.write_str("must be tcplog, json, or a text with fields such as %{client}")
            }
            LogFormatError::TooLong => {
                write!(f, "may have {} bytes at most", LogFormat::LONGEST)
            }
            LogFormatError::LonePercent => f.write_str(
                "has a % that begins no field, such as %{client}: write %% for the character",
            ),
            LogFormatError::UnknownField { found, nearest } => {
                let (open, close) = ("%{", "}");
                write!(f, "there is no field {open}{}{close}", Shown(found))?;
                suggest(f, *nearest, &[], [open, close])
            }
        }
    }
}

/// Longer lists of allowed names are left out.
const LONGEST_LIST: usize = 8;

fn suggest(
    f: &mut fmt::Formatter<'_>,
    nearest: Option<&str>,
    allowed: &[&str],
    [open, close]: [&str; 2],
) -> fmt::Result {
    if let Some(nearest) = nearest {
        return write!(f, ": is {open}{nearest}{close} meant?");
    }
    if allowed.is_empty() || allowed.len() > LONGEST_LIST {
        return Ok(());
    }
    f.write_str(": allowed here:")?;
    for (index, word) in allowed.iter().enumerate() {
        let separator = if index == 0 { " " } else { ", " };
        write!(f, "{separator}{open}{word}{close}")?;
    }
    Ok(())
}

/// The candidate nearest to `word`, if it is near enough to be a typing error.
pub(super) fn nearest<T: AsRef<str>>(
    word: &str,
    candidates: impl IntoIterator<Item = T>,
) -> Option<T> {
    let word: Vec<char> = lowercase(word)?;
    let bound = match word.len() {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = distance(&word, &lowercase(candidate.as_ref())?);
            (distance <= bound).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case is the commonest typing error, so it costs nothing. `None` for words that are too long.
fn lowercase(word: &str) -> Option<Vec<char>> {
    const LONGEST: usize = 64;
    (word.len() <= LONGEST).then(|| word.chars().flat_map(char::to_lowercase).collect())
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

fn saturating_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_what_is_allowed_is_left_out() {
        let unknown = |allowed| ErrorKind::UnknownAttribute {
            found: "x".into(),
            element: "web",
            nearest: None,
            allowed,
        };
        let short = unknown(vec!["listen", "enable"]).to_string();
        assert_eq!(
            short,
            "<web> has no attribute x: allowed here: listen, enable"
        );
        assert_eq!(
            unknown(vec!["a"; 9]).to_string(),
            "<web> has no attribute x"
        );
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let words = ["host", "hostCheck", "listen", "enable", "ip"];
        let cases = [
            ("hots", Some("host")),
            ("hostcheck", Some("hostCheck")),
            ("HOST", Some("host")),
            ("lisen", Some("listen")),
            ("enabled", Some("enable")),
            ("pi", Some("ip")),
            ("", None),
            ("group", None),
            ("timeout", None),
        ];
        for (word, meant) in cases {
            assert_eq!(nearest(word, words), meant, "{word}");
        }
        assert_eq!(nearest(&"h".repeat(1 << 20), words), None);
    }

    #[test]
    fn the_closest_of_several_wins() {
        assert_eq!(
            nearest("leastcr", ["leastc", "leastcrr", "leastconns"]),
            Some("leastc")
        );
        assert_eq!(
            nearest("leastcr", ["leastconns", "leastcrr"]),
            Some("leastcrr")
        );
    }

    #[test]
    fn a_position_counts_characters_and_no_byte_order_mark() {
        let text = "\u{feff}äb\r\nüx";
        let place = |offset| Position::at(text, offset).to_string();
        assert_eq!(place(0), "1:1");
        assert_eq!(place(3), "1:1");
        assert_eq!(place(5), "1:2");
        assert_eq!(place(8), "2:1");
        assert_eq!(place(10), "2:2");
        assert_eq!(place(text.len()), "2:3");
        assert_eq!(place(999), "2:3");
    }
}
