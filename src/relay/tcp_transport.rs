//! The two sockets of a session: what a link asks for, asked of the system.
//!
//! All that a session has to do with the event loop and the socket options is
//! here; when any of it is done is `link`'s business.

use std::io;
use std::iter::once;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::sockopt;

use super::action::{Direction, Readiness, Side};
use super::connect::connect;
use super::connection::Transport;
use super::end::Closing;
use super::failure::{Progress, progress};
use super::pump::Wire;
use crate::balance::Picked;
use crate::os::pipes::{Pipe, Pipes};
use crate::os::sockets::{Delivery, delivery, is_unacknowledged};

/// The client's socket, and the host's once there is one.
#[derive(Debug)]
pub(crate) struct TcpTransport {
    client: TcpStream,
    host: Option<HostSocket>,
    /// The pipes that hold something, or are about to: in most sessions there
    /// never is one.
    pipes: Option<Box<[Option<Pipe>; 2]>>,
}

/// The host's socket, whose Nagle algorithm is turned off as late as may be.
#[derive(Debug)]
struct HostSocket {
    socket: TcpStream,
    nagle: Nagle,
}

/// What keeps small writes from waiting for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nagle {
    /// Nothing was written yet: there is nothing that a first, small write
    /// would have to wait for. Many sessions end with that one.
    Harmless,
    /// It has to be turned off before the next write.
    Harmful,
    /// It is off.
    Off,
}

/// A write that fits into one segment, whatever the path to the host.
const ONE_SEGMENT: usize = 536;

/// What a socket is watched for. Urgent data is not passed on as such (the byte
/// is lost), but where it stands reading stops short, which must be known.
#[cfg(any(target_os = "linux", target_os = "android"))]
const EVERYTHING: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const EVERYTHING: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What an event says of a socket that is watched for [`EVERYTHING`].
pub(crate) fn readiness(event: &Event) -> Readiness {
    Readiness {
        readable: event.is_readable(),
        writable: event.is_writable(),
        read_closed: event.is_read_closed(),
        error: event.is_error(),
        urgent: event.is_priority(),
        connected: vouches(event),
    }
}

/// Whether the event is proof of a connection. On Linux a socket that is still
/// connecting is not writable, and one that has failed is not without hanging
/// up: two system calls are saved. Of other systems that is not known.
fn vouches(event: &Event) -> bool {
    cfg!(any(target_os = "linux", target_os = "android"))
        && event.is_writable()
        && !event.is_write_closed()
        && !event.is_error()
}

impl HostSocket {
    /// Turns Nagle's algorithm off, if a write of `length` bytes, or the rest
    /// of one, might have to wait for it.
    fn prepare_write(&mut self, length: usize) {
        match self.nagle {
            Nagle::Off => {}
            Nagle::Harmless if length <= ONE_SEGMENT => self.nagle = Nagle::Harmful,
            Nagle::Harmless | Nagle::Harmful => {
                // Not worth the connection: without it, small writes are late.
                let _ = self.socket.set_nodelay(true);
                self.nagle = Nagle::Off;
            }
        }
    }
}

impl TcpTransport {
    /// Those of a client that has been accepted.
    pub(crate) fn new(client: TcpStream) -> TcpTransport {
        TcpTransport {
            client,
            host: None,
            pipes: None,
        }
    }

    fn at(&mut self, side: Side) -> io::Result<&mut TcpStream> {
        match side {
            Side::Client => Ok(&mut self.client),
            Side::Host => match &mut self.host {
                Some(host) => Ok(&mut host.socket),
                None => Err(io::ErrorKind::NotConnected.into()),
            },
        }
    }

    /// The place for this direction's pipe.
    fn pipe(&mut self, direction: Direction) -> &mut Option<Pipe> {
        let pipes = self.pipes.get_or_insert_default();
        &mut pipes[direction.index()]
    }

    /// Where the host sees the session come from: one system call.
    pub(crate) fn host_side(&self) -> Option<SocketAddr> {
        self.host.as_ref()?.socket.local_addr().ok()
    }

    fn each(&self) -> impl Iterator<Item = &TcpStream> {
        once(&self.client).chain(self.host.as_ref().map(|host| &host.socket))
    }
}

impl Transport for TcpTransport {
    type Registry = Registry;

    fn register(&mut self, registry: &Registry, token: usize) -> io::Result<()> {
        registry.register(&mut self.client, Token(token), EVERYTHING)
    }

