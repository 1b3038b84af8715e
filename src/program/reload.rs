//! `-s reload` and `-s upgrade`: check the configuration of the running txlb, then have it read it
//! again, or have this program take over.
//!
//! Without `-f`, the file's name comes from the running process's command line in `/proc`. That
//! process can change its command line. So the name only decides which file is checked, and the
//! file is read with the rights of that process's user.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid};

use crate::check;
use crate::cli::{self, CheckOutput, Command, ConfigSource, StartupOptions};
use crate::ctl;
use crate::exit::{self, Exit};
use crate::pidfile::RunningProcess;

/// How long an upgrade is waited for: it gives up after 30 s itself.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(35);

/// Pause between two looks at the PID file and at the processes: a program that fails at once is
/// there for some milliseconds.
const UPGRADE_PAUSE: Duration = Duration::from_millis(10);

/// Longer command lines and environments are cut off.
const MAX_BYTES: u64 = 1 << 20;

/// Where another process's configuration is, as a path for this process.
#[derive(Debug, PartialEq, Eq)]
enum RunningConfig {
    File(PathBuf, StartupOptions),
    /// It has no file, so a reload only reopens its log.
    NoFile,
}

/// Sends SIGHUP to the holder of the PID file if its configuration is good. `given` names the
/// file to check and how to read it.
pub(crate) fn run(pid_file: &Path, given: Option<(PathBuf, StartupOptions)>) -> Result<(), Exit> {
    let running = RunningProcess::find(pid_file)?;
    check_config(config_of(&running, given))?;
    running.send(Signal::HUP)
}

/// Has the txlb that holds the PID file replaced by the program at its path. Waits for the outcome.
///
/// The reason of a failure comes over the control socket. Without one, only the PID file tells.
pub(crate) fn upgrade(
    pid_file: &Path,
    given: Option<(PathBuf, StartupOptions)>,
) -> Result<(), Exit> {
    let running = RunningProcess::find(pid_file)?;
    let config = config_of(&running, given);
    // The check may become another user and change the root: what leads outside is opened before.
    let connection =
        control_socket(&config).and_then(|socket| ctl::ControlConnection::connect(&socket).ok());
    check_config(config)?;
    match connection {
        Some(connection) => ctl::ask(connection, "upgrade"),
        None => {
            running.send(Signal::USR2)?;
            await_successor(running)
        }
    }
}

/// Where the configuration of the running txlb is; an error says why that is not known.
fn config_of(
    running: &RunningProcess,
    given: Option<(PathBuf, StartupOptions)>,
) -> Result<RunningConfig, String> {
    match given {
        Some((file, startup)) => Ok(RunningConfig::File(file, startup)),
        None => find_config(running.pid()),
    }
}

/// The control socket of the running txlb, if its configuration has one.
fn control_socket(config: &Result<RunningConfig, String>) -> Option<PathBuf> {
    let Ok(RunningConfig::File(file, startup)) = config else {
        return None;
    };
    let inside = |path: &Path| match &startup.chroot {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    };
    let (_, reading) = txlb::control::File::read(&inside(file)).ok()?;
    Some(inside(&reading.config.control?.socket))
}

/// Waits until another process holds the PID file, or the one that was started is seen to be gone.
fn await_successor(mut running: RunningProcess) -> Result<(), Exit> {
    let deadline = Instant::now() + UPGRADE_TIMEOUT;
    let mut attempt = Attempt::default();
    while Instant::now() < deadline && !attempt.has_failed() {
        if running.is_replaced() {
            return Ok(());
        }
        attempt.look(running.pid().as_raw_nonzero().get());
        thread::sleep(UPGRADE_PAUSE);
    }
    let before = running.pid().as_raw_nonzero();
    let why = format!("txlb: process {before} has not been replaced: its log says why");
    Err(Exit::new(Exit::OTHER, &why))
}

/// An upgrade, as `/proc` shows it: the helper, a child of txlb, has a child while the new process
/// starts. If that serves, the helper ends.
#[derive(Debug, Default)]
struct Attempt {
    has_started: bool,
    /// In how many looks in a row the helper had no child any more.
    without: u32,
}

impl Attempt {
    /// So many, since a helper whose work is done is there until txlb has waited for it.
    const MOST_WITHOUT: u32 = 10;

    fn look(&mut self, txlb: i32) {
        let mut helpers = children(txlb).into_iter().peekable();
        if helpers.peek().is_none() {
            // It has ended, or nothing can be seen.
            self.without = 0;
        } else if helpers.any(|helper| !children(helper).is_empty()) {
            (self.has_started, self.without) = (true, 0);
        } else if self.has_started {
            self.without += 1;
        }
    }

    fn has_failed(&self) -> bool {
        self.without >= Attempt::MOST_WITHOUT
    }
}

/// The children of a process's first thread; none where the system does not tell.
fn children(process: i32) -> Vec<i32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let numbers = fs::read_to_string(path).unwrap_or_default();
    let numbers = numbers.split_whitespace();
    numbers.filter_map(|it| it.parse().ok()).collect()
}

