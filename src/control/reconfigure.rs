//! Reconfigurable parts besides the data plane, such as the log and admin servers: they prepare a
//! change, then commit it.

use crate::config::Config;

/// The second half of a reconfiguration, which cannot fail.
pub type Commit = Box<dyn FnOnce() + Send>;

/// A part outside of the data plane that depends on the configuration.
pub trait Reconfigure: Send {
    /// Prepares the change from `now` to `next`: opens what is new, closes nothing. `None` if
    /// there is nothing to do.
    ///
    /// The returned commit runs once all workers serve `next`. If it is dropped instead, the
    /// change did not happen: close what was opened.
    ///
    /// # Errors
    /// Why `next` cannot be prepared, in words for an operator.
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String>;

    /// Whether this is the log. It commits last: the old log still gets the lines about the
    /// change.
    fn is_log(&self) -> bool {
        false
    }

    /// Opens anew what may have been moved away, such as a log file. `now` is in force.
    ///
    /// # Errors
    /// Why it failed, in words for an operator; the old one stays open.
    fn reopen(&mut self, _now: &Config) -> Result<(), String> {
        Ok(())
    }

    /// Releases what a successor needs, at once: txlb only serves its last sessions from now on.
    /// Returns whether it still takes part in later changes.
    fn release(&mut self) -> bool {
        true
    }
}

/// What all reconfigurable parts have prepared. Dropping it undoes it.
#[must_use]
pub(super) struct Prepared {
    commits: Vec<Commit>,
    log_commits: Vec<Commit>,
}

impl Prepared {
    /// # Errors
    /// The first part that cannot prepare; the others are undone.
    pub(super) fn new(
        reconfigurables: &mut [Box<dyn Reconfigure>],
        now: &Config,
        next: &Config,
    ) -> Result<Prepared, String> {
        let mut prepared = Prepared {
            commits: Vec::new(),
            log_commits: Vec::new(),
        };
        for reconfigurable in reconfigurables {
            let list = match reconfigurable.is_log() {
                true => &mut prepared.log_commits,
                false => &mut prepared.commits,
            };
            list.extend(reconfigurable.prepare(now, next)?);
        }
        Ok(prepared)
    }

    /// The change is in force: commits everything but the log.
    pub(super) fn commit(&mut self) {
        self.commits.drain(..).for_each(|commit| commit());
    }

    /// Everything is logged: commits the log.
    pub(super) fn commit_log(self) {
        self.log_commits.into_iter().for_each(|commit| commit());
    }
}
