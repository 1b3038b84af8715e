//! `<config watch="true">`: looks at the configuration file every two seconds, and finds out
//! whether to read it again.
//!
//! A file is taken when two looks in a row found the same content, so that one which is still
//! being written is not. What was refused is not tried again before it changes.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::config_file::{File, READ_LIMIT};
use crate::calendar::since_1970_ms;
use crate::os::files::read_file;

/// Time from one look to the next.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long after a change another one may have the same times: those of coarse file systems.
const SETTLED_MS: u64 = 2_000;

/// When to look at the file, and what the last look found.
#[derive(Debug, Default)]
pub(super) struct FileWatch {
    /// `None` while the file is not watched.
    due: Option<Instant>,
    /// The file as of the last look; `None` if it may change and look the same.
    stamp: Option<Stamp>,
    /// The hash of a content that is not the one last read or saved.
    found: Option<Found>,
}

/// A content that the last look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    hash: u64,
    /// Whether it was to be read. If it is here still, it was refused.
    was_tried: bool,
}

/// What changes whenever the content does, also by a rename or a link that leads elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed_ns: i128,
}

impl FileWatch {
    /// Starts or ends watching.
    pub(super) fn set(&mut self, watch: bool, now: Instant) {
        match (watch, self.due) {
            (true, None) => self.due = now.checked_add(INTERVAL),
            (false, Some(_)) => *self = FileWatch::default(),
            _ => {}
        }
    }

    /// How long the controller may wait for a request; `None` is without limit.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        Some(self.due?.saturating_duration_since(now))
    }

    /// Looks at the file, if it is time to. Returns whether to read it again.
    pub(super) fn look(&mut self, file: &File, now: Instant) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        self.due = now.checked_add(INTERVAL);
        let stamp = Stamp::of(file.path(), since_1970_ms(SystemTime::now()));
        let is_clear = self.found.is_none_or(|found| found.was_tried);
        if is_clear && stamp.is_some() && stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        let content = read_file(file.path(), READ_LIMIT);
        self.is_new(content.as_deref(), &file.bytes)
    }

    /// Forgets what was read: it is in force.
    pub(super) fn accept(&mut self) {
        self.found = None;
    }

    /// Whether this content was found the second time, and is not `known`; or is, after another one
    /// was tried: then what is said of the last reload is over.
    fn is_new(&mut self, content: Result<&[u8], &io::Error>, known: &[u8]) -> bool {
        if content.is_ok_and(|bytes| bytes == known) {
            return self.found.take().is_some_and(|found| found.was_tried);
        }
        let mut hasher = DefaultHasher::new();
        content.map_err(io::Error::kind).hash(&mut hasher);
        let hash = hasher.finish();
        let before = self.found.filter(|found| found.hash == hash);
        self.found = Some(Found {
            hash,
            was_tried: before.is_some(),
        });
        before.is_some_and(|found| !found.was_tried)
    }
}

impl Stamp {
    /// The file's; `None` if there is none, or it has changed just now.
    fn of(path: &Path, now_ms: u64) -> Option<Stamp> {
        let metadata = fs::metadata(path).ok()?;
        let stamp = Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed_ns: i128::from(metadata.ctime()) * 1_000_000_000
                + i128::from(metadata.ctime_nsec()),
        };
        stamp.is_settled(now_ms).then_some(stamp)
    }

    fn is_settled(&self, now_ms: u64) -> bool {
        i128::from(now_ms) * 1_000_000 >= self.changed_ns + i128::from(SETTLED_MS) * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[u8] = b"<config/>";

    #[test]
    fn a_content_was_tried_once_and_when_it_was_seen_twice() {
        let mut watch = FileWatch::default();
        let mut finds = |content: &[u8]| watch.is_new(Ok(content), KNOWN);
        assert_eq!(
            [KNOWN, b"a", b"a", b"a"].map(&mut finds),
            [false, false, true, false]
        );
        // One that is being written is another each time.
        assert_eq!(
            [b"b", b"c", b"d", b"d"].map(|it| finds(it)),
            [false, false, false, true]
        );
        // What was refused, and comes again after another one, is tried again.
        assert_eq!([KNOWN, b"d", b"d"].map(&mut finds), [true, false, true]);
        // One that was written for a moment only was not tried.
        assert_eq!([KNOWN, b"e", KNOWN].map(&mut finds), [true, false, false]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_content_too() {
        let mut watch = FileWatch::default();
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let mut finds = |error| watch.is_new(Err(error), KNOWN);
        let errors = [&missing, &missing, &missing, &denied, &denied];
        assert_eq!(errors.map(&mut finds), [false, true, false, false, true]);
    }

    #[test]
    fn times_of_a_moment_ago_prove_nothing() {
        let stamp = Stamp {
            device: 1,
            inode: 2,
            size: 3,
            changed_ns: 10_000_000_000,
        };
        assert!(!stamp.is_settled(10_000) && !stamp.is_settled(11_999));
        assert!(stamp.is_settled(12_000));
    }

    #[test]
    fn what_is_not_watched_is_not_looked_at() {
        let (mut watch, now) = (FileWatch::default(), Instant::now());
        assert_eq!(watch.poll_timeout(now), None);
        watch.set(true, now);
        watch.set(true, now + INTERVAL / 2);
        assert_eq!(watch.poll_timeout(now), Some(INTERVAL));
        watch.set(false, now);
        assert_eq!(watch.poll_timeout(now), None);
    }
}
