//! The state folder: secrets that a program makes itself and keeps from one run to
//! the next.
//!
//! What they are is not known here. One is made once, by whoever comes first, and
//! no other user reads it.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::files::{open_file, open_folder};
use super::rights::{self, Need};

/// No secret is longer.
const MOST_BYTES: u64 = 1 << 20;

/// How often, and after which pause, a lock is tried that another has: for 5 s in all.
const LOCK_TRIES: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The folder of the one program that this is, once that is settled.
static SETTLED: OnceLock<(String, PathBuf)> = OnceLock::new();

/// As [`folder`], which answers the same from now on, also when rights are given up.
///
/// # Errors
/// As [`folder`]; nothing is settled then.
pub fn settle(program: &str) -> io::Result<PathBuf> {
    let folder = folder(program)?;
    // Whoever was first has asked the same.
    let _ = SETTLED.set((program.to_owned(), folder.clone()));
    Ok(folder)
}

/// The folder of `program`: the first of `$STATE_DIRECTORY`; without it
/// `/var/lib/PROGRAM` for root and `~/.local/state/PROGRAM` for others. It need not
/// be there. A program that gives up rights settles it before.
///
/// # Errors
/// If neither `$STATE_DIRECTORY` nor, for others than root, `$HOME` is a path from
/// the top.
pub fn folder(program: &str) -> io::Result<PathBuf> {
    if let Some((_, folder)) = SETTLED.get().filter(|(of, _)| of == program) {
        return Ok(folder.clone());
    }
    folder_of(
        program,
        std::env::var_os("STATE_DIRECTORY").as_deref(),
        geteuid().is_root(),
        std::env::var_os("HOME").as_deref(),
    )
}

fn folder_of(
    program: &str,
    state: Option<&OsStr>,
    is_root: bool,
    home: Option<&OsStr>,
) -> io::Result<PathBuf> {
    // systemd names all that a unit has, with colons between them.
    let first = state.and_then(|list| {
        let first = list.as_bytes().split(|byte| *byte == b':').next()?;
        (!first.is_empty()).then(|| Path::new(OsStr::from_bytes(first)))
    });
    let home = home.map(Path::new).filter(|home| home.is_absolute());
    match (first, home) {
        (Some(first), _) if first.is_absolute() => Ok(first.to_owned()),
        (Some(_), _) => Err(invalid("STATE_DIRECTORY does not begin with a slash")),
        (None, _) if is_root => Ok(Path::new("/var/lib").join(program)),
        (None, Some(home)) => Ok(home.join(".local/state").join(program)),
        (None, None) => Err(invalid("set STATE_DIRECTORY or HOME")),
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The secret in the file `name` of `folder`, if there is one that is `good`; else
/// what `make` makes, which is in the file, whole, once this returns.
///
/// Of several processes that come at the same time one makes it, and all have the
/// same. `good` may be asked twice. The folder is made if it is not there, for its
/// owner alone; one that is there keeps its mode.
///
/// # Errors
/// `PermissionDenied` if other users may read the file; what `make` says, or the
/// system's. Each names the path.
pub fn secret(
    folder: &Path,
    name: &str,
    mut good: impl FnMut(&[u8]) -> bool,
    make: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let path = folder.join(name);
    // The usual case needs no right to write.
    if let Some(bytes) = read(&path)?.filter(|bytes| good(bytes)) {
        return Ok(bytes);
    }
    make_folder(folder).map_err(|error| unwritable(folder, &error))?;
    let lock = lock(folder).map_err(|error| unwritable(folder, &error))?;
    // Somebody may have been faster.
    let bytes = match read(&path)?.filter(|bytes| good(bytes)) {
        Some(bytes) => bytes,
        None => {
            let bytes = make().map_err(|error| named(&path, &error))?;
            write(folder, name, &bytes).map_err(|error| named(&path, &error))?;
            bytes
        }
    };
    drop(lock);
    Ok(bytes)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// As `named`, of a folder that was to be written to.
fn unwritable(folder: &Path, error: &io::Error) -> io::Error {
    let advice = rights::advice(error, Need::Own, folder);
    io::Error::new(
        error.kind(),
        format!("{}: {error}{advice}", folder.display()),
    )
}

/// As `named`, of a file whose owner was somebody else: root, if it was run without `-u` before.
fn unreadable(path: &Path, error: &io::Error) -> io::Error {
    let folder = path.parent().unwrap_or(path);
    let advice = rights::advice(error, Need::Own, folder);
    io::Error::new(error.kind(), format!("{}: {error}{advice}", path.display()))
}

/// What is in the file, if there is one and its owner alone may read it.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| unreadable(path, &error))?,
    };
    check(path, &file).map_err(|error| named(path, &error))?;
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| named(path, &error))?;
    Ok(Some(bytes))
}

fn check(path: &Path, file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "others than its owner may read or change it: remove it if they may have, else 'chmod 600 {}'",
                path.display()
            ),
        ));
    }
    Ok(())
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    match made {
        // Another process made a part of it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        other => other,
    }
}

/// Held by whoever makes a secret; it goes with the file that is returned. Another who has it
/// needs milliseconds: it is not waited for without end.
fn lock(folder: &Path) -> io::Result<File> {
    // A file and not the folder: some systems lock only what is open for writing.
    let path = folder.join(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags(OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW))
        .open(path)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => return Ok(file),
        }
    }
    let message = "another process has its .lock and does not give it up";
    Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
}

/// Puts the bytes into a file beside, and that into place. Whoever does has the lock.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!(".{name}.new"));
    // Left behind by a crash: nobody else is here.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, folder.join(name))
    };
    let written = written();
    match &written {
        // It is there; that it outlives a power cut is more than some systems promise.
        Ok(()) => drop(open_folder(folder).and_then(|folder| folder.sync_all())),
        Err(_) => drop(std::fs::remove_file(&beside)),
    }
    written
}

#[cfg(test)]
mod tests;
