//! txlb in the background: start, status, stop.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::txlb::{Finished, Folder, command, finish, text};
use super::until;

/// A txlb that was started by `-D`; dropping it kills it.
pub(crate) struct Daemon {
    pid: Pid,
    pub(crate) pid_file: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) socket: PathBuf,
}

/// Writes a configuration with a log and a control socket in `folder`.
pub(crate) fn write_config(folder: &Folder, service: &str) -> PathBuf {
    let (socket, log) = (folder.file("control.sock"), folder.file("log"));
    let config = format!(
        "<config>\n{service}\n<control socket=\"{}\"/>\n<logging file=\"{}\"/>\n</config>\n",
        socket.display(),
        log.display()
    );
    folder.write("config.xml", config)
}

/// The command that starts a daemon with the configuration of `folder`.
pub(crate) fn start_command(folder: &Folder, options: &[&str]) -> Command {
    let (file, pid_file) = (folder.file("config.xml"), folder.file("pid"));
    let mut start = command(&["-D", "-w", "2", "-f", text(&file), "-p", text(&pid_file)]);
    start.args(options);
    start.env("STATE_DIRECTORY", folder.file("state"));
    start
}

impl Daemon {
    /// Starts a daemon, which must succeed.
    pub(crate) fn start(folder: &Folder, options: &[&str]) -> Daemon {
        Daemon::started(folder, &finish(start_command(folder, options)))
    }

    /// The daemon after the first process has ended.
    pub(crate) fn started(folder: &Folder, finished: &Finished) -> Daemon {
        assert_eq!(finished.status, Some(0), "{finished:?}");
        Daemon {
            pid: pid_in(&folder.file("pid")),
            pid_file: folder.file("pid"),
            log: folder.file("log"),
            socket: folder.file("control.sock"),
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has logged `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        until(text, || self.log().contains(text));
    }

    /// The first address of the service "web".
    pub(crate) fn address(&self) -> SocketAddr {
        self.wait_for(" service web listens at ");
        let log = self.log();
        let (_, rest) = log.rsplit_once(" service web listens at ").unwrap();
        let end = rest.find([',', '\n']).unwrap();
        rest[..end].parse().unwrap()
    }

    /// Runs `txlb ctl`; returns its output or its error.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<String, String> {
        let mut arguments = vec!["ctl", "-C", text(&self.socket)];
        arguments.extend(words);
        let finished = finish(command(&arguments));
        match finished.status {
            Some(0) => Ok(finished.stdout),
            _ => Err(finished.stderr),
        }
    }

    /// A line of `/proc/PID/status`, without its name.
    pub(crate) fn status(&self, name: &str) -> String {
        field(&format!("/proc/{}/status", self.pid), name)
    }

    /// The same line of each thread.
    pub(crate) fn statuses(&self, name: &str) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        let path = |thread: fs::DirEntry| thread.path().join("status");
        threads
            .flatten()
            .map(|thread| field(text(&path(thread)), name))
            .collect()
    }

    /// Sends SIGTERM, and waits until the PID file is free.
    pub(crate) fn stop(&self) {
        let told = finish(command(&["-s", "stop", "-p", text(&self.pid_file)]));
        assert_eq!(told.status, Some(0), "{told:?}");
        until("it is gone", || !self.is_held());
    }

    /// Whether a process holds the PID file.
    pub(crate) fn is_held(&self) -> bool {
        fs::File::open(&self.pid_file).is_ok_and(|file| file.try_lock_shared().is_err())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Another process may get its ID as soon as it is gone.
        if self.is_held() {
            let _ = kill_process(self.pid, Signal::KILL);
            until("it is gone", || !self.is_held());
        }
    }
}

/// The process ID in a PID file.
pub(crate) fn pid_in(file: &std::path::Path) -> Pid {
    let number = fs::read_to_string(file).unwrap();
    Pid::from_raw(number.trim().parse().unwrap()).unwrap()
}

fn field(path: &str, name: &str) -> String {
    let status = fs::read_to_string(path).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    words.join(" ")
}
