//! Tests of logging to a socket that stands for a syslog daemon's.

use std::fs;
use std::sync::Arc;

use log::Level;

use super::super::entry::{Entry, Kind};
use super::super::queue::{QUEUE, Queue};
use super::super::target::Target;
use super::super::writer;
use super::*;

/// Nothing here takes that long.
const LONG: Duration = Duration::from_secs(30);

/// A daemon's socket in a folder of its own, which is gone with it.
struct Daemon {
    socket: UnixDatagram,
    folder: PathBuf,
}

impl Daemon {
    fn start(name: &str) -> Daemon {
        let name = format!("txlb-syslog-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let socket = listen(&folder.join("log"));
        Daemon { socket, folder }
    }

    /// Another one takes its place.
    fn restart(&mut self) {
        self.stop();
        self.socket = listen(&self.path());
    }

    /// It is gone, and so is its file.
    fn stop(&mut self) {
        fs::remove_file(self.path()).unwrap();
        self.socket = UnixDatagram::unbound().unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The next message.
    fn read(&self) -> String {
        let mut bytes = [0; 8192];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// All messages that are there.
    fn drain(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let next = || {
            let mut bytes = [0; 8192];
            let length = self.socket.recv(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
        };
        let all = std::iter::from_fn(next).collect();
        self.socket.set_nonblocking(false).unwrap();
        all
    }

    /// A log that goes there.
    fn log(&self) -> Arc<Queue> {
        let target = Target::syslog(Syslog::at(&self.path()).unwrap());
        let queue = Arc::new(Queue::default());
        let work = Arc::clone(&queue);
        thread::spawn(move || writer::run(&work, target));
        queue
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn listen(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

fn say(queue: &Queue, kind: Kind, text: &str) {
    queue.say(Entry {
        wall_ms: 0,
        level: Level::Info,
        kind,
        text: text.to_owned(),
    });
}

/// How every message of ours at this level begins.
fn tag(priority: u8) -> String {
    format!("<{priority}>txlb[{}]: ", std::process::id())
}

#[test]
fn every_line_is_a_message() {
    let daemon = Daemon::start("lines");
    let queue = daemon.log();
    say(&queue, Kind::Event, "one\ntwo");
    say(&queue, Kind::Session, "client web web:main/a");
    say(&queue, Kind::Event, &"ä".repeat(2000));
    assert_eq!(daemon.read(), tag(30) + "INFO  one\\ntwo");
    assert_eq!(daemon.read(), tag(30) + "client web web:main/a");
    let long = daemon.read();
    assert!(
        (1020..=1024).contains(&long.len()) && long.ends_with("ä..."),
        "{long}"
    );
}

#[test]
fn a_daemon_that_was_restarted_is_found_again() {
    let mut daemon = Daemon::start("restart");
    let queue = daemon.log();
    say(&queue, Kind::Session, "one");
    assert_eq!(daemon.read(), tag(30) + "one");
    daemon.restart();
    say(&queue, Kind::Session, "two");
    assert_eq!(daemon.read(), tag(30) + "two");
}

#[test]
fn what_is_said_while_there_is_no_daemon_is_counted_and_that_is_said() {
    let mut daemon = Daemon::start("gone");
    let queue = daemon.log();
    daemon.stop();
    for _ in 0..5 {
        say(&queue, Kind::Session, "nowhere");
    }
    assert!(queue.settle(LONG));
    daemon.socket = listen(&daemon.path());
    say(&queue, Kind::Session, "here");
    // It may have found out by itself that there is somebody again.
    let mut heard = [daemon.read(), daemon.read()];
    heard.sort();
    let lost = tag(28) + "WARN  5 log lines were lost";
    assert_eq!(heard, [lost, tag(30) + "here"]);
    // That is over.
    say(&queue, Kind::Session, "again");
    assert_eq!(daemon.read(), tag(30) + "again");
}

#[test]
fn a_daemon_that_reads_nothing_keeps_nobody_waiting() {
    let daemon = Daemon::start("stuck");
    let queue = daemon.log();
    let all = 4 * QUEUE;
    for number in 0..all {
        say(&queue, Kind::Session, &number.to_string());
    }
    // One wait for it, however many lines there are.
    assert!(queue.settle(LONG));
    let mut heard = daemon.drain();
    say(&queue, Kind::Session, "here");
    let is_there = |heard: &[String], end: &str| heard.iter().any(|line| line.ends_with(end));
    while !is_there(&heard, " here") || !is_there(&heard, " log lines were lost") {
        heard.push(daemon.read());
    }
    let lost = heard.iter().find_map(|line| {
        let rest = line.strip_prefix(&(tag(28) + "WARN  "))?;
        rest.split(' ').next()?.parse::<usize>().ok()
    });
    let kept = heard.len() - 2;
    assert!(kept > 0 && kept < all);
    assert_eq!(lost, Some(all - kept));
}

#[test]
fn nobody_to_begin_with_is_an_error() {
    let mut daemon = Daemon::start("none");
    daemon.stop();
    let error = Syslog::at(&daemon.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
