//! How the last probe or check of a host ended, and how near it is to a change of its health: for
//! the status.

use super::health::Failure;
use crate::config::CheckKind;

/// How a probe or check of a host ended. An agent's report is none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckResult {
    /// Its kind. Probes connect, as a check of type `tcp` does.
    pub kind: CheckKind,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// Why it failed; `None` if it passed.
    pub failure: Option<Failure>,
}

impl CheckResult {
    /// A result after so many milliseconds.
    pub(crate) fn new(kind: CheckKind, took_ms: u64, failure: Option<Failure>) -> CheckResult {
        CheckResult {
            kind,
            took_ms: u32::try_from(took_ms).unwrap_or(u32::MAX),
            failure,
        }
    }
}

/// How a host stands in a check. `health` counts as HAProxy's does: below `rise` the check has
/// failed, and `rise + fall - 1` is the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckHealth {
    /// Passes in a row that a failed host needs.
    pub rise: u16,
    /// Failures in a row that make it failed.
    pub fall: u16,
    /// The passes in a row of a failed host; else the most, less the failures in a row.
    pub health: u16,
}
