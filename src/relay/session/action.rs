//! The interface between a session and its connection: sides, directions, readiness and actions.

use crate::relay::failure::EndReason;

/// One of the two sides of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who connected to txlb.
    Client,
    /// The server that txlb connected to.
    Host,
}

/// The direction in which bytes flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the host.
    ToHost,
    /// From the host to the client.
    ToClient,
}

impl Direction {
    /// The side that is read.
    pub(crate) fn source(self) -> Side {
        match self {
            Direction::ToHost => Side::Client,
            Direction::ToClient => Side::Host,
        }
    }

    /// The side that is written.
    pub(crate) fn sink(self) -> Side {
        self.opposite().source()
    }

    /// The other direction.
    pub(crate) fn opposite(self) -> Direction {
        match self {
            Direction::ToHost => Direction::ToClient,
            Direction::ToClient => Direction::ToHost,
        }
    }

    /// Its index in an array with one element for each direction.
    pub(crate) fn index(self) -> usize {
        usize::from(self == Direction::ToClient)
    }

    /// The direction that starts at `side`.
    pub(crate) fn from(side: Side) -> Direction {
        match side {
            Side::Client => Direction::ToHost,
            Side::Host => Direction::ToClient,
        }
    }
}

/// What an event reported about a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Readiness {
    /// It has something to read.
    pub(crate) readable: bool,
    /// It has room to write.
    pub(crate) writable: bool,
    /// The peer has ended its stream: reading will come to the end.
    pub(crate) read_closed: bool,
    /// The connection is broken.
    pub(crate) error: bool,
    /// The peer has marked a byte as urgent (OOB): reading stops short of the mark.
    pub(crate) urgent: bool,
    /// The event proves that the connect succeeded. If unset, the socket must be asked.
    pub(crate) connected: bool,
}

/// What the connection must do next, and the method that reports the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Pick a host and start a connect: `handle_picked`, `handle_no_host`, `handle_routing_loop`,
    /// `handle_connect_failed`, `handle_moved`, `handle_no_port` or `handle_shortage`.
    Pick,
    /// Check whether the connect is done: `handle_connected`, `handle_connect_failed`,
    /// `handle_moved` or `handle_connect_pending`.
    CheckConnect {
        /// Its time is over: a pending connect has failed.
        late: bool,
        /// An event has proved that the connect succeeded.
        connect_hint: bool,
    },
    /// Read in this direction and write at once: `handle_read` with `handle_sent`,
    /// `handle_would_block`, `handle_end` or `handle_read_failed`.
    Read(Direction),
    /// Write the buffered bytes of this direction: `handle_buffered_sent`.
    Write(Direction),
    /// Read in this direction into a pipe: `handle_pipe_filled` or `handle_no_pipe`.
    Fill(Direction),
    /// Write from the pipe of this direction: `handle_pipe_drained`.
    Drain(Direction),
    /// Half-close: end the writing half of this direction's sink: `handle_shutdown`.
    Shutdown(Direction),
    /// Turn TCP keepalive on at the host's side: `handle_keepalive`.
    KeepAlive,
    /// Ask how many bytes the peers have acknowledged: `handle_delivery`.
    CheckDelivery,
    /// Wait for an event or the deadline.
    Wait,
    /// Close both sides: the session has ended.
    Close(EndReason),
}

/// What a session is doing, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It needs a host.
    Picking,
    /// It needs a host, but this machine has no file descriptor or local port left.
    Waiting,
    /// A host was picked and has not answered yet.
    Connecting,
    /// Bytes flow both ways.
    Relaying,
    /// One side has ended its stream.
    HalfClosed,
}

impl Phase {
    /// Its name in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Picking => "picking",
            Phase::Waiting => "waiting",
            Phase::Connecting => "connecting",
            Phase::Relaying => "relaying",
            Phase::HalfClosed => "half-closed",
        }
    }
}
