//! Whose fault a failed connect is, what the machine lacks, and in which words.

use std::fmt;
use std::io::{self, ErrorKind};

use mio::net::TcpStream;
use rustix::io::Errno;

use super::worker_stats::ResourceError;
use crate::balance::Failure;

/// What this machine has too few of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Descriptors of this process.
    Descriptors,
    /// Descriptors of the whole system.
    SystemDescriptors,
    /// The system's memory for sockets.
    Memory,
    /// Sockets that may be watched.
    Watches,
    /// Local ports for connections to one address.
    Ports,
}

impl Shortage {
    /// What an error of accept(2), connect(2) or epoll_ctl(2) says is missing, if any.
    pub(crate) fn of(error: &io::Error) -> Option<Shortage> {
        Some(match Errno::from_io_error(error)? {
            Errno::MFILE => Shortage::Descriptors,
            Errno::NFILE => Shortage::SystemDescriptors,
            Errno::NOBUFS | Errno::NOMEM => Shortage::Memory,
            Errno::NOSPC => Shortage::Watches,
            // Systems differ in how they say it.
            Errno::ADDRNOTAVAIL | Errno::AGAIN => Shortage::Ports,
            _ => return None,
        })
    }

    pub(crate) fn trouble(self) -> ResourceError {
        match self {
            Shortage::Ports => ResourceError::NoPorts,
            _ => ResourceError::NoDescriptors,
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shortage::Descriptors => {
                "no descriptor is left for this process: raise its limit (ulimit -n)"
            }
            Shortage::SystemDescriptors => {
                "no descriptor is left on this machine: raise its limit (fs.file-max)"
            }
            Shortage::Memory => {
                "the system has no memory left for sockets: see its limits (net.ipv4.tcp_mem)"
            }
            Shortage::Watches => {
                "no more sockets can be watched: raise the limit (fs.epoll.max_user_watches)"
            }
            Shortage::Ports => {
                "no local port is left: widen their range (net.ipv4.ip_local_port_range), or \
                 spread sessions over more addresses"
            }
        })
    }
}

/// Why a connect came to nothing.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// It is the host's fault, or that of the way to it.
    Host(Failure),
    /// The host accepted, and broke off before anything was said: it is there,
    /// but does not want this client, or is about to leave.
    TurnedAway,
    /// This machine could not even try.
    Local(Shortage),
}

/// How a connect stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Neither accepted nor refused yet.
    Pending,
    /// Accepted.
    Connected,
    /// Come to nothing.
    Failed(ConnectError),
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
pub(crate) fn blame(error: &io::Error) -> ConnectError {
    if let Some(shortage) = Shortage::of(error) {
        return ConnectError::Local(shortage);
    }
    // A host that does not accept refuses; it can reset only what it accepted.
    if matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    ) {
        return ConnectError::TurnedAway;
    }
    ConnectError::Host(match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::TimedOut => Failure::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Failure::Unreachable,
        _ => Failure::Other(match Errno::from_io_error(error) {
            Some(Errno::AFNOSUPPORT) => "this machine does not know addresses of that kind".into(),
            Some(Errno::ACCESS | Errno::PERM) => "forbidden by a firewall of this machine".into(),
            Some(Errno::INVAL) => "an address that nobody can connect to as it is written".into(),
            _ => error.to_string(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blame_of(errno: Errno) -> ConnectError {
        blame(&io::Error::from_raw_os_error(errno.raw_os_error()))
    }

    #[test]
    fn what_this_machine_lacks_is_not_the_hosts_fault_and_is_named() {
        for (errno, word) in [
            (Errno::MFILE, "ulimit -n"),
            (Errno::NFILE, "fs.file-max"),
            (Errno::NOBUFS, "memory"),
            (Errno::NOMEM, "memory"),
            (Errno::NOSPC, "max_user_watches"),
            (Errno::ADDRNOTAVAIL, "no local port"),
            (Errno::AGAIN, "no local port"),
        ] {
            let ConnectError::Local(shortage) = blame_of(errno) else {
                panic!("{errno}");
            };
            assert!(shortage.to_string().contains(word), "{errno}: {shortage}");
        }
    }

    #[test]
    fn a_host_that_cannot_be_reached_is_at_fault_whatever_the_reason() {
        for (errno, words) in [
            (Errno::CONNREFUSED, "connection refused"),
            (Errno::TIMEDOUT, "no answer within the connect timeout"),
            (Errno::HOSTUNREACH, "no route to it"),
            (Errno::NETUNREACH, "no route to it"),
            (
                Errno::AFNOSUPPORT,
                "this machine does not know addresses of that kind",
            ),
            (Errno::PERM, "forbidden by a firewall of this machine"),
            (Errno::ACCESS, "forbidden by a firewall of this machine"),
            (
                Errno::INVAL,
                "an address that nobody can connect to as it is written",
            ),
        ] {
            let ConnectError::Host(failure) = blame_of(errno) else {
                panic!("{errno}");
            };
            assert_eq!(failure.to_string(), words);
        }
    }
}
