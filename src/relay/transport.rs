//! What a connection asks of its two sockets, and a worker of its listeners: implemented by TCP and
//! Unix sockets, and by the simulator.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::failure::{CloseMode, ConnectError, ConnectProgress};
use super::session::{Direction, Side};
use crate::balance::Picked;
use crate::os::address::Address;
use crate::os::outgoing::ConnectOptions;
use crate::os::sockets::{DeadPeerTimes, Delivery};

/// The way from a client to its host, as a [`Connection`](super::connection::Connection) uses it.
///
/// The client's side exists from the start. The host's side comes with `connect`, may be dropped,
/// and may come again to another host. It is read and written only after `connect_progress`
/// returned `Connected`. No method blocks.
pub(crate) trait Transport: Debug + Sized {
    /// Where sides and listeners register for events.
    type Registry;

    /// Where pipes come from, and where empty pipes return to.
    type Pipes;

    /// What accepts clients.
    type Listener: ListenSocket<Self>;

    /// What wakes a worker.
    type Waker: Debug;

    /// Wakes a worker: an event for its mailbox comes. A failure is ignored.
    fn wake(waker: &Self::Waker);

    /// Registers the client's side for every event it will ever wait for.
    ///
    /// # Errors
    /// The system's, if it cannot watch one more socket.
    fn register(&mut self, registry: &Self::Registry, token: usize) -> io::Result<()>;

    /// Starts a connect to a host and registers the host's side. No host's side may exist.
    ///
    /// # Errors
    /// Why it was not started; no host's side exists then.
    fn connect(
        &mut self,
        to: &Picked,
        options: ConnectOptions,
        registry: &Self::Registry,
        token: usize,
    ) -> Result<(), ConnectError>;

    /// The state of the connect; `Pending` without a host's side. A failure is reported once.
    /// With a `connect_hint` the system has already proved the connection and is not asked.
    fn connect_progress(&mut self, connect_hint: bool) -> ConnectProgress;

    /// The local address of the host's side, once its connect has started; a Unix socket has none.
    /// One system call.
    fn local_address(&self) -> Option<SocketAddr>;

    /// The address that the client connected to; `None` for a Unix socket. One system call.
    fn asked_address(&self) -> Option<SocketAddr>;

    /// Closes the host's side: its connect failed, or it has ended before it said anything.
    fn drop_host(&mut self);

    /// Has TCP look for dead peers on both sides. A failure is ignored.
    fn watch_peers(&mut self, times: DeadPeerTimes);

    /// The error by which a side broke, unless a call has returned it.
    fn take_error(&mut self, side: Side) -> Option<io::Error>;

    /// How many bytes host and client have acknowledged, where the system tells.
    fn deliveries(&self) -> [Option<Delivery>; 2];

    /// Closes both sides. The client's descriptor may stay open until the transport is dropped.
    fn close(&mut self, mode: CloseMode);

    /// Reads once; 0 is the end of the stream.
    ///
    /// # Errors
    /// Those of recv(2).
    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes once.
    ///
    /// # Errors
    /// Those of send(2).
    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize>;

    /// Moves bytes from the direction's source into a pipe, which belongs to this direction until
    /// it is empty again. 0 is the end of the stream, or an urgent mark. `None`: no pipe is free.
    fn fill_pipe(
        &mut self,
        direction: Direction,
        pipes: &mut Self::Pipes,
    ) -> Option<io::Result<usize>>;

    /// Moves bytes from the direction's pipe, which holds `length`, to its sink. Returns how many.
    ///
    /// # Errors
    /// Those of splice(2).
    fn drain_pipe(
        &mut self,
        direction: Direction,
        length: usize,
        pipes: &mut Self::Pipes,
    ) -> io::Result<usize>;

    /// Ends the writing half.
    ///
    /// # Errors
    /// Those of shutdown(2).
    fn shutdown_write(&mut self, side: Side) -> io::Result<()>;
}

/// A listening socket.
pub(crate) trait ListenSocket<T: Transport>: Sized {
    /// The socket as the controller opens it.
    type Socket;

    /// Takes over a socket.
    fn new(socket: Self::Socket) -> Self;

    /// Registers for an event whenever the backlog is no longer empty.
    ///
    /// # Errors
    /// The system's, if it cannot watch one more socket.
    fn register(&mut self, registry: &T::Registry, token: usize) -> io::Result<()>;

    /// The reverse of `register`.
    fn deregister(&mut self, registry: &T::Registry);

    /// Accepts a client.
    ///
    /// # Errors
    /// Those of accept(2).
    fn accept(&self) -> io::Result<(T, Address)>;

    /// A second descriptor of the same socket, for another process.
    ///
    /// # Errors
    /// The system's; `Unsupported` where there is no such thing.
    fn duplicate(&self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
