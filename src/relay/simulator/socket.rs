//! A simulated TCP connection as the system shows it to txlb.
//!
//! It reads, writes, breaks and tells of changes as Linux does with epoll,
//! edge-triggered: there is news only of a change, and only once. Bytes are
//! made from their position, so that none need be stored, and any that is lost,
//! doubled or out of place shows. When the far end does what is `peer`'s
//! business.

use std::io;

use rustix::io::Errno;

use super::super::failure::CloseMode;
use super::super::failure::{ConnectProgress, classify_connect_error};
use super::super::session::Readiness;
use super::peer::Peer;
use crate::os::delivery::Delivery;

/// How a connect goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Connect {
    /// The answer comes then.
    Pending {
        until_ms: u64,
        answer: Result<(), Errno>,
    },
    /// There is a connection, or was.
    Done,
    /// There never was one.
    Failed,
}

/// One connection: txlb's end, and the peer on the other.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) peer: Peer,
    /// What the bytes that the peer says are made from, with their position.
    stream: usize,
    /// Of each of the two buffers.
    capacity: usize,
    connect: Connect,
    /// Bytes that have come from the peer, and those of them that were read.
    pub(super) said: usize,
    pub(super) read: usize,
    /// The peer's end has come, and was read.
    pub(super) ended: bool,
    end_read: bool,
    /// Bytes that were written, and those of them that the peer has taken.
    pub(super) wrote: usize,
    heard: usize,
    /// When it took something last, and since when there is something for it to take.
    pub(super) heard_ms: u64,
    unheard_since_ms: u64,
    now_ms: u64,
    /// The writing half was ended.
    pub(super) shut: bool,
    /// The peer broke the connection; what the system has yet to say of it.
    pub(super) reset: bool,
    error: Option<Errno>,
    /// txlb has been told that it broke.
    pub(super) reset_known: bool,
    /// txlb has closed it: with a reset?
    closed: Option<bool>,
    /// An edge that was not told of yet, and whether there was one before time passed.
    news: bool,
    pub(super) stale_news: bool,
    /// Somebody wants to be told when there is room again.
    starved: bool,
    /// An end was told of: it is behind the last byte of a short read.
    end_told: bool,
    /// That it broke was told of: what a short read leaves is not known.
    break_told: bool,
    /// For all that txlb was told, there is nothing to read, or no room to write.
    known_empty: bool,
    known_full: bool,
}

impl Socket {
    pub(super) fn new(peer: Peer, stream: usize, capacity: usize, connect: Connect) -> Socket {
        Socket {
            peer,
            stream,
            capacity,
            connect,
            said: 0,
            read: 0,
            ended: false,
            end_read: false,
            wrote: 0,
            heard: 0,
            heard_ms: 0,
            unheard_since_ms: 0,
            now_ms: 0,
            shut: false,
            reset: false,
            error: None,
            reset_known: false,
            closed: None,
            news: matches!(connect, Connect::Done),
            stale_news: false,
            starved: false,
            end_told: false,
            break_told: false,
            known_empty: true,
            known_full: false,
        }
    }

    /// The byte that the peer says at `position`.
    pub(super) fn byte(&self, position: usize) -> u8 {
        u8::try_from((position * 167 + position / 251 + self.stream) % 251).unwrap_or(0)
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.connect, Connect::Done)
    }

    /// Whether nothing the peer does matters any more.
    pub(super) fn is_over(&self) -> bool {
        self.reset || self.closed.is_some()
    }

    pub(super) fn has_news(&self) -> bool {
        self.news && self.closed.is_none()
    }

    /// Whether there is something to read, be it the end.
    pub(super) fn has_something(&self) -> bool {
        self.read < self.said || (self.ended && !self.end_read)
    }

    /// Whether writing is worth while: Linux says so from a third on.
    pub(super) fn has_room(&self) -> bool {
        3 * (self.capacity - self.unheard()) >= self.capacity
    }

    /// Whether all that the peer said has been read, and its end with it.
    pub(super) fn is_heard_out(&self) -> bool {
        self.end_read && self.read == self.said
    }
}

/// What the network does.
impl Socket {
    pub(super) fn answer_due_ms(&self) -> Option<u64> {
        match self.connect {
            Connect::Pending { until_ms, .. } => Some(until_ms),
            _ => None,
        }
    }

    pub(super) fn answer(&mut self) {
        if let Connect::Pending { answer, .. } = self.connect {
            self.news = true;
            self.connect = Connect::Done;
            if let Err(error) = answer {
                self.connect = Connect::Failed;
                self.reset = true;
                self.error = Some(error);
            }
        }
    }

    /// A wake-up for no reason.
    pub(super) fn rouse(&mut self) {
        self.news = true;
    }

    /// What the peer may say before it has to wait.
    pub(super) fn window(&self) -> usize {
        self.capacity - (self.said - self.read)
    }

    pub(super) fn arrive(&mut self, bytes: usize) {
        self.said += bytes;
        self.news |= bytes > 0;
    }

    pub(super) fn end_by_peer(&mut self) {
        self.ended = true;
        self.news = true;
    }

    pub(super) fn reset_by_peer(&mut self) {
        self.reset = true;
        self.error = Some(if self.ended {
            Errno::PIPE
        } else {
            Errno::CONNRESET
        });
        self.news = true;
    }

    /// Bytes written, but not taken by the peer yet.
    pub(super) fn unheard(&self) -> usize {
        self.wrote - self.heard
    }

