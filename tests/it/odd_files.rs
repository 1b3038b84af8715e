//! Folders, devices and pipes in place of a file: refused, without waiting.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::client::{End, Session, who};
use crate::support::config::web;
use crate::support::control::{Controlled, ctl, with_control};
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, command, run, text};
use crate::support::{pause, until};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

fn some_config() -> String {
    web("", "roundr", &["127.0.0.1:9".parse().unwrap()])
}

/// Makes a named pipe to which nothing is written.
fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// What is not a regular file, and the word for it in errors.
fn odd_ones(folder: &Folder) -> Vec<(PathBuf, &'static str)> {
    let (pipe, link, inner) = (
        folder.file("pipe"),
        folder.file("link"),
        folder.file("inner"),
    );
    make_pipe(&pipe);
    symlink(&pipe, &link).unwrap();
    fs::create_dir(&inner).unwrap();
    vec![
        (pipe, "a named pipe"),
        (link, "a named pipe"),
        (inner, "a folder"),
        ("/dev/zero".into(), "a device"),
        ("/dev/null".into(), "a device"),
    ]
}

#[test]
fn a_configuration_that_is_no_file_is_refused_by_all_who_read_one() {
    let folder = Folder::new();
    let good = folder.write("good.xml", some_config());
    for (path, what) in odd_ones(&folder) {
        let path = text(&path);
        for arguments in [
            &["-t", "-f", path][..],
            &["-T", "-f", path],
            &["-f", path],
            &["diff", path, text(&good)],
            &["diff", text(&good), path],
        ] {
            let finished = run(arguments);
            assert_eq!(finished.status, Some(65), "{arguments:?}: {finished:?}");
            assert!(finished.stderr.contains(what), "{finished:?}");
        }
    }
}

#[test]
fn a_pipe_that_the_command_line_gives_is_read() {
    let folder = Folder::new();
    let good = folder.write("good.xml", some_config());
    let fed = |arguments: &[&str]| {
        let mut txlb = command(arguments);
        txlb.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = txlb.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let other = some_config().replace("127.0.0.1:9\"", "127.0.0.1:10\"");
        input.write_all(other.as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    };
    let output = fed(&["diff", text(&good), "/dev/stdin"]);
    let difference = String::from_utf8(output.stdout).unwrap();
    assert!(difference.contains("127.0.0.1:10"), "{difference}");
    assert!(fed(&["-t", "-f", "/dev/fd/0"]).status.success());
    // Standard input cannot be read again.
    assert_eq!(fed(&["-f", "/dev/stdin"]).status.code(), Some(65));
}

#[test]
fn one_that_takes_the_files_place_keeps_nobody_waiting() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let mut controlled = Controlled::start(&config);
    let file = controlled.txlb.config_file();
    for (odd, what) in odd_ones(&controlled.place) {
        fs::remove_file(&file).unwrap();
        symlink(&odd, &file).unwrap();
        controlled.txlb.signal(Signal::HUP);
        let said = controlled.txlb.wait_for("the running configuration stays");
        assert!(said.contains(what), "{said}");
        assert!(controlled.refused(&["reload"]).contains(what));
        controlled.txlb.wait_for("the running configuration stays");
        controlled.refused(&["saveConfig", "force=true"]);
        assert!(controlled.tell(&["status"]).contains("last reload failed"));
        assert_eq!(who(controlled.txlb.address()), "a");
    }
    assert_eq!(controlled.txlb.stop(), Some(0));
}

#[cfg(feature = "https")]
#[test]
fn certificate_and_key_are_files_too() {
    let folder = Folder::new();
    for (path, what) in odd_ones(&folder) {
        let admin = format!(
            "<admin><web listen=\"127.0.0.1:0\" secure=\"true\" cert=\"{0}\" key=\"{0}\"/></admin></config>",
            path.display()
        );
        let file = folder.write("lb.xml", some_config().replace("</config>", &admin));
        for arguments in [&["-t", "-f", text(&file)][..], &["-f", text(&file)]] {
            let finished = run(arguments);
            assert_eq!(finished.status, Some(65), "{finished:?}");
            assert!(finished.stderr.contains(what), "{finished:?}");
        }
    }
}

#[test]
fn a_control_socket_in_a_pipe_is_refused() {
    let mut txlb = Txlb::start(&some_config());
    let pipe = txlb.folder.file("pipe");
    make_pipe(&pipe);
    txlb.reload_in_vain(with_control(&some_config(), &pipe.join("socket")));
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn hashes_that_others_may_read_and_that_fit_nothing_are_warned_of() {
    let hash = format!("$6$rounds=999999999$salt${}", "a".repeat(86));
    let users =
        format!("<admin><user name=\"ann\" password=\"{hash}\" access=\"full\"/></admin></config>");
    let config = some_config().replace("</config>", &users);
    let folder = Folder::new();
    let file = folder.write("lb.xml", &config);
    let backup = folder.write("lb.xml.txlb-20261122170258", &config);
    for path in [&file, &backup] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let finished = run(&["-t", "-f", text(&file)]);
    let exposed = |path: &Path| format!("{}: warning: others may read", path.display());
    for warning in [
        "the password of user \"ann\" matches nothing: it would take too long: 999999999 rounds",
        &exposed(&file),
        &exposed(&backup),
    ] {
        assert!(finished.stderr.contains(warning), "{finished:?}");
    }
    assert_eq!(finished.status, Some(0));
    let mut txlb = Txlb::spawn(command(&["-f", text(&file)]), Folder::new());
    txlb.wait_for(" runs as process ");
    for warning in [
        "matches nothing: it would take too long",
        "lb.xml: others may read",
        "170258: others may read",
    ] {
        assert!(txlb.count(warning) > 0, "{warning}: {:?}", txlb.seen);
    }
}

#[test]
fn a_second_term_ends_txlb_though_its_log_takes_nothing() {
    let host = Host::new("a");
    let folder = Folder::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let file = folder.write(
        "config.xml",
        with_control(&web("", "roundr", &[host.address()]), &folder.file("s")),
    );
    let mut full = writer.try_clone().unwrap();
    rustix::io::ioctl_fionbio(&full, true).unwrap();
    while full.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&full, false).unwrap();
    drop(full);
    let txlb = command(&["-f", text(&file)]);
    let mut txlb = Txlb::spawn_logging_to(writer, txlb, folder);
    let socket = txlb.folder.file("s");
    until("it answers", || ctl(&socket, &["status"]).status == Some(0));
    let status = ctl(&socket, &["status"]).stdout;
    let (_, rest) = status.split_once("service web at ").unwrap();
    let address = rest.split(": ").next().unwrap().parse().unwrap();
    let session = Session::open(address);
    txlb.signal(Signal::QUIT);
    until("nobody is let in", || {
        std::net::TcpStream::connect(address).is_err()
    });
    // One that comes at once is taken for the same one.
    pause(Duration::from_millis(600));
    txlb.signal(Signal::TERM);
    assert_eq!(session.wait_end(), End::Reset);
    assert_eq!(txlb.wait_exit().code(), Some(0));
    drop(reader);
}
