//! The open sessions as plain data, and how a worker is asked for its own.
//!
//! A worker lists some in each turn, so that none of its sessions waits for the list:
//! `worker/list` does it. The list is that of a moment for each of them alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStatus {
    /// No other session of this process has it.
    pub id: u64,
    /// Where its client is.
    pub client: SocketAddr,
    /// Its service's name.
    pub service: String,
    /// The group it was given to: that which was enabled when it began.
    pub group: String,
    /// Its host's name now; `None` while none was picked.
    pub host: Option<String>,
    /// Where the host is.
    pub host_address: Option<SocketAddr>,
    /// Where the host sees it come from.
    pub local_address: Option<SocketAddr>,
    /// How long ago its client was let in, in milliseconds.
    pub age_ms: u64,
    /// How long ago the last byte came or went, in milliseconds.
    pub idle_ms: u64,
    /// Bytes sent to the host.
    pub bytes_to_host: u64,
    /// Bytes sent to the client.
    pub bytes_to_client: u64,
    /// What it is doing.
    pub phase: Phase,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// A host is wanted.
    Picking,
    /// A host is wanted, but this machine has no descriptor or port for it now.
    Waiting,
    /// A host was picked and has not answered yet.
    Connecting,
    /// Bytes flow both ways.
    Relaying,
    /// One side has said its last.
    HalfClosed,
}

impl Phase {
    /// The word for it.
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

/// Some of a worker's sessions.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) sessions: Vec<SessionStatus>,
    /// How many there are besides, for which there was no room.
    pub(crate) more: usize,
}

/// A request for a list, of which each worker has a copy. When all have been
/// dropped, the list is complete.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) slices: Sender<Slice>,
    /// For so many sessions of all workers there is room.
    pub(crate) room: Arc<AtomicUsize>,
}

impl Listing {
    /// Takes room for one session, if there is any.
    pub(crate) fn take_room(&self) -> bool {
        self.room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                room.checked_sub(1)
            })
            .is_ok()
    }
}

#[cfg(test)]
impl SessionStatus {
    /// One that has been relaying for two minutes.
    pub(crate) fn example() -> SessionStatus {
        SessionStatus {
            id: 1 << 48 | 2,
            client: "10.0.0.9:33333".parse().unwrap(),
            service: "web".to_owned(),
            group: "main".to_owned(),
            host: Some("one".to_owned()),
            host_address: Some("10.0.0.1:80".parse().unwrap()),
            local_address: None,
            age_ms: 120_000,
            idle_ms: 5_000,
            bytes_to_host: 512,
            bytes_to_client: 1 << 20,
            phase: Phase::Relaying,
        }
    }
}
