//! The control socket: its file, its clients, and lines that are not understood.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::client::{Session, who};
use crate::support::config::web;
use crate::support::control::{Caller, Controlled, ctl, with_control};
use crate::support::host::Host;
use crate::support::txlb::{Finished, Folder, Txlb, command, finish, text};
use crate::support::until;
use rustix::process::Signal;

fn start() -> (Host, Controlled) {
    let host = Host::new("a");
    let controlled = Controlled::start(&web("", "roundr", &[host.address()]));
    (host, controlled)
}

/// The names in a folder, sorted.
fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn answers(socket: &Path) -> bool {
    ctl(socket, &["status"]).status == Some(0)
}

/// Runs txlb with this configuration, which it refuses.
fn refused(config: &str) -> Finished {
    let folder = Folder::new();
    let file = folder.write("config.xml", config);
    finish(command(&["-w", "1", "-f", text(&file)]))
}

#[test]
fn the_socket_is_for_its_user_and_group_alone_and_goes_with_the_process() {
    let (_host, mut controlled) = start();
    let metadata = fs::symlink_metadata(&controlled.socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o7777, 0o660);
    assert_eq!(names(&controlled.place), ["control"]);
    assert_eq!(controlled.txlb.stop(), Some(0));
    assert_eq!(names(&controlled.place), Vec::<String>::new());
}

#[test]
fn what_was_put_in_its_place_is_left_alone() {
    let (_host, mut controlled) = start();
    controlled.place.write("control", "something else");
    assert_eq!(controlled.txlb.stop(), Some(0));
    assert_eq!(
        fs::read_to_string(&controlled.socket).unwrap(),
        "something else"
    );
}

#[test]
fn a_socket_with_a_live_server_is_not_taken() {
    let (_host, controlled) = start();
    let finished = refused(&with_control(&web("", "roundr", &[]), &controlled.socket));
    assert_eq!(finished.status, Some(69), "{finished:?}");
    let expected = format!(
        "txlb: cannot open the control socket {}: another txlb answers there",
        controlled.socket.display()
    );
    assert!(finished.stderr.contains(&expected), "{finished:?}");
    assert!(answers(&controlled.socket));
    // Nor from a process that answers slowly.
    let place = Folder::new();
    let socket = place.file("control");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let finished = refused(&with_control(&web("", "roundr", &[]), &socket));
    assert_eq!(finished.status, Some(69), "{finished:?}");
    drop(listener);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let (host, mut controlled) = start();
    controlled.txlb.signal(Signal::KILL);
    controlled.txlb.wait_exit();
    assert!(controlled.socket.exists());
    assert_eq!(ctl(&controlled.socket, &["status"]).status, Some(69));
    let config = web("", "roundr", &[host.address()]);
    let _next = Txlb::start(&with_control(&config, &controlled.socket));
    assert!(answers(&controlled.socket));
    assert_eq!(names(&controlled.place), ["control"]);
}

