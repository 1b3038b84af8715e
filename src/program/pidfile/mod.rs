//! The PID file: one txlb at a time, and which process that is, as the kernel knows it.
//!
//! Two locks are held, both on one descriptor that is open for reading alone: the process
//! that gave up root's rights must not write the number that root sends signals to.
//!
//! * flock(2), exclusive, keeps a second txlb out. No system wants a descriptor for it that
//!   can write, and shell scripts can ask for it with flock(1).
//! * A record lock of fcntl(2), shared, tells whose it is: `F_GETLK` names the process, which
//!   flock does not. An exclusive one would need a descriptor that can write. It is lost as
//!   soon as this process closes any descriptor of the file, so it is taken last, and
//!   nothing opens the file again.
//!
//! The number in the file counts only if the process of that number holds the record lock.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError, symlink_metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::exit::Exit;

/// How often a file that somebody has locked is tried again: a reader's lock is short.
const MAX_TRIES: usize = 50;

/// Between two of these: a second in all.
const PAUSE: Duration = Duration::from_millis(20);

/// A process ID with its newline is shorter.
const MAX_BYTES: usize = 32;

/// Follows no link, waits for nobody, and gets no terminal.
const SAFE_OPEN_FLAGS: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Whether flock(2) and fcntl(2) do not see each other's locks, as on Linux alone.
const LOCKS_ARE_APART: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A PID file that is ours; it is removed in the end, or emptied, where that may be done.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// Holds the locks, and cannot write.
    file: File,
}

/// What came of trying to take the file once.
enum Attempt {
    Taken(File),
    /// Somebody else has changed it meanwhile.
    Changed,
    /// Somebody else has a lock on it, who need not be a txlb.
    Locked(File),
}

impl PidFile {
    /// Takes the PID file: a stale one is taken over, one that is held is not.
    ///
    /// A reader's lock is waited for, for a second. Nothing is written to what is no PID
    /// file. Root takes over none that others could write to: it puts a new one in its place.
    pub(crate) fn take(path: &Path) -> Result<PidFile, Exit> {
        take(path, MAX_TRIES)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody may have removed it, and another txlb made its own there; in a jail it
        // is out of reach.
        if is_at(&self.path, &self.file) && std::fs::remove_file(&self.path).is_err() {
            // Its folder is somebody else's, and maybe the file as well: then the number
            // stays, which counts for nothing without the locks.
            let _ = open_to_write(&self.path, &self.file).map(|it| it.map(|it| it.set_len(0)));
        }
    }
}

fn take(path: &Path, tries: usize) -> Result<PidFile, Exit> {
    let mut locked = None;
    for _ in 0..tries {
        match attempt(path).map_err(|error| cannot_take(path, &error))? {
            Attempt::Taken(file) => {
                return Ok(PidFile {
                    path: path.to_owned(),
                    file,
                });
            }
            Attempt::Changed => locked = None,
            Attempt::Locked(mut file) => {
                if let Some(pid) = txlb_holder(&mut file) {
                    return Err(held_error(path, pid));
                }
                // A reader, or a txlb that is just writing its number.
                locked = Some(file);
                thread::sleep(PAUSE);
            }
        }
    }
    let why = match locked {
        Some(_) => {
            "another process has kept a lock on it for a second: no txlb, or one that is starting"
        }
        None => "it is replaced as soon as it is made",
    };
    Err(cannot_take(path, &io::Error::other(why)))
}

