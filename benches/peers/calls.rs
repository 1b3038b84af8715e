//! System calls for an exchange and for a short connection, counted by strace(1).
//!
//! strace tells calls apart, but makes a balancer several times slower. So more sockets are
//! ready at each poll, and there are fewer polls. Calls for bytes and connections are exact,
//! those for waiting are a lower bound. `untraced` counts all of them once more.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::Outcome;
use super::backend::Backend;
use super::balancer::{Balancer, Peer, Task};
use super::folder::Folder;
use super::options::Options;
use super::process::{Process, pause};
use super::report::{Bound, Report};
use super::table::Table;
use super::versus::CLIENTS;
use super::{programs, untraced, wrk};

/// How long strace may take to attach.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Until a balancer has seen the end of the load.
const AFTER: Duration = Duration::from_millis(300);

/// A busy machine may spoil one attempt.
const ATTEMPTS: usize = 3;

/// The number of calls by name.
type Calls = BTreeMap<String, f64>;

pub(crate) fn measure(
    folder: &Folder,
    options: &Options,
    peers: &[Peer],
    report: &mut Report,
) -> Outcome<()> {
    let backend = Backend::start(folder, 4)?;
    let mut table = Table::new([
        "",
        "keep-alive exchange: strace",
        "untraced",
        "short connection: strace",
        "untraced",
    ]);
    let mut words = String::from(
        "Traced, a balancer finds more to do each time that it looks, and waits less often. Untraced \
         counts are perf's; where there are dashes, strace or perf is missing or not allowed.",
    );
    let peers = peers.iter().filter(|peer| !peer.is_for_bulk());
    for peer in peers.take(options.or_quick(usize::MAX, 1)) {
        let mut balancer = Balancer::start(folder, *peer, &Task::new(&backend.hosts)?)?;
        let mut cells = vec![peer.name().to_owned()];
        for (what, close, most) in [
            ("keep-alive exchange", false, 4.1),
            ("short connection", true, 14.0),
        ] {
            let count = Count::take(folder, options, &mut balancer, close)?;
            eprintln!("Calls: {} {what} {count:?}", peer.name());
            if *peer == Peer::Txlb {
                count.judge(report, what, most);
                words += &format!("\n\ntxlb's {what}: {}.", list(&count.traced));
            }
            cells.extend([count.total(), count.untraced].map(cell));
        }
        table.row(cells);
    }
    report.section("System calls", &words, &table);
    Ok(())
}

/// Calls for each request.
#[derive(Debug)]
struct Count {
    /// By name, if they could be traced.
    traced: Calls,
    untraced: Option<f64>,
}

impl Count {
    fn take(
        folder: &Folder,
        options: &Options,
        balancer: &mut Balancer,
        close: bool,
    ) -> Outcome<Count> {
        let seconds = options.or_quick(4, 2);
        let traced = match (can_trace(folder, balancer)?, close) {
            (false, _) => Calls::new(),
            (true, false) => calls_each_exchange(folder, balancer, seconds)?,
            (true, true) => calls_each_connection(folder, balancer, seconds)?,
        };
        let untraced = untraced::calls_each(folder, balancer, load(close, seconds))?;
        Ok(Count { traced, untraced })
    }

    fn total(&self) -> Option<f64> {
        (!self.traced.is_empty()).then(|| self.traced.values().sum())
    }

    fn judge(&self, report: &mut Report, what: &str, most: f64) {
        for (how, count) in [("strace", self.total()), ("untraced", self.untraced)] {
            if let Some(count) = count {
                let name = format!("system calls of a {what}, {how}");
                report.target(&name, Bound::AtMost(most), count, "");
            }
        }
    }
}

fn cell(count: Option<f64>) -> String {
    count.map_or("–".to_owned(), |count| format!("{count:.2}"))
}

fn load(close: bool, seconds: u64) -> wrk::Load {
    wrk::Load {
        path: "/",
        close,
        clients: CLIENTS,
        seconds,
    }
}

