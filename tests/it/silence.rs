//! Idle timeouts, and what is still delivered after one.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{End, connect, patient, read_all};
use crate::support::config::web;
use crate::support::host::{Host, Listener, hang_up, tcp_socket};
use crate::support::txlb::Txlb;
use crate::support::{pause, until};
use rustix::net::connect as connect_socket;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::process::{Pid, Signal};

/// A client with a small receive buffer.
fn connect_narrowly(txlb: &Txlb) -> TcpStream {
    let descriptor = tcp_socket();
    set_socket_recv_buffer_size(&descriptor, 16 * 1024).unwrap();
    connect_socket(&descriptor, &txlb.address()).unwrap();
    patient(TcpStream::from(descriptor))
}

/// Waits; `stream` must get nothing.
fn pass(mut stream: &TcpStream, time: Duration) {
    stream.set_read_timeout(Some(time)).unwrap();
    let silence = stream.read(&mut [0]).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
}

/// A host answers at once; its client takes twice the `timeout` to read.
fn read_slowly(attributes: &str, timeout: Duration, half_closed: bool) {
    let host = Listener::new();
    let txlb = Txlb::start(&web(attributes, "roundr", &[host.address()]));
    let mut client = connect_narrowly(&txlb);
    let mut at_host = host.accept();
    const ANSWER: usize = 1_500_000;
    at_host.write_all(&vec![b'z'; ANSWER]).unwrap();
    if half_closed {
        hang_up(&at_host);
    }
    let start = Instant::now();
    let mut left = ANSWER;
    while start.elapsed() < 2 * timeout {
        client.read_exact(&mut [0; 10_000]).unwrap();
        left -= 10_000;
        pass(&at_host, Duration::from_millis(50));
    }
    client.read_exact(&mut vec![0; left]).unwrap();
}

#[test]
fn a_slow_reader_of_what_was_written_long_ago_is_not_silent() {
    read_slowly("idleTimeout='1'", Duration::from_secs(1), false);
}

#[test]
fn nor_is_it_once_its_host_has_said_all() {
    read_slowly("halfClosedTimeout='1'", Duration::from_secs(1), true);
}

#[test]
fn a_client_that_was_cut_still_gets_what_was_sent_before() {
    let host = Listener::new();
    let config = web("idleTimeout='0.5'", "roundr", &[host.address()]);
    let logging = "<logging connections=\"true\"/></config>";
    let mut txlb = Txlb::start(&config.replace("</config>", logging));
    let client = connect_narrowly(&txlb);
    let mut at_host = host.accept();
    let sender = thread::spawn(move || {
        // More than all buffers take.
        while at_host.write(&[b'z'; 1 << 16]).is_ok() {}
    });
    // "… 0/0/501 1234567 cD …": the bytes that went to the client.
    let line = txlb.wait_for(" cD ");
    let sent = line.split(" cD ").next().unwrap().rsplit(' ').next();
    let (received, end) = read_all(&client);
    assert_eq!(Some(received.len().to_string().as_str()), sent);
    assert_eq!(end, End::Clean, "the end is behind it");
    sender.join().unwrap();
}

/// Whether each thread of a process is stopped.
fn is_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tT"))
    })
}

#[test]
fn a_process_that_was_stopped_looks_at_its_sessions_before_it_ends_them() {
    let host = Host::new("a");
    let timeout = Duration::from_millis(1500);
    let txlb = Txlb::start(&web("idleTimeout='1.5'", "roundr", &[host.address()]));
    let mut sessions: Vec<_> = (0..20).map(|_| connect(txlb.address())).collect();
    let mut name = [0; 2];
    for mut session in &sessions {
        session.read_exact(&mut name).unwrap();
    }
    txlb.signal(Signal::STOP);
    // Its threads stop one after the other: what one of them still passes on does not wait for it.
    until("all threads are stopped", || is_stopped(txlb.pid()));
    for session in &mut sessions {
        session.write_all(b"still here").unwrap();
    }
    let nobody = Listener::new();
    pass(&connect(nobody.address()), 2 * timeout);
    txlb.signal(Signal::CONT);
    for session in sessions {
        let mut session = patient(session);
        session.read_exact(&mut [0; 10]).unwrap();
        session.write_all(b"!").unwrap();
        session.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn sessions_go_on_after_the_process_was_stopped_in_the_middle_of_its_work() {
    let host = Host::new("a");
    let timeout = Duration::from_millis(500);
    let txlb = Txlb::start(&web("idleTimeout='0.5'", "roundr", &[host.address()]));
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (mut session, over) = (patient(connect(txlb.address())), Arc::clone(&over));
            thread::spawn(move || {
                session.read_exact(&mut [0; 2]).unwrap();
                while !over.load(Ordering::Relaxed) {
                    session.write_all(&[b'x'; 100]).unwrap();
                    session.read_exact(&mut [0; 100]).unwrap();
                }
            })
        })
        .collect();
    for _ in 0..10 {
        pause(timeout / 10);
        txlb.signal(Signal::STOP);
        pause(2 * timeout);
        txlb.signal(Signal::CONT);
    }
    pause(timeout / 10);
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("its session goes on");
    }
}
