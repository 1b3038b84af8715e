//! Sessions with so many bytes that they are spliced.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use rustix::net::{SendFlags, send};

use crate::support::client::{End, connect, read_all};
use crate::support::config::web;
use crate::support::host::{Listener, hang_up, reset};
use crate::support::proc::shows_descriptors;
use crate::support::txlb::Txlb;
use crate::support::{noise, until};

/// More than the sockets on the way can hold, and 64 times the buffer.
const MUCH: usize = 16_000_000;

/// A session of which the test plays both ends: client, host.
fn session(txlb: &Txlb, host: &Listener) -> (TcpStream, TcpStream) {
    let client = connect(txlb.address());
    (client, host.accept())
}

/// Descriptors that are pipes.
fn pipes(txlb: &Txlb) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fd", txlb.pid())).unwrap();
    let targets = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("pipe:"))
        .count()
}

/// Writes `bytes` in a thread, then shuts down writing.
fn say(mut stream: TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<TcpStream> {
    thread::spawn(move || {
        stream.write_all(&bytes).unwrap();
        hang_up(&stream);
        stream
    })
}

#[test]
fn what_a_stuck_reader_leaves_in_a_pipe_reaches_it_before_the_end() {
    if !shows_descriptors() {
        return;
    }
    let host = Listener::new();
    let txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    let before = pipes(&txlb);
    let (client, at_host) = session(&txlb, &host);
    let bytes = noise(1, MUCH);
    let client = say(client, bytes.clone());
    until("a pipe is used", || pipes(&txlb) > before);
    let (received, end) = read_all(&at_host);
    assert!(
        received == bytes,
        "{} of {} bytes",
        received.len(),
        bytes.len()
    );
    assert_eq!(end, End::Clean);
    // The other direction lives on and is as fast.
    let client = client.join().unwrap();
    let at_host = say(at_host, bytes.clone());
    assert!(read_all(&client).0 == bytes);
    drop(at_host.join().unwrap());
}

#[test]
fn who_finds_no_pipe_copies_and_nothing_is_mixed_up() {
    if !shows_descriptors() {
        return;
    }
    let host = Listener::new();
    // Few descriptors, few pipes: one for each of two workers.
    let config = web("", "roundr", &[host.address()]);
    let txlb = Txlb::start_limited(512, &config, &["-w", "2"]);
    let sessions: Vec<_> = (0..8).map(|_| session(&txlb, &host)).collect();
    let before = pipes(&txlb);
    let (mut clients, mut hosts) = (Vec::new(), Vec::new());
    for (number, (client, at_host)) in sessions.into_iter().enumerate() {
        clients.push(say(client, noise(number as u64, MUCH)));
        hosts.push(at_host);
    }
    until("a pipe is used", || pipes(&txlb) > before);
    assert!(pipes(&txlb) <= before + 4);
    for (number, at_host) in hosts.iter().enumerate() {
        let (received, end) = read_all(at_host);
        assert!(received == noise(number as u64, MUCH), "session {number}");
        assert_eq!(end, End::Clean);
    }
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn a_session_that_ends_with_something_in_its_pipe_takes_the_pipe_with_it() {
    if !shows_descriptors() {
        return;
    }
    let host = Listener::new();
    let txlb = Txlb::start_limited(256, &web("", "roundr", &[host.address()]), &["-w", "1"]);
    // More sessions than there are pipes, one after the other.
    for number in 0..8 {
        let before = pipes(&txlb);
        let (mut client, at_host) = session(&txlb, &host);
        // A write without progress for this long is blocked.
        let timeout = Duration::from_millis(300);
        client.set_write_timeout(Some(timeout)).unwrap();
        let bytes = noise(number, MUCH);
        until("a pipe is used", || {
            while client.write(&bytes).is_ok() {}
            pipes(&txlb) > before
        });
        reset(at_host);
        until("the pipe is closed", || pipes(&txlb) == before);
    }
}

#[test]
fn a_byte_marked_urgent_in_the_midst_of_much_holds_up_nothing() {
    let host = Listener::new();
    let txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    let (mut client, at_host) = session(&txlb, &host);
    let bytes = noise(3, MUCH);
    let copy = bytes.clone();
    let said = thread::spawn(move || {
        client.write_all(&copy).unwrap();
        send(&client, b"X", SendFlags::OOB).unwrap();
        client.write_all(&copy).unwrap();
        hang_up(&client);
        client
    });
    let (received, end) = read_all(&at_host);
    assert!(
        received == [&bytes[..], &bytes[..]].concat(),
        "{} bytes",
        received.len()
    );
    assert_eq!(end, End::Clean);
    said.join().unwrap();
}
