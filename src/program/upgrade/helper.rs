//! The helper: a small process outside of chroot, change of user and sandbox, which starts the
//! program at the same path when it is asked.
//!
//! It is started before txlb gives up rights, keeps the folder, arguments, environment and rights
//! that txlb was started with, and waits. All that it can be asked for is to start that one program
//! with those arguments, to end it again, and to write its number into the PID file. It ends with the
//! process that started it, or once another one has taken over.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf, absolute};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{io, process};

use rustix::process::getppid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use txlb::os::passing::{receive_descriptor, send_descriptor};

use super::takeover::SUCCESSOR_OF;
use crate::daemon::{FIRST_PROCESS, executable, is_child_of};
use crate::exit::Exit;
use crate::pidfile;

/// Environment variable that marks the helper. Its value is the process ID of its parent.
const HELPER_OF: &str = "TXLB_HELPER_OF";

/// Environment variable with the path of the program that the helper starts.
const PROGRAM: &str = "TXLB_UPGRADE_TO";

/// Its name in the list of processes.
const NAME: &str = "txlb-helper";

/// How long the helper may take for an answer: it starts, ends or waits for a process.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the helper's end is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(1);

const START: u8 = b's';
const COMMIT: u8 = b'c';
const ABORT: u8 = b'a';

/// Variables that speak of another process than the one that is started.
const OTHERS: [&str; 7] = [
    HELPER_OF,
    PROGRAM,
    FIRST_PROCESS,
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "WATCHDOG_PID",
];

/// The connection to the helper, or the reason why there is none.
#[derive(Debug)]
pub(crate) struct Helper(Result<Connection, String>);

#[derive(Debug)]
struct Connection {
    stream: BufReader<UnixStream>,
    process: Child,
}

impl Helper {
    /// Starts it. Call it before the folder, the root or the user changes, and before there is
    /// anything that other processes must not inherit.
    pub(crate) fn start_early() -> Helper {
        let started = spawn().map_err(|error| format!("the helper cannot be started: {error}"));
        Helper(started)
    }

    /// There is none.
    pub(crate) fn none(why: &str) -> Helper {
        Helper(Err(why.to_owned()))
    }

    /// Has it start the program, with these as standard input and error. Returns the process ID.
    pub(super) fn start(&mut self, stdin: impl AsFd, stderr: impl AsFd) -> Result<u32, String> {
        let started = self.ask(START, &[stdin.as_fd(), stderr.as_fd()])?;
        match started.split_once(' ') {
            Some(("started", process)) => process
                .parse()
                .map_err(|_| "the helper answers what is not understood".to_owned()),
            _ => Err(started),
        }
    }

    /// The program serves: has its number written into the PID file, and the helper end.
    pub(super) fn commit(&mut self) -> Result<(), String> {
        match self.ask(COMMIT, &[])?.as_str() {
            "done" => {
                self.leave("another process has taken over already");
                Ok(())
            }
            why => Err(why.to_owned()),
        }
    }

    /// Has the program ended; says how it did, or what kept it from that.
    pub(super) fn abort(&mut self) -> String {
        self.ask(ABORT, &[]).unwrap_or_else(|why| why)
    }

