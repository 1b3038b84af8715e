//! Saving a configuration into the file it came from: the old file or the new one
//! is there at any moment, never a mix, and the old one is kept as a backup. A file that
//! is a mount of its own alone is written in place, after the backup.
//!
//! What the new text is, `config::edit` says. Not kept are access control lists and
//! hard links: another name of the file goes on naming the old one.

mod files;

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use self::files::{Siblings, TempFile, write_in_place};
use super::config_file::{File, READ_LIMIT};
use crate::config::{Config, EditError, PeriodicTask, edit};
use crate::os::files::{open_folder, read_file};
use crate::os::rights::{self, Need};

/// What saving came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    /// Where the file's text from before is; `None` if nothing had to be written.
    pub backup: Option<PathBuf>,
    /// What the operator should know besides, a sentence each.
    pub notes: Vec<String>,
}

/// Why a configuration was not saved. The file is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum SaveError {
    /// Somebody else has changed the file since it was read.
    Changed(PathBuf),
    /// There is no such file any more.
    Missing(PathBuf),
    /// There is something, but nothing that could have been read.
    Unfit(PathBuf, &'static str),
    /// Its text cannot be edited.
    Edit(PathBuf, Box<EditError>),
    /// It had to be written in place, that failed, and so did restoring it.
    Torn {
        /// The file, which is neither the old one nor the new one.
        path: PathBuf,
        /// Where the old one is.
        backup: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system refused.
    System {
        /// The file or folder it is about.
        path: PathBuf,
        /// What was to be done with it: a verb.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaveError::Changed(path) => write!(
                f,
                "{} has been changed since it was read: 'reload' takes what it says now, \
                 'saveConfig force=true' writes what is in force into it",
                path.display()
            ),
            SaveError::Missing(path) => write!(
                f,
                "{} is gone: make an empty file of the owner and mode it shall have, then \
                 'saveConfig force=true'",
                path.display()
            ),
            SaveError::Unfit(path, why) => write!(
                f,
                "{} {why}: move it away, put a configuration in its place, then \
                 'saveConfig force=true'",
                path.display()
            ),
            SaveError::Edit(path, error) => write!(f, "{}: {error}", path.display()),
            SaveError::Torn {
                path,
                backup,
                error,
            } => write!(
                f,
                "{} is a mount of its own, and could be written only in part: {error}; \
                 'cp {} {}' restores it",
                path.display(),
                backup.display(),
                path.display()
            ),
            SaveError::System { path, doing, error } => {
                write!(f, "cannot {doing} {}: {error}", path.display())?;
                f.write_str(&advice(doing, path, error))?;
                f.write_str("; the file is as it was")
            }
        }
    }
}

fn advice(doing: &str, path: &Path, error: &io::Error) -> String {
    let general = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (make room)",
        io::ErrorKind::FileTooLarge => " (see ulimit -f)",
        io::ErrorKind::ReadOnlyFilesystem => " (it is read-only, perhaps for txlb alone)",
        io::ErrorKind::PermissionDenied if doing == WRITE => {
            " (txlb's user must be able to write to the folder)"
        }
        _ => "",
    };
    let need = if [WRITE, WRITE_IN_PLACE].contains(&doing) {
        Need::Write
    } else {
        Need::Read
    };
    match rights::advice(error, need, path) {
        particular if particular.is_empty() => general.to_owned(),
        particular => particular,
    }
}

/// What is done to the folder.
const WRITE: &str = "write to";

/// What is done to a file that is a mount.
const WRITE_IN_PLACE: &str = "write, since it is a mount that nothing can replace, into";

impl std::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SaveError::Edit(_, error) => Some(error),
            SaveError::System { error, .. } | SaveError::Torn { error, .. } => Some(error),
            SaveError::Changed(_) | SaveError::Missing(_) | SaveError::Unfit(..) => None,
        }
    }
}

impl File {
    /// Edits the file so that it says `config`; `now` is for the backup's name.
    ///
    /// A file that somebody else has changed since it was last read or saved is
    /// refused. With `force` it is not: what it says now is edited, or, if that is no
    /// configuration, it is replaced by what was last read, edited.
    ///
    /// Of a symbolic link the target is replaced, and backups are beside that. Owner
    /// and mode stay as they are where the system permits it, else a note says so.
    ///
    /// # Errors
    /// See [`SaveError`]. Nothing has changed then.
    pub fn save(
        &mut self,
        config: &Config,
        force: bool,
        now: SystemTime,
    ) -> Result<Saved, SaveError> {
        let target = Target::find(&self.path)?;
        let mut saved = Saved::default();
        let text = if target.bytes == self.bytes {
            edit(&self.bytes, config)
        } else if force {
            edit(&target.bytes, config)
                .inspect(|_| saved.notes.push(EDITED_AS_IS.to_owned()))
                .or_else(|_| {
                    saved.notes.push(REPLACED.to_owned());
                    edit(&self.bytes, config)
                })
        } else {
            return Err(SaveError::Changed(self.path.clone()));
        };
        let text = text.map_err(|error| SaveError::Edit(self.path.clone(), error.into()))?;
        if text != target.bytes {
            saved.backup = Some(target.replace(&text, now, &mut saved.notes)?);
        }
        self.bytes = text;
        Ok(saved)
    }
}

const WRITTEN_IN_PLACE: &str = "the file is a mount of its own, so it was written in place: a crash \
                                meanwhile would have left a mix, the backup has what it was";
const EDITED_AS_IS: &str = "somebody else had changed the file: what does not contradict what is \
                            in force has stayed, the backup has the rest";
const REPLACED: &str = "somebody else had changed the file, and it could not be edited so: it is \
                        as last read, edited, and the backup has the other";

