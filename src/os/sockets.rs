//! Connected sockets: how much a TCP peer has acknowledged, and which process is at the other
//! end of a Unix socket, both asked on Linux alone; and how TCP looks for dead peers.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::sockopt;

/// How much the peer of a TCP connection has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Whether anything is not acknowledged yet.
    pub waits: bool,
    /// Bytes acknowledged since the connection began.
    pub acknowledged: u64,
    /// Milliseconds since the last progress, at least: while something waits, a peer may
    /// acknowledge the same bytes twice, which looks like progress.
    pub progress_ms: u64,
}

/// The process at the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its user; `None` on systems that are not asked.
    pub uid: Option<u32>,
    /// Its number, where the system tells.
    pub pid: Option<i32>,
}

/// Which process connected to this socket.
///
/// # Errors
/// The system's.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn peer(stream: &UnixStream) -> io::Result<Peer> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

    // Not by rustix: its process ID cannot be 0, which stands for a process outside of this one's
    // PID namespace. Test: the_control_socket_answers_those_outside_of_its_process_namespace.
    let credentials = getsockopt(stream, PeerCredentials)?;
    Ok(Peer {
        uid: Some(credentials.uid()),
        pid: Some(credentials.pid()).filter(|pid| *pid > 0),
    })
}

/// Which process connected to this socket: not asked here. The mode of the socket's file
/// has to do.
///
/// # Errors
/// None.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
pub fn peer(_stream: &UnixStream) -> io::Result<Peer> {
    Ok(Peer {
        uid: None,
        pid: None,
    })
}

/// How TCP looks for a dead peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadPeerTimes {
    /// Milliseconds of silence until the first probe; 0 for no probes.
    pub keep_alive_ms: u64,
    /// Milliseconds until unacknowledged data ends the connection; 0 for the system's choice.
    pub unacked_ms: u64,
}

/// Between two probes, and how many remain unanswered before the connection ends.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 6;

/// The most that Linux takes for `TCP_KEEPIDLE`.
const MAX_KEEP_ALIVE_S: u64 = 32_767;

/// Has TCP look for a dead peer of `socket`. Up to five system calls.
///
/// # Errors
/// The system's. The connection goes on.
pub fn watch_peer(socket: impl AsFd, times: DeadPeerTimes) -> io::Result<()> {
    let socket = socket.as_fd();
    if times.keep_alive_ms > 0 {
        let idle_s = times.keep_alive_ms.div_ceil(1000).min(MAX_KEEP_ALIVE_S);
        // First: the times that follow then count from the last byte, not from this call.
        sockopt::set_socket_keepalive(socket, true)?;
        // OpenBSD has no times for a single socket: its own hold.
        #[cfg(not(target_os = "openbsd"))]
        {
            sockopt::set_tcp_keepintvl(socket, PROBE_INTERVAL)?;
            sockopt::set_tcp_keepcnt(socket, PROBES)?;
            sockopt::set_tcp_keepidle(socket, Duration::from_secs(idle_s))?;
        }
    }
    if times.unacked_ms > 0 {
        let unacked_ms = u32::try_from(times.unacked_ms).unwrap_or(u32::MAX >> 1);
        system::set_unacked_timeout(socket, unacked_ms)?;
    }
    Ok(())
}

/// Whether anything written to `socket`, or its end, is unacknowledged.
pub fn is_unacknowledged(socket: impl AsFd) -> bool {
    system::queued_memory(socket.as_fd()).is_some_and(|bytes| bytes > 0)
}

