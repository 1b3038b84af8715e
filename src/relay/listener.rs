//! One listening socket of one worker: who comes in, and when to stop asking.
//!
//! What becomes of an accepted client is the worker's business.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::{TcpListener, TcpStream};
use rustix::io::Errno;

use super::plan::Service;
use crate::os::listen::BindAddress;

/// What a listener is known by, from one configuration to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenKey {
    /// Where it listens, as configured: with port 0 the system chooses.
    pub place: BindAddress,
    /// Its service, for port 0 alone: each service then gets a port of its own.
    pub service: Option<String>,
}

/// A listening socket that is registered with a worker's loop.
pub(crate) struct Listener {
    pub(crate) key: ListenKey,
    pub(crate) socket: TcpListener,
    pub(crate) service: Arc<Service>,
    /// It may have clients waiting: the loop is told of the first one only, so
    /// this stays set until the backlog was seen empty. It is on one of the worker's
    /// lists meanwhile.
    pub(crate) waiting: bool,
    /// It is to be closed as soon as its queue is empty, and then at the latest.
    pub(crate) close_by_ms: Option<u64>,
}

/// What asking for a client came to.
pub(crate) enum Accepted {
    /// Here is one.
    Client(TcpStream, SocketAddr),
    /// Nobody is waiting.
    Nobody,
    /// That one was gone already; there may be others.
    Gone,
    /// The machine is short of something: ask again later, by a timer, for no
    /// further event will come.
    ResourceError(io::Error),
}

impl Listener {
    pub(crate) fn new(key: ListenKey, socket: TcpListener, service: Arc<Service>) -> Listener {
        Listener {
            key,
            socket,
            service,
            waiting: false,
            close_by_ms: None,
        }
    }

    /// Asks for a client.
    pub(crate) fn accept(&self) -> Accepted {
        match self.socket.accept() {
            Ok((socket, address)) => Accepted::Client(socket, address),
            Err(error) => classify(error),
        }
    }
}

/// An error never ends accepting for good: what is not known to be harmless is
/// trouble, and trouble passes.
fn classify(error: io::Error) -> Accepted {
    match error.kind() {
        ErrorKind::WouldBlock => Accepted::Nobody,
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {
            Accepted::Gone
        }
        // Linux passes on what happened to the connection while it waited.
        _ if error
            .raw_os_error()
            .is_some_and(|code| PASSED_ON.contains(&code)) =>
        {
            Accepted::Gone
        }
        _ => Accepted::ResourceError(error),
    }
}

/// The errors of the network that accept(2) says are to be treated as "try
/// again", as far as all systems know them.
const PASSED_ON: [i32; 6] = [
    Errno::NETDOWN.raw_os_error(),
    Errno::PROTO.raw_os_error(),
    Errno::NOPROTOOPT.raw_os_error(),
    Errno::HOSTDOWN.raw_os_error(),
    Errno::HOSTUNREACH.raw_os_error(),
    Errno::NETUNREACH.raw_os_error(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::failure::Shortage;

    #[test]
    fn no_error_ends_accepting_and_only_harmless_ones_go_on_at_once() {
        for code in 1..200 {
            match classify(io::Error::from_raw_os_error(code)) {
                Accepted::Gone => {
                    let error = io::Error::from_raw_os_error(code);
                    assert_eq!(Shortage::of(&error), None);
                }
                Accepted::Nobody => assert_eq!(code, Errno::AGAIN.raw_os_error()),
                Accepted::ResourceError(_) => {}
                Accepted::Client(..) => panic!("a client out of nothing"),
            }
        }
        for errno in [Errno::CONNABORTED, Errno::INTR, Errno::PROTO] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert!(matches!(classify(error), Accepted::Gone), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert!(Shortage::of(&error).is_some());
            assert!(
                matches!(classify(error), Accepted::ResourceError(_)),
                "{errno}"
            );
        }
    }
}
