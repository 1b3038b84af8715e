//! Tells a supervisor, systemd say, how this process is doing: sd_notify(3), by hand,
//! for it is a datagram.
//!
//! When there is something to tell is for its owner to know.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a supervisor that is busy may take to let a message in.
const PATIENCE: Duration = Duration::from_secs(1);

/// A status is cut off there, in characters.
const LONGEST_STATUS: usize = 400;

/// The way to the supervisor.
#[derive(Debug)]
pub struct Notifier(UnixDatagram);

impl Notifier {
    /// The one that `NOTIFY_SOCKET` names; `None` without that variable. The socket is
    /// connected here and now: later this process may see another file system.
    ///
    /// # Errors
    /// The system's, and `InvalidInput` for what is no address of a socket.
    pub fn from_environment() -> io::Result<Option<Notifier>> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Notifier::new(&name).map(Some),
            _ => Ok(None),
        }
    }

    /// One to the socket `name`: a path or, with `@` in front, an abstract name.
    ///
    /// # Errors
    /// As [`Notifier::from_environment`].
    pub fn new(name: &OsStr) -> io::Result<Notifier> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(name)?)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Notifier(socket))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The system's; `WouldBlock` if nobody takes it within a second.
    pub fn tell(&self, message: &Message) -> io::Result<()> {
        self.0.send(message.0.as_bytes()).map(drop)
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => abstract_address(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is neither a path nor an abstract name"),
        )),
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Something to tell: a line for each thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(String);

impl Message {
    /// It has started, or is done with reloading; and its number, which a supervisor
    /// cannot know of one that has put itself into the background.
    pub fn ready() -> Message {
        Message(format!("READY=1\nMAINPID={}\n", std::process::id()))
    }

    /// It begins to reload now.
    pub fn reloading() -> Message {
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        Message(format!("RELOADING=1\nMONOTONIC_USEC={now_us}\n"))
    }

    /// It is about to end.
    pub fn stopping() -> Message {
        Message("STOPPING=1\n".to_owned())
    }

    /// It goes on well.
    pub fn alive() -> Message {
        Message("WATCHDOG=1\n".to_owned())
    }

    /// And this, for people: one line of it.
    pub fn with_status(mut self, status: &str) -> Message {
        let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
        let line: String = status.chars().map(clean).take(LONGEST_STATUS).collect();
        // A string never fails.
        let _ = writeln!(self.0, "STATUS={line}");
        self
    }
}

/// How often the supervisor wants to hear that all is well, at least: what
/// `WATCHDOG_USEC` says, unless `WATCHDOG_PID` says that another process is meant.
pub fn watchdog() -> Option<Duration> {
    let said = |name| env::var(name).ok();
    watchdog_of(
        said("WATCHDOG_USEC").as_deref(),
        said("WATCHDOG_PID").as_deref(),
        std::process::id(),
    )
}

fn watchdog_of(microseconds: Option<&str>, whose: Option<&str>, process: u32) -> Option<Duration> {
    let microseconds = microseconds?.parse().ok().filter(|it| *it > 0)?;
    let ours = whose.is_none_or(|pid| pid.parse() == Ok(process));
    ours.then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_this_process_s_and_has_a_time() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog_of(Some("1000000"), None, 7), second);
        assert_eq!(watchdog_of(Some("1000000"), Some("7"), 7), second);
        for (microseconds, whose) in [
            (None, None),
            (Some("0"), None),
            (Some("soon"), None),
            (Some("-5"), None),
            (Some("1000000"), Some("8")),
            (Some("1000000"), Some("me")),
        ] {
            assert_eq!(watchdog_of(microseconds, whose, 7), None);
        }
    }

    #[test]
    fn a_status_is_one_line_that_ends() {
        let Message(text) = Message::stopping().with_status("one\nREADY=1\x07");
        assert_eq!(text, "STOPPING=1\nSTATUS=one READY=1 \n");
        let Message(text) = Message::default().with_status(&"é".repeat(1000));
        assert_eq!(text.chars().count(), "STATUS=\n".len() + LONGEST_STATUS);
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        for name in ["", "run/notify", "vsock:2:1234"] {
            let error = Notifier::new(OsStr::new(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        let nobody = Notifier::new(OsStr::new("/nowhere/at/all"));
        assert_eq!(nobody.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