/// The file to replace: not a link, and as it is now.
struct Target {
    path: PathBuf,
    bytes: Vec<u8>,
    metadata: Metadata,
}

impl Target {
    fn find(path: &Path) -> Result<Target, SaveError> {
        let failed = |doing| {
            move |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => SaveError::Missing(path.to_owned()),
                _ => system(path, doing)(error),
            }
        };
        let target = fs::canonicalize(path).map_err(failed("find"))?;
        let metadata = fs::metadata(&target).map_err(failed("look at"))?;
        if !metadata.is_file() {
            return Err(SaveError::Unfit(path.to_owned(), "is not a file"));
        }
        let bytes = read_file(&target, READ_LIMIT).map_err(failed("read"))?;
        if bytes.len() as u64 == READ_LIMIT {
            return Err(SaveError::Unfit(path.to_owned(), "is larger than 1 MiB"));
        }
        Ok(Target {
            path: target,
            bytes,
            metadata,
        })
    }

    /// Puts `text` in its place; returns where the backup is.
    ///
    /// Everything that may run out is had before anything is renamed, so that what
    /// fails again and again does not push good backups out.
    fn replace(
        &self,
        text: &[u8],
        now: SystemTime,
        notes: &mut Vec<String>,
    ) -> Result<PathBuf, SaveError> {
        let siblings = Siblings::new(&self.path);
        let folder = siblings.folder();
        let cannot_write = || system(folder, WRITE);
        if let Err(error) = siblings.remove_leftovers() {
            notes.push(format!("leftovers of a save cannot be removed: {error}"));
        }
        let new =
            TempFile::write(&siblings.temp_name(), text, &self.metadata).map_err(cannot_write())?;
        let old = TempFile::write(&siblings.temp_name(), &self.bytes, &self.metadata)
            .map_err(cannot_write())?;
        notes.extend(new.note());
        // Writing may have taken its time.
        match read_file(&self.path, READ_LIMIT) {
            Ok(bytes) if bytes == self.bytes => {}
            _ => return Err(SaveError::Changed(self.path.clone())),
        }
        let backup = siblings.backup(now).map_err(cannot_write())?;
        old.rename(&backup).map_err(cannot_write())?;
        match new.rename(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                self.write_in_place(text, &backup)?;
                notes.push(WRITTEN_IN_PLACE.to_owned());
            }
            Err(error) => {
                // It is a copy of what is still there.
                let _ = fs::remove_file(&backup);
                return Err(system(&self.path, "replace")(error));
            }
            Ok(()) => {}
        }
        // From here on it is saved, whatever happens.
        if let Err(error) = open_folder(folder).and_then(|folder| folder.sync_all()) {
            notes.push(format!("a power failure may undo this: {error}"));
        }
        if let Err(error) = siblings.prune(now) {
            notes.push(format!("old backups cannot be removed: {error}"));
        }
        Ok(backup)
    }

    /// For a file that is a mount, as in a container: another one cannot take its place.
    fn write_in_place(&self, text: &[u8], backup: &Path) -> Result<(), SaveError> {
        write_in_place(&self.path, &self.bytes, text).map_err(|failed| {
            if failed.restored {
                let _ = fs::remove_file(backup);
                return system(&self.path, WRITE_IN_PLACE)(failed.error);
            }
            SaveError::Torn {
                path: self.path.clone(),
                backup: backup.to_owned(),
                error: failed.error,
            }
        })
    }
}

fn system(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> SaveError {
    let path = path.to_owned();
    move |error| SaveError::System { path, doing, error }
}

/// When the configuration is to be saved by itself.
#[derive(Debug)]
pub(super) struct Autosave {
    task: PeriodicTask,
    /// `None` is never.
    due: Option<Instant>,
    /// What was said of the last failure: it is said once.
    pub(super) complaint: Option<String>,
}

impl Autosave {
    pub(super) fn new(task: PeriodicTask, now: Instant) -> Autosave {
        let mut autosave = Autosave {
            task,
            due: None,
            complaint: None,
        };
        autosave.restart(now);
        autosave
    }

    /// Configured so from now on: an interval that is under way goes on if it is the
    /// same.
    pub(super) fn set_task(&mut self, task: PeriodicTask) {
        if self.task != task {
            self.task = task;
            self.restart(Instant::now());
        }
    }

    /// Never saves again.
    pub(super) fn disable(&mut self) {
        self.task.enable = false;
        self.due = None;
    }

    /// Waits for an interval from now.
    pub(super) fn restart(&mut self, now: Instant) {
        let due = now.checked_add(self.task.interval);
        self.due = due.filter(|_| self.task.enable);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// How long there is nothing to do; `None` is for ever.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        Some(self.due?.saturating_duration_since(now))
    }

    /// Whether this failure is news.
    pub(super) fn is_new_complaint(&mut self, error: &str) -> bool {
        let news = self.complaint.as_deref() != Some(error);
        self.complaint = Some(error.to_owned());
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saver_is_due_once_an_interval_and_never_when_it_is_off() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let task = |interval_s, enable| PeriodicTask {
            interval: Duration::from_secs(interval_s),
            enable,
        };
        let autosave = Autosave::new(task(30, true), start);
        assert!(!autosave.is_due(after(29)) && autosave.is_due(after(30)));
        assert_eq!(
            autosave.poll_timeout(after(10)),
            Some(Duration::from_secs(20))
        );
        assert_eq!(autosave.poll_timeout(after(31)), Some(Duration::ZERO));
        for never in [task(30, false), task(u64::MAX, true)] {
            let autosave = Autosave::new(never, start);
            assert!(!autosave.is_due(after(1_000_000)));
            assert_eq!(autosave.poll_timeout(start), None);
        }
    }
}
