//! Shared by the tests of the running program: the program, hosts, clients, and /proc.
//!
//! It has no expectations; those are in the tests.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod control;
#[cfg(target_os = "linux")]
pub(crate) mod daemon;
pub(crate) mod embedded;
pub(crate) mod golden;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod name_server;
pub(crate) mod page;
pub(crate) mod peer;
pub(crate) mod proc;
#[cfg(target_os = "linux")]
pub(crate) mod pty;
pub(crate) mod rerun;
pub(crate) mod screen;
#[cfg(feature = "ssh")]
pub(crate) mod ssh;
pub(crate) mod traffic;
pub(crate) mod txlb;
#[cfg(target_os = "linux")]
pub(crate) mod upgradable;
#[cfg(target_os = "linux")]
pub(crate) mod user;

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

/// Timeout of every wait in tests, long enough for a slow machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until `holds`, by polling: for what sends no signal.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIMEOUT, "in vain: {what}");
        pause(Duration::from_millis(5));
    }
}

/// Sleeps: between two polls, or for a pace that a test needs. Nothing else in tests sleeps. To
/// wait for something, use [`until`].
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

/// Random bytes, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // Xorshift, by Marsaglia.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Whether this machine has IPv6; prints a note if a test must do without.
pub(crate) fn has_ipv6() -> bool {
    let there = TcpListener::bind("[::1]:0").is_ok();
    if !there {
        eprintln!("left out: this machine has no ::1");
    }
    there
}
