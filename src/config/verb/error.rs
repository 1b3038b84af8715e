//! What can be wrong with a command as it is written, and what would be right.
//!
//! What can be wrong with one that is understood is `command_error`'s business.

use std::fmt;

use super::table::CommandSchema;
use crate::config::error::{ErrorKind, Quoted, Shown};

/// Why a command is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// There is none.
    Empty,
    /// A control character in a line.
    ControlCharacter(char),
    /// A quote that is not closed.
    UnclosedQuote,
    /// Something behind a backslash that means nothing.
    UnknownEscape(char),
    /// A command that does not exist.
    UnknownVerb {
        /// As written.
        found: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A word that is no `key=value`.
    NoPair {
        /// As written.
        found: String,
        /// The command.
        command: &'static CommandSchema,
    },
    /// A key that the command does not take.
    UnknownKey {
        /// As written.
        found: String,
        /// The command.
        command: &'static CommandSchema,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A key that is given twice.
    KeyTwice {
        /// The key.
        key: &'static str,
    },
    /// Two keys that say the same.
    OneOf {
        /// The one.
        key: &'static str,
        /// What may stand for it.
        other: &'static str,
    },
    /// A key that the command cannot do without.
    MissingKey {
        /// The key.
        key: &'static str,
        /// The command.
        command: &'static CommandSchema,
    },
    /// An option that does not exist.
    UnknownOption {
        /// As written.
        found: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// What is shown instead of a password, in place of one.
    HiddenPassword,
    /// A value that is not what its key takes.
    Value(ErrorKind),
}

impl From<ErrorKind> for ParseError {
    fn from(kind: ErrorKind) -> Self {
        ParseError::Value(kind)
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Empty => f.write_str("a verb is needed: help lists them"),
            ParseError::ControlCharacter(found) => write!(
                f,
                "a line may have no control characters: write \"{0}\", with the quotes",
                found.escape_unicode()
            ),
            ParseError::UnclosedQuote => f.write_str("a quote is not closed: write \\\" for one"),
            ParseError::UnknownEscape(found) => write!(
                f,
                "\\{} means nothing in quotes: write \\\\ for a backslash",
                Shown(&found.to_string())
            ),
            ParseError::UnknownVerb { found, nearest } => {
                write!(f, "there is no verb {}", Quoted(found))?;
                match nearest {
                    Some(nearest) => write!(f, ": is {nearest} meant?"),
                    None => f.write_str(": help lists them"),
                }
            }
            ParseError::NoPair { found, command } => {
                write!(f, "{} is no key=value: ", Quoted(found))?;
                takes(f, command)
            }
            ParseError::UnknownKey {
                found,
                command,
                nearest,
            } => {
                write!(f, "{} does not take {}=: ", command.name, Shown(found))?;
                match nearest {
                    Some(nearest) => write!(f, "is {nearest}= meant?"),
                    None => takes(f, command),
                }
            }
            ParseError::KeyTwice { key } => write!(f, "{key}= is given twice"),
            ParseError::OneOf { key, other } => {
                write!(f, "{key}= and {other}= say the same: give one of them")
            }
            ParseError::MissingKey { key, command } => {
                write!(f, "{} needs {key}=: ", command.name)?;
                takes(f, command)
            }
            ParseError::UnknownOption { found, nearest } => {
                write!(f, "there is no option {}", Quoted(found))?;
                match nearest {
                    Some(nearest) => write!(f, ": is {nearest} meant?"),
                    None => f.write_str(": help setOption lists them"),
                }
            }
            ParseError::HiddenPassword => f.write_str(
                "password is \"***\", which stands for one that is not shown: give the \
                 crypt(3) string itself",
            ),
            ParseError::Value(kind) => kind.fmt(f),
        }
    }
}

fn takes(f: &mut fmt::Formatter<'_>, command: &CommandSchema) -> fmt::Result {
    if command.keys.is_empty() {
        return write!(f, "{} takes nothing", command.name);
    }
    write!(f, "it takes {}", command.synopsis())
}
