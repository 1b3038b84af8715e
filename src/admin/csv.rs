//! The snapshot as CSV, with the columns that HAProxy 2.6 has at `;csv`, so that what
//! reads those reads this.
//!
//! A column that has no counterpart here is empty: the limits and maxima, the rates,
//! and all that is of HTTP, TLS or HAProxy's own checks. Sums are over the hosts there
//! are.

use std::io;

use super::haproxy::{Proxy, Server, proxies};
use crate::balance::{Health, Totals};
use crate::director::{Escaped, HostStatus, ServiceStatus, Status};

/// The type of what [`write()`] writes, for HTTP.
pub(super) const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// HAProxy's columns, in its order. The last comma is its own, and so is the `-` between
/// the columns that all of its builds have and the others.
const COLUMNS: &str = "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,\
eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,\
throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,\
hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,\
cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,\
ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,\
check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,\
conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,\
qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,\
need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,-,ssl_sess,\
ssl_reused_sess,ssl_failed_handshake,h2_headers_rcvd,h2_data_rcvd,h2_settings_rcvd,\
h2_rst_stream_rcvd,h2_goaway_rcvd,h2_detected_conn_protocol_errors,\
h2_detected_strm_protocol_errors,h2_rst_stream_resp,h2_goaway_resp,h2_open_connections,\
h2_backend_open_streams,h2_total_connections,h2_backend_total_streams,h1_open_connections,\
h1_open_streams,h1_total_connections,h1_total_streams,h1_bytes_in,h1_bytes_out,\
h1_spliced_bytes_in,h1_spliced_bytes_out,";

/// The header, then a line for each service, for each host, and for each group.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(status: &Status, out: &mut dyn io::Write) -> io::Result<()> {
    let mut text = format!("# {COLUMNS}\n");
    let mut proxies = proxies(status).into_iter().peekable();
    let mut id = 0;
    for service in &status.services {
        id += 1;
        line(&mut text, id, |column| {
            frontend(column, service, status.capacity)
        });
        while let Some(proxy) = proxies.next_if(|it| std::ptr::eq(it.service, service)) {
            id += 1;
            for (host, number) in proxy.group.hosts.iter().zip(1..) {
                line(&mut text, id, |column| {
                    server(column, &proxy, host, number, status.wall_ms)
                });
                pass_on(&mut text, PIECE, out)?;
            }
            line(&mut text, id, |column| backend(column, &proxy));
        }
        pass_on(&mut text, PIECE, out)?;
    }
    pass_on(&mut text, 0, out)
}

/// So much is gathered before it is written on, in bytes.
const PIECE: usize = 32 * 1024;

/// Writes what was gathered, if it is so much.
fn pass_on(text: &mut String, least: usize, out: &mut dyn io::Write) -> io::Result<()> {
    if text.len() >= least {
        out.write_all(text.as_bytes())?;
        text.clear();
    }
    Ok(())
}

/// A line about proxy number `id`; `cell` knows what is in each column.
fn line(text: &mut String, id: usize, cell: impl Fn(&str) -> String) {
    for column in COLUMNS.trim_end_matches(',').split(',') {
        let cell = match column {
            "iid" => id.to_string(),
            // The number of a process among several that are one HAProxy.
            "pid" => "1".to_owned(),
            "mode" => "tcp".to_owned(),
            "-" => "-".to_owned(),
            column => cell(column),
        };
        quoted(text, &cell);
        text.push(',');
    }
    text.push('\n');
}

/// In quotes if need be, and only then.
fn quoted(text: &mut String, cell: &str) {
    if cell.contains(['"', ',', '\n', '\r']) {
        text.push('"');
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(cell);
    }
}

fn frontend(column: &str, service: &ServiceStatus, capacity: usize) -> String {
    match column {
        "pxname" => Escaped(&service.name).to_string(),
        "svname" => "FRONTEND".to_owned(),
        "scur" => service.open.to_string(),
        // All services share it.
        "slim" => capacity.to_string(),
        "stot" | "conn_tot" => service.total.to_string(),
        "bin" => sum(hosts(service), |host| host.totals.bytes_to_host),
        "bout" => sum(hosts(service), |host| host.totals.bytes_to_client),
        "status" => "OPEN".to_owned(),
        "sid" | "type" => "0".to_owned(),
        _ => String::new(),
    }
}

