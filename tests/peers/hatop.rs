//! hatop, which shows HAProxy's statistics at a terminal, at txlb's control socket.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use crate::support::config::web;
use crate::support::control::Controlled;
use crate::support::host::{Host, Place};
use crate::support::{TIMEOUT, pty};

#[test]
#[ignore = "needs hatop"]
fn hatop_shows_services_groups_and_hosts() {
    let (host, gone) = (Host::new("a"), Place::new());
    let controlled = Controlled::start(&web("", "roundr", &[host.address(), gone.address()]));
    let (mut keyboard, line) = pty::open();
    pty::set_size(&line, 120, 40);
    let mut hatop = Command::new("hatop");
    hatop.arg("-s").arg(&controlled.socket).env("TERM", "xterm");
    pty::attach(&mut hatop, &line);
    let mut hatop = hatop.spawn().unwrap();
    drop(line);
    let pieces = pty::pieces(keyboard.try_clone().unwrap());
    let (mut shown, deadline) = (String::new(), Instant::now() + TIMEOUT);
    let expected = [
        "txlb Version: ",
        "web:main",
        "FRONTEND",
        "BACKEND",
        "uptime",
    ];
    let is_missing = |shown: &str| expected.iter().any(|part| !shown.contains(part));
    while is_missing(&shown) {
        let left = deadline.saturating_duration_since(Instant::now());
        match pieces.recv_timeout(left) {
            Ok(piece) => shown += &String::from_utf8_lossy(&piece),
            Err(error) => panic!("{error}: {shown:?}"),
        }
    }
    keyboard.write_all(b"q").unwrap();
    assert!(hatop.wait().unwrap().success(), "{shown:?}");
}
