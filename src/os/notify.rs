//! Notifies a supervisor such as systemd of the state of this process: sd_notify(3), without
//! libsystemd.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a send may block while the supervisor is busy.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// A longer status is cut off.
const MAX_STATUS_CHARACTERS: usize = 400;

/// The connection to the supervisor.
#[derive(Debug)]
pub struct Notifier(UnixDatagram);

impl Notifier {
    /// Connects to the socket that `NOTIFY_SOCKET` names; `None` without that variable. To be
    /// called before a chroot, which hides the socket.
    ///
    /// # Errors
    /// `InvalidInput` if it is no address of a socket, or the system's.
    pub fn from_environment() -> io::Result<Option<Notifier>> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Notifier::new(&name).map(Some),
            _ => Ok(None),
        }
    }

    /// Connects to the socket `name`: a path or, with `@` in front, an abstract name.
    ///
    /// # Errors
    /// As [`Notifier::from_environment`].
    pub fn new(name: &OsStr) -> io::Result<Notifier> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(name)?)?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Notifier(socket))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `WouldBlock` if the supervisor does not receive it within a second, or the system's.
    pub fn send(&self, message: &Message) -> io::Result<()> {
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

/// A message to the supervisor: one line for each variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(String);

impl Message {
    /// The process has started, or has reloaded. Includes its number, which a supervisor
    /// cannot know of a daemon.
    pub fn ready() -> Message {
        Message(format!("READY=1\nMAINPID={}\n", std::process::id()))
    }

    /// The process begins to reload now.
    pub fn reloading() -> Message {
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        Message(format!("RELOADING=1\nMONOTONIC_USEC={now_us}\n"))
    }

    /// The process is stopping.
    pub fn stopping() -> Message {
        Message("STOPPING=1\n".to_owned())
    }

    /// Another process of this service is its main process now.
    pub fn main_process(process: u32) -> Message {
        Message(format!("MAINPID={process}\n"))
    }

    /// The keep-alive of the watchdog.
    pub fn alive() -> Message {
        Message("WATCHDOG=1\n".to_owned())
    }

    /// Adds a status for people, as one line.
    pub fn with_status(mut self, status: &str) -> Message {
        let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
        let line: String = status
            .chars()
            .map(clean)
            .take(MAX_STATUS_CHARACTERS)
            .collect();
        // To write to a string never fails.
        let _ = writeln!(self.0, "STATUS={line}");
        self
    }
}

/// The longest time between keep-alives of the watchdog, from `WATCHDOG_USEC`; `None` without
/// that variable, or if `WATCHDOG_PID` is another process.
pub fn watchdog_interval() -> Option<Duration> {
    let variable = |name| env::var(name).ok();
    parse_watchdog_interval(
        variable("WATCHDOG_USEC").as_deref(),
        variable("WATCHDOG_PID").as_deref(),
        std::process::id(),
    )
}

fn parse_watchdog_interval(
    microseconds: Option<&str>,
    whose: Option<&str>,
    process: u32,
) -> Option<Duration> {
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
        assert_eq!(parse_watchdog_interval(Some("1000000"), None, 7), second);
        assert_eq!(
            parse_watchdog_interval(Some("1000000"), Some("7"), 7),
            second
        );
        for (microseconds, whose) in [
            (None, None),
            (Some("0"), None),
            (Some("soon"), None),
            (Some("-5"), None),
            (Some("1000000"), Some("8")),
            (Some("1000000"), Some("me")),
        ] {
            assert_eq!(parse_watchdog_interval(microseconds, whose, 7), None);
        }
    }

    #[test]
    fn a_status_is_one_line_that_ends() {
        let Message(text) = Message::stopping().with_status("one\nREADY=1\x07");
        assert_eq!(text, "STOPPING=1\nSTATUS=one READY=1 \n");
        let Message(text) = Message::default().with_status(&"é".repeat(1000));
        assert_eq!(
            text.chars().count(),
            "STATUS=\n".len() + MAX_STATUS_CHARACTERS
        );
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
