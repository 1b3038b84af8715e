//! The program under test: start, log, reload, stop.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{TIMEOUT, until};

/// The program under test: the one built with the tests, or the one that `TXLB_PROGRAM` names
/// by its path from the top of the tree. So a release build can be tested by tests that are
/// not.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let named = env::var_os("TXLB_PROGRAM").filter(|name| !name.is_empty());
        let named = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_txlb").into());
        Path::new(env!("CARGO_MANIFEST_DIR")).join(named)
    });
    &PROGRAM
}

/// A temporary folder, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("txlb-test-{}-{number}", std::process::id());
        let path = env::temp_dir().join(name);
        // It may be left by a killed process with the same ID.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and moves it into place, so that readers see all of it.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let (new, file) = (self.file("new"), self.file(name));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &file).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running txlb; dropping it kills it.
pub(crate) struct Txlb {
    child: Child,
    lines: Receiver<String>,
    /// The log lines that the test has read so far.
    pub(crate) seen: Vec<String>,
    pub(crate) folder: Folder,
}

impl Txlb {
    /// Starts txlb with this configuration and two workers; waits until it serves.
    pub(crate) fn start(config: &str) -> Txlb {
        Txlb::start_with(config, &["-w", "2"])
    }

    /// Starts txlb with this configuration and more options.
    pub(crate) fn start_with(config: &str, options: &[&str]) -> Txlb {
        Txlb::start_by(Command::new(program()), config, options)
    }

    /// As `start_with`, with a limit of descriptors.
    pub(crate) fn start_limited(limit: u32, config: &str, options: &[&str]) -> Txlb {
        Txlb::start_under(&format!("-n {limit}"), config, options)
    }

    /// As `start_with`, with a limit of ulimit.
    pub(crate) fn start_under(limit: &str, config: &str, options: &[&str]) -> Txlb {
        let mut shell = Command::new("sh");
        let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script]).arg(program());
        Txlb::start_by(shell, config, options)
    }

    fn start_by(mut command: Command, config: &str, options: &[&str]) -> Txlb {
        let folder = Folder::new();
        let file = folder.write("config.xml", config);
        command.arg("-f").arg(file).args(options);
        let mut txlb = Txlb::spawn(command, folder);
        txlb.wait_for(" runs as process ");
        txlb
    }

    /// Runs a command that is, or becomes, txlb; does not wait.
    pub(crate) fn spawn(command: Command, folder: Folder) -> Txlb {
        Txlb::spawn_between([Stdio::null(), Stdio::null()], command, folder)
    }

    /// As `spawn`, with these for standard input and output.
    pub(crate) fn spawn_between(
        [stdin, stdout]: [Stdio; 2],
        mut command: Command,
        folder: Folder,
    ) -> Txlb {
        command.stdin(stdin).stdout(stdout);
        keep_state_in(&folder, &mut command);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = read_lines(child.stderr.take().unwrap());
        Txlb::new(child, lines, folder)
    }

    /// As `spawn`, but logs to `stderr`, which the test reads itself.
    pub(crate) fn spawn_logging_to(
        stderr: impl Into<Stdio>,
        mut command: Command,
        folder: Folder,
    ) -> Txlb {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        keep_state_in(&folder, &mut command);
        let mut child = command.stderr(stderr).spawn().unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        Txlb::new(child, lines, folder)
    }

    fn new(child: Child, lines: Receiver<String>, folder: Folder) -> Txlb {
        Txlb {
            child,
            lines,
            seen: Vec::new(),
            folder,
        }
    }

    /// Waits for the next log line that contains `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_any(&[text])
    }

    /// Waits for the next log line that contains one of `texts`.
    pub(crate) fn wait_for_any(&mut self, texts: &[&str]) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if texts.iter().any(|text| line.contains(text)) {
                        return line;
                    }
                }
                Err(error) => panic!("no {texts:?} ({error}) in:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// The log lines that have arrived so far.
    pub(crate) fn log(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// How many log lines so far contain `text`.
    pub(crate) fn count(&mut self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until so many log lines contain `text`, and no more. A line may come later than what it
    /// tells of.
    pub(crate) fn wait_for_count(&mut self, text: &str, expected: usize) {
        until(text, || self.count(text) >= expected);
        assert_eq!(self.count(text), expected, "{text}: {:#?}", self.seen);
    }

    /// The addresses of a service, from the log; none of its Unix sockets.
    pub(crate) fn addresses(&self, service: &str) -> Vec<SocketAddr> {
        let start = format!(" service {service} listens at ");
        let line = self
            .seen
            .iter()
            .rev()
            .find_map(|line| line.split_once(&start));
        let (_, list) = line.unwrap_or_else(|| panic!("{service} is not in {:?}", self.seen));
        list.split(", ")
            .filter(|address| !address.starts_with("unix:"))
            .map(|address| reachable(address.parse().unwrap()))
            .collect()
    }

    /// The first address of the service "web".
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses("web")[0]
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.file("config.xml")
    }

    /// Replaces the configuration, and waits until it is in force.
    pub(crate) fn reload(&mut self, config: &str) {
        self.folder.write("config.xml", config);
        self.signal(Signal::HUP);
        self.wait_for("config.xml is in force");
    }

    /// Whether one of the last lines, which a change has caused, contains `text`.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        let last = self.seen.iter().rev().take(5);
        last.into_iter().any(|line| line.contains(text))
    }

    /// Replaces the configuration by a wrong one; returns the error.
    pub(crate) fn reload_in_vain(&mut self, config: impl AsRef<[u8]>) -> String {
        self.folder.write("config.xml", config);
        self.signal(Signal::HUP);
        self.wait_for("the running configuration stays")
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            // The end of the process closes the pipe.
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("still there:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Sends SIGTERM and waits; returns the exit status.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait_exit().code()
    }
}

impl Drop for Txlb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps the state folder inside the test's folder.
fn keep_state_in(folder: &Folder, command: &mut Command) {
    command.env("STATE_DIRECTORY", folder.file("state"));
}

/// A run of txlb that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs txlb to its end.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Finished {
    let mut command = Command::new(program());
    command.args(arguments);
    finish(command)
}

/// Runs a command that is txlb to its end.
pub(crate) fn finish(mut command: Command) -> Finished {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pipes = [
        read_lines(child.stdout.take().unwrap()),
        read_lines(child.stderr.take().unwrap()),
    ];
    let deadline = Instant::now() + TIMEOUT;
    let [stdout, stderr] = pipes.map(|lines| {
        let mut text = String::new();
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => text += &(line + "\n"),
                Err(RecvTimeoutError::Disconnected) => return text,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    panic!("{command:?} does not end: {text}");
                }
            }
        }
    });
    Finished {
        status: child.wait().unwrap().code(),
        stdout,
        stderr,
    }
}

/// A `txlb` with these arguments, for `spawn` or `finish`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    command
}

/// A lock for `--demo`, which looks for free ports: two at the same time may find the same.
pub(crate) fn demo_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines of a pipe as they come.
pub(crate) fn read_lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    lines
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The address to connect to for a listener on any address.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}
