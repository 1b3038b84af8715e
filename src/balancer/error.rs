//! Why a balancer does not start, or refuses a request.

use std::fmt;
use std::io;

use super::admin_servers::AdminServerError;
use crate::config;
use crate::control::{self, FileError};

/// Why a balancer cannot start, in words. Nothing runs then.
///
/// If the system refused, the source is the [`io::Error`].
#[derive(Debug)]
pub struct Error(Cause);

#[derive(Debug)]
pub(super) enum Cause {
    /// The file cannot be read, or is wrong.
    File(FileError),
    /// The text is wrong.
    Text(config::Errors),
    /// A step of the builder is wrong.
    Invalid(String),
    /// The configuration cannot be put in force.
    Start(control::Error),
    /// An admin interface cannot be opened.
    AdminInterface(AdminServerError),
    /// The system refused.
    System(io::Error),
}

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong: the file, the text, or a step of the builder.
    Configuration,
    /// The file cannot be read.
    File,
    /// A listener cannot be bound.
    Listen,
    /// An admin interface cannot be opened.
    AdminInterface,
    /// The system refuses a thread or an event queue.
    System,
}

impl Error {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match &self.0 {
            Cause::File(FileError::Unreadable(..)) => ErrorKind::File,
            Cause::File(_) | Cause::Text(_) | Cause::Invalid(_) => ErrorKind::Configuration,
            Cause::Start(control::Error::Scheduler(_)) => ErrorKind::Configuration,
            Cause::Start(control::Error::System(_) | control::Error::Worker(_)) => {
                ErrorKind::System
            }
            Cause::Start(_) => ErrorKind::Listen,
            Cause::AdminInterface(_) => ErrorKind::AdminInterface,
            Cause::System(_) => ErrorKind::System,
        }
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Error {
        Error(cause)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::File(error) => error.fmt(f),
            Cause::Text(errors) => f.write_str(&errors.lines("line ").join("\n")),
            Cause::Invalid(why) => f.write_str(why),
            Cause::Start(error) => error.fmt(f),
            Cause::AdminInterface(error) => f.write_str(&error.text),
            Cause::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            // The text of the others has their sources in it.
            Cause::Start(error) => error.source(),
            Cause::File(FileError::Unreadable(_, error)) | Cause::System(error) => Some(error),
            Cause::File(_) | Cause::Text(_) | Cause::Invalid(_) | Cause::AdminInterface(_) => None,
        }
    }
}

/// Why a request was refused, in words for an operator. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyError(pub(super) String);

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ApplyError {}
