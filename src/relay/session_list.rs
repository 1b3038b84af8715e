//! The list of open sessions: as plain data, and how a worker makes its part of it.
//!
//! A worker lists some slots in each iteration, so that no session waits for the list.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use super::connection::Connection;
use super::session::Phase;
use super::session_record::status;
use super::slab::Slab;
use super::transport::Transport;

/// Slots listed in one iteration. Each session costs a short lock, a system call (its local
/// address) and some text: about a microsecond together.
const SLOTS_PER_ITERATION: u32 = 128;

/// Requests that a worker serves at the same time. It drops any further one.
const MAX_REQUESTS: usize = 16;

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStatus {
    /// No other session of this process has it.
    pub id: u64,
    /// The client's address.
    pub client: SocketAddr,
    /// Its service's name.
    pub service: String,
    /// The group that was enabled when the session began.
    pub group: String,
    /// Its host's present name; `None` while no host was picked.
    pub host: Option<String>,
    /// The host's address.
    pub host_address: Option<SocketAddr>,
    /// The address from which txlb connected to the host.
    pub local_address: Option<SocketAddr>,
    /// Milliseconds since the client was accepted.
    pub age_ms: u64,
    /// Milliseconds since the last byte was read or written.
    pub idle_ms: u64,
    /// Bytes sent to the host.
    pub bytes_to_host: u64,
    /// Bytes sent to the client.
    pub bytes_to_client: u64,
    /// What it is doing.
    pub phase: Phase,
}

/// Some of a worker's sessions.
#[derive(Debug, Default)]
pub(crate) struct SessionListPart {
    pub(crate) sessions: Vec<SessionStatus>,
    /// How many more sessions the worker has that the list's limit left out.
    pub(crate) more: usize,
}

/// A request for a list. Each worker has a clone; when all are dropped, the list is complete.
#[derive(Debug, Clone)]
pub(crate) struct SessionListRequest {
    pub(crate) parts: Sender<SessionListPart>,
    /// How many more sessions the list may have, of all workers together.
    pub(crate) room: Arc<AtomicUsize>,
}

impl SessionListRequest {
    /// Takes room for one session, if there is any.
    fn take_room(&self) -> bool {
        self.room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                room.checked_sub(1)
            })
            .is_ok()
    }
}

/// The requests that a worker is serving, the oldest first.
#[derive(Debug, Default)]
pub(super) struct SessionLists {
    unfinished: VecDeque<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    request: SessionListRequest,
    next_slot: u32,
    listed: usize,
}

impl SessionLists {
    pub(super) fn begin(&mut self, request: SessionListRequest) {
        if self.unfinished.len() < MAX_REQUESTS {
            self.unfinished.push_back(Unfinished {
                request,
                next_slot: 0,
                listed: 0,
            });
        }
    }

    /// Whether no request is being served.
    pub(super) fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Lists the next slots for the oldest request.
    pub(super) fn list_some<T: Transport>(
        &mut self,
        connections: &mut Slab<Connection<T>>,
        now_ms: u64,
    ) {
        let Some(mut list) = self.unfinished.pop_front() else {
            return;
        };
        let mut part = SessionListPart::default();
        let end = (list.next_slot + SLOTS_PER_ITERATION).min(connections.slots());
        let mut is_full = false;
        while list.next_slot < end && !is_full {
            let connection = connections.get_mut(list.next_slot);
            if let Some(connection) = connection {
                is_full = !list.request.take_room();
                if !is_full {
                    part.sessions.push(status(connection, now_ms));
                }
            }
            list.next_slot += 1;
        }
        list.listed += part.sessions.len();
        if is_full {
            part.more = connections.len().saturating_sub(list.listed);
        }
        // An error means that the receiver of the list is gone.
        let wanted = list.request.parts.send(part).is_ok();
        if wanted && !is_full && list.next_slot < connections.slots() {
            self.unfinished.push_front(list);
        }
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
