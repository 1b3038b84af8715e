//! A simulated TCP socket, as Linux shows it with edge-triggered epoll.
//!
//! It reports only changes, and each only once. Bytes are computed from their position: none is
//! stored, and one that is lost, doubled or out of place is noticed.

use std::io;

use rustix::io::Errno;

use super::super::failure::{CloseMode, ConnectProgress, classify_connect_error};
use super::super::session::Readiness;
use super::peer::{Manner, Peer};
use crate::os::sockets::{DeadPeerTimes, Delivery};

/// The state of a connect.
#[derive(Debug, Clone, Copy)]
pub(super) enum Connect {
    /// The host answers at `until_ms`.
    Pending {
        until_ms: u64,
        answer: Result<(), Errno>,
    },
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
}

/// How long the system probes a peer until it gives it up.
const PROBED_MS: u64 = 60_000;

/// One connection: txlb's end, and the peer on the other.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) peer: Peer,
    /// The peer's bytes are computed from this and their position.
    stream: usize,
    /// The size of each of the two buffers.
    capacity: usize,
    connect: Connect,
    /// Bytes that came from the peer, and how many of them were read.
    pub(super) said: usize,
    pub(super) read: usize,
    /// The peer has ended its stream, and that end was read.
    pub(super) ended: bool,
    end_read: bool,
    /// Bytes that were written, and how many of them the peer has received.
    pub(super) wrote: usize,
    received: usize,
    /// When the peer last received a byte, and since when bytes are waiting for it.
    pub(super) received_ms: u64,
    unreceived_since_ms: u64,
    now_ms: u64,
    /// The writing half was ended.
    pub(super) shut: bool,
    /// The peer reset the connection; the error that the system has not reported yet.
    pub(super) reset: bool,
    error: Option<Errno>,
    /// When the system gives the peer up if it is dead, and whether it has.
    gives_up_ms: Option<u64>,
    pub(super) given_up: bool,
    /// The reset was reported to txlb.
    pub(super) reset_known: bool,
    /// Whether txlb closed it with a reset, once it has closed it.
    closed: Option<bool>,
    /// An edge that was not reported yet, and whether there was one before time passed.
    event: bool,
    pub(super) stale_event: bool,
    /// How many polls in a row had no room for its event.
    pub(super) left_out: usize,
    /// A write found no room: an edge must follow once there is room again.
    starved: bool,
    /// The end of the stream was reported: it follows the last byte of a short read.
    end_reported: bool,
    /// An error was reported: what follows a short read is unknown.
    break_reported: bool,
    /// txlb must conclude from the reports that there is nothing to read, or no room to write.
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
            received: 0,
            received_ms: 0,
            unreceived_since_ms: 0,
            now_ms: 0,
            shut: false,
            reset: false,
            error: None,
            gives_up_ms: None,
            given_up: false,
            reset_known: false,
            closed: None,
            event: matches!(connect, Connect::Done),
            stale_event: false,
            left_out: 0,
            starved: false,
            end_reported: false,
            break_reported: false,
            known_empty: true,
            known_full: false,
        }
    }

    /// The peer's byte at `position`.
    pub(super) fn byte(&self, position: usize) -> u8 {
        if let Some(byte) = self.peer.opening.get(position) {
            return *byte;
        }
        u8::try_from((position * 167 + position / 251 + self.stream) % 251).unwrap_or(0)
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.connect, Connect::Done)
    }

    /// Whether it is broken or closed.
    pub(super) fn is_over(&self) -> bool {
        self.reset || self.closed.is_some()
    }

    pub(super) fn has_event(&self) -> bool {
        self.event && self.closed.is_none()
    }

    /// Whether there are bytes or an end to read.
    pub(super) fn has_something(&self) -> bool {
        self.read < self.said || (self.ended && !self.end_read)
    }

    /// Whether Linux would report room: if a third of the send buffer is free.
    pub(super) fn has_room(&self) -> bool {
        3 * (self.capacity - self.unreceived()) >= self.capacity
    }

    /// Whether all the peer's bytes and its end have been read.
    pub(super) fn is_read_out(&self) -> bool {
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
            self.event = true;
            self.connect = Connect::Done;
            if let Err(error) = answer {
                self.connect = Connect::Failed;
                self.reset = true;
                self.error = Some(error);
            }
        }
    }

    /// A spurious wake-up.
    pub(super) fn wake_up(&mut self) {
        self.event = true;
    }

    /// How many bytes the peer may send before the buffer is full.
    pub(super) fn window(&self) -> usize {
        self.capacity - (self.said - self.read)
    }

    pub(super) fn arrive(&mut self, bytes: usize) {
        self.said += bytes;
        self.event |= bytes > 0;
    }

    pub(super) fn end_by_peer(&mut self) {
        self.ended = true;
        self.event = true;
    }

    pub(super) fn reset_by_peer(&mut self) {
        self.reset = true;
        self.error = Some(if self.ended {
            Errno::PIPE
        } else {
            Errno::CONNRESET
        });
        self.event = true;
    }

    /// Bytes written, but not received by the peer yet.
    pub(super) fn unreceived(&self) -> usize {
        self.wrote - self.received
    }

    pub(super) fn taken(&mut self, bytes: usize) {
        self.received += bytes;
        if bytes > 0 {
            self.received_ms = self.now_ms;
        }
        if self.starved && self.has_room() {
            self.starved = false;
            self.event = true;
        }
    }

    pub(super) fn peer_has_received_all(&self) -> bool {
        self.shut && self.unreceived() == 0
    }

    /// From now on the system looks whether the peer is dead.
    pub(super) fn watch_peer(&mut self, times: DeadPeerTimes) {
        let probed_ms = PROBED_MS + times.keep_alive_ms;
        self.gives_up_ms = (times.keep_alive_ms > 0).then(|| self.now_ms + probed_ms);
    }

    /// When the system gives a dead peer up.
    pub(super) fn gives_up_ms(&self) -> Option<u64> {
        let is_dead = self.peer.manner == Manner::Dead && self.is_connected() && !self.is_over();
        self.gives_up_ms.filter(|_| is_dead)
    }

    /// The error that the system has not reported yet.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.reset_known |= self.error.is_some();
        self.error.take().map(io::Error::from)
    }

    /// When a slow reader receives its next byte, if any is waiting.
    pub(super) fn hears_ms(&self) -> Option<u64> {
        let slowly_ms = self.peer.receives_slowly_ms()?;
        let since_ms = self.received_ms.max(self.unreceived_since_ms);
        (self.unreceived() > 0 && self.is_connected() && !self.is_over())
            .then(|| since_ms + slowly_ms)
    }

    /// Time passes, and slow readers read.
    pub(super) fn pass(&mut self, now_ms: u64) {
        self.stale_event |= self.event;
        while let Some(hears_ms) = self.hears_ms().filter(|at_ms| *at_ms <= now_ms) {
            self.now_ms = hears_ms;
            self.taken(1);
            self.stale_event |= self.event && hears_ms < now_ms;
        }
        self.now_ms = now_ms;
        if self.gives_up_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            self.given_up = true;
            self.reset = true;
            self.error = Some(Errno::TIMEDOUT);
            self.event = true;
        }
    }
}

