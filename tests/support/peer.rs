//! Debian programs beside txlb, such as nginx.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::until;

/// A program that is ended with the test.
pub(crate) struct Peer(Child);

impl Peer {
    /// Starts it, and waits until it listens at this address.
    pub(crate) fn start(program: &str, arguments: &[&str], address: SocketAddr) -> Peer {
        let mut command = Command::new(program);
        command.args(arguments);
        Peer::start_by(command, address)
    }

    pub(crate) fn start_by(mut command: Command, address: SocketAddr) -> Peer {
        let child = command.stdout(Stdio::null()).spawn();
        let program = command.get_program().display().to_string();
        let peer = Peer(child.unwrap_or_else(|error| panic!("{program}: {error}")));
        until(&program, || TcpStream::connect(address).is_ok());
        peer
    }

    /// Lets it finish what it is doing.
    pub(crate) fn quit(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, Signal::QUIT).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
