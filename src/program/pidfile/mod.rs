//! The PID file: one txlb at a time, and proof that its process ID is right.
//!
//! There are two locks, on one read-only descriptor. The user that txlb becomes must not change
//! the number that root sends signals to.
//!
//! * flock(2), exclusive, keeps a second txlb out. A read-only descriptor will do for it, and
//!   scripts can ask for it with flock(1).
//! * A record lock of fcntl(2), shared: `F_GETLK` names its owner, which flock(2) does not. An
//!   exclusive one would need a writable descriptor. A process loses it when it closes any
//!   descriptor of the file. So it is taken last, and nothing opens the file again.
//!
//! The number in the file counts only if that process holds the record lock. Test:
//! signals_are_sent_to_the_holder_of_the_lock.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError, symlink_metadata};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use txlb::os::handed_over::{self, Shared};

use crate::exit::Exit;

/// Tries for a locked file: a reader's lock is short.
const MAX_TRIES: usize = 50;

/// Pause between tries: a second in all.
const PAUSE: Duration = Duration::from_millis(20);

/// Tries to find a holder whose number is in the file.
const FIND_TRIES: usize = 5;

/// Maximum bytes of a PID file.
const MAX_BYTES: usize = 32;

/// Follows no symbolic link, does not wait for a pipe, and gets no controlling terminal.
const SAFE_OPEN_FLAGS: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Whether flock(2) and fcntl(2) locks ignore each other. They do on Linux only.
const LOCKS_ARE_APART: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A PID file that this process holds. Dropping it removes the file, or empties it if it may.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// Holds both locks; read-only. Test: the_descriptor_that_is_kept_cannot_write.
    file: Arc<File>,
    /// Another process has taken it over.
    is_disowned: bool,
}

/// The result of one try.
enum Attempt {
    Taken(File),
    /// Another process has changed the file meanwhile.
    Changed,
    /// Another process has locked it, which may not be a txlb.
    Locked(File),
}

