//! Zero-copy relaying from one socket to another: pipes and splice(2), on Linux. Elsewhere
//! there are no pipes, and bytes are copied.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

use crate::sync::{Counted, Counter};

/// The most empty pipes that are kept for reuse.
const MAX_SPARE: usize = 4;

/// The capacity of a pipe, in bytes. Four times as much would save another quarter of the
/// time. But a slow reader may leave all of it filled, and an unprivileged user may have
/// 16,384 pages in pipes altogether.
const CAPACITY: usize = 256 * 1024;

/// The pipes of one thread.
#[derive(Debug)]
pub struct Pipes {
    max: usize,
    spare: Vec<Pipe>,
    /// The number of open pipes, used ones included.
    count: Counter,
}

/// A pipe and the bytes in it. To drop it closes it, and loses these bytes.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    _counted: Counted,
}

impl Pipes {
    /// At most `max` pipes at a time, used ones included. Each takes two descriptors.
    pub fn new(max: usize) -> Pipes {
        Pipes {
            max,
            spare: Vec::new(),
            count: Counter::default(),
        }
    }

    /// Takes an empty pipe; `None` at the limit, or if the system refuses one.
    pub fn take(&mut self) -> Option<Pipe> {
        self.spare.pop().or_else(|| {
            let room = self.count.get() < self.max;
            room.then(|| system::open(&self.count).ok())?
        })
    }

    /// Takes back an empty pipe for reuse.
    pub fn give_back(&mut self, pipe: Pipe) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(pipe);
        }
    }
}

impl Pipe {
    /// Moves bytes of `from` into the pipe, which must be empty: as many as both allow.
    /// 0 is the end of `from`, or an urgent mark with the end behind it.
    ///
    /// # Errors
    /// As splice(2): `WouldBlock` if `from` has no bytes.
    // splice(2) stops at an urgent mark for good, and returns 0 there once a FIN is queued
    // behind the mark. So a 0 is no end until a read has come to it.
    // Test: a_byte_marked_urgent_in_the_midst_of_much_holds_up_nothing.
    pub fn fill(&mut self, from: &impl AsFd) -> io::Result<usize> {
        system::splice(from, &self.writer, CAPACITY)
    }

    /// Moves `length` bytes out of the pipe, or as many as `to` takes.
    ///
    /// # Errors
    /// As splice(2): `WouldBlock` if `to` has no room.
    // splice(2) writes piece by piece. It does not report an error after the first piece, and
    // the socket forgets the error: after a reset, a read then looks like an end. So it is
    // called again until it says why it stopped.
    // Test: a_reset_in_the_midst_of_a_pipe_is_reported.
    pub fn drain(&mut self, to: &impl AsFd, length: usize) -> io::Result<usize> {
        let mut sent = 0;
        while sent < length {
            match system::splice(&self.reader, to, length - sent) {
                Ok(0) => break,
                Ok(more) => sent += more,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock if sent > 0 => break,
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(sent)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::*;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};

    pub(super) fn open(count: &Counter) -> io::Result<Pipe> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // An error does not matter: a small pipe only needs more turns.
        let _ = fcntl_setpipe_size(&writer, CAPACITY);
        Ok(Pipe {
            reader,
            writer,
            _counted: count.count(),
        })
    }

    pub(super) fn splice(from: &impl AsFd, to: &impl AsFd, length: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(rustix::pipe::splice(from, None, to, None, length, flags)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::*;

    pub(super) fn open(_: &Counter) -> io::Result<Pipe> {
        Err(ErrorKind::Unsupported.into())
    }

    pub(super) fn splice(_: &impl AsFd, _: &impl AsFd, _: usize) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        (a, b)
    }

    #[test]
    fn bytes_go_through_in_order_and_an_end_is_0() {
        let (from, mut source) = pair();
        let (to, mut sink) = pair();
        let mut pipe = Pipes::new(1).take().unwrap();
        let empty = pipe.fill(&from).unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        source.write_all(b"abcdef").unwrap();
        assert_eq!(pipe.fill(&from).unwrap(), 6);
        assert_eq!(pipe.drain(&to, 4).unwrap(), 4);
        assert_eq!(pipe.drain(&to, 2).unwrap(), 2);
        drop((source, to));
        assert_eq!(pipe.fill(&from).unwrap(), 0);
        let mut bytes = Vec::new();
        sink.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abcdef");
    }

    /// The peer answers the first piece by a reset, which the second piece meets.
    #[test]
    fn a_reset_in_the_midst_of_a_pipe_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut to = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        drop(listener.accept().unwrap());
        assert_eq!(to.read(&mut [0]).unwrap(), 0);
        to.set_nonblocking(true).unwrap();
        let mut pipe = Pipes::new(1).take().unwrap();
        // A piece is 16 pages: there are more of them, unless they are large.
        let length = rustix::io::write(&pipe.writer, &[0; 40 * 4096]).unwrap();
        let drained = pipe.drain(&to, length);
        assert!(
            drained.as_ref().map_or(true, |&sent| sent == length),
            "{drained:?}"
        );
    }

    #[test]
    fn pipes_have_a_limit_and_a_lost_one_frees_its_slot() {
        let mut pipes = Pipes::new(2);
        let (first, second) = (pipes.take().unwrap(), pipes.take().unwrap());
        assert!(pipes.take().is_none());
        pipes.give_back(first);
        let first = pipes.take().unwrap();
        assert!(pipes.take().is_none());
        drop((first, second));
        assert!(pipes.take().is_some());
    }
}
