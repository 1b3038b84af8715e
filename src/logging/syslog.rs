//! The system's own log: its socket, found again when the daemon was restarted.
//!
//! It waits for a daemon that is slow, but not for long, and once only; never for one
//! that is gone. What messages look like is `form`'s business.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::target::{Lines, Outlet, Unwritten};

/// Where the daemon listens.
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

/// How long a daemon that reads nothing is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Between two looks where the system says that there is no room instead of waiting.
const PAUSE: Duration = Duration::from_millis(5);

/// The daemon's socket.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    /// Connected, as far as we know.
    socket: Option<UnixDatagram>,
    /// It was waited for in vain; it is not again until it takes something.
    stuck: bool,
}

impl Syslog {
    /// Connects to the system's daemon.
    ///
    /// # Errors
    /// The system's, and that it has no such socket.
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

    /// Connects to a daemon that listens there.
    pub(super) fn at(path: &Path) -> io::Result<Syslog> {
        Ok(Syslog {
            path: path.to_owned(),
            socket: Some(connect(path)?),
            stuck: false,
        })
    }

    /// Sends it, to another daemon in its place if the one there was is gone.
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            let sent = send(socket, line, self.stuck);
            if sent.as_ref().err().is_none_or(is_full) {
                return self.note(sent);
            }
        }
        (self.socket, self.stuck) = (None, false);
        let sent = send(self.socket.insert(connect(&self.path)?), line, false);
        self.note(sent)
    }

    /// Remembers whether it is to be waited for the next time.
    fn note(&mut self, sent: io::Result<()>) -> io::Result<()> {
        let stuck = sent.as_ref().is_err_and(is_full);
        if let Some(socket) = self.socket.as_ref().filter(|_| stuck != self.stuck) {
            socket.set_nonblocking(stuck)?;
            self.stuck = stuck;
        }
        sent
    }
}

impl Outlet for Syslog {
    fn write(&mut self, lines: &Lines) -> Result<(), Unwritten> {
        let mut left = lines.each();
        while let Some(line) = left.next() {
            if let Err(error) = self.send(line.as_bytes()) {
                let lines = 1 + left.count();
                return Err(Unwritten { lines, error });
            }
        }
        Ok(())
    }
}

/// Does not wait: there is nobody to be waited for at such a socket.
fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn send(socket: &UnixDatagram, line: &[u8], hurry: bool) -> io::Result<()> {
    let mut looks = PATIENCE.as_millis() / PAUSE.as_millis();
    loop {
        match socket.send(line) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The BSDs do not wait, and have nothing to wait for.
            Err(error) if is_without_buffer(&error) && !hurry && looks > 0 => {
                looks -= 1;
                thread::sleep(PAUSE);
            }
            sent => return sent.map(drop),
        }
    }
}

/// There is somebody, who reads too slowly.
fn is_full(error: &io::Error) -> bool {
    let waited = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
    waited.contains(&error.kind()) || is_without_buffer(error)
}

fn is_without_buffer(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOBUFS)
}

#[cfg(test)]
mod tests;
