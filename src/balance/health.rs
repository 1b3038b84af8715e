//! What is seen of a host, in words.
//!
//! When a host's health changes is `host`'s and the tracker's business.

use std::fmt;
use std::net::SocketAddr;

/// What is seen of a host (its state is what the operator wants).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Health {
    /// Nothing yet.
    #[default]
    Untried,
    /// Its last connect succeeded.
    Healthy,
    /// A connect failed, and none has succeeded since.
    Failed(Failure),
}

/// Why a host could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It, or something before it, said no.
    Refused,
    /// It said nothing.
    TimedOut,
    /// There is no way to it.
    Unreachable,
    /// Its name has no address: what the resolver said.
    Unresolved(String),
    /// It is a listener of our own, by which sessions would go in circles.
    Circular,
    /// Anything else, in the system's words.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused => f.write_str("connection refused"),
            Failure::TimedOut => f.write_str("no answer within the connect timeout"),
            Failure::Unreachable => f.write_str("no route to it"),
            Failure::Unresolved(reason) => write!(f, "name not resolved: {reason}"),
            Failure::Circular => {
                f.write_str("it is a listener of txlb itself: sessions would go in circles")
            }
            Failure::Other(reason) => f.write_str(reason),
        }
    }
}

/// A change of health worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A failed host may be used again.
    Up,
    /// A host that was healthy or untried has failed.
    Down(Failure),
    /// An address of its name has failed; the next one, which nobody has tried yet, is
    /// used from now on.
    Moved {
        /// What became of the one before.
        failure: Failure,
        /// Where that was.
        from: SocketAddr,
        /// Where it is now.
        to: SocketAddr,
    },
}
