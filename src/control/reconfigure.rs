//! What else changes with a configuration besides what the director runs: all of it
//! is had before anything changes, or nothing changes.
//!
//! What a fixture is, a log say or a door, is its owner's business.

use crate::config::Config;

/// Puts something in force that was prepared; cannot fail.
pub type Commit = Box<dyn FnOnce() + Send>;

/// Something that depends on the configuration and is not the director's.
pub trait Reconfigure: Send {
    /// Gets ready what `next` wants otherwise than `now`: opens what is new, closes
    /// nothing. `None` if nothing is to be done.
    ///
    /// What is returned is called once the workers serve `next`. If it is dropped
    /// instead, the change did not happen, and what was opened is to be closed.
    ///
    /// # Errors
    /// Why `next` cannot be had, in words for an operator.
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String>;

    /// Whether it is the log: then what has happened is told to the old one before the
    /// new one takes its place. The others follow before anything is told.
    fn is_log(&self) -> bool {
        false
    }

    /// Opens anew what somebody may have moved away, a log say. `now` is in force.
    ///
    /// # Errors
    /// Why it cannot be done, in words for an operator; what there was stays.
    fn reopen(&mut self, _now: &Config) -> Result<(), String> {
        Ok(())
    }

    /// txlb only serves its last sessions from now on: releases what its successor needs,
    /// at once. Returns whether it is asked for anything later.
    fn release(&mut self) -> bool {
        true
    }
}

/// What the fixtures have ready. Dropping it unfinished undoes it.
#[must_use]
pub(super) struct Prepared {
    commits: Vec<Commit>,
    log_commits: Vec<Commit>,
}

impl Prepared {
    /// # Errors
    /// The first fixture that cannot have what it needs; the others undo what they did.
    pub(super) fn new(
        dependents: &mut [Box<dyn Reconfigure>],
        now: &Config,
        next: &Config,
    ) -> Result<Prepared, String> {
        let mut prepared = Prepared {
            commits: Vec::new(),
            log_commits: Vec::new(),
        };
        for dependent in dependents {
            let list = match dependent.is_log() {
                true => &mut prepared.log_commits,
                false => &mut prepared.commits,
            };
            list.extend(dependent.prepare(now, next)?);
        }
        Ok(prepared)
    }

    /// The change is in force: everything follows but the log, to which that is yet to
    /// be told.
    pub(super) fn commit(&mut self) {
        self.commits.drain(..).for_each(|commit| commit());
    }

    /// All has been told.
    pub(super) fn commit_log(self) {
        self.log_commits.into_iter().for_each(|commit| commit());
    }
}
