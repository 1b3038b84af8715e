//! The log as it follows the configuration: which it is to be, and when it is opened.
//!
//! How it is written to is `logging`'s business.

use std::path::{Path, PathBuf};

use txlb::config::Config;
use txlb::control::{Commit, Reconfigure};
use txlb::os::rights::{self, Need};

use crate::exit::Exit;
use crate::folders;
use crate::logging::{Log, Place, Target, descriptor};
use crate::privileges::Identity;

/// The log, as it follows the configuration.
pub(crate) struct LogFile {
    log: Log,
    /// What `-l` said: it beats the configuration.
    fixed: Option<PathBuf>,
    /// What is open already.
    early: Option<Target>,
    /// It is logged to where it is to be.
    begun: bool,
    /// In the background: standard output is not the user's.
    detached: bool,
}

/// The system's log, if `-l` said that: opened while there is still a way to it.
///
/// # Errors
/// There is none.
pub(crate) fn open_early(fixed: Option<&Path>) -> Result<Option<Target>, Exit> {
    match Place::named(fixed) {
        Place::Syslog => open(Place::Syslog)
            .map(Some)
            .map_err(|why| cannot_create(&why)),
        Place::StandardError | Place::File(_) => Ok(None),
    }
}

impl LogFile {
    /// The log of which `-l` said this, if anything, and what was opened because of it.
    pub(crate) fn new(
        log: &Log,
        fixed: Option<PathBuf>,
        early: Option<Target>,
        detached: bool,
    ) -> LogFile {
        LogFile {
            log: log.clone(),
            fixed,
            early,
            begun: false,
            detached,
        }
    }

    /// Where `config` has it.
    pub(crate) fn place<'a>(&'a self, config: &'a Config) -> Place<'a> {
        Place::named(self.fixed.as_deref().or(config.logging.file.as_deref()))
    }

    /// Opens the log before `owner` takes over, if `-l` named it: root's own word. Without an
    /// owner nothing changes later, and it is opened whoever named it.
    pub(crate) fn begin_before(
        &mut self,
        config: &Config,
        owner: Option<&Identity>,
    ) -> Result<(), Exit> {
        let target = match (self.early.take(), owner) {
            (Some(target), _) => Some(target),
            (None, None) => Some(
                self.open(self.place(config))
                    .map_err(|why| cannot_create(&why))?,
            ),
            (None, Some(owner)) => self.open_as_root(owner)?,
        };
        if let Some(target) = target {
            self.log.switch_from_the_start(target);
            self.begun = true;
        }
        Ok(())
    }

    /// Opens the file of `-l`, unless that is for `owner` to do.
    fn open_as_root(&self, owner: &Identity) -> Result<Option<Target>, Exit> {
        let place = Place::named(self.fixed.as_deref());
        let Some(file) = place.file() else {
            return Ok(None);
        };
        if descriptor(file).is_some() {
            let opened = self.open(place).map(Some);
            return opened.map_err(|why| cannot_create(&why));
        }
        let opened = folders::open_log(file, owner).map_err(|error| {
            cannot_create(&format!("cannot log to {}: {error}", file.display()))
        })?;
        Ok(opened.map(Target::file))
    }

    /// Logs where `config` wants it, as whoever txlb is by now, unless it does already.
    pub(crate) fn begin(&mut self, config: &Config) -> Result<(), Exit> {
        if !self.begun {
            let target = self
                .open(self.place(config))
                .map_err(|why| cannot_create(&why))?;
            self.log.switch_from_the_start(target);
            self.begun = true;
        }
        Ok(())
    }

    fn open(&self, place: Place<'_>) -> Result<Target, String> {
        if self.detached && place.file().and_then(descriptor) == Some(1) {
            let why = "in the background there is no standard output: name a file, or /dev/stderr";
            return Err(format!("cannot log to {place}: {why}"));
        }
        open(place)
    }

    /// Opens the log that `config` wants. What is returned switches to it.
    fn prepared(&self, config: &Config) -> Result<Commit, String> {
        let target = self.open(self.place(config))?;
        let log = self.log.clone();
        Ok(Box::new(move || log.switch(target)))
    }
}

impl Reconfigure for LogFile {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        if self.fixed.is_some() || now.logging.file == next.logging.file {
            return Ok(None);
        }
        self.prepared(next).map(Some)
    }

    fn is_log(&self) -> bool {
        true
    }

    /// Somebody may have moved the file away.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        let stays = match self.place(now) {
            // It finds its daemon itself; in another root, the way to it would be gone by now.
            Place::Syslog => true,
            // Nobody moves a descriptor away, and who gave up rights cannot open it again.
            Place::File(file) => descriptor(file).is_some(),
            Place::StandardError => false,
        };
        if stays {
            return Ok(());
        }
        let switch = self.prepared(now);
        switch.map_err(|error| format!("{error}; the log stays where it was"))?();
        Ok(())
    }
}

/// Opens a log, or says in words why that cannot be.
fn open(place: Place<'_>) -> Result<Target, String> {
    Target::open(place).map_err(|error| {
        let advice = match place {
            Place::File(path) => rights::advice(&error, Need::Append, path),
            Place::StandardError | Place::Syslog => String::new(),
        };
        format!("cannot log to {place}: {error}{advice}")
    })
}

fn cannot_create(why: &str) -> Exit {
    Exit::new(Exit::CANNOT_CREATE, &format!("txlb: {why}"))
}
