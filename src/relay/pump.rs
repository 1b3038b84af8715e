//! Moves a session's bytes: one read or write for each step it asks for.
//!
//! Decides nothing: what to do next is `session`'s business, and what the two
//! sides are, sockets or a simulation, is hidden behind [`Wire`].

use std::io::{self, ErrorKind};

use super::session::Session;
use super::step::{Direction, Side};

/// The two sides of a session.
pub(crate) trait Wire {
    /// Reads without blocking; 0 is the end.
    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes without blocking.
    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize>;
    /// Ends the writing half.
    fn shutdown_write(&mut self, side: Side) -> io::Result<()>;
}

/// Does [`Step::Read`](super::step::Step::Read): reads once into the
/// worker's own buffer and writes at once, so that only what would not go is
/// ever stored. Returns how many bytes were read.
pub(crate) fn read(
    session: &mut Session,
    wire: &mut impl Wire,
    direction: Direction,
    buffer: &mut [u8],
    now_ms: u64,
) -> usize {
    match wire.read(direction.source(), buffer) {
        Ok(0) => session.handle_end(direction),
        Ok(length) => {
            // A short read has emptied the socket: no second one is needed to
            // be told so.
            session.handle_read(direction, length < buffer.len(), now_ms);
            write_new(session, wire, direction, &buffer[..length]);
            return length;
        }
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock => session.handle_drained(direction),
            ErrorKind::Interrupted => {}
            _ => session.handle_read_failed(direction),
        },
    }
    0
}

/// Does [`Step::Write`](super::step::Step::Write).
pub(crate) fn write_kept(
    session: &mut Session,
    wire: &mut impl Wire,
    direction: Direction,
    now_ms: u64,
) {
    match try_write(wire, direction.sink(), session.kept(direction)) {
        Ok(sent) => session.handle_sent_kept(direction, sent, now_ms),
        Err(_) => session.handle_broken(direction.sink()),
    }
}

/// Does [`Step::Shutdown`](super::step::Step::Shutdown).
pub(crate) fn shutdown(session: &mut Session, wire: &mut impl Wire, direction: Direction) {
    match wire.shutdown_write(direction.sink()) {
        Ok(()) => session.handle_shut(direction),
        Err(_) => session.handle_broken(direction.sink()),
    }
}

fn write_new(session: &mut Session, wire: &mut impl Wire, direction: Direction, bytes: &[u8]) {
    match try_write(wire, direction.sink(), bytes) {
        Ok(sent) => session.handle_sent(direction, sent, &bytes[sent..]),
        Err(_) => session.handle_broken(direction.sink()),
    }
}

/// Writes once; a full socket takes 0 bytes.
fn try_write(wire: &mut impl Wire, side: Side, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match wire.write(side, bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