    fn connect(&mut self, to: &Picked, registry: &Registry, token: usize) -> io::Result<()> {
        let mut socket = connect(to.address)?;
        // What the system says of a socket before connect(2) was called would
        // be taken for news, so it is registered after that.
        registry.register(&mut socket, Token(token), EVERYTHING)?;
        self.host = Some(HostSocket {
            socket,
            nagle: Nagle::Harmless,
        });
        Ok(())
    }

    fn progress(&mut self, vouched: bool) -> Progress {
        match &self.host {
            Some(_) if vouched => Progress::Connected,
            Some(host) => progress(&host.socket),
            None => Progress::Pending,
        }
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.host.as_ref()?.socket.local_addr().ok()
    }

    fn drop_host(&mut self) {
        self.host = None;
    }

    fn keep_alive(&mut self) {
        if let Some(host) = &self.host {
            // Not worth a session: without it, a dead peer is noticed later.
            let _ = sockopt::set_socket_keepalive(&host.socket, true);
        }
    }

    fn deliveries(&self) -> [Option<Delivery>; 2] {
        let host = self.host.as_ref().map(|host| &host.socket);
        [host.and_then(delivery), delivery(&self.client)]
    }

    fn close(&mut self, closing: Closing) {
        for socket in self.each() {
            match closing {
                Closing::Orderly => {}
                Closing::Deliver if is_unacknowledged(socket) => end_behind_what_waits(socket),
                // Fails on a socket that is gone already: all the same then.
                Closing::Reset | Closing::Deliver => {
                    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
                }
            }
        }
        self.host = None;
    }
}

/// What is read from a socket that is about to be closed, in bytes, at most.
const MOST_DRAINED: usize = 8 << 20;

/// Has the system deliver what it has taken, and the end of the stream, when `socket` is
/// closed. Closing with unread input would reset it and drop all that, so it is read.
fn end_behind_what_waits(socket: &TcpStream) {
    let _ = socket.shutdown(Shutdown::Write);
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..MOST_DRAINED / buffer.len() {
        if !matches!(receive(socket, &mut buffer), Ok(1..)) {
            return;
        }
    }
}

/// The C library's own calls are points where a thread may be cancelled, which
/// takes them as long again as the rest of what a session does in user space.
/// Here nobody cancels threads.
#[cfg(target_os = "linux")]
fn receive(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    use rustix::net::{RecvFlags, recv};
    let (_, length) = recv(socket, buffer, RecvFlags::empty())?;
    Ok(length)
}

#[cfg(target_os = "linux")]
fn send(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    use rustix::net::{SendFlags, send};
    Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
}

#[cfg(not(target_os = "linux"))]
fn receive(mut socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    io::Read::read(&mut socket, buffer)
}

#[cfg(not(target_os = "linux"))]
fn send(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut socket, bytes)
}

impl Wire for TcpTransport {
    type Pipes = Pipes;

    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        receive(self.at(side)?, buffer)
    }

    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize> {
        if let (Side::Host, Some(host)) = (side, &mut self.host) {
            host.prepare_write(bytes.len());
        }
        send(self.at(side)?, bytes)
    }

    fn fill(&mut self, direction: Direction, pipes: &mut Pipes) -> Option<io::Result<usize>> {
        let mut pipe = pipes.take()?;
        let filled = self
            .at(direction.source())
            .and_then(|socket| pipe.fill(socket));
        match filled {
            Ok(1..) => *self.pipe(direction) = Some(pipe),
            _ => pipes.give_back(pipe),
        }
        Some(filled)
    }

    fn drain(
        &mut self,
        direction: Direction,
        length: usize,
        pipes: &mut Pipes,
    ) -> io::Result<usize> {
        let Some(mut pipe) = self.pipe(direction).take() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let side = direction.sink();
        if let (Side::Host, Some(host)) = (side, &mut self.host) {
            host.prepare_write(length);
        }
        let drained = self.at(side).and_then(|socket| pipe.drain(socket, length));
        if drained.as_ref().is_ok_and(|&sent| sent == length) {
            pipes.give_back(pipe);
        } else {
            *self.pipe(direction) = Some(pipe);
        }
        drained
    }

    fn shutdown_write(&mut self, side: Side) -> io::Result<()> {
        self.at(side)?.shutdown(Shutdown::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn nagle_is_turned_off_before_a_second_write_or_a_large_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || HostSocket {
            socket: TcpStream::connect(address).unwrap(),
            nagle: Nagle::Harmless,
        };
        let mut host = connect();
        host.prepare_write(ONE_SEGMENT);
        assert!(!host.socket.nodelay().unwrap());
        host.prepare_write(1);
        assert!(host.socket.nodelay().unwrap());
        let mut host = connect();
        host.prepare_write(ONE_SEGMENT + 1);
        assert!(host.socket.nodelay().unwrap());
    }
}
