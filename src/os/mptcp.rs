//! Sockets of MPTCP, by which a connection may use several paths. Linux alone has them.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};

/// A TCP socket; with `mptcp`, one of MPTCP if this kernel has it. The first time that it has not
/// is logged.
pub(super) fn stream_socket(family: AddressFamily, mptcp: bool) -> Result<OwnedFd, Errno> {
    static IS_LOGGED: AtomicBool = AtomicBool::new(false);
    if mptcp {
        match system::mptcp_socket(family) {
            Ok(socket) => return Ok(socket),
            Err(Errno::AFNOSUPPORT) => return Err(Errno::AFNOSUPPORT),
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                return Err(error);
            }
            Err(error) if !IS_LOGGED.swap(true, Ordering::Relaxed) => log::warn!(
                "this system has no MPTCP ({error}): what asks for it uses TCP alone (see \
                 net.mptcp.enabled)"
            ),
            Err(_) => {}
        }
    }
    socket(family, SocketType::STREAM, None)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use rustix::fd::OwnedFd;
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketType, ipproto, socket};

    pub(super) fn mptcp_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
        socket(family, SocketType::STREAM, Some(ipproto::MPTCP))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use rustix::fd::OwnedFd;
    use rustix::io::Errno;
    use rustix::net::AddressFamily;

    pub(super) fn mptcp_socket(_family: AddressFamily) -> Result<OwnedFd, Errno> {
        Err(Errno::PROTONOSUPPORT)
    }
}
