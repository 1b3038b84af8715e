//! Classifies what goes wrong: whose fault a failed connect is, what this machine lacks, and why a
//! session ended.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::Path;

use rustix::io::Errno;

use super::session::Side;
use super::stream::StreamSocket;
use crate::balance::Failure;

/// What this machine has too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// File descriptors of this process.
    Descriptors,
    /// File descriptors of the whole system.
    SystemDescriptors,
    /// The system's memory for sockets.
    Memory,
    /// Sockets that epoll may watch.
    Watches,
    /// Local ports for connections to one address.
    Ports,
    /// An address that is configured as the source of connections.
    Source(IpAddr),
    /// A way to a host from an address that is configured as the source of connections.
    Route(IpAddr),
    /// The right to connect from addresses of clients.
    Transparency,
    /// Room in the accept backlog of a host's Unix socket.
    Backlog,
}

impl Shortage {
    /// What is missing according to an error of accept(2), connect(2) or epoll_ctl(2), if any.
    pub(crate) fn of(error: &io::Error) -> Option<Shortage> {
        Some(match Errno::from_io_error(error)? {
            Errno::MFILE => Shortage::Descriptors,
            Errno::NFILE => Shortage::SystemDescriptors,
            Errno::NOBUFS | Errno::NOMEM => Shortage::Memory,
            Errno::NOSPC => Shortage::Watches,
            // Some systems use the one, some the other.
            Errno::ADDRNOTAVAIL | Errno::AGAIN => Shortage::Ports,
            _ => return None,
        })
    }

    /// Whether it concerns one source address, or one address to connect to: other connects may
    /// succeed.
    pub(crate) fn is_of_address(self) -> bool {
        matches!(
            self,
            Shortage::Ports
                | Shortage::Source(_)
                | Shortage::Route(_)
                | Shortage::Transparency
                | Shortage::Backlog
        )
    }

    /// Whether it does not pass before an operator does something.
    pub(crate) fn needs_operator(self) -> bool {
        matches!(
            self,
            Shortage::Source(_) | Shortage::Route(_) | Shortage::Transparency
        )
    }

    /// The error as which it is counted.
    pub(crate) fn resource_error(self) -> ResourceError {
        match self.is_of_address() {
            true => ResourceError::NoPorts,
            false => ResourceError::NoDescriptors,
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shortage::Source(ip) => {
                return write!(
                    f,
                    "{ip} is not an address of this machine: add it to an interface, or take it \
                     out of the group's source"
                );
            }
            Shortage::Route(ip) => {
                return write!(
                    f,
                    "the host cannot be reached from {ip}: add a route, or take the address out \
                     of the group's source"
                );
            }
            Shortage::Transparency => {
                "txlb may not use addresses of clients: it needs CAP_NET_RAW for \
                 source=\"client\", which it keeps if the file asks for that when it starts as root"
            }
            Shortage::Backlog => {
                "its backlog is full: its process must accept faster, or listen with a longer \
                 backlog (listen(2), net.core.somaxconn)"
            }
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

/// A shortage or limit of this machine, as workers count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ResourceError {
    /// The file descriptors allow no more sessions.
    Full,
    /// The system had no file descriptor, or no memory for a socket.
    NoDescriptors,
    /// No local port, no source address, or no room in the backlog of a Unix socket was left for a
    /// connection to a host.
    NoPorts,
    /// Accepting failed with an unknown error.
    Accept,
}

/// Why a connect failed.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The host, or the way to it, is at fault.
    Host(Failure),
    /// The host accepted and reset the connection at once. It runs, but rejects this client or is
    /// about to stop.
    ResetByHost,
    /// This machine could not start the connect.
    Local(Shortage),
}

/// The state of a connect.
#[derive(Debug)]
pub(crate) enum ConnectProgress {
    /// Not decided yet.
    Pending,
    /// The host accepted.
    Connected,
    /// The connect failed.
    Failed(ConnectError),
}

/// Asks the system how a connect ended. Two system calls, since a spurious wake-up may also report
/// a socket as writable.
pub(crate) fn connect_progress(socket: &StreamSocket) -> ConnectProgress {
    match socket.take_error() {
        Ok(Some(error)) | Err(error) => ConnectProgress::Failed(classify_connect_error(&error)),
        Ok(None) => match socket.check_connected() {
            Ok(()) => ConnectProgress::Connected,
            Err(error) if error.kind() == ErrorKind::NotConnected => ConnectProgress::Pending,
            Err(error) => ConnectProgress::Failed(classify_connect_error(&error)),
        },
    }
}

/// Decides whose fault an error of connect(2) is.
pub(crate) fn classify_connect_error(error: &io::Error) -> ConnectError {
    if let Some(shortage) = Shortage::of(error) {
        return ConnectError::Local(shortage);
    }
    // A host can reset only what it has accepted; one that does not accept refuses. Whether the
    // worker sees the reset before or after the connect is chance. Either way the host has not
    // failed.
    // Tests: a_host_that_resets_at_once_is_passed_on_as_a_reset,
    // a_host_that_resets_its_sessions_is_not_taken_for_one_that_is_down.
    if matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    ) {
        return ConnectError::ResetByHost;
    }
    ConnectError::Host(match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::TimedOut => Failure::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Failure::Unreachable,
        _ => Failure::Other(match Errno::from_io_error(error) {
            Some(Errno::AFNOSUPPORT) => "this machine does not know addresses of that kind".into(),
            Some(Errno::ACCESS | Errno::PERM) => "forbidden by a firewall of this machine".into(),
            Some(Errno::INVAL) => "no address that can be connected to".into(),
            _ => error.to_string(),
        }),
    })
}

