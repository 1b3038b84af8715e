//! What the peer of a TCP connection has yet to acknowledge, as the kernel knows it.
//!
//! A write that succeeds has only filled the kernel's send queue. Two system calls, so
//! ask only when a timer has fired. Only Linux is asked; elsewhere nothing is known.

use std::os::fd::AsFd;

/// How far the peer of a connection has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Whether there is anything left for it to acknowledge.
    pub waits: bool,
    /// Bytes acknowledged since the connection began.
    pub acknowledged: u64,
    /// How long ago it made progress, in milliseconds, at the least: it may be longer where
    /// it acknowledges again what it has acknowledged before.
    pub progress_ms: u64,
}

/// Whether anything written to `socket`, or its end, is unacknowledged.
pub fn is_unacknowledged(socket: impl AsFd) -> bool {
    system::queued_memory(socket.as_fd()).is_some_and(|bytes| bytes > 0)
}

/// How far the peer of `socket` has got, if the system tells.
pub fn delivery(socket: impl AsFd) -> Option<Delivery> {
    let queued = system::queued_memory(socket.as_fd())?;
    system::delivery(socket.as_fd(), queued > 0)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::os::fd::BorrowedFd;

    use nix::sys::socket::getsockopt;
    use nix::{getsockopt_impl, libc, sockopt_impl};

    use super::Delivery;

    // As of Linux 4.12, which has all that is read here of both options.
    const SO_MEMINFO: libc::c_int = match cfg!(target_arch = "sparc64") {
        true => 0x39,
        false => 55,
    };
    const MEMINFO: usize = 9;
    /// `SK_MEMINFO_WMEM_QUEUED`: memory of what was not acknowledged, not its length.
    const QUEUED: usize = 5;

    /// As much of `struct tcp_info` as is read, up to `tcpi_bytes_acked`.
    const INFO: usize = 128;
    const UNACKED: usize = 24;
    const LAST_DATA_SENT: usize = 44;
    const LAST_ACK_RECEIVED: usize = 56;
    const BYTES_ACKED: usize = 120;

    // nix panics if the system writes fewer bytes than the type has.
    sockopt_impl!(
        /// The memory that a socket has, by its use.
        MemInfo,
        GetOnly,
        libc::SOL_SOCKET,
        SO_MEMINFO,
        [u32; MEMINFO]
    );
    sockopt_impl!(
        /// How a TCP connection is.
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        [u8; INFO]
    );

    pub(super) fn queued_memory(socket: BorrowedFd<'_>) -> Option<u32> {
        Some(getsockopt(&socket, MemInfo).ok()?[QUEUED])
    }

    pub(super) fn delivery(socket: BorrowedFd<'_>, waits: bool) -> Option<Delivery> {
        let info = getsockopt(&socket, TcpInfo).ok()?;
        let (acknowledged, _) = info[BYTES_ACKED..].split_first_chunk()?;
        // With nothing in flight and something to send the peer's window is shut: it took
        // something when something was last sent. What it answers to probes is no progress.
        let since = match waits && number(&info, UNACKED)? == 0 {
            true => LAST_DATA_SENT,
            false => LAST_ACK_RECEIVED,
        };
        Some(Delivery {
            waits,
            acknowledged: u64::from_ne_bytes(*acknowledged),
            progress_ms: number(&info, since)?.into(),
        })
    }

    fn number(info: &[u8; INFO], place: usize) -> Option<u32> {
        let (number, _) = info[place..].split_first_chunk()?;
        Some(u32::from_ne_bytes(*number))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::os::fd::BorrowedFd;

    use super::Delivery;

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
        // The last of it is acknowledged when the timer of that has fired, at the latest.
        while is_unacknowledged(&writer) {
            std::thread::yield_now();
        }
        let after = delivery(&writer).unwrap();
        assert!(!after.waits && after.acknowledged > before.acknowledged);
    }
}
