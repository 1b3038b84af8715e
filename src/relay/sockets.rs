//! The two sockets of a session: what a link asks for, asked of the system.
//!
//! All that a session has to do with the event loop and the socket options is
//! here; when any of it is done is `link`'s business.

use std::io;
use std::iter::once;
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::sockopt;

use super::failure::{Progress, progress};
use super::link::Circuit;
use super::pump::Wire;
use super::step::Side;
use crate::balance::Picked;

/// The client's socket, and the host's once there is one.
#[derive(Debug)]
pub(crate) struct Sockets {
    client: TcpStream,
    host: Option<TcpStream>,
}

/// What a socket is watched for. Urgent data is not passed on as such (the byte
/// is lost), but where it stands reading stops short, which must be known.
#[cfg(any(target_os = "linux", target_os = "android"))]
const EVERYTHING: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const EVERYTHING: Interest = Interest::READABLE.add(Interest::WRITABLE);

impl Sockets {
    /// Those of a client that has been accepted.
    pub(crate) fn new(client: TcpStream) -> Sockets {
        Sockets { client, host: None }
    }

    fn at(&mut self, side: Side) -> io::Result<&mut TcpStream> {
        match side {
            Side::Client => Ok(&mut self.client),
            Side::Host => self
                .host
                .as_mut()
                .ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closing sends a reset from now on.
    fn reset_on_close(&self) {
        for socket in once(&self.client).chain(&self.host) {
            // Fails on a socket that is gone already: all the same then.
            let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }
}

impl Circuit for Sockets {
    type Registry = Registry;

    fn register(&mut self, registry: &Registry, token: usize) -> io::Result<()> {
        registry.register(&mut self.client, Token(token), EVERYTHING)
    }

    fn connect(&mut self, to: &Picked, registry: &Registry, token: usize) -> io::Result<()> {
        let mut socket = TcpStream::connect(to.address)?;
        // What the system says of a socket before connect(2) was called would
        // be taken for news, so it is registered after that.
        registry.register(&mut socket, Token(token), EVERYTHING)?;
        // Not worth the connection: without it, small writes wait for one another.
        let _ = socket.set_nodelay(true);
        self.host = Some(socket);
        Ok(())
    }

    fn progress(&mut self) -> Progress {
        self.host.as_ref().map_or(Progress::Pending, progress)
    }

    fn drop_host(&mut self) {
        self.host = None;
    }

    fn keep_alive(&mut self) {
        if let Some(socket) = &self.host {
            // Not worth a session: without it, a dead peer is noticed later.
            let _ = sockopt::set_socket_keepalive(socket, true);
        }
    }

    fn close(&mut self, with_reset: bool) {
        if with_reset {
            self.reset_on_close();
        }
        self.host = None;
    }
}

impl Wire for Sockets {
    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self.at(side)?, buffer)
    }

    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self.at(side)?, bytes)
    }

    fn shutdown_write(&mut self, side: Side) -> io::Result<()> {
        self.at(side)?.shutdown(Shutdown::Write)
    }
}
