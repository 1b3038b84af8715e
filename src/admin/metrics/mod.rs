//! Prometheus metrics of a snapshot: all families, and how they are written.
//!
//! Names and labels are those of HAProxy's exporter where it has the same, with `txlb_`
//! for `haproxy_`. Dashboards and alerts depend on them, and txlb(8) describes each.
//!
//! There are no series for clients, as they would be too many. There are no sums over
//! hosts: removing a host would make such a counter smaller.

pub(super) mod csv;
mod haproxy;
pub(super) mod running;
mod text;

use std::fmt;
use std::io;

use self::Value::Count;
use self::haproxy::{Proxy, ServerStatus, proxies};
use self::text::{Family, Kind, Seconds, Text};
use crate::balance::{HISTOGRAM_MS, Totals};
use crate::control::{Escaped, HostStatus, Outcome, ServiceStatus, Status};

/// The content type of [`write()`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes all families in the text format of Prometheus, version 0.0.4.
///
/// # Errors
/// Errors of `out`.
pub(super) fn write(status: &Status, out: &mut dyn io::Write) -> io::Result<()> {
    let mut text = Text::new(out);
    process(&mut text, status);
    frontends(&mut text, status);
    let proxies = proxies(status);
    groups(&mut text, &proxies);
    servers(&mut text, &proxies);
    text.finish()
}

fn process(text: &mut Text<'_>, status: &Status) {
    text.family(&BUILD);
    text.sample("", &[("version", status.version)], 1);
    for (family, value) in &PROCESS {
        text.family(family);
        text.sample("", &[], value(status));
    }
    text.family(&ENDED);
    for (reason, sessions) in &status.ended {
        text.sample("", &[("reason", reason.as_str())], sessions);
    }
}

fn frontends(text: &mut Text<'_>, status: &Status) {
    let services = status.services.iter();
    let named: Vec<_> = services
        .map(|service| (Escaped(&service.name).to_string(), service))
        .collect();
    for (family, value) in &FRONTENDS {
        text.family(family);
        for (proxy, service) in &named {
            text.sample("", &[("proxy", proxy)], value(service));
        }
    }
}

fn groups(text: &mut Text<'_>, proxies: &[Proxy<'_>]) {
    for (family, value) in &GROUPS {
        text.family(family);
        for proxy in proxies {
            text.sample("", &[("proxy", &proxy.name)], value(proxy));
        }
    }
    let [family, _] = &STATES;
    text.family(family);
    for proxy in proxies {
        let up = proxy.active().next().is_some();
        for (state, holds) in [("DOWN", !up), ("UP", up)] {
            let labels = [("proxy", proxy.name.as_str()), ("state", state)];
            text.sample("", &labels, u8::from(holds));
        }
    }
}

fn servers(text: &mut Text<'_>, proxies: &[Proxy<'_>]) {
    let named: Vec<_> = proxies
        .iter()
        .flat_map(|proxy| proxy.group.hosts.iter().map(move |host| (proxy, host)))
        .map(|(proxy, host)| (proxy.name.as_str(), Escaped(&host.name).to_string(), host))
        .collect();
    for (family, value) in &SERVERS {
        text.family(family);
        for (proxy, server, host) in &named {
            text.sample("", &[("proxy", proxy), ("server", server)], value(host));
        }
    }
    let [_, family] = &STATES;
    text.family(family);
    for (proxy, server, host) in &named {
        let is = ServerStatus::of(host);
        for state in ServerStatus::ALL {
            let labels = [
                ("proxy", *proxy),
                ("server", server),
                ("state", state.as_str()),
            ];
            text.sample("", &labels, u8::from(state == is));
        }
    }
    text.family(&CONNECT_TIME);
    for (proxy, server, host) in &named {
        connect_time(text, proxy, server, &host.totals);
    }
}

/// The histogram of one host. Buckets are cumulative.
fn connect_time(text: &mut Text<'_>, proxy: &str, server: &str, totals: &Totals) {
    let mut connects = 0;
    let bounds = HISTOGRAM_MS.map(|bound_ms| Seconds(bound_ms).to_string());
    let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
    for (bound, more) in bounds.zip(totals.histogram) {
        connects += more;
        let labels = [("proxy", proxy), ("server", server), ("le", bound)];
        text.sample("_bucket", &labels, connects);
    }
    let labels = [("proxy", proxy), ("server", server)];
    text.sample("_sum", &labels, Seconds(totals.connect_ms));
    text.sample("_count", &labels, connects);
}

