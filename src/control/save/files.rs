//! Files of a save: backups and temporary files beside the configuration, and writing in place.
//!
//! Removes nothing but files whose names have exactly its own form.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::hash::BuildHasher;
use std::io::{self, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::calendar::{UtcTime, since_1970_ms};

/// Number of backups that are kept.
const BACKUPS: usize = 10;

/// `FILE.txlb-20261122170258`.
const BACKUP: &str = ".txlb-";
const BACKUP_DIGITS: usize = 14;

/// `FILE.txlb-new-0123456789abcdef`.
const TEMP: &str = ".txlb-new-";
const TEMP_DIGITS: usize = 16;

/// How far names of backups may be ahead of the clock, in seconds.
const AHEAD_S: u64 = 24 * 3600;

/// The files beside `file` that a save makes.
pub(super) struct Siblings<'a>(&'a Path);

impl<'a> Siblings<'a> {
    /// `file` is an absolute path.
    pub(super) fn new(file: &'a Path) -> Self {
        Siblings(file)
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> &'a Path {
        self.0.parent().unwrap_or(Path::new("/"))
    }

    /// An unpredictable name for a temporary file.
    pub(super) fn temp_name(&self) -> PathBuf {
        // The keys of the standard library's hash maps are random.
        let number = RandomState::new().hash_one(self.0);
        self.named(TEMP, &format!("{number:0TEMP_DIGITS$x}"))
    }

    /// A name for a backup, later than those there are. A burst of saves uses up seconds ahead of
    /// the clock. Test: the_newest_10_backups_are_kept_even_of_one_second.
    pub(super) fn backup(&self, now: SystemTime) -> io::Result<PathBuf> {
        let mut backups = self.backups()?;
        let (now, latest_valid) = (second(now), self.latest_valid(now));
        backups.retain(|backup| *backup <= latest_valid);
        let latest = backups.iter().max();
        (now..=now + AHEAD_S)
            .map(|second| self.backup_of(second))
            .find(|name| Some(name) > latest && fs::symlink_metadata(name).is_err())
            .ok_or_else(|| io::ErrorKind::AlreadyExists.into())
    }

    /// Removes all backups but the newest 10.
    pub(super) fn prune(&self, now: SystemTime) -> io::Result<()> {
        let mut backups = self.backups()?;
        let latest_valid = self.latest_valid(now);
        backups.sort_by_cached_key(|backup| (*backup <= latest_valid, backup.clone()));
        let surplus = backups.len().saturating_sub(BACKUPS);
        backups[..surplus].iter().try_for_each(fs::remove_file)
    }

    /// The latest name that a backup can have. Later ones are from a clock that was wrong, and
    /// count as the oldest. Test: backups_from_a_clock_that_was_ahead_are_the_oldest.
    fn latest_valid(&self, now: SystemTime) -> PathBuf {
        self.backup_of(second(now) + AHEAD_S)
    }

    fn backup_of(&self, second: u64) -> PathBuf {
        self.named(BACKUP, &UtcTime::of(second * 1000).digits())
    }

    /// Removes temporary files of a process that was killed.
    pub(super) fn remove_leftovers(&self) -> io::Result<()> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        self.files(TEMP, TEMP_DIGITS, is_hex)?
            .iter()
            .try_for_each(fs::remove_file)
    }

    fn backups(&self) -> io::Result<Vec<PathBuf>> {
        self.files(BACKUP, BACKUP_DIGITS, |byte| byte.is_ascii_digit())
    }

    /// Regular files whose names have this infix, followed by `count` such bytes.
    fn files(
        &self,
        infix: &str,
        count: usize,
        is_digit: impl Fn(u8) -> bool,
    ) -> io::Result<Vec<PathBuf>> {
        let prefix = self.named(infix, "").into_os_string().into_vec();
        let mut files = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            let path = entry.path();
            let digits = path.as_os_str().as_bytes().strip_prefix(&prefix[..]);
            let is_named_so =
                digits.is_some_and(|it| it.len() == count && it.iter().all(|byte| is_digit(*byte)));
            if is_named_so && entry.file_type()?.is_file() {
                files.push(path);
            }
        }
        Ok(files)
    }

    fn named(&self, infix: &str, digits: &str) -> PathBuf {
        let mut name = OsString::from(self.0);
        name.push(infix);
        name.push(digits);
        name.into()
    }
}

fn second(now: SystemTime) -> u64 {
    since_1970_ms(now) / 1000
}

/// Mode bits of the group.
const GROUP: u32 = 0o070;

