//! Describes the machine and gives the date.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use txlb::calendar::UtcTime;

use super::programs;

/// Some lines of Markdown.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}: {cores} processors ({}), Linux {}. Client, balancer and hosts share them.\n\n\
         * txlb {}\n{}",
        today(),
        model(),
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
        programs::versions()
    )
}

fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split(": ").nth(1));
    name.unwrap_or("of an unknown kind").to_owned()
}

fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall_ms = now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    let moment = UtcTime::of(wall_ms).iso();
    moment.chars().take_while(|letter| *letter != 'T').collect()
}
