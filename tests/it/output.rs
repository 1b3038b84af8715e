//! Standard output and standard error on a full disk, or closed by the reader.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::pipe;
use std::process::{Command, Stdio};

use crate::support::TIMEOUT;
use crate::support::config::web;
use crate::support::txlb::{Folder, command, demo_turn, read_lines, text};
use rustix::process::{Pid, Signal, kill_process};

/// One end of a pipe whose other end is closed.
fn left() -> Stdio {
    pipe().unwrap().1.into()
}

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// The exit status and the captured output.
fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Runs a command that cannot write its output.
fn complains(command: &mut Command) {
    let (status, said) = outcome(command);
    assert_eq!(status, Some(1), "{command:?}: {said}");
    let complaint = said.lines().last().unwrap();
    let words = "txlb: cannot write to standard output: ";
    assert!(complaint.starts_with(words), "{said}");
}

#[test]
fn what_a_full_disk_does_not_take_is_1_and_a_complaint() {
    let folder = Folder::new();
    let file = folder.write("config.xml", web("", "roundr", &[]));
    for arguments in [&["-h"][..], &["-V"], &["-T", "-f", text(&file)]] {
        complains(command(arguments).stdout(full()));
    }
    let check = ["-t", "-f", text(&file)];
    assert_eq!(outcome(command(&check).stderr(full())).0, Some(1));
    // The first error decides.
    assert_eq!(outcome(command(&["-X"]).stderr(full())).0, Some(64));
}

#[test]
fn a_reader_who_has_left_is_no_error() {
    let folder = Folder::new();
    let file = folder.write("config.xml", web("", "roundr", &[]));
    for arguments in [&["-h"][..], &["-V"]] {
        let outcome = outcome(command(arguments).stdout(left()));
        assert_eq!(outcome, (Some(0), String::new()), "{arguments:?}");
    }
    let (status, said) = outcome(command(&["-T", "-f", text(&file)]).stdout(left()));
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains("cannot write"), "{said}");
    let check = ["-t", "-f", text(&file)];
    assert_eq!(outcome(command(&check).stderr(left())).0, Some(0));
}

#[test]
fn the_demonstration_ends_for_a_full_disk_and_goes_on_without_a_reader() {
    let _alone = demo_turn();
    complains(command(&["--demo"]).stdout(full()));
    let mut demo = command(&["--demo"]);
    demo.stdin(Stdio::null())
        .stdout(left())
        .stderr(Stdio::piped());
    let mut child = demo.spawn().unwrap();
    let lines = read_lines(child.stderr.take().unwrap());
    while !lines.recv_timeout(TIMEOUT).unwrap().contains(" runs as ") {}
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    // The end of the process closes the pipe.
    while lines.recv_timeout(TIMEOUT).is_ok() {}
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
