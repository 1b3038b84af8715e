//! The two simulated sockets of a session, watched.
//!
//! Checks every byte that goes through, and that no end is passed on before
//! its time. Peers also act in the middle of a session's turn, as they do in
//! life.

use std::io;

use super::super::pump::Wire;
use super::super::step::Side;
use super::socket::Socket;
use crate::balance::Random;

/// A session's sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) client: Socket,
    pub(super) host: Option<Socket>,
    pub(super) now_ms: u64,
    /// When a byte last went through.
    pub(super) active_ms: u64,
    /// How often a half-close was passed on, and when last.
    pub(super) half_closes: usize,
    pub(super) half_closed_ms: Option<u64>,
    pub(super) random: Random,
}

impl Sockets {
    pub(super) fn new(client: Socket, now_ms: u64, random: Random) -> Sockets {
        Sockets {
            client,
            host: None,
            now_ms,
            active_ms: now_ms,
            half_closes: 0,
            half_closed_ms: None,
            random,
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Socket> {
        std::iter::once(&self.client).chain(&self.host)
    }

    pub(super) fn each_mut(&mut self) -> impl Iterator<Item = &mut Socket> {
        std::iter::once(&mut self.client).chain(&mut self.host)
    }

    /// One of the peers does something.
    pub(super) fn peer_acts(&mut self) {
        match &mut self.host {
            Some(host) if self.random.below(2) == 0 => host.peer_acts(&mut self.random),
            _ => self.client.peer_acts(&mut self.random),
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.each().any(Socket::has_news)
    }

    /// The socket of `side` first, then the other.
    pub(super) fn pair(&self, side: Side) -> Option<(&Socket, &Socket)> {
        let host = self.host.as_ref()?;
        Some(match side {
            Side::Client => (&self.client, host),
            Side::Host => (host, &self.client),
        })
    }

    fn at(&mut self, side: Side) -> &mut Socket {
        match side {
            Side::Client => &mut self.client,
            Side::Host => self.host.as_mut().expect("uses a host it does not have"),
        }
    }

    /// Something may happen between any two system calls; or the call itself
    /// is interrupted.
    fn interlude(&mut self) -> io::Result<()> {
        if self.random.below(8) == 0 {
            self.peer_acts();
        }
        match self.random.below(32) {
            0 => Err(io::ErrorKind::Interrupted.into()),
            _ => Ok(()),
        }
    }

    fn check_bytes(&self, sink: Side, bytes: &[u8]) {
        let (sink, source) = self.pair(sink).expect("writes without a host");
        assert!(
            sink.wrote + bytes.len() <= source.read,
            "writes bytes that were never read"
        );
        for (index, byte) in bytes.iter().enumerate() {
            let position = sink.wrote + index;
            assert_eq!(
                *byte,
                source.byte(position),
                "a byte is lost, doubled or out of place at {position}"
            );
        }
    }
}

impl Wire for Sockets {
    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        self.interlude()?;
        let length = self.at(side).read(buffer)?;
        if length > 0 {
            self.active_ms = self.now_ms;
        }
        Ok(length)
    }

    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "writes nothing");
        self.check_bytes(side, bytes);
        self.interlude()?;
        let length = self.at(side).write(bytes)?;
        self.active_ms = self.now_ms;
        Ok(length)
    }

    fn shutdown_write(&mut self, side: Side) -> io::Result<()> {
        let (sink, source) = self.pair(side).expect("shuts down without a host");
        assert!(
            source.ended && source.is_heard_out() && sink.wrote == source.said,
            "passes on an end that is not one, or cuts it short"
        );
        self.half_closes += 1;
        self.half_closed_ms = Some(self.now_ms);
        self.at(side).shutdown_write()
    }
}
