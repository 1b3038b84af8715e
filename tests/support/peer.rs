//! Debian programs beside txlb, such as nginx.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::txlb::{Folder, text};
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

    /// One nginx with these servers, in the foreground, as one process, so that ending it ends all
    /// of it. Its files are in a folder of this name.
    pub(crate) fn nginx(folder: &Folder, name: &str, servers: &str, address: SocketAddr) -> Peer {
        let place = folder.file(name);
        std::fs::create_dir_all(&place).unwrap();
        let place = text(&place);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind}; "))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; {temporary}\n{servers} }}\n"
        );
        let file = folder.write(&format!("{name}.conf"), config);
        Peer::start("nginx", &["-c", text(&file), "-g", ""], address)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Lets it finish what it is doing.
    pub(crate) fn quit(mut self) {
        self.signal(Signal::QUIT);
        self.0.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of 127.0.0.1 whose port is free on all addresses, and was not given before.
pub(crate) fn free_address() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// A port that is free on all addresses, and was not given before. It is not one of those that the
/// system chooses: between this call and its use, another test may ask for such a port, or connect
/// from one.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Test programs that run side by side begin at different ports.
    let start = std::process::id().wrapping_mul(97);
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(given < COUNT, "no port is free");
        let port = FIRST + start.wrapping_add(given) % COUNT;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