    pub(super) fn taken(&mut self, bytes: usize) {
        self.heard += bytes;
        if bytes > 0 {
            self.heard_ms = self.now_ms;
        }
        if self.starved && self.has_room() {
            self.starved = false;
            self.news = true;
        }
    }

    pub(super) fn peer_has_heard_all(&self) -> bool {
        self.shut && self.unheard() == 0
    }

    /// When a slow reader takes its next byte, if there is one.
    pub(super) fn hears_ms(&self) -> Option<u64> {
        let slowly_ms = self.peer.hears_slowly_ms()?;
        let since_ms = self.heard_ms.max(self.unheard_since_ms);
        (self.unheard() > 0 && self.is_connected() && !self.is_over()).then(|| since_ms + slowly_ms)
    }

    /// Time passes, and slow readers read.
    pub(super) fn pass(&mut self, now_ms: u64) {
        self.stale_news |= self.news;
        while let Some(hears_ms) = self.hears_ms().filter(|at_ms| *at_ms <= now_ms) {
            self.now_ms = hears_ms;
            self.taken(1);
            self.stale_news |= self.news && hears_ms < now_ms;
        }
        self.now_ms = now_ms;
    }
}

/// What txlb asks of the system.
impl Socket {
    /// The news there is, as epoll tells it: with all that is so at the moment.
    pub(super) fn poll(&mut self) -> Option<Readiness> {
        self.stale_news = false;
        if !std::mem::take(&mut self.news) {
            return None;
        }
        let pending = matches!(self.connect, Connect::Pending { .. });
        let writable = pending || self.reset || self.shut || self.has_room();
        self.starved |= !writable;
        self.reset_known |= self.error.is_some();
        let ready = Readiness {
            readable: self.has_something() || self.ended || self.reset,
            writable,
            read_closed: self.ended || self.reset,
            error: self.error.is_some(),
            urgent: false,
            // As Linux: never before its time, and not of what is broken.
            connected: self.is_connected() && writable && !self.reset,
        };
        self.known_empty &= !ready.readable;
        self.known_full &= !ready.writable;
        self.end_told |= ready.read_closed;
        self.break_told |= ready.error;
        (ready != Readiness::default()).then_some(ready)
    }

    pub(super) fn connect_progress(&mut self, connect_hint: bool) -> ConnectProgress {
        if connect_hint {
            assert!(self.is_connected(), "takes it for connected");
            return ConnectProgress::Connected;
        }
        match (self.error.take(), self.connect) {
            (Some(error), _) => ConnectProgress::Failed(classify_connect_error(&error.into())),
            (None, Connect::Done) => ConnectProgress::Connected,
            (None, _) => ConnectProgress::Pending,
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = self.read;
        let length = self.take(buffer.len())?;
        for (index, byte) in buffer[..length].iter_mut().enumerate() {
            *byte = self.byte(start + index);
        }
        if length > 0 {
            let short = length < buffer.len() && !self.break_told;
            self.known_empty |= short;
            self.end_read |= short && self.end_told;
        }
        Ok(length)
    }

    /// Reads into a pipe that takes so much: that it is less than there was
    /// room for says nothing.
    pub(super) fn take(&mut self, most: usize) -> io::Result<usize> {
        assert!(self.is_connected(), "reads before there is a connection");
        assert!(!self.known_empty, "reads what it knows to be empty");
        let length = most.min(self.said - self.read);
        if length > 0 {
            self.read += length;
            return Ok(length);
        }
        if let Some(error) = self.error.take() {
            self.reset_known = true;
            return Err(error.into());
        }
        if self.ended || self.reset {
            self.end_read = true;
            return Ok(0);
        }
        self.known_empty = true;
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// There may be room that the system does not find worth telling of.
    pub(super) fn doubt_that_it_is_full(&mut self) {
        self.known_full = false;
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.is_connected(), "writes before there is a connection");
        assert!(!self.shut, "writes after it has ended its half");
        assert!(!self.known_full, "writes to what it knows to be full");
        if self.reset {
            self.reset_known = true;
            return Err(self.error.take().unwrap_or(Errno::PIPE).into());
        }
        let length = bytes.len().min(self.capacity - self.unheard());
        if length < bytes.len() {
            self.starved = true;
            self.known_full = true;
        }
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.unheard() == 0 {
            self.unheard_since_ms = self.now_ms;
        }
        self.wrote += length;
        Ok(length)
    }

    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        assert!(!self.shut, "ends its half twice");
        if self.reset {
            self.reset_known = true;
            return Err(Errno::NOTCONN.into());
        }
        self.shut = true;
        Ok(())
    }

    /// What the peer has taken, as its acknowledgements say. Some come twice.
    pub(super) fn delivery(&self) -> Delivery {
        let progress_ms = match self.peer.repeats {
            true => 0,
            false => self.now_ms - self.heard_ms,
        };
        Delivery {
            waits: self.unheard() > 0,
            acknowledged: self.heard as u64,
            progress_ms,
        }
    }

    /// Closing with unread bytes resets as well, unless they are read just before.
    pub(super) fn close(&mut self, closing: CloseMode) {
        self.closed = Some(match closing {
            CloseMode::Orderly => self.read < self.said,
            CloseMode::Reset => true,
            CloseMode::Deliver => self.unheard() == 0 || self.reset,
        });
    }

    /// Whether what was written is lost to a peer that could still take it.
    pub(super) fn has_lost_bytes(&self) -> bool {
        self.closed == Some(true) && self.unheard() > 0 && !self.reset
    }

    pub(super) fn was_closed_orderly(&self) -> bool {
        self.closed == Some(false)
    }
}
