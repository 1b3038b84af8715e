//! Statistics as CSV, with the columns of HAProxy 2.6's `;csv`, for monitoring agents.
//!
//! Columns without a counterpart are empty: limits, queues, and those of HTTP, TLS and agents. So are
//! those of checks before the first one. Sums are over the current hosts.

use std::io;

use super::{Proxy, ServerStatus, check_status, proxies};
use crate::balance::{Health, Totals};
use crate::config::HostAddress;
use crate::control::{Escaped, HostStatus, ServiceStatus, Status};

/// The content type of [`write()`].
#[cfg(feature = "web")]
pub(in crate::admin) const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// HAProxy's columns in its order. The comma at the end is HAProxy's, and so is the `-`
/// between the columns of all builds and those of some.
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

/// Which lines are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    /// Of this proxy, by its number or name.
    proxy: Option<String>,
    /// Of these types, as bits: 1 is services, 2 is groups, 4 is hosts. `None` is all.
    types: Option<u8>,
    /// Of the host of this number; 0 is that of services and groups.
    server: Option<usize>,
}

impl Selection {
    /// Parses `<iid>|<proxy> <type> <sid>`, each -1 for all; no words are all. `None` if it is
    /// something else.
    pub(super) fn parse(words: &[&str]) -> Option<Selection> {
        let [proxy, types, server] = words else {
            return words.is_empty().then(Selection::default);
        };
        let (types, server): (i64, i64) = (types.parse().ok()?, server.parse().ok()?);
        Some(Selection {
            proxy: (*proxy != "-1").then(|| (*proxy).to_owned()),
            types: u8::try_from(types).ok(),
            server: usize::try_from(server).ok(),
        })
    }

    fn has(&self, (id, name): (usize, &str), kind: u8, server: usize) -> bool {
        let proxy = self.proxy.as_deref();
        let has_proxy = proxy.is_none_or(|it| it == name || it.parse() == Ok(id));
        let has_type = self.types.is_none_or(|types| types & kind != 0);
        has_proxy && has_type && self.server.is_none_or(|it| it == server)
    }
}

/// Writes the header, then a line for each service, host and group.
///
/// # Errors
/// Errors of `out`.
#[cfg(any(test, feature = "web"))]
pub(in crate::admin) fn write(status: &Status, out: &mut dyn io::Write) -> io::Result<()> {
    write_selected(status, &Selection::default(), out)
}

/// The same for a part of them.
///
/// # Errors
/// Errors of `out`.
pub(super) fn write_selected(
    status: &Status,
    which: &Selection,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut text = format!("# {COLUMNS}\n");
    let mut proxies = proxies(status).into_iter().peekable();
    let mut next_id = 1;
    for service in &status.services {
        let name = Escaped(&service.name).to_string();
        if which.has((next_id, &name), 1, 0) {
            line(&mut text, next_id, |column| {
                frontend(column, service, status.capacity)
            });
        }
        while let Some((id, proxy)) = proxies.next_if(|(_, it)| std::ptr::eq(it.service, service)) {
            next_id = id;
            for (host, number) in proxy.group.hosts.iter().zip(1..) {
                if which.has((id, &proxy.name), 4, number) {
                    line(&mut text, id, |column| {
                        server(column, &proxy, host, number, status.wall_ms)
                    });
                }
                flush(&mut text, CHUNK_BYTES, out)?;
            }
            if which.has((id, &proxy.name), 2, 0) {
                line(&mut text, id, |column| backend(column, &proxy));
            }
        }
        next_id += 1;
        flush(&mut text, CHUNK_BYTES, out)?;
    }
    flush(&mut text, 0, out)
}

/// Bytes that are collected before they are written.
const CHUNK_BYTES: usize = 32 * 1024;

/// Writes the collected text if it has `least` bytes.
fn flush(text: &mut String, least: usize, out: &mut dyn io::Write) -> io::Result<()> {
    if text.len() >= least {
        out.write_all(text.as_bytes())?;
        text.clear();
    }
    Ok(())
}