    fn ask(
        &mut self,
        what: u8,
        descriptors: &[std::os::fd::BorrowedFd<'_>],
    ) -> Result<String, String> {
        let connection = &mut self.0.as_mut().map_err(|why| why.clone())?.stream;
        let mut ask = || {
            connection.get_ref().write_all(&[what])?;
            for descriptor in descriptors {
                send_descriptor(connection.get_ref(), *descriptor)?;
            }
            let mut answer = String::new();
            connection.read_line(&mut answer)?;
            match answer.strip_suffix('\n') {
                Some(answer) => Ok(answer.to_owned()),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        let answer: io::Result<String> = ask();
        answer.map_err(|error| {
            let why = format!("the helper, which starts programs for txlb, is gone: {error}");
            self.leave(&why);
            why
        })
    }

    /// Has it end, if it has not, and leaves no zombie. It may belong to another user: it ends
    /// since the connection does.
    fn leave(&mut self, why: &str) {
        let Ok(Connection {
            mut stream,
            mut process,
        }) = std::mem::replace(self, Helper::none(why)).0
        else {
            return;
        };
        // Its end of the connection closes when it ends.
        let _ = stream.get_ref().shutdown(Shutdown::Write);
        let _ = stream.get_ref().set_read_timeout(Some(END_TIMEOUT));
        let has_ended = match stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        };
        if has_ended {
            let _ = process.wait();
        }
    }
}

fn spawn() -> io::Result<Connection> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    ours.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let mut helper = Command::new(executable());
    without_others(&mut helper);
    let process = helper
        .arg0(NAME)
        .args(env::args_os().skip(1))
        .env(HELPER_OF, process::id().to_string())
        .env(PROGRAM, program())
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // What is typed at a terminal is for txlb.
        .process_group(0)
        .spawn()?;
    Ok(Connection {
        stream: BufReader::new(ours),
        process,
    })
}

fn without_others(command: &mut Command) {
    for name in OTHERS.iter().chain([&SUCCESSOR_OF]) {
        command.env_remove(name);
    }
}

/// The path by which this program was started: another one may be there when it is needed.
fn program() -> PathBuf {
    let named: OsString = env::args_os().next().unwrap_or_default();
    let named = Path::new(&named);
    let folders = env::var_os("PATH").unwrap_or_default();
    let has_folder = named.as_os_str().as_encoded_bytes().contains(&b'/');
    let candidates: Vec<PathBuf> = match has_folder {
        true => vec![named.to_owned()],
        false => env::split_paths(&folders)
            .map(|it| it.join(named))
            .collect(),
    };
    let mut absolute = candidates.iter().filter_map(|it| absolute(it).ok());
    absolute
        .find(|it| is_program(it))
        .unwrap_or_else(executable)
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// Whether this process was started as a helper. Its parent may be gone already: then it must not
/// serve in its place. Test: the_pid_file_is_locked_and_gone_afterwards.
pub(crate) fn is_helper() -> bool {
    env::var_os(HELPER_OF).is_some()
}

/// Serves the process that has started this one, until that ends or another has taken over.
/// `pid_file` is the one of the command line.
pub(crate) fn run(pid_file: Option<PathBuf>) -> Result<(), Exit> {
    if !is_child_of(HELPER_OF) {
        return Ok(());
    }
    let failed = |error: io::Error| Exit::from_io(&error);
    // Signals to a whole group, or from systemd to all processes of the unit, are for txlb.
    for signal in [SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, Arc::default()).map_err(failed)?;
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    let parent = getppid().map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned());
    let mut service = Service {
        socket: UnixStream::from(stdin),
        pid_file,
        parent,
        child: None,
    };
    service.serve().map_err(failed)
}

/// The helper at work.
struct Service {
    socket: UnixStream,
    pid_file: Option<PathBuf>,
    parent: u32,
    child: Option<Child>,
}

impl Service {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let mut what = [0];
            match (&self.socket).read_exact(&mut what) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            let answer = match what[0] {
                START => self.start()?,
                COMMIT => self.commit(),
                ABORT => self.abort(),
                _ => break,
            };
            (&self.socket).write_all(format!("{answer}\n").as_bytes())?;
            if answer == DONE {
                // From now on the new process is no child of this one, so that systemd hears of
                // its end.
                return Ok(());
            }
        }
        // The process that was to be replaced is gone, and with it what it would have handed over.
        self.abort();
        Ok(())
    }

    fn start(&mut self) -> io::Result<String> {
        let (stdin, stderr) = (
            receive_descriptor(&self.socket)?,
            receive_descriptor(&self.socket)?,
        );
        self.abort();
        let program = env::var_os(PROGRAM).unwrap_or_default();
        let mut command = Command::new(&program);
        without_others(&mut command);
        let started = command
            .args(env::args_os().skip(1))
            .env(SUCCESSOR_OF, process::id().to_string())
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn();
        Ok(match started {
            Ok(child) => {
                let process = child.id();
                self.child = Some(child);
                format!("started {process}")
            }
            Err(error) => format!(
                "{} cannot be started: {error}",
                Path::new(&program).display()
            ),
        })
    }

    fn commit(&mut self) -> String {
        let Some(child) = &self.child else {
            return "no process was started".to_owned();
        };
        let written = match &self.pid_file {
            Some(path) => pidfile::replace_number(path, self.parent, child.id()),
            None => Ok(()),
        };
        match (written, &self.pid_file) {
            (Err(error), Some(path)) => {
                let error = format!("the PID file {}: {error}", path.display());
                self.abort();
                error
            }
            _ => DONE.to_owned(),
        }
    }

    /// Ends the program, if it runs; says how it ended.
    fn abort(&mut self) -> String {
        let Some(mut child) = self.child.take() else {
            return "was not started".to_owned();
        };
        // Its own end comes first, if it is near.
        let ended = match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => child.kill().and_then(|()| child.wait()),
        };
        match ended {
            Ok(status) => ending(status),
            Err(error) => format!("cannot be ended: {error}"),
        }
    }
}

const DONE: &str = "done";

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with the exit status {code}"),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    }
}
