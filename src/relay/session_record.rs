//! What is told of a session: to the connection log, to subscribers, and in lists of open sessions.
//!
//! A worker lists some slots in each iteration, so that no session waits for a list.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use super::connection::Connection;
use super::ending::SessionFilter;
use super::events::session_line::{SessionLine, SessionLog};
use super::events::tcplog::TcpLogLine;
use super::events::{Event, SessionEnd};
use super::failure::EndReason;
use super::plan::Plan;
use super::session::Phase;
use super::shared::Shared;
use super::slab::Slab;
use super::transport::Transport;
use crate::config::SessionField;
use crate::log_targets;
use crate::os::address::Address;

/// Slots listed in one iteration. Each session costs a short lock, a system call (its local
/// address) and some text: about a microsecond together.
const SLOTS_PER_ITERATION: u32 = 128;

/// Requests that a worker serves at the same time. It drops any further one.
const MAX_REQUESTS: usize = 16;

/// A session at one moment.
#[derive(Debug, Clone)]
pub(crate) struct SessionRecord<'a> {
    pub(crate) id: u64,
    pub(crate) client: Address,
    /// Where the connection itself comes from, if a header named another address as the client's.
    pub(crate) via: Option<Address>,
    /// The name that the client's ClientHello asks for, where routes look at it.
    pub(crate) server_name: Option<&'a str>,
    pub(crate) service: &'a str,
    pub(crate) group: &'a str,
    /// The present name of its host, which may have been renamed since it was picked.
    pub(crate) host: Option<String>,
    pub(crate) host_address: Option<Address>,
    /// When the client was accepted.
    pub(crate) started_ms: u64,
    /// From then until its host accepted, and until now.
    pub(crate) connect_ms: Option<u64>,
    pub(crate) age_ms: u64,
    pub(crate) bytes_to_host: u64,
    pub(crate) bytes_to_client: u64,
    /// Hosts that failed this client.
    pub(crate) retries: usize,
    /// Hosts that have seen what the client said, if that are several.
    pub(crate) seen_by: Option<usize>,
}

impl<'a> SessionRecord<'a> {
    pub(crate) fn new<T: Transport>(
        connection: &'a Connection<T>,
        now_ms: u64,
    ) -> SessionRecord<'a> {
        let (session, picked) = (&connection.session, connection.picked.as_ref());
        let (bytes_to_host, bytes_to_client) = session.bytes();
        let started_ms = session.started_ms();
        let connected_ms = session.connected_ms();
        let first_bytes = connection.first_bytes.as_ref();
        let replays = usize::from(session.replays());
        SessionRecord {
            id: connection.id,
            client: connection.client_address.clone(),
            via: first_bytes.and_then(|it| it.via.clone()),
            server_name: first_bytes.and_then(|it| it.server_name.as_deref()),
            service: &connection.admission.service.name,
            group: &connection.group.name,
            host: picked.and_then(|picked| connection.group.pool().host_name(picked.id)),
            host_address: picked.map(|picked| picked.address.clone()),
            started_ms,
            connect_ms: connected_ms.map(|connected_ms| connected_ms - started_ms),
            age_ms: now_ms.saturating_sub(started_ms),
            bytes_to_host,
            bytes_to_client,
            retries: session.failed_attempts(),
            seen_by: (replays > 0).then(|| replays + usize::from(connected_ms.is_some())),
        }
    }

    /// The session's end, for subscribers.
    fn into_end(self, accepted_wall_ms: u64, reason: EndReason) -> SessionEnd {
        SessionEnd {
            id: self.id,
            client: self.client,
            via: self.via,
            server_name: self.server_name.map(str::to_owned),
            accepted_wall_ms,
            service: self.service.to_owned(),
            group: self.group.to_owned(),
            host: self.host,
            host_address: self.host_address,
            connect_ms: self.connect_ms,
            total_ms: self.age_ms,
            bytes_to_host: self.bytes_to_host,
            bytes_to_client: self.bytes_to_client,
            retries: self.retries,
            reason,
        }
    }
}

