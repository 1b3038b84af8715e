//! `-s reload`: checks the file of the running txlb before it sends a signal.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;

use crate::support::config::web;
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, command, run, text};
use crate::support::until;

/// Runs txlb, which must end with this status; returns its errors.
fn ends_with(status: i32, arguments: &[&str]) -> String {
    let finished = run(arguments);
    assert_eq!(finished.status, Some(status), "{arguments:?}: {finished:?}");
    finished.stderr
}

/// A txlb with a PID file beside its configuration.
fn with_pid_file() -> (Host, Txlb, PathBuf) {
    let (host, folder) = (Host::new("a"), Folder::new());
    let pid_file = folder.file("txlb.pid");
    let config = folder.write("config.xml", web("", "roundr", &[host.address()]));
    let serve = command(&["-f", text(&config), "-p", text(&pid_file)]);
    let mut txlb = Txlb::spawn(serve, folder);
    txlb.wait_for(" runs as process ");
    (host, txlb, pid_file)
}

#[test]
fn a_reload_of_a_wrong_file_is_refused_before_anything_is_sent() {
    let (_host, mut txlb, pid_file) = with_pid_file();
    let file = pid_file.with_file_name("config.xml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("roundr", "roundrobbin")).unwrap();
    let (file, pid_file) = (text(&file), text(&pid_file));
    // Without -f, it checks the file that the running txlb was started with.
    for arguments in [
        &["-s", "reload", "-p", pid_file][..],
        &["-s", "reload", "-p", pid_file, "-f", file],
    ] {
        let complaint = ends_with(65, arguments);
        assert!(complaint.starts_with(&format!("{file}:")), "{complaint}");
        assert!(complaint.contains("roundrobbin"), "{complaint}");
    }
    fs::remove_file(file).unwrap();
    ends_with(66, &["-s", "reload", "-p", pid_file]);
    fs::write(file, good).unwrap();
    assert_eq!(ends_with(0, &["-s", "reload", "-p", pid_file]), "");
    // The first signal that arrives.
    txlb.wait_for("is unchanged");
    assert!(
        !txlb.log().concat().contains("roundrobbin"),
        "{:?}",
        txlb.log()
    );
}

/// Relative paths begin at the folder of the shell.
#[test]
fn a_reload_finds_the_file_of_a_relative_path() {
    for options in [&[][..], &["-D"]] {
        let folder = Folder::new();
        let pid_file = folder.file("txlb.pid");
        let file = folder.write(
            "config.xml",
            web("", "roundr", &["127.0.0.1:9".parse().unwrap()]),
        );
        let mut serve = command(&["-f", "config.xml", "-p", "txlb.pid", "-l", "log"]);
        serve.args(options).current_dir(folder.path());
        let mut child = serve.spawn().unwrap();
        let find = || run(&["-s", "pid", "-p", text(&pid_file)]).status == Some(0);
        until("somebody holds the PID file", find);
        fs::write(&file, "<config>").unwrap();
        let complaint = ends_with(65, &["-s", "reload", "-p", text(&pid_file)]);
        assert!(complaint.contains("config.xml:1:"), "{complaint}");
        ends_with(0, &["-s", "stop", "-p", text(&pid_file)]);
        child.wait().unwrap();
    }
}

#[test]
fn what_has_no_file_is_told_to_reload_all_the_same() {
    let folder = Folder::new();
    let pid_file = folder.file("txlb.pid");
    let serve = [
        "-L",
        "127.0.0.1:0",
        "-B",
        "127.0.0.1:9",
        "-p",
        text(&pid_file),
    ];
    let mut txlb = Txlb::spawn(command(&serve), folder);
    txlb.wait_for(" runs as process ");
    assert_eq!(ends_with(0, &["-s", "reload", "-p", text(&pid_file)]), "");
}
