//! A host of Twisted's that asks over AMP whose a connection is.
//!
//! Needs Twisted for the Python that `TXLB_PYTHON` names, or for the one in `target/twisted`.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::client::{are_told_their_places, connect, read_all};
use crate::support::config::web;
use crate::support::control::Controlled;

/// A Python that has Twisted.
fn python() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/twisted/bin/python");
    std::env::var_os("TXLB_PYTHON").map_or(ours, PathBuf::from)
}

/// Twisted's host, ended with the test.
struct TwistedHost {
    child: Child,
    address: SocketAddr,
}

impl TwistedHost {
    fn start(socket: &Path) -> TwistedHost {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/whose.py");
        let mut child = Command::new(python())
            .arg(script)
            .arg(socket)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("it does not start");
        TwistedHost {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        }
    }
}

impl Drop for TwistedHost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs Twisted"]
fn twisted_understands_the_answers() {
    let controlled = Controlled::start(&web("", "roundr", &[]));
    let host = TwistedHost::start(&controlled.socket);
    let ip = format!("ip={}", host.address);
    controlled.tell(&["addHost", "service=web", "group=main", "name=t", &ip]);
    are_told_their_places(controlled.txlb.address(), 100);
    // One that does not come through txlb.
    let direct = read_all(&connect(host.address)).0;
    assert_eq!(direct, b"UnknownPort\n");
}
