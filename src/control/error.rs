//! Why a configuration could not be put in force.

use std::fmt;
use std::io;

use crate::config::ErrorKind;
use crate::os::listen::BindAddress;

/// Why a configuration could not be put in force: everything is as it was,
/// unless it is said otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A listener that cannot be bound.
    Listen {
        /// Where.
        place: BindAddress,
        /// What the system said.
        error: io::Error,
    },
    /// The name of a listener that does not resolve.
    ListenName {
        /// The name.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// Two services whose listeners turn out to be at the same place.
    ListenTwice {
        /// Where.
        place: BindAddress,
        /// Their names.
        services: [String; 2],
    },
    /// A scheduler that is neither txlb's nor the program's own.
    Scheduler(ErrorKind),
    /// There are not enough descriptors to serve so much as one session.
    Descriptors {
        /// How many there may be.
        limit: u64,
        /// How many one session needs, with everything that is configured.
        needed: u64,
    },
    /// The system refused a thread, or an event queue for one.
    System(io::Error),
    /// A worker does not answer: it is not known what it serves.
    Worker(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Listen { place, error } => {
                write!(f, "cannot listen at {place}: {error}")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => f.write_str(" (is txlb running already?)"),
                    io::ErrorKind::PermissionDenied => {
                        f.write_str(" (ports below 1024 are root's)")
                    }
                    _ => Ok(()),
                }
            }
            Error::ListenName { name, reason } => {
                write!(
                    f,
                    "cannot listen at {name}, which does not resolve: {reason}"
                )
            }
            Error::ListenTwice {
                place,
                services: [one, two],
            } => {
                write!(
                    f,
                    "the services {one:?} and {two:?} would both listen at {place}"
                )
            }
            Error::Scheduler(unknown) => unknown.fmt(f),
            Error::Descriptors { limit, needed } => write!(
                f,
                "{limit} file descriptors are too few: one session, with everything that is \
                 configured, needs {needed} (ulimit -n, or LimitNOFILE of systemd)"
            ),
            Error::System(error) => write!(f, "the system refused a thread: {error}"),
            Error::Worker(number) => write!(f, "worker {number} does not answer"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Listen { error, .. } | Error::System(error) => Some(error),
            Error::ListenName { .. }
            | Error::ListenTwice { .. }
            | Error::Scheduler(_)
            | Error::Descriptors { .. }
            | Error::Worker(_) => None,
        }
    }
}

impl Error {
    /// What the system said, where it was the system that refused.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Error::Listen { error, .. } | Error::System(error) => Some(error.kind()),
            Error::ListenName { .. }
            | Error::ListenTwice { .. }
            | Error::Scheduler(_)
            | Error::Descriptors { .. }
            | Error::Worker(_) => None,
        }
    }
}
