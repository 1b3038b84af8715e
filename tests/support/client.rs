//! TCP clients of the program under test.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;

use rustix::net::{bind, connect as connect_socket};

use super::host::{hang_up, tcp_socket};
use super::{TIMEOUT, noise};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a FIN.
    Clean,
    /// With a reset.
    Reset,
}

/// Sets timeouts for reads and writes.
pub(crate) fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

/// Connects from a local address; on Linux all of 127.0.0.0/8 are local.
pub(crate) fn connect_from(ip: IpAddr, address: SocketAddr) -> TcpStream {
    let descriptor = tcp_socket();
    bind(&descriptor, &SocketAddr::new(ip, 0)).unwrap();
    connect_socket(&descriptor, &address).unwrap();
    patient(TcpStream::from(descriptor))
}

/// Reads to the end, and returns how the connection ended.
pub(crate) fn read_all(mut stream: &TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (bytes, End::Clean),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (bytes, End::Reset),
        Err(error) => panic!("after {} bytes: {error}", bytes.len()),
    }
}

/// What a client reads that sends nothing, and how it ends.
pub(crate) fn fate(address: SocketAddr) -> (Vec<u8>, End) {
    match TcpStream::connect(address).map(patient) {
        Ok(stream) => read_all(&stream),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (Vec::new(), End::Reset),
        Err(error) => panic!("{error}"),
    }
}

/// The name of the host that gets a new session, which is then closed.
pub(crate) fn who(address: SocketAddr) -> String {
    Session::open(address).close()
}

/// The names of the hosts that get this many sessions, one after the other.
pub(crate) fn who_in_turn(address: SocketAddr, times: usize) -> String {
    (0..times).map(|_| who(address)).collect()
}

/// A session with a host that sends its name and echoes.
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
    pub(crate) name: String,
    sent: u64,
}

impl Session {
    pub(crate) fn open(address: SocketAddr) -> Session {
        Session::on(connect(address)).unwrap()
    }

    /// With a client that is already connected.
    pub(crate) fn on(stream: TcpStream) -> io::Result<Session> {
        let mut stream = BufReader::new(stream);
        let mut name = String::new();
        stream.read_line(&mut name)?;
        name.pop().ok_or(ErrorKind::UnexpectedEof)?;
        Ok(Session {
            stream,
            name,
            sent: 0,
        })
    }

    /// Sends this many bytes and checks the echo.
    pub(crate) fn echo(&mut self, length: usize) {
        self.sent += 1;
        let sent = noise(self.sent, length);
        let mut received = vec![0; length];
        self.stream.get_mut().write_all(&sent).unwrap();
        self.stream.read_exact(&mut received).unwrap();
        assert!(sent == received, "{length} bytes came back changed");
    }

    /// Closes the session, and returns the host's name.
    pub(crate) fn close(mut self) -> String {
        hang_up(self.stream.get_ref());
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
        self.name
    }

    /// Waits for the other side to end the session.
    pub(crate) fn wait_end(self) -> End {
        let (rest, end) = read_all(self.stream.get_ref());
        assert_eq!(rest, b"");
        end
    }
}

/// The client's address as AMP answers have it: `HOST PORT`.
pub(crate) fn place_of(client: &TcpStream) -> String {
    let local = client.local_addr().unwrap();
    format!("{} {}", local.ip(), local.port())
}

/// Checks that the host sends the client's own address, which it asked for over AMP.
pub(crate) fn is_told_its_place(client: &TcpStream) {
    let said = String::from_utf8(read_all(client).0).unwrap();
    assert_eq!(said.trim_end(), place_of(client));
}

/// The same with clients in parallel, so that hosts ask while others connect.
pub(crate) fn are_told_their_places(address: SocketAddr, each: usize) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || (0..each).for_each(|_| is_told_its_place(&connect(address))));
        }
    });
}
