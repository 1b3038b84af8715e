//! Which metrics there are, what each means, and where in the snapshot it is.
//!
//! How they are written is `text`'s business. Names stay: dashboards and alerts have
//! them. Each is described in txlb(8) as well.

use std::fmt;

use self::Value::Count;
use super::text::{Family, Kind, Seconds};
use crate::admin::haproxy::Proxy;
use crate::control::{HostStatus, Outcome, ServiceStatus, Status};

/// A value of either kind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Count(u64),
    Seconds(u64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Count(count) => count.fmt(f),
            Value::Seconds(ms) => Seconds(*ms).fmt(f),
        }
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        help,
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        help,
    }
}

/// The only one without a number.
pub(super) const BUILD: Family = gauge("txlb_build_info", "The version; the value is always 1.");

/// Has a series for each reason.
pub(super) const ENDED: Family = counter(
    "txlb_sessions_ended_total",
    "Sessions that ended, by how they did.",
);

type Of<T> = (Family, fn(&T) -> Value);
type OfProxy = (Family, fn(&Proxy<'_>) -> Value);

/// Without labels.
pub(super) const PROCESS: [Of<Status>; 13] = [
    (
        gauge(
            "txlb_process_start_time_seconds",
            "When it started, in seconds since 1970.",
        ),
        |status| Value::Seconds(status.started_wall_ms),
    ),
    (
        gauge("txlb_process_nbthread", "Worker threads."),
        |status| Count(status.workers as u64),
    ),
    (
        gauge("txlb_process_current_connections", "Sessions open now."),
        |status| Count(status.open as u64),
    ),
    (
        gauge(
            "txlb_process_max_connections",
            "Sessions there are descriptors for: clients beyond wait.",
        ),
        |status| Count(status.capacity as u64),
    ),
    (
        counter(
            "txlb_accept_pauses_total",
            "Times that clients were kept waiting for want of descriptors or memory.",
        ),
        |status| Count(status.accept_pauses),
    ),
    (
        counter(
            "txlb_no_ports_total",
            "Connects to hosts that found no local port.",
        ),
        |status| Count(status.no_ports),
    ),
    (
        counter(
            "txlb_worker_turns_total",
            "Times that the workers' loops went round.",
        ),
        |status| Count(status.turns),
    ),
    (
        gauge(
            "txlb_config_generation",
            "Configurations that were put in force so far.",
        ),
        |status| Count(status.generation),
    ),
    (
        gauge(
            "txlb_config_unsaved_changes",
            "Verbs that would make the running configuration of the stored one.",
        ),
        |status| Count(status.stored.unsaved as u64),
    ),
    (
        gauge(
            "txlb_config_last_reload_successful",
            "Whether the last reload was put in force; 1 before the first.",
        ),
        |status| successful(status.stored.last_reload.as_ref()),
    ),
    (
        gauge(
            "txlb_config_last_reload_timestamp_seconds",
            "When the last reload was tried, or when it started if none was.",
        ),
        |status| at(status.stored.last_reload.as_ref(), status),
    ),
    (
        gauge(
            "txlb_config_last_save_successful",
            "Whether the last save was done; 1 before the first.",
        ),
        |status| successful(status.stored.last_save.as_ref()),
    ),
    (
        gauge(
            "txlb_config_last_save_timestamp_seconds",
            "When the last save was tried, or when it started if none was.",
        ),
        |status| at(status.stored.last_save.as_ref(), status),
    ),
];

/// For each service.
pub(super) const FRONTENDS: [Of<ServiceStatus>; 2] = [
    (
        gauge("txlb_frontend_current_sessions", "Sessions open now."),
        |service| Count(service.open),
    ),
    (
        counter("txlb_frontend_sessions_total", "Clients so far."),
        |service| Count(service.total),
    ),
];

/// For each group.
pub(super) const GROUPS: [OfProxy; 3] = [
    (
        gauge(
            "txlb_backend_current_sessions",
            "Sessions open now, those on removed hosts included.",
        ),
        |proxy| Count(proxy.group.open as u64),
    ),
    (
        gauge(
            "txlb_backend_active_servers",
            "Hosts that get sessions: in service, not failed, with a weight above 0.",
        ),
        |proxy| Count(proxy.active().count() as u64),
    ),
    (
        gauge(
            "txlb_backend_enabled",
            "Whether it is the group that gets the new sessions of its service.",
        ),
        |proxy| Count(u64::from(proxy.is_enabled())),
    ),
];

/// The states of groups and those of hosts: a series for each, one of which is 1.
pub(super) const STATES: [Family; 2] = [
    gauge(
        "txlb_backend_status",
        "Whether any host gets sessions, by state.",
    ),
    gauge("txlb_server_status", "How the host is, by state."),
];

/// For each host.
pub(super) const SERVERS: [Of<HostStatus>; 7] = [
    (
        gauge("txlb_server_current_sessions", "Sessions open now."),
        |host| Count(u64::from(host.open)),
    ),
    (
        counter("txlb_server_sessions_total", "Sessions so far."),
        |host| Count(host.total),
    ),
    (
        counter(
            "txlb_server_bytes_in_total",
            "Bytes from clients to the host.",
        ),
        |host| Count(host.totals.bytes_to_host),
    ),
    (
        counter(
            "txlb_server_bytes_out_total",
            "Bytes from the host to clients.",
        ),
        |host| Count(host.totals.bytes_to_client),
    ),
    (
        counter(
            "txlb_server_connection_errors_total",
            "Connects of sessions that failed, or were broken off before a word.",
        ),
        |host| Count(host.failures),
    ),
    (gauge("txlb_server_weight", "Its weight."), |host| {
        Count(u64::from(host.weight))
    }),
    (
        gauge(
            "txlb_server_last_change_timestamp_seconds",
            "When its health last changed, in seconds since 1970.",
        ),
        |host| Value::Seconds(host.since_wall_ms),
    ),
];

/// For each host.
pub(super) const CONNECT_TIME: Family = Family {
    name: "txlb_server_connect_time_seconds",
    kind: Kind::Histogram,
    help: "How long connects that succeeded took, in whole milliseconds.",
};

fn successful(last: Option<&Outcome>) -> Value {
    Count(u64::from(last.is_none_or(|last| last.result.is_ok())))
}

/// What runs was read, and is stored, as it starts.
fn at(last: Option<&Outcome>, status: &Status) -> Value {
    Value::Seconds(last.map_or(status.started_wall_ms, |last| last.wall_ms))
}
