//! What is said of a session that is over, in the connection log and to whoever
//! listens: where its figures come from.
//!
//! How the line is written is `tcplog`'s business, who listens that of `news`.

use std::sync::atomic::Ordering;

use super::Shared;
use crate::log_targets;
use crate::relay::connection::Connection;
use crate::relay::end::EndReason;
use crate::relay::event_bus::{Event, SessionEnd};
use crate::relay::tcp_transport::TcpTransport;
use crate::relay::tcplog;

/// Logs a session that is over, though still counted.
pub(super) fn log_session(
    link: &Connection<TcpTransport>,
    shared: &Shared,
    reason: EndReason,
    now_ms: u64,
) {
    let session = &link.session;
    let (group_open, host_open, host) = {
        let tracker = link.group.tracker();
        let picked = link.picked.as_ref();
        let host_open = picked.map_or(0, |picked| tracker.open_on(picked.id));
        // It may have been renamed since it was picked.
        let host = picked.and_then(|picked| tracker.host_name(picked.id));
        (tracker.open(), host_open, host)
    };
    let line = tcplog::Line {
        client: link.client_address,
        accepted_wall_ms: shared.clock.wall_ms(session.started_ms()),
        service: &link.service.name,
        group: &link.group.name,
        host: host.as_deref(),
        connect_ms: session
            .connected_ms()
            .map(|at_ms| at_ms - session.started_ms()),
        total_ms: now_ms - session.started_ms(),
        bytes_to_client: session.bytes().1,
        reason,
        open: [
            shared.open.load(Ordering::Relaxed) as u64,
            link.service.tally.open(),
            group_open as u64,
            host_open as u64,
        ],
        retries: session.failed(),
    };
    log::info!(target: log_targets::SESSIONS, "{line}");
}

/// Tells whoever listens of a session that is over, though still counted.
pub(super) fn tell_end(
    link: &Connection<TcpTransport>,
    shared: &Shared,
    reason: EndReason,
    now_ms: u64,
) {
    shared.journal.news().tell(|| {
        let session = &link.session;
        let picked = link.picked.as_ref();
        let started_ms = session.started_ms();
        let (bytes_to_host, bytes_to_client) = session.bytes();
        Event::SessionEnded(Box::new(SessionEnd {
            id: link.id,
            client: link.client_address,
            accepted_wall_ms: shared.clock.wall_ms(started_ms),
            service: link.service.name.clone(),
            group: link.group.name.clone(),
            host: picked.and_then(|picked| link.group.tracker().host_name(picked.id)),
            host_address: picked.map(|picked| picked.address),
            connect_ms: session.connected_ms().map(|at_ms| at_ms - started_ms),
            total_ms: now_ms - started_ms,
            bytes_to_host,
            bytes_to_client,
            retries: session.failed(),
            reason,
        }))
    });
}
