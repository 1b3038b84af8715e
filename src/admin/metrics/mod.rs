//! Prometheus metrics of a snapshot: all families, and how they are written.
//!
//! Names and labels are those of HAProxy's exporter where it has the same, with `txlb_`
//! for `haproxy_`. Dashboards and alerts depend on them, and txlb(8) describes each.
//!
//! There are no series for clients, as they would be too many. There are no sums over
//! hosts: removing a host would make such a counter smaller.

pub(super) mod running;
mod text;

use std::fmt;
use std::io;

use self::Value::Count;
use self::text::{Family, Kind, Seconds, Text};
use super::haproxy::{Proxy, ServerStatus, proxies};
use crate::balance::HISTOGRAM_MS;
use crate::control::{DURATIONS_S, Escaped, HostStatus, Outcome, ServiceStatus, Status};
use crate::os::usage::Usage;

/// The content type of [`write()`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is written beside the snapshot, at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Figures {
    /// What the process takes of its machine.
    pub(super) usage: Usage,
    /// Lines of the log that were lost.
    pub(super) lost_lines: u64,
    /// Logins that failed.
    pub(super) failed_logins: u64,
    /// Whether the histograms of hosts have no buckets: those are 12 series a host.
    pub(super) brief: bool,
}

/// Writes all families in the text format of Prometheus, version 0.0.4.
///
/// # Errors
/// Errors of `out`.
pub(super) fn write(status: &Status, figures: &Figures, out: &mut dyn io::Write) -> io::Result<()> {
    let mut text = Text::new(out);
    process(&mut text, status);
    for (family, value) in &FIGURES {
        text.family(family);
        // What the system does not tell has no series.
        if let Some(value) = value((status, figures)) {
            text.sample("", &[], value);
        }
    }
    frontends(&mut text, status);
    let proxies: Vec<_> = proxies(status).into_iter().map(|(_, it)| it).collect();
    groups(&mut text, &proxies);
    servers(&mut text, &proxies, figures.brief);
    text.finish()
}