/// Checks the configuration of the running txlb, as `-t` does, but resolves no names.
fn check_config(config: Result<RunningConfig, String>) -> Result<(), Exit> {
    match config {
        Ok(RunningConfig::File(file, startup)) => {
            check::run(&file, &startup, CheckOutput::Warnings)?;
        }
        Ok(RunningConfig::NoFile) => {}
        Err(why) => exit::print_error(&format!(
            "txlb: the configuration is not checked first: {why} (-f names it)"
        ))?,
    }
    Ok(())
}

/// Finds the configuration in `/proc`; an error says why that is not possible.
fn find_config(pid: Pid) -> Result<RunningConfig, String> {
    let folder = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let read_error =
        |name: &str, error: &io::Error| format!("{}: {error}", folder.join(name).display());
    let words =
        read_words(&folder.join("cmdline")).map_err(|error| read_error("cmdline", &error))?;
    let (file, mut startup) = match parse_command_line(words)? {
        Some(it) => it,
        None => return Ok(RunningConfig::NoFile),
    };
    let is_root = geteuid().is_root();
    if is_root && startup.user.is_none() {
        let status = fs::read_to_string(folder.join("status"));
        let status = status.map_err(|error| read_error("status", &error))?;
        startup.user = effective_id(&status, "Uid:").filter(|user| user != "0");
        startup.group = effective_id(&status, "Gid:").filter(|_| startup.user.is_some());
    }
    if startup.chroot.is_some() {
        if !is_root {
            return Err("it runs in a chroot (-j), which only root can enter".to_owned());
        }
        // The link leads to the new root, whatever its path is. After chroot(2), relative paths
        // begin there.
        startup.chroot = Some(folder.join("root"));
        return Ok(RunningConfig::File(file, startup));
    }
    if file.is_absolute() {
        return Ok(RunningConfig::File(file, startup));
    }
    let start = match startup.detach {
        // A daemon has left the folder where it was started.
        true => {
            start_folder(&folder.join("environ")).map_err(|error| read_error("environ", &error))?
        }
        false => fs::read_link(folder.join("cwd")).map_err(|error| read_error("cwd", &error))?,
    };
    Ok(RunningConfig::File(start.join(file), startup))
}

/// Parses the command line of a running txlb. `None` if it has no file.
fn parse_command_line(words: Vec<OsString>) -> Result<Option<(PathBuf, StartupOptions)>, String> {
    match cli::parse(words.into_iter().skip(1)) {
        Ok(Command::Serve(options)) => Ok(match options.source {
            ConfigSource::File(file) => Some((file, options.startup)),
            ConfigSource::CommandLine(_) | ConfigSource::Demo => None,
        }),
        _ => Err("the command line of the running process is not understood".to_owned()),
    }
}

/// The folder where a daemon was started. `daemon::launch` puts it into `PWD`.
fn start_folder(environment: &Path) -> io::Result<PathBuf> {
    let variables = read_words(environment)?.into_iter();
    variables
        .filter_map(|variable| {
            let bytes = variable.into_vec();
            let folder = bytes.strip_prefix(b"PWD=")?;
            Some(PathBuf::from(OsString::from_vec(folder.to_vec())))
        })
        .find(|folder| folder.is_absolute())
        .ok_or_else(|| io::Error::other("it does not tell in which folder txlb was started"))
}

/// Reads words that end with a NUL byte each.
fn read_words(path: &Path) -> io::Result<Vec<OsString>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let Some(words) = bytes.strip_suffix(&[0]) else {
        return Err(io::Error::other("nothing can be seen there"));
    };
    let words = words.split(|byte| *byte == 0);
    Ok(words
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect())
}

/// The effective ID from a line of `/proc/PID/status`: the second number, after the real one.
fn effective_id(status: &str, name: &str) -> Option<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_command_line(line: &str) -> Result<Option<(PathBuf, StartupOptions)>, String> {
        super::parse_command_line(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn a_command_line_tells_the_file_and_how_it_is_read() {
        let (file, startup) = parse_command_line("txlb -D -u www -fweb.xml -p x.pid -q")
            .unwrap()
            .unwrap();
        assert_eq!(file.to_str(), Some("web.xml"));
        assert_eq!(
            (startup.user.as_deref(), startup.detach),
            (Some("www"), true)
        );
        assert_eq!(
            parse_command_line("txlb -L 127.0.0.1:0 -B 127.0.0.1:9"),
            Ok(None)
        );
        for other in ["txlb -t", "sshd: root", "txlb --from-a-later-version"] {
            assert!(parse_command_line(other).is_err(), "{other}");
        }
    }

    #[test]
    fn the_effective_user_is_the_second_number() {
        let status = "Name:\ttxlb\nUid:\t0\t998\t0\t0\nGid:\t7\t8\t7\t7\n";
        assert_eq!(effective_id(status, "Uid:").as_deref(), Some("998"));
        assert_eq!(effective_id(status, "Gid:").as_deref(), Some("8"));
        assert_eq!(effective_id(status, "Pid:"), None);
    }
}