/// Calls for each request over lasting connections: a longer run minus a shorter one, which
/// removes the cost of 64 clients that come and go.
fn calls_each_exchange(folder: &Folder, balancer: &mut Balancer, seconds: u64) -> Outcome<Calls> {
    for _ in 0..ATTEMPTS {
        let (less, fewer) = traced(folder, balancer, false, 1)?;
        let (mut calls, more) = traced(folder, balancer, false, 1 + seconds)?;
        if more > fewer {
            for (name, count) in &mut calls {
                let before = less.get(name).copied().unwrap_or(0.0);
                *count = (*count - before) / (more - fewer);
            }
            return Ok(calls);
        }
    }
    Err("longer runs have done less: the machine is too busy to count".into())
}

/// Calls for each connection with one request. wrk does not count requests that are under way
/// at the end, though they have cost calls.
fn calls_each_connection(folder: &Folder, balancer: &mut Balancer, seconds: u64) -> Outcome<Calls> {
    let (mut calls, requests) = traced(folder, balancer, true, seconds)?;
    let connections = requests + CLIENTS as f64;
    calls.values_mut().for_each(|count| *count /= connections);
    Ok(calls)
}

/// All calls of one run, and its requests.
fn traced(
    folder: &Folder,
    balancer: &mut Balancer,
    close: bool,
    seconds: u64,
) -> Outcome<(Calls, f64)> {
    let summary = folder.fresh("strace.txt");
    let mut strace = attach(folder, &balancer.process.family(), &summary)?
        .ok_or("strace could attach before, and cannot now")?;
    let done = wrk::run(folder, balancer.address, load(close, seconds))?;
    // The end of these clients must not count for the next run.
    pause(AFTER)?;
    strace.signal(Signal::INT)?;
    if !strace.has_ended_soon() {
        return Err("strace does not end".into());
    }
    balancer.process.check()?;
    Ok((read(&summary)?, done.requests))
}

/// Whether strace is installed and may trace.
fn can_trace(folder: &Folder, balancer: &Balancer) -> Outcome<bool> {
    if !programs::has("strace") {
        return Ok(false);
    }
    let strace = attach(
        folder,
        &balancer.process.family(),
        &folder.fresh("strace.txt"),
    )?;
    Ok(strace.is_some())
}

/// Attaches strace to all threads; `None` if it may not.
fn attach(folder: &Folder, pids: &[Pid], summary: &Path) -> Outcome<Option<Process>> {
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "--summary-columns=calls,syscall", "-o"]);
    command.arg(summary);
    for pid in pids {
        command.args(["-p", &pid.to_string()]);
    }
    let mut strace = Process::start("strace", &mut command, &folder.fresh("strace.log"))?;
    let start = Instant::now();
    while !all_traced(pids)? {
        if strace.check().is_err() || start.elapsed() > TIMEOUT {
            return Ok(None);
        }
        pause(Duration::from_millis(10))?;
    }
    Ok(Some(strace))
}

fn all_traced(pids: &[Pid]) -> Outcome<bool> {
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            if status.contains("TracerPid:\t0\n") {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Parses lines of a number and a name; the last one is the total.
fn read(summary: &Path) -> Outcome<Calls> {
    let text = fs::read_to_string(summary)?;
    let calls = text.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(' ')?;
        Some((name.trim().to_owned(), count.parse().ok()?))
    });
    let mut calls: Calls = calls.collect();
    match calls.remove("total") {
        Some(total) if (calls.values().sum::<f64>() - total).abs() < 0.5 => Ok(calls),
        _ => Err(format!("strace's summary is not understood:\n{text}").into()),
    }
}

/// The most frequent calls first.
fn list(calls: &Calls) -> String {
    let mut calls: Vec<_> = calls.iter().filter(|(_, count)| **count >= 0.005).collect();
    calls.sort_by(|one, other| other.1.total_cmp(one.1));
    let calls = calls
        .iter()
        .map(|(name, count)| format!("{name} {count:.2}"));
    calls.collect::<Vec<_>>().join(", ")
}
