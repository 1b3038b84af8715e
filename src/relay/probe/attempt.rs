//! One probe under way: its socket, and how far it is.

use std::io::{ErrorKind, Read, Write};

use super::Probe;
use crate::balance::Failure;
use crate::relay::check::{Dialogue, Verdict};
use crate::relay::failure::{ConnectError, ConnectProgress, connect_progress};
use crate::relay::proxy_protocol;
use crate::relay::stream::StreamSocket;

#[derive(Debug)]
pub(super) struct Attempt<K> {
    pub(super) probe: Probe<K>,
    socket: StreamSocket,
    pub(super) since_ms: u64,
    is_connected: bool,
}

/// How far an attempt is.
pub(super) enum AttemptProgress {
    Pending,
    /// The connect failed.
    Failed(ConnectError),
    Done(Verdict),
}

impl<K> Attempt<K> {
    pub(super) fn new(probe: Probe<K>, socket: StreamSocket, since_ms: u64) -> Attempt<K> {
        Attempt {
            probe,
            socket,
            since_ms,
            is_connected: false,
        }
    }

    pub(super) fn until_ms(&self) -> u64 {
        self.since_ms.saturating_add(self.probe.timeout_ms)
    }

    /// Goes on as far as it can. Whether the time is over is looked at last.
    pub(super) fn advance(&mut self, buffer: &mut [u8], now_ms: u64) -> AttemptProgress {
        if !self.is_connected {
            match connect_progress(&self.socket) {
                ConnectProgress::Failed(error) => return AttemptProgress::Failed(error),
                ConnectProgress::Connected => {
                    self.is_connected = true;
                    self.send_header();
                }
                ConnectProgress::Pending => {}
            }
        }
        let is_late = self.until_ms() <= now_ms;
        let verdict = match (&mut self.probe.dialogue, self.is_connected) {
            (None, true) => Some(Verdict::Passed),
            (None, false) => is_late.then_some(Verdict::Failed(Failure::TimedOut)),
            (Some(dialogue), true) => talk(&self.socket, dialogue, buffer)
                .or_else(|| is_late.then(|| dialogue.timed_out(true))),
            (Some(dialogue), false) => is_late.then(|| dialogue.timed_out(false)),
        };
        verdict.map_or(AttemptProgress::Pending, AttemptProgress::Done)
    }

    /// Says that this is a connection of txlb's own. A new socket takes so few bytes at once; if it
    /// is broken, what follows tells.
    fn send_header(&mut self) {
        if let Some(version) = self.probe.send_proxy {
            let mut header = Vec::new();
            proxy_protocol::write_local(version, &mut header);
            let _ = (&self.socket).write(&header);
        }
    }
}

/// Sends and reads as much as the socket takes and has. The answer's limit ends the loop.
fn talk(mut socket: &StreamSocket, dialogue: &mut Dialogue, buffer: &mut [u8]) -> Option<Verdict> {
    if let Some(verdict) = dialogue.connected() {
        return Some(verdict);
    }
    while !dialogue.unsent().is_empty() {
        match socket.write(dialogue.unsent()) {
            Ok(bytes) => {
                if let Some(verdict) = dialogue.sent(bytes) {
                    return Some(verdict);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The host may have answered before it reset.
            Err(_) => break,
        }
    }
    loop {
        match socket.read(buffer) {
            Ok(0) => return Some(dialogue.ended(false)),
            Ok(bytes) => {
                if let Some(verdict) = dialogue.received(&buffer[..bytes]) {
                    return Some(verdict);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(_) => return Some(dialogue.ended(true)),
        }
    }
}
