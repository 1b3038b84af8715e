//! Who is at the other end of a Unix socket, as the system vouches for it.

use std::io;
use std::os::unix::net::UnixStream;

/// Whoever connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user; `None` on systems that are not asked.
    pub uid: Option<u32>,
    /// The process, where the system tells.
    pub pid: Option<i32>,
}

/// Who connected to this socket.
///
/// # Errors
/// The system's.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(stream)?;
    // The number 0 is that of a process outside of this one's namespace.
    let pid = credentials.pid.as_raw_nonzero().get();
    Ok(Peer {
        uid: Some(credentials.uid.as_raw()),
        pid: Some(pid).filter(|pid| *pid > 0),
    })
}

/// Who connected to this socket: not asked here, where the mode of the socket has
/// to do.
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
