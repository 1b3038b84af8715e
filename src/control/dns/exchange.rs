//! Asks name servers: by UDP, and by TCP what does not fit. Every wait has an end.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::message::{Answer, Kind, Query, Reply, UDP_BYTES};

/// Datagrams that are no answer to the question, until its server is given up for this time.
const MOST_STRAY: usize = 64;

/// The servers, and how long each may take.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    pub(super) list: Vec<SocketAddr>,
    /// How long one server may take to answer.
    pub(super) timeout: Duration,
    /// How often all are asked.
    pub(super) attempts: u32,
}

impl Servers {
    /// Asks the servers in turn until one answers, good or bad, until `deadline` at most.
    ///
    /// # Errors
    /// None answers; the text says why not.
    pub(super) fn ask(&self, name: &str, kind: Kind, deadline: Instant) -> io::Result<Answer> {
        let mut last = None;
        for _ in 0..self.attempts {
            for server in &self.list {
                if Instant::now() >= deadline {
                    return Err(last.unwrap_or_else(|| io::ErrorKind::TimedOut.into()));
                }
                match self.ask_one(*server, name, kind, deadline) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => {
                        let error = format!("name server {server}: {error}");
                        last = Some(io::Error::other(error));
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn ask_one(
        &self,
        server: SocketAddr,
        name: &str,
        kind: Kind,
        deadline: Instant,
    ) -> io::Result<Answer> {
        let too_long = || io::Error::other("the name is too long");
        for extensions in [true, false] {
            let until = deadline.min(Instant::now() + self.timeout);
            let query = Query::new(random_id()?, name, kind, extensions).ok_or_else(too_long)?;
            let reply = match by_udp(server, &query, until)? {
                Reply::Truncated => by_tcp(server, &query, until)?,
                reply => reply,
            };
            match reply {
                Reply::Answer(answer) => return Ok(answer),
                Reply::NoExtensions if extensions => {}
                Reply::NoExtensions => break,
                Reply::Truncated => return Err(io::Error::other("its answer by TCP is cut off")),
                Reply::Failed(why) => return Err(io::Error::other(why)),
            }
        }
        Err(io::Error::other("it does not understand the question"))
    }
}

/// An id that a stranger cannot guess. The port is the system's choice, by chance as well.
fn random_id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u16::from_ne_bytes(bytes))
}

fn time_left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it has not answered in time",
        )),
        false => Ok(left),
    }
}

fn by_udp(server: SocketAddr, query: &Query, until: Instant) -> io::Result<Reply> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // From now on the system drops what others send, and tells when nobody listens there.
    socket.connect(server)?;
    socket.send(&query.bytes)?;
    // A byte more than a server may send: more would be cut off unseen.
    let mut message = [0; UDP_BYTES as usize + 1];
    for _ in 0..MOST_STRAY {
        socket.set_read_timeout(Some(time_left(until)?))?;
        let length = match socket.recv(&mut message) {
            Ok(length) => length,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        if length > UDP_BYTES as usize {
            continue;
        }
        if let Some(reply) = query.reply(&message[..length]) {
            return Ok(reply);
        }
    }
    Err(io::Error::other("it sends what nobody asked for"))
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock | Interrupted)
}

fn by_tcp(server: SocketAddr, query: &Query, until: Instant) -> io::Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&server, time_left(until)?)?;
    let length = u16::try_from(query.bytes.len()).map_err(io::Error::other)?;
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(&query.bytes);
    stream.set_write_timeout(Some(time_left(until)?))?;
    stream.write_all(&message)?;
    let mut length = [0; 2];
    read_until(&mut stream, &mut length, until)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    read_until(&mut stream, &mut message, until)?;
    let stray = || Reply::Failed("it answers what nobody asked for".to_owned());
    Ok(query.reply(&message).unwrap_or_else(stray))
}

/// Fills the buffer, also by many small pieces, until the deadline.
fn read_until(stream: &mut TcpStream, mut buffer: &mut [u8], until: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(time_left(until)?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => buffer = &mut buffer[length..],
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
