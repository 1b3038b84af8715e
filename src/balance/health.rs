//! Health of a host: what was seen of it, why it failed, and changes of that.

use crate::os::address::Address;
use crate::text::plural;
use std::fmt;

/// What was seen of a host. Its state, in contrast, is what the operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Health {
    /// No connect has been tried yet.
    #[default]
    Untried,
    /// Its last connect succeeded.
    Healthy,
    /// A connect failed, and none has succeeded since then.
    Failed(Failure),
}

impl Health {
    /// For how long a host that is so since `since_ms` has failed now, in milliseconds; 0 if it has
    /// not.
    pub(super) fn failed_ms(&self, since_ms: u64, now_ms: u64) -> u64 {
        match self {
            Health::Failed(_) => now_ms.saturating_sub(since_ms),
            _ => 0,
        }
    }
}

/// Why a host could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The connection was refused, by the host or a firewall.
    Refused,
    /// There was no answer within the connect timeout.
    TimedOut,
    /// There is no route to it.
    Unreachable,
    /// Its name has no address; the resolver's reason.
    Unresolved(String),
    /// Its address is a listener of the same process, so that sessions would loop.
    Circular,
    /// It accepted so many sessions in a row, and ended or reset each before its first byte.
    EndedEarly(u32),
    /// It did not pass a check: what was expected, and what came instead.
    Check(String),
    /// Another error; the system's text.
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
            Failure::EndedEarly(row) => write!(
                f,
                "accepted {} in a row and ended each before its first byte",
                plural(*row as usize, "session")
            ),
            Failure::Check(reason) | Failure::Other(reason) => f.write_str(reason),
        }
    }
}

/// A change of a host's health, for the log and for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthChange {
    /// A failed host may be used again.
    Up,
    /// A host that was healthy or untried has failed.
    Down(Failure),
    /// A host that has not failed ends sessions quickly before its first byte, while others serve.
    Suspect,
    /// A suspect host has said the first byte of a session.
    Cleared,
    /// An address of its name has failed, and the next one, which is untried, is used.
    Moved {
        /// Why the former address failed.
        failure: Failure,
        /// The former address.
        from: Address,
        /// The new address.
        to: Address,
    },
}
