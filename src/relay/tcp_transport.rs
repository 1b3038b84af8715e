//! The sockets of a connection, of TCP or Unix sockets: connect, read, write, splice, socket options
//! and close.

use std::io::{self, ErrorKind};
use std::iter::once;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Poll, Token, Waker};
use rustix::net::sockopt;

use super::failure::{
    CloseMode, ConnectError, ConnectProgress, Shortage, classify_connect_error,
    classify_unix_connect_error, connect_progress,
};
use super::session::{Direction, Readiness, Side};
use super::stream::{ListenerSocket, StreamSocket};
use super::transport::{ListenSocket, Transport};
use crate::balance::{Failure, Picked};
use crate::os::address::Address;
use crate::os::addresses;
use crate::os::listen::StreamListener;
use crate::os::outgoing::{ConnectFromError, ConnectOptions, connect_unix, connect_with};
use crate::os::pipes::{Pipe, Pipes};
use crate::os::sockets::{DeadPeerTimes, Delivery, delivery, is_unacknowledged, watch_peer};

/// The client's socket, and the host's once a connect has started.
#[derive(Debug)]
pub(crate) struct TcpTransport {
    client: StreamSocket,
    host: Option<HostSocket>,
    /// The pipes of both directions while they hold bytes. Most sessions never have one.
    pipes: Option<Box<[Option<Pipe>; 2]>>,
}

/// The host's socket. Its Nagle algorithm is turned off as late as possible.
#[derive(Debug)]
struct HostSocket {
    socket: StreamSocket,
    nagle: Nagle,
}

/// Whether Nagle's algorithm is to be turned off (`TCP_NODELAY`).
///
/// It delays nothing at a first, small write, and many sessions make no second one. So the system
/// call is made only before a second or a large write.
// Test: nagle_is_turned_off_before_a_second_write_or_a_large_one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nagle {
    /// On; nothing was written yet.
    NothingWritten,
    /// On; it must be turned off before the next write.
    WrittenOnce,
    /// It is off. A Unix socket has none.
    Off,
}

/// Bytes that fit into one segment on any path.
const ONE_SEGMENT: usize = 536;

/// The events for which a socket is registered. Urgent data is not passed on (the byte is lost),
/// but reading stops short of the mark, so the session must know of it.
// Test: a_byte_marked_urgent_holds_up_nothing_behind_it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ALL_EVENTS: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ALL_EVENTS: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What an event reports about a socket.
pub(crate) fn readiness(event: &Event) -> Readiness {
    Readiness {
        readable: event.is_readable(),
        writable: event.is_writable(),
        read_closed: event.is_read_closed(),
        error: event.is_error(),
        urgent: event.is_priority(),
        connected: proves_connected(event),
    }
}

/// Whether the event proves that a connect succeeded, which saves two system calls.
// On Linux a connecting socket is not writable, and a failed one reports an error or both halves
// closed. Other systems are asked.
// Test: a_connection_that_the_system_vouches_for_is_not_asked_about_and_the_next_one_is.
fn proves_connected(event: &Event) -> bool {
    cfg!(any(target_os = "linux", target_os = "android"))
        && event.is_writable()
        && !event.is_write_closed()
        && !event.is_error()
}

impl HostSocket {
    fn new(socket: StreamSocket) -> HostSocket {
        let nagle = match socket {
            StreamSocket::Tcp(_) => Nagle::NothingWritten,
            StreamSocket::Unix(_) => Nagle::Off,
        };
        HostSocket { socket, nagle }
    }

    /// Turns Nagle's algorithm off if it could delay a write of `length` bytes.
    fn prepare_write(&mut self, length: usize) {
        match self.nagle {
            Nagle::Off => {}
            Nagle::NothingWritten if length <= ONE_SEGMENT => self.nagle = Nagle::WrittenOnce,
            Nagle::NothingWritten | Nagle::WrittenOnce => {
                // A failure only makes small writes late; the connection goes on.
                let _ = self.socket.tcp().map(|socket| socket.set_nodelay(true));
                self.nagle = Nagle::Off;
            }
        }
    }
}

impl TcpTransport {
    /// The transport of an accepted client.
    pub(crate) fn new(client: StreamSocket) -> TcpTransport {
        TcpTransport {
            client,
            host: None,
            pipes: None,
        }
    }