fn attempt(path: &Path) -> io::Result<Attempt> {
    let mut file = match open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path)?;
            return Ok(Attempt::Changed);
        }
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Attempt::Locked(file)),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Whoever held it may have removed it since it was opened: then a lock on what is left
    // of it keeps nobody out.
    if !is_at(path, &file) {
        return Ok(Attempt::Changed);
    }
    if !is_pid_file(&content(&mut file)?) {
        let why = "there is something else than a process ID in it, which is left as it is";
        return Err(io::Error::other(why));
    }
    if txlb_holder(&mut file).is_some() {
        return Ok(Attempt::Locked(file));
    }
    if !is_ours_alone(&file)? {
        // Only this name of it. Whoever else wants to take it waits for our lock, and then
        // finds that the file is not there any more.
        std::fs::remove_file(path)?;
        create(path)?;
        return Ok(Attempt::Changed);
    }
    let number = format!("{}\n", std::process::id());
    let Some(mut writer) = open_to_write(path, &file)? else {
        return Ok(Attempt::Changed);
    };
    writer.set_len(0)?;
    writer.write_all(number.as_bytes())?;
    drop(writer);
    if !lock_for_good(&mut file, number.as_bytes())? {
        return Ok(Attempt::Changed);
    }
    // Anybody may know, whatever the umask; somebody else's file stays as it is. Until now
    // nobody could have had a lock on a new one: `F_GETLK` tells of the oldest.
    let _ = file.set_permissions(Permissions::from_mode(0o644));
    Ok(Attempt::Taken(file))
}

