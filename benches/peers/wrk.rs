//! Load by wrk, and its report.

use std::net::SocketAddr;
use std::process::Command;

use super::Outcome;
use super::folder::Folder;
use super::process::Process;

/// The load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) path: &'static str,
    /// A new connection for each request.
    pub(crate) close: bool,
    pub(crate) clients: usize,
    pub(crate) seconds: u64,
}

/// wrk's result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Report {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p99_us: f64,
}

/// Runs the load against `address`.
///
/// # Errors
/// If a request failed: such a run measures something else.
pub(crate) fn run(folder: &Folder, address: SocketAddr, load: Load) -> Outcome<Report> {
    let mut wrk = Command::new("wrk");
    wrk.args(["--latency", "--threads", "2", "--timeout", "10s"]);
    wrk.args(["--connections", &load.clients.to_string()]);
    wrk.args(["--duration", &format!("{}s", load.seconds)]);
    if load.close {
        wrk.args(["--header", "Connection: close"]);
    }
    wrk.arg(format!("http://{address}{}", load.path));
    let process = Process::start("wrk", &mut wrk, &folder.fresh("wrk.out"))?;
    let text = process.wait_done()?;
    read(&text)
        .ok_or_else(|| format!("wrk reports errors, or what is not understood:\n{text}").into())
}

/// `None` if there were errors, or if it cannot be parsed.
fn read(text: &str) -> Option<Report> {
    if text.contains("Socket errors") || text.contains("Non-2xx") {
        return None;
    }
    let after = |label: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        Some(line?.trim().to_owned())
    };
    let requests = text.lines().find(|line| line.contains(" requests in "))?;
    let report = Report {
        requests: requests.split_whitespace().next()?.parse().ok()?,
        per_second: after("Requests/sec:")?.parse().ok()?,
        p99_us: microseconds(&after("99%")?)?,
    };
    (report.requests > 0.0).then_some(report)
}

fn microseconds(text: &str) -> Option<f64> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}
