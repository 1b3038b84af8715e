//! Hosts for the program under test: some that a test plays itself, and one that runs by
//! itself.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};
use rustix::net::{bind, listen, shutdown, socket_with};

use super::TIMEOUT;
use super::client::patient;

/// A host's accept backlog. Linux answers more clients than fit into it by SYN cookies, and forgets
/// those that it cannot take then: they wait for a greeting that never comes.
const BACKLOG: i32 = 4096;

/// A reserved port for a host. While no host listens there, connections are refused.
pub(crate) struct Place {
    socket: OwnedFd,
    address: SocketAddr,
}

impl Place {
    pub(crate) fn new() -> Place {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = rustix::net::getsockname(&socket)
            .unwrap()
            .try_into()
            .unwrap();
        Place { socket, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to listen, until the listener is dropped.
    pub(crate) fn listen(&self) -> Listener {
        let socket = bound(self.address);
        listen(&socket, BACKLOG).unwrap();
        Listener::from(TcpListener::from(socket))
    }

    /// Starts to listen with a full accept backlog: clients get no answer until one is accepted.
    pub(crate) fn fall_silent(&self) -> Silent {
        let socket = bound(self.address);
        listen(&socket, 0).unwrap();
        let listener = Listener::from(TcpListener::from(socket));
        let mut full = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&self.address, Duration::from_millis(100))
        {
            full.push(stream);
        }
        Silent { listener, full }
    }
}

/// A TCP socket with CLOEXEC: a program that another test starts meanwhile would keep the
/// connection open.
pub(crate) fn tcp_socket() -> OwnedFd {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap()
}

/// A bound socket that does not listen. Others of this process may be bound to the same
/// address, and one of them may listen.
fn bound(address: SocketAddr) -> OwnedFd {
    let descriptor = tcp_socket();
    sockopt::set_socket_reuseaddr(&descriptor, true).unwrap();
    sockopt::set_socket_reuseport(&descriptor, true).unwrap();
    bind(&descriptor, &address).unwrap();
    descriptor
}

/// A host whose accept backlog is full.
pub(crate) struct Silent {
    pub(crate) listener: Listener,
    full: Vec<TcpStream>,
}

impl Silent {
    /// Accepts the clients that filled the backlog, and closes them.
    pub(crate) fn wake_up(self) -> Listener {
        for stream in self.full {
            let local = stream.local_addr().unwrap();
            assert_eq!(self.listener.accept().peer_addr().unwrap(), local);
        }
        self.listener
    }
}

/// A host that the test plays itself.
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) fn new() -> Listener {
        Listener::from(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Accepts the next connection, with a timeout.
    pub(crate) fn accept(&self) -> TcpStream {
        patient(self.0.accept().unwrap().0)
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        // Is the timeout of accept(2) as well.
        sockopt::set_socket_timeout(&listener, Timeout::Recv, Some(TIMEOUT)).unwrap();
        Listener(listener)
    }
}

/// A host that runs by itself: sends its name in a line, then echoes until the end.
pub(crate) struct Host {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Host {
    pub(crate) fn new(name: &str) -> Host {
        Host::on(Listener::new(), name)
    }

    /// On ::1.
    pub(crate) fn new_v6(name: &str) -> Host {
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        Host::on(Listener(TcpListener::bind(address).unwrap()), name)
    }

    /// On all addresses of this machine.
    pub(crate) fn new_everywhere(name: &str) -> Host {
        let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("127.0.0.1:0"));
        Host::on(Listener(listener.unwrap()), name)
    }

    pub(crate) fn on(listener: Listener, name: &str) -> Host {
        Host::that(listener, name, echo)
    }

    /// A host that runs `serve` with each connection.
    pub(crate) fn that(listener: Listener, name: &str, serve: fn(TcpStream, &str)) -> Host {
        // The standard library's is 128.
        listen(&listener.0, BACKLOG).unwrap();
        let address = listener.address();
        let over = Arc::new(AtomicBool::new(false));
        let (over_too, name) = (Arc::clone(&over), name.to_owned());
        let thread = thread::spawn(move || {
            loop {
                let stream = listener.0.accept();
                if over_too.load(Ordering::Acquire) {
                    return;
                }
                if let Ok((stream, _)) = stream {
                    let name = name.clone();
                    thread::spawn(move || serve(patient(stream), &name));
                }
            }
        });
        Host {
            address,
            over,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Host {
    /// Stops listening; open connections live on.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let ip = match self.address.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        // Ends the wait in accept(2).
        let _ = TcpStream::connect(SocketAddr::new(ip, self.address.port()));
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn echo(mut stream: TcpStream, name: &str) {
    let mut buffer = [0; 16 * 1024];
    let mut answer = format!("{name}\n").into_bytes();
    while stream.write_all(&answer).is_ok() {
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => answer = buffer[..length].to_vec(),
            _ => return,
        }
    }
}

/// Resets a connection.
pub(crate) fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Shuts down writing.
pub(crate) fn hang_up(stream: &impl AsFd) {
    shutdown(stream, Shutdown::Write).unwrap();
}
