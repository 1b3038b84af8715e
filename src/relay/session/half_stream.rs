//! One direction of a session: what was read, buffered, written and ended. Pure. With the words that
//! a session and its connection share: sides, directions, readiness and actions.

use super::TimeoutsMs;
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
    /// Read from the client and keep what it says, before a host is picked or before anything is
    /// written to it: `handle_held`, `handle_held_end` or `handle_would_block`; once enough is
    /// known, `handle_first_bytes`.
    Hold,
    /// The host has ended before it said anything: connect to another one, and say it all again:
    /// `handle_replay`.
    Replay,
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
    /// Have TCP look for dead peers, by `keep_alive` and `unacked`: `handle_peers_watched`.
    WatchPeers(TimeoutsMs),
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
    /// Its client's first bytes are awaited, by which its host is picked.
    FirstBytes,
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
            Phase::FirstBytes => "first-bytes",
            Phase::Picking => "picking",
            Phase::Waiting => "waiting",
            Phase::Connecting => "connecting",
            Phase::Relaying => "relaying",
            Phase::HalfClosed => "half-closed",
        }
    }
}

/// Bytes on their way from one side to the other.
#[derive(Debug)]
pub(crate) struct HalfStream {
    source: Source,
    sink: Sink,
    after_short_read: AfterShortRead,
    /// Bytes that were read and not taken by the sink, or that are kept. The first `buffered_sent`
    /// of them were written since.
    buffered: Vec<u8>,
    buffered_sent: usize,
    /// How many bytes of the source are kept after they were written; 0 is none.
    keeps: u32,
    /// The first so many of `buffered` are txlb's own, a PROXY protocol header. They do not count.
    own: u16,
    /// Bytes in the direction's pipe. If there are any, `buffered` is empty.
    piped: usize,
    bulk: Bulk,
    sent: u64,
}

/// Whether so many bytes come at a time that a pipe is worth its system calls.
///
/// Reads that fill the whole buffer raise it until a pipe is used. Then a pipe that was filled
/// poorly lowers it, and one that was filled well restores it.
#[derive(Debug, Clone, Copy, Default)]
struct Bulk(u8);

impl Bulk {
    const THRESHOLD: u8 = 4;
    const MAX: u8 = 8;

    fn is_reached(self) -> bool {
        self.0 >= Bulk::THRESHOLD
    }

    fn handle_full_read(&mut self) {
        self.0 = Bulk::MAX.min(self.0 + 1);
    }

    fn handle_short_read(&mut self) {
        self.0 = 0;
    }

    fn handle_pipe_filled(&mut self, worthwhile: bool) {
        self.0 = if worthwhile {
            Bulk::MAX
        } else {
            self.0.saturating_sub(1)
        };
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It has nothing to read.
    Empty,
    /// It may have something to read.
    Readable,
    /// Its end was reached, but bytes before it are still buffered.
    Ending,
    /// Its end was reached, and all bytes were written.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    /// It takes nothing at the moment.
    Full,
    /// It may have room.
    Writable,
    /// Its writing half was ended, or it broke.
    Closed,
}

/// What follows the bytes of a short read. No further edge reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AfterShortRead {
    /// Nothing yet: the socket is empty.
    Nothing,
    /// The end of the stream, which was reported before the read. It need not be read.
    // Test: behind_a_short_read_is_the_end_that_was_announced.
    End,
    /// Perhaps more bytes: the connection broke, or reading stopped short of an urgent mark. What
    /// is after a mark makes no edge, so only another read can tell.
    // Tests: a_short_read_is_followed_by_another_where_a_byte_was_marked_urgent,
    // a_short_read_is_followed_by_another_where_the_connection_broke.
    Unknown,
}

impl HalfStream {
    pub(crate) fn new() -> HalfStream {
        HalfStream {
            source: Source::Empty,
            sink: Sink::Full,
            after_short_read: AfterShortRead::Nothing,
            buffered: Vec::new(),
            buffered_sent: 0,
            keeps: 0,
            own: 0,
            piped: 0,
            bulk: Bulk::default(),
            sent: 0,
        }
    }

    /// The next action of this direction.
    pub(crate) fn next(&self, direction: Direction) -> Action {
        // Back-pressure: the source is read only while the sink has room.
        match (self.sink, self.source) {
            (Sink::Writable, _) if self.piped > 0 => Action::Drain(direction),
            (Sink::Writable, _) if self.has_buffered() => Action::Write(direction),
            (Sink::Writable, Source::Readable) if self.uses_pipe() => Action::Fill(direction),
            (Sink::Writable, Source::Readable) => Action::Read(direction),
            (Sink::Writable, Source::Ended) => Action::Shutdown(direction),
            _ => Action::Wait,
        }
    }

