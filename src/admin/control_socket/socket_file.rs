//! The Unix socket as a file: made whole, never taken from somebody who answers,
//! and removed by whom it belongs to.
//!
//! Who may open it is said by its mode; who comes is not known here.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};

use crate::os::files;
use crate::os::rights::{self, Need};

/// Clients that may wait to be let in.
const BACKLOG: i32 = 128;

/// How often a folder is tried that somebody has locked: making a socket takes no time.
const TRIES: usize = 50;

/// Between two of these: a second in all.
const PAUSE: Duration = Duration::from_millis(20);

/// The file of a socket that listens; it is removed in the end, if it is still there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    mode: u32,
    id: (u64, u64),
}

impl SocketFile {
    /// Listens at `path`, which those may open whom the bits of `mode` name. What nobody
    /// answers at any more is replaced.
    ///
    /// # Errors
    /// `AddrInUse` where somebody answers, `AlreadyExists` where something else is,
    /// or the system's.
    pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
        // It is made under another name, which is found out to be too long or not
        // by itself.
        address(path)?;
        // Nobody else looks, and makes one, at the same time. Some systems lock no
        // folders: there two that start in the same moment may not notice.
        let folder = open_folder(folder(path))?;
        lock(&folder)?;
        expect_nobody(path)?;
        let new = name_beside(path);
        let folder = self::folder(path);
        let made = make(&new, mode).map_err(|error| advised(folder, error));
        let made = made.and_then(|listener| {
            let id = id(&fs::symlink_metadata(&new)?);
            fs::rename(&new, path).map_err(|error| of_somebody_else(path, error))?;
            Ok((listener, id))
        });
        let (listener, id) = made.inspect_err(|_| drop(fs::remove_file(&new)))?;
        let path = path.to_owned();
        Ok((listener, SocketFile { path, mode, id }))
    }

    /// Where it was made.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets those open it whom the bits of `mode` name, from now on.
    pub(super) fn set_mode(&mut self, mode: u32) {
        if mode == self.mode || !self.is_at(&self.path) {
            return;
        }
        match fs::set_permissions(&self.path, Permissions::from_mode(mode)) {
            Ok(()) => self.mode = mode,
            Err(error) => log::warn!("{}: mode {mode:04o}: {error}", self.path.display()),
        }
    }

    /// Whether this is what is found at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|metadata| id(&metadata) == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_at(&self.path) {
            // Nobody answers there any more: the next one replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What makes a file the same one, whatever its name.
fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Waits for others that make sockets in the same folder, as when several txlb start at
/// once. A folder that the system does not lock is as good as locked.
fn lock(folder: &File) -> io::Result<()> {
    for _ in 0..TRIES {
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            _ => return Ok(()),
        }
    }
    let message = "another process has kept a lock on the folder for a second";
    Err(io::Error::new(ErrorKind::ResourceBusy, message))
}

fn open_folder(folder: &Path) -> io::Result<File> {
    files::open_folder(folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let folder = folder.display();
            let message = format!("the folder {folder} is missing: make it, for txlb's user");
            io::Error::new(ErrorKind::NotFound, message)
        }
        _ => advised(folder, error),
    })
}

fn advised(folder: &Path, error: io::Error) -> io::Error {
    match rights::advice(&error, Need::Write, folder) {
        advice if advice.is_empty() => error,
        advice => io::Error::new(error.kind(), format!("{error}{advice}")),
    }
}

/// What is at `path` can be neither asked nor replaced, though others can be made beside it: it was
/// left by a txlb of another user's, which was killed.
fn of_somebody_else(path: &Path, error: io::Error) -> io::Error {
    if error.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    let path = path.display();
    let advice =
        format!("{error} (another user's txlb has left it, or runs: if none does, 'rm {path}')");
    io::Error::new(ErrorKind::PermissionDenied, advice)
}

/// A name in the same folder that nobody else uses. It is as short as can be:
/// there is room for some hundred bytes in the address of a socket.
fn name_beside(path: &Path) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!(".txlb{}.{number}", process::id());
    folder(path).join(OsString::from(name))
}

/// That nobody is lost if `path` is replaced.
fn expect_nobody(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            let message = "there is something that is no socket: it is left alone";
            return Err(io::Error::new(ErrorKind::AlreadyExists, message));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match call(path) {
        // Of somebody who is no more, or gone by now.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        // With a full queue, it is somebody's all the more.
        Ok(_) | Err(Errno::AGAIN) => {
            let message = "another txlb answers there";
            Err(io::Error::new(ErrorKind::AddrInUse, message))
        }
        Err(error) => Err(of_somebody_else(path, error.into())),
    }
}

/// Connects, unless that takes waiting.
fn call(path: &Path) -> Result<UnixStream, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let stream = UnixStream::from(unconnected()?);
    rustix::io::ioctl_fionbio(&stream, true)?;
    connect(&stream, &address)?;
    Ok(stream)
}

/// A socket at `path`, which nobody can open before its mode is right: until it
/// listens, it is as if nobody were there.
fn make(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let address = address(path)?;
    // Left by an earlier process with this number.
    let _ = fs::remove_file(path);
    let descriptor = unconnected()?;
    bind(&descriptor, &address)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&descriptor, BACKLOG)?;
    Ok(UnixListener::from(descriptor))
}

fn address(path: &Path) -> io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(path).map_err(|error| match error {
        Errno::NAMETOOLONG => io::Error::new(
            ErrorKind::InvalidFilename,
            "the path is too long for a socket: about 90 bytes are possible",
        ),
        error => error.into(),
    })
}

fn unconnected() -> Result<OwnedFd, Errno> {
    let descriptor = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_start_together_in_one_folder_wait_for_each_other() {
        let name = format!("txlb-sockets-{}", process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let failed: Vec<_> = thread::scope(|scope| {
            let start = |number: u32| {
                let path = folder.join(number.to_string());
                scope.spawn(move || SocketFile::listen(&path, 0o660).map(drop))
            };
            let all: Vec<_> = (0..16).map(start).collect();
            let ends = all.into_iter().map(|it| it.join().unwrap());
            ends.filter_map(Result::err).collect()
        });
        fs::remove_dir_all(&folder).unwrap();
        assert!(failed.is_empty(), "{failed:?}");
    }
}