    fn socket(&mut self, side: Side) -> io::Result<&mut StreamSocket> {
        match side {
            Side::Client => Ok(&mut self.client),
            Side::Host => match &mut self.host {
                Some(host) => Ok(&mut host.socket),
                None => Err(ErrorKind::NotConnected.into()),
            },
        }
    }

    fn pipe_mut(&mut self, direction: Direction) -> &mut Option<Pipe> {
        let pipes = self.pipes.get_or_insert_default();
        &mut pipes[direction.index()]
    }

    fn sockets(&self) -> impl Iterator<Item = &StreamSocket> {
        once(&self.client).chain(self.host.as_ref().map(|host| &host.socket))
    }

    /// Those of them that are of TCP.
    fn tcp_sockets(&self) -> impl Iterator<Item = &TcpStream> {
        self.sockets().filter_map(StreamSocket::tcp)
    }
}

impl Transport for TcpTransport {
    type Registry = Poll;
    type Pipes = Pipes;
    type Listener = ListenerSocket;
    type Waker = Waker;

    fn wake(waker: &Waker) {
        let _ = waker.wake();
    }

    fn register(&mut self, poll: &Poll, token: usize) -> io::Result<()> {
        let registry = poll.registry();
        registry.register(&mut self.client, Token(token), ALL_EVENTS)
    }

    fn connect(
        &mut self,
        to: &Picked,
        options: ConnectOptions,
        poll: &Poll,
        token: usize,
    ) -> Result<(), ConnectError> {
        let mut socket = connect(options, &to.address)?;
        // After connect(2): epoll reports a socket that was not connected yet as closed.
        poll.registry()
            .register(&mut socket, Token(token), ALL_EVENTS)
            .map_err(|error| classify_connect_error(&error))?;
        self.host = Some(HostSocket::new(socket));
        Ok(())
    }

    fn connect_progress(&mut self, connect_hint: bool) -> ConnectProgress {
        match &self.host {
            Some(_) if connect_hint => ConnectProgress::Connected,
            Some(host) => connect_progress(&host.socket),
            None => ConnectProgress::Pending,
        }
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.host.as_ref()?.socket.tcp()?.local_addr().ok()
    }

    fn asked_address(&self) -> Option<SocketAddr> {
        self.client.tcp()?.local_addr().ok()
    }

    fn drop_host(&mut self) {
        self.host = None;
    }

    fn watch_peers(&mut self, times: DeadPeerTimes) {
        for socket in self.tcp_sockets() {
            // After a failure a dead peer is only noticed later; the session goes on.
            let _ = watch_peer(socket, times);
        }
    }

    fn take_error(&mut self, side: Side) -> Option<io::Error> {
        self.socket(side).ok()?.take_error().ok()?
    }

    fn deliveries(&self) -> [Option<Delivery>; 2] {
        let host = self.host.as_ref().and_then(|host| host.socket.tcp());
        [host, self.client.tcp()].map(|socket| socket.and_then(delivery))
    }

    fn close(&mut self, mode: CloseMode) {
        // What was written to a Unix socket is its peer's already, and it has no reset: its peer sees
        // the end of the stream. Only what the peer had written in vain is an error there.
        let mode = match mode {
            CloseMode::OrderlyIfDelivered if self.tcp_sockets().any(is_unacknowledged) => {
                CloseMode::Reset
            }
            CloseMode::OrderlyIfDelivered => CloseMode::Orderly,
            mode => mode,
        };
        for socket in self.tcp_sockets() {
            match mode {
                CloseMode::Orderly => {}
                CloseMode::Deliver if is_unacknowledged(socket) => deliver_rest(socket),
                // Linger 0 makes close(2) reset. Fails on a broken socket, which needs no reset.
                CloseMode::Reset | CloseMode::Deliver | CloseMode::OrderlyIfDelivered => {
                    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
                }
            }
        }
        self.host = None;
    }

    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        receive(&*self.socket(side)?, buffer)
    }

    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize> {
        if let (Side::Host, Some(host)) = (side, &mut self.host) {
            host.prepare_write(bytes.len());
        }
        send(self.socket(side)?, bytes)
    }

    fn fill_pipe(&mut self, direction: Direction, pipes: &mut Pipes) -> Option<io::Result<usize>> {
        let mut pipe = pipes.take()?;
        let filled = self
            .socket(direction.source())
            .and_then(|socket| pipe.fill(socket));
        match filled {
            Ok(1..) => *self.pipe_mut(direction) = Some(pipe),
            _ => pipes.give_back(pipe),
        }
        Some(filled)
    }

    fn drain_pipe(
        &mut self,
        direction: Direction,
        length: usize,
        pipes: &mut Pipes,
    ) -> io::Result<usize> {
        let Some(mut pipe) = self.pipe_mut(direction).take() else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let side = direction.sink();
        if let (Side::Host, Some(host)) = (side, &mut self.host) {
            host.prepare_write(length);
        }
        let drained = self
            .socket(side)
            .and_then(|socket| pipe.drain(socket, length));
        if drained.as_ref().is_ok_and(|&sent| sent == length) {
            pipes.give_back(pipe);
        } else {
            *self.pipe_mut(direction) = Some(pipe);
        }
        drained
    }

    fn shutdown_write(&mut self, side: Side) -> io::Result<()> {
        self.socket(side)?.shutdown(Shutdown::Write)
    }
}