/// The same for a Unix socket at `path`. A full backlog is a busy host, which has not failed.
// Tests: a_host_with_a_full_backlog_has_not_failed, every_run_keeps_its_promises.
pub(crate) fn classify_unix_connect_error(path: &Path, error: &io::Error) -> ConnectError {
    let shown = path.display();
    ConnectError::Host(Failure::Other(match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => return ConnectError::Local(Shortage::Backlog),
        _ if Shortage::of(error).is_some() => return classify_connect_error(error),
        Some(Errno::NOENT | Errno::NOTDIR) => format!("no socket is at {shown}"),
        Some(Errno::CONNREFUSED) => format!("no process listens at {shown}"),
        Some(Errno::ACCESS | Errno::PERM) => format!(
            "{shown} may not be connected to: txlb's user needs write permission for it, and \
             search permission for its folders"
        ),
        Some(Errno::PROTOTYPE) => format!("the socket at {shown} is not one of streams"),
        _ => format!("{shown}: {error}"),
    }))
}

/// Whether splice(2) does not work here.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

/// Writes once, and again after EINTR. A full socket takes 0 bytes.
pub(crate) fn retry_interrupted(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Both sides ended their streams, and all bytes were passed on.
    Finished,
    /// The client reset the connection before it had a host.
    ClientGone,
    /// The client reset the connection.
    ClientReset,
    /// The host reset the connection.
    HostReset,
    /// The idle or half-closed timeout passed while the client was to send next.
    ClientSilent,
    /// The idle or half-closed timeout passed while the host was to send next.
    HostSilent,
    /// No host accepted, or there was none.
    NoHost,
    /// As `NoHost`, and the last host did not answer in time.
    ConnectTimedOut,
    /// This machine had no file descriptor or local port for the connection to the host.
    LocalError,
    /// txlb stopped.
    Stopped,
    /// It lasted as long as a session of its service may.
    MaxDuration,
    /// Its host was found failed, and its group ends sessions then.
    HostFailed,
    /// Its host was out of service for as long as its sessions may stay.
    Drained,
    /// An operator ended it.
    Killed,
    /// An operator had sessions spread anew, and its host had too many.
    Rebalanced,
    /// The client did not say in time what its service wants to know before it picks a host.
    FirstBytesLate,
    /// The client said too much before that was known.
    FirstBytesTooLong,
    /// The client was to send a PROXY protocol header, and sent something else.
    BadProxyHeader,
}

impl EndReason {
    /// Every reason, in the order of [`EndReason::index`].
    #[doc(hidden)]
    pub const ALL: [EndReason; 18] = [
        EndReason::Finished,
        EndReason::ClientGone,
        EndReason::ClientReset,
        EndReason::HostReset,
        EndReason::ClientSilent,
        EndReason::HostSilent,
        EndReason::NoHost,
        EndReason::ConnectTimedOut,
        EndReason::LocalError,
        EndReason::Stopped,
        EndReason::MaxDuration,
        EndReason::HostFailed,
        EndReason::Drained,
        EndReason::Killed,
        EndReason::Rebalanced,
        EndReason::FirstBytesLate,
        EndReason::FirstBytesTooLong,
        EndReason::BadProxyHeader,
    ];

