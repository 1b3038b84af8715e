//! The snapshot as metrics, in Prometheus' text format, version 0.0.4.
//!
//! Names and labels are those of HAProxy's exporter where it has the same, with
//! `txlb_` for `haproxy_`. No client is in them, as there would be a series for each.
//! Sums over hosts are not there either: a host that is taken out would make them
//! smaller, which counters must not become.

mod families;
mod text;

use std::io;

use self::families::{CONNECT_TIME, FRONTENDS, GROUPS, PROCESS, SERVERS, STATES};
use self::text::{Seconds, Text};
use super::haproxy::{Proxy, Server, proxies};
use crate::balance::{HISTOGRAM_MS, Totals};
use crate::control::{Escaped, Status};

/// The type of what [`write()`] writes, for HTTP.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted and measured. Of each family first what it means, then all
/// its series.
///
/// # Errors
/// Those of `out`.
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
    text.family(&families::BUILD);
    text.sample("", &[("version", status.version)], 1);
    for (family, value) in &PROCESS {
        text.family(family);
        text.sample("", &[], value(status));
    }
    text.family(&families::ENDED);
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
        let is = Server::of(host);
        for state in Server::ALL {
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

/// The histogram of one host. Its buckets each hold what is in those before, too.
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
