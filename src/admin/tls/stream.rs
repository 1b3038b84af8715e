//! A connection that speaks TLS: the handshake, the bytes, the end.
//!
//! Who the server is, and what is said, is not known here.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::{ServerConnection, StreamOwned};

use crate::admin::deadline::Timed;

/// A stream whose handshake is done. Dropping it says goodbye (`close_notify`) if that
/// goes at once.
///
/// A read says 0 where the client has said goodbye, and `UnexpectedEof` where it has
/// only gone; at the deadline everything is `TimedOut`.
pub(in crate::admin) struct TlsStream(StreamOwned<ServerConnection, Timed>);

impl TlsStream {
    pub(super) fn shake_hands(
        mut connection: ServerConnection,
        mut timed: Timed,
    ) -> io::Result<TlsStream> {
        // Each turn reads or writes something, or fails: at the deadline at last.
        while connection.is_handshaking() {
            connection.complete_io(&mut timed)?;
        }
        Ok(TlsStream(StreamOwned::new(connection, timed)))
    }

    /// Another deadline, from now on: for the next request, say.
    pub(in crate::admin) fn set_deadline(&mut self, deadline: Instant) {
        self.0.sock.set_deadline(deadline);
    }

    /// The socket itself: nothing is to be read from or written to it.
    pub(in crate::admin) fn socket(&self) -> &Arc<TcpStream> {
        self.0.sock.socket()
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        let (connection, socket) = (&mut self.0.conn, self.0.sock.socket());
        connection.send_close_notify();
        // Nobody is waited for any more. What does not fit is lost, as is whatever
        // the client would have made of it.
        if socket.set_nonblocking(true).is_ok() {
            while connection.wants_write() {
                if !matches!(connection.write_tls(&mut &**socket), Ok(written) if written > 0) {
                    break;
                }
            }
        }
    }
}
