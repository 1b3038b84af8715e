//! Log outputs: the journal, a pipe without a reader, repeated lines, `RUST_LOG`.
//!
//! Session lines and log files are in `log`, a real syslog daemon in `.ci/logs`.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc::Receiver;

use crate::support::client::{fate, who};
use crate::support::config::web;
use crate::support::control::{Caller, Controlled, with_control};
use crate::support::host::{Host, Place};
#[cfg(feature = "web")]
use crate::support::http::{HttpRequest, USERS, page_of, with_page};
use crate::support::txlb::{Folder, Txlb, command, finish, read_lines, text};
use crate::support::{TIMEOUT, until};
use rustix::process::Signal;

/// A balancer at `place` that logs to one end of a socket pair, as under systemd, and the lines
/// from the other. `stream` makes `JOURNAL_STREAM` of device and inode.
fn in_a_journal(place: &Place, stream: impl Fn(u64, u64) -> String) -> (Txlb, Receiver<String>) {
    let (journal, stderr) = UnixStream::pair().unwrap();
    let stderr = File::from(OwnedFd::from(stderr));
    let about = stderr.metadata().unwrap();
    let listen = place.address().to_string();
    let mut serve = command(&["-L", &listen, "-B", "127.0.0.1:9"]);
    serve.env("JOURNAL_STREAM", stream(about.dev(), about.ino()));
    let txlb = Txlb::spawn_logging_to(stderr, serve, Folder::new());
    (txlb, read_lines(journal))
}

/// The lines up to and including the one that contains `text`.
fn lines_until(lines: &Receiver<String>, text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let line = lines.recv_timeout(TIMEOUT);
        let line = line.unwrap_or_else(|error| panic!("no {text:?} ({error}) in {seen:#?}"));
        let is_it = line.contains(text);
        seen.push(line);
        if is_it {
            return seen;
        }
    }
}

#[test]
fn the_journal_gets_priorities_and_no_dates() {
    let place = Place::new();
    let (txlb, lines) = in_a_journal(&place, |device, inode| format!("{device}:{inode}"));
    lines_until(&lines, " runs as process ");
    txlb.signal(Signal::HUP);
    let last = lines_until(&lines, "to read again");
    assert!(
        last.last().unwrap().starts_with("<6>INFO  there is no "),
        "{last:?}"
    );
    // `JOURNAL_STREAM` is checked again whenever the log is opened.
    txlb.signal(Signal::USR1);
    txlb.signal(Signal::TERM);
    let rest = lines_until(&lines, "stopping: ");
    for line in rest {
        assert!(line.starts_with("<6>INFO  "), "{line}");
    }
}

#[test]
fn a_standard_error_that_is_not_the_journal_gets_dates() {
    let streams: [fn(u64, u64) -> String; 4] = [
        |device, inode| format!("{device}:{}", inode + 1),
        |device, inode| format!("{}:{inode}", device + 1),
        |_, inode| inode.to_string(),
        |_, _| String::new(),
    ];
    for stream in streams {
        let (_txlb, lines) = in_a_journal(&Place::new(), stream);
        for line in lines_until(&lines, " runs as process ") {
            assert!(line.starts_with("20"), "{line}");
        }
    }
}

#[test]
fn workers_go_on_while_nobody_reads_the_log() {
    let (host, place, folder) = (Host::new("a"), Place::new(), Folder::new());
    let socket = folder.file("control");
    let config = with_control(&web("", "roundr", &[host.address()]), &socket);
    let config = config.replace("127.0.0.1:0", &place.address().to_string());
    let file = folder.write("config.xml", config);
    let (reader, stderr) = std::io::pipe().unwrap();
    let _txlb = Txlb::spawn_logging_to(stderr, command(&["-f", text(&file)]), folder);
    until("the control socket is there", || {
        UnixStream::connect(&socket).is_ok()
    });

    // Each error is a long line: more than the pipe, the queue and the writer hold.
    let mut caller = Caller::new(&socket);
    let nowhere = format!("setOption name=logging.file value=/{}", "x".repeat(8000));
    for _ in 0..1000 {
        let answer = caller.ask(&nowhere);
        assert!(answer.starts_with("error: "), "{answer}");
    }
    assert_eq!(who(place.address()), "a");
    let answer = caller.ask("newGroup service=web group=other scheduler=rand");
    assert!(answer.starts_with("ok"), "{answer}");

    // Once the log is read, it says how many lines are missing.
    let seen = lines_until(&read_lines(reader), " log lines were lost");
    let refused = seen.iter().filter(|line| line.contains(" refused: "));
    let refused = refused.count();
    let lost = seen.last().unwrap().split(' ').rev().nth(4).unwrap();
    let lost: usize = lost.parse().unwrap();
    assert!(refused > 500 && lost > 300, "{refused} {lost}");
    // The line about the last change is one of those that are lost.
    assert_eq!(refused + lost, 1000 + 1);
}

