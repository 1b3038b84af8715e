//! Syslog output: sends datagrams to the daemon's socket, and reconnects after a restart.
//!
//! It waits once, for 500 ms at most, for a slow daemon, and never for one that is gone.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::format::{LineWriter, Lines, WriteError};

/// The daemon's socket.
const SOCKET: Option<&str> = if cfg!(any(
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "dragonfly"
)) {
    Some("/var/run/log")
} else if cfg!(target_os = "macos") {
    Some("/var/run/syslog")
} else if cfg!(any(target_os = "illumos", target_os = "solaris")) {
    None
} else {
    Some("/dev/log")
};

/// Write timeout for a daemon that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

/// Pause between two tries on systems that report a full buffer instead of waiting.
const PAUSE: Duration = Duration::from_millis(5);

/// A connection to the daemon.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    /// `None` after the connection was lost.
    socket: Option<UnixDatagram>,
    /// The last write timed out: do not wait until one succeeds.
    stuck: bool,
}

impl Syslog {
    /// Connects to the system's daemon.
    ///
    /// # Errors
    /// The system's, or that it has no syslog socket.
    pub(super) fn open() -> io::Result<Syslog> {
        let none = || {
            let why = "this system has no socket for it: log to a file";
            io::Error::new(ErrorKind::Unsupported, why)
        };
        let path = Path::new(SOCKET.ok_or_else(none)?);
        Syslog::at(path).map_err(|error| {
            let why = format!("{}: {error}: is a syslog daemon running?", path.display());
            io::Error::new(error.kind(), why)
        })
    }

    /// Connects to the socket at `path`.
    pub(super) fn at(path: &Path) -> io::Result<Syslog> {
        Ok(Syslog {
            path: path.to_owned(),
            socket: Some(connect(path)?),
            stuck: false,
        })
    }

    /// Sends a line, and reconnects if the daemon is gone.
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            let sent = send(socket, line, self.stuck);
            if sent.as_ref().err().is_none_or(is_full) {
                return self.remember(sent);
            }
        }
        (self.socket, self.stuck) = (None, false);
        let sent = send(self.socket.insert(connect(&self.path)?), line, false);
        self.remember(sent)
    }

    /// Remembers whether the daemon is stuck. If so, the next send does not wait.
    fn remember(&mut self, sent: io::Result<()>) -> io::Result<()> {
        let stuck = sent.as_ref().is_err_and(is_full);
        if let Some(socket) = self.socket.as_ref().filter(|_| stuck != self.stuck) {
            socket.set_nonblocking(stuck)?;
            self.stuck = stuck;
        }
        sent
    }
}

impl LineWriter for Syslog {
    fn write(&mut self, lines: &Lines) -> Result<(), WriteError> {
        let mut left = lines.each();
        while let Some(line) = left.next() {
            if let Err(error) = self.send(line.as_bytes()) {
                let lines = 1 + left.count();
                return Err(WriteError { lines, error });
            }
        }
        Ok(())
    }
}

/// Connecting a datagram socket does not wait.
fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    Ok(socket)
}

fn send(socket: &UnixDatagram, line: &[u8], hurry: bool) -> io::Result<()> {
    let mut tries_left = WRITE_TIMEOUT.as_millis() / PAUSE.as_millis();
    loop {
        match socket.send(line) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The BSDs return ENOBUFS and do not wait.
            Err(error) if is_without_buffer(&error) && !hurry && tries_left > 0 => {
                tries_left -= 1;
                thread::sleep(PAUSE);
            }
            sent => return sent.map(drop),
        }
    }
}

/// The daemon reads too slowly.
fn is_full(error: &io::Error) -> bool {
    let waited = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
    waited.contains(&error.kind()) || is_without_buffer(error)
}

fn is_without_buffer(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOBUFS)
}

#[cfg(test)]
mod tests {
    //! Tests of logging to a socket that stands for a syslog daemon's.

    use std::fs;
    use std::sync::Arc;

    use log::Level;