/// What txlb asks of the system.
impl Socket {
    /// The event there is, if any, with the present state of the socket, as epoll reports it.
    pub(super) fn poll(&mut self) -> Option<Readiness> {
        (self.stale_event, self.left_out) = (false, 0);
        if !std::mem::take(&mut self.event) {
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
            // As on Linux: not before the host has accepted, and not on a broken socket.
            connected: self.is_connected() && writable && !self.reset,
        };
        self.known_empty &= !ready.readable;
        self.known_full &= !ready.writable;
        self.end_reported |= ready.read_closed;
        self.break_reported |= ready.error;
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
            let short = length < buffer.len() && !self.break_reported;
            self.known_empty |= short;
            self.end_read |= short && self.end_reported;
        }
        Ok(length)
    }

    /// Reads up to `most` bytes into a pipe. A short result does not mean that the socket is empty.
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

    /// There may be room that the system has not reported.
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
        let length = bytes.len().min(self.capacity - self.unreceived());
        if length < bytes.len() {
            self.starved = true;
            self.known_full = true;
        }
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.unreceived() == 0 {
            self.unreceived_since_ms = self.now_ms;
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

    /// What the peer has acknowledged. Some peers acknowledge twice.
    pub(super) fn delivery(&self) -> Delivery {
        let waits = self.unreceived() > 0;
        let progress_ms = match self.peer.repeats && waits {
            true => 0,
            false => self.now_ms - self.received_ms,
        };
        Delivery {
            waits,
            acknowledged: self.received as u64,
            progress_ms,
        }
    }

    /// Closes it. Unread bytes cause a reset, except for `Deliver`, which reads them first.
    pub(super) fn close(&mut self, mode: CloseMode) {
        self.closed = Some(match mode {
            CloseMode::Orderly => self.read < self.said,
            CloseMode::Reset | CloseMode::OrderlyIfDelivered => true,
            CloseMode::Deliver => self.unreceived() == 0 || self.reset,
        });
    }

    /// Whether written bytes are lost that the peer could still have received.
    pub(super) fn has_lost_bytes(&self) -> bool {
        self.closed == Some(true) && self.unreceived() > 0 && !self.reset
    }

    pub(super) fn was_closed_orderly(&self) -> bool {
        self.closed == Some(false)
    }
}
