//! The PID file: who runs, kept by a lock and not by a number.
//!
//! A number left behind by a crash may be anybody's by now; a lock goes with
//! the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::Exit;

/// A PID file that is ours; it is removed in the end.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    // Holds the lock.
    _file: File,
}

impl PidFile {
    /// Takes the PID file: a stale one is taken over, one that is held is not.
    pub(crate) fn take(path: &Path) -> Result<PidFile, Exit> {
        let failed = |error: &io::Error| {
            Exit::new(
                Exit::CANNOT_CREATE,
                &format!("txlb: {}: {error}", path.display()),
            )
        };
        let mut file = open(path).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        write_pid(&mut file).map_err(|error| failed(&error))?;
        Ok(PidFile {
            path: path.to_owned(),
            _file: file,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody may have removed it, or the folder may be read-only by now:
        // without the lock it says nothing anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends a signal to the process that holds the PID file at `path`.
pub(crate) fn send(path: &Path, signal: Signal) -> Result<(), Exit> {
    let named = |what: &str| format!("txlb: {}: {what}", path.display());
    let mut file = File::open(path).map_err(|error| {
        let status = match error.kind() {
            io::ErrorKind::NotFound => Exit::NO_FILE,
            io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
            _ => Exit::OTHER,
        };
        Exit::new(status, &named(&error.to_string()))
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
        let denied = error == rustix::io::Errno::PERM;
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
