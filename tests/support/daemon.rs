//! txlb in the background: started, asked, looked at, and ended.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::txlb::{Finished, Folder, command, finish, text};
use super::until;

/// A txlb that was started by `-D`; it is killed when dropped.
pub(crate) struct Daemon {
    pid: Pid,
    pub(crate) pid_file: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) socket: PathBuf,
}

/// A configuration in `folder` with a log and a control socket there.
pub(crate) fn write_config(folder: &Folder, service: &str) -> PathBuf {
    let (socket, log) = (folder.file("control.sock"), folder.file("log"));
    let config = format!(
        "<config>\n{service}\n<control socket=\"{}\"/>\n<logging file=\"{}\"/>\n</config>\n",
        socket.display(),
        log.display()
    );
    folder.write("config.xml", config)
}

/// What starts a txlb in the background with the configuration of `folder`.
pub(crate) fn start_command(folder: &Folder, options: &[&str]) -> Command {
    let (file, pid_file) = (folder.file("config.xml"), folder.file("pid"));
    let mut start = command(&["-D", "-w", "2", "-f", text(&file), "-p", text(&pid_file)]);
    start.args(options);
    start.env("STATE_DIRECTORY", folder.file("state"));
    start
}

impl Daemon {
    /// Starts it with the configuration of `folder`, which has to work.
    pub(crate) fn start(folder: &Folder, options: &[&str]) -> Daemon {
        Daemon::started(folder, &finish(start_command(folder, options)))
    }

    /// Has been started.
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

    /// Where the service "web" listens first.
    pub(crate) fn address(&self) -> SocketAddr {
        self.wait_for(" service web listens at ");
        let log = self.log();
        let (_, rest) = log.rsplit_once(" service web listens at ").unwrap();
        let end = rest.find([',', '\n']).unwrap();
        rest[..end].parse().unwrap()
    }

    /// Asks it at its control socket; returns what it answers, or complains of.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<String, String> {
        let mut arguments = vec!["ctl", "-C", text(&self.socket)];
        arguments.extend(words);
        let finished = finish(command(&arguments));
        match finished.status {
            Some(0) => Ok(finished.stdout),
            _ => Err(finished.stderr),
        }
    }

    /// A line of what Linux knows of it, without its name.
    pub(crate) fn status(&self, name: &str) -> String {
        field(&format!("/proc/{}/status", self.pid), name)
    }

    /// The same line of each of its threads.
    pub(crate) fn statuses(&self, name: &str) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        let path = |thread: fs::DirEntry| thread.path().join("status");
        threads
            .flatten()
            .map(|thread| field(text(&path(thread)), name))
            .collect()
    }

    /// Tells it to stop, and waits until nobody holds its PID file.
    pub(crate) fn stop(&self) {
        let told = finish(command(&["-s", "stop", "-p", text(&self.pid_file)]));
        assert_eq!(told.status, Some(0), "{told:?}");
        until("it is gone", || !self.is_held());
    }

    /// Whether somebody holds the PID file.
    pub(crate) fn is_held(&self) -> bool {
        fs::File::open(&self.pid_file).is_ok_and(|file| file.try_lock_shared().is_err())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its number is another's as soon as it is gone.
        if self.is_held() {
            let _ = kill_process(self.pid, Signal::KILL);
            until("it is gone", || !self.is_held());
        }
    }
}

/// The number in a PID file.
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
