//! What can be wrong with a configuration, where, and what would be right.
//!
//! The file's name is not known here: the caller writes it before the error.

use std::fmt;

use super::AddressError;

mod words;

pub(super) use self::words::{Quoted, Shown};

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
        /// The groups that there are.
        allowed: Vec<String>,
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
    /// One of two attributes that go together, without the other.
    HalfAPair {
        /// The one that is there.
        attribute: &'static str,
        /// The one that is not.
        other: &'static str,
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
