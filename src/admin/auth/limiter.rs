//! Who may have a password checked, and when: failures, who has logged in before, and the
//! queue, as one pure machine.
//!
//! The time is an argument, in milliseconds since any moment; nobody waits in here and
//! nothing is checked.

use super::key::Tag;
use super::proven::Proven;
use super::queue::{Entrant, Lane, NotQueued, Queue};
use super::sources::Sources;
use crate::admin::source::Source;

#[derive(Default)]
pub(super) struct Limiter {
    sources: Sources,
    proven: Proven,
    pub(super) queue: Queue,
}

impl Limiter {
    /// Whether a password of this user is to be checked for somebody there.
    ///
    /// # Errors
    /// The seconds until it is, at least one.
    pub(super) fn may_try(&self, source: Source, name: &str, now_ms: u64) -> Result<(), u64> {
        let proven = self.proven.may_try(source, name, now_ms);
        proven.unwrap_or_else(|| self.may_try_anybody(source, now_ms))
    }

    /// The same for whoever it is.
    ///
    /// # Errors
    /// As above.
    pub(super) fn may_try_anybody(&self, source: Source, now_ms: u64) -> Result<(), u64> {
        self.sources.may_try(source, now_ms)
    }

    /// Has them wait for a check of their password; the answer is their ticket.
    ///
    /// # Errors
    /// They are not to wait.
    pub(super) fn enter(
        &mut self,
        source: Source,
        name: &str,
        tag: Tag,
        now_ms: u64,
    ) -> Result<u64, NotQueued> {
        self.queue.enter(Entrant {
            lane: self.lane(source, name, now_ms),
            suspicion: self.sources.suspicion(source, now_ms),
            tag,
        })
    }

    /// Where they would wait.
    pub(super) fn lane(&self, source: Source, name: &str, now_ms: u64) -> Lane {
        match self.proven.may_try(source, name, now_ms) {
            Some(_) => Lane::Proven(source.address()),
            None => Lane::Stranger(source.site()),
        }
    }

    /// Somebody there was not who they said they were.
    pub(super) fn failed(&mut self, source: Source, name: &str, now_ms: u64) {
        self.sources.failed(source, now_ms);
        self.proven.failed(source, name, now_ms);
    }

    /// This user was.
    pub(super) fn passed(&mut self, source: Source, name: &str, now_ms: u64) {
        self.sources.forget(source);
        self.proven.insert(source, name, now_ms);
    }

    /// Whether anybody has logged in from there lately.
    pub(super) fn knows(&self, source: Source, now_ms: u64) -> bool {
        self.proven.knows(source, now_ms)
    }

    /// Forgets users who are none any more.
    pub(super) fn retain(&mut self, is_user: impl Fn(&str) -> bool) {
        self.proven.retain(is_user);
    }
}
