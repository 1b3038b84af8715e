//! `txlb ctl` with another program at the socket, or with a txlb that is stopped.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use crate::support::config::web;
use crate::support::control::{Caller, Controlled, ctl};
use crate::support::txlb::Folder;
use rustix::process::Signal;

/// A program at a socket that answers each client's first line with `answer`, `times` times.
fn liar(folder: &Folder, answer: Vec<u8>, times: usize) -> PathBuf {
    let socket = folder.file("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut line = String::new();
            BufReader::new(&client).read_line(&mut line).unwrap();
            for _ in 0..times {
                // The client has read enough.
                if client.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    socket
}

fn some_config() -> String {
    web("", "roundr", &["127.0.0.1:9".parse().unwrap()])
}

#[test]
fn nothing_raw_is_printed_that_came_from_the_socket() {
    let folder = Folder::new();
    let bad = "  a\u{1b}]0;x\u{7}\u{1b}[2J\u{9b}31m\rb\tc\u{7f}\u{202e}d\n";
    let socket = liar(&folder, format!("{bad}ok generation 1\n").into(), 1);
    let finished = ctl(&socket, &["status"]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    let shown = "a\\u{1b}]0;x\\u{7}\\u{1b}[2J\\u{9b}31m\\rb\tc\\u{7f}\u{202e}d\n";
    assert_eq!(finished.stdout, shown);
    let finished = ctl(&socket, &["--json", "status"]);
    let shown = "a\\u001b]0;x\\u0007\\u001b[2J\\u009b31m\\u000db\\u0009c\\u007f\\u202ed\n";
    assert_eq!(finished.stdout, shown);

    let folder = Folder::new();
    let socket = liar(&folder, b"error: no\x1b[2J\xff\xe2\x80\xae\n".to_vec(), 1);
    let finished = ctl(&socket, &["status"]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert_eq!(finished.stderr, "error: no\\u{1b}[2J\u{fffd}\\u{202e}\n");
}

#[test]
fn an_answer_without_end_is_given_up() {
    let line = format!("  {}\n", "y".repeat(1 << 16)).into_bytes();
    for answer in [vec![b'x'; 1 << 16], line] {
        let folder = Folder::new();
        let socket = liar(&folder, answer, usize::MAX);
        let finished = ctl(&socket, &["status"]);
        assert_eq!(finished.status, Some(1), "{}", finished.stderr);
        assert!(
            finished.stderr.contains("more than 64 MiB"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn a_txlb_that_is_stopped_is_not_waited_for() {
    let mut controlled = Controlled::start(&some_config());
    controlled.txlb.signal(Signal::STOP);
    for words in [&["status"][..], &["reload"]] {
        let finished = controlled.ctl(words);
        assert_eq!(finished.status, Some(75), "{finished:?}");
        assert!(
            finished
                .stderr
                .contains("does not answer: it may be stopped"),
            "{finished:?}"
        );
    }
    controlled.txlb.signal(Signal::CONT);
    controlled.tell(&["status"]);
    assert_eq!(controlled.txlb.stop(), Some(0));
}

#[test]
fn lines_may_end_as_windows_ends_them() {
    let controlled = Controlled::start(&some_config());
    let set = |weight| format!("setWeight service=web group=main name=a weight={weight}");
    let mut caller = Caller::new(&controlled.socket);
    assert!(caller.ask(&format!("{}\r", set(2))).starts_with("ok"));
    let lines = format!("\u{feff}begin\r\n{}\r\n\r\n   \r\ncommit\r\n", set(3));
    let finished = controlled.feed(&lines);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    assert!(controlled.tell(&["config"]).contains("weight=\"3\""));
}
