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

/// The last byte has just been read when the timeout has passed since it was written.
#[test]
fn who_has_just_read_the_last_byte_has_its_time_to_answer() {
    let host = Listener::new();
    let timeout = Duration::from_secs(2);
    let txlb = Txlb::start(&web("idleTimeout='2'", "roundr", &[host.address()]));
    let mut client = connect_narrowly(&txlb);
    let mut at_host = host.accept();
    const ANSWER: usize = 200_000;
    at_host.write_all(&vec![b'z'; ANSWER]).unwrap();
    pass(&at_host, timeout * 3 / 4);
    patient(client.try_clone().unwrap())
        .read_exact(&mut vec![0; ANSWER])
        .unwrap();
    pass(&at_host, timeout / 2);
    client.write_all(b"thanks").unwrap();
    patient(at_host).read_exact(&mut [0; 6]).unwrap();
}

/// However long a session was idle before.
#[test]
fn after_a_late_half_close_the_host_has_its_time_to_answer() {
    let host = Listener::new();
    let attributes = "halfClosedTimeout='0.5'";
    let txlb = Txlb::start(&web(attributes, "roundr", &[host.address()]));
    let client = connect(txlb.address());
    let mut at_host = host.accept();
    pass(&at_host, Duration::from_secs(1));
    hang_up(&client);
    assert_eq!(
        patient(at_host.try_clone().unwrap())
            .read(&mut [0])
            .unwrap(),
        0
    );
    pass(&client, Duration::from_millis(100));
    at_host.write_all(b"bye").unwrap();
    drop(at_host);
    assert_eq!(read_all(&client), (b"bye".to_vec(), End::Clean));
}

/// A host that goes on, and one that has said all; the other direction, too.
#[test]
fn a_reader_that_takes_little_a_second_is_not_silent() {
    let host = Listener::new();
    let attributes = "idleTimeout='2' halfClosedTimeout='2'";
    let txlb = Txlb::start(&web(attributes, "roundr", &[host.address()]));
    let readers = [(true, true), (true, false), (false, true), (false, false)];
    let readers = readers.map(|(client_reads, ends)| {
        let client = connect_narrowly(&txlb);
        let at_host = host.accept();
        let (mut reader, writer) = match client_reads {
            true => (client, at_host),
            false => (at_host, client),
        };
        set_socket_recv_buffer_size(&reader, 16 * 1024).unwrap();
        thread::spawn(move || {
            let feeder = thread::spawn(move || {
                // All that the system takes, or more.
                let length = if ends { 1_500_000 } else { 8 << 20 };
                let sent = (&writer).write_all(&vec![b'z'; length]);
                if ends {
                    sent.unwrap();
                    hang_up(&writer);
                }
                // Until the reader has gone.
                let _ = patient(writer).read(&mut [0]);
            });
            for _ in 0..14 {
                pause(Duration::from_millis(500));
                reader.read_exact(&mut [0; 20_000]).unwrap();
            }
            drop(reader);
            feeder.join().unwrap();
        })
    });
    for reader in readers {
        reader.join().expect("it is not cut");
    }
}

#[test]
fn a_reader_that_takes_nothing_is_silent_whoever_sent_last() {
    let host = Listener::new();
    let config = web("idleTimeout='1'", "roundr", &[host.address()]);
    let logging = "<logging connections=\"true\"/></config>";
    let mut txlb = Txlb::start(&config.replace("</config>", logging));
    let mut client = connect_narrowly(&txlb);
    let mut at_host = host.accept();
    let sender = thread::spawn(move || while at_host.write(&[b'z'; 1 << 16]).is_ok() {});
    client.write_all(b"go on").unwrap();
    txlb.wait_for(" cD ");
    drop(client);
    sender.join().unwrap();
}

#[test]
fn a_session_is_ended_at_its_greatest_age_in_order_if_nothing_is_on_its_way() {
    let host = Host::new("a");
    let config = web("maxDuration='1'", "roundr", &[host.address()]);
    let logging = "<logging connections=\"true\"/></config>";
    let mut txlb = Txlb::start(&config.replace("</config>", logging));
    let mut client = patient(connect(txlb.address()));
    client.read_exact(&mut [0; 2]).unwrap();
    client.write_all(b"!").unwrap();
    client.read_exact(&mut [0]).unwrap();
    assert_eq!(read_all(&client), (Vec::new(), End::Clean));
    txlb.wait_for(" PD ");
}

#[test]
fn peers_that_are_silent_together_are_not_cut_after_a_pause() {
    let host = Host::new("a");
    let txlb = Txlb::start(&web("idleTimeout='3'", "roundr", &[host.address()]));
    let mut client = patient(connect(txlb.address()));
    client.read_exact(&mut [0; 2]).unwrap();
    txlb.signal(Signal::STOP);
    until("all threads are stopped", || is_stopped(txlb.pid()));
    pause(Duration::from_secs(6));
    txlb.signal(Signal::CONT);
    pass(&client, Duration::from_secs(1));
    client.write_all(b"!").unwrap();
    patient(client).read_exact(&mut [0]).unwrap();
}
