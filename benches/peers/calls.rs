//! How many system calls an exchange and a short connection cost, by strace(1).
//!
//! A traced balancer is several times as slow, so more is ready each time that
//! it looks, and it waits less often than it would untraced: the calls for bytes
//! and connections are exact, those for waiting a lower bound.

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
use super::{programs, wrk};

/// How long strace may take to attach.
const PATIENCE: Duration = Duration::from_secs(5);

/// Until a balancer has noticed that the load is over.
const AFTER: Duration = Duration::from_millis(300);

/// A number of calls for each name.
type Calls = BTreeMap<String, f64>;

pub(crate) fn measure(
    folder: &Folder,
    options: &Options,
    peers: &[Peer],
    report: &mut Report,
) -> Outcome<()> {
    const TITLE: &str = "System calls";
    let mut table = Table::new(["", "keep-alive exchange", "short connection"]);
    if !programs::has("strace") {
        report.section(TITLE, "Left out: there is no strace.", &table);
        return Ok(());
    }
    let backend = Backend::start(folder, 4)?;
    let mut words = String::from("Counted by strace, with all threads under load.");
    let peers = peers.iter().filter(|peer| !peer.is_for_bulk());
    for peer in peers.take(options.or_quick(usize::MAX, 2)) {
        let mut balancer = Balancer::start(folder, *peer, &Task::new(&backend.hosts)?)?;
        if !can_trace(folder, &balancer)? {
            words += " Left out: this system does not allow it (ptrace).";
            break;
        }
        let seconds = options.or_quick(4, 1);
        let exchange = calls_each(folder, &mut balancer, false, seconds)?;
        let short = calls_each(folder, &mut balancer, true, seconds)?;
        let total = |calls: &Calls| calls.values().sum::<f64>();
        eprintln!(
            "Calls: {} {} {}",
            peer.name(),
            list(&exchange),
            list(&short)
        );
        if *peer == Peer::Txlb {
            let name = "system calls of a keep-alive exchange";
            report.target(name, Bound::AtMost(4.1), total(&exchange), "");
            let name = "system calls of a short connection";
            report.target(name, Bound::AtMost(14.0), total(&short), "");
            words += &format!(
                "\n\ntxlb's exchange: {}.\n\ntxlb's short connection: {}.",
                list(&exchange),
                list(&short)
            );
        }
        table.row(vec![
            peer.name().to_owned(),
            format!("{:.2}", total(&exchange)),
            format!("{:.2}", total(&short)),
        ]);
    }
    report.section(TITLE, &words, &table);
    Ok(())
}

/// Calls for each request: those of a longer run less those of a shorter one, so
/// that what is done once (letting 64 clients in and out) is not counted.
fn calls_each(
    folder: &Folder,
    balancer: &mut Balancer,
    close: bool,
    seconds: u64,
) -> Outcome<Calls> {
    let (less, fewer) = traced(folder, balancer, close, 1)?;
    let (mut calls, more) = traced(folder, balancer, close, 1 + seconds)?;
    if more <= fewer {
        return Err("a longer run has done less: the machine is too busy to count".into());
    }
    for (name, count) in &mut calls {
        let before = less.get(name).copied().unwrap_or(0.0);
        *count = (*count - before) / (more - fewer);
    }
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
    let load = wrk::Load {
        path: "/",
        close,
        clients: CLIENTS,
        seconds,
    };
    let done = wrk::run(folder, balancer.address, load)?;
    // Clients that have gone are to be done with: they are not the next run's.
    pause(AFTER)?;
    strace.signal(Signal::INT)?;
    if !strace.has_ended_soon() {
        return Err("strace does not end".into());
    }
    balancer.process.check()?;
    Ok((read(&summary)?, done.requests))
}

fn can_trace(folder: &Folder, balancer: &Balancer) -> Outcome<bool> {
    let strace = attach(
        folder,
        &balancer.process.family(),
        &folder.fresh("strace.txt"),
    )?;
    Ok(strace.is_some())
}

/// A strace that counts what all threads do; `None` if it may not.
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
        if strace.check().is_err() || start.elapsed() > PATIENCE {
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

/// Lines of a number and a name, the last one being the total.
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

/// The frequent ones, most frequent first.
fn list(calls: &Calls) -> String {
    let mut calls: Vec<_> = calls.iter().filter(|(_, count)| **count >= 0.005).collect();
    calls.sort_by(|one, other| other.1.total_cmp(one.1));
    let calls = calls
        .iter()
        .map(|(name, count)| format!("{name} {count:.2}"));
    calls.collect::<Vec<_>>().join(", ")
}