/// The value of a series.
#[derive(Debug, Clone, Copy)]
enum Value {
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

/// The version, as a label.
const BUILD: Family = gauge("txlb_build_info", "The version; the value is always 1.");

/// Ended sessions, a series for each reason.
const ENDED: Family = counter(
    "txlb_sessions_ended_total",
    "Sessions that ended, by reason.",
);

type FamilyOf<T> = (Family, fn(&T) -> Value);
type GroupFamily = (Family, fn(&Proxy<'_>) -> Value);

/// Families of the process, without labels.
const PROCESS: [FamilyOf<Status>; 14] = [
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
            "Most sessions that the descriptors allow; further clients wait.",
        ),
        |status| Count(status.capacity as u64),
    ),
    (
        gauge(
            "txlb_process_resigned",
            "Whether an operator has it say that nothing is ready (verb resign).",
        ),
        |status| Count(status.resigned.into()),
    ),
    (
        counter(
            "txlb_accept_pauses_total",
            "Times that no clients were accepted for lack of descriptors or memory.",
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
            "Iterations of the workers' event loops.",
        ),
        |status| Count(status.iterations),
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
            "Changes that are not in the file, as verbs.",
        ),
        |status| Count(status.stored.unsaved as u64),
    ),
    (
        gauge(
            "txlb_config_last_reload_successful",
            "Whether the last reload was put in force; 1 before the first.",
        ),
        |status| last_success(status.stored.last_reload.as_ref()),
    ),
    (
        gauge(
            "txlb_config_last_reload_timestamp_seconds",
            "When the last reload was tried, or when it started if none was.",
        ),
        |status| last_time(status.stored.last_reload.as_ref(), status),
    ),
    (
        gauge(
            "txlb_config_last_save_successful",
            "Whether the last save was done; 1 before the first.",
        ),
        |status| last_success(status.stored.last_save.as_ref()),
    ),
    (
        gauge(
            "txlb_config_last_save_timestamp_seconds",
            "When the last save was tried, or when it started if none was.",
        ),
        |status| last_time(status.stored.last_save.as_ref(), status),
    ),
];

/// Families with a series for each service.
const FRONTENDS: [FamilyOf<ServiceStatus>; 2] = [
    (
        gauge("txlb_frontend_current_sessions", "Sessions open now."),
        |service| Count(service.open),
    ),
    (
        counter("txlb_frontend_sessions_total", "Clients so far."),
        |service| Count(service.total),
    ),
];

/// Families with a series for each group.
const GROUPS: [GroupFamily; 4] = [
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
            "Hosts that get sessions: up, not failed, with a weight above 0, and no backup.",
        ),
        |proxy| Count(proxy.count_active(false) as u64),
    ),
    (
        gauge(
            "txlb_backend_backup_servers",
            "Backups that would get sessions: up, not failed, with a weight above 0.",
        ),
        |proxy| Count(proxy.count_active(true) as u64),
    ),
    (
        gauge(
            "txlb_backend_enabled",
            "Whether the group is enabled, or has a route: it gets new sessions of its service.",
        ),
        |proxy| Count(u64::from(proxy.serves())),
    ),
];

/// States of groups and hosts: a series for each state, of which one is 1.
const STATES: [Family; 2] = [
    gauge(
        "txlb_backend_status",
        "Whether any host gets sessions, by state.",
    ),
    gauge("txlb_server_status", "How the host is, by state."),
];

/// For each host.
const SERVERS: [FamilyOf<HostStatus>; 9] = [
    (
        gauge("txlb_server_current_sessions", "Sessions open now."),
        |host| Count(u64::from(host.open)),
    ),
    (
        gauge(
            "txlb_server_busy_sessions",
            "Open sessions that count for schedulers: the host has not ended its side.",
        ),
        |host| Count(u64::from(host.busy)),
    ),
    (
        gauge(
            "txlb_server_suspect",
            "Whether it ends sessions quickly before its first byte, while others serve.",
        ),
        |host| Count(u64::from(host.suspect)),
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
            "Connects of sessions that failed, or were reset before the host sent a byte.",
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
const CONNECT_TIME: Family = Family {
    name: "txlb_server_connect_time_seconds",
    kind: Kind::Histogram,
    help: "How long connects that succeeded took, in whole milliseconds.",
};

fn last_success(last: Option<&Outcome>) -> Value {
    Count(u64::from(last.is_none_or(|last| last.result.is_ok())))
}

/// The time of the last reload or save; before the first, the start.
fn last_time(last: Option<&Outcome>, status: &Status) -> Value {
    Value::Seconds(last.map_or(status.started_wall_ms, |last| last.wall_ms))
}

#[cfg(test)]
fn metrics(status: &Status) -> String {
    let mut text = Vec::new();
    write(status, &mut text).map_or_else(
        |_| String::new(),
        |()| String::from_utf8_lossy(&text).into_owned(),
    )
}

#[cfg(test)]
mod tests;
