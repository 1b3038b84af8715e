//! Why a configuration could not be put in force.

use std::fmt;
use std::io;

use crate::config::ErrorKind;
use crate::os::listen::ListenPlace;

/// Why a configuration could not be put in force. Everything is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A listener cannot be bound, or not be watched by a worker.
    Listen {
        /// Its place.
        place: ListenPlace,
        /// The system's error.
        error: io::Error,
    },
    /// The name of a listener does not resolve.
    ListenName {
        /// The name.
        name: String,
        /// The resolver's error.
        reason: String,
    },
    /// Two services would listen at the same place.
    ListenTwice {
        /// Where.
        place: ListenPlace,
        /// Their names.
        services: [String; 2],
    },
    /// A service would listen at one place twice, in different ways.
    ListenDiffers {
        /// Where.
        place: ListenPlace,
        /// Its name.
        service: String,
    },
    /// A listener with options is at the place of an inherited socket, whose options are not ours.
    ListenInherited {
        /// Where.
        place: ListenPlace,
    },
    /// A scheduler does not exist.
    Scheduler(ErrorKind),
    /// A group connects from addresses of clients, and this process may not.
    ClientAddresses,
    /// A host has `each`, and this txlb is built without what that takes.
    NoMembers {
        /// Its name.
        host: String,
    },
    /// There are too few descriptors for one session.
    Descriptors {
        /// The limit of descriptors.
        limit: u64,
        /// Descriptors that one session and all that is configured need.
        needed: u64,
    },
    /// The system has no thread or event queue.
    System(io::Error),
    /// The worker of this number does not answer.
    Worker(usize),
    /// A part besides the data plane, such as an admin server, refuses it for this reason.
    Part(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Listen { place, error } => {
                write!(f, "cannot listen at {place}: {error}")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => f.write_str(" (another txlb or another program listens there)"),
                    io::ErrorKind::PermissionDenied if place.bind_address().is_some() => {
                        f.write_str(" (ports below 1024 are root's)")
                    }
                    // ENOSPC of epoll_ctl(2).
                    io::ErrorKind::StorageFull => {
                        f.write_str(" (raise the limit fs.epoll.max_user_watches)")
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
            Error::ListenDiffers { place, service } => {
                write!(
                    f,
                    "service {service:?} would listen at {place} twice, with different proxy, mptcp or \
                     interface: leave one of the two listeners out"
                )
            }
            Error::ListenInherited { place } => write!(
                f,
                "cannot listen at {place} with mptcp or interface: this socket was made by who \
                 started txlb, such as systemd, and stays as it is: leave both out (the interface \
                 is BindToDevice= in its .socket unit)"
            ),
            Error::Scheduler(unknown) => unknown.fmt(f),
            Error::ClientAddresses if cfg!(not(target_os = "linux")) => {
                f.write_str("source=\"client\" takes Linux")
            }
            Error::ClientAddresses => f.write_str(
                "source=\"client\" takes the capability CAP_NET_RAW, which txlb does not have: start \
                 it anew as root, which keeps it for a file that says so, or with \
                 AmbientCapabilities=CAP_NET_RAW of systemd",
            ),
            Error::NoMembers { host } => write!(
                f,
                "host {host:?} has each, which this txlb is built without: build it with the feature \
                 dns, or leave each out"
            ),
            Error::Descriptors { limit, needed } => write!(
                f,
                "{limit} file descriptors are too few: one session, with everything that is \
                 configured, needs {needed} (ulimit -n, or LimitNOFILE of systemd)"
            ),
            Error::System(error) => write!(f, "the system refused a thread: {error}"),
            Error::Worker(number) => write!(f, "worker {number} does not answer"),
            Error::Part(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Listen { error, .. } | Error::System(error) => Some(error),
            Error::ListenName { .. }
            | Error::ListenTwice { .. }
            | Error::ListenDiffers { .. }
            | Error::ListenInherited { .. }
            | Error::Scheduler(_)
            | Error::ClientAddresses
            | Error::NoMembers { .. }
            | Error::Descriptors { .. }
            | Error::Worker(_)
            | Error::Part(_) => None,
        }
    }
}

impl Error {
    /// The system's kind of error, if the system refused.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Error::Listen { error, .. } | Error::System(error) => Some(error.kind()),
            Error::ListenName { .. }
            | Error::ListenTwice { .. }
            | Error::ListenDiffers { .. }
            | Error::ListenInherited { .. }
            | Error::Scheduler(_)
            | Error::ClientAddresses
            | Error::NoMembers { .. }
            | Error::Descriptors { .. }
            | Error::Worker(_)
            | Error::Part(_) => None,
        }
    }
}