impl ListenSocket<TcpTransport> for ListenerSocket {
    type Socket = StreamListener;

    fn new(socket: StreamListener) -> ListenerSocket {
        socket.into()
    }

    fn register(&mut self, poll: &Poll, token: usize) -> io::Result<()> {
        poll.registry()
            .register(self, Token(token), Interest::READABLE)
    }

    fn deregister(&mut self, poll: &Poll) {
        let _ = poll.registry().deregister(self);
    }

    fn duplicate(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    fn accept(&self) -> io::Result<(TcpTransport, Address)> {
        let (socket, address) = ListenerSocket::accept(self)?;
        Ok((TcpTransport::new(socket), address))
    }
}

/// Bytes that are read and discarded at most before a socket is closed.
const MAX_DISCARDED_BYTES: usize = 8 << 20;

/// Lets the system deliver the send queue and the end of the stream after `socket` is closed.
// close(2) with unread input resets the connection and throws the send queue away. So the writing
// half is shut down and the input is read first.
// Test: a_client_that_was_cut_still_gets_what_was_sent_before.
fn deliver_rest(socket: &TcpStream) {
    let _ = socket.shutdown(Shutdown::Write);
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..MAX_DISCARDED_BYTES / buffer.len() {
        if !matches!(receive(socket, &mut buffer), Ok(1..)) {
            return;
        }
    }
}

// The C library's send and recv are cancellation points. Preparing for that took as long as all
// else that a session does in user space; rustix makes plain system calls.
// Measurement: cargo bench --bench peers -- --only calls.
#[cfg(target_os = "linux")]
fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    use rustix::net::{RecvFlags, recv};
    let (_, length) = recv(socket, buffer, RecvFlags::empty())?;
    Ok(length)
}

#[cfg(target_os = "linux")]
fn send(socket: &StreamSocket, bytes: &[u8]) -> io::Result<usize> {
    use rustix::net::{SendFlags, send};
    Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
}

#[cfg(not(target_os = "linux"))]
fn receive(mut socket: impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    socket.read(buffer)
}

#[cfg(not(target_os = "linux"))]
fn send(mut socket: &StreamSocket, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut socket, bytes)
}

/// Starts a non-blocking connect to `to`.
///
/// # Errors
/// Whose fault it is. A socket that connected to itself was refused, since no host listens there.
pub(crate) fn connect(options: ConnectOptions, to: &Address) -> Result<StreamSocket, ConnectError> {
    match to {
        Address::Ip(to) => connect_tcp(options, *to).map(StreamSocket::Tcp),
        Address::Unix(path) => match connect_unix(path) {
            Ok(socket) => Ok(StreamSocket::Unix(UnixStream::from_std(socket))),
            Err(error) => Err(classify_unix_connect_error(path, &error)),
        },
    }
}

