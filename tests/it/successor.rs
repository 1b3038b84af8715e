//! A txlb that serves its last sessions frees everything for the next one at once.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support::client::{Session, who};
use crate::support::config::web_service;
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, command, run, text};
use rustix::process::Signal;

/// A configuration with everything that only one process can have.
fn config(folder: &Folder, host: &Host) -> String {
    let port = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let service = web_service("", "roundr", &[host.address()]);
    let service = service.replace("127.0.0.1:0", &format!("127.0.0.1:{}", port()));
    let admin = format!(
        "<admin><web listen=\"127.0.0.1:{}\" secure=\"false\" enable=\"true\"/>\
         <ssh listen=\"127.0.0.1:{}\" enable=\"true\"/></admin>",
        port(),
        port()
    );
    let socket = folder.file("control.sock");
    let control = format!("<control socket=\"{}\"/>", socket.display());
    format!("<config>{service}{admin}{control}</config>")
}

/// Starts a txlb in its own folder, with the configuration and the PID file of `common`.
fn start(common: &Folder) -> Txlb {
    let (file, pid_file) = (common.file("config.xml"), common.file("pid"));
    let options = ["-w", "2", "-f", text(&file), "-p", text(&pid_file)];
    let mut txlb = Txlb::spawn(command(&options), Folder::new());
    txlb.wait_for(" runs as process ");
    txlb
}

/// The process ID that the txlb at this socket reports.
fn process_at(socket: &Path) -> String {
    let finished = run(&["ctl", "-C", text(socket), "--json", "status"]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    let (_, rest) = finished.stdout.split_once("\"process\":").unwrap();
    rest.trim_start()
        .split(|letter: char| !letter.is_ascii_digit())
        .next()
        .unwrap()
        .to_owned()
}

/// Drains one txlb, and starts another before its last session is over.
fn succeeds_after(drain: impl Fn(&Txlb, &Folder)) {
    let (host, common) = (Host::new("a"), Folder::new());
    common.write("config.xml", config(&common, &host));
    let mut old = start(&common);
    let address = old.address();
    let mut session = Session::open(address);
    session.echo(1000);
    drain(&old, &common);
    old.wait_for("another txlb can start");

    let mut new = start(&common);
    let pid = new.pid().as_raw_nonzero().to_string();
    assert_eq!(who(address), "a");
    assert_eq!(process_at(&common.file("control.sock")), pid);

    // Neither a signal to the old one nor its end takes anything from the new one.
    old.signal(Signal::HUP);
    old.signal(Signal::USR1);
    session.echo(1000);
    assert_eq!(session.close(), "a");
    assert_eq!(old.wait_exit().code(), Some(0));
    assert_eq!(process_at(&common.file("control.sock")), pid);
    let held = fs::read_to_string(common.file("pid")).unwrap();
    assert_eq!(held.trim(), pid);
    let refused = run(&[
        "-f",
        text(&common.file("config.xml")),
        "-p",
        text(&common.file("pid")),
    ]);
    assert_eq!(refused.status, Some(73), "{refused:?}");
    assert_eq!(new.stop(), Some(0));
    assert!(!common.file("pid").exists() && !common.file("control.sock").exists());
}

#[test]
fn one_that_was_told_to_quit_makes_way_at_once() {
    succeeds_after(|old, _| old.signal(Signal::QUIT));
}

#[test]
fn one_that_is_shut_down_with_a_grace_makes_way_at_once_and_answers() {
    succeeds_after(|_, common| {
        let socket = common.file("control.sock");
        let asked = run(&["ctl", "-C", text(&socket), "shutdown", "grace=600"]);
        assert_eq!(asked.status, Some(0), "{asked:?}");
    });
}
