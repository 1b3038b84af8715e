//! Saves a configuration into its file: writes a whole new file, keeps the old one as a backup,
//! and renames. At any moment there is the old file or the new one. Test:
//! a_kill_at_any_moment_leaves_the_old_file_or_the_new_one.
//!
//! A file that is itself a mount is written in place after the backup. Access control lists and
//! hard links are not kept.

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

/// The result of saving.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    /// The backup with the file's former text; `None` if nothing had to be written.
    pub backup: Option<PathBuf>,
    /// Notes for the operator, a sentence each.
    pub notes: Vec<String>,
}

/// Why a configuration was not saved. The file is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum SaveError {
    /// Another program has changed the file since it was read.
    Changed(PathBuf),
    /// The file does not exist any more.
    Missing(PathBuf),
    /// It is not a regular file, or too large.
    Unfit(PathBuf, &'static str),
    /// Its text cannot be edited.
    Edit(PathBuf, Box<EditError>),
    /// It had to be written in place; that failed, and so did restoring it.
    Torn {
        /// The file, now neither the old one nor the new one.
        path: PathBuf,
        /// The backup of the old one.
        backup: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The system refused.
    System {
        /// The file or folder.
        path: PathBuf,
        /// The operation that failed: a verb.
        doing: &'static str,
        /// The system's error.
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

/// Operation on the folder.
const WRITE: &str = "write to";

/// Operation on a file that is a mount.
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
    /// Edits the file so that it says `config`. `now` is for the backup's name.
    ///
    /// A file that has changed since it was last read or saved is refused. With `force`, its
    /// present text is edited. If that is no configuration, the text that was last read is edited
    /// and replaces it.
    ///
    /// Of a symbolic link, the target is replaced, and backups are beside the target. Owner and
    /// mode stay where the system permits it, else a note says so.
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
const EDITED_AS_IS: &str = "the file had been changed outside txlb: what does not contradict what \
                            is in force has stayed, the backup has the rest";
const REPLACED: &str = "the file had been changed outside txlb and could not be edited: it is as last \
                        read, with the changes, and the backup has the other text";

/// The file to replace, with links resolved, as it is now.
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

    /// Replaces the file by `text`. Returns the path of the backup.
    ///
    /// Both files are on the disk before anything is renamed. So a save that fails again and again
    /// does not push good backups out.
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
        // Writing takes time: the file may have changed meanwhile.
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
                // A copy of the file, which is still there.
                let _ = fs::remove_file(&backup);
                return Err(system(&self.path, "replace")(error));
            }
            Ok(()) => {}
        }
        // From here on the file is saved: errors become notes.
        if let Err(error) = open_folder(folder).and_then(|folder| folder.sync_all()) {
            notes.push(format!("a power failure may undo this: {error}"));
        }
        if let Err(error) = siblings.prune(now) {
            notes.push(format!("old backups cannot be removed: {error}"));
        }
        Ok(backup)
    }

    /// Writes in place: nothing can be renamed onto a mount, such as a single file in a container.
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

/// When configCheck saves the next time.
#[derive(Debug)]
pub(super) struct Autosave {
    task: PeriodicTask,
    /// `None` is never.
    due: Option<Instant>,
    /// The last failure that was logged. Each is logged once.
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

    /// Sets the configured task. The interval goes on if it is the same.
    pub(super) fn set_task(&mut self, task: PeriodicTask) {
        if self.task != task {
            self.task = task;
            self.restart(Instant::now());
        }
    }

    /// Stops saving for good.
    pub(super) fn disable(&mut self) {
        self.task.enable = false;
        self.due = None;
    }

    /// Starts a new interval.
    pub(super) fn restart(&mut self, now: Instant) {
        let due = now.checked_add(self.task.interval);
        self.due = due.filter(|_| self.task.enable);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// How long the controller may wait for a request; `None` is without limit.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        Some(self.due?.saturating_duration_since(now))
    }

    /// Whether this error has not been logged yet.
    pub(super) fn is_new_complaint(&mut self, error: &str) -> bool {
        let is_new = self.complaint.as_deref() != Some(error);
        self.complaint = Some(error.to_owned());
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autosave_is_due_once_an_interval_and_never_when_it_is_off() {
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
