//! The floor: a bare event loop that connects each client to the next host and copies. Less
//! cost than this means fewer system calls.
//!
//! It runs as a process of its own: this program started with [`WORD`]. It has no timers,
//! counters or failover, and picks hosts in turn. Errors end the session.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use txlb::os::listen::{BindAddress, ListenOptions, bind_all};

use super::Outcome;

/// The first argument that selects this mode. The number of threads, the listener's address and
/// the hosts' follow.
pub(crate) const WORD: &str = "floor";

const BUFFER: usize = 64 * 1024;
const LISTENER: Token = Token(usize::MAX);

/// Runs until it is killed.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [workers, listen, hosts @ ..] = arguments else {
        return Err("threads, an address and hosts are wanted".into());
    };
    let hosts: Vec<SocketAddr> = hosts
        .iter()
        .map(|host| host.parse())
        .collect::<Result<_, _>>()?;
    let sockets = bind_all(
        BindAddress::At(listen.parse()?),
        &ListenOptions::default(),
        workers.parse()?,
        false,
    )?;
    let threads: Vec<_> = sockets
        .into_iter()
        .map(|socket| {
            let hosts = hosts.clone();
            thread::spawn(move || Loop::new(TcpListener::from_std(socket), hosts)?.run())
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread has panicked")??;
    }
    Ok(())
}

struct Loop {
    poll: Poll,
    listener: TcpListener,
    hosts: Vec<SocketAddr>,
    turn: usize,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    /// Freed after the batch: a later event of the batch must not meet another pair.
    over: Vec<usize>,
    buffer: Vec<u8>,
}

/// The sockets of client and host, each with bytes to write to it.
struct Pair {
    sockets: [TcpStream; 2],
    kept: [Vec<u8>; 2],
    ended: [bool; 2],
    /// The end was announced, perhaps behind bytes: read on after a short read.
    closing: [bool; 2],
}

impl Loop {
    fn new(mut listener: TcpListener, hosts: Vec<SocketAddr>) -> Outcome<Loop> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Loop {
            poll,
            listener,
            hosts,
            turn: 0,
            pairs: Vec::new(),
            free: Vec::new(),
            over: Vec::new(),
            buffer: vec![0; BUFFER],
        })
    }

    fn run(mut self) -> Outcome<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(number) => self.serve(number / 2, number % 2, event),
                }
            }
            for place in self.over.drain(..) {
                self.pairs[place] = None;
                self.free.push(place);
            }
        }
    }

    fn accept(&mut self) -> Outcome<()> {
        loop {
            let client = match self.listener.accept() {
                Ok((client, _)) => client,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.turn += 1;
            let host = TcpStream::connect(self.hosts[self.turn % self.hosts.len()])?;
            let place = self.free.pop().unwrap_or(self.pairs.len());
            let mut sockets = [client, host];
            for (side, socket) in sockets.iter_mut().enumerate() {
                let token = Token(2 * place + side);
                let both = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(socket, token, both)?;
            }
            let pair = Pair {
                sockets,
                kept: Default::default(),
                ended: [false; 2],
                closing: [false; 2],
            };
            match self.pairs.get_mut(place) {
                Some(slot) => *slot = Some(pair),
                None => self.pairs.push(Some(pair)),
            }
        }
    }

    /// Handles an event of one side of a pair.
    fn serve(&mut self, place: usize, side: usize, event: &Event) {
        let Some(Some(pair)) = self.pairs.get_mut(place) else {
            return;
        };
        pair.closing[side] |= event.is_read_closed();
        let mut moved = Ok(());
        if event.is_readable() {
            moved = pair.copy(side, &mut self.buffer);
        }
        if event.is_writable() && !pair.kept[side].is_empty() {
            moved = moved.and_then(|()| pair.copy(1 - side, &mut self.buffer));
        }
        let done = moved.is_err() || pair.ended == [true; 2];
        if done && !self.over.contains(&place) {
            self.over.push(place);
        }
    }
}

impl Pair {
    /// Copies from one side to the other until one of them would block.
    fn copy(&mut self, from: usize, buffer: &mut [u8]) -> io::Result<()> {
        let to = 1 - from;
        loop {
            if !self.kept[to].is_empty() {
                let sent = would_block(self.sockets[to].write(&self.kept[to]))?.unwrap_or(0);
                self.kept[to].drain(..sent);
            }
            if !self.kept[to].is_empty() || self.ended[from] {
                return Ok(());
            }
            let Some(length) = would_block(self.sockets[from].read(buffer))? else {
                return Ok(());
            };
            if length == 0 {
                self.ended[from] = true;
                // Closing ends the side that is left.
                return match self.ended[to] {
                    true => Ok(()),
                    false => self.sockets[to].shutdown(Shutdown::Write),
                };
            }
            let sent = would_block(self.sockets[to].write(&buffer[..length]))?.unwrap_or(0);
            self.kept[to].extend_from_slice(&buffer[sent..length]);
            if sent == length && length < buffer.len() && !self.closing[from] {
                return Ok(());
            }
        }
    }
}

/// `None` if it would block, or is not connected yet.
fn would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::NotConnected
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