/// An open session, for a list.
fn status<T: Transport>(connection: &Connection<T>, now_ms: u64) -> SessionStatus {
    let record = SessionRecord::new(connection, now_ms);
    SessionStatus {
        id: record.id,
        client: record.client,
        via: record.via,
        server_name: record.server_name.map(str::to_owned),
        service: record.service.to_owned(),
        group: record.group.to_owned(),
        host: record.host,
        host_address: record.host_address,
        local_address: connection.transport.local_address(),
        age_ms: record.age_ms,
        idle_ms: connection.session.idle_ms(now_ms),
        bytes_to_host: record.bytes_to_host,
        bytes_to_client: record.bytes_to_client,
        phase: connection.session.phase(),
    }
}

/// Logs a session that has ended, while it is still counted, and tells subscribers.
pub(super) fn report_end<T: Transport>(
    connection: &Connection<T>,
    shared: &Shared<T>,
    plan: &Plan,
    reason: EndReason,
    now_ms: u64,
) {
    let log = plan.session_log.as_ref();
    if let Some(log) = log.filter(|_| connection.admission.service.log) {
        log_end(connection, shared, log, reason, now_ms);
    }
    shared.recent_events.event_bus().publish(|| {
        let session = SessionRecord::new(connection, now_ms);
        let accepted_wall_ms = shared.clock.wall_ms(session.started_ms);
        Event::SessionEnded(Box::new(session.into_end(accepted_wall_ms, reason)))
    });
}

/// Logs a session that has ended.
fn log_end<T: Transport>(
    connection: &Connection<T>,
    shared: &Shared<T>,
    log: &SessionLog,
    reason: EndReason,
    now_ms: u64,
) {
    let session = &SessionRecord::new(connection, now_ms);
    let failed = match log.has(SessionField::Tried) {
        true => connection.session.failed_hosts(),
        false => &[],
    };
    let (group_open, host_open, tried) = {
        let pool = connection.group.pool();
        let picked = connection.picked.as_ref();
        let host_open = picked.map_or(0, |picked| pool.open_on(picked.id));
        let tried = failed.iter().filter_map(|id| pool.host_name(*id)).collect();
        (pool.open(), host_open, tried)
    };
    let asked = |field, address: fn(&T) -> Option<SocketAddr>| {
        let transport = Some(&connection.transport).filter(|_| log.has(field));
        transport.and_then(address)
    };
    let line = SessionLine {
        log,
        line: TcpLogLine {
            session,
            accepted_wall_ms: shared.clock.wall_ms(session.started_ms),
            reason,
            open: [
                shared.handoffs.open_sessions() as u64,
                connection.admission.service.stats.open(),
                group_open as u64,
                host_open as u64,
            ],
        },
        tried,
        listener: asked(SessionField::Listener, T::asked_address),
        source: asked(SessionField::Source, T::local_address),
    };
    log::info!(target: log_targets::SESSIONS, "{line}");
}

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStatus {
    /// No other session of this process has it.
    pub id: u64,
    /// The client's address; after a PROXY protocol header, the header's. A client of a Unix socket
    /// has the path of that.
    pub client: Address,
    /// Where the connection itself comes from, if a header named another address as the client's.
    pub via: Option<Address>,
    /// The name that the client's TLS ClientHello asks for, where routes look at it.
    pub server_name: Option<String>,
    /// Its service's name.
    pub service: String,
    /// The group that was enabled when the session began.
    pub group: String,
    /// Its host's present name; `None` while no host was picked.
    pub host: Option<String>,
    /// The host's address.
    pub host_address: Option<Address>,
    /// The address from which txlb connected to the host; none to a Unix socket.
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
    /// Which sessions it has.
    pub(crate) filter: SessionFilter,
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
            let filter = &list.request.filter;
            if let Some(connection) = connection
                && filter.lists(connection, now_ms)
            {
                match list.request.take_room() {
                    true => part.sessions.push(status(connection, now_ms)),
                    // All others are counted without a look at each.
                    false if filter.matches_all() => is_full = true,
                    false => part.more += 1,
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
            client: Address::Ip("10.0.0.9:33333".parse().unwrap()),
            via: None,
            server_name: None,
            service: "web".to_owned(),
            group: "main".to_owned(),
            host: Some("one".to_owned()),
            host_address: Some(Address::Ip("10.0.0.1:80".parse().unwrap())),
            local_address: None,
            age_ms: 120_000,
            idle_ms: 5_000,
            bytes_to_host: 512,
            bytes_to_client: 1 << 20,
            phase: Phase::Relaying,
        }
    }
}
