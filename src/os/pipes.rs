//! Pipes that bytes take from one socket to another without being copied:
//! splice(2), where the system has it.
//!
//! Only the pipes; when they pay is the relay's business. Elsewhere there are
//! none to be had, and bytes are copied.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Empty pipes that are kept.
const MOST_SPARE: usize = 4;

/// What a pipe is asked to hold. Four times as much would cost a quarter less
/// still, but a reader that is slow may leave all of it filled, and a user
/// without privileges may have 16,384 pages in pipes altogether.
const CAPACITY: usize = 256 * 1024;

/// The pipes of one thread.
#[derive(Debug)]
pub struct Pipes {
    most: usize,
    spare: Vec<Pipe>,
    /// How many there are, wherever they are.
    count: Arc<AtomicUsize>,
}

/// A pipe and what is in it. Dropping it closes it, and what it holds is lost.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    count: Arc<AtomicUsize>,
}

impl Pipes {
    /// At most so many at a time, those that were taken included: two
    /// descriptors each.
    pub fn new(most: usize) -> Pipes {
        Pipes {
            most,
            spare: Vec::new(),
            count: Arc::default(),
        }
    }

    /// An empty pipe, if there may be one more and the system has it.
    pub fn take(&mut self) -> Option<Pipe> {
        self.spare.pop().or_else(|| {
            let room = self.count.load(Ordering::Relaxed) < self.most;
            room.then(|| system::open(&self.count).ok())?
        })
    }

    /// Takes back a pipe that is empty again.
    pub fn give_back(&mut self, pipe: Pipe) {
        if self.spare.len() < MOST_SPARE {
            self.spare.push(pipe);
        }
    }
}

impl Pipe {
    /// Moves what `from` has into the pipe, which is empty: as much as both
    /// allow. 0 is the end of `from`, or an urgent mark with the end behind it.
    ///
    /// # Errors
    /// As of splice(2): `WouldBlock` where there is nothing to be had.
    pub fn fill(&mut self, from: &impl AsFd) -> io::Result<usize> {
        system::splice(from, &self.writer, CAPACITY)
    }

    /// Moves `length` bytes out of the pipe, or as many as `to` takes.
    ///
    /// splice(2) writes piece by piece. Of an error after the first piece it says
    /// nothing, and the socket has forgotten it then: what was reset reads as if
    /// it had ended. So it is asked again, until it says why it stopped.
    ///
    /// # Errors
    /// As of splice(2): `WouldBlock` where there is no room.
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

impl Drop for Pipe {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::*;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};

    pub(super) fn open(count: &Arc<AtomicUsize>) -> io::Result<Pipe> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Not worth the pipe: a small one only needs more turns.
        let _ = fcntl_setpipe_size(&writer, CAPACITY);
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Pipe {
            reader,
            writer,
            count: Arc::clone(count),
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

    pub(super) fn open(_: &Arc<AtomicUsize>) -> io::Result<Pipe> {
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

    /// The first piece is answered by a reset, which the second one meets.
    #[test]
    fn a_reset_in_the_midst_of_a_pipe_is_told_of() {
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
    fn there_are_no_more_than_allowed_and_a_lost_one_makes_room() {
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
