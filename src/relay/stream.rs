//! A connected stream socket and a listening one, each of TCP or a Unix socket, as event queues know
//! them.
//!
//! A Unix socket has no reset, no options of TCP, and no peer that may be dead without the system
//! knowing.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use crate::os::address::Address;
use crate::os::listen::{ACCEPTED_INHERIT_OPTIONS, StreamListener};

/// A connected socket, or one that is connecting.
#[derive(Debug)]
pub(crate) enum StreamSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the same on either socket.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            StreamSocket::Tcp($stream) => $call,
            StreamSocket::Unix($stream) => $call,
        }
    };
}

impl StreamSocket {
    /// The socket if it is one of TCP.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            StreamSocket::Tcp(stream) => Some(stream),
            StreamSocket::Unix(_) => None,
        }
    }

    /// The error by which it broke, unless a call has returned it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self, stream => stream.take_error())
    }

    /// Checks that it has a peer.
    ///
    /// # Errors
    /// `NotConnected` while it is connecting, or the system's.
    pub(crate) fn check_connected(&self) -> io::Result<()> {
        either!(self, stream => stream.peer_addr().map(drop))
    }

    /// Ends a half or both.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        either!(self, stream => stream.shutdown(how))
    }
}

impl AsFd for StreamSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}

impl Read for &StreamSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => (&mut &*stream).read(buffer))
    }
}

impl Write for &StreamSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => (&mut &*stream).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for StreamSocket {
    fn register(&mut self, to: &Registry, token: Token, events: Interest) -> io::Result<()> {
        either!(self, stream => stream.register(to, token, events))
    }

    fn reregister(&mut self, to: &Registry, token: Token, events: Interest) -> io::Result<()> {
        either!(self, stream => stream.reregister(to, token, events))
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        either!(self, stream => stream.deregister(from))
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum ListenerSocket {
    Tcp(TcpListener),
    /// With its path.
    Unix(UnixListener, Arc<Path>),
}

impl ListenerSocket {
    /// Accepts a client. A client of a Unix socket has no address but the path of that.
    ///
    /// # Errors
    /// Those of accept(2).
    pub(crate) fn accept(&self) -> io::Result<(StreamSocket, Address)> {
        match self {
            ListenerSocket::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                if !ACCEPTED_INHERIT_OPTIONS {
                    let _ = stream.set_nodelay(true);
                }
                Ok((StreamSocket::Tcp(stream), Address::Ip(address)))
            }
            ListenerSocket::Unix(listener, path) => {
                let (stream, _) = listener.accept()?;
                Ok((StreamSocket::Unix(stream), Address::Unix(Arc::clone(path))))
            }
        }
    }
}

impl AsFd for ListenerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            ListenerSocket::Tcp(listener) => listener.as_fd(),
            ListenerSocket::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl From<StreamListener> for ListenerSocket {
    fn from(socket: StreamListener) -> ListenerSocket {
        match socket {
            StreamListener::Tcp(listener) => ListenerSocket::Tcp(TcpListener::from_std(listener)),
            StreamListener::Unix(listener, path) => {
                ListenerSocket::Unix(UnixListener::from_std(listener), path)
            }
        }
    }
}

impl Source for ListenerSocket {
    fn register(&mut self, to: &Registry, token: Token, events: Interest) -> io::Result<()> {
        match self {
            ListenerSocket::Tcp(listener) => listener.register(to, token, events),
            ListenerSocket::Unix(listener, _) => listener.register(to, token, events),
        }
    }

    fn reregister(&mut self, to: &Registry, token: Token, events: Interest) -> io::Result<()> {
        match self {
            ListenerSocket::Tcp(listener) => listener.reregister(to, token, events),
            ListenerSocket::Unix(listener, _) => listener.reregister(to, token, events),
        }
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        match self {
            ListenerSocket::Tcp(listener) => listener.deregister(from),
            ListenerSocket::Unix(listener, _) => listener.deregister(from),
        }
    }
}
