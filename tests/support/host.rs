//! Hosts for the program under test: ones a test plays itself, one connection
//! after the other, and one that runs by itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::PATIENCE;
use super::client::patient;

/// A port kept for a host, whether it listens there or not: while it does not,
/// connections are refused.
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
        listen(&socket, 128).unwrap();
        Listener::from(TcpListener::from(socket))
    }

    /// Starts to listen with a queue that is full: whoever connects hears
    /// nothing at all until somebody is accepted.
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

/// A TCP socket that no program inherits which another test starts at the same time: it
/// would keep the connection open.
pub(crate) fn tcp_socket() -> OwnedFd {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap()
}

/// A socket that is bound but does not listen. Others of ours may be bound to
/// the same place, of which one may listen.
fn bound(address: SocketAddr) -> OwnedFd {
    let descriptor = tcp_socket();
    sockopt::set_socket_reuseaddr(&descriptor, true).unwrap();
    sockopt::set_socket_reuseport(&descriptor, true).unwrap();
    bind(&descriptor, &address).unwrap();
    descriptor
}

/// A host whose queue is full.
pub(crate) struct Silent {
    pub(crate) listener: Listener,
    full: Vec<TcpStream>,
}

impl Silent {
    /// Lets those in who filled the queue, and forgets them.
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

    /// The next connection; not waited for without end.
    pub(crate) fn accept(&self) -> TcpStream {
        patient(self.0.accept().unwrap().0)
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        // Holds for accept as well.
        sockopt::set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE)).unwrap();
        Listener(listener)
    }
}

/// A host that runs by itself: says its name on a line of its own, then sends
/// back what it gets until there is no more.
pub(crate) struct Host {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Host {
    pub(crate) fn new(name: &str) -> Host {
        Host::on(Listener::new(), name)
    }

    /// At ::1.
    pub(crate) fn new_v6(name: &str) -> Host {
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        Host::on(Listener(TcpListener::bind(address).unwrap()), name)
    }

    /// At all addresses of this machine: reached by any of its names.
    pub(crate) fn new_everywhere(name: &str) -> Host {
        let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("127.0.0.1:0"));
        Host::on(Listener(listener.unwrap()), name)
    }

    pub(crate) fn on(listener: Listener, name: &str) -> Host {
        Host::that(listener, name, echo)
    }

    /// A host that does `serve` with each connection.
    pub(crate) fn that(listener: Listener, name: &str, serve: fn(TcpStream, &str)) -> Host {
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
    /// Nobody listens any more when this is over; open connections live on.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let ip = match self.address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        // Wakes it up.
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

/// Ends a connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Ends the writing half.
pub(crate) fn hang_up(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}
