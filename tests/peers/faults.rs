//! txlb whose system calls fail, by the fault injection of strace.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::client::who;
use crate::support::config::web;
use crate::support::control::Controlled;
use crate::support::host::Host;
use crate::support::peer::free_address;
use crate::support::until;

/// A thread in which epoll_ctl(2) fails, until this is dropped.
struct WithoutWatches(Child);

impl WithoutWatches {
    fn of(thread: &Path) -> WithoutWatches {
        let child = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-e", "trace=epoll_ctl"])
            .args(["-e", "inject=epoll_ctl:error=ENOSPC", "-p"])
            .arg(thread.file_name().unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let traced = WithoutWatches(child);
        until("strace has attached", || {
            let status = fs::read_to_string(thread.join("status")).unwrap();
            !status.contains("TracerPid:\t0\n")
        });
        traced
    }
}

impl Drop for WithoutWatches {
    fn drop(&mut self) {
        // TERM, so that it detaches first.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs strace, and to be root or the parent of what is traced"]
fn a_listener_that_no_worker_can_watch_is_refused_and_everything_stays() {
    let host = Host::new("a");
    let txlb = Controlled::start(&web("", "roundr", &[host.address()]));
    let threads = fs::read_dir(format!("/proc/{}/task", txlb.txlb.pid())).unwrap();
    let worker = threads
        .map(|entry| entry.unwrap().path())
        .find(|path| fs::read_to_string(path.join("comm")).unwrap() == "worker-1\n")
        .unwrap();
    let before = txlb.tell(&["config"]);
    let new = free_address();
    let listen = format!("ip={new}");
    let fault = WithoutWatches::of(&worker);
    let why = txlb.refused(&["addListen", "service=web", &listen]);
    assert!(
        why.contains(&format!("cannot listen at {new}: "))
            && why.contains("fs.epoll.max_user_watches"),
        "{why}"
    );
    // The other worker, which could, listens there no more.
    assert!(TcpStream::connect(new).is_err());
    assert_eq!(txlb.tell(&["config"]), before);
    drop(fault);
    txlb.tell(&["addListen", "service=web", &listen]);
    for address in [txlb.txlb.address(), new] {
        assert_eq!(who(address), "a");
    }
}