    /// Bytes written to the sink.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes read but not yet written.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffered[self.buffered_sent..]
    }

    /// Bytes read into the pipe but not yet written.
    pub(crate) fn piped(&self) -> usize {
        self.piped
    }

    /// Whether to read into a pipe. splice(2) never gets past an urgent mark; read does. What is in
    /// a pipe cannot be kept.
    // Test: what_comes_by_the_buffer_is_piped_until_a_byte_is_marked_urgent.
    fn uses_pipe(&self) -> bool {
        let past_mark = self.after_short_read != AfterShortRead::Unknown;
        self.bulk.is_reached() && past_mark && self.keeps == 0
    }

    /// Whether its source may have something to read.
    pub(crate) fn is_readable(&self) -> bool {
        self.source == Source::Readable
    }

    /// Whether nothing more will ever be written.
    pub(crate) fn is_closed(&self) -> bool {
        self.sink == Sink::Closed
    }

    /// Whether the source has ended, whether or not the bytes before its end are written.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.source, Source::Ending | Source::Ended)
    }

    /// Whether the source has ended, and all bytes before its end are written.
    pub(crate) fn is_delivered(&self) -> bool {
        self.source == Source::Ended
    }

    /// Whether all bytes were written. At most a half-close is left to do.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_closed() || self.is_delivered()
    }

    /// The source has become readable, or reported something else.
    pub(crate) fn handle_readable(&mut self, ready: Readiness) {
        let reported = match ready {
            _ if ready.error || ready.urgent => AfterShortRead::Unknown,
            _ if ready.read_closed => AfterShortRead::End,
            _ => AfterShortRead::Nothing,
        };
        self.after_short_read = self.after_short_read.max(reported);
        if (ready.readable || reported > AfterShortRead::Nothing) && self.source == Source::Empty {
            self.source = Source::Readable;
        }
    }

    /// The sink has become writable.
    pub(crate) fn handle_writable(&mut self) {
        if self.sink == Sink::Full {
            self.sink = Sink::Writable;
        }
    }

    /// Has unsent bytes written without an event. Returns whether there are any.
    pub(crate) fn retry_buffered(&mut self) -> bool {
        if self.has_unsent() {
            self.handle_writable();
        }
        self.has_unsent()
    }

    /// A read returned less than the buffer's size, so the socket is empty.
    pub(crate) fn handle_short_read(&mut self) {
        self.bulk.handle_short_read();
        match self.after_short_read {
            AfterShortRead::Nothing => self.handle_would_block(),
            AfterShortRead::End => self.source = Source::Ending,
            AfterShortRead::Unknown => {}
        }
    }

    /// A read filled the buffer: there may be more.
    pub(crate) fn handle_full_read(&mut self) {
        self.bulk.handle_full_read();
    }

    /// Bytes were read into the pipe. Even few of them do not mean that the socket is empty: many
    /// small segments fill the pipe's slots early. Only `WouldBlock` means that.
    // Tests: every_run_keeps_its_promises,
    // what_a_stuck_reader_leaves_in_a_pipe_reaches_it_before_the_end.
    pub(crate) fn handle_pipe_filled(&mut self, bytes: usize, worthwhile: bool) {
        debug_assert!(!self.has_unsent(), "read while bytes were buffered");
        self.piped = bytes;
        self.bulk.handle_pipe_filled(worthwhile);
    }

    /// No pipe is free, or splice(2) does not work here: bytes are copied for now.
    pub(crate) fn handle_no_pipe(&mut self) {
        self.bulk = Bulk::default();
    }

    /// Bytes were written from the pipe.
    pub(crate) fn handle_pipe_drained(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.piped -= bytes;
        if self.piped > 0 {
            self.sink = Sink::Full;
        }
    }

    /// Reading returned `WouldBlock`. Whatever was reported before, an edge will follow.
    // Test: a_socket_that_would_block_is_empty_whatever_was_announced.
    pub(crate) fn handle_would_block(&mut self) {
        self.source = Source::Empty;
    }

    /// Reading returned the end of the stream.
    pub(crate) fn handle_end(&mut self) {
        debug_assert!(!self.has_unsent(), "read while bytes were buffered");
        self.source = Source::Ended;
    }

    /// Of the `bytes` just read, `sent` were written. Buffers the rest.
    pub(crate) fn handle_sent(&mut self, bytes: &[u8], sent: usize) {
        debug_assert!(!self.has_unsent(), "read while bytes were buffered");
        self.sent += sent as u64;
        if self.keeps > 0 && self.has_room_to_keep(bytes.len()) {
            self.buffered.extend_from_slice(bytes);
            self.buffered_sent += sent;
        } else {
            self.forget_kept();
            self.buffered.extend_from_slice(&bytes[sent..]);
        }
        match sent < bytes.len() {
            true => self.sink = Sink::Full,
            false => self.finish_ending(),
        }
    }

    /// Buffered bytes were written.
    pub(crate) fn handle_buffered_sent(&mut self, sent: usize) {
        let own = usize::from(self.own);
        let counted = |sent: usize| sent.saturating_sub(own) as u64;
        self.sent += counted(self.buffered_sent + sent) - counted(self.buffered_sent);
        self.buffered_sent += sent;
        if self.has_buffered() {
            return self.sink = Sink::Full;
        }
        if self.keeps == 0 {
            self.free_buffer();
        }
        self.finish_ending();
    }

    /// Bytes were read that must not be written yet.
    pub(crate) fn hold(&mut self, bytes: &[u8]) {
        self.buffered.extend_from_slice(bytes);
        self.keep(self.keeps);
    }

    /// The source has ended behind what is held.
    pub(crate) fn handle_end_behind_held(&mut self) {
        self.source = match self.has_unsent() {
            true => Source::Ending,
            false => Source::Ended,
        };
    }

    /// Drops the first `length` bytes of what is held.
    pub(crate) fn drop_held(&mut self, length: usize) {
        self.buffered.drain(..length);
        if self.buffered.is_empty() {
            self.free_buffer();
            self.finish_ending();
        }
    }

    /// Has `header` written before all else.
    pub(crate) fn lead_with(&mut self, header: &[u8]) {
        debug_assert!(self.buffered_sent == 0, "has begun");
        self.own = u16::try_from(header.len()).unwrap_or(u16::MAX);
        self.buffered.splice(..0, header.iter().copied());
    }

    /// Keeps the first bytes of the source, up to `limit`, so that they can be written again.
    pub(crate) fn keep(&mut self, limit: u32) {
        self.keeps = limit;
        if !self.has_room_to_keep(0) {
            self.keeps = 0;
        }
    }

    /// Whether all that was written is kept.
    pub(crate) fn keeps_all(&self) -> bool {
        self.keeps > 0
    }

    /// Keeps nothing that is written.
    pub(crate) fn forget_kept(&mut self) {
        self.keeps = 0;
        if !self.has_buffered() {
            self.free_buffer();
        }
    }

    /// Its sink is gone, and all that was kept will be written to another one.
    pub(crate) fn rewind(&mut self) {
        self.buffered.drain(..usize::from(self.own));
        (self.own, self.buffered_sent) = (0, 0);
        // They count for the host that gets them.
        self.sent = 0;
        self.sink = Sink::Full;
        if self.source == Source::Ended && self.has_buffered() {
            self.source = Source::Ending;
        }
    }

    fn has_room_to_keep(&self, more: usize) -> bool {
        let kept = self.buffered.len() - usize::from(self.own) + more;
        u32::try_from(kept).is_ok_and(|kept| kept <= self.keeps)
    }

    /// The sink's writing half was ended.
    pub(crate) fn handle_shutdown(&mut self) {
        self.sink = Sink::Closed;
    }

    /// The sink broke: unsent bytes are lost, unless all are kept.
    pub(crate) fn abort(&mut self) {
        if self.keeps_all() {
            return self.sink = Sink::Closed;
        }
        self.sink = Sink::Closed;
        self.piped = 0;
        self.free_buffer();
    }

    /// Whether nothing is known to be on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.has_unsent() && self.source != Source::Readable
    }

    /// Whether bytes were read that are not written yet.
    pub(crate) fn has_unsent(&self) -> bool {
        self.piped > 0 || self.has_buffered()
    }

    fn has_buffered(&self) -> bool {
        self.buffered_sent < self.buffered.len()
    }

    /// All bytes were written: if the source's end follows them, it is reached.
    fn finish_ending(&mut self) {
        if self.source == Source::Ending {
            self.source = Source::Ended;
        }
    }

    /// Frees the memory, so that an idle session needs none.
    fn free_buffer(&mut self) {
        self.buffered = Vec::new();
        self.buffered_sent = 0;
        self.own = 0;
    }
}