/// Appends a line of proxy number `id`; `cell` returns the text of a column.
fn line(text: &mut String, id: usize, cell: impl Fn(&str) -> String) {
    for column in COLUMNS.trim_end_matches(',').split(',') {
        let cell = match column {
            "iid" => id.to_string(),
            // HAProxy's number of the process, 1 where there is only one.
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

/// Appends a cell, in quotes only where they are needed.
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
        // All services share the capacity.
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
        "weight" => sum(proxy.active(), |host| u64::from(host.weight_in_force())),
        "uweight" => sum(proxy.active(), |host| u64::from(host.weight)),
        "act" => proxy.count_active(false).to_string(),
        "bck" => proxy.count_active(true).to_string(),
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
        "qcur" | "qmax" | "sid" => "0".to_owned(),
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
        "smax" => host.peak_open.to_string(),
        "stot" | "lbtot" => host.total.to_string(),
        "bin" => host.totals.bytes_to_host.to_string(),
        "bout" => host.totals.bytes_to_client.to_string(),
        "econ" => host.failures.to_string(),
        "status" => status_word(host).to_owned(),
        "weight" => host.weight_in_force().to_string(),
        "uweight" => host.weight.to_string(),
        "lastchg" => (wall_ms.saturating_sub(host.since_wall_ms) / 1000).to_string(),
        "chkfail" => host.failed_checks.to_string(),
        "chkdown" => host.times_failed.to_string(),
        "downtime" => (host.down_ms / 1000).to_string(),
        "throttle" => host
            .slow_start_percent
            .map_or_else(String::new, |it| it.to_string()),
        "rate" => (host.per_ten_seconds / 10).to_string(),
        "rate_max" => host.peak_per_second.to_string(),
        "sid" => number.to_string(),
        "ctime" => mean_connect_ms(&host.totals),
        "addr" => host
            .address
            .as_ref()
            .map_or_else(String::new, |it| HostAddress(it).to_string()),
        "type" => "2".to_owned(),
        "act" => u8::from(!host.backup).to_string(),
        "bck" => u8::from(host.backup).to_string(),
        "qcur" | "qmax" => "0".to_owned(),
        column => check(column, host),
    }
}

/// The columns of the last check, and of how the host stands in its checks.
fn check(column: &str, host: &HostStatus) -> String {
    let last = host.last_check.as_ref();
    let health = host.check_health;
    let cell = match column {
        "check_status" => last.map(|it| check_status(it).0.to_owned()),
        "check_desc" => last.map(|it| check_status(it).2.to_owned()),
        "check_duration" => last.map(|it| it.took_ms.to_string()),
        "last_chk" => host.check_failure().map(ToString::to_string),
        "check_rise" => health.map(|it| it.rise.to_string()),
        "check_fall" => health.map(|it| it.fall.to_string()),
        "check_health" => health.map(|it| it.health.to_string()),
        _ => None,
    };
    cell.unwrap_or_default()
}

/// The status as in the metrics, but "no check" for an untried host, as HAProxy has it for
/// a server that is not checked.
fn status_word(host: &HostStatus) -> &'static str {
    match ServerStatus::of(host) {
        ServerStatus::Up if host.health == Health::Untried => "no check",
        server => server.as_str(),
    }
}

fn hosts(service: &ServiceStatus) -> impl Iterator<Item = &HostStatus> {
    service.groups.iter().flat_map(|group| &group.hosts)
}

fn sum<'a>(hosts: impl Iterator<Item = &'a HostStatus>, of: impl Fn(&HostStatus) -> u64) -> String {
    hosts.map(of).fold(0, u64::saturating_add).to_string()
}

/// The mean connect time in whole milliseconds, as HAProxy has it; but over all connects,
/// not the last 1024.
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
mod tests {

    use std::collections::BTreeMap;
    use std::fs;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;
    use crate::admin::haproxy::samples::{NASTY, nasty, small};

