//! The names beside a file: its backups, and what is not yet a file of its own.
//!
//! Nothing is ever removed but what is named exactly so.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::calendar::{UtcTime, since_1970_ms};

/// So many backups are kept.
const BACKUPS: usize = 10;

/// `FILE.txlb-20261122170258`.
const BACKUP: &str = ".txlb-";
const BACKUP_DIGITS: usize = 14;

/// `FILE.txlb-new-0123456789abcdef`.
const DRAFT: &str = ".txlb-new-";
const DRAFT_DIGITS: usize = 16;

/// How far a burst of saves may be ahead of the clock.
const AHEAD_S: u64 = 24 * 3600;

/// A file, for the names of its neighbours.
pub(super) struct Beside<'a>(&'a Path);

impl<'a> Beside<'a> {
    /// The neighbours of `file`, an absolute path.
    pub(super) fn new(file: &'a Path) -> Self {
        Beside(file)
    }

    /// The folder they are in.
    pub(super) fn folder(&self) -> &'a Path {
        self.0.parent().unwrap_or(Path::new("/"))
    }

    /// A name for a draft that nobody can foresee.
    pub(super) fn draft(&self) -> PathBuf {
        // The keys of the standard library's hash maps are as random as any.
        let number = RandomState::new().hash_one(self.0);
        self.named(DRAFT, &format!("{number:0DRAFT_DIGITS$x}"))
    }

    /// A name for a backup that comes behind those that there are: of this second, or
    /// in a burst of saves of one that is still to come.
    pub(super) fn backup(&self, now: SystemTime) -> io::Result<PathBuf> {
        let mut backups = self.backups()?;
        let (now, horizon) = (second(now), self.horizon(now));
        backups.retain(|backup| *backup <= horizon);
        let latest = backups.iter().max();
        (now..=now + AHEAD_S)
            .map(|second| self.backup_of(second))
            .find(|name| Some(name) > latest && fs::symlink_metadata(name).is_err())
            .ok_or_else(|| io::ErrorKind::AlreadyExists.into())
    }

    /// Removes all backups but the newest.
    pub(super) fn prune(&self, now: SystemTime) -> io::Result<()> {
        let mut backups = self.backups()?;
        let horizon = self.horizon(now);
        backups.sort_by_cached_key(|backup| (*backup <= horizon, backup.clone()));
        let surplus = backups.len().saturating_sub(BACKUPS);
        backups[..surplus].iter().try_for_each(fs::remove_file)
    }

    /// The latest backup that there can be. Later ones are from when the clock was
    /// wrong, and older than all others.
    fn horizon(&self, now: SystemTime) -> PathBuf {
        self.backup_of(second(now) + AHEAD_S)
    }

    fn backup_of(&self, second: u64) -> PathBuf {
        self.named(BACKUP, &UtcTime::of(second * 1000).digits())
    }

    /// Removes the drafts of a process that was killed.
    pub(super) fn clean(&self) -> io::Result<()> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        self.files(DRAFT, DRAFT_DIGITS, is_hex)?
            .iter()
            .try_for_each(fs::remove_file)
    }

    fn backups(&self) -> io::Result<Vec<PathBuf>> {
        self.files(BACKUP, BACKUP_DIGITS, |byte| byte.is_ascii_digit())
    }

    /// The regular files whose names have this infix, and so many such bytes behind it.
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
