//! A few clients that fetch large files and discard them.
//!
//! They cost little: with MSG_TRUNC (tcp(7)), Linux discards the bytes inside recv(2) without
//! copying.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};

use super::Outcome;
use super::backend::BULK;
use super::process::check_interrupted;

/// Clients at the same time.
const CLIENTS: usize = 4;

/// Bytes discarded by one call.
const PIECE: usize = 1 << 20;

/// On other systems this only has to compile.
#[cfg(target_os = "linux")]
const DISCARD: RecvFlags = RecvFlags::TRUNC;
#[cfg(not(target_os = "linux"))]
const DISCARD: RecvFlags = RecvFlags::empty();

/// What was fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetched {
    pub(crate) gigabytes: f64,
    pub(crate) seconds: f64,
}

/// Fetches whole files until `time` is over, and finishes the last ones.
pub(crate) fn fetch(address: SocketAddr, time: Duration) -> Outcome<Fetched> {
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| thread::spawn(move || client(address, start + time)))
        .collect();
    let mut files = 0;
    for client in clients {
        files += client.join().map_err(|_| "a client has panicked")??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let gigabytes = (files * BULK) as f64 / 1e9;
    Ok(Fetched { gigabytes, seconds })
}

fn client(address: SocketAddr, until: Instant) -> Outcome<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut files = 0;
    while files == 0 || Instant::now() < until {
        stream.write_all(b"GET /bulk HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        read_head(&mut stream)?;
        discard(&stream)?;
        files += 1;
        check_interrupted()?;
    }
    Ok(files)
}

/// Byte by byte, to read nothing behind the head: a hundred calls or so for each 64 MiB.
fn read_head(stream: &mut TcpStream) -> Outcome<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 4096 {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    match head.starts_with("HTTP/1.1 200 ") && head.contains(&format!("Content-Length: {BULK}\r")) {
        true => Ok(()),
        false => Err(format!("an answer that was not asked for: {head:?}").into()),
    }
}

fn discard(stream: &TcpStream) -> Outcome<()> {
    let mut unused = vec![0_u8; PIECE];
    let mut left = BULK;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        match recv(stream, &mut unused[..most], DISCARD) {
            Ok((_, 0)) => return Err("a file was cut short".into()),
            Ok((_, length)) => left -= length as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
