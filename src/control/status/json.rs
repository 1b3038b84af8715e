//! The status as JSON. Names of members never change.
//!
//! Members that end in `_ms` are milliseconds: times (`at_ms`, `since_ms`) since 1970, the others
//! durations. `null` is unknown or absent.

use std::io::{self, BufWriter, Write};

use super::{
    GroupStatus, HostStatus, Outcome, ServiceStatus, SessionStatus, Sessions, Status, StoredStatus,
};
use crate::balance::{HISTOGRAM_MS, Health, Totals};
use crate::config::{HostAddress, Route};
use crate::control::draining::DrainingProcess;
use crate::control::member_count::MemberCount;
use crate::json::{Json, Object};
use crate::os::address::Address;
use crate::relay::RecentEvent;
use crate::text::address_ranges;

impl Status {
    /// As JSON on one line.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory does not fail, and what is written is text.
        let _ = self.write_json(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// As [`Status::to_json`], written host by host.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(32 * 1024, out);
        let services = self.services.iter();
        write_with_list(&mut out, self.about(), "services", services, |out, it| {
            let groups = it.groups.iter();
            write_with_list(out, about_service(it), "groups", groups, |out, it| {
                let hosts = it.hosts.iter();
                write_with_list(out, about_group(it), "hosts", hosts, |out, it| {
                    out.write_all(Json::from(host(it)).into_text().as_bytes())
                })
            })
        })?;
        out.flush()
    }

    pub(in crate::control) fn to_object(&self) -> Object {
        self.about()
            .with_list("services", self.services.iter().map(service))
    }

    fn about(&self) -> Object {
        let ended = self.ended.iter().fold(Object::new(), |out, (reason, n)| {
            out.with(reason.as_str(), *n)
        });
        Object::new()
            .with("version", self.version)
            .with("name", self.name.as_str())
            .with("process", u64::from(self.process))
            .with("at_ms", self.wall_ms)
            .with("started_ms", self.started_wall_ms)
            .with("workers", self.workers as u64)
            .with("generation", self.generation)
            .with("stopping", self.stopping)
            .with("resigned", self.resigned)
            .with("config", stored(&self.stored))
            .with("open", self.open as u64)
            .with("capacity", self.capacity as u64)
            .with("ended", ended)
            .with("accept_pauses", self.accept_pauses)
            .with("no_ports", self.no_ports)
            .with("turns", self.iterations)
            .with_list("happenings", self.recent_events.iter().map(recent_event))
            .with_list("draining", self.draining.iter().map(draining))
    }
}

/// An object whose last member is a list, item by item.
fn write_with_list<W: Write, T>(
    out: &mut W,
    object: Object,
    name: &str,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut W, T) -> io::Result<()>,
) -> io::Result<()> {
    write!(out, "{},\"{name}\":[", object.into_open_text())?;
    for (number, item) in items.enumerate() {
        if number > 0 {
            out.write_all(b",")?;
        }
        write(out, item)?;
    }
    out.write_all(b"]}")
}

impl Sessions {
    /// As JSON on one line.
    pub fn to_json(&self) -> String {
        Json::from(self.to_object()).into_text()
    }

    pub(in crate::control) fn to_object(&self) -> Object {
        Object::new()
            .with_list("sessions", self.list.iter().map(session))
            .with("more", self.more as u64)
    }
}

fn draining(process: &DrainingProcess) -> Object {
    Object::new()
        .with("process", u64::from(process.process))
        .with("open", process.open as u64)
        .with("since_ms", process.since_wall_ms)
}

fn stored(stored: &StoredStatus) -> Object {
    let file = stored.file.as_ref().map(|file| file.display().to_string());
    Object::new()
        .with("file", file)
        .with("unsaved", stored.unsaved as u64)
        .with("last_reload", stored.last_reload.as_ref().map(outcome))
        .with("last_save", stored.last_save.as_ref().map(outcome))
}

fn outcome(outcome: &Outcome) -> Object {
    Object::new()
        .with("at_ms", outcome.wall_ms)
        .with("ok", outcome.result.is_ok())
        .with("error", outcome.result.as_ref().err().map(String::as_str))
}

fn recent_event(event: &RecentEvent) -> Object {
    Object::new()
        .with("at_ms", event.wall_ms)
        .with("topic", event.topic.as_str())
        .with("text", event.text.as_str())
}

fn service(service: &ServiceStatus) -> Object {
    about_service(service).with_list("groups", service.groups.iter().map(group))
}

fn about_service(service: &ServiceStatus) -> Object {
    let addresses = address_ranges(&service.addresses).into_iter();
    Object::new()
        .with("name", service.name.as_str())
        .with_list("listens", addresses)
        .with("enabled", service.enabled.as_str())
        .with_list("routes", service.routes.iter().map(route))
        .with("open", service.open)
        .with("total", service.total)
}