    use super::super::format::{Entry, EntryKind};
    use super::super::output::LogOutput;
    use super::super::writer;
    use super::super::writer::{MAX_QUEUED, Queue};
    use super::*;

    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(30);

    /// A daemon's socket in a folder of its own; dropping it removes both.
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

        /// Binds a new socket in its place.
        fn restart(&mut self) {
            self.stop();
            self.socket = listen(&self.path());
        }

        /// Closes the socket and removes its file.
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

        /// All messages that have arrived.
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

        /// A log that writes to this daemon.
        fn log(&self) -> Arc<Queue> {
            let output = LogOutput::syslog(Syslog::at(&self.path()).unwrap());
            let queue = Arc::new(Queue::default());
            let work = Arc::clone(&queue);
            thread::spawn(move || writer::run(&work, output));
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

    fn say(queue: &Queue, kind: EntryKind, text: &str) {
        queue.push(Entry {
            wall_ms: 0,
            level: Level::Info,
            kind,
            text: text.to_owned(),
        });
    }

    /// The beginning of our messages with this priority.
    fn tag(priority: u8) -> String {
        format!("<{priority}>txlb[{}]: ", std::process::id())
    }

    #[test]
    fn every_line_is_a_message() {
        let daemon = Daemon::start("lines");
        let queue = daemon.log();
        say(&queue, EntryKind::Event, "one\ntwo");
        say(&queue, EntryKind::Session, "client web web:main/a");
        say(&queue, EntryKind::Event, &"ä".repeat(2000));
        assert_eq!(daemon.read(), tag(30) + "INFO  one\\ntwo");
        assert_eq!(daemon.read(), tag(30) + "INFO  client web web:main/a");
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
        say(&queue, EntryKind::Session, "one");
        assert_eq!(daemon.read(), tag(30) + "INFO  one");
        daemon.restart();
        say(&queue, EntryKind::Session, "two");
        assert_eq!(daemon.read(), tag(30) + "INFO  two");
    }

    #[test]
    fn lines_without_a_daemon_are_counted_and_the_count_is_logged() {
        let mut daemon = Daemon::start("gone");
        let queue = daemon.log();
        daemon.stop();
        for _ in 0..5 {
            say(&queue, EntryKind::Session, "nowhere");
        }
        assert!(queue.wait_idle(LONG));
        daemon.socket = listen(&daemon.path());
        say(&queue, EntryKind::Session, "here");
        // The log may have reconnected on its own before.
        let mut received = [daemon.read(), daemon.read()];
        received.sort();
        let lost = tag(28) + "WARN  5 log lines were lost";
        assert_eq!(received, [lost, tag(30) + "INFO  here"]);
        say(&queue, EntryKind::Session, "again");
        assert_eq!(daemon.read(), tag(30) + "INFO  again");
    }

    #[test]
    fn a_daemon_that_reads_nothing_keeps_nobody_waiting() {
        let daemon = Daemon::start("stuck");
        let queue = daemon.log();
        let all = 4 * MAX_QUEUED;
        for number in 0..all {
            say(&queue, EntryKind::Session, &number.to_string());
        }
        // It waits once, however many lines there are.
        assert!(queue.wait_idle(LONG));
        let mut received = daemon.drain();
        say(&queue, EntryKind::Session, "here");
        let is_there =
            |received: &[String], end: &str| received.iter().any(|line| line.ends_with(end));
        while !is_there(&received, " here") || !is_there(&received, " log lines were lost") {
            received.push(daemon.read());
        }
        let lost = received.iter().find_map(|line| {
            let rest = line.strip_prefix(&(tag(28) + "WARN  "))?;
            rest.split(' ').next()?.parse::<usize>().ok()
        });
        let received_lines = received.len() - 2;
        assert!(received_lines > 0 && received_lines < all);
        assert_eq!(lost, Some(all - received_lines));
    }

    #[test]
    fn nobody_to_begin_with_is_an_error() {
        let mut daemon = Daemon::start("none");
        daemon.stop();
        let error = Syslog::at(&daemon.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