fn backend(column: &str, proxy: &Proxy<'_>) -> String {
    let hosts = || proxy.group.hosts.iter();
    match column {
        "pxname" => proxy.name.clone(),
        "svname" => "BACKEND".to_owned(),
        "scur" => proxy.group.open.to_string(),
        "stot" | "lbtot" => sum(hosts(), |host| host.total),
        "bin" => sum(hosts(), |host| host.totals.bytes_to_host),
        "bout" => sum(hosts(), |host| host.totals.bytes_to_client),
        "econ" => sum(hosts(), |host| host.failures),
        "status" if proxy.active().next().is_some() => "UP".to_owned(),
        "status" => "DOWN".to_owned(),
        "weight" | "uweight" => sum(proxy.active(), |host| u64::from(host.weight)),
        "act" => proxy.active().count().to_string(),
        "ctime" => {
            let connects = hosts().fold(Totals::default(), |sum, host| Totals {
                connects: sum.connects.saturating_add(host.totals.connects),
                connect_ms: sum.connect_ms.saturating_add(host.totals.connect_ms),
                ..sum
            });
            mean_connect_ms(&connects)
        }
        "algo" => proxy.group.scheduler.clone(),
        "type" => "1".to_owned(),
        "qcur" | "qmax" | "bck" | "sid" => "0".to_owned(),
        _ => String::new(),
    }
}

fn server(
    column: &str,
    proxy: &Proxy<'_>,
    host: &HostStatus,
    number: usize,
    wall_ms: u64,
) -> String {
    match column {
        "pxname" => proxy.name.clone(),
        "svname" => Escaped(&host.name).to_string(),
        "scur" => host.open.to_string(),
        "stot" | "lbtot" => host.total.to_string(),
        "bin" => host.totals.bytes_to_host.to_string(),
        "bout" => host.totals.bytes_to_client.to_string(),
        "econ" => host.failures.to_string(),
        "status" => word(host).to_owned(),
        "weight" | "uweight" => host.weight.to_string(),
        "lastchg" => (wall_ms.saturating_sub(host.since_wall_ms) / 1000).to_string(),
        "sid" => number.to_string(),
        "ctime" => mean_connect_ms(&host.totals),
        "addr" => host.address.map_or_else(String::new, |it| it.to_string()),
        "type" => "2".to_owned(),
        // It is one of those that are there, and no backup.
        "act" => "1".to_owned(),
        "qcur" | "qmax" | "bck" => "0".to_owned(),
        _ => String::new(),
    }
}

/// As in the metrics, but that of a host nobody has tried it is said that nothing is
/// known, as HAProxy does of one that is not checked.
fn word(host: &HostStatus) -> &'static str {
    match Server::of(host) {
        Server::Up if host.health == Health::Untried => "no check",
        server => server.as_str(),
    }
}

fn hosts(service: &ServiceStatus) -> impl Iterator<Item = &HostStatus> {
    service.groups.iter().flat_map(|group| &group.hosts)
}

fn sum<'a>(hosts: impl Iterator<Item = &'a HostStatus>, of: impl Fn(&HostStatus) -> u64) -> String {
    hosts.map(of).fold(0, u64::saturating_add).to_string()
}

/// In whole milliseconds, as HAProxy has it; over all connects, not the last 1024.
fn mean_connect_ms(totals: &Totals) -> String {
    let mean = totals.connect_ms.checked_div(totals.connects);
    mean.unwrap_or(0).to_string()
}

#[cfg(test)]
fn csv(status: &Status) -> String {
    let mut text = Vec::new();
    write(status, &mut text).map_or_else(
        |_| String::new(),
        |()| String::from_utf8_lossy(&text).into_owned(),
    )
}

#[cfg(test)]
mod tests;
