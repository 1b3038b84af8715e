//! Whose fault a failed connect is, and in which words.

use std::io::{self, ErrorKind};

use mio::net::TcpStream;
use rustix::io::Errno;

use super::listener::is_shortage;
use super::meters::Trouble;
use crate::balance::Failure;

/// Why a connect came to nothing.
#[derive(Debug)]
pub(crate) enum Blame {
    /// It is the host's fault, or that of the way to it.
    Host(Failure),
    /// The host accepted, and broke off before anything was said: it is there,
    /// but does not want this client, or is about to leave.
    TurnedAway,
    /// This machine could not even try.
    Local(Trouble),
}

/// How a connect stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Neither accepted nor refused yet.
    Pending,
    /// Accepted.
    Connected,
    /// Come to nothing.
    Failed(Blame),
}

/// Looks at a socket whose connect may be over.
///
/// That it is writable is no proof: spurious wake-ups happen.
pub(crate) fn progress(socket: &TcpStream) -> Progress {
    match socket.take_error() {
        Ok(Some(error)) | Err(error) => Progress::Failed(blame(&error)),
        Ok(None) => match socket.peer_addr() {
            Ok(_) => Progress::Connected,
            Err(error) if error.kind() == ErrorKind::NotConnected => Progress::Pending,
            Err(error) => Progress::Failed(blame(&error)),
        },
    }
}

/// Whose fault an error of connect(2) is.
pub(crate) fn blame(error: &io::Error) -> Blame {
    if is_shortage(error) {
        return Blame::Local(Trouble::NoDescriptors);
    }
    if error.kind() == ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::AGAIN.raw_os_error())
    {
        return Blame::Local(Trouble::NoPorts);
    }
    // A host that does not accept refuses; it can reset only what it accepted.
    if matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    ) {
        return Blame::TurnedAway;
    }
    Blame::Host(match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::TimedOut => Failure::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Failure::Unreachable,
        _ => Failure::Other(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_descriptors_or_ports_is_not_the_hosts_fault() {
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::ADDRNOTAVAIL,
            Errno::AGAIN,
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert!(matches!(blame(&error), Blame::Local(_)), "{errno}");
        }
        for errno in [
            Errno::CONNREFUSED,
            Errno::TIMEDOUT,
            Errno::HOSTUNREACH,
            Errno::PERM,
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert!(matches!(blame(&error), Blame::Host(_)), "{errno}");
        }
    }
}
