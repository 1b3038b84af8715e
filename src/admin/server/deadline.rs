//! A TCP stream that ends at a deadline, however slow its peer is.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection_limiter::Activity;

/// A socket whose reads and writes fail with `TimedOut` after a deadline. It is a moment, not a
/// time for each call: a peer that sends a byte now and then does not extend it.
/// Test: `a_peer_that_sends_now_and_then_does_not_extend_the_deadline`.
pub(in crate::admin) struct DeadlineStream {
    stream: Arc<TcpStream>,
    deadline: Instant,
    /// Where input of the peer is recorded.
    activity: Option<Arc<Activity>>,
}

impl DeadlineStream {
    /// Makes `stream` blocking, with a deadline.
    ///
    /// # Errors
    /// The system's.
    pub(in crate::admin) fn new(
        stream: impl Into<Arc<TcpStream>>,
        deadline: Instant,
    ) -> io::Result<DeadlineStream> {
        let stream = stream.into();
        // On some systems an accepted socket inherits O_NONBLOCK from its listener.
        stream.set_nonblocking(false)?;
        Ok(DeadlineStream {
            stream,
            deadline,
            activity: None,
        })
    }

    /// Records input of the peer there.
    pub(in crate::admin) fn with_activity(self, activity: Arc<Activity>) -> DeadlineStream {
        DeadlineStream {
            activity: Some(activity),
            ..self
        }
    }

    /// Sets another deadline, such as that of the next request.
    pub(in crate::admin) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// The socket itself.
    pub(in crate::admin) fn socket(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// How long the next call may take.
    fn remaining(&self) -> io::Result<Duration> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(remaining)
    }
}

/// The result of a call, a timeout as `TimedOut`. `None` if it was interrupted.
fn outcome(done: io::Result<usize>) -> Option<io::Result<usize>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
        // SO_RCVTIMEO and SO_SNDTIMEO end in EAGAIN.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Some(Err(io::ErrorKind::TimedOut.into()))
        }
        done => Some(done),
    }
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.remaining()?))?;
            if let Some(done) = outcome((&*self.stream).read(buffer)) {
                if let (Ok(1..), Some(activity)) = (&done, &self.activity) {
                    activity.record_input();
                }
                return done;
            }
        }
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.stream.set_write_timeout(Some(self.remaining()?))?;
            if let Some(done) = outcome((&*self.stream).write(bytes)) {
                return done;
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn bytes_pass_until_the_deadline() {
        let (server, mut client) = pair();
        // As an accepted socket may inherit it.
        server.set_nonblocking(true).unwrap();
        let mut timed = DeadlineStream::new(server, late()).unwrap();
        let peer = timed.socket().peer_addr().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        timed.write_all(b"hello").unwrap();
        let mut received = [0; 5];
        client.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"hello");
        client.write_all(b"well").unwrap();
        timed.read_exact(&mut received[..4]).unwrap();
        assert_eq!(&received[..4], b"well");
        timed.set_deadline(soon());
        let error = timed.read(&mut received).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // After the deadline nothing passes, not even what would not block.
        client.write_all(b"late").unwrap();
        for error in [timed.read(&mut received), timed.write(b"x")] {
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        timed.set_deadline(late());
        assert_eq!(timed.read(&mut received).unwrap(), 4);
    }

    #[test]
    fn a_peer_that_sends_now_and_then_does_not_extend_the_deadline() {
        let (server, mut client) = pair();
        let begun = Instant::now();
        let (stop, stopped) = channel::<()>();
        let drips = thread::spawn(move || {
            // Nobody sends: this is the pause between two bytes.
            while stopped.recv_timeout(Duration::from_millis(5)).is_err() {
                if begun.elapsed() > Duration::from_secs(30) || client.write_all(b".").is_err() {
                    break;
                }
            }
        });
        let mut timed = DeadlineStream::new(server, soon()).unwrap();
        let error = timed.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(20));
        stop.send(()).unwrap();
        drips.join().unwrap();
    }

    #[test]
    fn a_peer_that_reads_nothing_does_not_hold_a_write() {
        let (server, _client) = pair();
        let mut timed = DeadlineStream::new(server, soon()).unwrap();
        let error = timed.write_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
