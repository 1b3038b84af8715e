//! `-D`: this program, once more and on its own.
//!
//! A fork would be unsafe code, so the first process starts a second one, waits until
//! that says that it listens, and ends as well as it did. The second has its errors on
//! the first's standard error until then. What it serves is not known here.

use std::fs::{File, OpenOptions};
use std::io;
use std::io::{Read, Write, pipe};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::process::{getpid, getppid, setsid, umask};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use signal_hook::consts::{SIGCHLD, SIGXFSZ};

use crate::exit::Exit;

/// How the second process knows that it is: the number of the first.
const FIRST_PROCESS: &str = "TXLB_DAEMON_OF";

/// What others may not do with the files that a daemon makes.
const UMASK: Mode = Mode::WGRP.union(Mode::RWXO);

/// The second process, which has yet to say that all is well.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Opened while there is one: after a change of the root there may be none.
    null: File,
}

/// Whether this is the second process. Its standard output is the first one's pipe.
pub(crate) fn is_second() -> bool {
    let first = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    first.is_some() && std::env::var(FIRST_PROCESS).ok() == first
}

/// Starts the second process. Returns once that listens, or as it ended.
pub(crate) fn launch() -> Result<(), Exit> {
    let failed = |error: io::Error| Exit::new(Exit::OTHER, &format!("txlb: -D: {error}"));
    let (mut ready, their_end) = pipe().map_err(failed)?;
    // The command, which goes at once, would hold the pipe open.
    let mut second = Command::new(executable())
        .args(std::env::args_os().skip(1))
        // It leaves this folder; `-s reload` wants to know from where its paths are.
        .envs(std::env::current_dir().map(|folder| ("PWD", folder)))
        .env(FIRST_PROCESS, getpid().as_raw_nonzero().to_string())
        .stdin(open_null().map_err(failed)?)
        .stdout(their_end)
        .spawn()
        .map_err(failed)?;
    match ready.read(&mut [0]) {
        Ok(1..) => Ok(()),
        Ok(0) => exit_of(second.wait().map_err(failed)?),
        Err(error) => Err(failed(error)),
    }
}

/// The file that is running, also if another has taken its place by now.
pub(crate) fn executable() -> PathBuf {
    let this = PathBuf::from("/proc/self/exe");
    match std::env::current_exe() {
        // By its own name, which is the daemon's in lists of processes, if it still has it.
        Ok(path) if path.exists() || !this.exists() => path,
        Ok(_) => this,
        // Where nobody knows, as in a root without /proc, whoever started it did.
        Err(_) => std::env::args_os().next().unwrap_or_default().into(),
    }
}

/// Where nothing comes from, and all goes.
fn open_null() -> io::Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/null");
    opened.map_err(|error| io::Error::new(error.kind(), format!("/dev/null: {error}")))
}

/// The second process has said why itself, if it could.
fn exit_of(status: ExitStatus) -> Result<(), Exit> {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match (code, status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Exit::new(code, "")),
        (None, signal) => {
            let signal = signal.map_or_else(String::new, |signal| format!(" by signal {signal}"));
            let why = format!("txlb: -D: the daemon was ended{signal} before it listened");
            Err(Exit::new(Exit::OTHER, &why))
        }
    }
}

impl Daemon {
    /// Leaves the terminal, the folder and the umask of whoever started it.
    pub(crate) fn begin() -> Result<Daemon, Exit> {
        let begin = || {
            setsid()?;
            umask(UMASK);
            std::env::set_current_dir("/")?;
            open_null()
        };
        let null = begin()
            .map_err(|error: io::Error| Exit::new(Exit::OTHER, &format!("txlb: -D: {error}")))?;
        Ok(Daemon { null })
    }

    /// Lets the first process return, and says nothing to anybody any more.
    pub(crate) fn detach(self) -> Result<(), Exit> {
        let null = &self.null;
        // If it was killed meanwhile, whoever did that knows.
        let _ = io::stdout()
            .write_all(b"\n")
            .and_then(|()| io::stdout().flush());
        [dup2_stdin(null), dup2_stdout(null), dup2_stderr(null)]
            .into_iter()
            .collect::<rustix::io::Result<()>>()
            .map_err(|error| Exit::other(&error.into()))
    }
}

/// Starts the process afresh. To be called while there is one thread: others have the
/// signal mask of the one that made them.
///
/// # Errors
/// The system's.
pub(crate) fn reset_inherited_state() -> io::Result<()> {
    // What was blocked comes now, and does what it would have done.
    SigSet::empty().thread_set_mask()?;
    // A handler that does nothing, since to set the default is unsafe code. An ignored
    // SIGCHLD leaves no exit status to wait for (`-D`). SIGXFSZ ends a process that writes
    // past the limit of a file's size: with a handler, write(2) fails as on a full disk.
    for signal in [SIGCHLD, SIGXFSZ] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    let before = umask(Mode::RWXG | Mode::RWXO);
    umask(usable_umask(before));
    Ok(())
}

/// The owner may use what is made, and not everybody may write to it.
fn usable_umask(mask: Mode) -> Mode {
    (mask - Mode::RWXU) | Mode::WOTH
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn the_first_ends_as_the_second_did() {
        assert!(exit_of(ExitStatus::from_raw(0)).is_ok());
        let refused =
            exit_of(ExitStatus::from_raw(Exit::CANNOT_BIND.into())).map_err(|it| it.status);
        // Without a shift, the number is a signal's.
        assert_eq!(refused, Err(Exit::OTHER));
        let raw = i32::from(Exit::CANNOT_BIND) << 8;
        let Err(exit) = exit_of(ExitStatus::from_raw(raw)) else {
            panic!()
        };
        assert_eq!(
            (exit.status, exit.message.as_str()),
            (Exit::CANNOT_BIND, "")
        );
        let Err(killed) = exit_of(ExitStatus::from_raw(9)) else {
            panic!()
        };
        assert!(killed.message.contains("by signal 9"), "{}", killed.message);
    }

    #[test]
    fn a_mark_of_another_process_is_none() {
        assert!(!is_second());
    }

    #[test]
    fn no_signal_stays_blocked() {
        SigSet::all().thread_block().unwrap();
        reset_inherited_state().unwrap();
        let blocked = SigSet::thread_get_mask().unwrap();
        assert_eq!(blocked.iter().collect::<Vec<Signal>>(), []);
    }

    #[test]
    fn the_umask_is_kept_where_it_does_no_harm() {
        let mask = |bits| usable_umask(Mode::from_raw_mode(bits)).as_raw_mode();
        assert_eq!([0o027, 0o022, 0o077].map(mask), [0o027, 0o022, 0o077]);
        assert_eq!([0o777, 0o700, 0].map(mask), [0o077, 0o002, 0o002]);
    }
}