impl PidFile {
    /// Takes the PID file, also a stale one.
    ///
    /// It waits a second for a reader's lock. It writes to no file that is not a PID file. Root
    /// replaces a file that others could write to.
    pub(crate) fn take(path: &Path) -> Result<PidFile, Exit> {
        take(path, MAX_TRIES)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the PID file over from the process whose descriptor of it `file` is: flock(2) belongs to
    /// both, and the record lock is taken beside the other one's. The number in it is for
    /// [`replace_number`].
    pub(crate) fn take_over(path: &Path, file: OwnedFd) -> Result<PidFile, Exit> {
        let file = File::from(file);
        let take = || {
            if !is_at(path, &file) {
                return Err(io::Error::other("it is another file by now"));
            }
            Ok(fcntl_lock(&file, FlockOperation::NonBlockingLockShared)?)
        };
        take().map_err(|error: io::Error| cannot_take(path, &error))?;
        Ok(PidFile {
            path: path.to_owned(),
            file: Arc::new(file),
            is_disowned: false,
        })
    }

    /// Its descriptor, for a process that takes over.
    pub(crate) fn hand_over(&self) -> Shared {
        Arc::<File>::clone(&self.file)
    }

    /// Another process has taken it over: this one only closes it.
    pub(crate) fn disown(mut self) {
        self.is_disowned = true;
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_disowned || handed_over::is_on_trial() {
            return;
        }
        // Another txlb may have its file there by now. After chroot(2) the path leads elsewhere.
        if is_at(&self.path, &self.file) && std::fs::remove_file(&self.path).is_err() {
            // `/run/txlb` and the file are root's. Then the number stays, and without the locks it
            // counts for nothing.
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
                    file: Arc::new(file),
                    is_disowned: false,
                });
            }
            Attempt::Changed => locked = None,
            Attempt::Locked(mut file) => {
                if let Some(pid) = txlb_holder(&mut file) {
                    return Err(held_error(path, pid));
                }
                // A reader, or a txlb that is about to write its number.
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
    // The last holder may have removed it since it was opened. A lock on a removed file keeps
    // nobody out. Test: a_lock_on_what_is_gone_is_not_enough.
    if !is_at(path, &file) {
        return Ok(Attempt::Changed);
    }
    if !is_pid_file(&content(&mut file)?) {
        let why = "it contains something else than a process ID, so it is left alone";
        return Err(io::Error::other(why));
    }
    if txlb_holder(&mut file).is_some() {
        return Ok(Attempt::Locked(file));
    }
    if !is_ours_alone(&file)? {
        // Removes this name only. Another process that wants the file waits for our lock, and then
        // finds that the file is gone. Test:
        // a_file_with_a_second_name_is_replaced_and_not_written_to.
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
    // Everybody may read it, whatever the umask; another owner's file stays as it is. Until here
    // mode 0600 kept others from locking a new file: of several holders, `F_GETLK` names one, on
    // Linux the oldest. Test: a_readers_lock_is_waited_for_and_named_if_it_stays.
    let _ = file.set_permissions(Permissions::from_mode(0o644));
    Ok(Attempt::Taken(file))
}

/// Replaces the number in the PID file by that of the process that has taken over. For a process
/// with the rights that txlb was started with; it must not hold the file itself.
///
/// # Errors
/// The system's, or the file does not have the number `from`, or others may have written it.
pub(crate) fn replace_number(path: &Path, from: u32, to: u32) -> io::Result<()> {
    let mut file = open_to_read(path)?;
    let metadata = file.metadata()?;
    if metadata.uid() != geteuid().as_raw() || metadata.nlink() != 1 {
        return Err(io::Error::other(
            "it belongs to another user, or has another name",
        ));
    }
    let number = pid_in(&content(&mut file)?).map(|pid| pid.as_raw_nonzero().get());
    if number != i32::try_from(from).ok() {
        return Err(io::Error::other(format!(
            "it does not have the number {from}"
        )));
    }
    let Some(mut writer) = open_to_write(path, &file)? else {
        return Err(io::Error::other("it is another file by now"));
    };
    // In this order there is always a number, or what is no number at all.
    let text = format!("{to}\n");
    writer.write_all(text.as_bytes())?;
    writer.set_len(text.len() as u64)
}

/// Takes the record lock. Returns whether the file is still ours.
fn lock_for_good(file: &mut File, number: &[u8]) -> io::Result<bool> {
    if !LOCKS_ARE_APART {
        // On the BSDs, macOS and illumos our exclusive lock would block the record lock. Some
        // systems release it for a moment on the way to a shared one: the process that wrote its
        // number last has won.
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

/// The process whose number is in the PID file and that holds its record lock.
#[derive(Debug)]
pub(crate) struct RunningProcess {
    pid: Pid,
    path: PathBuf,
    file: File,
}

impl RunningProcess {
    /// Finds the holder of the PID file at `path`. While another process takes it over, number and
    /// holder differ for a moment.
    pub(crate) fn find(path: &Path) -> Result<RunningProcess, Exit> {
        let mut tries = 0..FIND_TRIES;
        loop {
            match RunningProcess::find_once(path) {
                Err(exit) if exit.status == Exit::OTHER && tries.next().is_some() => {
                    thread::sleep(PAUSE);
                }
                found => return found,
            }
        }
    }

    fn find_once(path: &Path) -> Result<RunningProcess, Exit> {
        let other = |what: &str| other(path, what);
        let mut file = open_to_read(path).map_err(|error| {
            let status = match error.kind() {
                io::ErrorKind::NotFound => Exit::NO_FILE,
                io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
                _ => Exit::OTHER,
            };
            let advice = match status {
                Exit::NO_FILE => {
                    ": is txlb running? (-p says where its PID file is; in the foreground there is one only with -p)"
                },
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
                let why = format!(
                    "process {pid} does not hold it, but {}",
                    describe_holder(holder)
                );
                Err(other(&why))
            }
            None => Err(other("there is no process ID in it")),
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether another process has taken the file over since it was found.
    pub(crate) fn is_replaced(&mut self) -> bool {
        txlb_holder(&mut self.file).is_some_and(|holder| holder != self.pid)
    }

    /// Sends a signal, if the process still holds the file.
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

/// The holder of the record lock; an error if there is none.
fn expect_holder(path: &Path, file: &File) -> Result<i32, Exit> {
    holder(file)
        .map_err(|error| other(path, &error.to_string()))?
        .ok_or_else(|| other(path, "no txlb holds it: none is running"))
}

fn other(path: &Path, what: &str) -> Exit {
    Exit::new(Exit::OTHER, &format!("txlb: {}: {what}", path.display()))
}

/// Opens regular files only: others could lead root to any file.
fn open_to_read(path: &Path) -> io::Result<File> {
    expect_file(&symlink_metadata(path)?)?;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(SAFE_OPEN_FLAGS.bits().cast_signed())
        .open(path)?;
    expect_file(&opened.metadata()?)?;
    Ok(opened)
}

/// Opens the same file for writing; `None` if the path leads to another file by now.
fn open_to_write(path: &Path, file: &File) -> io::Result<Option<File>> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(SAFE_OPEN_FLAGS.bits().cast_signed())
        .open(path)?;
    Ok((id(&opened.metadata()?) == id(&file.metadata()?)).then_some(opened))
}

/// Makes an empty file that others cannot open. It is no error if the file exists by now.
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

/// Whether only this user can write to the file, and no other process has a lock on it.
fn is_ours_alone(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let is_roots = metadata.uid() == 0 && metadata.mode() & 0o022 == 0;
    let is_safe = metadata.nlink() == 1 && (is_roots || !geteuid().is_root());
    Ok(is_safe && holder(file)?.is_none())
}

/// Device and inode, which identify a file.
fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Whether `path` leads to this file.
fn is_at(path: &Path, file: &File) -> bool {
    match (symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(held)) => id(&there) == id(&held),
        _ => false,
    }
}

/// Another process that has a record lock on the file. It is 0 or less if that process is in
/// another PID namespace.
#[allow(
    clippy::cast_possible_truncation,
    reason = "small constants, whose type differs between systems"
)]
fn holder(file: &File) -> io::Result<Option<i32>> {
    let mut lock = libc::flock {
        // An exclusive lock, since shared ones conflict with it.
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

/// The holder of the record lock, if the file has its number. Test:
/// only_the_holder_of_the_file_is_signalled.
fn txlb_holder(file: &mut File) -> Option<Pid> {
    let pid = pid_in(&content(file).ok()?)?;
    let holder = holder(file).ok()??;
    (pid.as_raw_nonzero().get() == holder).then_some(pid)
}

fn describe_holder(holder: i32) -> String {
    match holder {
        1.. => format!("process {holder}"),
        _ => "one that cannot be seen from here".to_owned(),
    }
}

/// The first bytes, enough to see whether it is a process ID.
fn content(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the content may be a process ID.
fn is_pid_file(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_BYTES && bytes.trim_ascii().iter().all(u8::is_ascii_digit)
}

/// Parses a process ID, strictly. 0 and negative numbers would signal process groups; 1 is
/// never txlb.
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
            " (-p names another PID file)"
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