#[test]
fn what_is_no_socket_or_cannot_be_one_is_refused_with_a_reason() {
    let place = Folder::new();
    let file = place.write("file", "kept");
    let long = place.file(&"x".repeat(120));
    for (path, reason) in [
        (&file, "no socket"),
        (&place.file("no/folder"), "/no is missing: make it"),
        (&long, "too long"),
    ] {
        let finished = refused(&with_control(&web("", "roundr", &[]), path));
        assert_eq!(finished.status, Some(69), "{finished:?}");
        assert!(finished.stderr.contains(reason), "{finished:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    assert_eq!(names(&place), ["file"]);
}

#[test]
fn it_moves_by_a_verb_that_is_answered_at_the_old_place() {
    let (_host, controlled) = start();
    let new = controlled.place.file("moved");
    let moves = ["setOption", "name=control.socket"];
    let to = |path: &Path| format!("value={}", text(path));
    let mut open = Caller::new(&controlled.socket);
    controlled.tell(&[moves[0], moves[1], &to(&new)]);
    assert_eq!(names(&controlled.place), ["moved"]);
    assert!(answers(&new));
    // Open connections stay.
    assert!(open.ask("help").starts_with("ok"));
    // A socket that cannot be made changes nothing.
    let nowhere = controlled.place.file("no/folder");
    let other = controlled.place.write("other", "kept");
    for path in [&nowhere, &other] {
        let error = ctl(&new, &[moves[0], moves[1], &to(path)]);
        assert_eq!(error.status, Some(1), "{error:?}");
        assert!(error.stderr.contains("cannot open the control socket"));
    }
    let config = ctl(&new, &["config"]).stdout;
    assert!(config.contains(text(&new)), "{config}");
    // Another path to the same file is the same socket.
    let again = controlled.place.path().join("./moved");
    assert_eq!(
        ctl(&new, &[moves[0], moves[1], &to(&again)]).status,
        Some(0)
    );
    assert!(answers(&new));
    assert_eq!(names(&controlled.place), ["moved", "other"]);
}

#[test]
fn it_comes_and_goes_by_a_reload() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let place = Folder::new();
    let socket = place.file("control");
    let mut txlb = Txlb::start(&config);
    txlb.reload(&with_control(&config, &socket));
    assert!(answers(&socket));
    // A refused reload closes nothing.
    txlb.reload_in_vain(with_control(&config, &place.file("no/folder")));
    assert!(answers(&socket));
    txlb.reload(&config);
    // After the last log line.
    until("closed", || !socket.exists());
    txlb.reload(&with_control(&config, &socket));
    assert!(answers(&socket));
    assert_eq!(who(txlb.address()), "a");
}

#[test]
fn a_socket_whose_file_is_gone_is_made_anew_with_the_next_signal() {
    let (_host, controlled) = start();
    for signal in [Signal::HUP, Signal::USR1] {
        fs::remove_file(&controlled.socket).unwrap();
        controlled.txlb.signal(signal);
        until("reached again", || answers(&controlled.socket));
    }
    assert_eq!(names(&controlled.place), ["control"]);
}

#[test]
fn what_is_not_understood_is_answered_and_changes_nothing() {
    let (_host, controlled) = start();
    let mut caller = Caller::new(&controlled.socket);
    let long = "x".repeat(1 << 20);
    let lines: &[&[u8]] = &[
        b"setWeight\0",
        b"setWeight service=web group=main name=\xff weight=3",
        b"setWeight service=\"web",
        b"\x7f\x1b[2J",
        b"GET / HTTP/1.1",
        b"x",
        long.as_bytes(),
        b"begin\0",
    ];
    for line in lines {
        caller.say(line);
        caller.say("\n");
        let answer = caller.answer();
        assert_eq!(answer.len(), 1, "{answer:?}");
        assert!(answer[0].starts_with("error: "), "{answer:?}");
        assert!(!answer[0].contains(char::is_control), "{answer:?}");
    }
    assert!(caller.ask("status").starts_with("ok"));
    // A blank line gets no response, nor does an incomplete one.
    caller.say("\n   \nsetWeight service=web group=main name=a weight=3");
    let rest = caller.end();
    assert!(
        rest.starts_with("error: ") && rest.ends_with('\n'),
        "{rest}"
    );
    assert_eq!(rest.lines().count(), 1, "{rest}");
    assert!(!controlled.tell(&["config"]).contains("weight=\"3\""));
}

#[test]
fn a_batch_with_a_line_in_it_that_is_not_understood_is_not_done() {
    let (_host, controlled) = start();
    let long = "x".repeat(1 << 17);
    for bad in [long.as_bytes(), b"\xff", b"\0x", b"y"] {
        let mut caller = Caller::new(&controlled.socket);
        caller.say("begin\nsetWeight service=web group=main name=a weight=9\n");
        assert!(caller.answer()[0].starts_with("ok"));
        assert!(caller.answer()[0].starts_with("ok"));
        caller.say(bad);
        let error = caller.ask("");
        assert!(error.starts_with("error: "), "{error}");
        let commit = caller.ask("commit");
        // The error says what was wrong.
        let why = error.trim_start_matches("error: ").trim_end();
        assert!(commit.starts_with("error: "), "{commit}");
        assert!(commit.contains(why), "{commit}");
    }
    assert!(!controlled.tell(&["config"]).contains("weight=\"9\""));
}

#[test]
fn questions_may_come_faster_than_answers_are_taken() {
    let (_host, controlled) = start();
    let mut caller = Caller::new(&controlled.socket);
    caller.say("help\n".repeat(100));
    for _ in 0..100 {
        assert!(caller.answer().len() > 10);
    }
    assert_eq!(caller.end(), "");
}

#[test]
fn forty_silent_clients_keep_nobody_out_and_traffic_goes_on() {
    let (_host, controlled) = start();
    let mut session = Session::open(controlled.txlb.address());
    let mut callers: Vec<_> = (0..40)
        .map(|_| UnixStream::connect(&controlled.socket).unwrap())
        .collect();
    // The oldest silent connections are closed, with a reason.
    for caller in callers.drain(..8) {
        let mut said = String::new();
        let _ = (&caller).read_to_string(&mut said);
        assert!(said.starts_with("error: no command came"), "{said}");
    }
    let finished = controlled.ctl(&["status"]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    session.echo(100_000);
    // A connection that has sent a line stays.
    drop(callers);
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let mut caller = Caller::new(&controlled.socket);
            caller.say("help\n");
            caller.answer();
            caller
        })
        .collect();
    let finished = controlled.ctl(&["status"]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("32 clients"), "{finished:?}");
    drop(callers);
    until("a place", || answers(&controlled.socket));
}

#[test]
fn a_first_byte_is_waited_for_and_not_for_long() {
    let (_host, controlled) = start();
    let begun = Instant::now();
    let mut silent = UnixStream::connect(&controlled.socket).unwrap();
    let mut said = String::new();
    silent.read_to_string(&mut said).unwrap();
    assert_eq!(said, "error: no command came for 10 s\n");
    assert!(begun.elapsed() >= Duration::from_secs(9));
}

#[test]
fn forty_hosts_that_stay_leave_room_for_those_who_come_to_change_something() {
    let (_host, controlled) = start();
    let hosts: Vec<_> = (0..40)
        .map(|_| {
            let mut host = UnixStream::connect(&controlled.socket).unwrap();
            // The first byte of AMP. A rejected connection may not take it.
            let _ = host.write_all(b"\0");
            host
        })
        .collect();
    until("let in", || answers(&controlled.socket));
    drop(hosts);
}

#[test]
fn clients_of_other_protocols_are_disconnected() {
    let (_host, controlled) = start();
    let mut stream = UnixStream::connect(&controlled.socket).unwrap();
    stream.write_all(b"\0\x01k\xff\xff").unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => assert_eq!(said, b""),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert!(answers(&controlled.socket));
}
