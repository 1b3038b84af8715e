//! Moves a session's bytes: one read or write for each step it asks for.
//!
//! Decides nothing: what to do next is `session`'s business, and what the two
//! sides are, sockets or a simulation, is hidden behind [`Wire`].

use std::io::{self, ErrorKind};

use super::action::{Direction, Side};
use super::session::Session;

/// The two sides of a session.
pub(crate) trait Wire {
    /// Where pipes come from, and return to when they are empty.
    type Pipes;

    /// Reads without blocking; 0 is the end.
    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes without blocking.
    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize>;
    /// Moves bytes from the direction's source into a pipe, which then is this
    /// direction's until it is empty again; 0 is the end, or what stands in
    /// front of it. `None` where no pipe is to be had.
    fn fill(&mut self, direction: Direction, pipes: &mut Self::Pipes) -> Option<io::Result<usize>>;
    /// Moves `length` bytes, all that the direction's pipe holds, on to its
    /// sink, or as many as that takes.
    fn drain(
        &mut self,
        direction: Direction,
        length: usize,
        pipes: &mut Self::Pipes,
    ) -> io::Result<usize>;
    /// Ends the writing half.
    fn shutdown_write(&mut self, side: Side) -> io::Result<()>;
}

/// Does [`Action::Read`](super::step::Step::Read): reads once into the
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
        Err(error) => read_failed(session, direction, &error),
    }
    0
}

fn read_failed(session: &mut Session, direction: Direction, error: &io::Error) {
    match error.kind() {
        ErrorKind::WouldBlock => session.handle_drained(direction),
        ErrorKind::Interrupted => {}
        _ => session.handle_read_failed(direction),
    }
}

/// Does [`Action::Fill`](super::step::Step::Fill), and writes at once what was
/// read. Returns how many bytes that were; from `rich` on it was worth it.
pub(crate) fn fill<W: Wire>(
    session: &mut Session,
    wire: &mut W,
    direction: Direction,
    pipes: &mut W::Pipes,
    rich: usize,
    now_ms: u64,
) -> usize {
    match wire.fill(direction, pipes) {
        // In front of an urgent mark, splice(2) takes an end behind it for one
        // that is reached: it is believed once reading has come to it.
        None | Some(Ok(0)) => session.handle_no_pipe(direction),
        Some(Ok(length)) => {
            session.handle_filled(direction, length, length >= rich, now_ms);
            drain(session, wire, direction, pipes, now_ms);
            return length;
        }
        // A sandbox may forbid it, or a system not know it: reading is possible.
        Some(Err(error)) if is_not_to_be_had(&error) => session.handle_no_pipe(direction),
        Some(Err(error)) => read_failed(session, direction, &error),
    }
    0
}

fn is_not_to_be_had(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

/// Does [`Action::Drain`](super::step::Step::Drain).
pub(crate) fn drain<W: Wire>(
    session: &mut Session,
    wire: &mut W,
    direction: Direction,
    pipes: &mut W::Pipes,
    now_ms: u64,
) {
    let length = session.piped(direction);
    match until_settled(|| wire.drain(direction, length, pipes)) {
        Ok(sent) => session.handle_piped_out(direction, sent, now_ms),
        Err(_) => session.handle_broken(direction.sink()),
    }
}

/// Does [`Action::Write`](super::step::Step::Write).
pub(crate) fn write_kept(
    session: &mut Session,
    wire: &mut impl Wire,
    direction: Direction,
    now_ms: u64,
) {
    let kept = session.kept(direction);
    match until_settled(|| wire.write(direction.sink(), kept)) {
        Ok(sent) => session.handle_sent_kept(direction, sent, now_ms),
        Err(_) => session.handle_broken(direction.sink()),
    }
}

/// Does [`Action::Shutdown`](super::step::Step::Shutdown).
pub(crate) fn shutdown(session: &mut Session, wire: &mut impl Wire, direction: Direction) {
    match wire.shutdown_write(direction.sink()) {
        Ok(()) => session.handle_shut(direction),
        Err(_) => session.handle_broken(direction.sink()),
    }
}

fn write_new(session: &mut Session, wire: &mut impl Wire, direction: Direction, bytes: &[u8]) {
    match until_settled(|| wire.write(direction.sink(), bytes)) {
        Ok(sent) => session.handle_sent(direction, sent, &bytes[sent..]),
        Err(_) => session.handle_broken(direction.sink()),
    }
}

/// Writes once; a full socket takes 0 bytes.
fn until_settled(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::{Action, Readiness};
    use super::super::timeouts::TimeoutsMs;
    use super::*;

    /// Two sides without end, and pipes of no use.
    struct Endless(ErrorKind);

    impl Wire for Endless {
        type Pipes = ();

        fn read(&mut self, _: Side, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }

        fn write(&mut self, _: Side, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn fill(&mut self, _: Direction, (): &mut ()) -> Option<io::Result<usize>> {
            Some(Err(self.0.into()))
        }

        fn drain(&mut self, _: Direction, _: usize, (): &mut ()) -> io::Result<usize> {
            unreachable!("nothing is in a pipe")
        }

        fn shutdown_write(&mut self, _: Side) -> io::Result<()> {
            unreachable!("nothing ends")
        }
    }

    /// What a session in bulk does next once its pipe has failed like this.
    fn after_a_pipe_that_fails(kind: ErrorKind) -> Action {
        let (mut session, mut wire) = (Session::new(TimeoutsMs::default(), 0), Endless(kind));
        session.handle_picked(0);
        session.handle_connected(0);
        let readable = Readiness {
            readable: true,
            ..Readiness::default()
        };
        session.handle_ready(Side::Client, readable);
        while let Action::Read(direction) = session.next() {
            read(&mut session, &mut wire, direction, &mut [0; 8], 0);
        }
        let Action::Fill(direction) = session.next() else {
            panic!("{:?}", session.next());
        };
        fill(&mut session, &mut wire, direction, &mut (), 4, 0);
        session.next()
    }

    #[test]
    fn where_splicing_is_not_to_be_had_bytes_are_copied() {
        use ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
        for kind in [InvalidInput, PermissionDenied, Unsupported] {
            assert_eq!(
                after_a_pipe_that_fails(kind),
                Action::Read(Direction::ToHost)
            );
        }
        // The socket's own error is not asked for again: it would be gone.
        let reset = after_a_pipe_that_fails(ErrorKind::ConnectionReset);
        assert!(matches!(reset, Action::Close(_)), "{reset:?}");
    }
}