fn route(route: &Route) -> Object {
    Object::new()
        .with_list("sni", route.sni.iter().map(String::as_str))
        .with_list("alpn", route.alpn.iter().map(String::as_str))
        .with("group", route.group.as_str())
}

fn group(group: &GroupStatus) -> Object {
    about_group(group).with_list("hosts", group.hosts.iter().map(host))
}

fn about_group(group: &GroupStatus) -> Object {
    Object::new()
        .with("name", group.name.as_str())
        .with("scheduler", group.scheduler.as_str())
        .with("open", group.open as u64)
        .with_list("each", group.each.iter().map(members))
}

fn members(members: &MemberCount) -> Object {
    Object::new()
        .with("name", members.name.as_str())
        .with("ip", members.endpoint.as_str())
        .with("each", members.each)
        .with("members", members.members as u64)
        .with("error", members.failure.as_deref())
}

fn host(host: &HostStatus) -> Object {
    let address = host.address.as_ref().map(|it| HostAddress(it).to_string());
    let last_error = host.last_failure.as_ref();
    Object::new()
        .with("name", host.name.as_str())
        .with("ip", host.endpoint.as_str())
        .with("address", address)
        .with("weight", u64::from(host.weight))
        .with("state", host.state.as_str())
        .with("backup", host.backup)
        .with("member_of", host.member_of.as_deref())
        .with("health", health(&host.health))
        .with("since_ms", host.since_wall_ms)
        .with("pending", host.pending)
        .with("suspect", host.suspect)
        .with("slow_start_percent", host.slow_start_percent.map(u64::from))
        .with("last_error", last_error.map(|(why, _)| why.as_str()))
        .with("last_error_ms", last_error.map(|(_, at_ms)| *at_ms))
        .with("agent", host.agent.as_ref().map(ToString::to_string))
        .with("emptied_ms", host.emptied_wall_ms)
        .with("open", u64::from(host.open))
        .with("busy", u64::from(host.busy))
        .with("total", host.total)
        .with_list(
            "sessions_per_minute",
            host.recent.iter().map(|it| u64::from(*it)),
        )
        .with("known_minutes", host.known_minutes as u64)
        .with("per_ten_seconds", u64::from(host.per_ten_seconds))
        .with("peak_per_second", u64::from(host.peak_per_second))
        .with("peak_open", u64::from(host.peak_open))
        .with("times_failed", u64::from(host.times_failed))
        .with("down_ms", host.down_ms)
        .with("check_ms", host.check_ms().map(u64::from))
        .with("check_error", host.check_failure().map(ToString::to_string))
        .with("failed_checks", host.failed_checks)
        .with("failed_connects", host.failures)
        .with("bytes_to_host", host.totals.bytes_to_host)
        .with("bytes_to_client", host.totals.bytes_to_client)
        .with("connects", host.totals.connects)
        .with("connect_ms", host.totals.connect_ms)
        .with("mean_connect_us", host.totals.mean_connect_us())
        .with_list("connect_histogram", histogram(&host.totals))
}

/// The health in one word, without the reason.
pub(in crate::control) fn health(health: &Health) -> &'static str {
    match health {
        Health::Untried => "untried",
        Health::Healthy => "healthy",
        Health::Failed(_) => "failed",
    }
}

/// Connects by duration: each bucket has a bound in milliseconds, the last one has none.
fn histogram(totals: &Totals) -> impl Iterator<Item = Object> {
    let bounds = HISTOGRAM_MS.into_iter().map(Some).chain([None]);
    let buckets = bounds.zip(totals.histogram);
    buckets.map(|(most_ms, connects)| {
        Object::new()
            .with("most_ms", most_ms)
            .with("connects", connects)
    })
}

fn session(session: &SessionStatus) -> Object {
    let text = |address: &Option<Address>| address.as_ref().map(ToString::to_string);
    Object::new()
        .with("id", format!("{:x}", session.id))
        .with("client", session.client.to_string())
        .with("via", text(&session.via))
        .with("server_name", session.server_name.as_deref())
        .with("service", session.service.as_str())
        .with("group", session.group.as_str())
        .with("host", session.host.as_deref())
        .with("host_address", text(&session.host_address))
        .with(
            "local_address",
            session.local_address.map(|it| it.to_string()),
        )
        .with("age_ms", session.age_ms)
        .with("idle_ms", session.idle_ms)
        .with("bytes_to_host", session.bytes_to_host)
        .with("bytes_to_client", session.bytes_to_client)
        .with("phase", session.phase.as_str())
}