#[test]
fn who_sends_a_signal_twice_is_told_twice() {
    let mut txlb = Txlb::start(&web("", "roundr", &[]));
    for _ in 0..3 {
        txlb.reload_in_vain("<config>");
    }
}

/// Lines without a target of `log_targets` are limited when they repeat.
#[test]
fn a_complaint_that_comes_again_is_counted_and_not_written() {
    let mut balancer = Controlled::start(&web("", "roundr", &[]));
    let complaint = "WARN  control: this is no AMP command: ";
    for _ in 0..4 {
        let mut caller = Caller::new(&balancer.socket);
        caller.say([0, 0, 0, 0]);
        assert_eq!(caller.end(), "");
    }
    let txlb = &mut balancer.txlb;
    assert_eq!(txlb.stop(), Some(0));
    assert_eq!(txlb.count(complaint), 1, "{:#?}", txlb.seen);
    let counted = "WARN  said 3 more times: control: this is no AMP command";
    assert_eq!(txlb.count(counted), 1, "{:#?}", txlb.seen);
}

/// Refused requests, and passwords that cannot be used.
#[cfg(feature = "web")]
#[test]
fn what_a_reload_has_to_say_is_written_each_time() {
    let config = |timeout: u32| {
        let user = format!("<user name=\"x\" password=\"$9${timeout}\" access=\"full\"/>");
        let attributes = format!("idleTimeout=\"{timeout}\"");
        let config = with_page(&["127.0.0.1:9".parse().unwrap()], "", &user);
        let config = config.replace("name=\"web\" ", &format!("name=\"web\" {attributes} "));
        config.replace("name=\"a\"", "name=\"a\" weight=\"2\"")
    };
    let mut balancer = Controlled::start(&config(1));
    let about = [
        "group \"main\" has weights, which roundr does not look at",
        "lost, as it is not in ",
        "the password of user \"x\" cannot be checked",
    ];
    let before = about.map(|text| balancer.txlb.count(text));
    for timeout in 2..5 {
        balancer.tell(&["setHost", "service=web", "group=main", "host=a", "weight=7"]);
        let next = with_control(&config(timeout), &balancer.socket);
        balancer.txlb.reload(&next);
    }
    let txlb = &mut balancer.txlb;
    assert_eq!(txlb.stop(), Some(0));
    for (text, before) in about.into_iter().zip(before) {
        assert_eq!(txlb.count(text), before + 3, "{text}: {:#?}", txlb.seen);
    }
    assert_eq!(txlb.count(" more times: "), 0, "{:#?}", txlb.seen);
}

#[test]
fn a_host_that_goes_down_again_is_said_to_be_down_again() {
    let place = Place::new();
    let mut txlb = Txlb::start(&web("", "roundr", &[place.address()]));
    for _ in 0..2 {
        fate(txlb.address());
        txlb.wait_for("host web:main/a is down");
        let back = Host::on(place.listen(), "a");
        txlb.wait_for("host web:main/a is up");
        drop(back);
    }
}

/// fail2ban counts these lines.
#[cfg(feature = "web")]
#[test]
fn every_failed_login_is_logged() {
    let mut txlb = Txlb::start(&with_page(&[], "", USERS));
    let page = page_of(&txlb);
    for _ in 0..3 {
        // admin:wrong
        let reply = HttpRequest::get(page, "/").by("Basic YWRtaW46d3Jvbmc=");
        assert_eq!(reply.send().status, 401);
        txlb.wait_for("WARN  login failed: user admin from 127.0.0.1 (web)");
    }
}

#[test]
fn syslog_is_no_file_and_a_file_of_that_name_can_be_had() {
    let folder = Folder::new();
    let file = folder.write("config.xml", web("", "roundr", &[]));
    let in_folder = |log: &str| {
        let mut serve = command(&["-f", text(&file), "-l", log]);
        serve.current_dir(folder.path());
        serve
    };
    let log = folder.file("syslog");
    let serve = in_folder("./syslog");
    let txlb = Txlb::spawn(serve, Folder::new());
    until("it logs there", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains(" runs as process "))
    });
    drop(txlb);
    std::fs::remove_file(&log).unwrap();

    let mut serve: Command = in_folder("syslog");
    serve.arg("-t");
    assert_eq!(finish(serve).status, Some(0));
    assert!(!log.exists());
}

#[test]
fn rust_log_adds_to_the_options_and_a_wrong_one_is_a_warning() {
    let place = Place::new();
    let (stderr, errors) = UnixStream::pair().unwrap();
    let listen = place.address().to_string();
    let mut serve = command(&["-q", "-L", &listen, "-B", "127.0.0.1:9"]);
    serve.env("RUST_LOG", "info,txlb=loud");
    let stderr = File::from(OwnedFd::from(stderr));
    let _txlb = Txlb::spawn_logging_to(stderr, serve, Folder::new());
    let lines = lines_until(&read_lines(errors), " runs as process ");
    let is_warning = |line: &String| line.contains(" WARN  RUST_LOG: \"txlb=loud\" is ignored");
    assert!(lines.iter().any(is_warning), "{lines:#?}");
}
