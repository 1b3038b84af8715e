//! The PID file: who runs, kept by a lock and not by a number.
//!
//! A number left behind by a crash may be anybody's by now; a lock goes with
//! the process that holds it. The number is believed only while there is a lock.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::exit::Exit;

/// How often a file that is gone once it is locked is looked for again.
const TRIES: usize = 10;

/// A PID file that is ours; it is removed in the end, or emptied where it cannot be.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl PidFile {
    /// Takes the PID file: a stale one is taken over, one that is held is not.
    pub(crate) fn take(path: &Path) -> Result<PidFile, Exit> {
        let failed = |error: &io::Error| {
            let advice = match error.kind() {
                _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                    " (it is a link, which is not followed)"
                }
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                    " (-p says where the PID file is to be)"
                }
                _ => "",
            };
            Exit::new(
                Exit::CANNOT_CREATE,
                &format!("txlb: {}: {error}{advice}", path.display()),
            )
        };
        for _ in 0..TRIES {
            let mut file = open(path).map_err(|error| failed(&error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(held(path, &mut file)),
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
            }
            let mut taken = PidFile {
                path: path.to_owned(),
                file,
            };
            // Whoever held it may have removed it since it was opened: then a
            // lock on what is left of it keeps nobody out.
            if taken.is_in_place() {
                write_pid(&mut taken.file).map_err(|error| failed(&error))?;
                return Ok(taken);
            }
        }
        Err(failed(&io::Error::other(
            "it is removed as soon as it is made",
        )))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file at the path is the one that is held.
    fn is_in_place(&self) -> bool {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        match (self.path.metadata(), self.file.metadata()) {
            (Ok(there), Ok(held)) => id(there) == id(held),
            _ => false,
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may be out of reach, or its folder root's.
        let _ = self.file.set_len(0);
        // Somebody may have removed it, and another txlb made its own there.
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Sends a signal to the process whose number is in the PID file at `path`, if
/// anybody holds that: systems do not say who.
pub(crate) fn send(path: &Path, signal: Signal) -> Result<(), Exit> {
    let named = |what: &str| format!("txlb: {}: {what}", path.display());
    let mut file = File::open(path).map_err(|error| {
        let status = match error.kind() {
            io::ErrorKind::NotFound => Exit::NO_FILE,
            io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
            _ => Exit::OTHER,
        };
        let advice = match status {
            Exit::NO_FILE => ": is txlb running? (-p says where its PID file is)",
            _ => "",
        };
        Exit::new(status, &named(&format!("{error}{advice}")))
    })?;
    match file.try_lock_shared() {
        Ok(()) => {
            return Err(Exit::new(
                Exit::OTHER,
                &named("no txlb holds it: none is running"),
            ));
        }
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => {
            return Err(Exit::new(Exit::OTHER, &named(&error.to_string())));
        }
    }
    let pid = read_pid(&mut file)
        .ok_or_else(|| Exit::new(Exit::OTHER, &named("there is no process ID in it")))?;
    kill_process(pid, signal).map_err(|error| {
        let denied = error == Errno::PERM;
        let status = if denied {
            Exit::NO_PERMISSION
        } else {
            Exit::OTHER
        };
        Exit::new(
            status,
            &format!("txlb: process {}: {error}", pid.as_raw_nonzero()),
        )
    })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // The folder may be somebody's for whom root is not to write elsewhere.
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

fn held(path: &Path, file: &mut File) -> Exit {
    let whose = read_pid(file).map_or_else(String::new, |pid| {
        format!(" (process {})", pid.as_raw_nonzero())
    });
    let path = path.display();
    Exit::new(
        Exit::CANNOT_CREATE,
        &format!("txlb: {path} is locked: txlb is running already{whose}"),
    )
}

fn write_pid(file: &mut File) -> io::Result<()> {
    // Anybody may know, whatever the umask; somebody else's file stays as it is.
    let _ = file.set_permissions(Permissions::from_mode(0o644));
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<Pid> {
    // No number is longer than this.
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of this test's own.
    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("txlb-{}-{name}.pid", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn a_file_of_somebody_else_in_its_place_is_left_there() {
        let path = path("replaced");
        let first = PidFile::take(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = PidFile::take(&path).unwrap();
        drop(first);
        assert!(path.exists());
        assert_eq!(
            PidFile::take(&path).unwrap_err().status,
            Exit::CANNOT_CREATE
        );
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let (link, target) = (path("link"), path("target"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let refused = PidFile::take(&link).unwrap_err();
        assert_eq!(refused.status, Exit::CANNOT_CREATE);
        assert!(refused.message.contains("it is a link"), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
        std::fs::remove_file(&link).unwrap();
        std::fs::remove_file(&target).unwrap();
    }

    #[test]
    fn a_lock_on_what_is_gone_is_not_enough() {
        let path = path("gone");
        let held = PidFile::take(&path).unwrap();
        assert!(held.is_in_place());
        std::fs::remove_file(&path).unwrap();
        assert!(!held.is_in_place());
        std::fs::write(&path, "").unwrap();
        assert!(!held.is_in_place());
        drop(held);
        std::fs::remove_file(&path).unwrap();
    }
}
