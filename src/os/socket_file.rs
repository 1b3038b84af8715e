//! The file of a listening Unix socket: created atomically with its permissions, never taken from a
//! process that listens, and removed at the end.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};

use super::files;
use super::handed_over;
use super::rights::{self, Need};

/// Tries to lock the folder.
const LOCK_TRIES: usize = 50;

/// The pause between two tries: a second in all. Creating a socket takes much less.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The file of a listening Unix socket. Dropping it removes the file if it is still the same.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    mode: u32,
    id: (u64, u64),
}

impl SocketFile {
    /// Listens at `path`, with the permissions `mode` and an accept backlog of this length. A file
    /// that no process listens at is replaced.
    ///
    /// The socket is made under another name, gets its mode, listens, and only then moves
    /// into place. So at no time can other users open it, and no path leads to half of it.
    ///
    /// # Errors
    /// `AddrInUse` if a process listens there, `AlreadyExists` for a file that is no socket,
    /// or a system error.
    // Test: the_socket_is_for_its_user_and_group_alone_and_goes_with_the_process,
    // a_socket_with_a_live_server_is_not_taken.
    pub fn listen(path: &Path, mode: u32, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
        if let Some(taken) = SocketFile::take_handed_over(path, mode) {
            return Ok(taken);
        }
        // The temporary name may be short enough where the path is too long.
        address(path)?;
        // Keeps another txlb from checking and creating at the same time. Some systems lock
        // no folders: there two that start at once may both pass the check.
        let folder = open_folder(folder(path))?;
        lock(&folder)?;
        check_unused(path)?;
        let new = temporary_name(path);
        let folder = self::folder(path);
        let made = create(&new, mode, backlog).map_err(|error| with_advice(folder, error));
        let made = made.and_then(|listener| {
            let id = id(&fs::symlink_metadata(&new)?);
            fs::rename(&new, path).map_err(|error| explain_permission(path, error))?;
            Ok((listener, id))
        });
        let (listener, id) = made.inspect_err(|_| drop(fs::remove_file(&new)))?;
        let path = path.to_owned();
        Ok((listener, SocketFile { path, mode, id }))
    }

    /// The socket that a predecessor has listened at, if this is its file.
    fn take_handed_over(path: &Path, mode: u32) -> Option<(UnixListener, SocketFile)> {
        let listener = handed_over::take(&SocketFile::handed_over_name(path)).pop()?;
        // Without its file no client finds it: it is made anew.
        let metadata = fs::symlink_metadata(path).ok()?;
        let mut file = SocketFile {
            path: path.to_owned(),
            mode: metadata.mode() & 0o7777,
            id: id(&metadata),
        };
        file.set_mode(mode);
        Some((UnixListener::from(listener), file))
    }

    /// The name by which a process hands over a socket at this path.
    pub fn handed_over_name(path: &Path) -> String {
        format!("socket {}", path.display())
    }

    /// Another process has what was handed over, but for what is named in `unwanted`: unless that
    /// is this socket, the file stays.
    pub fn disown(&mut self, unwanted: &[String]) {
        if !unwanted.contains(&SocketFile::handed_over_name(&self.path)) {
            self.id = (0, 0);
        }
    }

    /// Gives the file to another user and group, so that these may change its mode and remove it.
    ///
    /// # Errors
    /// The system's: only root may do so.
    pub fn change_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        match self.is_at(&self.path) {
            true => lchown(&self.path, Some(uid), Some(gid)),
            false => Ok(()),
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Changes the permissions.
    pub fn set_mode(&mut self, mode: u32) {
        if mode == self.mode || !self.is_at(&self.path) {
            return;
        }
        match fs::set_permissions(&self.path, Permissions::from_mode(mode)) {
            Ok(()) => self.mode = mode,
            Err(error) => {
                let path = self.path.display();
                log::warn!("{path}: cannot set the mode {mode:04o}: {error}");
            }
        }
    }

    /// Whether the file at `path` is this socket.
    pub fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|metadata| id(&metadata) == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Until the predecessor lets go, the file is its own.
        if self.is_at(&self.path)
            && !handed_over::is_on_trial()
            && let Err(error) = fs::remove_file(&self.path)
        {
            let (path, advice) = (
                self.path.display(),
                rights::advice(&error, Need::Write, folder(&self.path)),
            );
            log::warn!(
                "{path}: cannot remove the socket: {error}{advice}; the next start replaces it"
            );
        }
    }
}