/// A file that is written in full before it gets its name. Dropping it removes it, unless it was
/// renamed.
#[derive(Debug)]
pub(super) struct TempFile {
    path: PathBuf,
    renamed: bool,
    note: Option<String>,
}

impl TempFile {
    /// Writes a file with owner and mode of `like`, and syncs it to the disk.
    pub(super) fn write(path: &Path, bytes: &[u8], like: &Metadata) -> io::Result<TempFile> {
        // It may contain hashes: others must not open it before its mode is right.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let mut temp_name = TempFile {
            path: path.to_owned(),
            renamed: false,
            note: None,
        };
        temp_name.note = copy_ownership(&file, like)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(temp_name)
    }

    /// A note for the operator about its owner or mode.
    pub(super) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Renames it to its final name.
    pub(super) fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.renamed {
            // The next save removes it as a leftover.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Copies owner, group and mode as far as the system permits. Mostly only root may give the owner
/// away; members may give the group.
fn copy_ownership(file: &File, like: &Metadata) -> io::Result<Option<String>> {
    let own = file.metadata()?;
    let (wanted, mut mode) = ((like.uid(), like.gid()), like.mode() & 0o777);
    let mut note = None;
    if wanted != (own.uid(), own.gid()) && fchown(file, Some(wanted.0), Some(wanted.1)).is_err() {
        let group = own.gid() == wanted.1 || fchown(file, None, Some(wanted.1)).is_ok();
        let mut text = format!("the file's owner is now user {}", own.uid());
        if !group {
            // A group that may not have been meant to read it must not. Test:
            // an_owner_that_cannot_be_kept_is_told_and_its_group_shut_out.
            mode &= !GROUP;
            text += &format!(", its group {}, who may not open it", own.gid());
        }
        note = Some(text + ": it was not permitted to keep them");
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(note)
}

/// What can be written anew from its start: a file, or a test's disk.
pub(super) trait Content: Write + Seek {
    /// Truncates to `length`, and syncs to the disk.
    fn end(&mut self, length: u64) -> io::Result<()>;
}

impl Content for File {
    fn end(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_all()
    }
}

/// Why writing in place failed.
#[derive(Debug)]
pub(super) struct WriteError {
    pub(super) error: io::Error,
    /// Whether the former contents are restored.
    pub(super) restored: bool,
}

/// Writes `new` into the file at `path`; on failure restores `old`.
pub(super) fn write_in_place(path: &Path, old: &[u8], new: &[u8]) -> Result<(), WriteError> {
    let opened = OpenOptions::new().write(true).open(path);
    let mut file = opened.map_err(|error| WriteError {
        error,
        restored: true,
    })?;
    write_or_restore(&mut file, old, new)
}

fn write_or_restore(file: &mut impl Content, old: &[u8], new: &[u8]) -> Result<(), WriteError> {
    write_from_start(file, new).map_err(|error| WriteError {
        error,
        // The old contents had room before.
        restored: write_from_start(file, old).is_ok(),
    })
}

fn write_from_start(file: &mut impl Content, bytes: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(bytes)?;
    file.end(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A disk with room for `room` bytes, or for none after a failure.
    struct Disk {
        file: Cursor<Vec<u8>>,
        room: usize,
        breaks: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let at = usize::try_from(self.file.position()).unwrap();
            let count = bytes.len().min(self.room - at);
            if count == 0 {
                self.room *= usize::from(!self.breaks);
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.file.write(&bytes[..count])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    impl Content for Disk {
        fn end(&mut self, length: u64) -> io::Result<()> {
            self.file
                .get_mut()
                .truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    fn outcome(new: &str, breaks: bool) -> (String, Option<bool>) {
        let file = Cursor::new(b"the old one".to_vec());
        let room = 16;
        let mut disk = Disk { file, room, breaks };
        let failed = write_or_restore(&mut disk, b"the old one", new.as_bytes()).err();
        let text = String::from_utf8(disk.file.into_inner()).unwrap();
        (text, failed.map(|it| it.restored))
    }

    #[test]
    fn it_is_the_new_text_or_else_the_old_one() {
        for new in ["", "new", "a longer one, 16"] {
            assert_eq!(outcome(new, false), (new.to_owned(), None));
        }
        let too_long = "one that there is no room for";
        assert_eq!(
            outcome(too_long, false),
            ("the old one".to_owned(), Some(true))
        );
        assert_eq!(outcome(too_long, true).1, Some(false));
    }
}
