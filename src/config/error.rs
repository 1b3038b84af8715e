//! What can be wrong with a configuration, where, and what would be right.
//!
//! The file's name is not known here: the caller writes it before the error.

use std::fmt::{self, Write as _};

use super::AddressError;

/// A place in the file, as an editor counts it.
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
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a configuration is refused; shown as `LINE:COLUMN: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where the trouble begins.
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

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bytes that are not UTF-8.
    NotUtf8 {
        /// What the file says it is, or seems to be: a name for `iconv -f`.
        encoding: String,
    },
    /// More of something than any sane file has.
    TooMuch(Limit),
    /// A DOCTYPE with declarations of its own.
    InternalSubset,
    /// It is not XML; the text says why.
    Xml(String),
    /// The file ends inside what begins here.
    Unfinished,
    /// The outermost element is another than `<config>`.
    WrongRoot(String),
    /// An element that does not belong where it is.
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
        nearest: Option<&'static str>,
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
    /// A second one of an element that is there at most once.
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
    /// A name that another of its kind has already.
    DuplicateName {
        /// What kind.
        element: &'static str,
        /// The name.
        name: String,
    },
    /// An address that is listened on already.
    DuplicateListen {
        /// In its canonical spelling.
        address: String,
        /// Where it is first.
        first: Position,
    },
    /// A service none of whose groups is enabled.
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
    /// An `<enable>` for a group that the service does not have.
    NoSuchGroup {
        /// As written.
        group: String,
        /// The service.
        service: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// An address that cannot be understood.
    BadAddress {
        /// The attribute it is in.
        attribute: &'static str,
        /// As written.
        found: String,
        /// Why.
        error: AddressError,
    },
    /// A value that is not what its attribute or element takes.
    BadValue {
        /// The attribute or element.
        of: &'static str,
        /// As written.
        found: String,
        /// What is taken.
        expected: &'static str,
    },
    /// A user who could never log in.
    NoCredentials {
        /// The user.
        user: String,
    },
}

/// Something of which a file may have only so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// The file's size.
    Bytes,
    /// Elements inside one another.
    Levels,
    /// Elements, texts, comments and processing instructions.
    Nodes,
    /// Attributes of one element.
    Attributes,
    /// Declarations of XML namespaces, which nothing here needs.
    Namespaces,
}

impl Limit {
    /// How much there may be.
    pub const fn most(self) -> usize {
        match self {
            Limit::Bytes => 1 << 20,
            Limit::Levels => 100,
            Limit::Nodes => 100_000,
            Limit::Attributes | Limit::Namespaces => 64,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.most();
        match self {
            Limit::Bytes => write!(f, "the file is larger than {most} bytes"),
            Limit::Levels => write!(f, "more than {most} elements inside one another"),
            Limit::Nodes => write!(f, "more than {most} elements, texts and comments"),
            Limit::Attributes => write!(f, "more than {most} attributes on one element"),
            Limit::Namespaces => write!(f, "more than {most} namespace declarations"),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::NotUtf8 { encoding } => write!(
                f,
                "the file is not UTF-8: convert it with 'iconv -f {encoding} -t UTF-8 FILE > NEW'"
            ),
            ErrorKind::TooMuch(limit) => limit.fmt(f),
            ErrorKind::InternalSubset => f.write_str(
                "a DOCTYPE with declarations of its own is not read: remove its [...] part",
            ),
            ErrorKind::Xml(text) => f.write_str(text),
            ErrorKind::Unfinished => f.write_str("the file ends inside what begins here"),
            ErrorKind::BadAddress {
                attribute,
                found,
                error,
            } => {
                write!(f, "{attribute}=\"{}\": {error}", Shown(found))
            }
            ErrorKind::BadValue {
                of,
                found,
                expected,
            } => {
                write!(f, "{of} is \"{}\" but must be {expected}", Shown(found))
            }
            ErrorKind::NoCredentials { user } => write!(
                f,
                "user {} can never log in: give a password attribute or a <key>",
                Quoted(user)
            ),
            _ => self.fmt_structure(f),
        }
    }
}

impl ErrorKind {
    /// The errors about what stands where.
    fn fmt_structure(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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
                fmt_suggestion(f, *nearest, allowed, ["<", ">"])
            }
            ErrorKind::UnknownAttribute {
                found,
                element,
                nearest,
                allowed,
            } => {
                write!(f, "<{element}> has no attribute {}", Shown(found))?;
                fmt_suggestion(f, *nearest, allowed, ["", ""])
            }
            ErrorKind::UnknownScheduler { found, nearest } => {
                write!(f, "there is no scheduler {}", Quoted(found))?;
                fmt_suggestion(f, *nearest, &[], ["", ""])
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
            _ => self.fmt_names(f),
        }
    }

    /// The errors about names and what they refer to.
    fn fmt_names(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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
            } => {
                write!(
                    f,
                    "service {} has no group {}",
                    Quoted(service),
                    Quoted(group)
                )?;
                match nearest {
                    Some(nearest) => write!(f, ": is {} meant?", Quoted(nearest)),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

/// The longest list of what is allowed that still helps.
const LONGEST_LIST: usize = 8;

fn fmt_suggestion(
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

/// Text from the file, made fit for one line on a terminal.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl Shown<'_> {
    /// How many characters are shown before `...`.
    const LONGEST: usize = 64;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, character) in self.0.chars().enumerate() {
            if index == Self::LONGEST {
                return f.write_str("...");
            }
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// As `Shown`, in quotes.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Shown(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_cannot_upset_the_terminal() {
        assert_eq!(
            Shown("a\u{1b}[2J\u{9b}b\n").to_string(),
            "a\\u{1b}[2J\\u{9b}b\\n"
        );
        let long = "ä".repeat(65);
        assert_eq!(Shown(&long).to_string(), format!("{}...", "ä".repeat(64)));
        assert_eq!(Quoted("x").to_string(), "\"x\"");
    }

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
}