/// Checks whether [`SocketFile::listen`] would listen at `path`, and makes nothing.
///
/// # Errors
/// As there: `AddrInUse` if a process listens there, `NotFound` if the folder is missing.
pub fn check(path: &Path) -> io::Result<()> {
    address(path)?;
    let folder = folder(path);
    open_folder(folder)?;
    check_unused(path)?;
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(folder, access).map_err(|error| with_advice(folder, error.into()))
}

/// Device and inode: the identity of a file.
fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Waits for other processes that create sockets in the folder. A system that locks no
/// folders is no error.
fn lock(folder: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
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
        _ => with_advice(folder, error),
    })
}

fn with_advice(folder: &Path, error: io::Error) -> io::Error {
    match rights::advice(&error, Need::Write, folder) {
        advice if advice.is_empty() => error,
        advice => io::Error::new(error.kind(), format!("{error}{advice}")),
    }
}

/// Explains a permission error at `path`: in a sticky folder, a socket that a killed txlb of
/// another user left can be neither connected to nor replaced.
fn explain_permission(path: &Path, error: io::Error) -> io::Error {
    if error.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    let path = path.display();
    let advice =
        format!("{error} (another user's txlb has left it, or runs: if none does, 'rm {path}')");
    io::Error::new(ErrorKind::PermissionDenied, advice)
}

/// An unused name in the same folder. It is short, since the address of a Unix socket has about 100
/// bytes. Where even that is too long it is `path` itself: then no path leads to the socket for a
/// moment while a file that was left is replaced.
fn temporary_name(path: &Path) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!(".txlb{}.{number}", process::id());
    let new = folder(path).join(OsString::from(name));
    match SocketAddrUnix::new(&new) {
        Ok(_) => new,
        Err(_) => path.to_owned(),
    }
}

/// Checks that no process listens at `path`, and that it may be replaced.
fn check_unused(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            let message = "the path exists and is no socket: remove it, or configure another path";
            return Err(io::Error::new(ErrorKind::AlreadyExists, message));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match try_connect(path) {
        // Its process has ended, or the file has just gone.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        // EAGAIN: the accept backlog is full, so a process does listen.
        Ok(_) | Err(Errno::AGAIN) => {
            let message = "another process listens there";
            Err(io::Error::new(ErrorKind::AddrInUse, message))
        }
        Err(error) => Err(explain_permission(path, error.into())),
    }
}

/// Connects without waiting.
fn try_connect(path: &Path) -> Result<UnixStream, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let stream = UnixStream::from(new_socket()?);
    rustix::io::ioctl_fionbio(&stream, true)?;
    connect(&stream, &address)?;
    Ok(stream)
}

/// Creates a listening socket at `path`. It listens last: until then connect(2) fails, so
/// no client connects before the mode is set.
fn create(path: &Path, mode: u32, backlog: i32) -> io::Result<UnixListener> {
    let address = address(path)?;
    // Left by an earlier process with this PID.
    let _ = fs::remove_file(path);
    let descriptor = new_socket()?;
    bind(&descriptor, &address)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&descriptor, backlog)?;
    Ok(UnixListener::from(descriptor))
}

fn address(path: &Path) -> io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(path).map_err(|error| match error {
        Errno::NAMETOOLONG => io::Error::new(
            ErrorKind::InvalidFilename,
            "the path is too long for a Unix socket: 103 bytes are possible, on Linux 107",
        ),
        error => error.into(),
    })
}

fn new_socket() -> Result<OwnedFd, Errno> {
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
                scope.spawn(move || SocketFile::listen(&path, 0o660, 8).map(drop))
            };
            let all: Vec<_> = (0..16).map(start).collect();
            let ends = all.into_iter().map(|it| it.join().unwrap());
            ends.filter_map(Result::err).collect()
        });
        fs::remove_dir_all(&folder).unwrap();
        assert!(failed.is_empty(), "{failed:?}");
    }
}