/// Takes the record lock; says whether the file is still ours.
fn lock_for_good(file: &mut File, number: &[u8]) -> io::Result<bool> {
    if !LOCKS_ARE_APART {
        // Our own exclusive lock would be in the way of the other one. On some systems it is
        // given back for a moment: whoever has written its number by then has won.
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    match fcntl_lock(&*file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(LOCKS_ARE_APART || content(file)? == number),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The process that holds a PID file which has its number.
#[derive(Debug)]
pub(crate) struct RunningProcess {
    pid: Pid,
    path: PathBuf,
    file: File,
}

impl RunningProcess {
    /// Who holds the PID file at `path`.
    pub(crate) fn find(path: &Path) -> Result<RunningProcess, Exit> {
        let other = |what: &str| other(path, what);
        let mut file = open_to_read(path).map_err(|error| {
            let status = match error.kind() {
                io::ErrorKind::NotFound => Exit::NO_FILE,
                io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
                _ => Exit::OTHER,
            };
            let advice = match status {
                Exit::NO_FILE => ": is txlb running? (-p says where its PID file is)",
                _ => "",
            };
            let path = path.display();
            Exit::new(status, &format!("txlb: {path}: {error}{advice}"))
        })?;
        let metadata = file.metadata();
        if metadata.map_err(|error| other(&error.to_string()))?.nlink() != 1 {
            return Err(other("the file has another name: it is not trusted"));
        }
        let bytes = content(&mut file).map_err(|error| other(&error.to_string()))?;
        let holder = expect_holder(path, &file)?;
        match pid_in(&bytes) {
            Some(pid) if pid.as_raw_nonzero().get() == holder => Ok(RunningProcess {
                pid,
                path: path.to_owned(),
                file,
            }),
            Some(pid) => {
                let pid = pid.as_raw_nonzero();
                let why = format!("process {pid} does not hold it, but {}", shown(holder));
                Err(other(&why))
            }
            None => Err(other("there is no process ID in it")),
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal, if it still holds the file.
    pub(crate) fn send(&self, signal: Signal) -> Result<(), Exit> {
        let pid = self.pid.as_raw_nonzero();
        if expect_holder(&self.path, &self.file)? != pid.get() {
            return Err(other(
                &self.path,
                &format!("process {pid} does not hold it any more"),
            ));
        }
        kill_process(self.pid, signal).map_err(|error| {
            let status = match error {
                Errno::PERM => Exit::NO_PERMISSION,
                _ => Exit::OTHER,
            };
            Exit::new(status, &format!("txlb: process {pid}: {error}"))
        })
    }
}

/// The process that holds the file, which there has to be.
fn expect_holder(path: &Path, file: &File) -> Result<i32, Exit> {
    holder(file)
        .map_err(|error| other(path, &error.to_string()))?
        .ok_or_else(|| other(path, "no txlb holds it: none is running"))
}

fn other(path: &Path, what: &str) -> Exit {
    Exit::new(Exit::OTHER, &format!("txlb: {}: {what}", path.display()))
}

/// Opens what is no device, no pipe and no link: root may be led to it.
fn open_to_read(path: &Path) -> io::Result<File> {
    expect_file(&symlink_metadata(path)?)?;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(SAFE_OPEN_FLAGS.bits().cast_signed())
        .open(path)?;
    expect_file(&opened.metadata()?)?;
    Ok(opened)
}

/// The same file, for as long as it takes to write to it; `None` if it is another by now.
fn open_to_write(path: &Path, file: &File) -> io::Result<Option<File>> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(SAFE_OPEN_FLAGS.bits().cast_signed())
        .open(path)?;
    Ok((id(&opened.metadata()?) == id(&file.metadata()?)).then_some(opened))
}

/// Makes an empty one that nobody else can open yet. It may be there by now.
fn create(path: &Path) -> io::Result<()> {
    let mut new = OpenOptions::new();
    match new.write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn expect_file(metadata: &Metadata) -> io::Result<()> {
    let why = match metadata.file_type() {
        it if it.is_file() => return Ok(()),
        it if it.is_symlink() => "it is a link, which is not followed",
        _ => "it is no regular file",
    };
    Err(io::Error::other(why))
}

/// Whether nobody but us decides what is in it, and nobody else has a lock on it, of whom
/// `F_GETLK` would tell first.
fn is_ours_alone(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let is_roots = metadata.uid() == 0 && metadata.mode() & 0o022 == 0;
    let is_safe = metadata.nlink() == 1 && (is_roots || !geteuid().is_root());
    Ok(is_safe && holder(file)?.is_none())
}

/// What makes a file the same one, whatever its name.
fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Whether the file at the path is this one.
fn is_at(path: &Path, file: &File) -> bool {
    match (symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(held)) => id(&there) == id(&held),
        _ => false,
    }
}

/// Another process that has a record lock on it. Where that cannot be seen, as from within
/// a container, it is no number of a process.
#[allow(
    clippy::cast_possible_truncation,
    reason = "small constants, whose type differs between systems"
)]
fn holder(file: &File) -> io::Result<Option<i32>> {
    let mut lock = libc::flock {
        // Exclusive, so that a shared one is in the way as well.
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
        #[cfg(any(target_os = "freebsd", target_os = "illumos", target_os = "solaris"))]
        l_sysid: 0,
        #[cfg(any(target_os = "illumos", target_os = "solaris"))]
        l_pad: [0; 4],
    };
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((lock.l_type != libc::F_UNLCK as _).then_some(lock.l_pid))
}

/// The process that holds it and whose number is in it, if there is one.
fn txlb_holder(file: &mut File) -> Option<Pid> {
    let pid = pid_in(&content(file).ok()?)?;
    let holder = holder(file).ok()??;
    (pid.as_raw_nonzero().get() == holder).then_some(pid)
}

fn shown(holder: i32) -> String {
    match holder {
        1.. => format!("process {holder}"),
        _ => "one that cannot be seen from here".to_owned(),
    }
}

/// What is in it, as far as that can be a process ID.
fn content(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether somebody may have put this there as a process ID.
fn is_pid_file(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_BYTES && bytes.trim_ascii().iter().all(u8::is_ascii_digit)
}

/// The process ID, if this is one to the letter. 0 and negative numbers would be groups of
/// processes, and 1 is never txlb's own.
fn pid_in(bytes: &[u8]) -> Option<Pid> {
    let text = std::str::from_utf8(bytes.strip_suffix(b"\n").unwrap_or(bytes)).ok()?;
    let number: i32 = text.parse().ok().filter(|number| *number > 1)?;
    Pid::from_raw(number).filter(|_| text == number.to_string())
}

fn held_error(path: &Path, pid: Pid) -> Exit {
    let (path, pid) = (path.display(), pid.as_raw_nonzero());
    Exit::new(
        Exit::CANNOT_CREATE,
        &format!("txlb: {path} is locked: txlb is running already (process {pid})"),
    )
}

fn cannot_take(path: &Path, error: &io::Error) -> Exit {
    let advice = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::Other => {
            " (-p says where the PID file is to be)"
        }
        _ => "",
    };
    Exit::new(
        Exit::CANNOT_CREATE,
        &format!("txlb: {}: {error}{advice}", path.display()),
    )
}

#[cfg(test)]
mod tests;
