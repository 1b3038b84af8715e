//! `-D`: starts txlb again as a background process.
//!
//! fork(2) would need unsafe code. So the first process spawns a second one, waits until that
//! listens, and exits with its status. Until then the second one prints errors to the first
//! one's standard error. `reset_inherited_state` undoes what a parent process may have left
//! blocked or ignored.

use std::fs::{File, OpenOptions};
use std::io;
use std::io::{Read, Write, pipe};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::process::{getpid, getppid, setsid, umask};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use signal_hook::consts::{SIGCHLD, SIGXFSZ};

use crate::exit::Exit;

/// Environment variable that marks the second process. Its value is the first one's process ID.
pub(crate) const FIRST_PROCESS: &str = "TXLB_DAEMON_OF";

/// The daemon's umask: its files are not writable by the group and closed to others.
const UMASK: Mode = Mode::WGRP.union(Mode::RWXO);

/// The second process, before it has reported that it listens.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// /dev/null, opened early: after chroot(2) there may be none.
    null: File,
}

/// Whether this is the second process. Its standard output is a pipe to the first one.
pub(crate) fn is_second() -> bool {
    is_child_of(FIRST_PROCESS)
}

/// Whether the environment variable `name` has the ID of the parent process. Later children inherit
/// the variable, and have another parent.
pub(crate) fn is_child_of(name: &str) -> bool {
    let parent = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    parent.is_some() && std::env::var(name).ok() == parent
}

/// Starts the second process. Returns when that listens, or with its exit status.
pub(crate) fn launch() -> Result<(), Exit> {
    let failed = |error: io::Error| Exit::new(Exit::OTHER, &format!("txlb: -D: {error}"));
    let (mut ready, their_end) = pipe().map_err(failed)?;
    // Dropped at once: the command holds the write end, which would keep the pipe open.
    let mut arguments = std::env::args_os();
    let mut second = Command::new(executable())
        // An upgrade starts what is at this path then.
        .arg0(arguments.next().unwrap_or_default())
        .args(arguments)
        // The daemon changes its folder. `-s reload` needs the one where relative paths begin.
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

/// The path of the running program, even if its file has been replaced.
pub(crate) fn executable() -> PathBuf {
    let this = PathBuf::from("/proc/self/exe");
    match std::env::current_exe() {
        // A process that is started as `/proc/self/exe` is listed as `exe`, so its own path is
        // better. Test: it_listens_when_the_first_process_returns_and_is_on_its_own.
        Ok(path) if path.exists() || !this.exists() => path,
        Ok(_) => this,
        // Without `/proc`, as in some chroots, the first argument is the best guess.
        Err(_) => std::env::args_os().next().unwrap_or_default().into(),
    }
}

/// Opens `/dev/null` for reading and writing.
fn open_null() -> io::Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/null");
    opened.map_err(|error| io::Error::new(error.kind(), format!("/dev/null: {error}")))
}

/// The exit of the first process. The second one has printed its error already.
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
    /// Leaves the terminal, the folder and the umask of the parent process.
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

    /// Reports to the first process that all is well, and closes the standard streams.
    pub(crate) fn detach(self) -> Result<(), Exit> {
        let null = &self.null;
        // If the first process was killed, there is nothing to report to.
        let _ = io::stdout()
            .write_all(b"\n")
            .and_then(|()| io::stdout().flush());
        [dup2_stdin(null), dup2_stdout(null), dup2_stderr(null)]
            .into_iter()
            .collect::<rustix::io::Result<()>>()
            .map_err(|error| Exit::from_io(&error.into()))
    }
}

/// Resets blocked and ignored signals and an unusable umask. Call it while there is one thread:
/// new threads inherit the signal mask.
///
/// # Errors
/// The system's.
pub(crate) fn reset_inherited_state() -> io::Result<()> {
    // exec(2) passes on blocked signals. Pending ones arrive now. Test:
    // signals_that_were_blocked_are_obeyed.
    SigSet::empty().thread_set_mask()?;
    // exec(2) passes on ignored signals, too. Restoring the default action needs unsafe code, so a
    // handler that does nothing replaces it. An ignored SIGCHLD would hide the exit status of the
    // second process. SIGXFSZ kills a process at the file size limit: with a handler, write(2)
    // fails as on a full disk. Tests: signals_that_were_ignored_are_obeyed,
    // a_daemons_exit_status_is_told_where_children_are_ignored,
    // a_limit_of_a_files_size_costs_lines_of_the_log_alone.
    for signal in [SIGCHLD, SIGXFSZ] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    let before = umask(Mode::RWXG | Mode::RWXO);
    umask(usable_umask(before));
    Ok(())
}

/// Lets the owner use new files, and keeps others from writing to them.
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
        // A wait status without the shift by 8 bits is a signal's number.
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
