//! System calls of a balancer at full speed, counted by perf(1): only the total, but exact.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::balancer::Balancer;
use super::folder::Folder;
use super::process::{Process, pause};
use super::{Outcome, wrk};

/// Until perf counts; it does not report that.
const BEFORE: Duration = Duration::from_millis(500);

/// Calls for each request under this load; `None` if perf is not installed or may not count.
pub(crate) fn calls_each(
    folder: &Folder,
    balancer: &mut Balancer,
    load: wrk::Load,
) -> Outcome<Option<f64>> {
    let counts = folder.fresh("perf.txt");
    let pids: Vec<String> = balancer
        .process
        .family()
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter"]);
    command.args(["-p", &pids.join(","), "-o"]).arg(&counts);
    let Ok(mut perf) = Process::start("perf", &mut command, &folder.fresh("perf.log")) else {
        return Ok(None);
    };
    pause(BEFORE)?;
    if perf.check().is_err() {
        return Ok(None);
    }
    let done = wrk::run(folder, balancer.address, load)?;
    perf.signal(Signal::INT)?;
    if !perf.has_ended_soon() {
        return Err("perf does not end".into());
    }
    balancer.process.check()?;
    // `1152744,,raw_syscalls:sys_enter,...`, or words in place of the number.
    let text = fs::read_to_string(&counts)?;
    let line = text.lines().find(|line| line.contains("raw_syscalls"));
    let count = line.and_then(|line| line.split(',').next());
    let count: Option<f64> = count.and_then(|count| count.parse().ok());
    Ok(count.map(|count| count / done.requests))
}