fn connect_tcp(options: ConnectOptions, to: SocketAddr) -> Result<TcpStream, ConnectError> {
    let socket = match options == ConnectOptions::default() {
        true => connect_plainly(to).map_err(|error| classify_connect_error(&error))?,
        false => connect_specially(options, to)?,
    };
    // connect(2) to a dead host on this machine may choose the host's own port. Both ends are
    // compared only if the host's port is in the ephemeral range: it costs a system call.
    // Test: a_dead_host_on_the_loopback_is_not_connected_to_itself.
    if addresses::local_port_range().contains(&to.port()) && is_itself(&socket, to) {
        // A reset leaves no TIME_WAIT, so the host can bind its port.
        let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        return Err(ConnectError::Host(Failure::Refused));
    }
    Ok(socket)
}

/// # Errors
/// Those of connect(2). `EADDRNOTAVAIL` always means that no local port is left.
fn connect_plainly(to: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(to).map_err(|error| {
        if error.kind() == ErrorKind::AddrNotAvailable && !addresses::has_source_address(to) {
            return io::Error::other(format!(
                "this machine has no {} address to reach it from",
                if to.is_ipv4() { "IPv4" } else { "IPv6" }
            ));
        }
        error
    })
}

fn connect_specially(options: ConnectOptions, to: SocketAddr) -> Result<TcpStream, ConnectError> {
    let error = match connect_with(options, to) {
        Ok(socket) => return Ok(TcpStream::from_std(socket)),
        Err(error) => error,
    };
    let source = options.source.map(|source| source.address.ip());
    let is_own = options.source.is_some_and(|it| !it.is_transparent);
    Err(match (error, source) {
        (ConnectFromError::NotOurs, Some(ip)) => ConnectError::Local(Shortage::Source(ip)),
        (ConnectFromError::NotPermitted, _) => ConnectError::Local(Shortage::Transparency),
        // From another address of this machine it may be reached.
        (ConnectFromError::System(error), Some(ip))
            if is_own && is_unreachable(&error) && addresses::has_route(to) =>
        {
            ConnectError::Local(Shortage::Route(ip))
        }
        (ConnectFromError::System(error), Some(ip)) if error.kind() == ErrorKind::InvalidInput => {
            let why = format!("it cannot be reached from {ip}");
            ConnectError::Host(Failure::Other(why))
        }
        (ConnectFromError::System(error), _) => classify_connect_error(&error),
        (ConnectFromError::NotOurs | ConnectFromError::NoPort, _) => {
            ConnectError::Local(Shortage::Ports)
        }
    })
}

/// Whether no route leads to a host, from the address to which the socket is bound. `EINVAL`: from
/// a loopback address to another machine.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}

/// Whether a socket is connected to itself, by TCP's simultaneous open.
fn is_itself(socket: &TcpStream, peer: SocketAddr) -> bool {
    socket.local_addr().is_ok_and(|local| {
        local.port() == peer.port() && (local.ip() == peer.ip() || peer.ip().is_unspecified())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn nagle_is_turned_off_before_a_second_write_or_a_large_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || HostSocket::new(StreamSocket::Tcp(TcpStream::connect(address).unwrap()));
        let is_off = |host: &HostSocket| host.socket.tcp().unwrap().nodelay().unwrap();
        let mut host = connect();
        host.prepare_write(ONE_SEGMENT);
        assert!(!is_off(&host));
        host.prepare_write(1);
        assert!(is_off(&host));
        let mut host = connect();
        host.prepare_write(ONE_SEGMENT + 1);
        assert!(is_off(&host));
    }

    #[test]
    fn a_socket_with_both_ends_at_one_address_is_connected_to_itself() {
        use rustix::net::{AddressFamily, SocketType, bind, socket};
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let own = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&own, &loopback).unwrap();
        let own = std::net::TcpStream::from(own);
        let address = own.local_addr().unwrap();
        rustix::net::connect(&own, &address).unwrap();
        let own = TcpStream::from_std(own);
        assert!(is_itself(&own, address));
        let listener = TcpListener::bind(loopback).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!is_itself(&TcpStream::connect(address).unwrap(), address));
    }

    #[test]
    fn a_dead_host_is_refused_however_often_it_is_tried() {
        let dead = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = dead.local_addr().unwrap();
        drop(dead);
        for _ in 0..100 {
            if let Err(error) = connect(ConnectOptions::default(), &address.into()) {
                let refused = matches!(error, ConnectError::Host(Failure::Refused));
                assert!(refused, "{error:?}");
            }
        }
    }
}
