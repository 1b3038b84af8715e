//! The hosts: one nginx with many loopback addresses.
//!
//! One process for all hosts costs little. It shares the processors with what is measured.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use super::Outcome;
use super::folder::{Folder, free_port};
use super::process::Process;

/// Bytes of the response to `/page`.
const PAGE: usize = 18 * 1024;

/// Bytes of the response to `/bulk`.
pub(crate) const BULK: u64 = 64 * 1024 * 1024;

/// Running hosts.
pub(crate) struct Backend {
    _process: Process,
    /// The address of each host.
    pub(crate) hosts: Vec<SocketAddr>,
}

impl Backend {
    /// Starts `count` hosts, each with a loopback address of its own.
    pub(crate) fn start(folder: &Folder, count: usize) -> Outcome<Backend> {
        Backend::start_with(folder, count, "")
    }

    /// The same; `options` are of nginx's `listen`.
    pub(crate) fn start_with(folder: &Folder, count: usize, options: &str) -> Outcome<Backend> {
        let port = free_port()?;
        let hosts: Vec<SocketAddr> = (0..count)
            .map(|number| SocketAddr::from((loopback(number), port)))
            .collect();
        let place = folder.fresh("backend");
        fs::create_dir(&place)?;
        fs::write(place.join("page"), vec![b'x'; PAGE])?;
        // A sparse file of zeros.
        File::create(place.join("bulk"))?.set_len(BULK)?;
        let place = place.display().to_string();
        let file = folder.write("backend.conf", &configuration(&place, &hosts, options))?;
        let mut nginx = Command::new("nginx");
        // Before nginx has read its configuration, it would write to the log in /var.
        nginx.arg("-e").arg(format!("{place}/error.log"));
        nginx.arg("-c").arg(file);
        let log = folder.fresh("backend.log");
        let mut process = Process::start("nginx (the hosts)", &mut nginx, &log)?;
        for host in hosts.iter().take(4) {
            process.wait_listening(*host)?;
        }
        Ok(Backend {
            _process: process,
            hosts,
        })
    }
}

fn configuration(place: &str, hosts: &[SocketAddr], options: &str) -> String {
    let listens: String = hosts
        .iter()
        .map(|host| format!("listen {host} backlog=4096 {options};\n"))
        .collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
        .concat();
    format!(
        "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 12000; multi_accept on; }}
http {{
access_log off; {temporary}
keepalive_requests 1000000000; keepalive_timeout 1h; client_header_timeout 1h;
sendfile on; open_file_cache max=8;
server {{
{listens}
root {place};
location = / {{ return 200 \"ok\\n\"; }}
}} }}
"
    )
}

/// The loopback address of a host, from 127.1.0.1 on.
fn loopback(number: usize) -> Ipv4Addr {
    let byte = |value: usize| u8::try_from(value % 250 + 1).unwrap_or(1);
    Ipv4Addr::new(127, 1, byte(number / 250), byte(number))
}
