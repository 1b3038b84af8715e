//! What is told of a session: to the connection log, to subscribers, and in lists.

use std::net::SocketAddr;

use super::connection::Connection;
use super::events::tcplog::TcpLogLine;
use super::events::{Event, SessionEnd};
use super::failure::EndReason;
use super::plan::Plan;
use super::session_list::SessionStatus;
use super::shared::Shared;
use super::transport::Transport;
use crate::log_targets;

/// A session at one moment.
#[derive(Debug, Clone)]
pub(crate) struct SessionRecord<'a> {
    pub(crate) id: u64,
    pub(crate) client: SocketAddr,
    pub(crate) service: &'a str,
    pub(crate) group: &'a str,
    /// The present name of its host, which may have been renamed since it was picked.
    pub(crate) host: Option<String>,
    pub(crate) host_address: Option<SocketAddr>,
    /// When the client was accepted.
    pub(crate) started_ms: u64,
    /// From then until its host accepted, and until now.
    pub(crate) connect_ms: Option<u64>,
    pub(crate) age_ms: u64,
    pub(crate) bytes_to_host: u64,
    pub(crate) bytes_to_client: u64,
    /// Hosts that failed this client.
    pub(crate) retries: usize,
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
        SessionRecord {
            id: connection.id,
            client: connection.client_address,
            service: &connection.admission.service.name,
            group: &connection.group.name,
            host: picked.and_then(|picked| connection.group.pool().host_name(picked.id)),
            host_address: picked.map(|picked| picked.address),
            started_ms,
            connect_ms: connected_ms.map(|connected_ms| connected_ms - started_ms),
            age_ms: now_ms.saturating_sub(started_ms),
            bytes_to_host,
            bytes_to_client,
            retries: session.failed_attempts(),
        }
    }

    /// The session's end, for subscribers.
    fn into_end(self, accepted_wall_ms: u64, reason: EndReason) -> SessionEnd {
        SessionEnd {
            id: self.id,
            client: self.client,
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
pub(super) fn status<T: Transport>(connection: &Connection<T>, now_ms: u64) -> SessionStatus {
    let record = SessionRecord::new(connection, now_ms);
    SessionStatus {
        id: record.id,
        client: record.client,
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
    if plan.log_sessions {
        let session = &SessionRecord::new(connection, now_ms);
        let (group_open, host_open) = {
            let pool = connection.group.pool();
            let picked = connection.picked.as_ref();
            let host_open = picked.map_or(0, |picked| pool.open_on(picked.id));
            (pool.open(), host_open)
        };
        let line = TcpLogLine {
            session,
            accepted_wall_ms: shared.clock.wall_ms(session.started_ms),
            reason,
            open: [
                shared.handoffs.open_sessions() as u64,
                connection.admission.service.stats.open(),
                group_open as u64,
                host_open as u64,
            ],
        };
        log::info!(target: log_targets::SESSIONS, "{line}");
    }
    shared.recent_events.event_bus().publish(|| {
        let session = SessionRecord::new(connection, now_ms);
        let accepted_wall_ms = shared.clock.wall_ms(session.started_ms);
        Event::SessionEnded(Box::new(session.into_end(accepted_wall_ms, reason)))
    });
}
