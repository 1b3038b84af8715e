//! One direction of a session: what has been read, kept, written and ended.
//!
//! The symmetric half of `session`, written once. Pure: it never sees a socket.

use super::action::{Action, Direction, Readiness};

/// Bytes on their way from one side to the other.
#[derive(Debug)]
pub(crate) struct HalfStream {
    source: Source,
    sink: Sink,
    behind: Behind,
    /// What was read and would not go; what went of it already is `kept_sent`.
    kept: Vec<u8>,
    kept_sent: usize,
    /// Bytes that were read into a pipe, and are in it still; then nothing is
    /// kept elsewhere.
    piped: usize,
    bulk: Bulk,
    sent: u64,
}

/// Whether so much comes at a time that a pipe is worth its system calls.
///
/// It takes some reads that filled the whole buffer to get there; then every
/// poor yield of the pipe counts against it, and a rich one makes up for all.
#[derive(Debug, Clone, Copy, Default)]
struct Bulk(u8);

impl Bulk {
    const FROM: u8 = 4;
    const MOST: u8 = 8;

    fn is_proved(self) -> bool {
        self.0 >= Bulk::FROM
    }

    fn handle_full_read(&mut self) {
        self.0 = Bulk::MOST.min(self.0 + 1);
    }

    fn handle_short_read(&mut self) {
        self.0 = 0;
    }

    fn handle_piped(&mut self, richly: bool) {
        self.0 = if richly {
            Bulk::MOST
        } else {
            self.0.saturating_sub(1)
        };
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Has nothing to read.
    Empty,
    /// May have something to read.
    Readable,
    /// Has said its last, and all of that was read; some of it is kept.
    Ending,
    /// Has said its last, and all of that went out: it is not read before.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    /// Takes nothing at the moment.
    Full,
    /// May have room.
    Writable,
    /// Takes nothing any more: its writing half was ended, or it broke.
    Closed,
}

/// What comes after the bytes of a short read. No further edge will tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Behind {
    /// Nothing yet: the socket is empty.
    Nothing,
    /// The end, which had come before the bytes were read.
    End,
    /// Whatever a broken connection has left, or what an urgent mark, where
    /// reading stops short, is in front of. Reading on will tell.
    Unknown,
}

impl HalfStream {
    pub(crate) fn new() -> HalfStream {
        HalfStream {
            source: Source::Empty,
            sink: Sink::Full,
            behind: Behind::Nothing,
            kept: Vec::new(),
            kept_sent: 0,
            piped: 0,
            bulk: Bulk::default(),
            sent: 0,
        }
    }

    /// What this direction wants done. A side is not read for what the other
    /// cannot take: that is all there is to back-pressure.
    pub(crate) fn next(&self, direction: Direction) -> Action {
        match (self.sink, self.source) {
            (Sink::Writable, _) if self.piped > 0 => Action::Drain(direction),
            (Sink::Writable, _) if !self.kept.is_empty() => Action::Write(direction),
            (Sink::Writable, Source::Readable) if self.is_bulk() => Action::Fill(direction),
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
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept[self.kept_sent..]
    }

    /// Bytes read into a pipe but not yet written.
    pub(crate) fn piped(&self) -> usize {
        self.piped
    }

    /// Whether a pipe is to be used. Splicing stops at an urgent mark for good,
    /// where reading goes on behind it.
    fn is_bulk(&self) -> bool {
        self.bulk.is_proved() && self.behind != Behind::Unknown
    }

    /// Whether nothing more will ever be written.
    pub(crate) fn is_over(&self) -> bool {
        self.sink == Sink::Closed
    }

    /// Whether all that will be written has been: at most a half-close is owed.
    pub(crate) fn finished(&self) -> bool {
        self.is_over() || self.source == Source::Ended
    }

    pub(crate) fn handle_readable(&mut self, ready: Readiness) {
        let behind = match ready {
            _ if ready.error || ready.urgent => Behind::Unknown,
            _ if ready.read_closed => Behind::End,
            _ => Behind::Nothing,
        };
        self.behind = self.behind.max(behind);
        if (ready.readable || behind > Behind::Nothing) && self.source == Source::Empty {
            self.source = Source::Readable;
        }
    }

    pub(crate) fn handle_writable(&mut self) {
        if self.sink == Sink::Full {
            self.sink = Sink::Writable;
        }
    }

    /// Room was long in coming. Whether something is kept that could use it.
    pub(crate) fn handle_overdue(&mut self) -> bool {
        if self.keeps() {
            self.handle_writable();
        }
        self.keeps()
    }

    /// A short read: the socket is empty, unless there is more behind the bytes.
    pub(crate) fn handle_short_read(&mut self) {
        self.bulk.handle_short_read();
        match self.behind {
            Behind::Nothing => self.handle_drained(),
            Behind::End => self.source = Source::Ending,
            Behind::Unknown => {}
        }
    }

    /// A read that filled the buffer: there may be more.
    pub(crate) fn handle_full_read(&mut self) {
        self.bulk.handle_full_read();
    }

    /// A pipe was filled, more or less richly. What it holds says nothing of
    /// what the socket does: bytes in many pieces fill it early.
    pub(crate) fn handle_filled(&mut self, bytes: usize, richly: bool) {
        debug_assert!(!self.keeps(), "read while something was kept");
        self.piped = bytes;
        self.bulk.handle_piped(richly);
    }

    /// No pipe is to be had: for now, the bytes are copied.
    pub(crate) fn handle_no_pipe(&mut self) {
        self.bulk = Bulk::default();
    }

    /// So much of what the pipe held went out.
    pub(crate) fn handle_piped_out(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.piped -= bytes;
        if self.piped > 0 {
            self.sink = Sink::Full;
        }
    }

    /// The system said so itself: whatever else it said, there will be an edge.
    pub(crate) fn handle_drained(&mut self) {
        self.source = Source::Empty;
    }

    pub(crate) fn handle_end(&mut self) {
        debug_assert!(!self.keeps(), "read while something was kept");
        self.source = Source::Ended;
    }

    pub(crate) fn handle_sent(&mut self, sent: usize, rest: &[u8]) {
        debug_assert!(!self.keeps(), "read while something was kept");
        self.sent += sent as u64;
        if !rest.is_empty() {
            self.kept.extend_from_slice(rest);
            self.sink = Sink::Full;
        } else {
            self.all_went_out();
        }
    }

    pub(crate) fn handle_sent_kept(&mut self, sent: usize) {
        self.sent += sent as u64;
        self.kept_sent += sent;
        if self.kept_sent == self.kept.len() {
            self.forget_kept();
            self.all_went_out();
        } else {
            self.sink = Sink::Full;
        }
    }

    pub(crate) fn handle_shut(&mut self) {
        self.sink = Sink::Closed;
    }

    /// The sink broke: what was to go out is lost.
    pub(crate) fn abort(&mut self) {
        self.sink = Sink::Closed;
        self.piped = 0;
        self.forget_kept();
    }

    /// Whether something was read that is yet to go out.
    fn keeps(&self) -> bool {
        self.piped > 0 || !self.kept.is_empty()
    }

    /// What was read last is out, and so perhaps the last there ever was.
    fn all_went_out(&mut self) {
        if self.source == Source::Ending {
            self.source = Source::Ended;
        }
    }

    /// Gives the memory back: an idle session costs none.
    fn forget_kept(&mut self) {
        self.kept = Vec::new();
        self.kept_sent = 0;
    }
}
