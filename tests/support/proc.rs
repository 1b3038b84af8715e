//! `/proc` of a process: descriptors, memory, processor time, connections.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Pid;

/// Whether the test may read txlb's descriptors. txlb is not dumpable, so the kernel shows them
/// to root only.
pub(crate) fn shows_descriptors() -> bool {
    let shows = rustix::process::geteuid().is_root();
    if !shows {
        eprintln!("left out: only root sees the descriptors of txlb");
    }
    shows
}

/// The open descriptors.
pub(crate) fn descriptors(pid: Pid) -> BTreeSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

/// Resident memory in bytes.
pub(crate) fn memory(pid: Pid) -> u64 {
    number(&read(pid, "status"), "VmRSS:") * 1024
}

/// Processor time, in user space and in the kernel.
pub(crate) fn processor_time(pid: Pid) -> Duration {
    let stat = read(pid, "stat");
    // The name in brackets may contain anything; utime and stime are the 14th
    // and 15th field, in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// How often the threads with this name have gone to sleep, waiting.
pub(crate) fn sleeps(pid: Pid, thread: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let ours = texts.filter(|text| {
        text.lines()
            .next()
            .is_some_and(|line| line.ends_with(thread))
    });
    ours.map(|text| number(&text, "voluntary_ctxt_switches:"))
        .sum()
}

/// Whether a connect on this machine waits for `address` to accept.
pub(crate) fn is_being_connected_to(address: SocketAddr) -> bool {
    let SocketAddr::V4(address) = address else {
        panic!("{address}: only IPv4")
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let remote = format!("{ip:08X}:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Its state is SYN_SENT.
        fields[2] == remote && fields[3] == "02"
    })
}

fn read(pid: Pid, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

fn number(text: &str, label: &str) -> u64 {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(label))
        .unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}