    /// The cells of a line, by its end's comma; quotes as HAProxy has them.
    fn cells(line: &str) -> Vec<String> {
        let (mut cells, mut cell, mut in_quotes) = (Vec::new(), String::new(), false);
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' if in_quotes && characters.peek() == Some(&'"') => {
                    characters.next();
                    cell.push('"');
                }
                '"' if in_quotes => {
                    assert_eq!(characters.peek(), Some(&','), "{line}");
                    in_quotes = false;
                }
                '"' => {
                    assert_eq!(cell, "", "{line}");
                    in_quotes = true;
                }
                ',' if !in_quotes => cells.push(std::mem::take(&mut cell)),
                other => cell.push(other),
            }
        }
        assert!(!in_quotes && cell.is_empty(), "{line}");
        cells
    }

    /// Each line's cells that are not empty, by column.
    fn table(text: &str) -> Vec<BTreeMap<String, String>> {
        let mut lines = text.strip_suffix('\n').unwrap().split('\n');
        let header = lines.next().unwrap().strip_prefix("# ").unwrap();
        let columns = cells(header);
        let row = |line| {
            let cells = cells(line);
            assert_eq!(cells.len(), columns.len(), "{line}");
            let row = columns.iter().cloned().zip(cells);
            row.filter(|(_, cell)| !cell.is_empty()).collect()
        };
        lines.map(row).collect()
    }

    /// The cells that are not empty, from words such as `pxname=web`, and those that are
    /// the same in every line.
    fn row(words: &str) -> BTreeMap<String, String> {
        let cells = words.split_whitespace().chain(["pid=1", "mode=tcp", "-=-"]);
        let cells = cells.map(|status_word| status_word.split_once('=').unwrap());
        cells
            .map(|(column, cell)| (column.to_owned(), cell.replace('_', " ")))
            .collect()
    }

    #[test]
    fn every_line_has_what_haproxy_has_there() {
        let expected = [
            "pxname=web svname=FRONTEND scur=2 slim=9200 stot=9 bin=100 bout=2000 status=OPEN iid=1
         sid=0 type=0 conn_tot=9",
            "pxname=web:main svname=one qcur=0 qmax=0 scur=2 smax=0 stot=7 bin=100 bout=2000 econ=1
         status=UP weight=5 act=1 bck=0 chkfail=0 chkdown=0 lastchg=59 downtime=0 iid=2 sid=1
         lbtot=7 type=2 rate=0 rate_max=0 ctime=430 addr=10.0.0.1:80 uweight=5",
            "pxname=web:main svname=two qcur=0 qmax=0 scur=0 smax=0 stot=0 bin=0 bout=0 econ=4
         status=DOWN weight=1 act=1 bck=0 chkfail=3 chkdown=2 lastchg=59 downtime=61 iid=2 sid=2
         lbtot=0 type=2 rate=0 rate_max=0 check_status=L7RSP check_duration=12
         check_desc=Layer7_invalid_response last_chk=expected_200,_got_503 check_rise=2 check_fall=3
         check_health=1 ctime=0 uweight=1",
            "pxname=web:main svname=BACKEND qcur=0 qmax=0 scur=2 stot=7 bin=100 bout=2000 econ=5
         status=UP weight=5 act=1 bck=0 iid=2 sid=0 lbtot=7 type=1 ctime=430
         algo=leastc,sticky uweight=5",
        ];
        assert_eq!(table(&csv(&small())), expected.map(row));
    }

    #[test]
    fn names_cannot_break_a_line() {
        let text = csv(&nasty());
        let table = table(&text);
        let groups_and_hosts = table.iter().filter(|row| row["type"] != "0");
        assert_eq!(groups_and_hosts.count(), 2 + 1 + 5 + 1 + 1 + 1 + 1 + 1 + 1);
        let escaped = Escaped(NASTY).to_string();
        let named = |name: &str| -> Vec<_> {
            let of = table
                .iter()
                .filter(|row| row.get("pxname").is_some_and(|it| it == name));
            of.collect()
        };
        assert_eq!(named(&escaped).len(), 1);
        let of_group = named(&format!("{escaped}:{escaped}"));
        let words: Vec<_> = of_group.iter().map(|row| row["status"].as_str()).collect();
        assert_eq!(
            words,
            ["NOLB", "DRAIN", "MAINT", "no check", "no check", "UP"]
        );
        assert_eq!(of_group[0]["addr"], "[2001:db8::1]:80");
        assert!(!text.contains(['\r', '\t', '\0', '\u{85}']), "{text:?}");
        assert!(text.contains("\"\"b\"\""), "{text}");
        // Two groups are told apart by name, and all proxies by number.
        for (name, id) in [("a:b:c", "7"), ("a%3Ab:c", "9")] {
            let rows = named(name);
            assert_eq!(rows.len(), 2, "{name}");
            assert!(rows.iter().all(|row| row["iid"] == id), "{rows:?}");
        }
    }

    #[test]
    fn nothing_is_quoted_without_need() {
        let text = csv(&small());
        assert_eq!(text.matches('"').count(), 4);
        assert!(text.contains(",\"leastc,sticky\","));
    }

    #[test]
    fn without_services_there_is_the_header_alone() {
        assert_eq!(csv(&Status::default()), format!("# {COLUMNS}\n"));
    }

    /// Ends a process, and removes a folder, however the test goes.
    struct Running {
        folder: PathBuf,
    }

    impl Drop for Running {
        fn drop(&mut self) {
            if let Ok(pid) = fs::read_to_string(self.folder.join("pid")) {
                let _ = Command::new("kill").arg(pid.trim()).status();
            }
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    #[ignore = "needs haproxy"]
    fn the_columns_are_those_of_a_real_haproxy() {
        let folder = std::env::temp_dir().join(format!("txlb-csv-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let running = Running { folder };
        let file = |name: &str| running.folder.join(name);
        // A server that is checked has the columns of checks.
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = format!(
            "global\n  stats socket {} mode 600\ndefaults\n  timeout connect 1s\n  timeout client 1s\n  \
         timeout server 1s\nlisten web\n  bind unix@{}\n  server one {} check\n",
            file("socket").display(),
            file("web").display(),
            server.local_addr().unwrap()
        );
        fs::write(file("config"), config).unwrap();
        // It goes into the background once its socket is there.
        let started = Command::new("haproxy")
            .arg("-D")
            .arg("-p")
            .arg(file("pid"))
            .arg("-f")
            .arg(file("config"))
            .status()
            .unwrap();
        assert!(started.success());
        let mut socket = UnixStream::connect(file("socket")).unwrap();
        socket.write_all(b"show stat\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().next(), csv(&small()).lines().next());
        // The reader of the tests above reads what HAProxy writes.
        let lines = table(text.strip_suffix('\n').unwrap());
        let names: Vec<_> = lines.iter().map(|row| row["svname"].as_str()).collect();
        assert_eq!(names, ["FRONTEND", "one", "BACKEND"]);
        // What is alike in both is in the same columns.
        for (theirs, ours) in lines.iter().zip([0, 1, 3]) {
            let ours = &table(&csv(&small()))[ours];
            for column in ["svname", "sid", "type", "mode", "pid", "-", "bck", "act"] {
                assert_eq!(theirs.get(column), ours.get(column), "{column}");
            }
            let missing: Vec<_> = ours.keys().filter(|it| !theirs.contains_key(*it)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }
}
