//! How a door for people opens and closes as the configuration changes: what is new is
//! opened before, what is not wanted any more is closed after.
//!
//! What a door needs to be open, and what happens to those who come in, is the door's
//! business.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::listeners::AdminListenError;
use crate::config::Config;
use crate::control::{Commit, Reconfigure};

/// A door that follows the configuration.
pub(super) trait Door: Send + Sync + Sized + 'static {
    /// The door while a configuration is in force; by default it is closed.
    type Open: Default + Clone + Send + 'static;

    /// Its name, in words for an operator.
    const NAME: &'static str;

    /// The door as `config` wants it; what is open `now` stays so if it may. Names are
    /// resolved `anew`, or only those that are new. Lets nobody in yet.
    ///
    /// # Errors
    /// Something that is new is not to be had.
    fn prepare(
        self: &Arc<Self>,
        config: &Config,
        now: &Self::Open,
        anew: bool,
    ) -> Result<Self::Open, AdminListenError>;

    /// Whether two configurations want it otherwise.
    fn differs(now: &Config, next: &Config) -> bool;

    /// From now on clients are let in. Says what people should know of it, unless that
    /// is as it was `before`.
    fn begin(open: &Self::Open, before: &Self::Open);

    /// As it is in force.
    fn open(&self) -> &Mutex<Self::Open>;
}

/// A door as the desk knows it.
pub(super) struct Hinge<D>(Weak<D>);

impl<D: Door> Hinge<D> {
    /// Opens a door that has just been made, as `config` wants it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn start(door: &Arc<D>, config: &Config) -> Result<(), AdminListenError> {
        Hinge::turn(door, config, true).map(|finish| finish())
    }

    /// What has it follow the configuration, for as long as it is there.
    pub(super) fn of(door: &Arc<D>) -> Hinge<D> {
        Hinge(Arc::downgrade(door))
    }

    fn turn(door: &Arc<D>, next: &Config, anew: bool) -> Result<Commit, AdminListenError> {
        let now = lock(door.open()).clone();
        let open = door.prepare(next, &now, anew)?;
        let door = Arc::clone(door);
        Ok(Box::new(move || put_in_force(&*door, &open)))
    }
}

impl<D: Door> Reconfigure for Hinge<D> {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        match self.0.upgrade() {
            Some(door) if D::differs(now, next) => {
                let finish = Hinge::turn(&door, next, false).map_err(|error| error.to_string())?;
                Ok(Some(finish))
            }
            _ => Ok(None),
        }
    }

    /// What it has from files may have been renewed.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        if let Some(door) = self.0.upgrade() {
            let finish = Hinge::turn(&door, now, true)
                .map_err(|error| format!("{error}; {} stays as it was", D::NAME))?;
            finish();
        }
        Ok(())
    }

    /// Nobody else is let in; who is there stays.
    fn release(&mut self) -> bool {
        if let Some(door) = self.0.upgrade() {
            shut(&*door);
        }
        false
    }
}

/// Shuts a door for good: nobody else is let in.
pub(super) fn shut<D: Door>(door: &D) {
    drop(replace(door, D::Open::default()));
}

/// Who comes in at a new place finds the new settings there, and never those of before,
/// which may be without HTTPS: so they come first.
fn put_in_force<D: Door>(door: &D, open: &D::Open) {
    let before = replace(door, open.clone());
    D::begin(open, &before);
    // What is not wanted any more is closed here, without the lock.
}

fn replace<D: Door>(door: &D, open: D::Open) -> D::Open {
    std::mem::replace(&mut *lock(door.open()), open)
}

/// What a mutex holds, whoever panicked meanwhile.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
