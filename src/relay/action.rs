//! The words between a session and those who do what it asks for: sides,
//! directions, what a socket can do, and the steps.
//!
//! Only the words; which step is next is `session`'s business.

use super::end::EndReason;

/// One of the two ends of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who connected to us.
    Client,
    /// Whom we connected to.
    Host,
}

/// Which way bytes go.
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

    /// The other way.
    pub(crate) fn opposite(self) -> Direction {
        match self {
            Direction::ToHost => Direction::ToClient,
            Direction::ToClient => Direction::ToHost,
        }
    }

    /// Its place where something is there for each of the two.
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

/// What the system said of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Readiness {
    /// There is something to read.
    pub(crate) readable: bool,
    /// There is room to write.
    pub(crate) writable: bool,
    /// The peer has ended its half: reading will come to an end.
    pub(crate) read_closed: bool,
    /// The connection is broken.
    pub(crate) error: bool,
    /// The peer has marked a byte as urgent: reading stops short of the mark.
    pub(crate) urgent: bool,
    /// There is a connection beyond doubt. Where the system does not vouch for
    /// it, this stays unset, and the socket is to be asked.
    pub(crate) connected: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Pick a host and start to connect: `handle_picked`, `handle_nobody`,
    /// `handle_connect_failed`, `handle_no_port` or `handle_local_trouble`
    /// follows.
    Pick,
    /// See how the connect stands, which is `late` once its time is up:
    /// `handle_connected`, `handle_connect_failed` or `handle_connecting`.
    Settle {
        /// Whether it must be over now.
        late: bool,
        /// Whether the system has said already that there is a connection.
        vouched: bool,
    },
    /// Read in this direction, and write at once.
    Read(Direction),
    /// Write what is kept of this direction.
    Write(Direction),
    /// Read in this direction into a pipe: it carries much.
    Fill(Direction),
    /// Write what is in the pipe of this direction.
    Drain(Direction),
    /// End the writing half of this direction's sink: `handle_shut`.
    Shutdown(Direction),
    /// Turn keepalive on at the host's end.
    KeepAlive,
    /// See how far the peers have got with what was written: `handle_delivery`.
    CheckDelivery,
    /// Nothing, until an event or the deadline.
    Wait,
    /// Close both ends; the session is over.
    Close(EndReason),
}