/// How much the peer of `socket` has acknowledged, if the system tells.
///
/// A write that succeeds has only filled the kernel's send queue, which may hold megabytes
/// for a slow reader. Two system calls, so this is asked only when a timer has fired.
// Tests: a_peer_that_acknowledges_what_was_written_is_not_silent,
// a_slow_reader_of_what_was_written_long_ago_is_not_silent.
pub fn delivery(socket: impl AsFd) -> Option<Delivery> {
    let queued = system::queued_memory(socket.as_fd())?;
    system::delivery(socket.as_fd(), queued > 0)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::io;
    use std::os::fd::BorrowedFd;

    use nix::sys::socket::getsockopt;
    use nix::{getsockopt_impl, libc, sockopt_impl};

    use super::Delivery;

    // Linux 4.12 and later have all that is read here of both options.
    const SO_MEMINFO: libc::c_int = match cfg!(target_arch = "sparc64") {
        true => 0x39,
        false => 55,
    };
    const MEMINFO: usize = 9;
    /// `SK_MEMINFO_WMEM_QUEUED`: memory that unacknowledged data takes, not its length.
    const QUEUED: usize = 5;

    /// Length of the part of `struct tcp_info` that is read, up to `tcpi_bytes_acked`.
    const INFO: usize = 128;
    const UNACKED: usize = 24;
    const LAST_DATA_SENT: usize = 44;
    const LAST_ACK_RECEIVED: usize = 56;
    const BYTES_ACKED: usize = 120;

    // nix panics if the system writes fewer bytes than the type has.
    sockopt_impl!(
        /// Memory of a socket, by use.
        MemInfo,
        GetOnly,
        libc::SOL_SOCKET,
        SO_MEMINFO,
        [u32; MEMINFO]
    );
    sockopt_impl!(
        /// State of a TCP connection.
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        [u8; INFO]
    );

    pub(super) fn set_unacked_timeout(socket: BorrowedFd<'_>, ms: u32) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_tcp_user_timeout(socket, ms)?)
    }

    pub(super) fn queued_memory(socket: BorrowedFd<'_>) -> Option<u32> {
        Some(getsockopt(&socket, MemInfo).ok()?[QUEUED])
    }

    pub(super) fn delivery(socket: BorrowedFd<'_>, waits: bool) -> Option<Delivery> {
        let info = getsockopt(&socket, TcpInfo).ok()?;
        let (acknowledged, _) = info[BYTES_ACKED..].split_first_chunk()?;
        // With nothing in flight and something to send, the peer's window is shut. It last
        // took data when data was last sent: its answers to window probes are no progress.
        // With nothing to send, it took the last data when that was sent: a slow reader's
        // system asks for it long after it was written. Its answers to keepalives are none.
        // Tests: a_peer_that_stopped_acknowledging_is_silent_at_once,
        // who_has_just_read_the_last_byte_has_its_time_to_answer.
        let since = match !waits || number(&info, UNACKED)? == 0 {
            true => LAST_DATA_SENT,
            false => LAST_ACK_RECEIVED,
        };
        Some(Delivery {
            waits,
            acknowledged: u64::from_ne_bytes(*acknowledged),
            progress_ms: number(&info, since)?.into(),
        })
    }

    fn number(info: &[u8; INFO], offset: usize) -> Option<u32> {
        let (number, _) = info[offset..].split_first_chunk()?;
        Some(u32::from_ne_bytes(*number))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::io;
    use std::os::fd::BorrowedFd;

    use super::Delivery;

    pub(super) fn set_unacked_timeout(_socket: BorrowedFd<'_>, _ms: u32) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn queued_memory(_socket: BorrowedFd<'_>) -> Option<u32> {
        None
    }

    pub(super) fn delivery(_socket: BorrowedFd<'_>, _waits: bool) -> Option<Delivery> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_a_reader_leaves_is_known_until_it_has_taken_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut reader, _) = listener.accept().unwrap();
        assert!(!delivery(&writer).unwrap().waits);
        writer.set_nonblocking(true).unwrap();
        let mut left = 0;
        while let Ok(wrote) = writer.write(&[0; 1 << 16]) {
            left += wrote;
        }
        let before = delivery(&writer).unwrap();
        assert!(before.waits && is_unacknowledged(&writer));
        assert!(before.acknowledged < u64::try_from(left).unwrap());
        reader.read_exact(&mut vec![0; left]).unwrap();
        // A delayed acknowledgement comes when its timer has fired, at the latest.
        while is_unacknowledged(&writer) {
            std::thread::yield_now();
        }
        let after = delivery(&writer).unwrap();
        assert!(!after.waits && after.acknowledged > before.acknowledged);
    }
}