    /// Its position in [`EndReason::ALL`], for counters.
    #[doc(hidden)]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name in JSON and metrics, which never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::Finished => "finished",
            EndReason::ClientGone => "client_gone",
            EndReason::ClientReset => "client_reset",
            EndReason::HostReset => "host_reset",
            EndReason::ClientSilent => "client_silent",
            EndReason::HostSilent => "host_silent",
            EndReason::NoHost => "no_host",
            EndReason::ConnectTimedOut => "connect_timed_out",
            EndReason::LocalError => "local_trouble",
            EndReason::Stopped => "stopped",
            EndReason::MaxDuration => "max_duration",
            EndReason::HostFailed => "host_failed",
            EndReason::Drained => "drained",
            EndReason::Killed => "killed",
            EndReason::Rebalanced => "rebalanced",
            EndReason::FirstBytesLate => "first_bytes_late",
            EndReason::FirstBytesTooLong => "first_bytes_too_long",
            EndReason::BadProxyHeader => "bad_proxy_header",
        }
    }

    /// HAProxy's two letters: who ended the session, and whether data was flowing (`D`) or the
    /// connect to a host was still in progress (`C`).
    ///
    /// Source: "Session state at disconnection" in HAProxy's configuration manual.
    pub fn termination_state(self, connected: bool) -> &'static str {
        match (self, connected) {
            (EndReason::Finished, _) => "--",
            (EndReason::ClientGone | EndReason::ClientReset, false) => "CC",
            (EndReason::ClientGone | EndReason::ClientReset, true) => "CD",
            (EndReason::HostReset, _) => "SD",
            (EndReason::ClientSilent, _) => "cD",
            (EndReason::HostSilent, _) => "sD",
            (EndReason::NoHost, _) => "SC",
            (EndReason::ConnectTimedOut, _) => "sC",
            (EndReason::LocalError, _) => "RC",
            // HAProxy has no such limit. P is its letter for what a limit of its own ended.
            (EndReason::MaxDuration, false) => "PC",
            (EndReason::MaxDuration, true) => "PD",
            // R is HAProxy's letter for what comes before a server is chosen: the request.
            (EndReason::FirstBytesLate, _) => "cR",
            (EndReason::FirstBytesTooLong | EndReason::BadProxyHeader, _) => "PR",
            (EndReason::HostFailed, false) => "DC",
            (EndReason::HostFailed, true) => "DD",
            (
                EndReason::Stopped | EndReason::Drained | EndReason::Killed | EndReason::Rebalanced,
                connected,
            ) => match connected {
                false => "KC",
                true => "KD",
            },
        }
    }

    /// The reason if `side` was silent for too long.
    pub(crate) fn silence_of(side: Side) -> EndReason {
        match side {
            Side::Client => EndReason::ClientSilent,
            Side::Host => EndReason::HostSilent,
        }
    }

    /// How the sockets are closed.
    pub(crate) fn close_mode(self) -> CloseMode {
        match self {
            EndReason::Finished => CloseMode::Orderly,
            EndReason::ClientSilent | EndReason::HostSilent => CloseMode::Deliver,
            EndReason::MaxDuration
            | EndReason::HostFailed
            | EndReason::Drained
            | EndReason::Killed
            | EndReason::Rebalanced => CloseMode::OrderlyIfDelivered,
            _ => CloseMode::Reset,
        }
    }
}

/// How a session's sockets are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseMode {
    /// With the end of the stream.
    Orderly,
    /// With a reset, so that a session that was cut does not look like one that ended.
    Reset,
    /// With a reset, unless the send queue still holds bytes. Then the system delivers these and
    /// the end of the stream: a reset would throw the send queue away.
    /// Test: `a_client_that_was_cut_still_gets_what_was_sent_before`.
    Deliver,
    /// With the end of the stream if all bytes were delivered to both sides, else with a reset.
    OrderlyIfDelivered,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(errno: Errno) -> ConnectError {
        classify_connect_error(&io::Error::from_raw_os_error(errno.raw_os_error()))
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
            let ConnectError::Local(shortage) = classify(errno) else {
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
            (Errno::INVAL, "no address that can be connected to"),
        ] {
            let ConnectError::Host(failure) = classify(errno) else {
                panic!("{errno}");
            };
            assert_eq!(failure.to_string(), words);
        }
    }

    #[test]
    fn the_list_is_in_the_order_of_the_indices() {
        for (index, reason) in EndReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }

    #[test]
    fn only_a_clean_end_is_closed_without_a_reset() {
        let clean: Vec<_> = EndReason::ALL
            .into_iter()
            .filter(|reason| reason.close_mode() == CloseMode::Orderly)
            .collect();
        assert_eq!(clean, [EndReason::Finished]);
    }
}