fn process(text: &mut Text<'_>, status: &Status) {
    text.family(&BUILD);
    let labels = [("version", status.version), ("name", &status.name)];
    text.sample("", &labels, 1);
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
    text.family(&ENDED_OF_SERVICE);
    for (proxy, service) in &named {
        for (reason, sessions) in &service.ended.reasons {
            let labels = [("proxy", proxy.as_str()), ("reason", reason.as_str())];
            text.sample("", &labels, sessions);
        }
    }
    text.family(&DURATION);
    for (proxy, service) in &named {
        let ended = &service.ended;
        let labels = [("proxy", proxy.as_str())];
        let bounds_ms = DURATIONS_S.map(|bound_s| bound_s * 1000);
        histogram(
            text,
            &labels,
            (&bounds_ms, &ended.durations),
            ended.duration_ms,
        );
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

fn servers(text: &mut Text<'_>, proxies: &[Proxy<'_>], brief: bool) {
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
    let kind = if brief {
        Kind::Summary
    } else {
        Kind::Histogram
    };
    text.family(&Family {
        kind,
        ..CONNECT_TIME
    });
    for (proxy, server, host) in &named {
        let labels = [("proxy", *proxy), ("server", server.as_str())];
        let totals = &host.totals;
        let buckets: (&[u64], &[u64]) = match brief {
            true => (&[], &[totals.connects]),
            false => (&HISTOGRAM_MS, &totals.histogram),
        };
        histogram(text, &labels, buckets, totals.connect_ms);
    }
}

/// A histogram: how many values are up to each bound, in milliseconds, and how many are above the
/// last; written as cumulative buckets. Without bounds it has none, and is a summary.
fn histogram(
    text: &mut Text<'_>,
    labels: &[(&'static str, &str)],
    (bounds_ms, counts): (&[u64], &[u64]),
    sum_ms: u64,
) {
    let mut count = 0;
    let bounds = bounds_ms
        .iter()
        .map(|bound_ms| Seconds(*bound_ms).to_string());
    for (bound, more) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
        count += more;
        if !bounds_ms.is_empty() {
            let with_bound = [labels, &[("le", bound.as_str())]].concat();
            text.sample("_bucket", &with_bound, count);
        }
    }
    text.sample("_sum", labels, Seconds(sum_ms));
    text.sample("_count", labels, count);
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

/// Version and name, as labels.
const BUILD: Family = gauge(
    "txlb_build_info",
    "Its version, and what it is called; the value is always 1.",
);

/// Ended sessions, a series for each reason.
const ENDED: Family = counter(
    "txlb_sessions_ended_total",
    "Sessions that ended, by reason.",
);

/// Ended sessions of a service, a series for each reason.
const ENDED_OF_SERVICE: Family = counter(
    "txlb_frontend_sessions_ended_total",
    "Sessions of the service that ended, by reason.",
);

/// For each service.
const DURATION: Family = Family {
    name: "txlb_frontend_session_duration_seconds",
    kind: Kind::Histogram,
    help: "How long sessions lasted that have ended, from their accept.",
};

type Figure = fn((&Status, &Figures)) -> Option<Value>;

/// Families without labels that are not of the snapshot alone. The first have the names that every
/// process has for Prometheus.
const FIGURES: [(Family, Figure); 9] = [
    (
        counter(
            "process_cpu_seconds_total",
            "Processor time of all threads, in seconds.",
        ),
        |(_, figures)| Some(Value::Seconds(figures.usage.processor_ms)),
    ),
    (
        gauge("process_resident_memory_bytes", "Memory in RAM."),
        |(_, figures)| figures.usage.resident_bytes.map(Count),
    ),
    (
        gauge("process_virtual_memory_bytes", "Address space."),
        |(_, figures)| figures.usage.virtual_bytes.map(Count),
    ),
    (
        gauge("process_open_fds", "Open file descriptors."),
        |(_, figures)| figures.usage.descriptors.map(Count),
    ),
    (
        gauge("process_max_fds", "The limit of file descriptors."),
        |(_, figures)| figures.usage.max_descriptors.map(Count),
    ),
    (gauge("process_threads", "Threads."), |(_, figures)| {
        figures.usage.threads.map(Count)
    }),
    (
        gauge(
            "process_start_time_seconds",
            "When it started, in seconds since 1970.",
        ),
        |(status, _)| Some(Value::Seconds(status.started_wall_ms)),
    ),
    (
        counter(
            "txlb_log_lines_lost_total",
            "Lines of the log that found no room, or could not be written.",
        ),
        |(_, figures)| Some(Count(figures.lost_lines)),
    ),
    (
        counter(
            "txlb_failed_logins_total",
            "Logins to the admin page and the console that failed.",
        ),
        |(_, figures)| Some(Count(figures.failed_logins)),
    ),
];

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
const SERVERS: [FamilyOf<HostStatus>; 12] = [
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
    (
        counter(
            "txlb_server_check_up_down_total",
            "Times that its health became failed.",
        ),
        |host| Count(u64::from(host.times_failed)),
    ),
    (
        counter(
            "txlb_server_downtime_seconds_total",
            "How long it has been failed, until now.",
        ),
        |host| Value::Seconds(host.down_ms),
    ),
    (
        gauge(
            "txlb_server_check_duration_seconds",
            "How long its last check took; 0 before the first.",
        ),
        |host| Value::Seconds(host.check_ms().map_or(0, u64::from)),
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
    metrics_with(status, &Figures::default())
}

#[cfg(test)]
fn metrics_with(status: &Status, figures: &Figures) -> String {
    let mut text = Vec::new();
    write(status, figures, &mut text).map_or_else(
        |_| String::new(),
        |()| String::from_utf8_lossy(&text).into_owned(),
    )
}

#[cfg(test)]
mod tests;
